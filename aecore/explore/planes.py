"""Flat pieces of a latent space, decoded as a grid of images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num, UInt8

from ..errors import DataError
from ..inference import require_images
from ..models.base import Model
from .maps import tiles_of

Vector = Num[np.ndarray, "..."]
"""(D,); other shapes are flattened."""


def plane(
    model: Model, origin: Vector, across: Vector, up: Vector | None = None, grid: int = 21, side: int = 64
) -> UInt8[np.ndarray, "n m H W *rgb"]:
    """Tiles (n, m, H, W[, 3]) of the codes z(s, t) = origin + s · across + t · up, s and t from 0 to 1.

    Row i has t = i / (n − 1), column j has s = j / (m − 1); n = 1 without `up`: a line.
    origin, across, up: (D,).  grid: tiles along a side.  side: the longest side of a tile in pixels.
    """
    require_images(model.shape)
    origin, across = (np.asarray(v, np.float32).reshape(-1) for v in (origin, across))
    s = np.linspace(0, 1, grid, dtype=np.float32)
    line = origin + s[:, None] * across  # (m, D)
    t = s[:1] * 0 if up is None else s
    up = np.zeros_like(across) if up is None else np.asarray(up, np.float32).reshape(-1)
    codes = line[None] + t[:, None, None] * up  # (n, m, D)
    tiles = tiles_of(model, codes.reshape(-1, codes.shape[-1]), side)
    return tiles.reshape(*codes.shape[:2], *tiles.shape[1:])


def through(
    codes: Num[np.ndarray, "3 D"], margin: float = 0.25
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, " D"], Float[np.ndarray, " D"], list[tuple[float, float]]]:
    """(origin, across, up) of the plane through three codes, and where each of the three lies on it, from 0 to 1.

    codes: (3, D). The first lies at the lower left, the second at the lower right, the third at the upper left, each at
    the share `margin` of the side from the edge. DataError where two of them are equal.
    """
    a, b, c = (np.asarray(code, np.float32) for code in codes)
    for one, other in ((a, b), (a, c), (b, c)):
        if np.allclose(one, other):
            raise DataError("Two of the three images have the same code: choose three different images.")
    stretch = 1 / (1 - 2 * margin)
    across, up = stretch * (b - a), stretch * (c - a)
    origin = a - margin * across - margin * up
    return origin, across, up, [(margin, margin), (1 - margin, margin), (margin, 1 - margin)]


class PrincipalPlane(NamedTuple):
    """A plane through the mean of codes, along their first two principal components.

    centre: (D,).  axes: (2, D), orthonormal.  kept: share of the variance that lies in the plane.
    """

    centre: Float[np.ndarray, " D"]
    axes: Float[np.ndarray, "2 D"]
    kept: float

    def points(self, codes: Num[np.ndarray, "n D"]) -> Float[np.ndarray, "n 2"]:
        """Codes (n, D) projected onto the plane, (n, 2)."""
        return (codes - self.centre) @ self.axes.T

    def spreads(self, std: Num[np.ndarray, "n D"]) -> Float[np.ndarray, "n 2"]:
        """Standard deviations (n, 2) along the axes, of Gaussians whose independent units have these (n, D)."""
        return np.sqrt(np.square(std) @ np.square(self.axes).T)


def principal_plane(codes: Num[np.ndarray, "n D"]) -> PrincipalPlane:
    """The plane in which codes (n, D), n and D of 2 or more, are spread most."""
    centre = codes.mean(0)
    _, sizes, directions = np.linalg.svd(codes - centre, full_matrices=False)
    total = float(np.square(sizes).sum())
    return PrincipalPlane(centre, directions[:2], float(np.square(sizes[:2]).sum() / max(total, 1e-24)))
