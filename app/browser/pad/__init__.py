"""A pad to draw a digit on.

Own component, although streamlit-drawable-canvas 0.13 works with our Streamlit: it cannot be drawn on with the
keyboard, says nothing to a screen reader and keeps a fixed width, and ours sends strokes of a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from app.browser.mount import nothing, register

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
    """Draw with mouse, pen, finger or keys; undo and clear.

    Arguments:
        shape: (H, W) of the returned picture.
        label: the pad's name, for readers and screen readers.
        size: of the pad in CSS pixels; narrower pages shrink it.
        centre: scale and centre as MNIST does (see `rasterise`).
        on_change: called before the rerun that follows a stroke.

    Returns: uint8 (H, W), white on black, or None while nothing is drawn.
    """
    result = _mount(key=key, data={"label": label, "size": int(size)}, on_strokes_change=on_change or nothing)
    strokes = result.get("strokes") or []
    return rasterise(strokes, shape, centre=centre) if strokes else None


def rasterise(
    strokes: Sequence[Sequence[float]],
    shape: tuple[int, int] = (28, 28),
    *,
    centre: bool = True,
    thickness: float = 0.085,
) -> np.ndarray:
    """Strokes as an antialiased picture.

    Arguments:
        strokes: each a flat list x, y, x, y, ... with 0 the left or top edge of the pad and 1 the right or bottom.
        shape: (H, W) of the picture.
        centre: as MNIST: the drawing is fitted into the middle 20/28 of the picture, keeping its proportions, then
            moved so that its centre of mass is the picture's centre.
        thickness: of the line, as a part of the pad's side.

    Returns: uint8 (H, W), white on black.
    """
    height, width = shape
    fine = 8 * max(height, width)
    canvas = Image.new("L", (fine, fine), 0)
    draw = ImageDraw.Draw(canvas)
    radius = thickness * fine / 2
    for stroke in strokes:
        flat = np.clip(np.asarray(stroke, float), 0, 1)
        xy = flat[: len(flat) // 2 * 2].reshape(-1, 2) * fine
        if len(xy) > 1:
            draw.line([tuple(p) for p in xy], fill=255, width=max(1, round(2 * radius)))
        for x, y in xy:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    if not centre or canvas.getbbox() is None:
        return np.asarray(canvas.resize((width, height), Image.Resampling.BOX))
    canvas = canvas.crop(canvas.getbbox())
    scale = min(width, height) * 20 / 28 / max(canvas.size)
    box = [max(1, round(side * scale)) for side in canvas.size]
    small = np.asarray(canvas.resize(box, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR), float)
    ys, xs = np.mgrid[: small.shape[0], : small.shape[1]]
    top = round((height - 1) / 2 - float((ys * small).sum() / small.sum()))
    left = round((width - 1) / 2 - float((xs * small).sum() / small.sum()))
    top, left = np.clip(top, 0, height - small.shape[0]), np.clip(left, 0, width - small.shape[1])
    out = np.zeros((height, width), np.uint8)
    out[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return out
