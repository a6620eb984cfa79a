"""All codes together against the prior, and one against the other: what VAE and WAE differ in (Fig. 7, Eq. 21)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..data.base import Split
from ..inference import encode, evaluating, first, generator, map_batches, require
from ..models.base import Model
from ..nn.distributions import Normal, StandardNormal
from ..nn.divergences import bhattacharyya, mmd2, mmd2_quantile


@dataclass(frozen=True)
class Aggregate:
    """Draws of Q_Z, one for each of n examples, against as many draws of the prior P_Z.

    mmd2: MMD²(Q_Z, P_Z).  chance: its 95 % quantile between two samples of the prior.  kl: estimate of KL(Q_Z ‖ P_Z),
    nats.  overlap: mean Bhattacharyya overlap of two different examples' Q(z|x), 0 … 1; 0 where codes are points.
    """

    n: int
    mmd2: float
    chance: float
    kl: float
    overlap: float


def clouds(model: Model, split: Split, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of Q(z|x) of these examples, each (n, D) float32; 0 for a deterministic encoder."""
    able: Any = model
    if model.abilities.isdisjoint({"posterior", "cloud"}):
        mu = encode(model, split, ids)
        return mu, np.zeros_like(mu)
    gaussian = able.posterior if "posterior" in model.abilities else able.cloud
    both = map_batches(model, split, ids, lambda x: torch.stack([gaussian(x).mu, gaussian(x).std], 1))
    return both[:, 0], both[:, 1]


def aggregate(model: Model, split: Split, limit: int = 500, seed: int = 0) -> Aggregate:
    """How well the codes of (the first `limit` of) a split fill the prior, and how much they overlap."""
    able = require(model, "encode", "sample")
    ids = first(split, limit)
    mu, std = clouds(model, split, ids)
    random = np.random.default_rng(seed)
    z = torch.from_numpy(mu + std * random.standard_normal(mu.shape).astype(np.float32))
    with evaluating(model, seed) as device:
        noise = generator(device, seed)
        draw = lambda n: able.prior.sample(n, next(able.parameters()), 1.0, noise).float().cpu()  # noqa: E731
        prior = draw(len(z))
        chance = (
            by_chance(z.shape[1], len(z)) if isinstance(able.prior, StandardNormal) else mmd2_quantile(draw, len(z))
        )
    return Aggregate(
        len(z), float(mmd2(z, prior)), chance, kl_of_neighbours(z.numpy(), prior.numpy()), overlap(mu, std)
    )


@lru_cache(maxsize=64)
def by_chance(size: int, n: int) -> float:
    """The 95 % quantile of MMD² between two samples of n draws from N(0, I) of `size` units."""
    draws = torch.Generator().manual_seed(0)
    return mmd2_quantile(lambda n: torch.randn(n, size, generator=draws), n)


def holes(codes: np.ndarray, draws: np.ndarray, count: int) -> np.ndarray:
    """(count, D) places that the prior calls likely and no code is near to, the emptiest first.

    codes: (n, D).  draws: (m, D) from N(0, I). Of the half of the draws that are nearest to 0, the one whose nearest
    code is farthest; then the one that is farthest from all codes and from those found already.
    """
    from scipy.spatial import KDTree  # half a second to import, and no page's first picture needs it

    length = np.linalg.norm(draws, axis=1)
    inner = draws[length <= np.median(length)]
    away, found = KDTree(codes).query(inner)[0], []
    for _ in range(count):
        found.append(inner[away.argmax()])
        away = np.minimum(away, np.linalg.norm(inner - found[-1], axis=1))
    return np.stack(found)


def overlap(mu: np.ndarray, std: np.ndarray) -> float:
    """Mean over pairs i ≠ j of ∫ √(q(z|x_i) q(z|x_j)), from 0 to 1.

    mu, std: (n, D). 0 where every std is 0: two points do not overlap unless they are one.
    """
    n = len(mu)
    if n < 2 or not (std > 0).all():
        return 0.0
    q = Normal(torch.from_numpy(mu), 2 * torch.from_numpy(std).log())
    each = bhattacharyya(Normal(q.mu[:, None], q.logvar[:, None]), Normal(q.mu[None], q.logvar[None]))
    return float((each.sum() - each.diagonal().sum()) / (n * (n - 1)))


def kl_of_neighbours(a: np.ndarray, b: np.ndarray, k: int = 5) -> float:
    """KL(P_A ‖ P_B) of samples a (n, D), b (m, D) from distances to k-th neighbours, nats; may be slightly negative.

    (D/n) Σ_i log(ν_k(a_i) / ρ_k(a_i)) + log(m / (n − 1)), ρ_k the distance to the k-th neighbour among the other a,
    ν_k among b. Biased in high dimensions, where neighbours are far: compare only within one D and n.
    Source: Wang, Kulkarni & Verdú (2009), Eq. 5, doi:10.1109/TIT.2009.2016060. Departures: none.
    """
    from scipy.spatial import KDTree

    if len(a) <= k or len(b) < k:
        raise ValueError(f"{len(a)} and {len(b)} points are too few for their {k}th neighbours")
    own = KDTree(a).query(a, k + 1)[0][:, -1]
    other = KDTree(b).query(a, [k])[0][:, -1]
    tiny = np.finfo(np.float64).tiny
    return float(
        a.shape[1] * np.mean(np.log(np.maximum(other, tiny) / np.maximum(own, tiny))) + np.log(len(b) / (len(a) - 1))
    )
