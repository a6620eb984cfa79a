"""What the chapter claims of the regularised autoencoders, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

import pytest
import torch

from tests.claims import DIGITS, error, pixels, trained


@pytest.mark.parametrize("noise", ["gaussian", "erasures"])
def test_a_denoising_autoencoder_cleans_better_than_a_plain_one(noise):
    x = pixels(DIGITS, "test")
    for seed in (0, 1):
        denoising = trained("denoising", seed=seed, width=256, noise=noise)
        deep = trained("deep", seed=seed, width=256, code=32)
        torch.manual_seed(seed)
        damaged = denoising.corrupt(x)
        assert error(denoising, x, damaged) < 0.7 * error(deep, x, damaged)
        assert error(denoising, x, damaged) < 0.7 * float((damaged - x).square().flatten(1).sum(1).mean())
