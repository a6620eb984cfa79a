"""Densities and divergences: closed forms against sampling, torch.distributions and naive versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aecore.nn.distributions import (
    PRIORS,
    Bernoulli,
    Gaussian,
    Normal,
    Ring,
    RingMixture,
    StandardNormal,
    SwissRoll,
    distance,
    likelihood,
    sum_dims,
)
from aecore.nn.divergences import (
    bhattacharyya,
    kl_per_unit,
    kl_standard,
    log_aggregate,
    mmd2,
    mmd2_quantile,
    squared_distances,
)
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
    axis = torch.linspace(-7, 7, 141, dtype=torch.float64)  # a step is at most half a standard deviation
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


# --- second versions ----------------------------------------------------------------------------------------------


def test_kl_is_the_integral_of_the_log_ratio_of_densities():
    mu, logvar = torch.tensor([[0.7, -1.2]]).double(), torch.tensor([[-0.9, 0.8]]).double()
    z = torch.linspace(-15, 15, 20_001, dtype=torch.float64)[:, None]
    q, p = (torch.distributions.Normal(m, s) for m, s in ((mu[0], (logvar[0] / 2).exp()), (0.0, 1.0)))
    expected = ((q.log_prob(z) - p.log_prob(z)) * q.log_prob(z).exp()).sum(0) * float(z[1] - z[0])
    assert torch.allclose(kl_per_unit(Normal(mu, logvar))[0], expected, atol=1e-6)
    assert float(kl_standard(Normal(mu, logvar))) == pytest.approx(float(expected.sum()), rel=1e-6)


def test_the_overlap_of_gaussians_is_the_integral_of_the_root_of_their_product():
    p = Normal(torch.tensor([[0.7, -0.2], [0.1, 1.0]]).double(), torch.tensor([[-0.9, 0.4], [0.3, -0.5]]).double())
    q = Normal(torch.tensor([[-0.3, 0.5]]).double(), torch.tensor([[0.6, -0.7]]).double())
    z = torch.linspace(-15, 15, 20_001, dtype=torch.float64)[:, None]
    for k in range(2):
        a = torch.distributions.Normal(p.mu[k], p.std[k]).log_prob(z)
        b = torch.distributions.Normal(q.mu[0], q.std[0]).log_prob(z)
        expected = float((((a + b) / 2).exp().sum(0) * float(z[1] - z[0])).prod())
        assert float(bhattacharyya(p, q)[k]) == pytest.approx(expected, rel=1e-6)
    assert bhattacharyya(p, p).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("examples", [5, 37, 2])
def test_the_density_of_all_codes_is_weighed_example_by_example(examples):
    """N = 37 of which 5 are in the minibatch; where N is said to be less than that, it is taken as 5."""
    q, B = Normal(torch.randn(5, 3).double(), torch.randn(5, 3).double()), 5
    z, N = q.rsample(), max(examples, B)
    found, marginal = log_aggregate(q, z, torch.tensor(examples))
    for i in range(B):
        density, product = 0.0, [0.0] * 3
        for n in range(B):
            weight = 1 / N if n == i else (N - 1) / N / (B - 1)
            parts = torch.distributions.Normal(q.mu[n], q.std[n]).log_prob(z[i]).exp().tolist()
            density += weight * math.prod(parts)
            product = [total + weight * part for total, part in zip(product, parts, strict=True)]
        assert float(found[i]) == pytest.approx(math.log(density), rel=1e-9)
        assert float(marginal[i]) == pytest.approx(sum(math.log(value) for value in product), rel=1e-9)


def test_mmd_takes_the_scales_it_is_given_and_never_compares_a_point_with_itself():
    a, b = torch.randn(6, 3).double(), torch.randn(4, 3).double() + 1
    for scales in ((0.3,), (0.7, 4.0)):
        assert float(mmd2(a, b, scales)) == pytest.approx(naive.mmd2(a, b, scales), rel=1e-9)
    alone = float(mmd2(a, b[:1], (0.3,)))
    aa = naive.mmd2(a, a, (0.3,))  # 2 (mean over pairs − mean over all)
    assert math.isfinite(alone) and aa < 0
    far = torch.full((3, 2), 1e6).double()
    assert float(mmd2(far, far + 1e-3 * torch.rand(3, 2).double(), (1.0,))) == pytest.approx(0, abs=1e-3)
    assert (squared_distances(far.float(), far.float()) >= 0).all()


def test_the_quantile_is_of_pairs_of_samples_that_differ_by_chance():
    sizes = []

    def draw(n: int) -> torch.Tensor:
        sizes.append(n)
        return torch.randn(n, 2).double()

    torch.manual_seed(1)
    found = mmd2_quantile(draw, 6, 0.75, repeats=9)
    assert sizes == [6] * 18
    torch.manual_seed(1)
    values = sorted(naive.mmd2(torch.randn(6, 2).double(), torch.randn(6, 2).double(), SCALES) for _ in range(9))
    assert found == pytest.approx(values[6], rel=1e-6)  # six of eight steps from the lowest to the highest
    torch.manual_seed(1)
    default = mmd2_quantile(draw, 6)
    torch.manual_seed(1)
    assert default == mmd2_quantile(draw, 6, 0.95, 40)


@pytest.mark.parametrize(("kind", "components", "std"), [(RingMixture, 10, 0.4), (Ring, 100, 0.2)])
def test_rings_are_gaussians_at_equal_angles(kind, components, std):
    for size in (1, 2, 5):
        ring, like = kind(size), torch.zeros(1).double()
        means = ring.means(like)
        assert means.shape == (components, size) and ring.radius == 3
        for k in range(components):
            angle = 2 * math.pi * k / components
            place = [3 * math.cos(angle), 3 * math.sin(angle), 0, 0, 0][:size]
            assert means[k].tolist() == pytest.approx(place, abs=1e-5)
        assert ring.stds(like).tolist() == pytest.approx([std, std, 1, 1, 1][:size])


def test_a_swiss_roll_is_one_turn_of_a_spiral_in_equal_steps():
    roll = SwissRoll(4)
    means = roll.means(torch.zeros(1).double())
    assert (roll.components, roll.radius, roll.std) == (150, 3.5, 0.25) and not means[:, 2:].any()
    for k in (0, 40, 149):
        angle = math.sqrt((1.5 * math.pi) ** 2 + k / 149 * ((3.5 * math.pi) ** 2 - (1.5 * math.pi) ** 2))
        length = 3.5 * angle / (3.5 * math.pi)
        assert means[k, :2].tolist() == pytest.approx([length * math.cos(angle), length * math.sin(angle)], abs=1e-4)
    steps = means.diff(dim=0).norm(dim=1)
    assert float(steps.max() / steps.min()) < 1.1
    assert SwissRoll(1).means(torch.zeros(1))[:, 0].tolist() == pytest.approx(means[:, 0].tolist(), abs=1e-5)
    assert {"normal": StandardNormal, "mixture": RingMixture, "ring": Ring, "swiss roll": SwissRoll} == PRIORS


@pytest.mark.parametrize("kind", [RingMixture, Ring, SwissRoll])
def test_a_mixtures_temperature_scales_its_gaussians_and_not_their_centres(kind):
    prior = kind(3)
    for temperature in (0.0, 0.5):
        z = prior.sample(400, torch.zeros(1), temperature, torch.Generator().manual_seed(2))
        means = prior.means(z)[torch.randint(prior.components, (400,), generator=torch.Generator().manual_seed(2))]
        assert len(means.unique(dim=0)) > 9
        if not temperature:
            assert torch.equal(z, means)
        else:
            spread = (z - means).std(0) / prior.stds(z)
            assert torch.allclose(spread, torch.full((3,), 0.5), atol=0.06)
    again = prior.sample(400, torch.zeros(1), 0.5, torch.Generator().manual_seed(2))
    assert torch.equal(again, z) and not torch.equal(prior.sample(400, torch.zeros(1), 0.5), z)


def test_a_draw_is_the_mean_and_the_noise_times_the_standard_deviation():
    mu, logvar = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    for samples, shape in ((None, (4, 3)), (5, (5, 4, 3))):
        z = Normal(mu, logvar).rsample(samples, torch.Generator().manual_seed(3))
        xi = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(3))
        assert torch.allclose(z, mu + (logvar / 2).exp() * xi)
        slopes = torch.autograd.grad(z.sum(), (mu, logvar), allow_unused=True)
        assert slopes[1] is not None
        lead = (xi if samples is None else xi.sum(0)) * (logvar / 2).exp() / 2
        assert torch.allclose(slopes[0], torch.full((4, 3), float(samples or 1)))
        assert torch.allclose(slopes[1], lead, atol=1e-5)
    prior = StandardNormal(3).sample(4, mu.detach(), 0.3, torch.Generator().manual_seed(3))
    assert torch.allclose(prior, 0.3 * torch.empty(4, 3).normal_(generator=torch.Generator().manual_seed(3)))


def test_sums_leave_the_leading_dimensions():
    values = torch.arange(24.0).view(2, 3, 4).to(torch.bfloat16)
    assert sum_dims(values).tolist() == [66, 210] and sum_dims(values, 2).shape == (2, 3)
    assert sum_dims(values, 2)[1, 2] == 20 + 21 + 22 + 23 and sum_dims(values).dtype == torch.float32


@pytest.mark.parametrize("lead", [(), (3,)])
def test_distances_and_likelihoods_of_grey_images_are_their_sums(lead):
    logits, x = torch.randn(*lead, 5, 1, 2, 3), torch.rand(5, 1, 2, 3)
    p = logits.sigmoid()
    for name, kind in (("bernoulli", Bernoulli), ("gaussian", Gaussian)):
        law = likelihood(name, logits, 2.5)
        assert isinstance(law, kind) and torch.allclose(law.mean, p)
        found = law.log_prob(x)
        assert found.shape == (*lead, 5)
        for at in np.ndindex(found.shape):
            values, means = x[at[-1]].flatten().tolist(), p[at].flatten().tolist()
            if name == "bernoulli":
                wanted = sum(v * math.log(m) + (1 - v) * math.log(1 - m) for v, m in zip(values, means, strict=True))
            else:
                wanted = -2.5 * sum((v - m) ** 2 for v, m in zip(values, means, strict=True)) + 3 * math.log(
                    2.5 / math.pi
                )
            assert float(found[at]) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    drawn = Bernoulli(torch.tensor([[2.0, -1.0]]).expand(4000, 2)).sample(torch.Generator().manual_seed(1))
    assert drawn.mean(0).tolist() == pytest.approx(torch.tensor([2.0, -1.0]).sigmoid().tolist(), abs=0.03)
