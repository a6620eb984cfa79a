"""The aggregate posterior against the prior, and the overlap of single posteriors: where VAE and WAE differ.

Chapter Fig. 7, Eq. 21.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..data.base import Split
from ..errors import DataError
from ..inference import Ids, encode, evaluating, first, generator, map_batches, require
from ..models.base import Model
from ..nn.distributions import Normal
from ..nn.divergences import bhattacharyya, mmd2, mmd2_quantile

FEWEST = 6  # examples from which all of `Aggregate` can be computed: five neighbours of each are needed
REFERENCE = 10_000  # examples whose posteriors stand for all, for the total correlation
REFERENCE_VALUES = 50_000_000  # numbers in these examples; fewer of larger images
DRAWS = 1000  # samples of q(z) at which the total correlation is estimated
ROWS = 250  # of the draws that are compared with all examples at once


@dataclass(frozen=True)
class Aggregate:
    """n draws of Q_Z, one for each example, compared with n draws of the prior P_Z.

    mmd2: MMD²(Q_Z, P_Z).  chance: the 95 % quantile of MMD² between two samples of the prior.
    kl: estimate of KL(Q_Z ‖ P_Z), nats.
    overlap: mean Bhattacharyya overlap of two different examples' Q(z|x), from 0 to 1; 0 where codes are points.
    """

    n: int
    mmd2: float
    chance: float
    kl: float
    overlap: float


def clouds(model: Model, split: Split, ids: Ids) -> tuple[Float32[np.ndarray, "n D"], Float32[np.ndarray, "n D"]]:
    """Mean and standard deviation of Q(z|x) of examples, each (n, D); of a deterministic encoder the second is 0."""
    able: Any = model
    if model.abilities.isdisjoint({"posterior", "cloud"}):
        mu = encode(model, split, ids)
        return mu, np.zeros_like(mu)
    gaussian = able.posterior if "posterior" in model.abilities else able.cloud
    both = map_batches(model, split, ids, lambda x: torch.stack([gaussian(x).mu, gaussian(x).std], 1))
    return both[:, 0], both[:, 1]


def aggregate(model: Model, split: Split, limit: int = 500, seed: int = 0) -> Aggregate:
    """How well the codes of the first `limit` examples fill the prior, and how much they overlap.

    Raises DataError for fewer than 6 examples.
    """
    able = require(model, "encode", "sample")
    ids = first(split, limit)
    if len(ids) < FEWEST:
        raise DataError(f"{len(ids)} examples are too few to compare their codes with the prior; give {FEWEST} or more")
    mu, std = clouds(model, split, ids)
    random = np.random.default_rng(seed)
    z = torch.from_numpy(mu + std * random.standard_normal(mu.shape).astype(np.float32))
    with evaluating(model, seed) as device:
        noise = generator(device, seed)

        def draw(n: int) -> Tensor:
            return able.prior.sample(n, next(able.parameters()), 1.0, noise).float().cpu()

        prior = draw(len(z))
        chance = by_chance(z.shape[1], len(z)) if able.has_standard_prior else mmd2_quantile(draw, len(z))
    return Aggregate(
        len(z), float(mmd2(z, prior)), chance, kl_of_neighbours(z.numpy(), prior.numpy()), overlap(mu, std)
    )


@lru_cache(maxsize=64)
def by_chance(size: int, n: int) -> float:
    """The 95 % quantile of MMD² between two samples of n draws from N(0, I) of `size` units."""
    draws = torch.Generator().manual_seed(0)
    return mmd2_quantile(lambda n: torch.randn(n, size, generator=draws), n)


def holes(
    codes: Float[np.ndarray, "n D"], draws: Float[np.ndarray, "m D"], count: int
) -> Float[np.ndarray, "{count} D"]:
    """(count, D) points that are likely under the prior and far from every code, the farthest first.

    codes: (n, D).  draws: (m, D) from N(0, I). Only the half of the draws that is nearest to 0 is considered. The first
    point is the draw whose nearest code is farthest; each next one is farthest from all codes and earlier points.
    """
    from scipy.spatial import KDTree  # half a second to import, and no page's first picture needs it

    length = np.linalg.norm(draws, axis=1)
    inner = draws[length <= np.median(length)]
    distance, points = KDTree(codes).query(inner)[0], []
    for _ in range(count):
        points.append(inner[distance.argmax()])
        distance = np.minimum(distance, np.linalg.norm(inner - points[-1], axis=1))
    return np.stack(points)


def overlap(mu: Float[np.ndarray, "n D"], std: Float[np.ndarray, "n D"]) -> float:
    """Mean over pairs i ≠ j of ∫ √(q(z|x_i) q(z|x_j)), from 0 to 1.

    mu, std: (n, D). 0 where a std is 0: the posteriors are points then, and two points do not overlap.
    """
    n = len(mu)
    if n < 2 or not (std > 0).all():
        return 0.0
    q = Normal(torch.from_numpy(mu), 2 * torch.from_numpy(std).log())
    each = bhattacharyya(Normal(q.mu[:, None], q.logvar[:, None]), Normal(q.mu[None], q.logvar[None]))
    return float((each.sum() - each.diagonal().sum()) / (n * (n - 1)))


def kl_of_neighbours(a: Float[np.ndarray, "n D"], b: Float[np.ndarray, "m D"], k: int = 5) -> float:
    """KL(P_A ‖ P_B) of samples a (n, D), b (m, D) from distances to k-th neighbours, nats; may be slightly negative.

    (D/n) Σ_i log(ν_k(a_i) / ρ_k(a_i)) + log(m / (n − 1)), where ρ_k is the distance to the k-th neighbour among the
    other a, and ν_k that among b. Biased in high dimensions, where neighbours are far: compare only within one D and n.
    Raises ValueError where there are too few points.
    Source: Wang, Kulkarni & Verdú (2009), Eq. 5, doi:10.1109/TIT.2009.2016060. Departures: none.
    """
    from scipy.spatial import KDTree

    if len(a) <= k or len(b) < k:
        raise ValueError(f"{len(a)} and {len(b)} points are too few for their {k}th neighbours")
    rho = KDTree(a).query(a, k + 1)[0][:, -1]
    nu = KDTree(b).query(a, k)[0].reshape(len(a), k)[:, -1]
    tiny = np.finfo(np.float64).tiny
    return float(
        a.shape[1] * np.mean(np.log(np.maximum(nu, tiny) / np.maximum(rho, tiny))) + np.log(len(b) / (len(a) - 1))
    )


class TotalCorrelation(NamedTuple):
    """Bounds of a total correlation, in nats, from the posteriors of so many `examples`."""

    at_least: float
    at_most: float
    examples: int


def total_correlation(model: Model, split: Split, limit: int = REFERENCE, seed: int = 0) -> TotalCorrelation:
    """How much the latent dimensions depend on each other: KL(q(z) ‖ Π_j q(z_j)), q(z) = E_x q(z|x), in nats.

    Bounds by `total_correlation_bounds`, with one draw of q(z|x) for each of the first 1,000 examples. They depend on
    the number of examples that stand for all, the first `limit` (fewer where images are large), and on no minibatch.
    They come closer with more examples, and are far apart where each code tells its example from nearly all others.

    Raises DataError for fewer than 2 examples.
    """
    require(model, "posterior")
    ids = first(split, min(limit, max(DRAWS, REFERENCE_VALUES // int(np.prod(model.shape)))))
    if len(ids) < 2:
        raise DataError("A total correlation needs at least 2 examples; give more.")
    mu, std = clouds(model, split, ids)
    noise = np.random.default_rng(seed).standard_normal((min(DRAWS, len(ids)), mu.shape[1]))
    low, high = total_correlation_bounds(mu, std, mu[: len(noise)] + std[: len(noise)] * noise)
    return TotalCorrelation(max(0.0, low), max(0.0, high), len(ids))  # a total correlation is never negative


def total_correlation_bounds(
    mu: Float[np.ndarray, "M D"], std: Float[np.ndarray, "M D"], z: Float[np.ndarray, "n D"]
) -> tuple[float, float]:
    """A lower and an upper bound of KL(q(z) ‖ Π_j q(z_j)), both in expectation, in nats.

    The mean over i of log q̂(z_i) − Σ_j log q̂(z_ij), where q̂ is a mean of the posteriors of M examples, which stand for
    all. With the example i of z_i among them, log q̂ is too large on average, and without it too small, since the
    logarithm of a mean is at least the mean of the logarithms. The lower bound leaves i out of q̂(z) and has it in all
    q̂(z_j), the upper bound has it in q̂(z) and leaves it out of all q̂(z_j).

    mu, std: of the posteriors, (M, D), M ≥ 2.  z: (n, D), z_i drawn from the i-th posterior; n ≤ M.

    Source: Poole et al. (2019), §2.2, arXiv:1905.06922, where the two estimates of q(z) bound the mutual information.
    """
    q = Normal(torch.from_numpy(mu).double(), 2 * torch.from_numpy(std).double().log())
    draws, differences = torch.from_numpy(z).double(), []
    for start in range(0, len(draws), ROWS):
        rows = draws[start : start + ROWS]
        log_q, with_own, without_own = torch.zeros(len(rows), len(mu)).double(), 0.0, 0.0
        for j in range(mu.shape[1]):
            log_q_j = Normal(q.mu[:, [j]], q.logvar[:, [j]]).log_prob(rows[:, None, [j]])
            log_q += log_q_j
            with_i, without_i = _log_means(log_q_j, start)
            with_own, without_own = with_own + with_i, without_own + without_i
        with_i, without_i = _log_means(log_q, start)
        differences.append(torch.stack([without_i - with_own, with_i - without_own]))
    low, high = torch.cat(differences, 1).mean(1).tolist()
    return low, high


def _log_means(log_q: Float[Tensor, "rows M"], start: int) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """log of the mean of exp log_q over all M examples, and over all but the row's own, which is start + row."""
    rows, M = log_q.shape
    own = torch.arange(M) == start + torch.arange(rows)[:, None]
    others = log_q.masked_fill(own, -torch.inf).logsumexp(1) - math.log(M - 1)
    return log_q.logsumexp(1) - math.log(M), others
