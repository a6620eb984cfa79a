"""What the chapter claims of the variational autoencoders, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from aecore import Batch
from aecore.data import load
from aecore.distributions import StandardNormal
from aecore.divergences import kl_standard
from aecore.models.variational import VAE
from aecore.train import evaluate
from tests import naive
from tests.claims import DIGITS, SPRITES, pixels, surety, trained


@cache
def vae(seed: int = 0) -> VAE:
    return trained("vae", seed=seed, epochs=20, batch=64, code=8, width=256)


def log_weights(model: VAE, x: Tensor, K: int) -> Tensor:
    """log p(x|z) + log p(z) − log q(z|x) for z ~ q(z|x): (K, B) nats."""
    q = model.posterior(x)
    z = q.rsample(K)
    return model.p_x(z).log_prob(x) + StandardNormal(model.code).log_prob(z) - q.log_prob(z)


def test_the_elbo_bounds_the_importance_sampled_log_likelihood_on_held_out_digits():
    x = (pixels(DIGITS, "test")[:300] > 0.5).float()
    model = vae()
    log_w = log_weights(model, x, 256)
    terms = [model.terms(Batch(x), ("autoencoder",)) for _ in range(16)]
    elbo = -torch.stack([term["recon"] + term["kl"] for term in terms]).mean(0)  # (B,)
    evidence = log_w.logsumexp(0) - math.log(256)
    assert float(elbo.mean()) < float(evidence.mean()) - 0.3
    assert float((elbo < evidence).float().mean()) > 0.95
    assert float(elbo.mean()) == pytest.approx(float(log_w.mean()), abs=0.3)  # closed KL and sampled KL
    bounds = [float((log_w[:K].logsumexp(0) - math.log(K)).mean()) for K in (1, 4, 16, 64, 256)]
    assert bounds == sorted(bounds)


def test_the_closed_form_kl_of_a_trained_posterior_equals_its_monte_carlo_kl():
    q = vae().posterior(pixels(DIGITS, "test")[:100])
    z = q.rsample(4000)
    log_ratio = q.log_prob(z) - StandardNormal(8).log_prob(z)
    error = log_ratio.std(0) / math.sqrt(4000)
    assert ((kl_standard(q) - log_ratio.mean(0)).abs() < 5 * error).all()
    assert float(kl_standard(q).mean()) > 3  # the code is in use


class LinearGaussian(VAE):
    """z ~ N(0, I), x|z ~ N(W z + b, ½c⁻¹ I) with orthogonal columns in W, so that q can be the exact posterior."""

    def __init__(self, W: Tensor, b: Tensor, variance: float):
        super().__init__((len(W),), code=W.shape[1], width=16)
        self.W, self.b, self.variance = W, b, variance
        precision = 1 + W.square().sum(0) / variance
        mean = lambda x: (x - b) @ W / variance / precision  # noqa: E731
        self.shift = 0.0
        self.encoder = Call(lambda x: torch.cat([mean(x) + self.shift, -precision.log().expand(len(x), -1)], -1))

    def p_x(self, z):
        mean, std = z @ self.W.T + self.b, math.sqrt(self.variance)
        return torch.distributions.Independent(torch.distributions.Normal(mean, std), 1)


class Call(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_on_a_linear_gaussian_model_the_elbo_reaches_the_exact_log_likelihood_only_with_the_exact_posterior():
    W = torch.linalg.qr(torch.randn(6, 3))[0] * torch.tensor([2.0, 1.0, 0.5])
    b, variance = torch.randn(6), 0.3
    model = LinearGaussian(W, b, variance)
    x = model.p_x(torch.randn(200, 3)).sample()
    exact = naive.linear_gaussian_evidence(x, W, b, variance)
    model.samples = 4000

    def elbo() -> Tensor:
        terms = model.terms(Batch(x), ("autoencoder",))
        return -(terms["recon"] + terms["kl"])

    assert torch.allclose(elbo(), exact, atol=0.25)  # five standard errors of 4,000 draws
    assert float(elbo().mean()) == pytest.approx(float(exact.mean()), abs=0.02)
    model.shift = 0.3
    precision = 1 + W.square().sum(0) / variance
    gap = 0.5 * float((0.09 * precision).sum())  # KL(q ‖ posterior)
    assert float(exact.mean() - elbo().mean()) == pytest.approx(gap, rel=0.05)


def test_a_vaes_draws_look_more_like_digits_than_a_plain_autoencoders():
    for seed in (0, 1, 2):
        deep = trained("deep", seed=seed, epochs=20, batch=64, code=8, width=256, distance="bernoulli")
        z = torch.randn(500, 8, generator=torch.Generator().manual_seed(seed))
        assert surety(vae(seed).decode(z)) > surety(deep.decode(z)) + 0.03  # five seeds: 0.060 to 0.078


BETAS = (1.0, 4.0, 16.0)


@cache
def sprites(beta: float, seed: int) -> tuple[float, float, float]:
    """(rate, distortion, total correlation of sampled codes) of a β-VAE on held-out sprites."""
    model = trained("beta_vae", SPRITES, seed=seed, epochs=20, code=6, width=256, beta=beta)
    terms = evaluate(model, load(SPRITES).test, 1000)
    q = model.posterior(pixels(SPRITES, "test")[:1000])
    torch.manual_seed(0)
    return terms["kl"], terms["recon"], naive.total_correlation(q.mu, q.logvar, q.rsample())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_larger_beta_trades_rate_for_error_and_makes_sampled_codes_less_dependent(seed):
    rates, errors, correlations = zip(*(sprites(beta, seed) for beta in BETAS), strict=True)
    for low, high in zip(range(2), range(1, 3), strict=True):
        assert rates[high] < 0.85 * rates[low]
        assert errors[high] > 1.05 * errors[low]
    assert correlations[2] < 0.7 * correlations[0]
