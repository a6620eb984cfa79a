"""What every data set looks like to the rest of the program.

A `Data` has two splits, `train` and `test`. A `Split` returns a `Batch` for any tensor of indices. Everywhere (in maps,
thumbnails and links) an example is known by its index in its split, never by its position on a screen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..errors import DataError


class Batch(NamedTuple):
    """One minibatch, on the device of its data.

    x: (B, C, H, W) images in [0, 1], or (B, D) vectors; float32.
    y: (B,) class labels, int64, or None.
    mask: of the shape of x, 1 where x was observed and 0 elsewhere, or None where all of x was.
    attributes: (B, A) of 0 and 1, float32, in the order of `Data.attributes`, or None.
    """

    x: Tensor
    y: Tensor | None = None
    mask: Tensor | None = None
    attributes: Tensor | None = None


DEFAULT = "digits"
"""The data set of a spec that names none."""


class DataSpec(BaseModel):
    """Which data, and their size and number: all that is needed to load them again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default=DEFAULT, description="a name of `aecore.data.names()`, or 'images' for a path")
    size: int | None = Field(default=None, ge=8, le=128, description="side in pixels to which images are brought")
    grey: bool = Field(default=False, description="turn colour images to grey")
    limit: int | None = Field(default=None, ge=2, description="at most this many training images (a seeded choice)")
    path: str | None = Field(default=None, description="for 'images': a folder, a zip or an image file")


def choose(n: int, limit: int | None, seed: int = 0) -> np.ndarray:
    """Which of n examples a limit keeps, in ascending order; a smaller limit keeps a part of what a larger one keeps.

    limit: None keeps all; see `DataSpec.limit`. seed: of the choice. Returns (min(n, limit),) int64.
    """
    if limit is None or limit >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).permutation(n)[:limit])


@runtime_checkable
class Split(Protocol):
    """One part of a data set: the training examples, or the held-out ones.

    A split class inherits from this one and overrides what it knows; the rest stays None.
    labels: (N,) ints, the class of each example.
    attributes: (N, A) float32 of 0 and 1, in the order of `Data.attributes`.
    nuisance: (N, K) float32 from −1 to 1, all else that a drawn example was made from.
    factors: index (B,) → (B, F) long from 0, the values of the generative factors, in the order of `Data.factors`.
    redrawn: index (B,), attributes (B, A) → (B, C, H, W): the same examples drawn with other attributes.
    """

    labels: np.ndarray | None = None
    attributes: np.ndarray | None = None
    nuisance: np.ndarray | None = None
    factors: Callable[[Tensor], Tensor] | None = None
    redrawn: Callable[[Tensor, Tensor], Tensor] | None = None

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> Batch:
        """The examples with these indices, as floats, on the split's device."""
        ...

    def to(self, device: torch.device | str) -> Split:
        """The same examples on a device."""
        ...


class Images(Split):
    """Images kept as uint8 on one device and indexed there, without a DataLoader and without copies.

    pixels: (N, C, H, W) uint8.  labels: (N,) ints.  attributes: (N, A) float32 of 0 and 1.
    Raises DataError for pixels of another type or number of axes.
    """

    def __init__(self, pixels: Tensor, labels: np.ndarray | None = None, attributes: np.ndarray | None = None):
        if pixels.dtype != torch.uint8 or pixels.ndim != 4:
            raise DataError(f"images must be uint8 (N, C, H, W), not {pixels.dtype} {tuple(pixels.shape)}")
        self.pixels = pixels
        self.labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        self._y = None if labels is None else torch.as_tensor(self.labels, device=pixels.device)
        self.attributes = attributes
        self._a = None if attributes is None else torch.as_tensor(attributes, device=pixels.device)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self.pixels.device)
        x = self.pixels[index].to(torch.float32).div_(255)
        y, a = (None if values is None else values[index] for values in (self._y, self._a))
        return Batch(x, y, attributes=a)

    def to(self, device: torch.device | str) -> Images:
        return Images(self.pixels.to(device), self.labels, self.attributes)


class TensorSplit(Split):
    """Examples (N, …) kept as they are: points of a plane, rows of a table, damaged images that leave [0, 1].

    labels: (N,) ints.  attributes: (N, A) float32 of 0 and 1.
    """

    def __init__(self, x: Tensor | np.ndarray, labels: np.ndarray | None = None, attributes: np.ndarray | None = None):
        self.x, self.labels, self.attributes = torch.as_tensor(x), labels, attributes
        self._y, self._a = (
            None if values is None else torch.as_tensor(values, device=self.x.device) for values in (labels, attributes)
        )

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self.x.device)
        y, a = (None if values is None else values[index] for values in (self._y, self._a))
        return Batch(self.x[index], y, attributes=a)

    def to(self, device: torch.device | str) -> TensorSplit:
        return TensorSplit(self.x.to(device), self.labels, self.attributes)


class Modes(NamedTuple):
    """The modes of a known mixture of Gaussians.  centres: (M, D).  std: σ of each."""

    centres: Tensor
    std: float


@dataclass(frozen=True)
class Data:
    """A loaded data set.

    shape: (C, H, W) for images, (D,) for vectors.
    classes: names of the labels, by label; None without labels.
    factors: names of the known generative factors of each example, if any.
    attributes: names of what is known to be present or absent in each example, if any (`Batch.attributes`).
    modes: the modes that the examples were drawn from, where they are known.
    rows: "users" or "items", what an example is where the data are ratings; None for other data.
    always_hair: whether one of the attributes that are hair colours is present in every example, bald ones included.
    source: a sentence that says where these data were loaded from.
    damaged: a warning that names damaged copies of this data set, which were passed over; "" without any.
    attribution: who made them, and their licence.
    """

    spec: DataSpec
    title: str
    shape: tuple[int, ...]
    train: Split
    test: Split
    source: str
    attribution: str = ""
    classes: tuple[str, ...] | None = None
    factors: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    modes: Modes | None = None
    rows: str | None = None
    always_hair: bool = False
    damaged: str = ""

    @property
    def kind(self) -> str:
        """ "image", "vector" or "ratings", as in `Info.kind` and `Entry.kinds`."""
        if self.rows is not None:
            return "ratings"
        return "image" if len(self.shape) == 3 else "vector"

    def to(self, device: torch.device | str) -> Data:
        """The same data with both splits on a device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))
