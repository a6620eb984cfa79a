"""The rows and previews that a training writes, read once for all visitors, and only what is new.

A row holds the values of all terms at one step: {"step", "epoch", "train": {…}}, and "test": {…} where the held-out
images were evaluated.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

import plotly.graph_objects as go

from aecore import Run
from aecore.paths import root
from app.caching import share
from app.figures import plots

LIVE = ("queued", "running")
CURVE_POINTS = 400  # of a curve; a longer one is thinned
FRAMES = 48  # previews at most
REDRAW_SECONDS = 2.0  # between two figures of a run: a whole class may watch the same one


class Snapshot(NamedTuple):
    """rows: in the order of their steps.  frames: PNG previews by their step.  curves: a figure of all terms."""

    rows: list[dict[str, Any]]
    frames: dict[int, bytes]
    curves: go.Figure


class Reader:
    """The rows and previews of one run, as far as they have been read."""

    def __init__(self) -> None:
        self._offset = 0  # up to which the file of rows has been read
        self._rows: dict[int, dict[str, Any]] = {}
        self._frames: dict[int, bytes] = {}
        self._figure: go.Figure | None = None
        self._drawn_at, self._drawn_rows = 0.0, -1
        self._lock = threading.Lock()

    def read(self, run: Run) -> Snapshot:
        """Read what is new, and return all of it."""
        with self._lock:
            self._read_rows(run)
            self._read_frames(run)
            return Snapshot(list(self._rows.values()), dict(self._frames), self._curves(run))

    def _read_rows(self, run: Run) -> None:
        new, end = run.rows(self._offset)
        if new and new[0]["step"] <= max(self._rows, default=-1):
            # The run was resumed from a checkpoint: the rows behind it are written again.
            self._rows = {step: row for step, row in self._rows.items() if step < new[0]["step"]}
        if end < self._offset:
            self._rows = {}
        self._offset = end
        self._rows |= {row["step"]: row for row in new}

    def _read_frames(self, run: Run) -> None:
        steps = run.steps("preview")
        steps = steps[:: max(1, -(-len(steps) // FRAMES))] + ([steps[-1]] if steps else [])
        for step in set(steps) - set(self._frames):
            try:
                self._frames[step] = (run.path / "preview" / f"{step}.png").read_bytes()
            except OSError:
                continue
        self._frames = {step: self._frames[step] for step in sorted(set(steps)) if step in self._frames}

    def _curves(self, run: Run) -> go.Figure:
        """Every term as a curve of its own; drawn anew when there are new rows, but not too often."""
        waited = time.monotonic() - self._drawn_at > REDRAW_SECONDS or run.info.status not in LIVE
        if self._figure is None or (len(self._rows) != self._drawn_rows and waited):
            units = {name: term.unit for name, term in run.entry.terms.items()}
            rows = list(self._rows.values())
            self._figure = plots.curves(thinned(rows), [*losses(rows), *units], units=units, x="epoch")
            self._drawn_at, self._drawn_rows = time.monotonic(), len(self._rows)
        return self._figure


def read(run: Run) -> Snapshot:
    """The rows, previews and curves of a run as they are now."""
    return _reader(str(root()), run.info.id).read(run)


@share(max_entries=64)
def _reader(folder: str, identity: str) -> Reader:
    return Reader()


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as `plots.curves` takes them: about `CURVE_POINTS`, and all that have held-out values."""
    stride = max(1, len(rows) // CURVE_POINTS)
    return [
        {"step": row["step"], "epoch": row["epoch"], **row["train"]}
        | {f"test/{name}": value for name, value in row.get("test", {}).items()}
        for index, row in enumerate(rows)
        if index % stride == 0 or "test" in row or index == len(rows) - 1
    ]


def losses(rows: list[dict[str, Any]]) -> list[str]:
    """The names of the losses: "loss", or "loss/PLAYER" for each player. A loss that is just one term is left out."""
    if not rows:
        return []
    last = rows[-1]["train"]
    term_values = [value for name, value in last.items() if name.split("/")[0] != "loss"]
    return [name for name, value in last.items() if name.split("/")[0] == "loss" and value not in term_values]
