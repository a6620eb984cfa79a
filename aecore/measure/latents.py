"""Statistics of the latent dimensions over a data set: which are active, how they spread, whether they collapsed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..data.base import Split
from ..inference import encode, first, map_batches, require
from ..models.base import Model
from ..nn import divergences

ACTIVE = 0.01  # a unit is active where the variance of its posterior mean is larger (Burda et al.)


@dataclass(frozen=True)
class Units:
    """Statistics of a code over a split; arrays (D,).

    mean, std: of the encoded values (the posterior's means).  kl: mean KL(q(z_j|x) ‖ N(0, 1)) in nats, or None.
    order: units by KL, else by variance, the largest first.  active: whether a unit varies with x.
    collapsed: what `collapse_warning` says, or None.  examples: how many there were.
    """

    mean: Float[np.ndarray, " D"]
    std: Float[np.ndarray, " D"]
    kl: Float[np.ndarray, " D"] | None
    order: Int[np.ndarray, " D"]
    active: Bool[np.ndarray, " D"]
    examples: int
    collapsed: str | None


def statistics(model: Model, split: Split, limit: int = 2000) -> Units:
    """All of `Units` over the first `limit` examples of a split."""
    ids = first(split, limit)
    codes = encode(model, split, ids)
    kl = kl_per_unit(model, split, limit) if "posterior" in model.abilities else None
    std = codes.std(0)
    active = active_of(codes)
    return Units(codes.mean(0), std, kl, order(kl, std), active, len(ids), collapse_warning(kl, active))


def of_samples(codes: np.ndarray) -> Units:
    """`Units` of codes (n, D) that were sampled, not encoded: all count as active, in the order of their numbers."""
    size = codes.shape[1]
    return Units(codes.mean(0), codes.std(0), None, np.arange(size), np.ones(size, bool), 0, None)


def kl_per_unit(model: Model, split: Split, limit: int | None = None) -> Float[np.ndarray, " D"]:
    """Mean over a split of KL(q(z_j|x) ‖ N(0, 1)) for every unit j: (D,) nats."""
    able = require(model, "posterior")
    return map_batches(model, split, first(split, limit), lambda x: divergences.kl_per_unit(able.posterior(x))).mean(0)


def active_of(codes: Float[np.ndarray, "n D"]) -> Bool[np.ndarray, " D"]:
    """Which units are active, Var_x E[z_j|x] > 0.01: (D,) bool, from codes (n, D).

    Source: Burda et al. (2015), §5, arXiv:1509.00519.
    """
    return codes.var(0) > ACTIVE


def order(kl: Float[np.ndarray, " D"] | None, std: Float[np.ndarray, " D"]) -> Int[np.ndarray, " D"]:
    """Units by KL where it is known, else by variance; the most important first, ties by number."""
    return np.argsort(-(std if kl is None else kl), kind="stable")


def collapse_warning(kl: Float[np.ndarray, " D"] | None, active: Bool[np.ndarray, " D"]) -> str | None:
    """A sentence about posterior collapse with its remedy; None where there is no collapse, or no posterior.

    kl: (D,) nats per unit.  active: (D,) bool. Some idle units beside active ones only make
    the code smaller; a collapse is where more than half are idle.
    """
    if kl is None:
        return None
    size, working = len(active), int(active.sum())
    remedy = "Lower β, let the KL's weight rise slowly (warm-up), or raise the weight of the reconstruction"
    if working == 0 or float(kl.sum()) < 0.1:
        return (
            f"Posterior collapse: no unit of the code says anything about the image ({kl.sum():.2g} nats in all), "
            f"so every reconstruction is the same. {remedy}."
        )
    if working * 2 < size:
        return (
            f"{size - working} of {size} units have collapsed to the prior: they are noise that the decoder ignores. "
            f"{remedy}; or give the code {working} units."
        )
    return None


def activity(codes: Float[np.ndarray, "n D"], rest: float = 0.05) -> Float[np.ndarray, " D"]:
    """Share of examples in which a unit is off its resting value: (D,) from 0 to 1, from codes (n, D).

    A unit rests where it differs from its median by at most `rest` times its range (from the 0.5 % to the 99.5 %
    quantile). This suits units of any scale, those that are mostly zero, and those held at a small probability.
    """
    low, middle, high = np.quantile(codes, [0.005, 0.5, 0.995], axis=0)
    span = high - low
    return (np.abs(codes - middle) > rest * np.maximum(span, 1e-12)).mean(0) * (span > 1e-9)


def correlation(codes: Float[np.ndarray, "n D"], seed: int = 0) -> Float[np.ndarray, "D D"]:
    """(D, D) correlation of the latent dimensions over codes (n, D).

    A dimension that does not vary has no correlation: noise takes its place.
    """
    varies = codes.std(0) > 1e-6
    noise = np.random.default_rng(seed).standard_normal(codes.shape)
    return np.corrcoef(np.where(varies, codes, noise).T)
