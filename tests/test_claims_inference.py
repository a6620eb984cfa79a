"""What the chapter claims of adversarially learned inference, measured on small data with fixed seeds; and oracles.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from aecore import Model, Run
from aecore.data.sets.gaussians import STD, centres
from aecore.measure.coverage import modes
from aecore.runs.sweeps import SWEEPS
from tests.claims import DIGITS, classifier, error, gaussians, pixels, trained

KEYS = ("ali", "hali", "alice")


@cache
def inferred(key: str, seed: int, **params) -> Model:
    return trained(key, epochs=20, batch=64, seed=seed, width=128, **params)


@cache
def error_of(key: str, seed: int, **params) -> float:
    return error(inferred(key, seed, **params), pixels(DIGITS, "test")[:1000])


def test_ali_drops_no_more_than_3_of_25_modes_median_of_5_seeds():
    """Of the five trainings that come with the program (500 epochs each, too long for a test), drawn from anew.

    By the paper's count all of them keep 25. So do draws scattered all over the plane: those of ALI lie near modes, and
    most modes have a fifth of their share there.
    """
    found = []
    for folder in ("modes-1", *(f"modes-1-seed-{k}" for k in range(1, 5))):
        run = Run.open(SWEEPS / "modes" / folder)
        assert run.info.model == "ali" and run.info.data.name == "gaussians"
        found.append(modes(run.model().sample(10_000, generator=torch.Generator().manual_seed(0)), centres(), STD))
    covered, near, assigned = np.median(found, 0)
    assert assigned >= 22, found  # 25 each
    assert near > 0.6 and covered >= 18, found  # 0.79 to 0.85; 18, 20, 23, 15, 25
    scattered = modes(torch.rand(10_000, 2) * 2 - 1, centres(), STD)
    assert scattered.assigned == 25 and scattered.covered == 0 and scattered.near < 0.1


def test_alis_draws_go_to_all_parts_of_the_plane_early_in_training():
    """500 steps; untrained 8 to 11 modes are next to a draw, with a generator that helps the critic 1 to 7."""
    found = []
    for seed in range(2):
        model = trained("ali", gaussians(), epochs=5, batch=100, seed=seed, code=2, width=64, gamma=5e-4)
        draws = model.sample(10_000, generator=torch.Generator().manual_seed(0))
        found.append(modes(draws, centres(), STD).assigned)
    assert min(found) >= 20, found  # 22 to 24


@pytest.mark.parametrize("seed", [0, 1])
def test_alice_reconstructs_better_than_ali(seed):
    # Three seeds: 2.98 to 3.00 against 6.6 to 6.9. ALI's reconstructions are other digits of the same kind.
    assert error_of("alice", seed, code=16) < 0.65 * error_of("ali", seed, code=16)


@pytest.mark.parametrize("seed", [0, 1])
def test_hali_reconstructs_better_than_ali_that_draws_from_as_many_numbers(seed):
    """Four numbers are drawn from N(0, I) in both; HALI decodes from a lower code that follows from them.

    Three seeds: 6.7 to 7.5 against 8.5 to 9.5. Where ALI's code is as large as HALI's lower one the claim does not hold
    here: 6.6 to 6.9 with 16 numbers.
    """
    assert error_of("hali", seed, code=16, top=4) < 0.92 * error_of("ali", seed, code=4)


@pytest.mark.parametrize("key", KEYS)
def test_draws_are_varied_and_look_like_digits(key):
    """A collapse shows as little variance, or as a digit that is never drawn."""
    params = {"code": 16, "top": 4} if key == "hali" else {"code": 16}
    draws = inferred(key, 0, **params).sample(500, generator=torch.Generator().manual_seed(0))
    spread = draws.flatten(1).var(0).sum() / pixels(DIGITS, "test").flatten(1).var(0).sum()
    read = classifier().predict_proba(draws.flatten(1).numpy())
    assert 0.6 < float(spread) < 1.3  # 0.79 to 0.87
    assert float(np.max(read, 1).mean()) > 0.6  # 0.70 to 0.71; real digits 0.84, noise 0.52
    assert np.bincount(read.argmax(1), minlength=10).min() >= 5  # 20 to 26 of 500


def test_an_edited_label_changes_the_digit_that_a_judge_reads():
    model = inferred("ali", 0, code=16, classes=10)
    z = model.prior.sample(100, next(model.parameters()), 1.0, torch.Generator().manual_seed(0))
    images = [model.decode(z, torch.full((100,), label)) for label in range(10)]
    read = np.stack([classifier().predict(x.flatten(1).numpy()) for x in images])
    assert (read == np.arange(10)[:, None]).mean() > 0.6  # 0.79; chance: 0.1
