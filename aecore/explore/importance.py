"""Importance weights of several draws from one image's posterior, and the bound by the number of draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..data.base import Split
from ..errors import DataError
from ..inference import Ids, checked, decode, evaluating, examples, generator, require
from ..measure.likelihood import log_weights
from ..models.base import Model
from .images import to_uint8

PIECE = 500  # draws at once


class Draws(NamedTuple):
    """k draws z_i ~ q(z|x) of one image, the likeliest first.

    z: (k, D).  log_w: (k,) log p(x|z) + log p(z) − log q(z|x), nats.  weights: (k,) w_i / Σ w.
    tiles: (k, H, W[, 3]), the decoded draws.
    """

    z: Float[np.ndarray, "k D"]
    log_w: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, " k"]
    tiles: UInt8[np.ndarray, "k H W *rgb"]

    @property
    def bound(self) -> float:
        """log (1/k) Σ w_i, nats: L_k of these draws."""
        return float(np.logaddexp.reduce(self.log_w) - np.log(len(self.log_w)))

    @property
    def effective(self) -> float:
        """(Σ w)² / Σ w², the effective number of draws, from 1 to k."""
        return float(1 / (self.weights**2).sum())


def draws(model: Model, split: Split, example: int, k: int, seed: int = 0) -> Draws:
    """k draws for one example of a split. Before sorting, they are the first k of any larger number of draws."""
    x = examples(split, [example])
    z, log_w = (part[:, 0] for part in _weigh(model, x, k, seed))
    order = np.argsort(-log_w, kind="stable")
    z, log_w = z[order], log_w[order]
    weights = np.exp(log_w - np.logaddexp.reduce(log_w))
    return Draws(z, log_w, weights, to_uint8(decode(model, z)))


def bounds(model: Model, split: Split, ids: Ids, ks: tuple[int, ...], seed: int = 0) -> Float[np.ndarray, "n ks"]:
    """L_k of examples for each k, (n, len(ks)) nats: means over as many groups of k draws as fit into max(ks).

    L_k = E log (1/k) Σ_i w_i (chapter Eq. 13): L_1 is the evidence lower bound; it grows with k towards log p(x).
    Source: Burda et al. (2015), Theorem 1, arXiv:1509.00519.
    """
    ids = checked(split, ids)
    largest = max(ks)
    if min(ks) < 1:
        raise DataError("A bound needs one draw or more: give k of at least 1.")
    _, log_w = _weigh(model, examples(split, ids), largest, seed)  # (K, n)
    columns = []
    for k in ks:
        groups = log_w[: largest // k * k].reshape(-1, k, len(ids))
        columns.append((np.logaddexp.reduce(groups, axis=1) - np.log(k)).mean(0))
    return np.stack(columns, 1)


def _weigh(
    model: Model, x: Float[torch.Tensor, "B *shape"], k: int, seed: int
) -> tuple[Float[np.ndarray, "k B D"], Float[np.ndarray, "k B"]]:
    """Draws (k, B, D) and their log weights (k, B)."""
    able = require(model, "posterior")
    if "likelihood" not in model.abilities:
        raise DataError(f"{type(model).__name__} has no likelihood p(x|z), which the weights need. Choose a VAE.")
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
