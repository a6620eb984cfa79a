"""What the chapter claims of adversarially learned inference, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written. Every term by itself: tests/test_terms_inference.py.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from aecore import Model, Plan, Run
from aecore.data.sets.gaussians import STD, centres
from aecore.measure.coverage import modes
from aecore.runs.sweeps import SWEEPS
from tests.claims import DIGITS, classifier, error, pixels, trained
from tests.games import modes_found, modes_of_nine

pytestmark = pytest.mark.claim

SIZES = {"ali": {"code": 16}, "alice": {"code": 16}, "hali": {"code": 16, "top": 4}}


@cache
def inferred(key: str, **params) -> Model:
    return trained(key, epochs=20, batch=64, seed=0, width=128, **params)


@cache
def error_of(key: str, **params) -> float:
    return error(inferred(key, **params), pixels(DIGITS, "test")[:1000])


def test_ali_covers_most_of_nine_gaussians_after_a_short_training():
    """Three seeds: 9, 8 and 7 of 9, with 0.72, 0.74 and 0.46 of the draws near one; uniform noise: 0, and 0.10.

    Draws scattered over the plane are next to all nine, as the paper counts, and cover none.
    """
    plan = Plan(epochs=160, batch=256, lr=4e-3, seed=0, precision="fp32", held_out=1)
    found = modes_found("ali", plan, width=64, gamma=5e-4)
    assert found.covered >= 5 and found.near > 0.3, found
    uniform = modes_of_nine(torch.rand(10_000, 2))
    assert uniform.assigned == 9 and uniform.covered == 0 and uniform.near < 0.12


def test_the_published_alis_cover_18_or_more_of_25_gaussians_median_of_5_seeds():
    """Of the five trainings that come with the program (500 epochs each, too long for a test), drawn from anew.

    18, 20, 23, 15 and 25 are covered, with 0.79 to 0.85 of the draws near one. Uniform noise covers none, though by the
    paper's count it keeps all 25.
    """
    found = []
    for folder in ("modes-1", *(f"modes-1-seed-{k}" for k in range(1, 5))):
        run = Run.open(SWEEPS / "modes" / folder)
        assert run.info.model == "ali" and run.info.data.name == "gaussians"
        found.append(modes(run.model().sample(10_000, generator=torch.Generator().manual_seed(0)), centres(), STD))
    covered, near, _ = np.median(found, 0)
    assert near > 0.6 and covered >= 18, found
    uniform = modes(torch.rand(10_000, 2), centres(), STD)
    assert uniform.assigned == 25 and uniform.covered == 0 and uniform.near < 0.1


def test_alice_reconstructs_better_than_ali():
    """Three seeds: 2.98 to 3.00 against 6.6 to 6.9. ALI's reconstructions are other digits of the same kind."""
    assert error_of("alice", code=16) < 0.65 * error_of("ali", code=16)


def test_hali_reconstructs_no_better_than_ali_with_as_large_a_code():
    """As found, against what the chapter says. Three seeds: 6.7 to 7.5 against 6.6 to 6.9, with 16 numbers each."""
    assert 0.9 < error_of("hali", code=16, top=4) / error_of("ali", code=16) < 1.35


def test_hali_reconstructs_better_than_ali_that_draws_from_as_many_numbers():
    """Four numbers are drawn from N(0, I) in both; HALI decodes from a lower code of 16 that follows from them.

    Three seeds: 6.7 to 7.5 against 8.5 to 9.5. The larger lower code does this, not the hierarchy: see the test above.
    """
    assert error_of("hali", code=16, top=4) < 0.92 * error_of("ali", code=4)


@pytest.mark.parametrize("key", list(SIZES))
def test_draws_are_varied_and_look_like_digits(key):
    """A collapse shows as little variance, or as a digit that is never drawn."""
    draws = inferred(key, **SIZES[key]).sample(500, generator=torch.Generator().manual_seed(0))
    spread = draws.flatten(1).var(0).sum() / pixels(DIGITS, "test").flatten(1).var(0).sum()
    read = classifier().predict_proba(draws.flatten(1).numpy())
    assert 0.6 < float(spread) < 1.3  # 0.79 to 0.87
    assert float(np.max(read, 1).mean()) > 0.6  # 0.70 to 0.71; real digits 0.84, noise 0.52
    assert np.bincount(read.argmax(1), minlength=10).min() >= 5  # 20 to 26 of 500


def test_an_edited_label_changes_the_digit_that_a_judge_reads():
    model = inferred("ali", code=16, classes=10)
    z = model.prior.sample(100, next(model.parameters()), 1.0, torch.Generator().manual_seed(0))
    images = [model.decode(z, torch.full((100,), label)) for label in range(10)]
    read = np.stack([classifier().predict(x.flatten(1).numpy()) for x in images])
    assert (read == np.arange(10)[:, None]).mean() > 0.6  # 0.79; chance: 0.1
