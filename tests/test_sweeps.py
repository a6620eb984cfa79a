"""Sweeps: every value and seed has its figures, the first seed its run, and nothing is trained twice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aecore import RunError, paths, zoo
from aecore.runs import sweeps
from aecore.runs.folder import Run
from aecore.runs.library import find

RECIPE = {
    "id": "tiny",
    "title": "Tiny",
    "model": "beta_vae",
    "data": {"name": "digits8", "limit": 300},
    "vary": "beta",
    "values": [1.0, 4.0, 16.0],
    "seeds": 2,
    "params": {"code": 2, "width": 16},
    "plan": {"epochs": 1, "batch": 50},
    "symbol": "β",
}
WHOLE = sweeps.recipes()


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "SWEEPS", tmp_path / "sweeps")
    monkeypatch.setattr(sweeps, "recipes", lambda: [RECIPE])
    return tmp_path


def test_a_sweep_is_trained_once_and_goes_on_where_it_was_cut_off(places, capsys):
    zoo.train_sweep({**RECIPE, "seeds": 1, "values": [1.0]}, 0, places / "work")
    assert len(sweeps.figures("tiny")) == 1
    with pytest.raises(RunError, match=r"tiny-2, tiny-3.*make pretrained"):
        sweeps.sweep("tiny")
    zoo.train_sweep(RECIPE, 0, places / "work")
    found = sweeps.sweep("tiny")
    assert capsys.readouterr().out.count("tiny: beta") == 6
    zoo.train_sweep(RECIPE, 0, places / "work")
    assert "tiny: beta" not in capsys.readouterr().out
    changed = {**RECIPE, "plan": {"epochs": 1, "batch": 100}}
    zoo.train_sweep(changed, 0, places / "work")
    assert capsys.readouterr().out.count("tiny: beta") == 6  # a recipe that changed is trained anew

    assert found.values == (1.0, 4.0, 16.0) and [run.info.params["beta"] for run in found.runs] == [1.0, 4.0, 16.0]
    assert found.runs[1].info.title == "Tiny, β = 4.0" and found.runs[1].model().code == 2
    mean, deviation, seeds = found.spread("mse")
    both = [row["mse"] for row in found.figures if row["value"] == 4.0]
    assert mean[1] == pytest.approx(np.mean(both)) and seeds.tolist() == [2, 2, 2]
    assert deviation[1] == pytest.approx(abs(both[0] - both[1]) / math.sqrt(2))
    assert np.isnan(found.spread("no such figure")[0]).all()


def test_a_sweep_of_models_is_named_by_them(places, monkeypatch):
    several = {
        **RECIPE,
        "vary": "model",
        "seeds": 1,
        "params": {"code": 2, "width": 16},
        "models": [
            {"title": "plain", "model": "deep"},
            {"title": "heavy", "model": "beta_vae", "params": {"beta": 9.0}},
        ],
    }
    monkeypatch.setattr(sweeps, "recipes", lambda: [several])
    zoo.train_sweep(several, 0, places / "work")
    found = sweeps.sweep("tiny")
    assert found.values == ("plain", "heavy") and found.vary == "model"
    assert [run.info.model for run in found.runs] == ["deep", "beta_vae"]
    assert found.runs[1].info.params["beta"] == 9.0 and found.runs[1].info.title == "Tiny: heavy"
    assert np.isfinite(found.spread("cross-entropy + kl")[0]).tolist() == [False, True]


def test_an_unknown_sweep_is_named():
    with pytest.raises(RunError, match="no sweep 'nothing'"):
        sweeps.sweep("nothing")


@pytest.mark.parametrize("identity", [found["id"] for found in WHOLE])
def test_the_sweeps_that_come_with_the_project_are_whole_and_true_to_their_recipes(identity):
    single = next(found for found in WHOLE if found["id"] == identity)
    known = {(row["value"], row["seed"]): row["recipe"] for row in sweeps.figures(identity)}
    assert known == {(value, seed): zoo.digest(one) for value, seed, one in sweeps.expand(single)}
    for run in sweeps.sweep(identity).runs:
        assert run.pretrained and find(run.info.id).path == run.path and run.path.is_relative_to(paths.PRETRAINED)
        model = Run.open(run.path).model()
        own = [weight for name, weight in model.named_parameters() if not name.startswith("eye.")]  # a DFC-VAE's judge
        assert sum(weight.numel() for weight in own) <= 150_000
