"""A swarm: points on a plane that move from step to step under one slider, in one or several squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.browser.mount import no_callback, register, settle
from app.browser.pack import digest, memo, pack

_mount = register("swarm", Path(__file__).parent)


@dataclass(frozen=True)
class Dots:
    """Points that belong together.

    Arguments:
        points: (N, 2), or (S, N, 2) for points that move over S steps.
        colour: "#rrggbb"; by default the page's primary colour.
        labels: (N,) int from 0 (−1: no label), which give each point the colour of its class instead.
        name: in the legend; "" leaves the points out of it.
        size: diameter in CSS pixels.
        opacity: from 0 to 1.
    """

    points: np.ndarray
    colour: str = ""
    labels: np.ndarray | None = None
    name: str = ""
    size: float = 7
    opacity: float = 1.0


@dataclass(frozen=True)
class Field:
    """One square part of the plane.

    Arguments:
        title: the text above it.
        sets: drawn one after another.
        extent: (x0, x1, y0, y1); a point outside is drawn at the edge.
        segments: (M, 4), lines from x, y to x, y, drawn below the points.
        rings: (M, 3), circles given by x, y and radius.
        notes: a line of text below it for each step, a single one for all, or none.
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
    """Points over the steps of a process: play, drag, or step with the arrow keys.

    Arguments:
        fields: squares side by side.
        steps: names of the steps; two or more get a slider and a play button.
        start: index of the step shown first; by default the last.
        alt: what is shown, for screen readers.
        fps: steps per second when playing.
        step: where to start, from the link. Later it is obeyed only when it is new; see `settle`.
        report: whether Python hears where the user let go of the slider, which starts a rerun.
        on_change: called before that rerun.

    Returns: the index of the step that was reported last.

    Raises ValueError for points, labels or notes that do not fit the steps.
    """
    metas, sections = [], {}
    for i, field in enumerate(fields):
        meta, arrays = _prepared(field, i, len(steps))
        metas.append(meta)
        sections.update(arrays)
    last = len(steps) - 1
    settings = {
        "panes": metas,
        "steps": [str(name) for name in steps],
        "fps": float(fps),
        "report": report,
        "alt": alt,
        "start": last if start is None else int(np.clip(start, 0, last)),
    }
    name = digest(settings, list(sections), list(sections.values()))
    sent = settle(key, "view", None if step is None else {"step": int(np.clip(step, 0, last))})

    def build() -> bytes:
        return pack({**settings, "digest": name, **sent}, **sections)

    result = _mount(
        key=key,
        data=memo.get(f"swarm:{name}:{digest(repr(sent))}", build),
        on_view_change=on_change or no_callback,
    )
    reported = (result.get("view") or sent["state"] or {}).get("step", settings["start"])
    return int(np.clip(reported, 0, last))


def _prepared(field: Field, i: int, steps: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the browser needs to know of field i, and its arrays by the names under which they are sent."""
    sets, arrays = [], {}
    for j, dots in enumerate(field.sets):
        points = np.ascontiguousarray(dots.points, np.float32)
        points = points[None] if points.ndim == 2 else points
        if points.ndim != 3 or points.shape[2] != 2 or len(points) not in (1, steps):
            raise ValueError(f"{field.title}: points {points.shape} must be (N, 2) or ({steps}, N, 2)")
        if dots.labels is not None and len(dots.labels) != points.shape[1]:
            raise ValueError(f"{field.title}: {len(dots.labels)} labels for {points.shape[1]} points")
        arrays[f"points_{i}_{j}"] = points
        if dots.labels is not None:
            arrays[f"labels_{i}_{j}"] = np.ascontiguousarray(dots.labels, np.int32)
        sets.append(
            {
                "colour": dots.colour,
                "name": dots.name,
                "size": float(dots.size),
                "opacity": float(dots.opacity),
                "steps": len(points),
            }
        )
    for name, lines, width in (("segments", field.segments, 4), ("rings", field.rings, 3)):
        if lines is not None:
            arrays[f"{name}_{i}"] = np.ascontiguousarray(lines, np.float32).reshape(-1, width)
    if len(field.notes) not in (0, 1, steps):
        raise ValueError(f"{field.title}: {len(field.notes)} notes for {steps} steps")
    meta = {
        "title": field.title,
        "sets": sets,
        "extent": [float(v) for v in field.extent],
        "notes": [str(note) for note in field.notes],
    }
    return meta, arrays
