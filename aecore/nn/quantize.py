"""Weights in few bits: 12 bits each in published examples, text at half precision in stored studies."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

BITS, SCALE = "|12 bits", "|scale"
"""Suffixes of the names of a packed tensor's two parts."""
LARGEST = 2047  # magnitude of a whole number of 12 bits
LEAST = 2048  # smaller tensors are not worth packing


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store every large floating-point matrix as whole numbers of 12 bits, and everything else as it is.

    Each row (index of the first dimension) is divided by its scale, which is its largest magnitude / 2047. Two numbers
    fill three bytes. "name" becomes "name|12 bits", uint8, and "name|scale", (rows,) float32.
    """
    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not value.is_floating_point() or value.ndim < 2 or value.numel() < LEAST:
            packed[name] = value
            continue
        rows = value.detach().float().flatten(1)
        scale = rows.abs().amax(1).clamp_min(1e-30) / LARGEST
        whole = (rows / scale[:, None]).round().to(torch.int32).flatten() + LARGEST
        a, b = torch.nn.functional.pad(whole, (0, len(whole) % 2)).view(-1, 2).unbind(1)
        packed[name + BITS] = torch.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], 1).to(torch.uint8).flatten()
        packed[name + SCALE] = scale
    return packed


def unpack(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The inverse of `pack`, exact to half a scale. A tensor that does not fit its shape stays packed.

    shapes: of the model's tensors, by name.
    """
    unpacked = dict(tensors)
    for name, shape in shapes.items():
        three, scale = tensors.get(name + BITS), tensors.get(name + SCALE)
        if three is None or scale is None or not len(shape) or scale.numel() != shape[0]:
            continue
        if three.numel() != 3 * -(-shape.numel() // 2):
            continue
        del unpacked[name + BITS], unpacked[name + SCALE]
        first, middle, last = three.to(torch.int32).view(-1, 3).unbind(1)
        whole = torch.stack([first << 4 | middle >> 4, (middle & 15) << 8 | last], 1).flatten()[: shape.numel()]
        unpacked[name] = ((whole - LARGEST).float().view(shape[0], -1) * scale[:, None]).view(shape)
    return unpacked


def to_text(tensors: Mapping[str, Tensor]) -> dict[str, list]:
    """Tensors as JSON values, at half precision: {name: [shape, base64]}."""
    return {
        name: [list(value.shape), base64.b64encode(value.cpu().numpy().astype(np.float16).tobytes()).decode()]
        for name, value in tensors.items()
    }


def from_text(tensors: Mapping[str, Sequence]) -> dict[str, Tensor]:
    """The inverse of `to_text`, float32."""
    return {
        name: torch.from_numpy(np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32).reshape(shape))
        for name, (shape, text) in tensors.items()
    }
