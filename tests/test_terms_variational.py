"""Every term of variational, quantised and Wasserstein autoencoders, against versions with one loop for each sum.

The networks are small, parameters are nowhere their defaults, and noise is drawn anew from the same seed, in the order
in which the models draw it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import Batch, Plan, Training
from aecore.data.base import Data, DataSpec
from aecore.models.base import Model, total
from aecore.models.variational import IWAE, VAE, FactorVAE, permuted
from aecore.nn.distributions import LOG_2PI, Normal, StandardNormal
from aecore.nn.divergences import bhattacharyya, kl_standard, log_aggregate, mmd2
from aecore.training import loop
from aecore.training.loop import evaluate
from tests import conftest, naive

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
D, V, B = 3, 5, 6
ME = ("autoencoder",)


class Call(nn.Module):
    """A function in place of a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.forward = function


def small(key: str, **params: Any) -> Any:
    return aecore.build(key, (V,), 3, **{"code": D, "width": 16, **params})


def inputs(n: int = B) -> Tensor:
    return torch.rand(n, V, generator=torch.Generator().manual_seed(8))


def seeded_terms(model: Model, x: Tensor, seed: int = 5, players=ME) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(model.terms(Batch(x), players))


def noise(*shape: int) -> Tensor:
    return torch.empty(shape).normal_()


def log_normal(z: float, mu: float, logvar: float) -> float:
    """Of one number."""
    return -0.5 * math.log(2 * math.pi) - 0.5 * logvar - 0.5 * (z - mu) ** 2 / math.exp(logvar)


def sampled(model: Any, x: Tensor, samples: int, seed: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """μ, log σ² (B, D) and z (samples, B, D) of the model's encoder; the random state is that after the draws."""
    mu, logvar = model.encoder(x).detach().chunk(2, 1)
    torch.manual_seed(seed)
    xi = noise(samples, len(x), mu.shape[1])
    z = torch.empty_like(xi)
    for place in product(*map(range, xi.shape)):
        z[place] = mu[place[1:]] + math.exp(0.5 * float(logvar[place[1:]])) * xi[place]
    return mu, logvar, z


def minus_log_px_z(model: Any, x: Tensor, z: Tensor) -> list[list[float]]:
    """−log p(x_b|z_lb), one pixel at a time: L lists of B numbers."""
    rows = []
    for codes in z:
        f = torch.sigmoid(model.decoder(codes).detach().double()).tolist()
        row = []
        for p, target in zip(f, x.tolist(), strict=True):
            if model.likelihood == "bernoulli":
                each = [-t * math.log(q) - (1 - t) * math.log(1 - q) for q, t in zip(p, target, strict=True)]
            else:
                variance = 1 / (2 * model.c)
                each = [
                    0.5 * math.log(2 * math.pi * variance) + (t - q) ** 2 / (2 * variance)
                    for q, t in zip(p, target, strict=True)
                ]
            row.append(sum(each))
        rows.append(row)
    return rows


def mean_of_draws(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def naive_kl(mu: Tensor, logvar: Tensor) -> list[float]:
    return [
        sum(0.5 * (m * m + math.exp(v) - 1 - v) for m, v in zip(means, logs, strict=True))
        for means, logs in zip(mu.tolist(), logvar.tolist(), strict=True)
    ]


# --- the evidence lower bound ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["vae", "beta_vae", "info_vae", "factor_vae", "beta_tcvae"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_distortion_and_rate_are_sums_over_pixels_and_units_and_means_over_draws(key, likelihood):
    model, x = small(key, likelihood=likelihood, c=3.7, samples=3), inputs()
    terms = seeded_terms(model, x)
    mu, logvar, z = sampled(model, x, 3)
    assert terms["recon"].tolist() == pytest.approx(mean_of_draws(minus_log_px_z(model, x, z)), rel=1e-4)
    if "kl" in terms:
        assert terms["kl"].tolist() == pytest.approx(naive_kl(mu, logvar), rel=1e-4)


def test_gradients_pass_through_the_draws_into_mean_and_variance():
    """∂/∂μ is the gradient at z, ∂/∂log σ² that times ½ σ ξ, each a mean over the draws."""
    model, x = small("vae", samples=2), inputs()
    given = torch.randn(B, 2 * D, requires_grad=True)
    model.encoder = Call(lambda x: given)
    recon = seeded_terms(model, x)["recon"].sum()
    (found,) = torch.autograd.grad(recon, given, allow_unused=True)
    assert found is not None
    mu, logvar = given.detach().chunk(2, 1)
    torch.manual_seed(5)
    xi = noise(2, B, D)
    z = (mu + (0.5 * logvar).exp() * xi).requires_grad_()
    logits = model.decoder(z.flatten(0, 1)).view(2, B, V)
    (at_z,) = torch.autograd.grad(
        nn.functional.binary_cross_entropy_with_logits(logits, x.expand(2, B, V), reduction="sum") / 2, z
    )
    assert torch.allclose(found[:, :D], at_z.sum(0), atol=1e-5)
    assert torch.allclose(found[:, D:], (at_z * 0.5 * (0.5 * logvar).exp() * xi).sum(0), atol=1e-5)


def test_the_encoder_and_the_decoder_move_alone_and_with_one_learning_rate():
    for key in ("vae", "beta_vae", "iwae", "info_vae", "beta_tcvae"):
        model = small(key)
        (player,) = model.players().values()
        assert player.networks == (model.encoder, model.decoder)
        assert (player.lr, player.betas) == (1.0, (0.9, 0.999))


@pytest.mark.parametrize("key", ["vae", "beta_vae", "info_vae", "beta_tcvae", "factor_vae"])
def test_a_warm_up_scales_all_weights_but_that_of_the_distortion(key):
    """From 0 at the start in proportion to the progress; whole at its end, and from then on."""
    params = {"vae": {"beta": 3.0}, "beta_vae": {"beta": 5.0}, "info_vae": {"alpha": 0.3, "lam": 7.0}}.get(key, {})
    model, whole = small(key, warmup=0.4, **params), small(key, **params)
    full = whole.players(0.0)["autoencoder"].weights
    assert full["recon"] == 1.0 and all(full[name] == whole.players(1.0)["autoencoder"].weights[name] for name in full)
    for progress, share in ((0.0, 0.0), (0.1, 0.25), (0.3, 0.75), (0.4, 1.0), (0.7, 1.0), (1.0, 1.0)):
        weights = model.players(progress)["autoencoder"].weights
        expected = {name: weight if name == "recon" else share * weight for name, weight in full.items()}
        assert weights == pytest.approx(expected)


def test_the_loss_of_a_player_is_the_weighted_sum_of_mean_terms():
    model, x = small("info_vae", alpha=0.3, lam=7.0), inputs()
    terms = seeded_terms(model, x)
    by_hand = (
        sum(terms["recon"].tolist()) / B + 0.7 * sum(terms["kl"].tolist()) / B + 6.3 * float(terms["mmd"].detach())
    )
    assert float(total(terms, model.players()["autoencoder"].weights)) == pytest.approx(by_hand, rel=1e-5)


# --- importance weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_terms_of_the_importance_weighted_bound_are_those_of_its_draws(likelihood):
    K, x = 4, inputs()
    model = small("iwae", K=K, likelihood=likelihood, c=3.7)
    terms = seeded_terms(model, x)
    mu, logvar, z = sampled(model, x, K)
    distortion = minus_log_px_z(model, x, z)
    for b in range(B):
        ratios, log_w = [], []
        for k in range(K):
            log_q = sum(log_normal(float(z[k, b, j]), float(mu[b, j]), float(logvar[b, j])) for j in range(D))
            log_p = sum(log_normal(float(z[k, b, j]), 0.0, 0.0) for j in range(D))
            ratios.append(log_q - log_p)
            log_w.append(-distortion[k][b] - log_q + log_p)
        bound = math.log(sum(math.exp(w) for w in log_w) / K)
        assert float(terms["recon"][b]) == pytest.approx(sum(row[b] for row in distortion) / K, rel=1e-4)
        assert float(terms["kl"][b]) == pytest.approx(sum(ratios) / K, rel=1e-3, abs=1e-4)
        assert float(terms["gain"][b]) == pytest.approx(bound - sum(log_w) / K, rel=1e-3, abs=1e-4)
        assert float(total({n: t[b] for n, t in terms.items()}, model.players()[ME[0]].weights)) == pytest.approx(
            -bound, rel=1e-4
        )


def iwae(K: int) -> IWAE:
    return aecore.build("iwae", (1, 6, 6), code=3, width=16, K=K)


def log_weights(model: VAE, x: Tensor, K: int) -> Tensor:
    """log p(x|z) + log p(z) − log q(z|x) for z ~ q(z|x): (K, B) nats."""
    q = model.posterior(x)
    z = q.rsample(K)
    return model.p_x(z).log_prob(x) + StandardNormal(model.code).log_prob(z) - q.log_prob(z)


def importance_bound(model: IWAE, x: Tensor) -> Tensor:
    """L_K from the terms that are minimised, (B,)."""
    terms = model.terms(Batch(x), ME)
    return -(terms["recon"] + terms["kl"] - terms["gain"])


def test_the_importance_weighted_bound_is_the_naive_one_and_its_weights_are_those_of_the_equation():
    model, x = iwae(7), torch.bernoulli(torch.full((5, 1, 6, 6), 0.3))
    torch.manual_seed(1)
    found = importance_bound(model, x)
    torch.manual_seed(1)
    log_w = log_weights(model, x, 7)
    assert found.tolist() == pytest.approx(naive.importance_bound(log_w), rel=1e-5)
    parameters = list(model.parameters())
    weights = model.players()["autoencoder"].weights
    torch.manual_seed(1)
    gradients = torch.autograd.grad(total(model.terms(Batch(x), ME), weights), parameters)
    normalised = log_w.detach().softmax(0)  # w_k / Σ_j w_j: large where a draw explains x well
    assert float(normalised.max()) > 0.5
    expected = torch.autograd.grad(-(normalised * log_w).sum(0).mean(), parameters)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(gradients, expected, strict=True))


def test_with_one_sample_the_importance_weighted_bound_is_the_elbo():
    model, x = iwae(1), torch.bernoulli(torch.full((5, 1, 6, 6), 0.3))
    vae = aecore.build("vae", (1, 6, 6), code=3, width=16)
    vae.load_state_dict(model.state_dict())
    found = []
    for either in (model, vae):
        torch.manual_seed(1)
        found.append(either.terms(Batch(x), ME))
    assert torch.equal(found[0]["recon"], found[1]["recon"]) and found[0]["gain"].abs().max() < 1e-5
    with torch.no_grad():
        q = model.posterior(x)
        z = q.rsample(2000)
        kl = q.log_prob(z) - StandardNormal(3).log_prob(z)
    assert ((kl.mean(0) - found[1]["kl"]).abs() < 5 * kl.std(0) / math.sqrt(2000)).all()


class LinearGaussian(VAE):
    """z ~ N(0, I), x|z ~ N(W z + b, ½c⁻¹ I) with orthogonal columns in W, so that q can be the exact posterior."""

    def __init__(self, W: Tensor, b: Tensor, variance: float):
        super().__init__((len(W),), code=W.shape[1], width=16)
        self.W, self.b, self.variance = W, b, variance
        precision = 1 + W.square().sum(0) / variance

        def mean(x):
            return (x - b) @ W / variance / precision

        self.shift = 0.0
        self.encoder = Call(lambda x: torch.cat([mean(x) + self.shift, -precision.log().expand(len(x), -1)], -1))

    def p_x(self, z):
        mean, std = z @ self.W.T + self.b, math.sqrt(self.variance)
        return torch.distributions.Independent(torch.distributions.Normal(mean, std), 1)


class LinearGaussianIWAE(LinearGaussian, IWAE):
    """The linear-Gaussian model with importance weights."""


def linear_gaussian(kind: type[LinearGaussian], n: int) -> tuple[Any, Tensor, Tensor]:
    """A model of this kind, draws of it, and their exact log p(x)."""
    W = torch.linalg.qr(torch.randn(6, 3))[0] * torch.tensor([2.0, 1.0, 0.5])
    b, variance = torch.randn(6), 0.3
    model: Any = kind(W, b, variance)
    x = model.p_x(torch.randn(n, 3)).sample()
    return model, x, naive.linear_gaussian_evidence(x, W, b, variance)


def test_on_a_linear_gaussian_model_the_elbo_reaches_the_exact_log_likelihood_only_with_the_exact_posterior():
    model, x, exact = linear_gaussian(LinearGaussian, 50)
    model.samples = 2000

    def elbo() -> Tensor:
        terms = model.terms(Batch(x), ME)
        return -(terms["recon"] + terms["kl"])

    assert torch.allclose(elbo(), exact, atol=0.3)  # five standard errors of 2,000 draws
    assert float(elbo().mean()) == pytest.approx(float(exact.mean()), abs=0.04)
    model.shift = 0.3
    gap = 0.5 * float((0.09 * (1 + model.W.square().sum(0) / 0.3)).sum())  # KL(q ‖ posterior)
    assert float(exact.mean() - elbo().mean()) == pytest.approx(gap, rel=0.08)


def test_on_a_linear_gaussian_model_the_bound_rises_to_the_exact_log_likelihood_with_the_number_of_samples():
    """q is wrong by 0.3 standard deviations of the prior in each unit: gaps of 0.9, 0.3, 0.03 nats."""
    model, x, exact = linear_gaussian(LinearGaussianIWAE, 400)
    for model.K in (1, 8):  # with the exact posterior all weights are p(x)
        assert torch.allclose(importance_bound(model, x), exact, atol=1e-3)
    model.shift = 0.3
    gaps = []
    for model.K in (1, 4, 32):
        gaps.append(float((exact - torch.stack([importance_bound(model, x) for _ in range(10)]).mean(0)).mean()))
    assert all(more < 0.5 * less for less, more in pairwise(gaps))
    assert -0.01 < gaps[-1] < 0.08


# --- codes against the prior -----------------------------------------------------------------------------------


def test_infovaes_discrepancy_is_that_of_its_first_draws_and_draws_of_the_prior():
    model, x = small("info_vae", samples=2), inputs()
    terms = seeded_terms(model, x)
    _, _, z = sampled(model, x, 2)
    prior = noise(B, D)
    assert terms["mmd"].shape == ()
    assert float(terms["mmd"].detach()) == pytest.approx(naive.mmd2(z[0], prior, SCALES), rel=1e-4, abs=1e-5)


def test_the_discrepancy_pulls_codes_towards_the_prior():
    """Its gradient reaches the encoder: codes that all lie too far to one side are pulled back."""
    model, x = small("info_vae"), inputs()
    shift = torch.full((), 3.0, requires_grad=True)
    model.encoder = Call(lambda x: torch.cat([shift + 0.1 * x[:, :D], torch.full((len(x), D), -4.0)], 1))
    discrepancy = seeded_terms(model, x)["mmd"]
    assert discrepancy.requires_grad
    (slope,) = torch.autograd.grad(discrepancy, shift)
    assert float(slope) > 0.1


@pytest.mark.parametrize("kernel", ["inverse multiquadratic", "gaussian"])
@pytest.mark.parametrize("encoding", ["gaussian", "deterministic"])
@pytest.mark.parametrize("distance", ["squared", "bernoulli"])
def test_a_waes_terms_are_those_of_its_draws(kernel, encoding, distance):
    model, x = small("wae_mmd", kernel=kernel, encoding=encoding, distance=distance), inputs()
    terms = seeded_terms(model, x)
    if encoding == "gaussian":
        mu, logvar = model.encoder(x).detach().chunk(2, 1)
        torch.manual_seed(5)
        z = mu + (0.5 * logvar).exp() * noise(B, D)
    else:
        z = model.encoder(x).detach()
        torch.manual_seed(5)
    prior = noise(B, D)
    assert terms["mmd"].shape == ()
    assert float(terms["mmd"].detach()) == pytest.approx(naive.mmd2(z, prior, SCALES, kernel), rel=1e-4, abs=1e-5)
    assert terms["recon"].tolist() == pytest.approx(naive_distance(distance, x, model.decoder(z)), rel=1e-4)
    assert torch.equal(model.encode(x), model.encoder(x)[:, :D])


def naive_distance(name: str, x: Tensor, logits: Tensor) -> list[float]:
    rows = []
    for target, row in zip(x.tolist(), torch.sigmoid(logits.detach().double()).tolist(), strict=True):
        if name == "squared":
            rows.append(sum((t - q) ** 2 for t, q in zip(target, row, strict=True)))
        else:
            rows.append(sum(-t * math.log(q) - (1 - t) * math.log(1 - q) for t, q in zip(target, row, strict=True)))
    return rows


def test_a_waes_cloud_is_what_it_draws_from():
    x = inputs()
    model = small("wae_gan", encoding="gaussian")
    mu, logvar = model.encoder(x).chunk(2, 1)
    assert torch.equal(model.cloud(x).mu, mu) and torch.equal(model.cloud(x).logvar, logvar)
    with torch.no_grad():
        draws = torch.stack([model.draw(x[:2]) for _ in range(400)])
    assert torch.allclose(draws.std(0), (0.5 * logvar[:2]).exp(), rtol=0.2) and not torch.equal(draws[0], draws[1])
    model = small("wae_gan", encoding="deterministic")
    assert torch.equal(model.draw(x), model.encoder(x)) and float(model.cloud(x).std.max()) == 0


@pytest.mark.parametrize("encoding", ["gaussian", "deterministic"])
def test_a_wae_with_a_critic_plays_algorithm_1(encoding):
    """critic: −log D(z) − log(1 − D(z̃)) of draws z of the prior and codes z̃; autoencoder: −log D(z̃)."""
    model, x = small("wae_gan", encoding=encoding), inputs()
    with torch.no_grad():
        model.critic[0].weight.mul_(3)  # far from chance
    terms = seeded_terms(model, x, players=("autoencoder", "critic"))
    torch.manual_seed(5)
    z_tilde = model.draw(x)
    z = noise(B, D)
    real, fake = (torch.sigmoid(model.critic(codes)).flatten().tolist() for codes in (z, z_tilde))
    expected = [-math.log(r) - math.log(1 - f) for r, f in zip(real, fake, strict=True)]
    assert terms["critic"].tolist() == pytest.approx(expected, rel=1e-3)
    assert terms["adv"].tolist() == pytest.approx([-math.log(f) for f in fake], rel=1e-3)
    assert terms["recon"].tolist() == pytest.approx(naive_distance("squared", x, model.decoder(z_tilde)), rel=1e-4)
    adversary = torch.autograd.grad(terms["adv"].sum(), model.encoder[-1].bias, retain_graph=True)[0]
    assert float(adversary.abs().max()) > 0  # the critic's opinion moves the encoder


def test_a_single_example_has_no_discrepancy_and_it_is_said_so():
    one, two = torch.randn(1, D), torch.randn(2, D)
    for a, b in ((one, one), (one, two), (two, one)):
        with pytest.raises(ValueError, match="at least 2 points in each sample"):
            mmd2(a, b)
    assert math.isfinite(float(mmd2(two, torch.randn(2, D))))
    for key in ("info_vae", "wae_mmd", "beta_tcvae"):
        terms = seeded_terms(small(key), inputs(1))
        assert set(terms) == {"recon"} | ({"kl"} if key == "info_vae" else set())
        assert set(seeded_terms(small(key), inputs(2))) == set(aecore.entry(key).terms)


# --- the parts of the KL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", [B, 40, 1000])
def test_the_parts_of_the_kl_are_those_of_a_naive_mixture(examples):
    """q(z_i) with the weight 1/N for the example of z_i, and the rest shared by the others of the minibatch."""
    model, x = small("beta_tcvae", samples=2), inputs()
    model.on_epoch_start(conftest.Table(torch.zeros(examples, V)), 0.3)
    assert int(model.examples) == examples
    terms = seeded_terms(model, x)
    mu, logvar, draws = sampled(model, x, 2)
    z, m, v = draws[0].tolist(), mu.tolist(), logvar.tolist()
    for i in range(B):
        weight = [1 / examples if n == i else (examples - 1) / examples / (B - 1) for n in range(B)]
        joint = sum(w * math.exp(sum(map(log_normal, z[i], m[n], v[n]))) for n, w in enumerate(weight))
        marginal = 0.0
        for j in range(D):
            marginal += math.log(sum(w * math.exp(log_normal(z[i][j], m[n][j], v[n][j])) for n, w in enumerate(weight)))
        log_qz_x = sum(map(log_normal, z[i], m[i], v[i]))
        log_p = sum(log_normal(value, 0.0, 0.0) for value in z[i])
        assert float(terms["mi"][i]) == pytest.approx(log_qz_x - math.log(joint), abs=1e-3)
        assert float(terms["tc"][i]) == pytest.approx(math.log(joint) - marginal, abs=1e-3)
        assert float(terms["dw_kl"][i]) == pytest.approx(marginal - log_p, abs=1e-3)


def test_fewer_examples_than_a_minibatch_count_as_many():
    q = Normal(torch.randn(B, D), torch.randn(B, D))
    z = q.rsample()
    few, all_of_them = (log_aggregate(q, z, torch.tensor(n)) for n in (2, B))
    assert torch.equal(few[0], all_of_them[0]) and torch.equal(few[1], all_of_them[1])


def test_each_part_of_the_kl_has_its_own_weight():
    model = small("beta_tcvae", alpha=0.5, beta=3.0, gamma=2.0)
    assert model.weights() == {"mi": 0.5, "tc": 3.0, "dw_kl": 2.0}


def test_mutual_information_total_correlation_and_the_units_kls_add_up_to_the_kl_over_a_full_data_set():
    """And each is what it is called: with all examples in the minibatch the estimate of q(z) is exact."""
    q = Normal(2 * torch.randn(40, 3) @ torch.randn(3, 3), torch.randn(40, 3) - 1)
    model = aecore.build("beta_tcvae", (5,), code=3, width=16)
    model.encoder = Call(lambda x: torch.cat([q.mu, q.logvar], -1))
    model.examples.fill_(40)
    parts: dict[str, list[Tensor]] = {"mi": [], "tc": [], "dw_kl": []}
    with torch.no_grad():
        for _ in range(200):
            terms = model.terms(Batch(torch.rand(40, 5)), ME)
            for name, found in parts.items():
                found.append(terms[name].mean())
        means = {name: float(torch.stack(found).mean()) for name, found in parts.items()}
    assert sum(means.values()) == pytest.approx(float(kl_standard(q).mean()), rel=0.01)
    z = torch.stack([q.rsample() for _ in range(200)])
    assert means["tc"] == pytest.approx(
        sum(naive.total_correlation(q.mu, q.logvar, draw) for draw in z) / 200, abs=0.05
    )
    assert 0.5 < means["mi"] < math.log(40)  # no more can be told of one of 40


def test_a_minibatchs_estimate_of_the_aggregated_posterior_is_unbiased():
    q = Normal(torch.randn(30, 2), torch.randn(30, 2) - 1)
    z = q.rsample()
    exact = naive.log_mixture(q.mu, q.logvar, z[:1])[0]
    found = []
    for _ in range(1000):
        index = torch.cat([torch.tensor([0]), 1 + torch.randperm(29)[:7]])
        batch = Normal(q.mu[index], q.logvar[index])
        found.append(log_aggregate(batch, z[index], torch.tensor(30))[0][0].exp())
    draws = torch.stack(found)
    assert abs(float(draws.mean()) - math.exp(exact)) < 5 * float(draws.std()) / math.sqrt(1000)


# --- one minibatch for training and held-out examples -----------------------------------------------------------


class Spy(aecore.models.base.Autoencoder):
    """Its terms are what it was shown: per example, and the last example of a minibatch."""

    def __init__(self, batchwise: bool, smallest: int):
        super().__init__((1,), 1)
        self.weight = nn.Parameter(torch.zeros(()))
        self.batchwise, self.smallest_batch = batchwise, smallest
        self.shown: list[list[int]] = []

    def terms(self, batch: Batch, players: Any) -> dict[str, Tensor]:
        self.shown.append([round(value) for value in batch.x[:, 0].tolist()])
        return {"each": batch.x[:, 0], "last": batch.x[-1, 0]}

    def players(self, progress: float = 1.0) -> dict:
        return {}


@pytest.mark.parametrize("batchwise", [False, True])
def test_the_last_minibatch_of_an_evaluation_is_filled_up_where_its_size_matters(batchwise):
    model, split = Spy(batchwise, 2), conftest.Table(torch.arange(10.0)[:, None])
    found = evaluate(model, split, 8, batch=3)
    last = [5, 6, 7] if batchwise else [6, 7]
    assert model.shown == [[0, 1, 2], [3, 4, 5], last]
    assert found["each"] == pytest.approx(3.5)  # every example once
    assert found["last"] == pytest.approx((3 * 2 + 3 * 5 + 2 * 7) / 8)
    model.shown.clear()
    assert evaluate(model, split, 7, batch=3)["each"] == pytest.approx(3.0)
    assert model.shown[-1] == [4, 5, 6]  # the seventh alone would be too few in both cases
    model.shown.clear()
    evaluate(model, split, 7, batch=1)
    assert model.shown[0] == [0, 1] or batchwise


def test_terms_that_depend_on_the_minibatch_are_held_out_at_the_trainings(monkeypatch):
    """And at the usual one where nothing is known of the training; others at 500 as ever."""
    wide = conftest.Table(torch.rand(700, V))
    for key, given, usual in (("beta_tcvae", 37, 128), ("vae", None, 500)):
        model = small(key)
        assert model.batchwise == (key == "beta_tcvae")
        shown: list[int] = []

        def seen(batch, players, terms=model.terms, shown=shown):
            shown.append(len(batch.x))
            return terms(batch, players)

        monkeypatch.setattr(model, "terms", seen)
        evaluate(model, wide)
        assert shown[0] == usual and set(shown[:-1]) == {usual}
        told: list[int | None] = []

        def asked(model, split, limit, batch=None, told=told, **more):
            told.append(batch)
            return {}

        monkeypatch.setattr(loop, "evaluate", asked)
        data = Data(DataSpec(name="digits"), "made", (V,), conftest.Table(torch.rand(74, V)), wide, "made")
        for _ in Training(model, data, Plan(epochs=1, batch=37, precision="fp32"), "cpu"):
            pass
        assert told and set(told) == {given}
        monkeypatch.undo()


def test_held_out_terms_of_a_beta_tcvae_are_those_of_its_training_minibatches():
    """Mean terms by hand over minibatches of 16; of another size they differ, and so does the card's figure."""
    model = small("beta_tcvae").eval()
    model.encoder = Call(lambda x: torch.cat([4 * x[:, :D], torch.full((len(x), D), -3.0)], 1))
    model.examples.fill_(500)
    split = conftest.Table(inputs(48))
    found = evaluate(model, split, batch=16, seed=9)
    torch.manual_seed(9)
    with torch.no_grad():
        parts = [model.terms(Batch(split.x[k : k + 16]), ME)["tc"].mean() for k in (0, 16, 32)]
    assert found["tc"] == pytest.approx(float(sum(parts)) / 3, rel=1e-5)
    assert abs(evaluate(model, split, batch=48)["tc"] - found["tc"]) > 0.1


# --- total correlation by a critic ------------------------------------------------------------------------------


def test_permuted_codes_keep_each_units_values_and_lose_the_dependence_between_units():
    z = torch.randn(4000, 1) + 0.1 * torch.randn(4000, 3)
    found = permuted(z)
    assert torch.equal(found.sort(0).values, z.sort(0).values)
    assert float(torch.corrcoef(z.T)[0, 1]) > 0.9
    assert (torch.corrcoef(found.T) - torch.eye(3)).abs().max() < 0.1  # six standard errors of 4,000 draws


RHO = 0.8


def correlated(n: int) -> Tensor:
    """Draws of N(0, [[1, ρ], [ρ, 1]]), whose total correlation is −½ log(1 − ρ²) = 0.511 nats."""
    first, second = torch.randn(2, n)
    return torch.stack([first, RHO * first + math.sqrt(1 - RHO**2) * second], 1)


def factor_vae(critic=None, **params) -> FactorVAE:
    """A FactorVAE whose codes are its inputs, as good as without noise; with this critic in place of its own."""
    model = aecore.build("factor_vae", (2,), code=2, width=32, **params)
    model.encoder = Call(lambda x: torch.cat([x, torch.full_like(x, -30.0)], -1))
    if critic:
        model.critic = Call(critic)
    return model


def log_ratio(z: Tensor) -> Tensor:
    """log q(z) / (q(z_1) q(z_2)) of `correlated`, (B, 1)."""
    both = z.prod(1, keepdim=True)
    squares = z.square().sum(1, keepdim=True)
    return -0.5 * math.log(1 - RHO**2) + (RHO * both - 0.5 * RHO**2 * squares) / (1 - RHO**2)


def test_the_best_critics_logit_is_the_total_correlation_and_no_other_critic_has_a_smaller_loss():
    x, losses = correlated(20_000), []
    for scale, shift in ((1.0, 0.0), (0.7, 0.0), (1.4, 0.0), (1.0, 0.4), (1.0, -0.4), (-1.0, 0.0)):
        model = factor_vae(lambda z, scale=scale, shift=shift: scale * log_ratio(z) + shift)
        torch.manual_seed(1)
        terms = model.terms(Batch(x), ("critic",))
        losses.append(float(terms["critic"].mean()))
        if len(losses) == 1:
            assert float(terms["tc"].mean()) == pytest.approx(-0.5 * math.log(1 - RHO**2), abs=0.02)
    assert min(losses[1:]) > losses[0] + 0.002
    assert losses[0] < 2 * math.log(2) - 0.1


@pytest.mark.parametrize("count", [8, 7])
def test_a_factor_vaes_terms_are_the_critics_logits_and_its_cross_entropy(count):
    """tc: the logit of every code; critic: codes of the first half against permuted codes of the other half."""
    shown: list[Tensor] = []

    def judge(z: Tensor) -> Tensor:
        shown.append(z)
        return (z * torch.tensor([0.7, -0.4])).sum(1, keepdim=True)

    model, x = factor_vae(judge), torch.randn(count, 2)
    terms = model.terms(Batch(x), ("autoencoder", "critic"))
    half, logits = (count + 1) // 2, judge(shown[0]).flatten().tolist()
    assert terms["tc"].tolist() == pytest.approx(logits[:count], rel=1e-5)
    assert len(logits) == count + half and terms["critic"].shape == ()
    real, fake = logits[:half], logits[count:]
    each = [math.log(1 + math.exp(-r)) + math.log(1 + math.exp(f)) for r, f in zip(real, fake, strict=True)]
    assert float(terms["critic"]) == pytest.approx(sum(each) / half, rel=1e-5)


def test_the_codes_that_a_critic_sees_permuted_are_of_other_examples_than_those_it_must_tell_from_them():
    shown = []
    model = factor_vae(lambda z: shown.append(z) or z[:, :1])
    for count in (8, 7, 1):  # the middle one of an odd number is in both halves
        x = torch.arange(2.0 * count).view(count, 2)
        model.terms(Batch(x), ("critic",))
        half = (count + 1) // 2
        assert torch.allclose(shown[-1][:count], x, atol=1e-4)
        assert torch.allclose(shown[-1][count:].sort(0).values, x[count - half :], atol=1e-4)


def test_a_factor_vaes_total_correlation_moves_the_encoder():
    """By the critic's slope at the codes: with the logit w · z that is w for every code."""
    model, codes = factor_vae(lambda z: (z * torch.tensor([0.7, -0.4])).sum(1, keepdim=True)), torch.randn(5, 2)
    codes.requires_grad_()
    tc = model.terms(Batch(codes), ME)["tc"]
    assert tc.requires_grad
    (slope,) = torch.autograd.grad(tc.sum(), codes)
    assert torch.allclose(slope, torch.tensor([0.7, -0.4]).expand(5, 2), atol=1e-5)


def test_a_factor_vaes_players_minimise_what_algorithm_2_says():
    model = aecore.build("factor_vae", (1, 8, 8), code=3, width=16, gamma=7.0)
    players = model.players()
    assert {name: dict(player.weights) for name, player in players.items()} == {
        "autoencoder": {"recon": 1.0, "kl": 1.0, "tc": 7.0},
        "critic": {"critic": 0.5},
    }
    assert players["autoencoder"].networks == (model.encoder, model.decoder)
    assert players["critic"].networks == (model.critic,) and players["critic"].betas == (0.5, 0.9)
    assert model.update_schedule() == (("autoencoder", "critic"),)  # both at once, on one minibatch
    layers = [layer for layer in model.critic if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(3, 16), *[(16, 16)] * 5, (16, 1)]
    assert [layer.negative_slope for layer in model.critic if isinstance(layer, nn.LeakyReLU)] == [0.2] * 6


@pytest.mark.parametrize(("key", "own", "other"), [("factor_vae", "tc", "critic"), ("wae_gan", "adv", "critic")])
def test_each_player_moves_by_its_own_terms_alone(key, own, other):
    """One step: the critic's gradient is that of its own term, and the encoder's has nothing of the critic's term."""
    model = small(key)
    data = Data(DataSpec(name="digits"), "made", (V,), conftest.Table(inputs()), conftest.Table(inputs()), "made")
    before = {name: value.clone() for name, value in model.named_parameters()}
    training = Training(model, data, Plan(epochs=1, batch=B, lr=1e-3, precision="fp32"), "cpu")
    grads: dict[str, Any] = {}
    move = training._move

    def watch(name, player, factor):
        grads[name] = [g.clone() for g in training._waiting[name] if g is not None]
        seed_state.append(torch.get_rng_state())
        move(name, player, factor)

    seed_state: list[Tensor] = []
    training._move = watch
    rounds = model.terms

    def seen(batch, players):
        seed_state.append(torch.get_rng_state())
        x.append(batch.x)
        return rounds(batch, players)

    x: list[Tensor] = []
    model.terms = seen
    for _ in training:
        break
    for name, parameter in model.named_parameters():
        parameter.data.copy_(before[name])
    torch.set_rng_state(seed_state[0])
    terms = rounds(Batch(x[0]), ("autoencoder", "critic"))
    players = model.players(0.0)
    for name, player in players.items():
        loss = sum(weight * terms[term].mean() for term, weight in player.weights.items())
        parameters = [p for network in player.networks for p in network.parameters()]
        expected = torch.autograd.grad(loss, parameters, retain_graph=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(grads[name], expected, strict=True))
    assert own in players["autoencoder"].weights and own not in players["critic"].weights
    assert other in players["critic"].weights and other not in players["autoencoder"].weights


# --- symbols ----------------------------------------------------------------------------------------------------


def vq(**params: Any) -> Any:
    return aecore.build("vq_vae", (1, 8, 8), **{"symbols": 3, "size": 4, "K": 7, "width": 16, **params})


def test_a_vq_vaes_code_is_made_of_the_codebooks_vectors_and_gradients_pass_straight_through():
    model, x = vq(), torch.rand(5, 1, 8, 8)
    h, e = model.parts(x), model.codebook.weight
    nearest = naive.nearest(h.flatten(0, 1), e)
    assert model.indices(h).flatten().tolist() == nearest
    z = model.encode(x)
    assert torch.equal(z, e[nearest].view(5, 12))
    terms = model.terms(Batch(x), ME)
    assert torch.allclose(terms["codebook"], (h - z.view(5, 3, 4)).square().sum((1, 2)), atol=1e-5)
    assert torch.equal(terms["codebook"], terms["commitment"])
    assert terms["recon"].tolist() == pytest.approx(
        naive_distance("bernoulli", x.flatten(1), model.decoder(z).flatten(1)), rel=1e-4
    )
    last = model.encoder[-1].bias
    free = z.detach().requires_grad_()
    recon = nn.functional.binary_cross_entropy_with_logits(model.decoder(free), x, reduction="sum")
    (at_z,) = torch.autograd.grad(recon, free)
    (through,) = torch.autograd.grad(terms["recon"].sum(), last, retain_graph=True)
    assert torch.allclose(through, at_z.sum(0), atol=1e-4)
    moves = {
        name: [
            g is not None
            for g in torch.autograd.grad(terms[name].sum(), (last, e), retain_graph=True, allow_unused=True)
        ]
        for name in terms
    }
    assert moves == {"recon": [True, False], "codebook": [False, True], "commitment": [True, False]}


def test_the_codebook_is_pulled_to_the_encoder_with_weight_1_and_the_encoder_to_it_with_beta():
    """Of one part h and its vector e: ∂/∂e = 2 (e − h), ∂/∂h = 2 β (h − e)."""
    model = vq(symbols=1, beta=0.4)
    h = torch.randn(1, 4, requires_grad=True)
    model.encoder = Call(lambda x: h)
    weights = dict(model.players()["autoencoder"].weights)
    assert weights == {"recon": 1.0, "codebook": 1.0, "commitment": 0.4}
    terms = model.terms(Batch(torch.rand(1, 1, 8, 8)), ME)
    pulls = {name: weight for name, weight in weights.items() if name != "recon"}
    at_h, at_e = torch.autograd.grad(total(terms, pulls), (h, model.codebook.weight))
    k = int(model.indices(h[:, None])[0, 0])
    e = model.codebook.weight[k]
    assert torch.allclose(at_h, 2 * 0.4 * (h - e), atol=1e-5)
    assert torch.allclose(at_e[k], 2 * (e - h[0]), atol=1e-5) and float(at_e.abs().sum(1).gt(0).sum()) == 1


def test_usage_follows_the_symbols_of_training_minibatches_by_one_hundredth():
    model, x = vq(), torch.rand(5, 1, 8, 8)
    model.usage.copy_(torch.arange(7.0) / 21)
    counts = [0] * 7
    for k in model.indices(model.parts(x)).flatten().tolist():
        counts[k] += 1
    expected = [0.99 * k / 21 + 0.01 * counts[k] / 15 for k in range(7)]
    model.eval().terms(Batch(x), ME)
    assert torch.equal(model.usage, torch.arange(7.0) / 21)  # held-out examples do not count
    model.train().terms(Batch(x), ME)
    assert model.usage.tolist() == pytest.approx(expected, rel=1e-5)


def test_vectors_that_were_hardly_used_are_moved_onto_encoded_examples():
    """Those with less than a hundredth of an equal share, except at the end of the training."""
    model, split = vq(), conftest.images().train
    limit = 0.01 / 7
    usage = torch.tensor([0.0, 0.9 * limit, 1.1 * limit, 0.2, 0.3, 0.3, 0.2])
    for progress in (1.0, 0.5):
        model.usage.copy_(usage)
        before = model.codebook.weight.detach().clone()
        with torch.no_grad():
            model.on_epoch_start(split, progress)
        after = model.codebook.weight.detach()
        if progress == 1:
            assert torch.equal(before, after) and torch.equal(model.usage, usage)
            continue
        assert torch.equal(before[2:], after[2:]) and torch.equal(model.usage[2:], usage[2:])
        assert model.usage[:2].tolist() == pytest.approx([1 / 7, 1 / 7])
        h = model.parts(split.batch(torch.arange(len(split))).x).flatten(0, 1)
        for vector in after[:2]:
            assert float((h - vector).square().sum(1).min().detach()) < 1e-8
        assert not torch.equal(after[0], after[1])


# --- overlap ----------------------------------------------------------------------------------------------------


def test_the_bhattacharyya_overlap_is_its_integral():
    for mu, logvar in (((0.0, 0.0), (0.0, 0.0)), ((0.0, 1.5), (0.3, -1.2)), ((-1.0, 2.0), (-2.0, 0.5))):
        p, q = (Normal(torch.tensor([m]).double(), torch.tensor([v]).double()) for m, v in zip(mu, logvar, strict=True))
        assert float(bhattacharyya(p, q)) == pytest.approx(naive.overlap(p, q), abs=1e-6)
    p = Normal(torch.randn(4, 3), torch.randn(4, 3))
    assert torch.allclose(bhattacharyya(p, p), torch.ones(4))
    q = Normal(torch.randn(4, 3), torch.randn(4, 3))
    units = torch.stack([bhattacharyya(*(Normal(n.mu[:, [j]], n.logvar[:, [j]]) for n in (p, q))) for j in range(3)])
    assert torch.allclose(bhattacharyya(p, q), units.prod(0), atol=1e-6)  # independent units


def test_the_log_densities_that_terms_are_made_of_are_those_of_one_number_at_a_time():
    q = Normal(torch.randn(B, D), torch.randn(B, D))
    z = torch.randn(B, D)
    expected = [sum(map(log_normal, *rows)) for rows in zip(z.tolist(), q.mu.tolist(), q.logvar.tolist(), strict=True)]
    assert q.log_prob(z).tolist() == pytest.approx(expected, rel=1e-4)
    assert math.log(2 * math.pi) == LOG_2PI
    standard = [sum(map(partial(log_normal, mu=0.0, logvar=0.0), row)) for row in z.tolist()]
    assert StandardNormal(D).log_prob(z).tolist() == pytest.approx(standard, rel=1e-4)
    assert np.allclose(q.std.numpy(), np.exp(0.5 * q.logvar.numpy()))
