"""Planes: one pointer drives the decoders of several models at once; a slider steps through a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from app.browser.mount import no_callback, register, settle
from app.browser.pack import as_images, cached_atlas, digest, fit_atlas, memo, pack

_mount = register("planes", Path(__file__).parent, ("planes.js", "ground.js"))

BUDGET = 12_000_000  # bytes of tiles in all panes together


@dataclass(frozen=True)
class Pane:
    """The latent plane of one model.

    Arguments:
        title: which model it is.
        tiles: (S, n, m, H, W) or (S, n, m, H, W, 3) uint8, decoded at S steps from x = linspace(x0, x1, m) and
            y = linspace(y0, y1, n), the first row having the lowest y; n = 1 for a single unit of the code.
        extent: (x0, x1, y0, y1).
        points: (N, 2) or (S, N, 2), codes of images, drawn in the colours of their classes; by default the tiles
            themselves fill the plane.
        labels: (N,) int from 0 (−1: no label).
        clouds: (M, 4), Gaussians given by the means x, y and their standard deviations. Each is drawn at two standard
            deviations; where they are 0, as a ring.
        cloud_colours: (M,) int, the label in whose colour each cloud is drawn.
        rings: radii around 0 at which contours of the prior are drawn.
        marks: (x, y, text) of places that are named.
        note: a line of text below the image.
        values: (S, n, m), a number at least 0 for each tile, shown as a bar below the image.
        measure: what `values` are.
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
    """What the browser reports and a link can restore."""

    at: list[float]  # the pointer's position, from 0 to 1 on both axes, the same in all panes
    step: int  # index of the step shown


def planes(
    panes: Sequence[Pane],
    *,
    key: str,
    steps: Sequence[str] = ("",),
    start: int | None = None,
    axes: tuple[str, str] = ("z1", "z2"),
    alt: str = "",
    fps: float = 4,
    state: Mapping[str, Any] | None = None,
    report: bool = True,
    on_change: Callable[[], None] | None = None,
) -> View:
    """Latent planes side by side under one pointer, and below each the image that its decoder gives there.

    Arguments:
        panes: one for each model, with S equal to `len(steps)`, or to 1 for a pane that does not change.
        steps: names of the steps, for instance "epoch 3"; two or more get a slider and a play button.
        start: index of the step shown first; by default the last.
        axes: names of the two coordinates.
        alt: what the planes show, for screen readers.
        fps: steps per second when playing.
        state: where to start, for instance from the link. Later it is obeyed only when it is new; see `settle`.
        report: whether Python hears where the user let go, which starts a rerun.
        on_change: called before that rerun.

    Returns: the view that was reported last.

    Raises ValueError for arrays that do not fit each other.
    """
    if not panes:
        raise ValueError("planes needs at least one pane")
    arrays_of_panes = [_arrays(pane, len(steps)) for pane in panes]
    metas = [_meta(pane, arrays) for pane, arrays in zip(panes, arrays_of_panes, strict=True)]
    settings = {
        "steps": [str(step) for step in steps],
        "start": len(steps) - 1 if start is None else int(np.clip(start, 0, len(steps) - 1)),
        "axes": list(axes),
        "alt": alt or "Latent planes of several models.",
        "fps": float(fps),
        "report": report,
    }
    name = digest([array for arrays in arrays_of_panes for array in arrays.values()], metas, settings)
    sent = settle(key, "view", state)

    def build() -> bytes:
        sections: dict[str, np.ndarray | bytes] = {}
        panes_meta = []
        for i, (meta, arrays) in enumerate(zip(metas, arrays_of_panes, strict=True)):
            tiles = arrays["tiles"]
            images = as_images(tiles.reshape(-1, *tiles.shape[3:]), "tiles")
            sections[f"atlas_{i}"], layout = cached_atlas(fit_atlas(images, budget=BUDGET // len(panes)))
            panes_meta.append({**meta, "atlas": layout})
            for part in ("points", "labels", "clouds", "values"):
                if arrays[part] is not None:
                    sections[f"{part}_{i}"] = arrays[part]
        return pack({**settings, "panes": panes_meta, "digest": name, **sent}, **sections)

    result = _mount(
        key=key, data=memo.get(f"planes:{name}:{digest(repr(sent))}", build), on_view_change=on_change or no_callback
    )
    view = {"at": [0.5, 0.5], "step": settings["start"]}
    view |= {name: value for name, value in sent["state"].items() if name in view}
    view |= dict(result.get("view") or {})
    return View(**view)


def _arrays(pane: Pane, steps: int) -> dict[str, Any]:
    """The pane's arrays in the types that the browser reads; None for those it does not have.

    Raises ValueError for arrays that do not fit each other or the number of steps.
    """
    tiles = np.ascontiguousarray(pane.tiles)
    if tiles.ndim not in (5, 6) or len(tiles) not in (1, steps):
        raise ValueError(f"{pane.title}: tiles {tiles.shape} must be (S, n, m, H, W[, 3]), S 1 or {steps}")
    points = None if pane.points is None else np.ascontiguousarray(pane.points, np.float32)
    if points is not None and points.ndim == 2:
        points = points[None]
    if points is not None and (points.shape[2] != 2 or len(points) not in (1, steps)):
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
    return {"tiles": tiles, "points": points, "labels": labels, "clouds": clouds, "values": values}


def _meta(pane: Pane, arrays: dict[str, Any]) -> dict[str, Any]:
    """What the browser needs to know of a pane beside its arrays."""
    tiles, points = arrays["tiles"], arrays["points"]
    return {
        "title": pane.title,
        "note": pane.note,
        "measure": pane.measure,
        "extent": [float(v) for v in pane.extent],
        "grid": [int(v) for v in tiles.shape[1:3]],
        "steps": len(tiles),
        "steps_of_points": 1 if points is None else len(points),
        "cloud_colours": [int(label) for label in pane.cloud_colours],
        "rings": [float(radius) for radius in pane.rings],
        "marks": [{"at": [float(x), float(y)], "text": text} for x, y, text in pane.marks],
    }
