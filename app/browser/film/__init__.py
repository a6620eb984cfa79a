"""A film: frames to play, to pause and to drag through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.browser.mount import no_callback, register
from app.browser.pack import as_images, digest, memo, pack, png

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
    """Play, pause, drag or step through images, for instance the previews of a training or an interpolation.

    Arguments:
        frames: (S, H, W) or (S, H, W, 3) uint8, or a list of S PNG, JPEG or WebP files of one size.
        labels: (S,) shown with the frames, for instance "epoch 3".
        alt: what the film shows, for screen readers.
        start: the frame shown first; by default the last with `follow`, else the first.
        fps: frames per second when playing.
        follow: whether to show the newest frame as new ones arrive, until the user chooses another.
        height: largest height of the image in CSS pixels.
        report: whether Python hears which frame the user chose, which starts a rerun.
        on_change: called before that rerun.

    Returns: the frame that was chosen last, or None.

    Raises ValueError if there is no frame or the number of labels differs from that of the frames.

    Frames that the browser already has are not decoded again when new ones are added.
    """
    files = None if isinstance(frames, np.ndarray) else [bytes(file) for file in frames]
    images = as_images(frames, "frames") if isinstance(frames, np.ndarray) else np.empty((0, 1, 1), np.uint8)
    count = len(images) if files is None else len(files)
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
    names = [digest(frame) for frame in (images if files is None else files)]
    name = digest(names, settings)

    def build() -> bytes:
        encoded = files or [
            memo.get(f"frame:{frame_name}", lambda image=image: png(image))
            for frame_name, image in zip(names, images, strict=True)
        ]
        sections = {f"frame_{i}": file for i, file in enumerate(encoded)}
        return pack(dict(settings, digest=name, frames=names), **sections)

    result = _mount(key=key, data=memo.get(f"film:{name}", build), on_frame_change=on_change or no_callback)
    chosen = result.get("frame")
    return None if chosen is None or not 0 <= int(chosen) < count else int(chosen)
