"""The latent map: points of a data set on a plane that decodes under the pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from ..mount import nothing, register, settle
from ..pack import atlas, digest, fit_atlas, memo, pack, pictures

SCRIPTS = (
    "latent_map.js",
    "camera.js",
    "points.js",
    "ground.js",
    "overlay.js",
    "panel.js",
    "tools.js",
    "pointer.js",
    "keyboard.js",
    "group.js",
)

_mount = register("latent_map", Path(__file__).parent, SCRIPTS)


class MapView(TypedDict, total=False):
    """What the browser reports, and what a link can restore. Missing entries mean the defaults named here."""

    cursor: list[float] | None  # pinned place on the plane, [x, y] (None)
    point: int | None  # id of the data point under the pinned cursor, if one is near (None); reported only
    hidden: list[int]  # labels not shown ([])
    thumbnails: bool  # small pictures instead of dots (False)
    mosaic: bool  # the decoded plane drawn behind the points (False)
    selected: list[int]  # ids chosen with the lasso ([])
    zoom: list[float] | None  # [x, y, factor]: centre of the view and magnification (None: everything)
    changed: float  # when `point`, `hidden` or `selected` last changed in its group, ms since the page was opened (0)


def latent_map(
    points: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    images: np.ndarray,
    key: str,
    class_names: Sequence[str] | None = None,
    reconstructions: np.ndarray | None = None,
    plane: np.ndarray | None = None,
    extent: tuple[float, float, float, float] | None = None,
    height: int = 560,
    caption: str = "",
    alt: str = "",
    axes: tuple[str, str] = ("z1", "z2"),
    state: MapView | dict[str, Any] | None = None,
    compact: bool = False,
    group: str = "",
    report: bool | None = None,
    on_change: Callable[[], None] | None = None,
) -> MapView:
    """Points coloured by label; the decoded picture follows the pointer; a point shows its own image by identity.

    Row k of `points`, `ids`, `labels`, `images` and `reconstructions` is one example. Everything in the browser goes by
    the row, and the row's id is what is reported, so hiding a class or drawing thumbnails never moves a picture.

    Arguments:
        points: (N, 2) float, places on the plane; rows with NaN or infinity are refused.
        ids: (N,) int, the examples' numbers in their data set; shown to the reader and reported.
        labels: (N,) int from 0 (-1: no label), or None.
        images: (N, H, W) or (N, H, W, 3) uint8, the true images.
        class_names: the name of label 0, 1, ...; by default the numbers.
        reconstructions: shaped like `images`, or None.
        plane: (n, m, H, W) or (n, m, H, W, 3) uint8, or None: `plane[i, j]` is decoded from
            x = linspace(x0, x1, m)[j], y = linspace(y0, y1, n)[i], so the FIRST row is the LOWEST y, and the first and
            last tiles sit on the edges of `extent`. The browser shows the nearest tile.
        extent: (x0, x1, y0, y1); needed with `plane`, otherwise made from the points.
        height: of the map in CSS pixels.
        caption: under the map; state the sample size here ("5,000 of 70,000 images").
        alt: what a reader who cannot see the map should know.
        axes: names of the two coordinates.
        state: where to start, for instance from the link; see MapView. Later it counts only when it is news.
        compact: only the map and the decoded picture, no tools (the gallery's hero).
        group: maps of one group mark the same examples, by id: under the pointer, clicked, chosen, and hidden by class.
            They tell each other in the browser; of what they report, the latest `changed` counts.
        report: tell Python about changes (each starts a rerun); by default unless compact.
        on_change: called before the rerun, like any widget's callback.

    Returns: the view as last reported, with every entry present.

    Cost: encoding 5,000 digits with reconstructions and a 40 x 40 plane takes 0.4 s once, then it is remembered.
    Images over 32 px are shrunk for hovering where there are many of them.
    """
    points = np.ascontiguousarray(points, np.float32)
    n = len(points)
    ids = np.ascontiguousarray(ids, np.int32)
    labels = None if labels is None else np.ascontiguousarray(labels, np.int32)
    images = pictures(images)
    reconstructions = None if reconstructions is None else pictures(reconstructions, "reconstructions")
    if points.shape != (n, 2) or n == 0:
        raise ValueError(f"points must have shape (N, 2) with N at least 1, not {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("points must be finite: leave out the rows with NaN or infinity")
    for name, value in (("ids", ids), ("labels", labels), ("images", images), ("reconstructions", reconstructions)):
        if value is not None and len(value) != n:
            raise ValueError(f"{name} has {len(value)} rows, points has {n}")
    if plane is not None and extent is None:
        raise ValueError("plane needs extent=(x0, x1, y0, y1), the places of its first and last tiles")
    if extent is None:
        low, high = points.min(0), points.max(0)
        margin = np.maximum((high - low) * 0.04, 1e-3)
        extent = (low[0] - margin[0], high[0] + margin[0], low[1] - margin[1], high[1] + margin[1])
    top = -1 if labels is None else int(labels.max())
    names = [str(name) for name in (class_names if class_names is not None else range(top + 1))]
    if top >= len(names):
        raise ValueError(f"labels go up to {top}, class_names has {len(names)} entries")
    report = (not compact) if report is None else report

    settings = {
        "class_names": names,
        "extent": [float(v) for v in extent],
        "height": int(height),
        "caption": caption,
        "alt": alt or f"Map of {n:,} images by their code.",
        "axes": list(axes),
        "compact": compact,
        "group": group,
        "report": report,
    }
    name = digest(points, ids, labels, images, reconstructions, plane, settings)
    sent = settle(key, "view", state)

    def build() -> bytes:
        sections: dict[str, np.ndarray | bytes] = {"points": points, "ids": ids}
        if labels is not None:
            sections["labels"] = labels
        meta: dict[str, Any] = {
            **settings,
            "digest": name,
            **sent,
            "images": None,
            "reconstructions": None,
            "plane": None,
        }
        sections["image_atlas"], meta["images"] = atlas(_hover_size(images))
        if reconstructions is not None:
            sections["reconstruction_atlas"], meta["reconstructions"] = atlas(_hover_size(reconstructions))
        if plane is not None:
            rows, columns = np.shape(plane)[:2]
            tiles = pictures(np.reshape(plane, (rows * columns, *np.shape(plane)[2:])), "plane")
            sections["plane_atlas"], tile_meta = atlas(fit_atlas(tiles))
            meta["plane"] = dict(tile_meta, grid=[int(rows), int(columns)])
        return pack(meta, **sections)

    result = _mount(
        key=key,
        data=memo.get(f"map:{name}:{digest(repr(sent))}", build),
        on_view_change=on_change or nothing,
    )
    view = {
        "cursor": None,
        "point": None,
        "hidden": [],
        "thumbnails": False,
        "mosaic": False,
        "selected": [],
        "zoom": None,
        "changed": 0,
    }
    return MapView(**(view | {k: v for k, v in sent["state"].items() if k in view} | dict(result.get("view") or {})))


def _hover_size(images: np.ndarray) -> np.ndarray:
    """At most 64 px for a few images, 32 px for many: one atlas must stay small enough to send at once."""
    return fit_atlas(images, largest_tile=64 if len(images) <= 1500 else 32)
