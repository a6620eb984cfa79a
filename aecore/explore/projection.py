"""Projections of codes to the plane: two units, PCA, UMAP and t-SNE."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from ..errors import DataError

Method = Literal["units", "pca", "umap", "tsne"]
METHODS = ("units", "pca", "umap", "tsne")
SLOW = ("umap", "tsne")  # methods for a background worker
NAMES = {"units": "units of the code", "pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
NEIGHBOURS = 5  # whose codes are averaged on the way back from UMAP and t-SNE


class Projection:
    """Codes (n, D) → points (n, 2), and back.

    method: "units" (two units as they are), "pca", "umap" or "tsne".  units: which two, for "units".
    points: (n, 2), those that a slow method gave for the same codes before; without them `fit` computes them.

    After `fit` there are `axes`, their names, and `note`, how far the plane can be trusted; `inverse` leads back.
    Where the code has one unit, the height of a point means nothing.

    Sources: McInnes et al. (2018), arXiv:1802.03426; van der Maaten & Hinton (2008), JMLR 9.
    """

    def __init__(
        self,
        method: str = "pca",
        units: tuple[int, int] = (0, 1),
        seed: int = 0,
        points: Float[np.ndarray, "n 2"] | None = None,
    ):
        if method not in METHODS:
            raise DataError(f"There is no projection {method!r}; choose one of {', '.join(METHODS)}.")
        self.method, self.units, self.seed, self.points = method, units, seed, points
        self.note = ""

    def fit(self, codes: Float[np.ndarray, "n D"]) -> Float32[np.ndarray, "n 2"]:
        """Learn the projection of these codes (n, D), and return their points (n, 2)."""
        self.codes = np.asarray(codes, np.float32)
        size = self.codes.shape[1]
        self.mean = self.codes.mean(0, dtype=np.float64)
        if size == 1:
            return self._line()
        if self.method == "units":
            return self._plane_of_units(size)
        if self.method == "pca":
            return self._plane_of_pca(size)
        return self._neighbourhood()

    def inverse(self, points: Float[np.ndarray, "m 2"]) -> Float32[np.ndarray, "m D"]:
        """Points (m, 2) → codes (m, D).

        Exact on the plane for "units" and "pca", where all other directions stay at their mean. For "umap" and "tsne"
        the mean of the codes of the 5 nearest points, weighted by 1 / distance².
        """
        points = np.asarray(points, np.float64)
        if self.method in SLOW and self.codes.shape[1] > 1:
            distance, index = self._tree.query(points, k=min(NEIGHBOURS, len(self.codes)))
            distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
            weight = 1 / np.maximum(distance, 1e-9 * max(1.0, float(np.abs(self._tree.data).max()))) ** 2  # (m, 5)
            weight /= weight.sum(1, keepdims=True)
            return np.einsum("mk,mkd->md", weight, self.codes[index]).astype(np.float32)
        return (self._origin + points @ self._directions).astype(np.float32)

    def _line(self) -> Float32[np.ndarray, "n 2"]:
        """The points of a code with one unit: its value, at random heights."""
        self.axes = ("z1", "")
        self.note = "The code has one unit: points are spread in height only to be seen."
        self._origin, self._directions = np.zeros(1), np.array([[1.0], [0.0]])
        most = max(float(np.ptp(self.codes)), 1e-3) / 4
        height = np.random.default_rng(self.seed).uniform(-most, most, len(self.codes))
        return np.stack([self.codes[:, 0], height], 1).astype(np.float32)

    def _plane_of_units(self, size: int) -> Float32[np.ndarray, "n 2"]:
        """The points of two units as they are."""
        a, b = self.units
        if a == b or not (0 <= a < size and 0 <= b < size):
            raise DataError(f"Choose two different units from 1 to {size}.")
        self.axes = (f"z{a + 1}", f"z{b + 1}")
        if size > 2:
            self.note = "Pictures of the plane have the other latent dimensions at their mean."
        self._directions = np.eye(size)[[a, b]]
        self._origin = self.mean * (1 - self._directions.sum(0))
        return np.ascontiguousarray(self.codes[:, [a, b]])

    def _plane_of_pca(self, size: int) -> Float32[np.ndarray, "n 2"]:
        """The points of the first two principal components."""
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

    def _neighbourhood(self) -> Float32[np.ndarray, "n 2"]:
        """The points of UMAP or t-SNE: those that are known, else computed ones."""
        from scipy.spatial import KDTree

        points = self.points
        if points is None:
            points = (_umap if self.method == "umap" else _tsne)(self.codes, self.seed)
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


def _umap(codes: Float[np.ndarray, "n D"], seed: int) -> Float[np.ndarray, "n 2"]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        neighbours = min(15, len(codes) - 1)
        return UMAP(n_neighbors=neighbours, min_dist=0.1, random_state=seed, n_jobs=1).fit_transform(codes)


def _tsne(codes: Float[np.ndarray, "n D"], seed: int) -> Float[np.ndarray, "n 2"]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes)
