"""Densities and divergences: closed forms against sampling, torch.distributions and naive versions."""

from __future__ import annotations

import math

import pytest
import torch

from aecore.nn.distributions import Bernoulli, Gaussian, Normal, Ring, RingMixture, StandardNormal, SwissRoll, distance
from aecore.nn.divergences import kl_per_unit, kl_standard, mmd2, mmd2_quantile, squared_distances
from tests import naive

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@pytest.mark.parametrize(("mu", "std"), [(0.0, 1.0), (1.5, 0.3), (-0.4, 2.0)])
def test_closed_form_kl_equals_monte_carlo_kl(mu, std):
    q = Normal(torch.full((1, 3), mu), torch.full((1, 3), 2 * math.log(std)))
    z = q.rsample(100_000)  # (L, 1, 3)
    log_ratio = q.log_prob(z) - StandardNormal(3).log_prob(z)
    error = float(log_ratio.std()) / math.sqrt(len(z))
    assert float(kl_standard(q)) == pytest.approx(float(log_ratio.mean()), abs=5 * error + 1e-5)
    assert float(kl_standard(q)) == pytest.approx(float(kl_per_unit(q).sum()))


def test_kl_agrees_with_torch_distributions():
    mu, logvar = torch.randn(5, 4), torch.randn(5, 4)
    reference = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert torch.allclose(kl_per_unit(Normal(mu, logvar)), reference, atol=1e-5)
    assert kl_standard(Normal(torch.zeros(2, 3), torch.zeros(2, 3))).tolist() == [0, 0]


def test_normal_densities_agree_with_torch_distributions():
    mu, logvar, z = torch.randn(5, 4), torch.randn(5, 4), torch.randn(7, 5, 4)
    reference = torch.distributions.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(-1)
    assert torch.allclose(Normal(mu, logvar).log_prob(z), reference, atol=1e-4)
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(StandardNormal(4).log_prob(z), standard, atol=1e-5)


def test_bernoulli_density_agrees_with_torch_distributions():
    logits, x = torch.randn(3, 5, 1, 4, 4), torch.bernoulli(torch.full((5, 1, 4, 4), 0.5))
    reference = torch.distributions.Bernoulli(logits=logits).log_prob(x).flatten(2).sum(-1)
    assert torch.allclose(Bernoulli(logits).log_prob(x), reference, atol=1e-4)  # (L, B)
    assert torch.allclose(distance("bernoulli", x, logits[0]), -reference[0], atol=1e-4)


def test_gaussian_density_has_variance_half_over_c():
    logits, x = torch.randn(3, 5, 2), torch.rand(5, 2)
    reference = torch.distributions.Normal(logits.sigmoid(), math.sqrt(0.5 / 7)).log_prob(x).sum(-1)
    assert torch.allclose(Gaussian(logits, 7.0).log_prob(x), reference, atol=1e-4)
    squared = ((logits[0].sigmoid() - x) ** 2).sum(-1)
    assert torch.allclose(distance("squared", x, logits[0]), squared, atol=1e-5)


def test_draws_have_their_moments_and_follow_their_seed():
    q = Normal(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * math.log(0.5)]]))
    z = q.rsample(20_000)[:, 0]
    assert torch.allclose(z.mean(0), q.mu[0], atol=0.05)
    assert torch.allclose(z.std(0), q.std[0], atol=0.05)
    drawn = [q.rsample(generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*drawn)
    cold = StandardNormal(2).sample(20_000, z, temperature=0.5)
    assert cold.std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", [RingMixture, Ring, SwissRoll])
@pytest.mark.parametrize("size", [1, 2])
def test_ring_mixture_integrates_to_one(size, kind):
    axis = torch.linspace(-7, 7, 561, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * size).view(-1, size)
    mass = kind(size).log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** size
    assert float(mass) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", [RingMixture, Ring, SwissRoll])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_ring_mixtures_density_is_that_of_its_draws(size, kind):
    """E log p under its own draws is the entropy of the naive mixture of its own parts."""
    ring = kind(size)
    z = ring.sample(5000, torch.zeros(1))
    parts = torch.distributions.Independent(
        torch.distributions.Normal(ring.means(z), ring.stds(z).expand(ring.components, size)), 1
    )
    which = torch.distributions.Categorical(torch.ones(ring.components))
    reference = torch.distributions.MixtureSameFamily(which, parts)
    assert torch.allclose(ring.log_prob(z), reference.log_prob(z), atol=1e-3)
    chance = mmd2_quantile(lambda n: reference.sample((n,)), 500, 0.95)
    assert float(mmd2(z[:500], reference.sample((500,)))) < 3 * chance


@pytest.mark.parametrize("kernel", ["inverse multiquadratic", "gaussian"])
def test_mmd_is_the_naive_one(kernel):
    a, b = torch.randn(12, 3).double(), torch.randn(9, 3).double() + 1
    assert float(mmd2(a, b, kernel=kernel)) == pytest.approx(naive.mmd2(a, b, SCALES, kernel), rel=1e-9)
    expected = [[float(((x - y) ** 2).sum()) for y in b] for x in a]
    assert torch.allclose(squared_distances(a, b), torch.tensor(expected).double())


def test_mmd_is_near_zero_for_equal_distributions_and_grows_with_a_shift():
    a, b = torch.randn(400, 2), torch.randn(400, 2)
    shifted = [float(mmd2(a, b + shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    chance = mmd2_quantile(lambda n: torch.randn(n, 2), 400, 0.95)
    assert abs(shifted[0]) < 3 * chance
    assert chance < shifted[1] < shifted[2] < shifted[3]
    assert float(mmd2(a, b)) == pytest.approx(float(mmd2(b, a)), abs=1e-5)
