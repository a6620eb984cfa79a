"""PCA at the same code size: what a straight line can do."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from ..data.base import Data
from .passing import first, inputs

FIT_VALUES = 8_000_000  # numbers that PCA is fitted to: 10,000 digits, fewer images where they are larger
KEEP = 16

_kept: OrderedDict[tuple, float] = OrderedDict()


def pca_mse(data: Data, code: int, limit: int = 2000) -> float:
    """Mean squared error per value of PCA's reconstruction of held-out examples with `code` components.

    Fitted to the first training examples (10,000 digits, fewer of larger images), tested on the first `limit` held out.
    Kept in memory per data set and code size. A code larger than PCA can have counts as the largest it can.
    """
    from sklearn.decomposition import PCA

    values = int(np.prod(data.shape))
    train = first(data.train, max(2, FIT_VALUES // values))
    test = first(data.test, limit)
    code = min(code, len(train) - 1, values)
    sample = _rows(data.train, train[:16], data.shape)
    key = (data.spec, data.shape, len(data.train), len(data.test), code, limit, sample.tobytes())
    if key not in _kept:
        pca = PCA(code, svd_solver="randomized", random_state=0)
        pca.fit(_rows(data.train, train, data.shape))
        x = _rows(data.test, test, data.shape)
        _kept[key] = float(np.square(x - pca.inverse_transform(pca.transform(x))).mean())
        while len(_kept) > KEEP:
            _kept.popitem(last=False)
    return _kept[key]


def _rows(split, ids: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n, values) float32"""
    return np.concatenate([x.flatten(1).cpu().numpy() for x in inputs(split, ids, shape)])
