"""Divergences between distributions and between samples. Plain functions, the papers' letters."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributions import Normal


def kl_per_unit(qz_x: Normal) -> Tensor:
    """KL(N(μ_j, σ_j²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − log σ²) for every unit j: (B, D) nats.

    Source: Kingma & Welling (2013), appendix B, arXiv:1312.6114.
    """
    return 0.5 * (qz_x.mu**2 + qz_x.logvar.exp() - 1 - qz_x.logvar)


def kl_standard(qz_x: Normal) -> Tensor:
    """KL(q(z|x) ‖ N(0, I)), summed over units: (B,) nats."""
    return kl_per_unit(qz_x).sum(-1)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖²: (n, m)."""
    return (a.pow(2).sum(-1)[:, None] + b.pow(2).sum(-1)[None] - 2 * a @ b.T).clamp_min(0)


def mmd2(a: Tensor, b: Tensor, scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> Tensor:
    """Unbiased squared maximum mean discrepancy between samples a (n, D) and b (m, D), a number.

    MMD² = mean_{i≠j} k(a_i, a_j) + mean_{i≠j} k(b_i, b_j) − 2 mean_{ij} k(a_i, b_j), with the inverse
    multiquadratic kernel k(x, y) = Σ_s C_s / (C_s + ‖x − y‖²), C_s = 2 D s: the sum over scales of
    Tolstikhin et al. (2017), arXiv:1711.01558, for a prior of unit variance. May be slightly negative.
    """
    n, m, dims = len(a), len(b), a.shape[1]
    aa, bb, ab = squared_distances(a, a), squared_distances(b, b), squared_distances(a, b)
    total = a.new_zeros(())
    for scale in scales:
        c = 2 * dims * scale
        kaa, kbb, kab = c / (c + aa), c / (c + bb), c / (c + ab)
        total = total + (kaa.sum() - kaa.diagonal().sum()) / (n * (n - 1))
        total = total + (kbb.sum() - kbb.diagonal().sum()) / (m * (m - 1)) - 2 * kab.mean()
    return total


def mmd2_quantile(draw, n: int, quantile: float = 0.95, repeats: int = 40) -> float:
    """The `quantile` of MMD² between two samples of n draws of the same distribution: what chance alone gives.

    draw: called as draw(n), returns (n, D).
    """
    values = torch.stack([mmd2(draw(n), draw(n)) for _ in range(repeats)])
    return float(values.quantile(quantile))
