"""The trained examples: complete, small, true to their recipe and card, and at home on every page."""

from __future__ import annotations

import re

import pytest
import torch
from streamlit.testing.v1 import AppTest

from aecore import Run, jobs
from aecore.measure import statistics
from aecore.measure.reconstruction import mse
from aecore.recipe import card, recipes, same
from aecore.runs import PRETRAINED

ROOT = PRETRAINED.parent
RECIPES = {recipe["id"]: recipe for recipe in recipes()}
VIEWS = {"run": None, "reconstruct": {"encode", "decode"}, "traverse": {"decode"}, "map": {"encode", "decode"},
         "generate": {"decode"}}  # fmt: skip


@pytest.fixture(params=RECIPES)
def run(request) -> Run:
    return Run.open(PRETRAINED / request.param)


def test_all_together_stay_small():
    files = [file for file in PRETRAINED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 60e6


def test_each_comes_from_its_recipe_and_tells_its_figures(run):
    assert same(run, RECIPES[run.info.id]), "the recipe has changed: make pretrained"
    assert run.info.status == "done" and run.rows()[0][-1]["epoch"] == run.info.plan.epochs
    assert (run.path / "card.md").read_text(encoding="utf-8") == card(run)
    assert run.steps("preview") and not (run.path / "resume").exists()
    for file in run.path.glob("*.*"):
        if file.suffix in (".json", ".md", ".jsonl"):
            assert not re.search(r"(?<![\w<])/(home|work|root|tmp|Users)/", file.read_text(encoding="utf-8")), file


def test_the_error_on_its_card_is_what_the_weights_give(run):
    """On the digits that the pages show, which are a part of the test images the card speaks of: within 10 %."""
    if "mse" not in run.info.metrics or "encode" not in run.entry.abilities:
        pytest.fail(f"{run.info.id} has no reconstruction error on its card")
    split, model = run.data().test, run.model()
    x = split.batch(torch.arange(1000)).x
    error = float(mse(x, model.decode(model.encode(x))).mean())
    assert error == pytest.approx(run.info.metrics["mse"], rel=0.1)


def test_pages_need_no_data_but_what_comes_with_the_program(run, monkeypatch, tmp_path):
    monkeypatch.setenv("AECORE_DATA", str(tmp_path))
    assert (run.info.shown or run.info.data).name in ("digits", "digits8", "sprites")
    assert run.data().shape == run.info.shape


def test_no_example_has_collapsed(run):
    found = statistics(run.model(), run.data().test, 500)
    assert len(found.active) == run.info.params["code"] and found.active.sum() >= min(2, len(found.active))


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_shows_every_example(run, view, monkeypatch):
    monkeypatch.setattr(jobs.Queue, "start", lambda self: self)
    needs = VIEWS[view]
    assert needs is None or needs <= run.entry.abilities, f"{run.info.id} has no {view}: say so in VIEWS"
    app = AppTest.from_file(str(ROOT / "app/main.py"), default_timeout=60)
    app.query_params["run"] = run.info.id
    app.switch_page(f"views/{view}.py").run()
    assert not app.exception and not app.error and not app.warning
    box = [widget.value for widget in app.selectbox if widget.key == "run-box"]
    assert box == [run.info.id] or run.info.title in str(app.title[0].value).replace("\\", "")
