"""The trained examples: complete, small, true to their recipe and card, and at home on every page."""

from __future__ import annotations

import re

import pytest
import torch

from aecore import CATALOG, Run, inference, paths
from aecore.measure import statistics
from aecore.measure.reconstruction import mse
from aecore.training.loop import evaluate
from aecore.zoo import card, recipes, same
from app.pages import PAGES
from tests.naive import few
from tests.pages import app_at

ROOT = paths.PRETRAINED.parent
RECIPES = {recipe["id"]: recipe for recipe in recipes()}
VIEWS = {"run": frozenset(), **{page.key: page.needs for page in PAGES.values() if page.needs}}
OF_EXAMPLES = {
    identity: [view for view, needs in VIEWS.items() if needs <= CATALOG[recipe["model"]].abilities]
    for identity, recipe in RECIPES.items()
}
OPENINGS = [  # each example on Watch and on one of the other pages that can show it, which takes turns
    (identity, view)
    for number, (identity, views) in enumerate(OF_EXAMPLES.items())
    for view in ("run", views[1 + number % (len(views) - 1)])
]


@pytest.fixture(params=few(list(RECIPES), ("vae-2d", "gan-32", "dcec-10")))
def run(request) -> Run:
    return Run.open(paths.PRETRAINED / request.param)


def test_all_together_stay_small():
    files = [file for file in paths.PRETRAINED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 64e6


def test_each_comes_from_its_recipe_and_tells_its_figures(run):
    assert same(run, RECIPES[run.info.id]), "the recipe has changed: make pretrained"
    assert run.info.status == "done" and run.rows()[0][-1]["epoch"] == pytest.approx(run.info.plan.epochs, abs=0.01)
    assert (run.path / "card.md").read_text(encoding="utf-8") == card(run)
    assert run.steps("preview") and not (run.path / "resume").exists()
    for file in run.path.glob("*.*"):
        if file.suffix in (".json", ".md", ".jsonl"):
            assert not re.search(r"(?<![\w<])/(home|work|root|tmp|Users)/", file.read_text(encoding="utf-8")), file


def test_the_figure_on_its_card_is_what_the_weights_give(run):
    """On the digits that the pages show, which are a part of the test images the card speaks of: within 10 %.

    The reconstruction error; where nothing is encoded, the likelihood, or the critic's loss.
    """
    split, model, card = run.data().test, run.model(), run.info.metrics
    if "encode" in run.entry.abilities:
        ids = inference.first(split, 1000)
        error = float(mse(inference.examples(split, ids).numpy(), inference.autoencode(model, split, ids)).mean())
        assert error == pytest.approx(card["mse"], rel=0.1)
    else:
        term = "nll" if "nll" in run.entry.terms else "adv"
        found = evaluate(model, split, 200 if term == "nll" else 1000)[term]
        assert found == pytest.approx(card[f"test/{term}"], rel=0.1)


def test_pages_need_no_data_but_what_comes_with_the_program(run, monkeypatch, tmp_path):
    monkeypatch.setenv("AECORE_DATA", str(tmp_path))
    assert (run.info.shown or run.info.data).name in ("digits", "digits8", "sprites", "faces")
    assert run.data().shape == run.info.shape


def test_no_example_has_collapsed(run):
    """Codes differ from image to image, and draws from each other."""
    model, split = run.model(), run.data().test
    x = split.batch(torch.arange(300)).x.flatten(1)
    if "encode" in run.entry.abilities:
        std = statistics(model, split, 500).std
        assert len(std) == model.code and (std > 0.1 * std.max()).sum() >= 2 and std.max() > 0.03
    if "sample" in run.entry.abilities:
        draws = model.sample(300, generator=torch.Generator().manual_seed(0)).flatten(1)
        assert 0.4 < float(draws.var(0).sum() / x.var(0).sum()) < 2


@pytest.mark.slow
@pytest.mark.parametrize(("identity", "view"), OPENINGS)
def test_pages_show_every_example(identity, view):
    run = Run.open(paths.PRETRAINED / identity)
    app = app_at(view, {"run": run.info.id}).run()
    assert not app.exception and not app.error
    assert all("have collapsed to the prior" in warning.value for warning in app.warning)  # a true word, on Watch
    box = [widget.value for widget in app.selectbox if widget.key == "run-box"]
    assert box == [run.info.id] or run.info.title in str(app.title[0].value).replace("\\", "")
