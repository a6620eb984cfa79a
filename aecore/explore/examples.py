"""Codes, images and reconstructions of chosen examples. An example is named by its id, its index in its split."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from .. import inference
from ..data.base import Split
from ..inference import Ids
from ..models.base import Model
from .images import to_uint8


def choose(split: Split, n: int, seed: int = 0) -> Int64[np.ndarray, " n"]:
    """min(n, N) different ids of a split of N examples, sorted; the same for the same seed."""
    size = len(split)
    if n >= size:
        return np.arange(size, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(size, n, replace=False)).astype(np.int64)


def codes(model: Model, split: Split, ids: Ids) -> Float32[np.ndarray, "n D"]:
    """(n, D): row k is the code of example ids[k]; where there is a posterior, its mean."""
    return inference.encode(model, split, ids)


def images(split: Split, ids: Ids, side: int | None = None) -> UInt8[np.ndarray, "n H W *rgb"]:
    """(n, H, W[, 3]): row k is example ids[k].  side: the longest side in pixels, by averaging areas."""
    ids = inference.checked(split, ids)
    one = torch.from_numpy(ids[:1] if len(ids) else np.zeros(1, np.int64))
    shape = tuple(split.batch(one).x.shape[1:])
    inference.require_images(shape)
    return np.concatenate([to_uint8(x.cpu().numpy(), side) for x in inference.inputs(split, ids, shape)])


def reconstructions(model: Model, split: Split, ids: Ids, side: int | None = None) -> UInt8[np.ndarray, "n H W *rgb"]:
    """(n, H, W[, 3]): row k is the reconstruction of example ids[k], shrunk as `images` are."""
    inference.require_images(model.shape)
    ids = inference.checked(split, ids)
    size = inference.batch_size(model.shape)
    parts = [ids[start : start + size] for start in range(0, max(len(ids), 1), size)]
    return np.concatenate([to_uint8(inference.autoencode(model, split, part), side) for part in parts])
