"""A drawer: images that come to be pixel after pixel, with the chances of the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from app.browser.mount import nothing, register, settle
from app.browser.pack import digest, memo, pack

_mount = register("drawer", Path(__file__).parent)


class Stage(TypedDict):
    """pixel: how many pixels are drawn.  image: which one is shown large."""

    pixel: int
    image: int


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
    """Play, step and scrub through the making of images; a click on a pixel goes to the moment before it is drawn.

    Arguments:
        images: (n, C, H, W) in [0, 1], C 1 or 3.
        chances: (n, C, K, H, W), of each value being one of K levels, or in one of K equal ranges of them, given those
            before it.
        order: (H W, 2), row and column of each pixel as they follow each other.
        known: (H, W) bool, pixels that were there from the start.
        field: (2H − 1, 2W − 1) from 0 to 1, how much a pixel looks at another that lies (row, column) − (H − 1, W − 1)
            from it; tints what the next pixel sees.
        alt: what a reader who cannot see it should know.
        state: where to start, from the link; later it counts only when it is news.
        report: tell Python where it was let go (starts a rerun).
        on_change: called before that rerun.

    Returns: the stage as last reported.

    Raises ValueError for shapes that do not fit each other.
    """
    images = np.rint(255 * np.asarray(images)).astype(np.uint8)
    chances = np.rint(255 * np.asarray(chances)).astype(np.uint8)
    n, channels, height, width = images.shape
    if chances.ndim != 5 or np.delete(chances.shape, 2).tolist() != list(images.shape) or channels not in (1, 3):
        raise ValueError(f"images {images.shape} and chances {chances.shape} must be alike, of 1 or 3 channels")
    flat = np.ascontiguousarray(np.asarray(order)[:, 0] * width + np.asarray(order)[:, 1], np.int32)
    if not np.array_equal(np.sort(flat), np.arange(height * width)):
        raise ValueError(f"order must name each of {height} × {width} pixels once")
    there = np.zeros((height, width), np.uint8) if known is None else np.ascontiguousarray(known, np.uint8)
    sections = {"images": images, "chances": chances, "order": flat, "known": there}
    if field is not None:
        sections["field"] = np.ascontiguousarray(field, np.float32).reshape(2 * height - 1, 2 * width - 1)
    first = int(np.argmin(there.ravel()[flat])) if not there.all() else height * width
    columns = len(flat) > 1 and flat[1] - flat[0] not in (1, -1)
    meta = {
        "images": n,
        "channels": channels,
        "levels": chances.shape[2],
        "height": height,
        "width": width,
        "alt": alt,
        "report": report,
        "start": first,
        "line": height if columns else width,
    }
    name = digest(meta, list(sections), list(sections.values()))
    sent = settle(key, "view", state)
    result = _mount(
        key=key,
        data=memo.get(
            f"drawer:{name}:{digest(repr(sent))}", lambda: pack({**meta, "digest": name, **sent}, **sections)
        ),
        on_view_change=on_change or nothing,
    )
    view = {"pixel": first, "image": 0} | {k: v for k, v in (sent["state"] or {}).items() if k in ("pixel", "image")}
    view |= dict(result.get("view") or {})
    # The browser tells a moment later that it has fewer pixels or images now.
    return Stage(pixel=min(view["pixel"], height * width), image=min(view["image"], n - 1))
