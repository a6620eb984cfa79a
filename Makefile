# Each target does all its own set-up. PORT=8600 make run changes the port.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The lane of `make test`, and how all lanes are spread over processes: a file at a time, long ones first.
FAST   := not slow and not claim
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-all test-rest durations mutants lint bench study pretrained screenshots clean

run: $(VENV)/.app
	@$(BIN)/python -m app

test: $(VENV)/.dev
	@./tests/browser-setup
	$(PYTEST) -m "$(FAST)"

test-all: $(VENV)/.dev
	@./tests/browser-setup
	$(PYTEST)

test-rest: $(VENV)/.dev
	@./tests/browser-setup
	$(PYTEST) -m "not ($(FAST))"

durations: $(VENV)/.dev
	@./tests/browser-setup
	$(PYTEST) --record-durations

mutants: $(VENV)/.dev
	$(BIN)/python -m tests.mutants

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright

bench: $(VENV)/.dev
	$(BIN)/python -m aecore bench
	$(BIN)/python -m tests.bench_pages

study: $(VENV)/.dev
	$(BIN)/python -m tests.study

pretrained: $(VENV)/.app
	$(BIN)/python -m aecore.zoo

screenshots: $(VENV)/.dev
	@./tests/browser-setup
	$(BIN)/python -m tests.screenshots

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis screenshots

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=python3.11 make run")'
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: on Debian and Ubuntu, apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.app: requirements.txt $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.app
