"""The map: codes projected onto a plane, and images decoded everywhere on that plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8

from ..data.base import Split
from ..errors import DataError
from ..inference import decode, require, require_images
from ..models.base import Model
from . import examples as code_of
from .images import fit, to_uint8
from .projection import Projection

SplitName = Literal["test", "train"]

THUMBNAIL = 32  # longest side in pixels
PLANE_BYTES, MOST_GRID, LEAST_GRID, MOST_TILE = 4_000_000, 64, 24, 64
DRAWN_GRID = 16  # tiles along a side where each is drawn pixel by pixel, which takes milliseconds


@dataclass(frozen=True)
class MapView:
    """Everything that the map component shows. Row k of points, ids, labels, images and reconstructions is one example.

    points: (n, 2).  ids: (n,) in their split.  labels: (n,) or None.  class_names: of the labels, or None.
    images, reconstructions: (n, H, W[, 3]), at most 32 pixels.  plane: (g, g, H, W[, 3]); plane[i, j] is
    decoded at x = linspace(x0, x1, g)[j], y = linspace(y0, y1, g)[i], so row 0 is the LOWEST y.
    extent: (x0, x1, y0, y1).  axes: names of x and y.  caption: the sample size as a phrase.
    note: how far the plane can be trusted, or "".  method: "units", "pca", "umap" or "tsne".
    """

    points: Float32[np.ndarray, "n 2"]
    ids: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"] | None
    class_names: tuple[str, ...] | None
    images: UInt8[np.ndarray, "n h w *rgb"]
    reconstructions: UInt8[np.ndarray, "n h w *rgb"]
    plane: UInt8[np.ndarray, "g g H W *rgb"]
    extent: tuple[float, float, float, float]
    axes: tuple[str, str]
    caption: str
    note: str
    method: str


def latent_map(
    model: Model,
    split: Split,
    projection: Projection | None = None,
    n: int = 5000,
    seed: int = 0,
    class_names: tuple[str, ...] | None = None,
    split_name: SplitName = "test",
) -> MapView:
    """The map of a model's codes of n examples (`examples.choose` with this seed).

    projection: it is fitted here. Without one, it is the two units themselves where the code has two (or one), else
    PCA. For a slow method give it the points that were stored for the same examples, or they are computed here.
    class_names: of the labels.  split_name: for the caption.
    Raises DataError for a model without encoder or decoder, data that are no images, and codes that are no numbers.
    """
    require(model, "encode", "decode")
    require_images(model.shape)
    ids = code_of.choose(split, n, seed)
    codes = code_of.codes(model, split, ids)
    if projection is None:
        projection = Projection("units" if codes.shape[1] <= 2 else "pca", seed=seed)
    points = projection.fit(codes)
    if not np.isfinite(points).all():
        raise DataError("The codes are no finite numbers: the training has diverged. Train again with a lower rate.")
    extent = _extent(points)
    return MapView(
        points=points,
        ids=ids,
        labels=None if split.labels is None else split.labels[ids],
        class_names=class_names,
        images=code_of.images(split, ids, THUMBNAIL),
        reconstructions=tiles_of(model, codes),
        plane=_plane(model, projection, extent),
        extent=extent,
        axes=projection.axes,
        caption=caption(len(ids), len(split), split_name),
        note=projection.note,
        method=projection.method,
    )


def caption(n: int, size: int, split_name: SplitName) -> str:
    """ "5,000 of 10,000 test images", or "All 10,000 test images"."""
    name = {"test": "test", "train": "training"}[split_name]
    return f"All {size:,} {name} images" if n == size else f"{n:,} of {size:,} {name} images"


def tiles_of(model: Model, codes: Float[np.ndarray, "n D"], side: int = THUMBNAIL) -> UInt8[np.ndarray, "n H W *rgb"]:
    """Codes (n, D) → tiles (n, H, W[, 3]), decoded and shrunk in chunks so that memory stays small."""
    size = max(1, PLANE_BYTES // int(np.prod(model.shape)))
    return np.concatenate([to_uint8(decode(model, codes[at : at + size]), side) for at in range(0, len(codes), size)])


def _extent(points: Float[np.ndarray, "n 2"]) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) of the points with a margin of 4 %."""
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    margin = np.maximum((high - low) * 0.04, 1e-3)
    low, high = low - margin, high + margin
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def grid_of(shape: tuple[int, ...], most: int = MOST_GRID) -> tuple[int, int]:
    """How many tiles lie along a side of the plane, at most `most`, and the longest side of a tile in pixels.

    Both are chosen so that the plane takes less than 4 MB.
    """

    def largest(tile: int) -> int:
        return min(most, int((PLANE_BYTES / (shape[0] * np.prod(fit(shape, tile)))) ** 0.5))

    tile = min(MOST_TILE, max(shape[-2:]))
    while largest(tile) < min(most, LEAST_GRID) and tile > THUMBNAIL:
        tile -= 4
    return largest(tile), tile


def _plane(
    model: Model, projection: Projection, extent: tuple[float, float, float, float]
) -> UInt8[np.ndarray, "g g H W *rgb"]:
    """The decoded images of a grid of points over `extent`; see `MapView`."""
    g, tile = grid_of(model.shape, DRAWN_GRID if model.sequential else MOST_GRID)
    x0, x1, y0, y1 = extent
    y, x = np.meshgrid(np.linspace(y0, y1, g), np.linspace(x0, x1, g), indexing="ij")
    codes = projection.inverse(np.stack([x.ravel(), y.ravel()], 1))
    tiles = tiles_of(model, codes, tile)
    return tiles.reshape(g, g, *tiles.shape[1:])
