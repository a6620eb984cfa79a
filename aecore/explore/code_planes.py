"""Where the codes of a data set lie on a line or a plane, and what a model decodes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from ..data.base import Split
from ..inference import decode
from ..models.base import Model
from . import examples
from .images import to_uint8


class Line(NamedTuple):
    """A code of one number.  tiles: (n, H, W[, 3]), decoded at n values from `low` to `high`."""

    tiles: UInt8[np.ndarray, "n H W *rgb"]
    low: float
    high: float


def line(model: Model, split: Split, tiles: int, most: int = 2000) -> Line:
    """A code of one number, over the range of up to `most` codes of a split.

    Of 100 codes or more, the outermost half per cent at each end is left out.
    """
    z = examples.codes(model, split, examples.choose(split, most))[:, 0]
    low, high = np.quantile(z, [0.0, 1.0]) if len(z) < 100 else np.quantile(z, [0.005, 0.995])
    codes = np.linspace(low, high, tiles, dtype=np.float32)[:, None]
    return Line(to_uint8(decode(model, codes)), float(low), float(high))


def strips(
    model: Model, z: Float[np.ndarray, " D"], dimensions: Sequence[int], reach: float, tiles: int
) -> UInt8[np.ndarray, "U S H W *rgb"]:
    """(U, S, H, W[, 3]): each latent dimension goes from −reach to reach in S = `tiles` steps.

    z: (D,), the values of all others.
    """
    rows = []
    for dimension in dimensions:
        codes = np.tile(z, (tiles, 1))
        codes[:, dimension] = np.linspace(-reach, reach, tiles)
        rows.append(to_uint8(decode(model, codes)))
    return np.stack(rows)
