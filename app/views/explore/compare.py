"""Side by side: one pointer drives the decoders of several runs, over a plane or along one dimension of each code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st

from aecore import DataError, Run
from aecore.explore import traverse
from aecore.explore.planes import plane, through
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.figures import plots
from app.figures.plots import contact_sheet, rgb
from app.library import held_out, label_of
from app.panels.downloads import download_button, python_button
from app.panels.layout import heading
from app.panels.tables import csv_table
from app.state import Choice, Many, Number, Point
from app.text import escape_markdown

USUAL = ("deep-16", "vae-16", "wae-mmd-8", "ali-16")
"""The runs that are compared at first, as far as they are here."""
MOST_RUNS = 4
GRID, LINE = 21, 41  # tiles of a side of a plane, and of a line
ERROR_IMAGES = 100  # over which errors are measured
NEEDS = frozenset({"encode", "decode"})
IMAGES, TWO, ONE = "three images", "two units", "one unit"
AXES = {IMAGES: ("from a to b", "from a to c"), TWO: ("first", "second"), ONE: ("z", "")}
LETTERS = "abc"


class State:
    """Which runs, and what spans the place that the pointer moves on."""

    runs: Many[str] = Many("compare.runs", default=USUAL)
    span = Choice("compare.way", (IMAGES, TWO, ONE))
    images = tuple(Number(f"compare.{letter}", 0, 9999, k) for k, letter in enumerate(LETTERS))
    ranks = tuple(Number(f"compare.unit{k}", 1, 256, k + 1) for k in range(2))
    at = Point("compare.at")


class Span(NamedTuple):
    """What spans the place.

    corners: numbers of three held-out images, or none.  ranks: of one or two latent dimensions, from 1, or none.
    """

    kind: str
    corners: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()


def page() -> None:
    heading(
        "Side by side",
        "**One pointer for several decoders**: the same place of each code, and what each decoder paints there. The "
        "place is spanned by three images, or by latent dimensions that you choose.",
    )
    suitable = suitable_runs()
    runs = choose_runs(suitable)
    span = choose_span()
    if not runs:
        st.info("Choose one autoencoder or more.", icon=":material/info:")
        st.stop()
    panes = [pane for run in runs if (pane := pane_of(run, span))]
    if not panes:
        st.stop()
    state = planes(
        panes,
        key="compare.planes",
        axes=AXES[span.kind],
        state=State.at.get(),
        alt="The same place of several codes, and what each decoder paints there",
    )
    State.at.put(state)
    explain(span)
    if span.corners:
        show_corners(runs, span.corners, library.names(suitable.values()))
    offer_downloads(runs, span, panes)
    with st.expander("What to look for"):
        st.markdown(
            "- **Between images**: a plain autoencoder’s plane may hold places that look like nothing; a VAE’s are "
            "mostly averages, a WAE’s lie between.\n"
            "- **Dimensions of the same rank** need not mean the same: no two networks agree on their axes.\n"
            "- **Outside the triangle** of the three images each decoder shows how it extrapolates."
        )
    with st.expander("Why"):
        st.markdown(
            "Every code has its own coordinates; what all of them share are the images. The plane through three codes "
            "asks the same question of each: what lies between these? Along a latent dimension the question is what a "
            "single number stands for (Section 3.3)."
        )


# --- what is compared -----------------------------------------------------------------------------------------------


def suitable_runs() -> dict[str, Run]:
    """Trained autoencoders of images that no labels condition, by id."""
    return {
        run.info.id: run
        for run in library.all_runs()
        if run.entry.abilities >= NEEDS
        and "code" in run.info.params
        and len(run.info.shape) == 3
        and library.has_weights(run)
        and not run.info.params.get("classes")
    }


def choose_runs(suitable: Mapping[str, Run]) -> list[Run]:
    """The runs that are compared; where the usual ones are missing, the first two."""
    names = library.names(suitable.values())
    usual = [identity for identity in USUAL if identity in suitable] or list(suitable)[:2]
    others = [identity for identity in suitable if identity not in usual]
    state = State.runs.given(options=[*usual, *others], default=usual, label=names.__getitem__)
    return [suitable[identity] for identity in state.box("Autoencoders", max_selections=MOST_RUNS)]


def choose_span() -> Span:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        kind = State.span.option("The place is spanned by")
        if kind == IMAGES:
            numbers = zip(State.images, LETTERS, strict=True)
            return Span(kind, corners=tuple(state.number(f"Image {letter}", width=150) for state, letter in numbers))
        titles = ("First dimension, by importance", "Second dimension, by importance")[: 1 + (kind == TWO)]
        states = zip(State.ranks, titles, strict=False)
        return Span(kind, ranks=tuple(state.number(title, width=250) for state, title in states))


def explain(span: Span) -> None:
    """The equation of the codes on the place."""
    if span.corners:
        st.latex(r"z(s, t) = z_a + s\,(z_b - z_a) + t\,(z_c - z_a),\qquad z_i = A(x_i)")
        return
    st.latex(r"z = \bar z + s\, e_j + t\, e_k" if span.kind == TWO else r"z = \bar z + s\, e_j")
    st.caption(
        "Dimensions are numbered by importance: by their KL where there is a posterior, else by how much they vary. "
        "All others rest at the prior’s mean, or at their own mean where there is no prior."
    )


# --- the planes -----------------------------------------------------------------------------------------------------


def pane_of(run: Run, span: Span) -> Pane | None:
    """The place in the code of one run; None, after a sentence, where its images do not span a plane."""
    if not span.corners:
        tiles, extent, dimensions = tiles_along(run, span.ranks)
        moved = " and ".join(f"z{dimension + 1}" for dimension in dimensions)
        return Pane(run.info.title, tiles, extent, note=f"{moved} of {len(cached.units(run).mean)} dimensions")
    corners = within(run, span.corners)
    try:
        tiles, places = tiles_between(run, corners)
    except DataError as error:
        st.info(f"{escape_markdown(run.info.title)}: {error}", icon=":material/info:")
        return None
    titles = [label_of(run, example) or letter for example, letter in zip(corners, LETTERS, strict=True)]
    marks = [(u, v, title) for (u, v), title in zip(places, titles, strict=True)]
    return Pane(run.info.title, tiles, (0.0, 1.0, 0.0, 1.0), marks=marks)


def within(run: Run, corners: Sequence[int]) -> tuple[int, ...]:
    """The numbers of images, brought into the range of the run's held-out images."""
    return tuple(min(corner, len(held_out(run)) - 1) for corner in corners)


@cached.remember(max_entries=64)
def tiles_between(run: Run, corners: tuple[int, ...]) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Tiles (1, n, n, H, W[, 3]) of the plane through three images' codes, and where these lie on it, from 0 to 1."""
    origin, across, up, places = through(cached.code_of(run, corners))
    return plane(library.model(run), origin, across, up, GRID)[None], places


@cached.remember(max_entries=64)
def tiles_along(
    run: Run, ranks: tuple[int, ...]
) -> tuple[np.ndarray, tuple[float, float, float, float], tuple[int, ...]]:
    """Tiles (1, n, m, H, W[, 3]) while one or two dimensions move and the others rest, the extent, and the dimensions.

    ranks: by importance, from 1; a rank that the code does not have is taken as its last.
    """
    model, latents = library.model(run), cached.units(run)
    dimensions = tuple(int(latents.order[min(rank, len(latents.order)) - 1]) for rank in ranks)
    low, high = traverse.spans(model, latents)
    origin = traverse.prior_mean(model, latents).astype(np.float32)
    steps = []
    for dimension in dimensions:
        step = np.zeros_like(origin)
        origin[dimension], step[dimension] = low[dimension], high[dimension] - low[dimension]
        steps.append(step)
    tiles = plane(model, origin, *steps, grid=LINE if len(steps) == 1 else GRID)[None]
    ends = [(float(low[dimension]), float(high[dimension])) for dimension in dimensions]
    return tiles, (*ends[0], *(ends[1] if len(ends) > 1 else (0.0, 1.0))), dimensions


def show_corners(runs: Sequence[Run], corners: Sequence[int], names: Mapping[str, str]) -> None:
    """The three images above their reconstructions, on one sheet for all runs of the same data."""
    specs = [library.data(run).spec for run in runs]
    for spec in dict.fromkeys(specs):
        same = [run for run, other in zip(runs, specs, strict=True) if other == spec]
        examples = within(same[0], corners)
        contact(
            [
                ("image", cached.images(same[0], examples)),
                *((names[run.info.id], cached.reconstructions(run, examples)) for run in same),
            ],
            key=f"compare.sheet.{spec.name}.{spec.size}",
            captions=list(LETTERS),
            tile=64,
            alt="The three images and their reconstruction by each autoencoder",
        )


# --- downloads ------------------------------------------------------------------------------------------------------


def offer_downloads(runs: Sequence[Run], span: Span, panes: Sequence[Pane]) -> None:
    """The planes as a picture, the errors as a table, and the Python that computes a plane."""
    with st.container(horizontal=True):
        download_button("Planes as PNG", lambda: sheet_of(panes), "side-by-side.png", "image/png", "compare.png")
        download_button("Errors as CSV", lambda: errors_of(runs), "side-by-side.csv", "text/csv", "compare.csv")
        python_button(
            runs[0],
            f"""
from aecore.explore.planes import plane, through
from aecore import inference

model, test = run.model(), run.data().test
origin, across, up, places = through(inference.encode(model, test, {list(span.corners or (0, 1, 2))}))
print(plane(model, origin, across, up, 21).shape)
""",
            "compare.python",
        )


def sheet_of(panes: Sequence[Pane]) -> bytes:
    """All planes below one another as PNG, as far as their tiles have one size."""
    size = panes[0].tiles.shape
    same = [rgb(pane.tiles[0][::-1].reshape(-1, *size[3:])) for pane in panes if pane.tiles.shape == size]
    return plots.png(np.concatenate([contact_sheet(tiles, size[2], 900) for tiles in same]))


def errors_of(runs: Sequence[Run]) -> str:
    """Squared error per pixel of the first held-out images, as CSV."""
    errors = [cached.error(run, "test", ERROR_IMAGES) for run in runs]
    return csv_table(["run", "squared error per pixel"], [run.info.id for run in runs], errors)
