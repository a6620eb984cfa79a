"""Exact optimal transport between small samples: what a Wasserstein critic estimates (chapter Eq. 19, 20)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor


def wasserstein(a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> float:
    """W₁ between the empirical distributions of two samples of equal size, a (n, …) and b (n, …): the primal, exact.

    W₁ = min_π (1/n) Σ_i ‖a_i − b_π(i)‖₂ over all one-to-one matchings π (Eq. 19 with the Euclidean cost): between
    equally many points of equal weight an optimal plan splits no point (Birkhoff). Time grows as n³: a second for
    n = 2,000.

    Raises ValueError where the sizes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"both samples must have one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
    points_a, points_b = (points.detach().double().flatten(1).cpu().numpy() for points in (a, b))
    cost = cdist(points_a, points_b)
    return float(cost[linear_sum_assignment(cost)].mean())


class Plan(NamedTuple):
    """A transport plan.

    plan: Γ (n, m), how much of point i goes to point j; rows sum to the weights of a, columns to those of b.
    distance: W_p.
    """

    plan: Float[np.ndarray, "n m"]
    distance: float


def plan(
    a: Num[np.ndarray, "..."],
    b: Num[np.ndarray, "..."],
    p: int = 1,
    weights_a: Num[np.ndarray, " n"] | None = None,
    weights_b: Num[np.ndarray, " m"] | None = None,
) -> Plan:
    """The cheapest way to move points a (n, D) to b (m, D): W_p^p = min_Γ Σ_ij Γ_ij ‖a_i − b_j‖^p (Eq. 19), exact.

    weights_a (n,), weights_b (m,): each sums to 1; by default all points weigh the same.  p: 1 or 2.
    Source: the network simplex of the library POT, Flamary et al. (2021), JMLR 22:78.
    """
    import ot

    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"points must be (n, D) and (m, D), not {a.shape} and {b.shape}")
    cost = cdist(a, b) ** p
    mass_a = np.full(len(a), 1 / len(a)) if weights_a is None else np.asarray(weights_a, np.float64)
    mass_b = np.full(len(b), 1 / len(b)) if weights_b is None else np.asarray(weights_b, np.float64)
    gamma = np.asarray(ot.emd(mass_a, mass_b, cost, numItermax=1_000_000))
    return Plan(gamma, float((gamma * cost).sum()) ** (1 / p))


def sorted_quantiles(a: Num[np.ndarray, "..."], b: Num[np.ndarray, "..."]) -> float:
    """W₁ of two samples (n,) of equal size on a line: (1/n) Σ_i |a_(i) − b_(i)|, the i-th smallest to the i-th."""
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two samples (n,) of one size are needed, not {a.shape} and {b.shape}")
    return float(np.abs(np.sort(a) - np.sort(b)).mean())


def jensen_shannon(p: Num[np.ndarray, " cells"], q: Num[np.ndarray, " cells"]) -> float:
    """JS(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q) / 2, of two histograms that sum to 1: nats, 0 to log 2."""
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)

    def kl_to_mean(r: Float[np.ndarray, " cells"]) -> float:
        positive = r > 0
        return float((r[positive] * np.log(2 * (r[positive] / (p + q)[positive]))).sum())

    return (kl_to_mean(p) + kl_to_mean(q)) / 2


def binned_jensen_shannon(a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "m 2"], reach: float, cells: int) -> float:
    """JS of two samples a (n, 2) and b (m, 2), in nats, by histograms of cells × cells on the square ± reach."""
    edges = np.linspace(-reach, reach, cells + 1)
    p, q = (np.histogram2d(*points.T, bins=(edges, edges))[0].ravel() / len(points) for points in (a, b))
    return jensen_shannon(p, q)
