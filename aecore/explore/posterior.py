"""One image inside a VAE: its posterior, draws from it by reparameterisation, and the terms of its bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..data.base import Split
from ..inference import evaluating, examples, generator, require
from ..measure.likelihood import log_likelihood
from ..models.base import Model
from ..nn.divergences import kl_per_unit
from .images import to_uint8

BLOCK = 64  # draws are made in multiples of this


class Inside(NamedTuple):
    """One example inside a VAE.

    mu, std: (D,) of q(z|x).  xi: (L, D) draws of N(0, I).  z: (L, D), mu + std · xi.
    tiles: (L, H, W[, 3]), the decoded z.  mean: (H, W[, 3]), the decoded mu.
    recon: (L,) −log p(x|z_l), nats.  kl: (D,) KL(q(z_j|x) ‖ N(0, 1)), nats.
    """

    mu: Float[np.ndarray, " D"]
    std: Float[np.ndarray, " D"]
    xi: Float[np.ndarray, "L D"]
    z: Float[np.ndarray, "L D"]
    tiles: UInt8[np.ndarray, "L H W *rgb"]
    mean: UInt8[np.ndarray, "H W *rgb"]
    recon: Float[np.ndarray, " L"]
    kl: Float[np.ndarray, " D"]

    @property
    def elbo(self) -> float:
        """−(mean of recon + Σ kl), nats: Eq. 11 with these L draws."""
        return -float(self.recon.mean() + self.kl.sum())


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
    x = examples(split, [example])
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
    return Inside(mu, std, xi, z, tiles[1:], tiles[0], recon, kl)


def evidence(model: Model, split: Split, example: int, samples: int = 500, seed: int = 0) -> float:
    """An estimate of log p(x) of one example by importance sampling, nats."""
    x = examples(split, [example])
    return float(log_likelihood(model, x, samples, seed)[0])
