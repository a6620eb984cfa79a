"""A drawer: images that come into being pixel by pixel, with the probabilities of the next pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from app.browser.mount import no_callback, register, settle
from app.browser.pack import digest, memo, pack

_mount = register("drawer", Path(__file__).parent)


class Stage(TypedDict):
    """How far the drawing is."""

    pixel: int  # how many pixels are drawn
    image: int  # index of the image that is shown large


def drawer(
    images: np.ndarray,
    chances: np.ndarray,
    order: np.ndarray,
    *,
    key: str,
    known: np.ndarray | None = None,
    field: np.ndarray | None = None,
    alt: str = "",
    state: Stage | dict[str, Any] | None = None,
    report: bool = True,
    on_change: Callable[[], None] | None = None,
) -> Stage:
    """Play, step and scrub through the drawing of images. A click on a pixel goes to the moment before it is drawn.

    Arguments:
        images: (n, C, H, W) in [0, 1], C 1 or 3.
        chances: (n, C, K, H, W), for each pixel the probability, given the pixels before it, of each of K values or of
            each of K equal ranges of values.
        order: (H W, 2), row and column of the pixels in the order in which they are drawn.
        known: (H, W) bool, the pixels that are given at the start.
        field: (2H − 1, 2W − 1) from 0 to 1, the influence on a pixel of another one at the offset
            (row, column) − (H − 1, W − 1); it tints what the next pixel depends on.
        alt: what the images are, for screen readers.
        state: where to start, for instance from the link. Later it is obeyed only when it is new; see `settle`.
        report: whether Python hears where the user stopped, which starts a rerun.
        on_change: called before that rerun.

    Returns: the stage that was reported last.

    Raises ValueError for shapes that do not fit each other.
    """
    images = np.rint(255 * np.asarray(images)).astype(np.uint8)
    chances = np.rint(255 * np.asarray(chances)).astype(np.uint8)
    n, channels, height, width = images.shape
    if chances.ndim != 5 or np.delete(chances.shape, 2).tolist() != list(images.shape) or channels not in (1, 3):
        raise ValueError(f"images {images.shape} and chances {chances.shape} must be alike, of 1 or 3 channels")
    order = np.asarray(order)
    pixels = np.ascontiguousarray(order[:, 0] * width + order[:, 1], np.int32)
    if not np.array_equal(np.sort(pixels), np.arange(height * width)):
        raise ValueError(f"order must name each of {height} × {width} pixels once")
    given = np.zeros((height, width), np.uint8) if known is None else np.ascontiguousarray(known, np.uint8)
    sections = {"images": images, "chances": chances, "order": pixels, "known": given}
    if field is not None:
        sections["field"] = np.ascontiguousarray(field, np.float32).reshape(2 * height - 1, 2 * width - 1)
    first_drawn = int(np.argmin(given.ravel()[pixels])) if not given.all() else height * width
    by_columns = len(pixels) > 1 and pixels[1] - pixels[0] not in (1, -1)
    meta = {
        "images": n,
        "channels": channels,
        "levels": chances.shape[2],
        "height": height,
        "width": width,
        "alt": alt,
        "report": report,
        "start": first_drawn,
        "line": height if by_columns else width,
    }
    name = digest(meta, list(sections), list(sections.values()))
    sent = settle(key, "view", state)

    def build() -> bytes:
        return pack({**meta, "digest": name, **sent}, **sections)

    result = _mount(
        key=key,
        data=memo.get(f"drawer:{name}:{digest(repr(sent))}", build),
        on_view_change=on_change or no_callback,
    )
    stage = {"pixel": first_drawn, "image": 0}
    stage |= {name: value for name, value in (sent["state"] or {}).items() if name in stage}
    stage |= dict(result.get("view") or {})
    # There may be fewer pixels or images than in the state that the browser reported last.
    return Stage(pixel=min(stage["pixel"], height * width), image=min(stage["image"], n - 1))
