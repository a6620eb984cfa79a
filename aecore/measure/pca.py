"""PCA with as many components as the code has dimensions: the best that linear maps can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache
from jaxtyping import Float, Int64

from ..data.base import Data, Split
from ..inference import Ids, examples, first, inputs

FIT_VALUES = 8_000_000  # numbers that PCA is fitted to: 10,000 digits, fewer images where they are larger
EXACT = 2000  # up to so many values an example the whole covariance matrix is decomposed


class Principal(NamedTuple):
    """The first principal components. mean: (V,).  directions: (K, V), orthonormal, the largest variance first."""

    mean: Float[np.ndarray, " V"]
    directions: Float[np.ndarray, "K V"]

    def codes(self, x: Float[np.ndarray, "n *shape"], code: int) -> Float[np.ndarray, "n code"]:
        """(n, code) of examples (n, …)."""
        return (x.reshape(len(x), -1) - self.mean) @ self.directions[:code].T

    def reconstruct(self, x: Float[np.ndarray, "n *shape"], code: int) -> Float[np.ndarray, "n *shape"]:
        """x̂ = m + V Vᵀ (x − m) with the first `code` components, in the shape of x (n, …)."""
        return (self.mean + self.codes(x, code) @ self.directions[:code]).reshape(x.shape)


_fits: LRUCache[tuple, Principal] = LRUCache(16)
_errors: LRUCache[tuple, float] = LRUCache(64)


def principal(data: Data, most: int) -> Principal:
    """The first `most` components of the first training examples (10,000 digits, fewer of larger images).

    The last few results stay in memory. Where `most` is more than there can be, all components are returned.
    """
    values = int(np.prod(data.shape))
    train = first(data.train, max(2, FIT_VALUES // values))
    most = min(most, len(train) - 1, values)
    key = (most, *_identity(data, train))
    fit = _fits.get(key)
    if fit is None:
        fit = _fits[key] = _fitted(_rows(data.train, train, data.shape), most)
    return fit


def _fitted(x: Float[np.ndarray, "n V"], most: int) -> Principal:
    """The first `most` principal components of x."""
    if x.shape[1] <= EXACT:  # without the half second that importing scikit-learn takes
        mean = x.mean(0)
        _, directions = np.linalg.eigh((x - mean).T @ (x - mean))
        return Principal(mean, np.ascontiguousarray(directions[:, : -most - 1 : -1].T))
    from sklearn.decomposition import PCA

    pca = PCA(most, svd_solver="randomized", random_state=0).fit(x)
    return Principal(np.asarray(pca.mean_).astype(np.float32), np.asarray(pca.components_).astype(np.float32))


def pca_mse(data: Data, code: int, limit: int = 2000) -> float:
    """Mean squared error per value of PCA's reconstruction of held-out examples with `code` components.

    Tested on the first `limit` held-out examples; see `principal`.
    """
    test = first(data.test, limit)
    key = (code, len(data.test), limit, *_identity(data, first(data.train, 16)))
    error = _errors.get(key)
    if error is None:
        x = _rows(data.test, test, data.shape)
        error = _errors[key] = float(np.square(x - principal(data, code).reconstruct(x, code)).mean())
    return error


def errors(data: Data, sizes: Sequence[int], limit: int = 2000) -> Float[np.ndarray, " S"]:
    """(S,) mean squared error per value of the first `limit` held-out examples, for each number of components."""
    components = principal(data, max(sizes))
    x = examples(data.test, first(data.test, limit)).numpy()
    return np.array([float(np.square(x - components.reconstruct(x, size)).mean()) for size in sizes])


def reconstructions(data: Data, ids: Ids, sizes: Sequence[int]) -> Float[np.ndarray, "S n *shape"]:
    """(S, n, *shape) held-out examples, reconstructed from each number of components."""
    components = principal(data, max(sizes))
    x = examples(data.test, ids).numpy()
    return np.stack([components.reconstruct(x, size) for size in sizes])


def _identity(data: Data, ids: Int64[np.ndarray, " n"]) -> tuple:
    """A key that differs where the training examples do."""
    return data.spec, data.shape, len(data.train), _rows(data.train, ids[:16], data.shape).tobytes()


def _rows(split: Split, ids: Int64[np.ndarray, " n"], shape: tuple[int, ...]) -> Float[np.ndarray, "n V"]:
    """Examples as rows of numbers: (n, V) float32."""
    return np.concatenate([x.flatten(1).cpu().numpy() for x in inputs(split, ids, shape)])
