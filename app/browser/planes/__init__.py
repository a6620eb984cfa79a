"""Planes: one pointer drives the decoders of several models at once; a track steps through the steps of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from ..mount import nothing, register, settle
from ..pack import digest, fit_atlas, kept_atlas, memo, pack, pictures

_mount = register("planes", Path(__file__).parent, ("planes.js", "ground.js"))

BUDGET = 12_000_000  # bytes of tiles in all panes together


@dataclass(frozen=True)
class Pane:
    """One model's plane.

    title: whose it is.  tiles: (S, n, m, H, W) or (S, n, m, H, W, 3) uint8, decoded at S steps from
    x = linspace(x0, x1, m), y = linspace(y0, y1, n), the first row being the lowest y; n = 1 for a single unit.
    extent: (x0, x1, y0, y1).  points: (N, 2) or (S, N, 2) codes of images, drawn in their classes' colours, or None:
    then the tiles themselves are the ground.  labels: (N,) int from 0 (−1: none).
    clouds: (M, 4) Gaussians of chosen images, x, y and their standard deviations, drawn at two of them; 0: a point.
    cloud_colours: (M,) class of each.
    rings: radii around 0 at which the prior's contours are drawn.  marks: (x, y, text) that name places.
    note: a quiet line below the picture.
    values: (S, n, m) one number for each tile, not negative, shown as a bar below its picture.  measure: what it is.
    """

    title: str
    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    points: np.ndarray | None = None
    labels: np.ndarray | None = None
    clouds: np.ndarray | None = None
    cloud_colours: Sequence[int] = ()
    rings: Sequence[float] = ()
    marks: Sequence[tuple[float, float, str]] = ()
    note: str = ""
    values: np.ndarray | None = None
    measure: str = ""


class View(TypedDict):
    """at: place of the pointer from 0 to 1 on both axes, the same in all panes.  step: which of the steps is shown."""

    at: list[float]
    step: int


def planes(
    panes: Sequence[Pane],
    *,
    key: str,
    steps: Sequence[str] = ("",),
    start: int | None = None,
    axes: tuple[str, str] = ("z1", "z2"),
    alt: str = "",
    fps: float = 4,
    state: View | dict[str, Any] | None = None,
    report: bool = True,
    on_change: Callable[[], None] | None = None,
) -> View:
    """Latent planes side by side under one pointer; below each the picture that its decoder paints there.

    Arguments:
        panes: one for each model, with S equal to `len(steps)` or to 1 (that pane stays as it is).
        steps: names of the steps, for instance "epoch 3": with two or more, a track and a play button step through.
        start: the step shown first; by default the last.
        axes: names of the two coordinates.
        alt: what a reader who cannot see it should know.
        fps: steps a second when playing.
        state: where to start, from the link; later it counts only when it is news.
        report: tell Python where the pointer was let go (starts a rerun).
        on_change: called before that rerun.

    Returns: the view as last reported.

    Raises ValueError for tiles, points or labels that do not fit each other.
    """
    if not panes:
        raise ValueError("planes needs at least one pane")
    kept, metas = [], []
    for pane in panes:
        tiles = np.ascontiguousarray(pane.tiles)
        if tiles.ndim not in (5, 6) or len(tiles) not in (1, len(steps)):
            raise ValueError(f"{pane.title}: tiles {tiles.shape} must be (S, n, m, H, W[, 3]), S 1 or {len(steps)}")
        points = None if pane.points is None else np.ascontiguousarray(pane.points, np.float32)
        if points is not None and points.ndim == 2:
            points = points[None]
        if points is not None and (points.shape[2] != 2 or len(points) not in (1, len(steps))):
            raise ValueError(f"{pane.title}: points {points.shape} must be (N, 2) or (S, N, 2)")
        labels = None if pane.labels is None else np.ascontiguousarray(pane.labels, np.int32)
        if labels is not None and (points is None or len(labels) != points.shape[1]):
            raise ValueError(f"{pane.title}: {len(labels)} labels do not belong to its points")
        clouds = None if pane.clouds is None else np.ascontiguousarray(pane.clouds, np.float32)
        if clouds is not None and clouds.shape != (len(pane.cloud_colours), 4):
            raise ValueError(f"{pane.title}: clouds {clouds.shape} must be (M, 4), with a colour for each")
        values = None if pane.values is None else np.ascontiguousarray(pane.values, np.float32)
        if values is not None and values.shape != tiles.shape[:3]:
            raise ValueError(f"{pane.title}: values {values.shape} must be one for each tile, {tiles.shape[:3]}")
        kept.append((tiles, points, labels, clouds, values))
        metas.append(
            {
                "title": pane.title,
                "note": pane.note,
                "measure": pane.measure,
                "extent": [float(v) for v in pane.extent],
                "grid": [int(v) for v in tiles.shape[1:3]],
                "steps": len(tiles),
                "steps_of_points": 1 if points is None else len(points),
                "cloud_colours": [int(c) for c in pane.cloud_colours],
                "rings": [float(r) for r in pane.rings],
                "marks": [{"at": [float(x), float(y)], "text": text} for x, y, text in pane.marks],
            }
        )
    settings = {
        "steps": [str(step) for step in steps],
        "start": len(steps) - 1 if start is None else int(np.clip(start, 0, len(steps) - 1)),
        "axes": list(axes),
        "alt": alt or "Latent planes of several models.",
        "fps": float(fps),
        "report": report,
    }
    name = digest([part for parts in kept for part in parts], metas, settings)
    sent = settle(key, "view", state)

    def build() -> bytes:
        sections: dict[str, np.ndarray | bytes] = {}
        for i, (tiles, points, labels, clouds, values) in enumerate(kept):
            flat = pictures(tiles.reshape(-1, *tiles.shape[3:]), "tiles")
            sections[f"atlas_{i}"], metas[i]["atlas"] = kept_atlas(fit_atlas(flat, budget=BUDGET // len(kept)))
            if points is not None:
                sections[f"points_{i}"] = points
            if labels is not None:
                sections[f"labels_{i}"] = labels
            if clouds is not None:
                sections[f"clouds_{i}"] = clouds
            if values is not None:
                sections[f"values_{i}"] = values
        return pack({**settings, "panes": metas, "digest": name, **sent}, **sections)

    result = _mount(
        key=key, data=memo.get(f"planes:{name}:{digest(repr(sent))}", build), on_view_change=on_change or nothing
    )
    view = {"at": [0.5, 0.5], "step": settings["start"]}
    return View(**(view | {k: v for k, v in sent["state"].items() if k in view} | dict(result.get("view") or {})))
