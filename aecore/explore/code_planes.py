"""Where the codes of a data set lie on a line or a plane, and what a model decodes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..data.base import Split
from ..inference import decode
from ..models.base import Model
from . import examples
from .images import to_uint8
from .planes import PrincipalPlane, plane, principal_plane, through

Extent = tuple[float, float, float, float]
"""(x0, x1, y0, y1)"""


class Line(NamedTuple):
    """A code of one number.  tiles: (n, H, W[, 3]), decoded at n values from `low` to `high`."""

    tiles: UInt8[np.ndarray, "n H W *rgb"]
    low: float
    high: float


class Square(NamedTuple):
    """The plane of a code of two numbers.

    tiles: (1, n, n, H, W[, 3]), decoded over `extent`.  codes: (N, 2) and labels: (N,) or None, of examples.
    """

    tiles: UInt8[np.ndarray, "S n n H W *rgb"]
    extent: Extent
    codes: Float[np.ndarray, "*S N 2"]
    labels: Int[np.ndarray, " N"] | None


class Projected(NamedTuple):
    """As `Square`, for a larger code in its principal plane.  plane: that plane."""

    tiles: UInt8[np.ndarray, "S n n H W *rgb"]
    extent: Extent
    codes: Float[np.ndarray, "*S N 2"]
    labels: Int[np.ndarray, " N"] | None
    plane: PrincipalPlane


class Corners(NamedTuple):
    """Planes through the codes of three examples, one for each of S models.

    tiles: (S, n, n, H, W[, 3]).  places: (u, v) of each example on all planes, from 0 to 1.
    """

    tiles: UInt8[np.ndarray, "S n n H W *rgb"]
    places: list[tuple[float, float]]


def line(model: Model, split: Split, tiles: int, most: int = 2000) -> Line:
    """A code of one number, over the range of up to `most` codes of a split.

    Of 100 codes or more, the outermost half per cent at each end is left out.
    """
    z = examples.codes(model, split, examples.choose(split, most))[:, 0]
    low, high = np.quantile(z, [0.0, 1.0]) if len(z) < 100 else np.quantile(z, [0.005, 0.995])
    codes = np.linspace(low, high, tiles, dtype=np.float32)[:, None]
    return Line(to_uint8(decode(model, codes)), float(low), float(high))


def square(model: Model, split: Split, reach: float | None, grid: int, points: int) -> Square:
    """The plane of a code of two numbers with the codes of `points` examples.

    reach: it goes from −reach to reach along both axes, or, if None, around all but the outermost codes.
    grid: tiles along a side.
    """
    ids = examples.choose(split, points)
    z = examples.codes(model, split, ids)
    if reach is None:
        low, high = np.quantile(z, 0.005, 0), np.quantile(z, 0.995, 0)
    else:
        low, high = np.full(2, -reach), np.full(2, reach)
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    labels = None if split.labels is None else split.labels[ids]
    return Square(_upright(model, low, high, grid)[None], extent, z, labels)


def projected(model: Model, split: Split, grid: int, points: int) -> Projected:
    """The codes of `points` examples in the plane of their first two principal components.

    grid: tiles along a side.
    """
    ids = examples.choose(split, points)
    z = examples.codes(model, split, ids)
    principal = principal_plane(z)
    codes = principal.points(z)
    reach = float(np.quantile(np.abs(codes), 0.998))
    origin = principal.centre - reach * (principal.axes[0] + principal.axes[1])
    tiles = plane(model, origin, 2 * reach * principal.axes[0], 2 * reach * principal.axes[1], grid)[None]
    labels = None if split.labels is None else split.labels[ids]
    return Projected(tiles, (-reach, reach, -reach, reach), codes, labels, principal)


def squares(models: Sequence[Model], split: Split, extent: Extent, grid: int, points: int) -> Square:
    """The same piece of the planes of S models.

    Returns tiles (S, n, n, H, W[, 3]) and codes (S, N, 2) of `points` examples.
    """
    ids = examples.choose(split, points)
    codes = np.stack([examples.codes(model, split, ids) for model in models])
    low, high = np.array(extent[::2], np.float32), np.array(extent[1::2], np.float32)
    tiles = np.stack([_upright(model, low, high, grid) for model in models])
    return Square(tiles, extent, codes, None if split.labels is None else split.labels[ids])


def corners(models: Sequence[Model], split: Split, ids: tuple[int, int, int], grid: int) -> Corners:
    """For each model the plane through its codes of three examples; DataError where two of these codes are one."""
    tiles, places = [], []
    for model in models:
        origin, across, up, places = through(examples.codes(model, split, np.array(ids)))
        tiles.append(plane(model, origin, across, up, grid))
    return Corners(np.stack(tiles), places)


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


def _upright(model: Model, low: np.ndarray, high: np.ndarray, grid: int) -> np.ndarray:
    """Tiles of the rectangle between two corners (2,)."""
    across, up = np.array([high[0] - low[0], 0.0]), np.array([0.0, high[1] - low[1]])
    return plane(model, low, across, up, grid)
