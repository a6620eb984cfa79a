"""Divergences between distributions and between samples, as functions in the notation of the papers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Num
from torch import Tensor

from .distributions import LOG_2PI, Normal


def kl_per_unit(qz_x: Normal) -> Float[Tensor, "*B D"]:
    """KL(N(μ_j, σ_j²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − log σ²) for every latent dimension j: (B, D) nats.

    Source: Kingma & Welling (2013), appendix B, arXiv:1312.6114.
    """
    return 0.5 * (qz_x.mu**2 + qz_x.logvar.exp() - 1 - qz_x.logvar)


def kl_standard(qz_x: Normal) -> Float[Tensor, "*B"]:
    """KL(q(z|x) ‖ N(0, I)), summed over latent dimensions: (B,) nats."""
    return kl_per_unit(qz_x).sum(-1)


def bhattacharyya(p: Normal, q: Normal) -> Float[Tensor, "*pairs"]:
    """Overlap ∫ √(p q) of Gaussians with diagonal covariance, along the last dimension: (…,) from 0 to 1 (equal).

    Π_j √(2 σ_p σ_q / (σ_p² + σ_q²)) · exp(−¼ (μ_p − μ_q)² / (σ_p² + σ_q²)); the leading dimensions broadcast, so that
    the overlaps of all pairs are those of p (B, 1, D) and q (1, B, D).

    Source: Bhattacharyya (1943); Kailath (1967), doi:10.1109/TCOM.1967.1089532.
    """
    variance = p.logvar.exp() + q.logvar.exp()
    log_overlap = 0.5 * (math.log(2) + 0.5 * (p.logvar + q.logvar) - variance.log()) - (p.mu - q.mu) ** 2 / (
        4 * variance
    )
    return log_overlap.sum(-1).exp()


def log_aggregate(
    qz_x: Normal, z: Float[Tensor, "B D"], examples: Num[Tensor, ""]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """log q(z_i) (B,) and Σ_j log q(z_ij) (B,), q(z) = (1/N) Σ_n q(z|x_n), estimated from one minibatch: nats.

    The example of z_i, which is certainly one of the N, has the weight 1/N; the other B − 1 represent the other N − 1.
    The estimate of q(z) is unbiased, and exact where the minibatch contains all examples.

    qz_x: of the minibatch, (B, D).  z: (B, D), z_i ~ q(z|x_i).  examples: N, (); taken as B where it is less.

    Source: Chen et al. (2018), arXiv:1802.04942, appendix C.2, minibatch stratified sampling.
    Departures: in the paper one other example takes the remaining weight; here all share it, with the same expectation.
    """
    B = len(z)
    N = examples.clamp_min(B).to(z.dtype)
    log_w = torch.where(torch.eye(B, device=z.device) > 0, 1 / N, (N - 1) / N / max(B - 1, 1)).log()
    log_q = -0.5 * (LOG_2PI + qz_x.logvar + (z[:, None] - qz_x.mu) ** 2 / qz_x.logvar.exp())  # (sample, example, D)
    log_qz = (log_w + log_q.sum(-1)).logsumexp(1)
    return log_qz, (log_w[..., None] + log_q).logsumexp(1).sum(-1)


def squared_distances(a: Float[Tensor, "n D"], b: Float[Tensor, "m D"]) -> Float[Tensor, "n m"]:
    """‖a_i − b_j‖²: (n, m)."""
    return (a.pow(2).sum(-1)[:, None] + b.pow(2).sum(-1)[None] - 2 * a @ b.T).clamp_min(0)


KERNELS = {
    "inverse multiquadratic": lambda squared, c: c / (c + squared),
    "gaussian": lambda squared, c: (-squared / c).exp(),
}
"""Kernels k(x, y) as functions of ‖x − y‖² and the scale C."""


def mmd2(
    a: Float[Tensor, "n D"],
    b: Float[Tensor, "m D"],
    scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    kernel: str = "inverse multiquadratic",
) -> Float[Tensor, ""]:
    """Unbiased squared maximum mean discrepancy between samples a (n, D) and b (m, D), a number.

    MMD² = mean_{i≠j} k(a_i, a_j) + mean_{i≠j} k(b_i, b_j) − 2 mean_{ij} k(a_i, b_j), with the inverse
    multiquadratic kernel k(x, y) = Σ_s C_s / (C_s + ‖x − y‖²), C_s = 2 D s: the sum over scales of
    Tolstikhin et al. (2017), arXiv:1711.01558, for a prior of unit variance; or with the Gaussian one,
    Σ_s exp(−‖x − y‖² / C_s), whose tails are thinner. May be slightly negative.

    Raises ValueError for a sample of one point, which has no pairs to take a mean over.
    """
    n, m, dims = len(a), len(b), a.shape[1]
    if min(n, m) < 2:
        raise ValueError(f"an MMD needs at least 2 points in each sample, not {n} and {m}")
    aa, bb, ab = squared_distances(a, a), squared_distances(b, b), squared_distances(a, b)
    total = a.new_zeros(())
    for scale in scales:
        c = 2 * dims * scale
        kaa, kbb, kab = (KERNELS[kernel](squared, c) for squared in (aa, bb, ab))
        total = total + (kaa.sum() - kaa.diagonal().sum()) / (n * (n - 1))
        total = total + (kbb.sum() - kbb.diagonal().sum()) / (m * (m - 1)) - 2 * kab.mean()
    return total


def mmd2_quantile(
    draw: Callable[[int], Float[Tensor, "n D"]], n: int, quantile: float = 0.95, repeats: int = 40
) -> float:
    """The `quantile` of MMD² between two samples of n draws of the same distribution, which differ by chance alone.

    draw: n → n samples (n, D).
    """
    values = torch.stack([mmd2(draw(n), draw(n)) for _ in range(repeats)])
    return float(values.quantile(quantile))
