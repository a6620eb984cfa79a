"""What distributions of pixels say: of one pixel, of images and samples, and beside an exact likelihood."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..data.base import Split
from ..inference import Ids, device_of, evaluating, examples, generator, require
from ..measure import likelihood
from ..models.base import Model
from ..nn.distributions import ContinuousBernoulli, Gaussian
from .autoregressive import require_pixelwise, unlikely
from .images import to_uint8


class Pixel(NamedTuple):
    """The distributions of one pixel with the parameter λ.

    x: (n,) values from −0.25 to 1.25.  formula: (n,) λˣ (1 − λ)¹⁻ˣ, which is the Bernoulli distribution at 0 and 1, and
    at grey values no density.  continuous: (n,) the continuous Bernoulli density.  Both are NaN outside [0, 1].
    gaussian: (n,) the density of N(λ, 1/2c).
    normaliser: C(λ).  area: ∫₀¹ λˣ (1 − λ)¹⁻ˣ dx = 1 / C(λ).  mean: of the continuous Bernoulli.
    within: the share of the Gaussian that lies in [0, 1].
    """

    x: Float[np.ndarray, " n"]
    formula: Float[np.ndarray, " n"]
    continuous: Float[np.ndarray, " n"]
    gaussian: Float[np.ndarray, " n"]
    normaliser: float
    area: float
    mean: float
    within: float


def pixel(lam: float, c: float, points: int = 301) -> Pixel:
    """One pixel with λ in (0, 1), and a Gaussian of variance 1/2c around it.  points: n."""
    x = torch.linspace(-0.25, 1.25, points).round(decimals=6)  # 0 and 1 are exact
    logits = torch.full((points, 1), math.log(lam / (1 - lam)))
    one = ContinuousBernoulli(logits[:1])
    inside = (x >= 0) & (x <= 1)
    log_formula = x * math.log(lam) + (1 - x) * math.log(1 - lam)
    formula = torch.where(inside, log_formula.exp(), math.nan)
    normaliser = float(one.log_normaliser.exp())
    gaussian = Gaussian(logits, c).log_prob(x[:, None]).exp()
    # σ = 1 / √(2c), so that (x − λ) / (σ √2) = √c (x − λ)
    within = 0.5 * (math.erf(math.sqrt(c) * (1 - lam)) + math.erf(math.sqrt(c) * lam))
    return Pixel(
        x.numpy(),
        formula.numpy(),
        (normaliser * formula).numpy(),
        gaussian.numpy(),
        normaliser,
        1 / normaliser,
        float(one.mean),
        within,
    )


class Score(NamedTuple):
    """What a model's p(x|z) says of examples, means over them, nats.

    cross_entropy: whether recon is a cross-entropy, so that elbo bounds nothing (`likelihood.is_cross_entropy`).
    recon: −log p(x|z), or the cross-entropy.  kl: KL(q(z|x) ‖ p(z)).  elbo: −(recon + kl).
    error: standard error of elbo over the examples.
    """

    cross_entropy: bool
    recon: float
    kl: float
    elbo: float
    error: float


def score(model: Model, x: Float[torch.Tensor, "n *shape"], samples: int = 4, seed: int = 0) -> Score:
    """The terms of the bound of examples x as they are, from `samples` draws of z for each."""
    terms = likelihood.bound(model, x, samples, seed)
    error = float(terms["elbo"].std(ddof=1) / math.sqrt(len(x)))
    means = (float(terms[name].mean()) for name in ("recon", "kl", "elbo"))
    return Score(likelihood.is_cross_entropy(model, x), *means, error)


class Sampled(NamedTuple):
    """Samples of the prior.  means: (n, H, W[, 3]), the decoded codes.  drawn: values drawn from p(x|z), in [0, 1]."""

    means: UInt8[np.ndarray, "n H W *rgb"]
    drawn: UInt8[np.ndarray, "n H W *rgb"]


def sampled(model: Model, n: int, seed: int = 0) -> Sampled:
    """n codes from the prior, decoded, and with the noise of the pixels. Values beyond [0, 1] are shown as 0 or 1."""
    able = require(model, "likelihood", "decode")
    with evaluating(model, seed) as device:
        draws = generator(device, seed)
        z = able.prior.sample(n, torch.zeros(1, device=device), generator=draws)
        drawn = able.p_x(z).sample(draws).clamp(0, 1)
        return Sampled(to_uint8(able.decode(z).cpu().numpy()), to_uint8(drawn.cpu().numpy()))


class Beside(NamedTuple):
    """A bound and an exact likelihood of the same black-and-white images, nats per image.

    bound: (n,) the evidence lower bound of a model with a code.  estimate: (n,) its log p(x) by `k` weighted draws.
    exact: (n,) log p(x) by a model that draws pixel by pixel.
    """

    bound: Float[np.ndarray, " n"]
    estimate: Float[np.ndarray, " n"]
    exact: Float[np.ndarray, " n"]
    k: int


def beside(coded: Model, exact: Model, split: Split, ids: Ids, how: str, k: int = 20, seed: int = 0) -> Beside:
    """Likelihoods of examples that are binarised once, by one of `likelihood.BINARISED`, for both models."""
    require_pixelwise(exact)
    x = likelihood.binarised(examples(split, ids), how, seed)
    bound = likelihood.bound(coded, x.to(device_of(coded)), seed=seed)["elbo"]
    estimate = likelihood.log_likelihood(coded, x, k, seed)
    return Beside(bound, estimate, -unlikely(exact, x.cpu().numpy()), k)
