"""Size, grey and limit of a spec, applied in the same way to every data set of stored images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import Data, DataSpec, Images, choose
from . import memmap

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601, as in Pillow's mode L)."""


def to_grey(pixels: Tensor) -> Tensor:
    """Grey images: round(0.299 R + 0.587 G + 0.114 B).

    pixels: (N, C, H, W) uint8, C = 1 or 3. Returns (N, 1, H, W) uint8; grey images are returned as they are.
    """
    if pixels.shape[1] == 1:
        return pixels
    weights = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
    return (pixels.float() * weights).sum(1, keepdim=True).round_().clamp_(0, 255).to(torch.uint8)


def crop_square(pixels: Tensor) -> Tensor:
    """The central square of each image. Images are cropped, not padded, because a model would learn the bars.

    pixels: (N, C, H, W). Returns a view (N, C, S, S) with S = min(H, W).
    """
    H, W = pixels.shape[-2:]
    S = min(H, W)
    top, left = (H - S) // 2, (W - S) // 2
    return pixels[..., top : top + S, left : left + S]


def resize(pixels: Tensor, size: int) -> Tensor:
    """Images of size × size: the central square, resized bilinearly with antialiasing.

    pixels: (N, C, H, W) uint8. Returns (N, C, size, size) uint8.
    """
    pixels = crop_square(pixels)
    if pixels.shape[-1] == size:
        return pixels
    x = F.interpolate(pixels.float(), size=(size, size), mode="bilinear", antialias=True)
    return x.round_().clamp_(0, 255).to(torch.uint8)


def shaped(pixels: np.ndarray, spec: DataSpec, name: str, chunk: int = 2048) -> Tensor:
    """The images of one split with the size and channels of a spec. Computed chunk by chunk, so that only the result
    takes memory.

    pixels: (N, C, H, W) uint8. name: a name of this split that no other split has. Returns (N, C', S, S) uint8.
    """
    N, C, H, W = pixels.shape
    size = spec.size or min(H, W)
    channels = 1 if spec.grey else C
    if (channels, size, size) == (C, H, W):
        return torch.from_numpy(np.ascontiguousarray(pixels))

    def fill(out: np.ndarray) -> dict[str, Any]:
        for i in range(0, N, chunk):
            x = torch.from_numpy(np.ascontiguousarray(pixels[i : i + chunk]))
            out[i : i + chunk] = resize(to_grey(x) if spec.grey else x, size).numpy()
        return {}

    array, _ = memmap.filled((N, channels, size, size), memmap.key(name, N, C, H, W, size, channels), fill)
    return torch.from_numpy(array)


def finish(
    spec: DataSpec,
    train: tuple[np.ndarray, np.ndarray | None],
    test: tuple[np.ndarray, np.ndarray | None],
    **fields: Any,
) -> Data:
    """A `Data` from stored images, with the size, channels and limit of the spec.

    train, test: pixels (N, C, H, W) uint8, and labels (N,) or None.
    fields: the remaining fields of `Data` (title, source, attribution, classes).
    """
    pixels, labels = train
    if spec.limit is not None and spec.limit < len(pixels):
        chosen = choose(len(pixels), spec.limit)
        pixels, labels = pixels[chosen], None if labels is None else labels[chosen]
    name = f"{spec.name}/{spec.limit}"
    split = Images(shaped(pixels, spec, f"{name}/train"), labels)
    held_out = Images(shaped(test[0], spec, f"{name}/test"), test[1])
    shape = tuple(split.pixels.shape[1:])
    return Data(spec=spec, shape=shape, train=split, test=held_out, **fields)
