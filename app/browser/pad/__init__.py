"""A pad to draw a digit on.

The package streamlit-drawable-canvas 0.13 would work as well, but it cannot be used with the keyboard or with a screen
reader, has a fixed width, and sends images, whereas this one sends strokes of a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from app.browser.mount import no_callback, register

_mount = register("pad", Path(__file__).parent)


def pad(
    key: str,
    shape: tuple[int, int] = (28, 28),
    *,
    label: str = "Draw here",
    size: int = 280,
    centre: bool = True,
    on_change: Callable[[], None] | None = None,
) -> np.ndarray | None:
    """A pad for mouse, pen, finger or keys, with buttons to undo and to clear.

    Arguments:
        shape: (H, W) of the returned image.
        label: the pad's name for screen readers.
        size: side of the pad in CSS pixels; on narrow pages it is smaller.
        centre: whether to scale and centre the drawing as in MNIST; see `rasterise`.
        on_change: called before the rerun that follows a stroke.

    Returns: uint8 (H, W), white on black, or None while nothing is drawn.
    """
    result = _mount(key=key, data={"label": label, "size": int(size)}, on_strokes_change=on_change or no_callback)
    strokes = result.get("strokes") or []
    return rasterise(strokes, shape, centre=centre) if strokes else None


def rasterise(
    strokes: Sequence[Sequence[float]],
    shape: tuple[int, int] = (28, 28),
    *,
    centre: bool = True,
    thickness: float = 0.085,
) -> np.ndarray:
    """Draw strokes as an antialiased image.

    Arguments:
        strokes: each a flat list x, y, x, y, ..., where 0 is the left or top edge of the pad and 1 the right or bottom.
        shape: (H, W) of the image.
        centre: as in MNIST, whether to scale the drawing so that its longer side is 20/28 of the image's shorter one,
            and to move its centre of mass to the middle.
        thickness: of the line, as a fraction of the pad's side.

    Returns: uint8 (H, W), white on black.
    """
    height, width = shape
    side = 8 * max(height, width)
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    radius = thickness * side / 2
    for stroke in strokes:
        flat = np.clip(np.asarray(stroke, float), 0, 1)
        points = flat[: len(flat) // 2 * 2].reshape(-1, 2) * side
        if len(points) > 1:
            draw.line([tuple(point) for point in points], fill=255, width=max(1, round(2 * radius)))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    if not centre or canvas.getbbox() is None:
        return np.asarray(canvas.resize((width, height), Image.Resampling.BOX))
    canvas = canvas.crop(canvas.getbbox())
    scale = min(width, height) * 20 / 28 / max(canvas.size)
    scaled_size = [max(1, round(length * scale)) for length in canvas.size]
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    drawing = np.asarray(canvas.resize(scaled_size, resampling), float)
    ys, xs = np.mgrid[: drawing.shape[0], : drawing.shape[1]]
    top = round((height - 1) / 2 - float((ys * drawing).sum() / drawing.sum()))
    left = round((width - 1) / 2 - float((xs * drawing).sum() / drawing.sum()))
    top, left = np.clip(top, 0, height - drawing.shape[0]), np.clip(left, 0, width - drawing.shape[1])
    image = np.zeros((height, width), np.uint8)
    image[top : top + drawing.shape[0], left : left + drawing.shape[1]] = drawing.round()
    return image
