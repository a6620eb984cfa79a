"""PCA at the same code size: what a straight line can do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..data.base import Data
from ..inference import examples, first, inputs

FIT_VALUES = 8_000_000  # numbers that PCA is fitted to: 10,000 digits, fewer images where they are larger
EXACT = 2000  # values of an example up to which their whole covariance is taken apart
KEEP = 16

_kept: OrderedDict[tuple, float | Principal] = OrderedDict()


class Principal(NamedTuple):
    """The first principal components. mean: (V,).  directions: (K, V), orthonormal, the largest variance first."""

    mean: np.ndarray
    directions: np.ndarray

    def codes(self, x: np.ndarray, code: int) -> np.ndarray:
        """(n, code) of examples (n, …)."""
        return (x.reshape(len(x), -1) - self.mean) @ self.directions[:code].T

    def reconstruct(self, x: np.ndarray, code: int) -> np.ndarray:
        """x̂ = m + V Vᵀ (x − m) with the first `code` components, in the shape of x (n, …)."""
        return (self.mean + self.codes(x, code) @ self.directions[:code]).reshape(x.shape)


def principal(data: Data, most: int) -> Principal:
    """The first `most` components of the first training examples (10,000 digits, fewer of larger images).

    Kept in memory per data set. More components than there can be count as all there are.
    """
    values = int(np.prod(data.shape))
    train = first(data.train, max(2, FIT_VALUES // values))
    most = min(most, len(train) - 1, values)
    key = ("directions", most, *_named(data, train))
    if (known := _kept.get(key)) is None:
        known = _fitted(_rows(data.train, train, data.shape), most)
        _keep(key, known)
    assert isinstance(known, Principal)
    return known


def _fitted(x: np.ndarray, most: int) -> Principal:
    if x.shape[1] <= EXACT:  # without the half second that importing scikit-learn takes
        mean = x.mean(0)
        _, directions = np.linalg.eigh((x - mean).T @ (x - mean))
        return Principal(mean, np.ascontiguousarray(directions[:, : -most - 1 : -1].T))
    from sklearn.decomposition import PCA

    pca = PCA(most, svd_solver="randomized", random_state=0).fit(x)
    return Principal(pca.mean_.astype(np.float32), pca.components_.astype(np.float32))


def pca_mse(data: Data, code: int, limit: int = 2000) -> float:
    """Mean squared error per value of PCA's reconstruction of held-out examples with `code` components.

    Tested on the first `limit` held-out examples; see `principal`.
    """
    test = first(data.test, limit)
    key = ("error", code, len(data.test), limit, *_named(data, first(data.train, 16)))
    if (known := _kept.get(key)) is None:
        x = _rows(data.test, test, data.shape)
        known = float(np.square(x - principal(data, code).reconstruct(x, code)).mean())
        _keep(key, known)
    assert isinstance(known, float)
    return known


def errors(data: Data, sizes: Sequence[int], limit: int = 2000) -> np.ndarray:
    """(S,) mean squared error per value of the first `limit` held-out examples, for each number of components."""
    components = principal(data, max(sizes))
    x = examples(data.test, first(data.test, limit)).numpy()
    return np.array([float(np.square(x - components.reconstruct(x, size)).mean()) for size in sizes])


def reconstructions(data: Data, ids: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """(S, n, *shape) held-out examples, reconstructed from each number of components."""
    components = principal(data, max(sizes))
    x = examples(data.test, ids).numpy()
    return np.stack([components.reconstruct(x, size) for size in sizes])


def _named(data: Data, ids: np.ndarray) -> tuple:
    """Tells these training examples from all others."""
    return data.spec, data.shape, len(data.train), _rows(data.train, ids[:16], data.shape).tobytes()


def _keep(key: tuple, value: float | Principal) -> None:
    _kept[key] = value
    while len(_kept) > KEEP:
        _kept.popitem(last=False)


def _rows(split, ids: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n, values) float32"""
    return np.concatenate([x.flatten(1).cpu().numpy() for x in inputs(split, ids, shape)])
