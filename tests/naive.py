"""Slow and obvious versions of what the project computes, to compare with."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor


def mmd2(a: Tensor, b: Tensor, scales: tuple[float, ...]) -> float:
    """Unbiased MMD², one pair of points at a time (Tolstikhin et al. 2017, Algorithm 2)."""

    def k(x: Tensor, y: Tensor) -> float:
        constants = [2 * len(x) * scale for scale in scales]
        return sum(c / (c + float(((x - y) ** 2).sum())) for c in constants)

    n, m = len(a), len(b)
    aa = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    bb = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    ab = sum(k(x, y) for x in a for y in b) / (n * m)
    return aa + bb - 2 * ab


def kl_bernoulli_sum(p: float, activations: Tensor) -> float:
    """Σ_j KL(p ‖ p̂_j), activations (m, D) (chapter Eq. 3)."""
    total = 0.0
    for j in range(activations.shape[1]):
        p_hat = float(sum(activations[:, j])) / len(activations)
        total += p * math.log(p / p_hat) + (1 - p) * math.log((1 - p) / (1 - p_hat))
    return total


def slope(f, x: Tensor, step: float = 1e-4) -> float:
    """‖∇f(x)‖ of a number-valued f at one point, by central differences."""
    flat = x.flatten()
    total = 0.0
    for i in range(len(flat)):
        up, down = flat.clone(), flat.clone()
        up[i] += step
        down[i] -= step
        total += ((float(f(up.view_as(x)).detach()) - float(f(down.view_as(x)).detach())) / (2 * step)) ** 2
    return math.sqrt(total)


def all_binary(shape: tuple[int, ...]) -> Tensor:
    """Every binary image of this shape: (2^V, *shape)."""
    return torch.tensor(list(product((0.0, 1.0), repeat=math.prod(shape)))).view(-1, *shape)


def adam(weight: Tensor, gradients: list[Tensor], rates: list[float], betas=(0.9, 0.999), eps: float = 1e-8) -> Tensor:
    """`weight` after Adam's steps, as in Kingma & Ba (2015), Algorithm 1."""
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        weight = weight - rate * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
    return weight


def linear_gaussian_evidence(x: Tensor, W: Tensor, b: Tensor, variance: float) -> Tensor:
    """Exact log p(x) of z ~ N(0, I), x|z ~ N(W z + b, variance I): (B,) nats."""
    covariance = W @ W.T + variance * torch.eye(len(W), dtype=W.dtype)
    return torch.distributions.MultivariateNormal(b, covariance).log_prob(x)


def pca(train: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (V,), the first k principal directions (V, k) and all eigenvalues of examples (N, V)."""
    mean = train.mean(0)
    _, singular, directions = torch.linalg.svd(train - mean, full_matrices=False)
    return mean, directions[:k].T, singular**2 / len(train)


def largest_angle(A: Tensor, B: Tensor) -> float:
    """The largest principal angle between the spans of the columns of A and B, in degrees."""
    cosines = torch.linalg.svdvals(torch.linalg.qr(A)[0].T @ torch.linalg.qr(B)[0])
    return math.degrees(math.acos(min(1.0, float(cosines.min()))))


def total_correlation(mu: Tensor, logvar: Tensor, z: Tensor) -> float:
    """KL(q(z) ‖ Π_j q(z_j)) of draws z (N, D), z_i ~ q(z|x_i), q(z) = (1/N) Σ_i q(z|x_i): nats, exact for these N."""
    each = -0.5 * (math.log(2 * math.pi) + logvar + (z[:, None] - mu) ** 2 / logvar.exp())  # (draw, example, unit)
    log_n = math.log(len(mu))
    log_qz = each.sum(-1).logsumexp(1) - log_n
    log_qz_j = (each.logsumexp(1) - log_n).sum(-1)
    return float((log_qz - log_qz_j).mean())
