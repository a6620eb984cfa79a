"""The list of deliberate errors is sound, and a tenth of it is run (all of it: `make mutants`)."""

from __future__ import annotations

import datetime
import subprocess
import sys

import pytest

from tests import mutants


def test_the_list_is_long_and_each_error_stands_in_the_sources_once():
    found = mutants.read()
    assert len(found) >= 200
    assert mutants.faults(found) == []


@pytest.mark.slow
def test_an_error_that_no_test_notices_is_reported(tmp_path, capfd):
    """The runner itself: one error is noticed, one is not, one only crashes, and one is not found."""
    entry = '[[mutant]]\nfile = "aecore/training/plan.py"\ntext = """{}"""\nreplacement = """{}"""\ntests = ["{}"]\n'
    test = "tests/test_train.py::test_no_step_is_without_effect"
    list_ = tmp_path / "list.toml"
    errors = [
        ("LAST_RATE = 0.01", "LAST_RATE = 0.0"),
        ("EPOCH_EVAL_STEPS = 60", "EPOCH_EVAL_STEPS = 61"),
        ("def rate_factor(progress: float) -> float:", "def rate_factor(progress: float, other: int) -> float:"),
    ]
    list_.write_text("\n".join(entry.format(*error, test) for error in errors))
    command = [sys.executable, "-m", "tests.mutants", str(list_), "--workers", "1"]
    result = subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "1 of 3 mutants were noticed" in result.stdout
    assert "passes" in result.stdout and "by TypeError, not by an assertion" in result.stdout
    list_.write_text(entry.format("no such text", "", test))
    assert mutants.main([str(list_)]) == 1
    assert "is there 0 times" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_tenth_of_the_errors_is_noticed():
    """Another tenth every day, so that all are met within ten days."""
    part = str(datetime.date.today().toordinal() % mutants.PARTS)
    command = [sys.executable, "-m", "tests.mutants", "--part", part, "--workers", "1"]
    result = subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"part {part}\n{result.stdout}{result.stderr}"
