"""A film: frames to play, pause and drag through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.browser.mount import nothing, register
from app.browser.pack import digest, memo, pack, pictures, png

_mount = register("film", Path(__file__).parent)


def film(
    frames: np.ndarray | Sequence[bytes],
    labels: Sequence[str],
    *,
    key: str,
    alt: str = "",
    start: int | None = None,
    fps: float = 12,
    follow: bool = False,
    height: int = 360,
    report: bool = False,
    on_change: Callable[[], None] | None = None,
) -> int | None:
    """Play, pause, drag or step through pictures: a training's previews, an interpolation.

    Arguments:
        frames: (S, H, W) or (S, H, W, 3) uint8, or a list of S PNG (or JPEG, WebP) files of one size.
        labels: (S,) shown with the frame, for instance "epoch 3".
        alt: what the film shows.
        start: the frame shown first; by default the last with `follow`, else the first.
        fps: frames a second when playing.
        follow: stay on the newest frame as new ones arrive, until the hand moves elsewhere.
        height: the largest height of the picture in CSS pixels.
        report: tell Python which frame the hand chose (starts a rerun).
        on_change: called before that rerun.

    Returns: the frame chosen last, or None.

    Frames that the browser already has are not decoded again when new ones are added.
    """
    files = None if isinstance(frames, np.ndarray) else [bytes(file) for file in frames]
    stills = pictures(frames, "frames") if isinstance(frames, np.ndarray) else np.empty((0, 1, 1), np.uint8)
    count = len(stills) if files is None else len(files)
    if count == 0 or len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} frames; at least one frame and a label for each are needed")
    settings = {
        "labels": [str(label) for label in labels],
        "alt": alt or "Film",
        "start": None if start is None else int(np.clip(start, 0, count - 1)),
        "fps": float(fps),
        "follow": follow,
        "height": int(height),
        "report": report,
    }
    names = [digest(frame) for frame in (stills if files is None else files)]
    name = digest(names, settings)

    def build() -> bytes:
        encoded = files or [memo.get(f"frame:{n}", lambda f=f: png(f)) for n, f in zip(names, stills, strict=False)]
        return pack(dict(settings, digest=name, frames=names), **{f"frame_{i}": f for i, f in enumerate(encoded)})

    result = _mount(key=key, data=memo.get(f"film:{name}", build), on_frame_change=on_change or nothing)
    chosen = result.get("frame")
    return None if chosen is None or not 0 <= int(chosen) < count else int(chosen)
