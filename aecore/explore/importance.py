"""Importance weights of several draws from one image's posterior, and the bound by the number of draws.

Images are what p(x|z) is a likelihood of (`likelihood.modelled`): black and white for Bernoulli pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from ..data.base import Split
from ..errors import DataError
from ..inference import Ids, checked, decode, evaluating, examples, generator, require
from ..measure.likelihood import log_weights, modelled
from ..models.base import Model
from .images import to_uint8

PIECE = 500  # draws at once


class Draws(NamedTuple):
    """k draws z_i ~ q(z|x) of one image, the likeliest first.

    z: (k, D).  log_w: (k,) log p(x|z) + log p(z) − log q(z|x), nats.  weights: (k,) w_i / Σ w.
    image: (H, W[, 3]), the example itself.  tiles: (k, H, W[, 3]), the decoded draws.
    """

    z: Float[np.ndarray, "k D"]
    log_w: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, " k"]
    image: UInt8[np.ndarray, "H W *rgb"]
    tiles: UInt8[np.ndarray, "k H W *rgb"]

    @property
    def bound(self) -> float:
        """log (1/k) Σ w_i, nats: L_k of these draws."""
        return float(np.logaddexp.reduce(self.log_w) - np.log(len(self.log_w)))

    @property
    def error(self) -> float:
        """Standard error of `bound`, nats: the sample deviation of the w_i, divided by √k times their mean.

        It is that of a logarithm to first order, and too small where a rare heavy draw is missing. NaN for one draw.
        """
        k = len(self.weights)
        return float(np.std(k * self.weights, ddof=1) / np.sqrt(k)) if k > 1 else float("nan")

    @property
    def effective(self) -> float:
        """(Σ w)² / Σ w², the effective number of draws, from 1 to k."""
        return float(1 / (self.weights**2).sum())


def draws(model: Model, split: Split, example: int, k: int, seed: int = 0) -> Draws:
    """k draws for one example of a split. Before sorting, they are the first k of any larger number of draws."""
    x = _examples(model, split, [example])
    z, log_w = (part[:, 0] for part in _weigh(model, x, k, seed))
    order = np.argsort(-log_w, kind="stable")
    z, log_w = z[order], log_w[order]
    weights = np.exp(log_w - np.logaddexp.reduce(log_w))
    return Draws(z, log_w, weights, to_uint8(x.cpu().numpy())[0], to_uint8(decode(model, z)))


class Bounds(NamedTuple):
    """L_k of n examples for each number of draws k, estimated on groups of k draws.

    ks: the numbers of draws.  mean: (n, len(ks)) nats, over the groups of an example.
    error: (n, len(ks)) nats, the standard error of each mean: the sample deviation of the groups' bounds divided by
    √groups.  groups: (len(ks),), how many groups there are, at least two.
    """

    ks: tuple[int, ...]
    mean: Float[np.ndarray, "n ks"]
    error: Float[np.ndarray, "n ks"]
    groups: Int[np.ndarray, " ks"]


def bounds(model: Model, split: Split, ids: Ids, ks: tuple[int, ...], seed: int = 0, total: int = 0) -> Bounds:
    """L_k of examples for each k: means over as many groups of k draws as fit into `total` draws.

    L_k = E log (1/k) Σ_i w_i (chapter Eq. 13): L_1 is the evidence lower bound; it grows with k towards log p(x).
    total: draws of each example, at least two groups of the largest k; by default so many.
    The means of different k share their draws, so that their differences are more exact than each of them.
    Source: Burda et al. (2015), Theorem 1, arXiv:1509.00519.
    """
    ids = checked(split, ids)
    if min(ks) < 1:
        raise DataError("A bound needs one draw or more: give k of at least 1.")
    total = total or 2 * max(ks)
    if total < 2 * max(ks):
        raise DataError(f"A spread needs two groups: give at least {2 * max(ks):,} draws.")
    _, log_w = _weigh(model, _examples(model, split, ids), total, seed)  # (total, n)
    groups = np.array([total // k for k in ks])
    means, errors = [], []
    for k, count in zip(ks, groups, strict=True):
        each = np.logaddexp.reduce(log_w[: count * k].reshape(count, k, len(ids)), axis=1) - np.log(k)  # (count, n)
        means.append(each.mean(0))
        errors.append(each.std(0, ddof=1) / np.sqrt(count))
    return Bounds(tuple(ks), np.stack(means, 1), np.stack(errors, 1), groups)


def _examples(model: Model, split: Split, ids: Ids) -> Float[torch.Tensor, "n *shape"]:
    """These examples as the model's p(x|z) can have them; DataError for a model without p(x|z)."""
    require(model, "posterior")
    if "likelihood" not in model.abilities:
        raise DataError(f"{type(model).__name__} has no likelihood p(x|z), which the weights need. Choose a VAE.")
    return modelled(model, examples(split, ids))


def _weigh(
    model: Model, x: Float[torch.Tensor, "B *shape"], k: int, seed: int
) -> tuple[Float[np.ndarray, "k B D"], Float[np.ndarray, "k B"]]:
    """Draws (k, B, D) and their log weights (k, B)."""
    able = require(model, "likelihood")
    zs, ws = [], []
    with evaluating(model, seed) as device:
        noise = generator(device, seed)
        x = x.to(device)
        qz_x = able.posterior(x)
        piece = max(1, PIECE // len(x))
        for start in range(0, k, piece):
            z = qz_x.rsample(min(piece, k - start), noise)
            log_w = log_weights(able, x, qz_x, z)
            zs.append(z.float().cpu().numpy())
            ws.append(log_w.double().cpu().numpy())
    return np.concatenate(zs), np.concatenate(ws)
