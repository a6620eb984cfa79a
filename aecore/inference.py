"""Passing a split through a model in batches, without changing the model or anybody's random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from .data.base import Batch, Split
from .errors import DataError
from .models.base import Model

BATCH_VALUES = 200_000  # numbers in one batch: 256 digits. Larger ones leave the cache, and convolutions slow by half


@contextmanager
def evaluating(model: Model, seed: int = 0) -> Iterator[torch.device]:
    """The model held in eval mode, no gradients, random numbers from `seed`; all is as before afterwards.

    Gives the model's device.
    """
    device, was_training = device_of(model), model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(seed)
            yield device
    finally:
        model.train(was_training)


def device_of(model: Model) -> torch.device:
    return next(model.parameters()).device


def generator(device: torch.device, seed: int) -> Generator:
    return Generator(device).manual_seed(seed)


def require(model: Model, *needed: str) -> Any:
    """The model, once it is known to have these abilities; DataError where it lacks one."""
    lacking = [name for name in needed if name not in model.abilities]
    if lacking:
        raise DataError(f"{type(model).__name__} cannot {lacking[0]}. Choose another model for this view.")
    return model


def require_images(shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise DataError(f"This view shows images; these data are vectors of {shape[0]} numbers. Choose image data.")


def batch_size(shape: tuple[int, ...]) -> int:
    """How many examples of this shape go through a model at once."""
    return int(np.clip(BATCH_VALUES // int(np.prod(shape)), 8, 1000))


def first(split: Split, limit: int | None = None) -> np.ndarray:
    """The ids of (the first `limit` of) a split."""
    return np.arange(min(len(split), limit or len(split)), dtype=np.int64)


def checked(split: Split, ids) -> np.ndarray:
    """ids as int64 (n,); DataError for an id that the split does not have."""
    ids = np.asarray(ids, dtype=np.int64).reshape(-1)
    if len(ids) and (ids.min() < 0 or ids.max() >= len(split)):
        raise DataError(
            f"There is no example {ids.max() if ids.max() >= len(split) else ids.min()}: "
            f"this half of the data has {len(split):,}, counted from 0."
        )
    return ids


def examples(split: Split, ids) -> Tensor:
    """x (n, *shape) of these examples; DataError for an id that the split does not have."""
    return split.batch(torch.from_numpy(checked(split, ids))).x


def attributes_of(split: Split, ids) -> np.ndarray:
    """(n, A) float32 of 0 and 1; DataError for examples without attributes."""
    found = split.batch(torch.from_numpy(checked(split, ids))).attributes
    if found is None:
        raise DataError("These data know of no attributes. Choose faces, or pictures with a table of attributes.")
    return found.cpu().numpy()


def factors_of(split: Split, ids) -> np.ndarray:
    """(n, K) of each example's known factors; DataError for examples that know of none."""
    if split.factors is None:
        raise DataError("These data know of no factors. Choose sprites.")
    return split.factors(torch.from_numpy(checked(split, ids))).cpu().numpy()


def batches(split: Split, ids: np.ndarray, shape: tuple[int, ...]) -> Iterator[Batch]:
    """The examples on the split's device, batch after batch, in the order of `ids`."""
    size = batch_size(shape)
    for start in range(0, len(ids), size):
        yield split.batch(torch.from_numpy(ids[start : start + size]))


def inputs(split: Split, ids: np.ndarray, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """x (B, *shape) of `batches`."""
    return (batch.x for batch in batches(split, ids, shape))


def map_batches(
    model: Model, split: Split, ids: np.ndarray, function: Callable[..., Tensor], seed: int = 0, told: bool = False
) -> np.ndarray:
    """function(x) for all of `ids`, joined: (n, …) float32. Call it with a function of the model's.

    told: of a model that attributes condition function(x, attributes), where the examples have them. A code that was
    made with attributes says nothing of them: it must be decoded with them, too.
    """
    ids, parts = checked(split, ids), []
    with evaluating(model, seed) as device:
        for batch in batches(split, ids, model.shape):
            attributes = batch.attributes if told and model.attributes else None
            y = () if attributes is None else (attributes.to(device),)
            parts.append(function(batch.x.to(device), *y).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, *model.shape), np.float32)


def encode(model: Model, split: Split, ids: np.ndarray, told: bool = False) -> np.ndarray:
    """Codes (n, D) float32; the posterior's means where there is one.  told: see `over`."""
    return map_batches(model, split, ids, require(model, "encode").encode, told=told)


def autoencode(model: Model, split: Split, ids: np.ndarray) -> np.ndarray:
    """Reconstructions (n, *shape) float32 of the undamaged inputs."""
    able = require(model, "encode", "decode")
    return map_batches(model, split, ids, lambda x, *y: able.decode(able.encode(x, *y), *y), told=True)


def decode(model: Model, codes: np.ndarray, *labels: Tensor) -> np.ndarray:
    """Codes (n, D) → (n, *shape) float32.  labels: (n,), for a model that is conditioned on them (`Model.told`)."""
    able = require(model, "decode")
    codes = np.ascontiguousarray(codes, dtype=np.float32)
    size = batch_size(model.shape)
    with evaluating(model) as device:
        parts = [
            able.decode(
                torch.from_numpy(codes[start : start + size]).to(device), *(y[start : start + size] for y in labels)
            )
            .float()
            .cpu()
            .numpy()
            for start in range(0, len(codes), size)
        ]
    return np.concatenate(parts) if parts else np.zeros((0, *model.shape), np.float32)
