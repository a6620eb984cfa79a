"""What the exhibits share: how they open, and numbers of a sweep's runs, remembered."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import DataError, Run, RunError, runs, sweeps
from aecore.explore import codes, importance, push
from aecore.explore.pictures import to_uint8
from aecore.explore.planes import Projection, plane, principal_plane, through
from aecore.measure import aggregate, passing
from app import comparison, looks, plots, shelf
from app.browser import Pane, planes
from app.seen import remember

POINTS = 1500
LOOKED_AT = 1000  # held-out images over which errors and codes are taken
GRID = 21  # tiles a side
REACH = 3.2  # standard deviations of the prior that a plane shows


def heading(title: str, question: str) -> None:
    """Title, the question in a sentence or two, the link."""
    words, side = st.columns([4, 1], vertical_alignment="bottom")
    with words:
        st.title(title, anchor=False)
        st.markdown(question)
    with side:
        shelf.share()


def opening(title: str, question: str, identity: str) -> sweeps.Sweep:
    """The heading, and the sweep that the page shows first."""
    heading(title, question)
    found = trained(identity)
    info = found.runs[0].info
    if info.shown:
        where = looks.plain(shelf.data(found.runs[0]).title)
        st.caption(f"Trained on {shelf.data_title(info.data)}; shown here on {where}.")
    return found


def key_of(name: str, sweep: sweeps.Sweep) -> str:
    """The key of a choice among a sweep's models: another one whenever one more of a visitor's own is trained."""
    return f"{name}.{len(sweep.runs)}" if "." in sweep.id else name


def trained(identity: str) -> sweeps.Sweep:
    """Trained examples, or a visitor's own (`comparison`); the page stops in words where there are none."""
    try:
        return comparison.chosen(identity)
    except RunError as error:
        st.info(f"{error}", icon=":material/info:")
        st.stop()


def example(identity: str) -> Run | None:
    """A trained example that comes with the project; None where it was taken away."""
    try:
        run = runs.find(identity)
    except RunError:
        return None
    return run if shelf.has_weights(run) else None


class Facts(NamedTuple):
    """codes (n, D).  spread: RMS distance of two codes.  error: squared, per pixel."""

    codes: np.ndarray
    spread: float
    error: float


@remember(max_entries=64)
def facts(run: Run) -> Facts:
    model, test = shelf.model(run), shelf.data(run).test
    return Facts(passing.encode(model, test, passing.first(test, LOOKED_AT)), push.spread_of(model, test), error(run))


@remember(max_entries=64)
def error(run: Run, half: str = "test", limit: int = LOOKED_AT) -> float:
    """Squared error per pixel of the first examples of a half of the data."""
    split = getattr(shelf.data(run), half)
    ids = passing.first(split, limit)
    x = passing.examples(split, ids).numpy()
    return float(np.square(x - passing.autoencode(shelf.model(run), split, ids)).mean())


class Square(NamedTuple):
    """A two-unit code: decoded tiles (1, n, n, H, W[, 3]), extent, codes (N, 2) and labels (N,) of held-out images."""

    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray
    labels: np.ndarray | None


@remember(max_entries=32)
def square(run: Run) -> Square:
    """The plane of a two-unit code: ± REACH where there is a prior N(0, I), else around all but the outermost codes."""
    model, test = shelf.model(run), shelf.data(run).test
    ids = codes.choose(test, POINTS)
    z = codes.codes(model, test, ids)
    low, high = np.full(2, -REACH), np.full(2, REACH)
    if not ("sample" in run.entry.abilities and looks.gaussian(run)):
        low, high = np.quantile(z, 0.005, 0), np.quantile(z, 0.995, 0)
    across, up = np.array([high[0] - low[0], 0.0]), np.array([0.0, high[1] - low[1]])
    tiles = plane(model, low, across, up, GRID)[None]
    labels = None if test.labels is None else test.labels[ids]
    return Square(tiles, (float(low[0]), float(high[0]), float(low[1]), float(high[1])), z, labels)


class Projected(NamedTuple):
    """As Square, of a larger code in its principal plane, and that plane."""

    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray
    labels: np.ndarray | None
    plane: Projection


@remember(max_entries=32)
def projected(run: Run) -> Projected:
    """Codes in the plane of their first two principal components."""
    model, test = shelf.model(run), shelf.data(run).test
    some = codes.choose(test, POINTS)
    z = codes.codes(model, test, some)
    found = principal_plane(z)
    points = found.points(z)
    reach = float(np.quantile(np.abs(points), 0.998))
    origin = found.centre - reach * (found.axes[0] + found.axes[1])
    tiles = plane(model, origin, 2 * reach * found.axes[0], 2 * reach * found.axes[1], GRID)[None]
    labels = None if test.labels is None else test.labels[some]
    return Projected(tiles, (-reach, reach, -reach, reach), points, labels, found)


class Moments(NamedTuple):
    """A plane at several moments of a training: names, tiles (S, n, n, H, W[, 3]), extent, codes (S, N, 2), labels."""

    names: list[str]
    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray | None
    labels: np.ndarray | None
    marks: list[tuple[float, float, str]]


FINE = 17  # tiles a side where there are many moments


@remember(max_entries=16, show_spinner="Decoding the moments of this training …")
def moments(run: Run, three: tuple[int, int, int]) -> Moments:
    """The plane of a two-unit code, or, of a larger one, through the codes of three images at each moment."""
    test, steps = shelf.data(run).test, run.steps("snapshots")
    epochs = {row["step"]: row["epoch"] for row in run.rows()[0]}
    models = [shelf.model(run, step) for step in steps] + [shelf.model(run)]
    names = [f"epoch {epochs[step]:.2g}" if step in epochs else f"step {step:,}" for step in steps] + ["the end"]
    if run.info.params["code"] == 2:
        view = square(run)
        low, high = np.array(view.extent[::2], np.float32), np.array(view.extent[1::2], np.float32)
        across, up = np.array([high[0] - low[0], 0.0]), np.array([0.0, high[1] - low[1]])
        ids = codes.choose(test, 500)
        points = np.stack([codes.codes(model, test, ids) for model in models])
        labels = None if test.labels is None else test.labels[ids]
        tiles = np.stack([plane(model, low, across, up, FINE) for model in models])
        return Moments(names, tiles, view.extent, points, labels, [])
    tiles, places = [], []
    for model in models:
        origin, across, up, places = through(codes.codes(model, test, np.array(three)))
        tiles.append(plane(model, origin, across, up, FINE))
    marks = [(u, v, looks.label_of(run, i) or str(i)) for (u, v), i in zip(places, three, strict=True)]
    return Moments(names, np.stack(tiles), (0.0, 1.0, 0.0, 1.0), None, None, marks)


def through_training(run: Run, key: str) -> None:
    """The plane of one run, dragged from its first snapshot to its last."""
    three = (0, 1, 2)
    if run.info.params["code"] != 2:
        most = len(shelf.data(run).test) - 1
        with st.container(horizontal=True):
            three = tuple(
                int(st.number_input(f"Corner {k + 1}: image", 0, most, k, key=f"{key}.{k}", width=170, **looks.LINKED))
                for k in range(3)
            )
    try:
        found = moments(run, three)
    except DataError as error:
        st.info(str(error), icon=":material/info:")
        return
    pane = Pane("", found.tiles, found.extent, found.codes, found.labels, marks=found.marks,
                rings=(1, 2) if looks.gaussian(run) and found.codes is not None else ())  # fmt: skip
    panes = [pane] if found.codes is None else [Pane("what is painted", found.tiles, found.extent),
                                                replace(pane, title="codes of 500 images")]  # fmt: skip
    last = len(found.names) - 1
    state = planes(panes, key=f"{key}.planes", steps=found.names, fps=3, state=recall(f"{key}.at"),
                   axes=("z1", "z2") if found.codes is not None else ("from 1 to 2", "from 1 to 3"),
                   alt="The plane of the code at one moment of the training")  # fmt: skip
    keep(f"{key}.at", state, last)


@remember(max_entries=64)
def clouds(run: Run, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of Q(z|x) of held-out images, each (n, D)."""
    return aggregate.clouds(shelf.model(run), shelf.data(run).test, np.array(ids))


@remember(max_entries=64)
def against_prior(run: Run) -> aggregate.Aggregate | None:
    """None for a model without a prior."""
    if "sample" not in run.entry.abilities:
        return None
    return aggregate.aggregate(shelf.model(run), shelf.data(run).test)


@remember(max_entries=64)
def in_holes(run: Run, n: int) -> np.ndarray:
    """Pictures (n, H, W[, 3]) decoded in the n largest holes between the codes."""
    model, test = shelf.model(run), shelf.data(run).test
    z = passing.encode(model, test, passing.first(test, POINTS))
    draws = np.random.default_rng(0).standard_normal((4000, z.shape[1]))
    return to_uint8(passing.decode(model, aggregate.holes(z, draws, n)))


@remember(max_entries=64)
def weighed(run: Run, example: int, k: int, seed: int) -> importance.Draws:
    """k weighed draws of a held-out image's posterior."""
    return importance.draws(shelf.model(run), shelf.data(run).test, example, k, seed)


@remember(max_entries=64)
def curve_of(run: Run, ids: tuple[int, ...], ks: tuple[int, ...], seed: int) -> np.ndarray:
    """The bound of held-out images for each number of draws, (n, len(ks))."""
    return importance.bounds(shelf.model(run), shelf.data(run).test, np.array(ids), ks, seed)


def bars(shares: np.ndarray, alt: str, height: int = 90) -> None:
    """Shares as bars side by side, the largest at full height."""
    most = float(max(shares.max(), 1e-9))
    cells = "".join(
        f'<div title="{100 * share:.2f} %" style="flex:1;height:{max(1.0, 100 * share / most):.1f}%;'
        f'background:{plots.term_colour("elbo")};border-radius:3px 3px 0 0"></div>'
        for share in shares
    )
    st.html(
        f'<div role="img" aria-label="{html.escape(alt)}" style="display:flex;align-items:flex-end;gap:4px;'
        f'height:{height}px;border-bottom:1px solid rgba(128,135,144,.6)">{cells}</div>'
    )


def spread(mean: float, deviation: float, seeds: int) -> str:
    """ "0.0391 ± 0.0004"; the mean alone of one seed."""
    return f"{mean:.4f} ± {deviation:.4f}" if seeds > 1 else f"{mean:.4f}"


# --- what the browser holds, in the session and in the link ---------------------------------------------------


def recall(name: str) -> dict[str, Any] | None:
    """{"at": [u, v], "step": k} as the link has it."""
    said = st.query_params.get(name, "")
    parts = said.split(",")
    try:
        u, v, step = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, IndexError):
        return None
    return {"at": [min(1.0, max(0.0, u)), min(1.0, max(0.0, v))], "step": max(0, step)}


def keep(name: str, state: Any, start: int = 0) -> None:
    """Put the pointer's place into the link. start: the step at which the view begins."""
    (u, v), step = state["at"], state["step"]
    said = f"{u:.3f},{v:.3f},{step}"
    if said == f"0.500,0.500,{start}":  # where it begins: a link need not say it
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != said:
        st.query_params[name] = said


def recall_step(name: str) -> int | None:
    """A step of a track, as the link has it."""
    said = st.query_params.get(name, "")
    return int(said) if said.isdecimal() and len(said) < 6 else None


def keep_step(name: str, step: int, start: int) -> None:
    """Put a track's step into the link. start: where it begins, which the link need not say."""
    if step == start:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(step):
        st.query_params[name] = str(step)


# --- figures of one look ------------------------------------------------------------------------------------------

LINES = ("#2f7de1", "#d9631e", "#1f9a6d", "#b453c9", "#8d8a1b", "#0f93a8", "#d6457a")
"""Models side by side in one figure; none of them is a term of an objective."""


def figure(height: int = 380, x: str = "", y: str = "") -> go.Figure:
    """An empty figure in our look."""
    made = plots.layout(go.Figure(), height)
    made.update_xaxes(title=x)
    made.update_yaxes(title=y)
    return made


def show(made: go.Figure, key: str, alt: str) -> None:
    st.plotly_chart(made, key=key, config=CONFIG, alt=alt)


CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d",
                               "resetScale2d"],
    "toImageButtonOptions": {"format": "svg"},
}  # fmt: skip
"""The one button that stays saves the figure as SVG."""


def matrix(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], colours: str, low: float, high: float,
           height: int = 380) -> go.Figure:  # fmt: skip
    """A matrix (rows, columns) as coloured squares, the first row on top."""
    made = figure(height)
    made.add_heatmap(z=values, x=list(columns), y=list(rows), colorscale=colours, zmin=low, zmax=high,
                     colorbar={"thickness": 12, "len": 0.9})  # fmt: skip
    made.update_layout(hovermode="closest")
    made.update_yaxes(autorange="reversed", showgrid=False, type="category")
    made.update_xaxes(type="category")
    return made


def signed(weights: np.ndarray) -> np.ndarray:
    """Weights (N, C, H, W) from −1 to 1 as pictures (N, H, W, 3): red above 0, blue below."""
    value = weights.mean(1)[..., None]
    middle, red, blue = (np.array(c, np.float32) for c in ((242, 242, 242), (178, 24, 43), (33, 102, 172)))
    return np.rint(middle + np.where(value > 0, value * (red - middle), -value * (blue - middle))).astype(np.uint8)


def take_home(name: str, table: Mapping[str, Iterable], snippet: str, key: str,
              picture: Callable[[], bytes] | None = None) -> None:  # fmt: skip
    """What a view can be taken away as: its numbers, its picture, and the lines that compute them."""
    with st.container(horizontal=True):
        looks.download("Numbers as CSV", lambda: looks.table(list(table), *table.values()), f"{name}.csv", "text/csv",
                       f"{key}.csv")  # fmt: skip
        if picture:
            looks.download("Picture as PNG", picture, f"{name}.png", "image/png", f"{key}.png")
        looks.download("Python", f'"""{name}: made by Autoencoder Explorer."""\n\n{snippet.strip()}\n', f"{name}.py",
                       "text/x-python", f"{key}.py")  # fmt: skip
