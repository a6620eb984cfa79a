"""Codes on a plane that can be decoded: projections there and back, and all that the map shows."""

from __future__ import annotations

import hashlib
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np

from ..data.base import Data, DataError
from ..data.places import cache_dir
from ..measure.passing import decode, require, require_images
from ..models.base import Model
from ..runs import Run, RunError, write_aside
from . import codes as code_of
from .pictures import fit, to_uint8

Method = Literal["auto", "units", "pca", "umap", "tsne"]
METHODS = ("units", "pca", "umap", "tsne")
SLOW = ("umap", "tsne")  # methods for a background worker
NAMES = {"units": "units of the code", "pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
NEIGHBOURS = 5
THUMBNAIL = 32
PLANE_BYTES, MOST_GRID, LEAST_GRID, MOST_TILE = 4_000_000, 64, 24, 64
DRAWN_GRID = 16  # where each tile is drawn pixel by pixel, which takes milliseconds


@dataclass(frozen=True)
class MapView:
    """Everything that the map component shows. Row k of points, ids, labels, images and reconstructions is one example.

    points: float32 (n, 2).  ids: int64 (n,) in their split.  labels: int64 (n,) or None.  class_names: or None.
    images, reconstructions: uint8 (n, H, W[, 3]), at most 32 px.  plane: uint8 (g, g, H, W[, 3]); plane[i, j] is
    decoded at x = linspace(x0, x1, g)[j], y = linspace(y0, y1, g)[i], so row 0 is the LOWEST y.
    extent: (x0, x1, y0, y1).  axes: names of x and y.  caption: the sample size in words.
    note: what to know of the plane, or "".  method: "units", "pca", "umap" or "tsne".
    """

    points: np.ndarray
    ids: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    images: np.ndarray
    reconstructions: np.ndarray
    plane: np.ndarray
    extent: tuple[float, float, float, float]
    axes: tuple[str, str]
    caption: str
    note: str
    method: str


class Projection:
    """Codes (n, D) → points (n, 2), and back.

    method: "units" (two units as they are), "pca", "umap" or "tsne".  units: which two, for "units".
    After `fit`: `note`, `axes` and `inverse`. A code of one unit gets a height that means nothing.

    Sources: McInnes et al. (2018), arXiv:1802.03426; van der Maaten & Hinton (2008), JMLR 9.
    """

    def __init__(self, method: str = "pca", units: tuple[int, int] = (0, 1), seed: int = 0):
        if method not in METHODS:
            raise DataError(f"There is no projection {method!r}; choose one of {', '.join(METHODS)}.")
        self.method, self.units, self.seed = method, units, seed
        self.note = ""

    def fit(self, codes: np.ndarray, points: np.ndarray | None = None) -> np.ndarray:
        """Learn the projection of these codes: points (n, 2) float32. points: known already, of a slow method."""
        self.codes = np.asarray(codes, np.float32)
        size = self.codes.shape[1]
        self.mean = self.codes.mean(0, dtype=np.float64)
        if size == 1:
            return self._line()
        if self.method == "units":
            return self._plane_of_units(size)
        if self.method == "pca":
            return self._plane_of_pca(size)
        return self._neighbourhood(points)

    def inverse(self, points: np.ndarray) -> np.ndarray:
        """Points (m, 2) → codes (m, D) float32.

        Exact on the plane for "units" and "pca", with everything off the plane at its mean; for "umap" and "tsne"
        the mean of the 5 nearest points' codes, weighted by 1 / distance².
        """
        points = np.asarray(points, np.float64)
        if self.method in SLOW and self.codes.shape[1] > 1:
            distance, index = self._tree.query(points, k=min(NEIGHBOURS, len(self.codes)))
            distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
            weight = 1 / np.maximum(distance, 1e-9 * max(1.0, float(np.abs(self._tree.data).max()))) ** 2  # (m, 5)
            weight /= weight.sum(1, keepdims=True)
            return np.einsum("mk,mkd->md", weight, self.codes[index]).astype(np.float32)
        return (self._origin + points @ self._directions).astype(np.float32)

    def _line(self) -> np.ndarray:
        self.axes = ("z1", "")
        self.note = "The code has one unit: points are spread in height only to be seen."
        self._origin, self._directions = np.zeros(1), np.array([[1.0], [0.0]])
        reach = max(float(np.ptp(self.codes)), 1e-3) / 4
        height = np.random.default_rng(self.seed).uniform(-reach, reach, len(self.codes))
        return np.stack([self.codes[:, 0], height], 1).astype(np.float32)

    def _plane_of_units(self, size: int) -> np.ndarray:
        a, b = self.units
        if a == b or not (0 <= a < size and 0 <= b < size):
            raise DataError(f"Choose two different units from 1 to {size}.")
        self.axes = (f"z{a + 1}", f"z{b + 1}")
        if size > 2:
            self.note = "Pictures of the plane have the other units of the code at their mean."
        self._directions = np.eye(size)[[a, b]]
        self._origin = self.mean * (1 - self._directions.sum(0))
        return np.ascontiguousarray(self.codes[:, [a, b]])

    def _plane_of_pca(self, size: int) -> np.ndarray:
        from sklearn.decomposition import PCA

        pca = PCA(2, svd_solver="full").fit(self.codes.astype(np.float64))
        self._origin, self._directions = pca.mean_, pca.components_
        self.axes = ("PC 1", "PC 2")
        share = pca.explained_variance_ratio_
        if size > 2:
            self.note = (
                f"The two principal directions hold {100 * share.sum():.0f} % of the code's variance; "
                "pictures of the plane have all others at their mean."
            )
        return pca.transform(self.codes.astype(np.float64)).astype(np.float32)

    def _neighbourhood(self, points: np.ndarray | None) -> np.ndarray:
        from scipy.spatial import KDTree

        points = (_umap if self.method == "umap" else _tsne)(self.codes, self.seed) if points is None else points
        points = np.asarray(points, np.float32)
        if points.shape != (len(self.codes), 2):
            raise DataError(f"{len(points)} stored points do not fit {len(self.codes)} codes. Compute the map again.")
        self._tree = KDTree(points.astype(np.float64))
        name = NAMES[self.method]
        self.axes = (f"{name} 1", f"{name} 2")
        self.note = (
            f"{name} keeps neighbours together; distances and empty space between groups mean little. It has no exact "
            f"way back: a picture of the plane is decoded from the {NEIGHBOURS} nearest points' codes, averaged by "
            "inverse distance."
        )
        return points


def _umap(codes: np.ndarray, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        few = min(15, len(codes) - 1)
        return UMAP(n_neighbors=few, min_dist=0.1, random_state=seed, n_jobs=1).fit_transform(codes)


def _tsne(codes: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes)


def latent_map(
    model: Model,
    data: Data,
    n: int = 5000,
    method: Method = "auto",
    split: Literal["test", "train"] = "test",
    seed: int = 0,
    points: np.ndarray | None = None,
    units: tuple[int, int] = (0, 1),
) -> MapView:
    """The map of a model's codes of n examples (`codes.choose` with this seed).

    method: "auto" is the units themselves where the code has two (or one), else PCA.  units: which two, for "units".
    points: (n, 2) of a slow method, from `stored` with the same n and split (seed 0); without them it is computed here.
    """
    require(model, "encode", "decode")
    require_images(model.shape)
    half = getattr(data, split)
    ids = code_of.choose(half, n, seed)
    codes = code_of.codes(model, half, ids)
    if method == "auto":
        method = "units" if codes.shape[1] <= 2 else "pca"
    projection = Projection(method, units, seed)
    points = projection.fit(codes, points)
    if not np.isfinite(points).all():
        raise DataError("The codes are no finite numbers: the training has diverged. Train again with a lower rate.")
    extent = _extent(points)
    return MapView(
        points=points,
        ids=ids,
        labels=None if half.labels is None else half.labels[ids],
        class_names=data.classes,
        images=code_of.images(half, ids, THUMBNAIL),
        reconstructions=tiles_of(model, codes),
        plane=_plane(model, projection, extent),
        extent=extent,
        axes=projection.axes,
        caption=caption(len(ids), len(half), split),
        note=projection.note,
        method=method,
    )


def caption(n: int, size: int, split: str) -> str:
    """'5,000 of 10,000 test images'"""
    words = {"test": "test", "train": "training"}[split]
    return f"All {size:,} {words} images" if n == size else f"{n:,} of {size:,} {words} images"


def tiles_of(model: Model, codes: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """Codes (n, D) → tiles (n, H, W[, 3]), decoded and shrunk piece by piece so that memory stays small."""
    size = max(1, PLANE_BYTES // int(np.prod(model.shape)))
    return np.concatenate([to_uint8(decode(model, codes[at : at + size]), side) for at in range(0, len(codes), size)])


def _extent(points: np.ndarray) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) of the points with a margin of 4 %."""
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    margin = np.maximum((high - low) * 0.04, 1e-3)
    low, high = low - margin, high + margin
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def grid_of(shape: tuple[int, ...], most: int = MOST_GRID) -> tuple[int, int]:
    """(tiles along one side of the plane, at most so many; longest side of a tile) that keep the plane under 4 MB."""

    def largest(tile: int) -> int:
        return min(most, int((PLANE_BYTES / (shape[0] * np.prod(fit(shape, tile)))) ** 0.5))

    tile = min(MOST_TILE, max(shape[-2:]))
    while largest(tile) < min(most, LEAST_GRID) and tile > THUMBNAIL:
        tile -= 4
    return largest(tile), tile


def _plane(model: Model, projection: Projection, extent: tuple[float, float, float, float]) -> np.ndarray:
    g, tile = grid_of(model.shape, DRAWN_GRID if model.loops else MOST_GRID)
    x0, x1, y0, y1 = extent
    y, x = np.meshgrid(np.linspace(y0, y1, g), np.linspace(x0, x1, g), indexing="ij")
    codes = projection.inverse(np.stack([x.ravel(), y.ravel()], 1))
    tiles = tiles_of(model, codes, tile)
    return tiles.reshape(g, g, *tiles.shape[1:])


# --- slow projections, computed once ------------------------------------------------------------------------


def stored(run: Run, method: str, n: int, split: str = "test") -> np.ndarray | None:
    """Points (n, 2) computed earlier for the run's present weights (seed 0), or None."""
    weights = _digest(run)
    for folder in (run.path / "maps", _cache(run)):
        try:
            with np.load(folder / _file(method, n, split), allow_pickle=False) as file:
                if str(file["weights"]) == weights:
                    return file["points"].astype(np.float32)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            continue
    return None


def store(run: Run, method: str, n: int, split: str, points: np.ndarray, folder: Path | None = None) -> Path:
    """Keep points in the run's folder; in the cache where that cannot be written, or the run is a pretrained one.

    folder: write there and nowhere else (how maps get into pretrained runs).
    """
    choice = [folder] if folder else [_cache(run)] if run.pretrained else [run.path / "maps", _cache(run)]
    problem: Exception | None = None
    for place in choice:
        try:
            place.mkdir(parents=True, exist_ok=True)
            path = place / _file(method, n, split)
            write_aside(path, lambda aside: _write(aside, points.astype(np.float32), _digest(run)))
            return path
        except (OSError, RunError) as error:
            problem = error
    raise RunError(f"The map could not be kept ({problem}). Free some disk space.")


def compute(
    run: Run, method: str, n: int = 5000, split: str = "test", progress: Callable[[float, str], None] | None = None
) -> np.ndarray:
    """Points (n, 2), computed and stored: for a background worker. progress: called with a fraction and a sentence."""
    say = progress or (lambda fraction, sentence: None)
    say(0.0, "Reading the data")
    half = getattr(run.data(), split)
    ids = code_of.choose(half, n)
    say(0.05, f"Encoding {len(ids):,} images")
    codes = code_of.codes(run.model(), half, ids)
    say(0.1, f"{NAMES[method]} of {len(ids):,} codes, about {estimate(method, len(ids)):.0f} seconds")
    points = Projection(method).fit(codes)
    store(run, method, n, split, points)
    say(1.0, "Done")
    return points


def estimate(method: str, n: int) -> float:
    """About how many seconds `compute` takes on one core, UMAP's compiling (40 s, the first time) included."""
    return {"units": 0.5, "pca": 0.5, "umap": 44 + 0.0025 * n, "tsne": 3 + 0.005 * n}[method]


def _write(path: Path, points: np.ndarray, weights: str) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, points=points, weights=np.array(weights))


def _file(method: str, n: int, split: str) -> str:
    return f"{method}-{split}-{n}.npz"


def _cache(run: Run) -> Path:
    return cache_dir() / "maps" / re.sub(r"[^\w-]", "_", run.info.id)


def _digest(run: Run) -> str:
    """Of the weights, so that a map is never shown for a model that was trained on."""
    try:
        return hashlib.sha256((run.path / "weights.safetensors").read_bytes()).hexdigest()[:32]
    except OSError as error:
        raise RunError(f"The weights of {run.path} cannot be read ({error.strerror}). Train the run first.") from None
