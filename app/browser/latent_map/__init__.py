"""The latent map: examples as points on a plane, whose places are decoded under the pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from app.browser.mount import no_callback, register, settle
from app.browser.pack import as_images, atlas, digest, fit_atlas, memo, pack

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
    """What the browser reports and a link can restore. The value in brackets is the default of a missing entry."""

    cursor: list[float] | None  # [x, y], the place that was clicked [None]
    point: int | None  # id of the point near the cursor; only reported, except in a group [None]
    hidden: list[int]  # labels that are not shown [[]]
    thumbnails: bool  # whether small images are drawn over the dots [False]
    mosaic: bool  # whether the decoded plane is drawn behind the points [False]
    selected: list[int]  # ids of the points inside the lasso [[]]
    zoom: list[float] | None  # [x, y, factor], middle of the view and magnification; None shows everything [None]
    changed: float  # ms from the opening of the page to the last change of `point`, `hidden` or `selected` [0]


def _default_view() -> dict[str, Any]:
    return {
        "cursor": None,
        "point": None,
        "hidden": [],
        "thumbnails": False,
        "mosaic": False,
        "selected": [],
        "zoom": None,
        "changed": 0,
    }


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
    state: Mapping[str, Any] | None = None,
    compact: bool = False,
    group: str = "",
    report: bool | None = None,
    on_change: Callable[[], None] | None = None,
) -> MapView:
    """Points coloured by label. The decoded image follows the pointer, and a point near it shows its own image.

    Row k of `points`, `ids`, `labels`, `images` and `reconstructions` is one example. The browser refers to an example
    by its row and reports its id, so a point keeps its image when classes are hidden or thumbnails are drawn.

    Arguments:
        points: (N, 2) float, finite, the examples' places on the plane.
        ids: (N,) int, the examples' numbers in their data set; shown to the reader and reported.
        labels: (N,) int from 0 (−1: no label), or None.
        images: (N, H, W) or (N, H, W, 3) uint8, the true images.
        class_names: the names of labels 0, 1, ...; by default the numbers.
        reconstructions: of the same shape as `images`, or None.
        plane: (n, m, H, W) or (n, m, H, W, 3) uint8, or None. `plane[i, j]` is decoded from
            x = linspace(x0, x1, m)[j], y = linspace(y0, y1, n)[i], so the FIRST row has the LOWEST y, and the first and
            last tiles are centred on the edges of `extent`. The browser shows the nearest tile.
        extent: (x0, x1, y0, y1); required with `plane`, by default taken from the points.
        height: of the map in CSS pixels.
        caption: the text below the map, which should state the sample size ("5,000 of 70,000 images").
        alt: what the map shows, for screen readers.
        axes: names of the two coordinates.
        state: where to start, for instance from the link; see `MapView`. Later it is obeyed only when it is new; see
            `settle`.
        compact: whether to show only the map and the decoded image, without tools.
        group: maps with the same name here mark the same examples, by id: the one under the pointer, the one clicked,
            those selected, and those whose class is hidden. They tell each other in the browser. Each of them reports,
            and the report with the latest `changed` counts.
        report: whether Python hears of changes, each of which starts a rerun; by default yes, unless `compact`.
        on_change: called before the rerun, like the callback of any widget.

    Returns: the view that was reported last, with every entry present.

    Raises ValueError for arrays of other shapes or lengths, points that are not finite, or labels without a name.

    Encoding 5,000 digits with reconstructions and a 40 × 40 plane takes 0.4 s; the result is cached.
    """
    points = np.ascontiguousarray(points, np.float32)
    n = len(points)
    ids = np.ascontiguousarray(ids, np.int32)
    labels = None if labels is None else np.ascontiguousarray(labels, np.int32)
    images = as_images(images)
    reconstructions = None if reconstructions is None else as_images(reconstructions, "reconstructions")
    if points.shape != (n, 2) or n == 0:
        raise ValueError(f"points must have shape (N, 2) with N at least 1, not {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("points must be finite: leave out the rows with NaN or infinity")
    for name, value in (("ids", ids), ("labels", labels), ("images", images), ("reconstructions", reconstructions)):
        if value is not None and len(value) != n:
            raise ValueError(f"{name} has {len(value)} rows, points has {n}")
    if plane is not None and extent is None:
        raise ValueError("plane needs extent=(x0, x1, y0, y1), the places of its first and last tiles")
    largest_label = -1 if labels is None else int(labels.max())
    names = [str(name) for name in (class_names if class_names is not None else range(largest_label + 1))]
    if largest_label >= len(names):
        raise ValueError(f"labels go up to {largest_label}, class_names has {len(names)} entries")

    settings = {
        "class_names": names,
        "extent": [float(v) for v in (_extent_of(points) if extent is None else extent)],
        "height": int(height),
        "caption": caption,
        "alt": alt or f"Map of {n:,} images by their code.",
        "axes": list(axes),
        "compact": compact,
        "group": group,
        "report": not compact if report is None else report,
    }
    name = digest(points, ids, labels, images, reconstructions, plane, settings)
    sent = settle(key, "view", state)

    def build() -> bytes:
        sections: dict[str, np.ndarray | bytes] = {"points": points, "ids": ids}
        if labels is not None:
            sections["labels"] = labels
        layouts: dict[str, Any] = {"images": None, "reconstructions": None, "plane": None}
        sections["image_atlas"], layouts["images"] = atlas(_small(images))
        if reconstructions is not None:
            sections["reconstruction_atlas"], layouts["reconstructions"] = atlas(_small(reconstructions))
        if plane is not None:
            rows, columns = np.shape(plane)[:2]
            tiles = as_images(np.reshape(plane, (rows * columns, *np.shape(plane)[2:])), "plane")
            sections["plane_atlas"], layout = atlas(fit_atlas(tiles))
            layouts["plane"] = {**layout, "grid": [int(rows), int(columns)]}
        return pack({**settings, "digest": name, **sent, **layouts}, **sections)

    result = _mount(
        key=key,
        data=memo.get(f"map:{name}:{digest(repr(sent))}", build),
        on_view_change=on_change or no_callback,
    )
    view = _default_view()
    view |= {name: value for name, value in sent["state"].items() if name in view}
    view |= dict(result.get("view") or {})
    return MapView(**view)


def _extent_of(points: np.ndarray) -> tuple[float, float, float, float]:
    """The smallest rectangle around the points, and a margin of 4 % of its sides."""
    low, high = points.min(0), points.max(0)
    margin = np.maximum((high - low) * 0.04, 1e-3)
    return low[0] - margin[0], high[0] + margin[0], low[1] - margin[1], high[1] + margin[1]


def _small(images: np.ndarray) -> np.ndarray:
    """Shrink images to at most 64 pixels, or 32 if there are many, so that the atlas can be sent at once."""
    return fit_atlas(images, largest_tile=64 if len(images) <= 1500 else 32)
