"""What the chapter claims of the variational autoencoders, measured on small data with a fixed seed.

Margins are those that a broken model fails and a right one passes with room to spare. They held for the seeds in the
docstrings, with these figures; one seed is trained here, once for all claims about it. Terms and weights are compared
with their definitions in test_terms_variational.py.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pytest
import torch

from aecore import Batch
from aecore.data import load
from aecore.models.base import total
from aecore.models.variational import IWAE, VAE
from aecore.nn.distributions import StandardNormal
from aecore.nn.divergences import kl_standard, mmd2
from aecore.training.loop import evaluate
from tests import naive
from tests.claims import DIGITS, SPRITES, error, pixels, spread, surety, trained
from tests.test_terms_variational import RHO, correlated, factor_vae, importance_bound, log_weights

pytestmark = pytest.mark.claim

SEED = 0


@cache
def vae(seed: int = SEED) -> VAE:
    return trained("vae", seed=seed, epochs=20, batch=64, code=8, width=256)


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


def bounds(seed: int) -> list[float]:
    """L_K of held-out digits for K = 1, 4, 16, 64, of a model trained with K = 5."""
    x = (pixels(DIGITS, "test")[:300] > 0.5).float()
    model: IWAE = trained("iwae", seed=seed, epochs=10, batch=64, code=8, width=256, K=5)
    found = []
    for model.K in (1, 4, 16, 64):
        found.append(float(torch.stack([importance_bound(model, x).mean() for _ in range(5)]).mean()))
    return found


def test_the_importance_weighted_bound_does_not_fall_as_the_number_of_samples_grows():
    """K = 1, 4, 16, 64 on held-out digits: −51.2, −48.8, −47.7, −47.2 nats with seed 0; −51.6, −49.0, −47.7, −46.9 with
    seed 1.
    """
    assert all(more > less + 0.1 for less, more in pairwise(bounds(SEED)))


# --- samples, and what the KL is made of -----------------------------------------------------------------------


def sureties(seed: int) -> tuple[float, float]:
    """Of draws of a VAE, and of a plain autoencoder's decoder at the same codes."""
    deep = trained("deep", seed=seed, epochs=20, batch=64, code=8, width=256, distance="bernoulli")
    z = torch.randn(500, 8, generator=torch.Generator().manual_seed(seed))
    return surety(vae(seed).decode(z)), surety(deep.decode(z))


def test_a_vaes_draws_look_more_like_digits_than_a_plain_autoencoders():
    """Five seeds: by 0.060 to 0.078."""
    ours, plain = sureties(SEED)
    assert ours > plain + 0.03


BETAS = (1.0, 4.0, 16.0)


def sprites(beta: float, seed: int) -> tuple[float, float, float]:
    """(rate, distortion, total correlation of sampled codes) of a β-VAE on held-out sprites."""
    model = trained("beta_vae", SPRITES, seed=seed, epochs=20, code=6, width=256, beta=beta)
    terms = evaluate(model, load(SPRITES).test, 1000)
    q = model.posterior(pixels(SPRITES, "test")[:1000])
    torch.manual_seed(0)
    return terms["kl"], terms["recon"], naive.total_correlation(q.mu, q.logvar, q.rsample())


def test_a_larger_beta_trades_rate_for_error_and_makes_sampled_codes_less_dependent():
    """β = 1, 4, 16: rates 11.4, 6.3, 1.6, distortions 30.5, 43.5, 92.7, total correlations 4.2, 1.4, 0.1 nats with
    seed 0. Seed 1 passes too.
    """
    rates, errors, correlations = zip(*(sprites(beta, SEED) for beta in BETAS), strict=True)
    for low, high in zip(range(2), range(1, 3), strict=True):
        assert rates[high] < 0.85 * rates[low]
        assert errors[high] > 1.05 * errors[low]
    assert correlations[2] < 0.7 * correlations[0]


@cache
def brief(key: str, seed: int, **params) -> VAE:
    return trained(key, seed=seed, epochs=12, code=8, width=256, **params)


def correlation_and_distortion(key: str, seed: int, **params) -> tuple[float, float]:
    """Of held-out digits: total correlation of sampled codes, and −log p(x|z), both nats."""
    model = brief(key, seed, **params)
    q = model.posterior(pixels(DIGITS, "test")[:1000])
    torch.manual_seed(0)
    correlation = naive.total_correlation(q.mu, q.logvar, q.rsample())
    return correlation, evaluate(model, load(DIGITS).test, 1000)["recon"]


def costs(key: str, seed: int, **params) -> tuple[float, float, float, float]:
    """The total correlation of this model and of a β-VAE with β = 2, as shares of the VAE's; and the distortion that
    each costs, in nats.
    """
    plain, ours, wide = (
        correlation_and_distortion(name, seed, **more)
        for name, more in (("vae", {}), (key, params), ("beta_vae", {"beta": 2.0}))
    )
    return ours[0] / plain[0], ours[1] - plain[1], wide[0] / plain[0], wide[1] - plain[1]


def test_beta_tcvae_loosens_the_units_at_less_cost_than_a_beta_vae():
    """With weight 6 on it the total correlation is 0.38 and 0.41 of the VAE's with seeds 0 and 1, for 1.3 and 1.5 nats
    of distortion. A β-VAE reaches 0.30 and 0.34 with β = 2 already, for 5.9 and 6.4 nats.
    """
    ours, cost, _, wide_cost = costs("beta_tcvae", SEED, beta=6.0)
    assert ours < 0.6 and cost < 0.5 * wide_cost


def told(key: str, seed: int, **params) -> tuple[float, float, float]:
    """Of held-out digits: rate in nats and squared error; of digits trained on: MMD² of codes and prior.

    Held-out digits have other writers, whose codes are farther from the prior: 0.059 in place of 0.014.
    """
    x, model = pixels(DIGITS, "test")[:1000], brief(key, seed, **params)
    torch.manual_seed(0)
    z = model.posterior(pixels(DIGITS, "train")[:1000]).rsample()
    return float(kl_standard(model.posterior(x)).mean()), error(model, x), float(mmd2(z, torch.randn(1000, 8)))


def test_infovaes_codes_say_more_and_follow_the_prior_all_the_same():
    """Seed 0: rate 12.9 to the VAE's 5.1 nats, error 4.7 to 4.9; MMD² to the prior 0.014, and 0.091 with λ = 1.

    MMD² with seeds 1 and 2: 0.018 and 0.018, and 0.091 and 0.100 with λ = 1.
    """
    rate, loss, _ = told("vae", SEED)
    info_rate, info_loss, mmd = told("info_vae", SEED)
    _, _, loose = told("info_vae", SEED, lam=1.0)
    assert info_rate > 1.5 * rate and info_loss < loss
    assert mmd < 0.4 * loose


# --- total correlation by a critic -----------------------------------------------------------------------


def test_a_factor_vaes_critic_learns_the_total_correlation_of_gaussians_and_is_at_chance_where_there_is_none():
    for draw, exact, allowed in (
        (correlated, -0.5 * math.log(1 - RHO**2), 0.15),
        (lambda n: torch.randn(n, 2), 0.0, 0.05),
    ):
        torch.manual_seed(0)
        model, found = factor_vae(), []
        player = model.players()["critic"]
        optimizer = torch.optim.Adam(model.critic.parameters(), 1e-3, player.betas)
        for _ in range(300):
            terms = model.terms(Batch(draw(256)), ("critic",))
            found.append(terms["tc"].detach().mean())
            optimizer.zero_grad()
            total(terms, player.weights).backward()
            optimizer.step()
        assert float(torch.stack(found[150:]).mean()) == pytest.approx(exact, abs=allowed)


def test_a_factor_vae_loosens_the_units_at_less_cost_than_a_beta_vae():
    """With γ = 4 the total correlation is 0.40, 0.34 and 0.32 of the VAE's with seeds 0 to 2, for 1.9, 2.6 and 2.3 nats
    of distortion. A β-VAE reaches 0.30, 0.21 and 0.32 with β = 2, for 5.9, 5.8 and 5.3 nats.
    """
    ours, cost, _, wide_cost = costs("factor_vae", SEED, gamma=4.0)
    assert ours < 0.6 and cost < 0.6 * wide_cost


# --- symbols ---------------------------------------------------------------------------------------------


def symbols(K: int, seed: int) -> tuple[float, float]:
    """The error on held-out digits as a share of their spread, and how many vectors are in use: as many as would have
    the same entropy if all were used equally often.
    """
    x = pixels(DIGITS, "test")
    model = trained("vq_vae", seed=seed, width=256, K=K)
    share = model.indices(model.parts(x)).flatten().bincount(minlength=K) / (8 * len(x))
    return error(model, x) / spread(x), float(torch.special.entr(share).sum().exp())


def test_more_symbols_say_more_and_the_codebook_stays_in_use():
    """K = 2, 16, 128 leave 64 %, 46 % and 37 % of the digits' spread, and 2, 13 and 80 vectors are in use (seed 0)."""
    found = {K: symbols(K, SEED) for K in (2, 16, 128)}
    assert all(used > 0.4 * K for K, (_, used) in found.items())
    assert all(more < 0.85 * less for (less, _), (more, _) in pairwise(found.values()))
