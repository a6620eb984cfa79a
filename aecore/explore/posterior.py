"""One image inside a VAE: its posterior, draws from it by reparameterisation, and the terms of its bound.

The image is what p(x|z) is a likelihood of (`likelihood.modelled`): black and white for Bernoulli pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..data.base import Split
from ..inference import evaluating, examples, generator, require
from ..measure.likelihood import modelled
from ..models.base import Model
from ..nn.divergences import kl_per_unit
from .images import to_uint8
from .importance import bounds

BLOCK = 64  # draws are made in multiples of this


class Inside(NamedTuple):
    """One example inside a VAE.

    mu, std: (D,) of q(z|x).  xi: (L, D) draws of N(0, I).  z: (L, D), mu + std · xi.
    image: (H, W[, 3]), the example itself.  tiles: (L, H, W[, 3]), the decoded z.  mean: (H, W[, 3]), the decoded mu.
    recon: (L,) −log p(x|z_l), nats.  kl: (D,) KL(q(z_j|x) ‖ N(0, 1)), nats.
    """

    mu: Float[np.ndarray, " D"]
    std: Float[np.ndarray, " D"]
    xi: Float[np.ndarray, "L D"]
    z: Float[np.ndarray, "L D"]
    image: UInt8[np.ndarray, "H W *rgb"]
    tiles: UInt8[np.ndarray, "L H W *rgb"]
    mean: UInt8[np.ndarray, "H W *rgb"]
    recon: Float[np.ndarray, " L"]
    kl: Float[np.ndarray, " D"]

    @property
    def elbo(self) -> float:
        """−(mean of recon + Σ kl), nats: Eq. 11 with these L draws."""
        return -float(self.recon.mean() + self.kl.sum())

    def rounded(self, digits: int = 2) -> Rounded:
        """The terms rounded, and sums of the rounded terms, so that what is shown adds up."""
        recon = tuple(round(float(value), digits) for value in self.recon)
        kl = tuple(round(float(value), digits) for value in self.kl)
        mean, kl_sum = round(sum(recon) / len(recon), digits), round(sum(kl), digits)
        return Rounded(recon, mean, kl, kl_sum, round(-(mean + kl_sum), digits))


class Rounded(NamedTuple):
    """The terms of one example's bound, rounded, in nats.

    recon: of each draw.  mean: of `recon`, rounded.  kl: of each latent dimension.  kl_sum: Σ kl.
    elbo: −(mean + kl_sum).  The sums differ from those of the exact terms by a few units of the last digit.
    """

    recon: tuple[float, ...]
    mean: float
    kl: tuple[float, ...]
    kl_sum: float
    elbo: float


def reparameterisation(inside: Inside, frames: int) -> Float[np.ndarray, "steps L D"]:
    """How noise becomes samples of the posterior: (2 · frames − 1, L, D).

    From ξ over `frames` steps to h(x) ⊙ ξ, and from there over frames − 1 more to h(x) ⊙ ξ + g(x).
    """
    share = np.linspace(0, 1, frames)[:, None, None]
    scaled = ((1 - share) + share * inside.std) * inside.xi
    moved = inside.std * inside.xi + share[1:] * inside.mu
    return np.concatenate([scaled, moved])


def inside(model: Model, split: Split, example: int, draws: int, seed: int = 0) -> Inside:
    """`draws` draws z = g(x) + h(x) ξ of one example (chapter Eq. 14), decoded, with the bound's terms (Eq. 9, 11).

    They are the first of any larger number of draws.
    """
    able = require(model, "posterior", "decode")
    x = modelled(model, examples(split, [example]))
    with evaluating(model, seed) as device:
        x = x.to(device)
        qz_x = able.posterior(x)
        rows = BLOCK * -(-draws // BLOCK)  # very few numbers are drawn by another algorithm
        xi = torch.randn(rows, qz_x.mu.shape[1], generator=generator(device, seed), device=device)[:draws]
        z = qz_x.mu + qz_x.std * xi
        recon = -able.p_x(z[:, None]).log_prob(x)[:, 0]
        tiles = to_uint8(able.decode(torch.cat([qz_x.mu, z])).cpu().numpy())
        parts = (qz_x.mu[0], qz_x.std[0], xi, z, recon, kl_per_unit(qz_x)[0])
        mu, std, xi, z, recon, kl = (part.float().cpu().numpy() for part in parts)
    return Inside(mu, std, xi, z, to_uint8(x.cpu().numpy())[0], tiles[1:], tiles[0], recon, kl)


class Evidence(NamedTuple):
    """L_k of one example, the estimate of log p(x) by importance sampling.

    value: its mean over `groups` groups of k draws, nats, on average below log p(x).  error: of this mean, its standard
    error.
    """

    value: float
    error: float
    k: int
    groups: int


def evidence(model: Model, split: Split, example: int, k: int = 500, groups: int = 10, seed: int = 0) -> Evidence:
    """An estimate of log p(x) of one example by `groups` groups of k weighted draws."""
    found = bounds(model, split, [example], (k,), seed, groups * k)
    return Evidence(float(found.mean[0, 0]), float(found.error[0, 0]), k, groups)
