"""What the chapter claims of the autoencoders with critics, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

from functools import cache

import pytest

from aecore import Model
from aecore.divergences import mmd2
from tests.claims import DIGITS, error, pixels, trained


@cache
def deep_2d(seed: int) -> Model:
    return trained("deep", seed=seed, epochs=20, width=256, code=2, distance="bernoulli")


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_an_aaes_codes_follow_the_chosen_prior(prior):
    x = pixels(DIGITS, "test")[:1000]
    for seed in (0, 1):
        aae = trained("aae", seed=seed, epochs=45, batch=64, width=256, prior=prior)
        deep = deep_2d(seed)
        draw = aae.prior.sample(1000, x)
        assert float(mmd2(aae.encode(x), draw)) < float(mmd2(deep.encode(x), draw)) / 5
        assert error(aae, x) < float((x - pixels(DIGITS, "train").mean(0)).square().flatten(1).sum(1).mean()) * 0.8
