"""Map: the codes of all images on a plane, and what the decoder paints between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import streamlit as st

from aecore import Run
from aecore.explore.maps import MapView
from aecore.explore.projection import NAMES, SLOW, Method
from app import cached, library
from app.browser.contact import contact
from app.browser.latent_map import latent_map
from app.figures import plots
from app.figures.html import code_bars
from app.figures.plots import contact_sheet
from app.library import image_title, label_of
from app.panels import layout
from app.panels.downloads import download_button, python_button
from app.panels.tables import csv_table
from app.session import analyses, plain_errors
from app.state import Choice, MapState
from app.text import escape_markdown

METHODS: dict[str, Method] = {"PCA": "pca", "UMAP": "umap", "t-SNE": "tsne", "two units": "units"}
SPLITS: dict[str, Literal["test", "train"]] = {"held-out": "test", "training": "train"}
SIZES = (1000, 2000, 5000, 10_000)
FIRST_GREY, FIRST_COLOURED = 5000, 2000
"""How many images the map shows at first."""
FIRST_SEQUENTIAL = 250
"""The same where the decoder draws pixel after pixel."""
MOST_SELECTED = 48  # selected images on the contact sheet


class State:
    """The plane and what is placed on it; what is marked there belongs to one run."""

    method = Choice("map.method", tuple(METHODS))
    first: Choice[int] = Choice("map.x", label="z{}".format)
    second: Choice[int] = Choice("map.y", label="z{}".format)
    split = Choice("map.half", tuple(SPLITS))
    n: Choice[int] = Choice("map.n")
    view = MapState("view")


class Plane(NamedTuple):
    """How the codes are projected.  dimensions: those that span the plane of the method "units", from 1."""

    method: Method
    dimensions: tuple[int, int]


class Shown(NamedTuple):
    """A map, and whose it is.  ready: whether it is the one that was asked for, and not PCA in its place."""

    run: Run
    split: Literal["test", "train"]
    plane: Plane
    view: MapView
    ready: bool


def page() -> None:
    run = layout.opening(
        "Map",
        "Every point is one image, placed by its code. Move the pointer: the decoder paints what lies at any place.",
        "encode",
        "decode",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        plane = choose_plane(run)
        split, n = choose_images(run)
    if plane.dimensions[0] == plane.dimensions[1]:
        st.info("Choose two different dimensions.", icon=":material/info:")
        st.stop()
    ready = plane.method not in SLOW or cached.stored(run, plane.method, n, split)
    if not ready:
        wait(run, plane.method, n, split)
    first, second = plane.dimensions
    view = cached.latent_map(run, n, plane.method if ready else "pca", (first - 1, second - 1), split)
    shown = Shown(run, split, plane, view, ready)
    show_map(shown)
    offer_map(shown)
    with st.expander("What to look for"):
        st.markdown(
            "- **Classes apart without labels**: the model never saw the colours; they only show what it found by "
            "itself.\n"
            "- **Holes and edges**: in a plain autoencoder the plane between groups decodes to nothing meaningful, in "
            "a VAE to something in between.\n"
            "- **A VAE's cloud** is round and centred like its prior; an autoencoder's may lie anywhere.\n"
            "- **PCA and UMAP** of a larger code are projections: points that overlap here can be far apart in the "
            "code."
        )


# --- what is shown --------------------------------------------------------------------------------------------------


def choose_plane(run: Run) -> Plane:
    """How the codes are placed; a code of two numbers is the plane itself."""
    forget: dict[str, Any] = {"on_change": forget_marks, "args": (run,)}
    if cached.code_of(run, (0,)).shape[1] <= 2:
        return Plane("units", (1, 2))
    method = METHODS[State.method.option("Plane", **forget)]
    if method != "units":
        return Plane(method, (1, 2))
    order = [int(dimension) + 1 for dimension in cached.units(run).order]
    first = State.first.given(options=order).box("Across", width=110, **forget)
    second = State.second.given(options=order, default=order[1]).box("Upwards", width=110, **forget)
    return Plane(method, (first, second))


def choose_images(run: Run) -> tuple[Literal["test", "train"], int]:
    """Which images are placed on the plane, and how many."""
    split = SPLITS[State.split.option("Images", on_change=forget_marks, args=(run,))]
    size = len(getattr(library.data(run), split))
    if library.model(run).sequential:
        usual = FIRST_SEQUENTIAL
    else:
        usual = FIRST_GREY if run.info.shape[0] == 1 else FIRST_COLOURED
    sizes = sorted({min(n, size) for n in (usual, *SIZES)})
    return split, State.n.given(options=sizes, default=min(usual, size)).option("How many")


def forget_marks(run: Run) -> None:
    """What was marked on one plane means nothing on another."""
    State.view.put({}, run.info.id)


@st.fragment(run_every=1.5)
@plain_errors()
def wait(run: Run, method: Method, n: int, split: str) -> None:
    """How far a slow map is; when it is ready the page shows it."""
    standing = analyses().map(run, method, n, split)
    if standing.state == "done":
        st.rerun()
    if standing.state.startswith("failed"):
        st.error(f"{NAMES[method]} {escape_markdown(standing.state)}", icon=":material/error:")
        if st.button("Try again", key="map.again"):
            analyses().map(run, method, n, split, again=True)
        return
    left = max(1, standing.estimate - standing.elapsed)
    line = f"number {standing.position} in line, then " if standing.state == "waiting" else ""
    st.progress(
        min(1.0, standing.progress), f"{NAMES[method]} of {n:,} codes: {line}about {left:.0f} s. PCA meanwhile."
    )


# --- the map --------------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def show_map(shown: Shown) -> None:
    """The map, and the images that were pointed at or selected on it."""
    run, view = shown.run, shown.view
    first, second = shown.plane.dimensions
    state: dict[str, Any] = dict(
        latent_map(
            view.points,
            view.ids,
            view.labels,
            key=f"map.{run.info.id}.{view.method}.{first}.{second}.{shown.split}",
            images=view.images,
            class_names=view.class_names,
            reconstructions=view.reconstructions,
            plane=view.plane,
            extent=view.extent,
            axes=view.axes,
            height=640,
            caption=f"{view.caption}. {view.note}",
            alt=f"Map of the codes of {run.info.title}: {len(view.ids):,} images by {NAMES[view.method]}.",
            state=(State.view.get(run.info.id) or None) if shown.ready else None,
        )
    )
    if shown.ready:  # a link to a slow map waits for that map's own plane
        State.view.put(state, run.info.id)
    if state["point"] is not None:
        show_image(shown, int(state["point"]))
    rows = {int(example): row for row, example in enumerate(view.ids)}
    selected = [example for example in state["selected"] if example in rows]
    if selected:
        show_selection(shown, selected, view.points[[rows[example] for example in selected]])


def show_image(shown: Shown, example: int) -> None:
    """One image beside its reconstruction and its code."""
    run, split = shown.run, shown.split
    title = image_title(run, example, split)
    st.subheader(escape_markdown(title[:1].upper() + title[1:]), anchor=False)
    before, after, code = st.columns([1, 1, 2], gap="large", vertical_alignment="center")
    with before:
        layout.picture(cached.images(run, (example,), split)[0], "$x$", title)
    with after:
        reconstruction = cached.reconstructions(run, (example,), split)[0]
        layout.picture(reconstruction, r"$\hat x$", f"reconstruction of {title}")
    with code:
        code_bars(cached.code_of(run, (example,), split)[0], None, f"The code of {title} as bars", height=260)


def show_selection(shown: Shown, examples: Sequence[int], points: np.ndarray) -> None:
    """The selected images on a contact sheet, and all of them as a table.

    points: (n, 2) where they lie on the map.
    """
    run, split = shown.run, shown.split
    st.subheader(f"{len(examples):,} selected", anchor=False)
    sheet = tuple(examples[:MOST_SELECTED])
    before, after = cached.images(run, sheet, split), cached.reconstructions(run, sheet, split)
    contact(
        [("original", before), ("reconstruction", after)],
        key="map.sheet",
        captions=[label_of(run, example, split) or str(example) for example in sheet],
        tile=56,
        alt="Selected images above their reconstructions",
    )
    if len(examples) > MOST_SELECTED:
        st.caption(f"The first {MOST_SELECTED} are shown; the table has all.")
    codes = cached.code_of(run, tuple(examples), split)
    header = ["image", "class", "x", "y", *(f"z{j + 1}" for j in range(codes.shape[1]))]
    labels = [label_of(run, example, split) for example in examples]
    with st.container(horizontal=True):
        download_button(
            "Table as CSV",
            lambda: csv_table(header, examples, labels, *points.T, *codes.T),
            f"{run.info.id}-selection.csv",
            "text/csv",
            "map.csv",
        )
        tiles = np.concatenate([before, after])
        download_button(
            "Sheet as PNG",
            lambda: plots.png(contact_sheet(tiles, len(sheet))),
            f"{run.info.id}-selection.png",
            "image/png",
            "map.png",
        )


def offer_map(shown: Shown) -> None:
    """The whole map as a table, and the Python that computes it."""
    run, view = shown.run, shown.view
    with st.container(horizontal=True):
        download_button(
            "Map as CSV",
            lambda: csv_table(
                ["image", "class", "x", "y"],
                view.ids,
                [label_of(run, int(example), shown.split) for example in view.ids],
                *view.points.T,
            ),
            f"{run.info.id}-map.csv",
            "text/csv",
            "map.all",
        )
        python_button(
            run,
            f"""
from aecore.explore.maps import latent_map
from aecore.explore.projection import Projection

projection = Projection("{shown.plane.method}", units={tuple(j - 1 for j in shown.plane.dimensions)})
view = latent_map(run.model(), run.data().{shown.split}, projection, {len(view.ids)}, split_name="{shown.split}")
print(view.points.shape, view.caption)
""",
            "map.python",
        )
