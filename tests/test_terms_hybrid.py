"""Oracles of VAE/GAN and GMM-GAN: every term, every player, and the mixture that is fitted to codes."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from sklearn.mixture import GaussianMixture

import aecore
from aecore import Batch
from aecore.measure.sharpness import gradient_energy
from aecore.models import hybrid
from aecore.models.hybrid import FittedMixture
from tests.conftest import Table
from tests.games import agree, kl, log_d, log_not_d, same_table, squared_slope, squares, table

N = 6
ADAM, DEFAULT = (0.5, 0.999), (0.9, 0.999)


def small(key: str, shape=(5,), **params):
    torch.manual_seed(3)
    return aecore.build(key, shape, seed=3, code=3, width=16, **params)


def batch(*shape: int) -> Batch:
    return Batch(torch.rand(N, *shape or (5,), generator=torch.Generator().manual_seed(1)))


def critic_of(model):
    """D's logit of images, and its last hidden layer."""
    features = model.critic.features
    return (lambda x: model.critic.head(features(x)).squeeze(-1)), features


# --- VAE/GAN --------------------------------------------------------------------------------------------------------


def vae_gan_terms(model, x, xi, z_p):
    """Larsen et al. (2016), Eq. 7–9 and Algorithm 1, one term after the other.  xi: noise of the posterior's sample."""
    judge, f = critic_of(model)
    mu, logvar = model.encoder(x)[:, :3], model.encoder(x)[:, 3:]
    x_hat = torch.sigmoid(model.decoder(mu + (logvar / 2).exp() * xi))
    x_tilde = torch.sigmoid(model.decoder(z_p))
    return {
        "kl": kl(mu, logvar),
        "features": 0.5 * squares(f(x), f(x_hat)),
        "adv": -log_d(judge(x_hat)) - log_d(judge(x_tilde)),
        "critic": -log_d(judge(x)) - log_not_d(judge(x_hat)) - log_not_d(judge(x_tilde)),
        "slope": squared_slope(judge, x),
    }


@pytest.mark.parametrize("shape", [(5,), (1, 4, 4)])
def test_a_vae_gans_terms_and_pulls(shape):
    model = small("vae_gan", shape, c=3.0, gamma=0.2, lam=5.0)
    twin, x = deepcopy(model), batch(*shape)
    torch.manual_seed(7)
    found = model.terms(x, tuple(model.players()))
    torch.manual_seed(7)
    expected = vae_gan_terms(twin, x.x, torch.randn(N, 3), torch.randn(N, 3))
    players = {
        "encoder": ([twin.encoder], {"kl": 1.0, "features": 3.0}),
        "decoder": ([twin.decoder], {"features": 0.6, "adv": 1.0}),
        "critic": ([twin.critic], {"critic": 1.0, "slope": 2.5 * math.prod(shape) / 784}),
    }
    agree(model, found, expected, players)


def test_a_vae_gan_draws_from_the_prior_beside_the_posterior():
    """With codes far from the prior, the two kinds of decoded images differ."""
    model = small("vae_gan")
    with torch.no_grad():
        model.encoder[-1].bias[:3] += 50.0
        seen = []
        model.decoder.register_forward_hook(lambda _, given, out: seen.append(given[0]))
        model.terms(batch(), ("encoder", "decoder", "critic"))
    posterior, prior = seen[0].chunk(2)
    assert posterior.min() > 30 and prior.abs().max() < 6


def test_the_players_of_a_vae_gan():
    same_table(
        table(small("vae_gan", (2, 4, 4), c=3.0, gamma=0.2, lam=5.0)),
        {
            "encoder": (("encoder",), {"kl": 1.0, "features": 3.0}, 1.0, DEFAULT),
            "decoder": (("decoder",), {"features": 0.6, "adv": 1.0}, 1.0, ADAM),
            "critic": (("critic",), {"critic": 1.0, "slope": 2.5 * 32 / 784}, 1.0, ADAM),
        },
    )


# --- GMM-GAN --------------------------------------------------------------------------------------------------------


def gmm_gan_terms(model, x, z, moving: tuple[str, ...]):
    """Feigin, Spitzer & Giryes (2020): a critic whose features are also an encoder's."""
    judge, f = critic_of(model)
    x_tilde = torch.sigmoid(model.decoder(z))
    if "generator" not in moving:
        x_tilde = x_tilde.detach()
    terms = {"code": 0.5 * squares(z, model.encoder(f(x_tilde)))}
    if "generator" in moving:
        terms["adv"] = -log_d(judge(x_tilde))
    if "critic" in moving:
        terms |= {"critic": -log_d(judge(x)) - log_not_d(judge(x_tilde)), "slope": squared_slope(judge, x)}
    return terms


@pytest.mark.parametrize("turn", [("critic",), ("generator",), ("critic", "generator")])
def test_a_gmm_gans_terms_and_pulls(turn):
    model = small("gmm_gan", lam=0.3, gamma=4.0, components=2)
    twin, x = deepcopy(model), batch()
    torch.manual_seed(7)
    found = model.terms(x, turn)
    torch.manual_seed(7)
    expected = gmm_gan_terms(twin, x.x, torch.randn(N, 3), turn)
    players = {
        "critic": ([twin.critic, twin.encoder], {"critic": 1.0, "slope": 2.0, "code": 0.3}),
        "generator": ([twin.decoder], {"adv": 1.0, "code": 0.3}),
    }
    agree(model, found, expected, {name: players[name] for name in turn})


def test_the_players_of_a_gmm_gan():
    same_table(
        table(small("gmm_gan", lam=0.3, gamma=4.0)),
        {
            "critic": (("critic", "encoder"), {"critic": 1.0, "slope": 2.0, "code": 0.3}, 1.0, ADAM),
            "generator": (("decoder",), {"adv": 1.0, "code": 0.3}, 1.0, ADAM),
        },
    )


def test_a_gmm_gan_encodes_by_its_critics_features():
    model, x = small("gmm_gan", components=2), batch().x
    _, f = critic_of(model)
    assert torch.equal(model.encode(x), model.encoder(f(x)))


def test_the_mixture_is_fitted_to_codes_of_examples_spread_over_the_training_set(monkeypatch):
    model, x = small("gmm_gan", components=2), torch.rand(40, 5)
    monkeypatch.setattr(hybrid, "FITTED", 14)
    given: list[torch.Tensor] = []
    monkeypatch.setattr(model.prior, "fit", given.append)
    with torch.no_grad():
        model.on_epoch_start(Table(x), 0.5)
        assert torch.equal(given[0], model.encode(x[[3 * k for k in range(14)]]))  # 0, 3, …, 39
        monkeypatch.setattr(hybrid, "FITTED", 100)
        model.on_epoch_start(Table(x), 0.0)
        assert torch.allclose(given[1], model.encode(x))


def test_a_gmm_gan_is_fitted_by_the_training_loop():
    model = small("gmm_gan", components=2)
    assert torch.equal(model.centres, torch.zeros(2, 3)) and torch.equal(model.prior.pi, torch.full((2,), 0.5))
    with torch.no_grad():
        model.on_epoch_start(Table(torch.rand(40, 5)), 0.0)
    assert model.centres.any() and torch.equal(model.centres, model.prior.means)


def test_shares_of_components_are_those_of_bayes():
    model, x = small("gmm_gan", components=3), batch().x
    fill(model.prior)
    model.prior.factors.mul_(10)  # so wide that every component has a share in each code
    h = model.encode(x).detach().double()
    for row, found in zip(h, model.responsibilities(x), strict=True):
        each = []
        for pi, mean, L in zip(model.prior.pi, model.prior.means, model.prior.factors, strict=True):
            normal = torch.distributions.MultivariateNormal(mean.double(), (L @ L.T).double())
            each.append(float(pi) * math.exp(float(normal.log_prob(row))))
        assert found.tolist() == pytest.approx([value / sum(each) for value in each], rel=1e-3)
        assert found.min() > 1e-3
    assert model.assign(x).tolist() == model.responsibilities(x).argmax(1).tolist()


# --- the mixture ------------------------------------------------------------------------------------------------------


def fill(mixture: FittedMixture) -> None:
    """Any mixture with unequal parts."""
    count, size = mixture.means.shape
    generator = torch.Generator().manual_seed(4)
    mixture.pi.copy_(torch.arange(1, count + 1) / (count * (count + 1) / 2))
    mixture.means.copy_(3 * torch.randn(count, size, generator=generator))
    spreads = [torch.cov(torch.randn(size, 9, generator=generator)) for _ in range(count)]
    mixture.factors.copy_(torch.linalg.cholesky(torch.stack(spreads)))


def test_a_fitted_mixtures_density_is_that_of_its_draws():
    mixture = FittedMixture(3, 4)
    fill(mixture)
    parts = torch.distributions.MultivariateNormal(mixture.means, scale_tril=mixture.factors)
    reference = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.pi), parts)
    z = mixture.sample(20_000, torch.zeros(1), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(mixture.log_prob(z), reference.log_prob(z), atol=1e-3)
    assert torch.allclose(z.mean(0), reference.mean, atol=0.15)
    assert torch.allclose(z.var(0), reference.variance, rtol=0.05)
    cold = mixture.sample(500, z, temperature=0.0)  # the means themselves
    assert torch.cdist(cold.double(), mixture.means.double()).min(1).values.max() < 1e-6


def test_before_the_first_fit_a_mixture_is_the_standard_normal():
    z = torch.randn(50, 3)
    normal = torch.distributions.Normal(0.0, 1.0)
    assert torch.allclose(FittedMixture(3, 4).log_prob(z), normal.log_prob(z).sum(-1), atol=1e-5)


def test_temperature_scales_the_spread_within_a_component():
    mixture, like = FittedMixture(3, 4), torch.zeros(1)
    fill(mixture)
    warm, cold, means = (
        mixture.sample(50, like, temperature, torch.Generator().manual_seed(1)) for temperature in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(cold - means, 0.5 * (warm - means), atol=1e-5, rtol=0)
    assert all(any(torch.equal(row, mean) for mean in mixture.means) for row in means)
    assert (cold - means).abs().mean() > 0.1


def test_a_mixture_is_found_again_from_its_draws():
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    z = centres.repeat_interleave(300, 0) + 0.5 * torch.randn(900, 2)
    mixture = FittedMixture(2, 3)
    mixture.fit(z)
    assert torch.cdist(centres, mixture.means).min(1).values.max() < 0.15
    assert torch.allclose(mixture.pi, torch.full((3,), 1 / 3), atol=0.02)
    variances = (mixture.factors @ mixture.factors.mT).diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(variances, torch.full((3, 2), 0.25 + 0.1), atol=0.08)


def test_a_fit_is_scikit_learns_and_depends_on_no_seed():
    z = torch.randn(60, 2) * torch.tensor([3.0, 0.5])
    reference = GaussianMixture(3, reg_covar=0.1, random_state=0).fit(z.double().numpy())
    for seed in (0, 1):
        torch.manual_seed(seed)
        mixture = FittedMixture(2, 3)
        mixture.fit(z)
        assert mixture.pi.tolist() == pytest.approx(reference.weights_.tolist(), rel=1e-5)
        assert mixture.means.flatten().tolist() == pytest.approx(reference.means_.flatten().tolist(), rel=1e-4)
        found = (mixture.factors @ mixture.factors.mT).flatten().tolist()
        assert found == pytest.approx(reference.covariances_.flatten().tolist(), rel=1e-4, abs=1e-6)


def test_too_few_codes_and_codes_without_end_leave_a_mixture_as_it_was():
    mixture = FittedMixture(2, 3)
    mixture.fit(torch.randn(5, 2))  # two for each component would be six
    assert not mixture.means.any()
    mixture.fit(torch.cat([torch.randn(20, 2), torch.tensor([[math.inf, 0.0]])]))
    assert not mixture.means.any()
    mixture.fit(torch.randn(6, 2))
    assert mixture.means.any()


# --- sharpness --------------------------------------------------------------------------------------------------------


def test_gradient_energy_is_the_mean_squared_difference_of_neighbours():
    steps = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    assert gradient_energy(steps) == pytest.approx(((0 + 1) / 2 + (1 + 0) / 2) / 2)
    x = torch.rand(2, 3, 4, 5)
    down = [
        float((x[n, c, i + 1, j] - x[n, c, i, j]) ** 2)
        for n, c, i, j in torch.cartesian_prod(*map(torch.arange, (2, 3, 3, 5)))
    ]
    across = [
        float((x[n, c, i, j + 1] - x[n, c, i, j]) ** 2)
        for n, c, i, j in torch.cartesian_prod(*map(torch.arange, (2, 3, 4, 4)))
    ]
    assert gradient_energy(x) == pytest.approx((sum(down) / len(down) + sum(across) / len(across)) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="2×2"):
        gradient_energy(torch.rand(3, 5))
