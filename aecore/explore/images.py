"""Arrays of a model as images for people: uint8, channels last, small enough to send."""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import Num, UInt8
from PIL import Image
from torch.nn import functional as F

GAP = 2  # pixels between two tiles


def fit(shape: tuple[int, ...], side: int | None) -> tuple[int, int]:
    """Height and width of (C, H, W) brought to at most `side` pixels."""
    height, width = shape[-2:]
    if side is None or max(height, width) <= side:
        return height, width
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_uint8(images: Num[np.ndarray, "N C H W"], side: int | None = None) -> UInt8[np.ndarray, "N h w *rgb"]:
    """(N, C, H, W), clipped to [0, 1] → (N, H, W), or (N, H, W, 3) for colour.

    side: pictures with a longer side are shrunk to it by averaging areas.
    """
    x = torch.as_tensor(images)
    size = fit(x.shape, side)
    if size != tuple(x.shape[-2:]):
        x = F.interpolate(x, size, mode="area")
    pixels = x.nan_to_num(0.0).clamp(0, 1).mul(255).add(0.5).to(torch.uint8)  # (N, C, H, W)
    pixels = pixels[:, 0] if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy())


def grid(
    tiles: UInt8[np.ndarray, "N H W *rgb"], columns: int, gap: int = GAP, paper: int = 128
) -> UInt8[np.ndarray, "height width *rgb"]:
    """Tiles (N, H, W[, 3]) row by row in one image, with `gap` pixels of the grey value `paper` between them."""
    n, height, width = tiles.shape[:3]
    rows = -(-n // columns)
    sheet = np.full((rows, columns, height + gap, width + gap, *tiles.shape[3:]), paper, np.uint8)
    sheet.reshape(rows * columns, *sheet.shape[2:])[:n, :height, :width] = tiles
    sheet = sheet.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[3:])
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def png(image: UInt8[np.ndarray, "H W *channels"], level: int = 6) -> bytes:
    """A PNG file of an image (H, W) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", compress_level=level)
    return file.getvalue()
