"""What every data set looks like to the rest of the program.

A `Data` has two splits, `train` and `test`. A `Split` hands out a `Batch` for any
tensor of indices; the indices are the identity of an example everywhere (maps,
thumbnails, links), never its position on a screen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    mask: same shape as x, 1 where x was observed, or None where all of it was.
    attributes: (B, A) of 0 and 1, float32, in the order of the data's names, or None.
    """

    x: Tensor
    y: Tensor | None = None
    mask: Tensor | None = None
    attributes: Tensor | None = None


class DataSpec(BaseModel):
    """Which data, and how they are brought to shape: all that is needed to load them again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("digits", description="a name of `aecore.data.names()`, or 'images' for a path")
    size: int | None = Field(None, ge=8, le=128, description="side in pixels to which images are brought")
    grey: bool = Field(False, description="turn colour images to grey")
    limit: int | None = Field(None, ge=2, description="at most this many training images (a seeded choice)")
    path: str | None = Field(None, description="for 'images': a folder, a zip or an image file")


@runtime_checkable
class Split(Protocol):
    """Half of a data set. `labels` is a numpy array (N,) of ints, or None."""

    labels: np.ndarray | None

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> Batch:
        """The examples with these indices, as floats, on the split's device."""
        ...

    def to(self, device: torch.device | str) -> Split: ...


class Images:
    """Images kept as uint8 (N, C, H, W) on one device and indexed there: no DataLoader, no copies.

    labels: (N,) ints.  attributes: (N, A) float32 of 0 and 1.
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


class TensorSplit:
    """Examples (N, …) as they are: points of a plane, lines of a table, damaged images that leave [0, 1].

    labels: (N,) ints.
    """

    def __init__(self, x: Tensor, labels: np.ndarray | None = None):
        self.x, self.labels = x, labels
        self._y = None if labels is None else torch.as_tensor(labels, device=x.device)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self.x.device)
        return Batch(self.x[index], None if self._y is None else self._y[index])

    def to(self, device: torch.device | str) -> TensorSplit:
        return TensorSplit(self.x.to(device), self.labels)


@dataclass(frozen=True)
class Data:
    """A loaded data set.

    shape: (C, H, W) for images, (D,) for vectors.
    classes: names of the labels, by label; None without labels.
    factors: names of the known generative factors of each example, if any.
    attributes: names of what is known to be present or absent in each example (`Batch.attributes`), if any.
    source: one sentence that says where these data came from just now.
    attribution: whose work they are, and their licence.
    """

    spec: DataSpec
    title: str
    shape: tuple[int, ...]
    train: Split
    test: Split
    source: str
    attribution: str = ""
    classes: tuple[str, ...] | None = None
    factors: tuple[str, ...] = field(default=())
    attributes: tuple[str, ...] = field(default=())

    @property
    def kind(self) -> str:
        return "image" if len(self.shape) == 3 else "vector"

    def switched(self, attributes: np.ndarray, name: str, value: bool) -> np.ndarray:
        """Attributes (…, A) of these data with one switched, and with it what cannot stay (`attributes.switched`).

        Raises DataError for an attribute that the data do not have.
        """
        from .attributes import switched

        return switched(attributes, self.attributes, name, value, always_hair=self.spec.name == "faces")

    def to(self, device: torch.device | str) -> Data:
        from dataclasses import replace

        return replace(self, train=self.train.to(device), test=self.test.to(device))
