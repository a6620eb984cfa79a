"""Exact optimal transport between small samples: what a Wasserstein critic estimates (chapter Eq. 19, 20)."""

from __future__ import annotations

from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor


def wasserstein(a: Tensor, b: Tensor) -> float:
    """W₁ between the empirical distributions of two samples of equal size, a (n, …) and b (n, …): the primal, exact.

    W₁ = min_π (1/n) Σ_i ‖a_i − b_π(i)‖₂ over all one-to-one matchings π (Eq. 19 with the Euclidean cost): between
    equally many points of equal weight an optimal plan splits no point (Birkhoff). Time grows as n³: a second for
    n = 2,000.

    Raises ValueError where the sizes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"both samples must have one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
    cost = cdist(*(points.detach().double().flatten(1).cpu().numpy() for points in (a, b)))
    return float(cost[linear_sum_assignment(cost)].mean())
