"""Codes against their prior: estimates whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import aecore
from aecore.data import load
from aecore.data.base import DataSpec
from aecore.measure.aggregate_posterior import aggregate, clouds, holes, kl_of_neighbours, overlap

DATA = load(DataSpec(name="digits8"))


def test_the_kl_of_neighbours_finds_that_of_gaussians():
    random = np.random.default_rng(0)

    def normal(n, mean, std):
        return mean + std * random.standard_normal((n, 2))

    prior = normal(4000, 0, 1)
    assert kl_of_neighbours(normal(4000, 0, 1), prior) == pytest.approx(0, abs=0.06)
    assert kl_of_neighbours(normal(4000, 0.7, 1), prior) == pytest.approx(0.7**2, abs=0.08)  # ½ ‖μ‖²
    expected = 2 * (0.5 * 0.25 - 0.5 - math.log(0.5))  # ½ (σ² − 1) − log σ, for two units
    assert kl_of_neighbours(normal(4000, 0, 0.5), prior) == pytest.approx(expected, abs=0.08)
    with pytest.raises(ValueError, match="too few"):
        kl_of_neighbours(prior[:4], prior)


def test_the_kl_of_neighbours_is_its_definition():
    random = np.random.default_rng(1)
    a, b, total = random.normal(size=(20, 3)), random.normal(size=(30, 3)), 0.0
    for i in range(20):
        own = sorted(np.linalg.norm(a[i] - a[j]) for j in range(20) if j != i)[1]
        other = sorted(np.linalg.norm(a[i] - point) for point in b)[1]
        total += 3 / 20 * math.log(other / own)
    assert kl_of_neighbours(a, b, 2) == pytest.approx(total + math.log(30 / 19))


def test_posteriors_overlap_as_their_integrals_say_and_points_do_not():
    mu, std = np.array([[0.0], [1.0]], np.float32), np.array([[1.0], [1.0]], np.float32)
    assert overlap(mu, std) == pytest.approx(math.exp(-1 / 8))
    assert overlap(mu, 0 * std) == 0.0
    assert overlap(mu[:1], std[:1]) == 0.0


@pytest.mark.parametrize(
    ("key", "params", "wide"),
    [
        ("vae", {}, True),
        ("wae_mmd", {"encoding": "gaussian"}, True),
        ("wae_mmd", {"encoding": "deterministic"}, False),
        ("aae", {}, False),
    ],
)
def test_every_model_gives_the_clouds_it_draws_from(key, params, wide):
    model = aecore.build(key, (1, 8, 8), code=2, width=16, **params).eval().requires_grad_(False)
    mu, std = clouds(model, DATA.test, np.arange(50))
    assert mu.shape == std.shape == (50, 2) and bool((std > 0).all()) == wide
    x = DATA.test.batch(torch.arange(50)).x
    np.testing.assert_allclose(mu, model.encode(x).numpy(), atol=1e-6)
    found = aggregate(model, DATA.test, 300)
    assert found.n == 300 and (found.overlap > 0) == wide
    assert found.mmd2 > found.chance > 0 and found.kl > 0.3  # untrained: codes do not fill the prior


def test_holes_lie_where_the_prior_is_likely_and_no_code_is():
    random = np.random.default_rng(0)
    draws, codes = random.normal(size=(4000, 2)), random.normal(size=(3000, 2))
    centre = np.array([0.5, -0.4])
    codes = codes[np.linalg.norm(codes - centre, axis=1) > 0.4]
    codes = codes[np.linalg.norm(codes + centre, axis=1) > 0.3]
    first, second, third = holes(codes, draws, 3)
    assert np.linalg.norm(first - centre) < 0.2 and np.linalg.norm(second + centre) < 0.2
    assert min(np.linalg.norm(third - centre), np.linalg.norm(third + centre)) > 0.1  # a place of its own


def test_a_code_that_is_the_prior_is_within_chance():
    """The codes of a VAE that ignores its input are draws of the prior."""
    model = aecore.build("vae", (1, 8, 8), code=2, width=16).eval().requires_grad_(False)
    last = model.encoder[-1]
    last.weight.data.zero_(), last.bias.data.zero_()
    found = aggregate(model, DATA.test, 300)
    assert found.mmd2 < 2 * found.chance and abs(found.kl) < 0.2
    assert found.overlap == pytest.approx(1, abs=1e-5)
