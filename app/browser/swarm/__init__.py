"""A swarm: points of the plane that move from step to step under one track, in one pane or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.browser.mount import nothing, register, settle
from app.browser.pack import digest, memo, pack

_mount = register("swarm", Path(__file__).parent)


@dataclass(frozen=True)
class Dots:
    """Points that belong together.

    points: (N, 2), or (S, N, 2) where they move.  colour: "#rrggbb"; "" is the page's first colour.
    labels: (N,) int, coloured by class in place of `colour` (−1: none).  name: in the legend; "" is not named there.
    size: diameter in CSS pixels.  opacity: from 0 to 1.
    """

    points: np.ndarray
    colour: str = ""
    labels: np.ndarray | None = None
    name: str = ""
    size: float = 7
    opacity: float = 1.0


@dataclass(frozen=True)
class Field:
    """One square of the plane.

    title: above it.  sets: drawn one after the other.  extent: (x0, x1, y0, y1); what lies outside shows at the edge.
    segments: (M, 4) lines x, y to x, y below the points.  rings: (M, 3) circles x, y, radius.
    notes: one line below it for each step, or a single one.
    """

    title: str
    sets: Sequence[Dots]
    extent: tuple[float, float, float, float]
    segments: np.ndarray | None = None
    rings: np.ndarray | None = None
    notes: Sequence[str] = ()


def swarm(
    fields: Sequence[Field],
    *,
    key: str,
    steps: Sequence[str] = ("",),
    start: int | None = None,
    alt: str = "",
    fps: float = 12,
    step: int | None = None,
    report: bool = True,
    on_change: Callable[[], None] | None = None,
) -> int:
    """Points over the steps of something: play, drag, or step through them with the arrow keys.

    Arguments:
        fields: squares side by side.
        steps: their names; with two or more, a track and a play button step through.
        start: the step shown first; by default the last.
        alt: what a reader who cannot see it should know.
        fps: steps a second when playing.
        step: where to start, from the link; later it counts only when it is news.
        report: tell Python where the track was let go (starts a rerun).
        on_change: called before that rerun.

    Returns: the step as last reported.

    Raises ValueError for points, labels or notes that do not fit the steps.
    """
    sections: dict[str, np.ndarray] = {}
    metas = []
    for i, field in enumerate(fields):
        sets = []
        for j, dots in enumerate(field.sets):
            points = np.ascontiguousarray(dots.points, np.float32)
            points = points[None] if points.ndim == 2 else points
            if points.ndim != 3 or points.shape[2] != 2 or len(points) not in (1, len(steps)):
                raise ValueError(f"{field.title}: points {points.shape} must be (N, 2) or ({len(steps)}, N, 2)")
            if dots.labels is not None and len(dots.labels) != points.shape[1]:
                raise ValueError(f"{field.title}: {len(dots.labels)} labels for {points.shape[1]} points")
            sections[f"points_{i}_{j}"] = points
            if dots.labels is not None:
                sections[f"labels_{i}_{j}"] = np.ascontiguousarray(dots.labels, np.int32)
            sets.append(
                {
                    "colour": dots.colour,
                    "name": dots.name,
                    "size": float(dots.size),
                    "opacity": float(dots.opacity),
                    "steps": len(points),
                }
            )
        for name, values, width in (("segments", field.segments, 4), ("rings", field.rings, 3)):
            if values is not None:
                sections[f"{name}_{i}"] = np.ascontiguousarray(values, np.float32).reshape(-1, width)
        if len(field.notes) not in (0, 1, len(steps)):
            raise ValueError(f"{field.title}: {len(field.notes)} notes for {len(steps)} steps")
        metas.append(
            {
                "title": field.title,
                "sets": sets,
                "extent": [float(v) for v in field.extent],
                "notes": [str(note) for note in field.notes],
            }
        )
    last = len(steps) - 1
    meta = {
        "panes": metas,
        "steps": [str(name) for name in steps],
        "fps": float(fps),
        "report": report,
        "alt": alt,
        "start": last if start is None else int(np.clip(start, 0, last)),
    }
    name = digest(meta, list(sections), list(sections.values()))
    sent = settle(key, "view", None if step is None else {"step": int(np.clip(step, 0, last))})
    result = _mount(
        key=key,
        data=memo.get(f"swarm:{name}:{digest(repr(sent))}", lambda: pack({**meta, "digest": name, **sent}, **sections)),
        on_view_change=on_change or nothing,
    )
    reported = (result.get("view") or sent["state"] or {}).get("step", meta["start"])
    return int(np.clip(reported, 0, last))
