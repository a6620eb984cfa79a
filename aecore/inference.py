"""A model applied to a split, in batches of bounded memory.

Neither the model nor anybody's random numbers are changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64, Shaped
from torch import Generator, Tensor

from .data.base import Batch, Split
from .errors import DataError
from .models.base import Model

BATCH_VALUES = 200_000  # numbers in one batch: 256 digits. Larger ones leave the cache, and convolutions slow by half

Ids = Int[np.ndarray, "*n"] | Sequence[int]
"""Indices of examples in their split."""


@contextmanager
def evaluating(model: Model, seed: int = 0) -> Iterator[torch.device]:
    """A context in which the model is in eval mode, there are no gradients, and random numbers come from `seed`.

    Gives the model's device. Afterwards the model's mode and the random state are as before.
    """
    device, was_training = device_of(model), model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(seed)
            yield device
    finally:
        model.train(was_training)


def device_of(model: torch.nn.Module) -> torch.device:
    """The device of the model's parameters."""
    return next(model.parameters()).device


def generator(device: torch.device, seed: int) -> Generator:
    """A generator of random numbers on this device."""
    return Generator(device).manual_seed(seed)


def require(model: Model, *abilities: str) -> Any:
    """The model itself, if it has these abilities (`models.base.ABILITIES`); DataError where it lacks one."""
    lacking = [ability for ability in abilities if ability not in model.abilities]
    if lacking:
        raise DataError(f"{type(model).__name__} cannot {lacking[0]}. Choose another model for this view.")
    return model


def require_images(shape: tuple[int, ...]) -> None:
    """DataError where examples of this shape are no images."""
    if len(shape) != 3:
        raise DataError(f"This view shows images; these data are vectors of {shape[0]} numbers. Choose image data.")


def batch_size(shape: tuple[int, ...]) -> int:
    """How many examples of this shape go through a model at once: 8 to 1,000."""
    return int(np.clip(BATCH_VALUES // int(np.prod(shape)), 8, 1000))


def first(split: Split, limit: int | None = None) -> Int64[np.ndarray, " n"]:
    """The ids of the first `limit` examples of a split; of all without a limit."""
    return np.arange(min(len(split), limit or len(split)), dtype=np.int64)


def checked(split: Split, ids: Ids) -> Int64[np.ndarray, " n"]:
    """ids as int64 (n,); DataError for an id that the split does not have."""
    ids = np.asarray(ids, dtype=np.int64).reshape(-1)
    if len(ids) and (ids.min() < 0 or ids.max() >= len(split)):
        raise DataError(
            f"There is no example {ids.max() if ids.max() >= len(split) else ids.min()}: "
            f"this half of the data has {len(split):,}, counted from 0."
        )
    return ids


def examples(split: Split, ids: Ids) -> Float[Tensor, "n *shape"]:
    """x (n, *shape) of these examples; DataError for an id that the split does not have."""
    return split.batch(torch.from_numpy(checked(split, ids))).x


def attributes_of(split: Split, ids: Ids) -> Float32[np.ndarray, "n A"]:
    """(n, A) of 0 and 1; DataError for examples without attributes."""
    attributes = split.batch(torch.from_numpy(checked(split, ids))).attributes
    if attributes is None:
        raise DataError("These data know of no attributes. Choose faces, or pictures with a table of attributes.")
    return attributes.cpu().numpy()


def factors_of(split: Split, ids: Ids) -> Int64[np.ndarray, "n K"]:
    """(n, K), the known factors of each example; DataError where they are not known."""
    if split.factors is None:
        raise DataError("These data know of no factors. Choose sprites.")
    return split.factors(torch.from_numpy(checked(split, ids))).cpu().numpy()


def batches(split: Split, ids: Int64[np.ndarray, " n"], shape: tuple[int, ...]) -> Iterator[Batch]:
    """The examples on the split's device, batch after batch, in the order of `ids`."""
    size = batch_size(shape)
    for start in range(0, len(ids), size):
        yield split.batch(torch.from_numpy(ids[start : start + size]))


def inputs(split: Split, ids: Int64[np.ndarray, " n"], shape: tuple[int, ...]) -> Iterator[Tensor]:
    """x (B, *shape) of `batches`."""
    return (batch.x for batch in batches(split, ids, shape))


def map_batches(
    model: Model,
    split: Split,
    ids: Ids,
    function: Callable[..., Tensor],
    seed: int = 0,
    conditioned: bool = False,
) -> Float32[np.ndarray, "n *values"]:
    """function(x) of all examples, joined: (n, …).

    function: usually a method of the model.
    conditioned: call function(x, attributes) instead where attributes condition the model and the examples have them.
    A code that was encoded with attributes leaves them out, so it must be decoded with them, too.
    """
    ids, parts = checked(split, ids), []
    with evaluating(model, seed) as device:
        for batch in batches(split, ids, model.shape):
            attributes: tuple[Tensor, ...] = ()
            if conditioned and model.attributes and batch.attributes is not None:
                attributes = (batch.attributes.to(device),)
            parts.append(function(batch.x.to(device), *attributes).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, *model.shape), np.float32)


def encode(model: Model, split: Split, ids: Ids, conditioned: bool = False) -> Float32[np.ndarray, "n D"]:
    """Codes (n, D); where there is a posterior, its means.  conditioned: see `map_batches`."""
    return map_batches(model, split, ids, require(model, "encode").encode, conditioned=conditioned)


def autoencode(model: Model, split: Split, ids: Ids) -> Float32[np.ndarray, "n *shape"]:
    """Reconstructions (n, *shape) of the undamaged inputs."""
    able = require(model, "encode", "decode")

    def reconstruct(x: Tensor, *attributes: Tensor) -> Tensor:
        return able.decode(able.encode(x, *attributes), *attributes)

    return map_batches(model, split, ids, reconstruct, conditioned=True)


def decode(
    model: Model, codes: Float[np.ndarray, "n D"], *conditions: Shaped[Tensor, "n ..."]
) -> Float32[np.ndarray, "n *shape"]:
    """Codes (n, D) → (n, *shape).

    conditions: labels (n,) or attributes (n, A), for a model that they condition (`Model.condition`).
    """
    able = require(model, "decode")
    codes = np.ascontiguousarray(codes, dtype=np.float32)
    size = batch_size(model.shape)
    parts = []
    with evaluating(model) as device:
        for start in range(0, len(codes), size):
            batch = slice(start, start + size)
            z = torch.from_numpy(codes[batch]).to(device)
            parts.append(able.decode(z, *(values[batch] for values in conditions)).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, *model.shape), np.float32)
