"""Codes and pictures of chosen examples. An example is its id in its split, everywhere."""

from __future__ import annotations

import numpy as np

from .. import inference
from ..data.base import Split
from ..models.base import Model
from .images import to_uint8


def choose(split: Split, n: int, seed: int = 0) -> np.ndarray:
    """min(n, N) different ids of a split, int64, sorted; the same for the same seed. All of them when n ≥ N."""
    size = len(split)
    if n >= size:
        return np.arange(size, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(size, n, replace=False)).astype(np.int64)


def codes(model: Model, split: Split, ids: np.ndarray) -> np.ndarray:
    """(n, D) float32: row k is the code of example ids[k]; the posterior's mean where there is one."""
    return inference.encode(model, split, ids)


def images(split: Split, ids: np.ndarray, side: int | None = None) -> np.ndarray:
    """uint8 (n, H, W[, 3]): row k is example ids[k]. side: the longest side in pixels, by averaging areas."""
    ids = inference.checked(split, ids)
    shape = tuple(split.batch(_one(ids)).x.shape[1:])
    inference.require_images(shape)
    return np.concatenate([to_uint8(x.cpu().numpy(), side) for x in inference.inputs(split, ids, shape)])


def reconstructions(model: Model, split: Split, ids: np.ndarray, side: int | None = None) -> np.ndarray:
    """uint8 (n, H, W[, 3]): row k is the reconstruction of example ids[k], shrunk as `images` are."""
    inference.require_images(model.shape)
    ids = inference.checked(split, ids)
    size = inference.batch_size(model.shape)
    parts = [ids[start : start + size] for start in range(0, max(len(ids), 1), size)]
    return np.concatenate([to_uint8(inference.autoencode(model, split, part), side) for part in parts])


def _one(ids: np.ndarray):
    import torch

    return torch.from_numpy(ids[:1] if len(ids) else np.zeros(1, np.int64))
