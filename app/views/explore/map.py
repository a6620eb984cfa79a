"""Map: all codes on a plane, and what lies between them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import streamlit as st

from aecore.explore.projection import NAMES, SLOW, Method
from app import cached, library
from app.browser import latent_map
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import code_bars
from app.figures.plots import contact_sheet
from app.library import image_title, label_of
from app.panels import layout
from app.panels.downloads import csv_table, download_button, python_button
from app.session import analyses, plain_errors
from app.state import Choice, MapState
from app.text import escape_markdown

METHODS: dict[str, Method] = {"PCA": "pca", "UMAP": "umap", "t-SNE": "tsne", "two units": "units"}
HALVES: dict[str, Literal["test", "train"]] = {"held-out": "test", "training": "train"}
SIZES = (1000, 2000, 5000, 10_000)
GREY, COLOURED, DRAWN = 5000, 2000, 250  # how many at first; drawn: where reconstructions are, pixel by pixel
SHOWN = 48  # selected images on the contact sheet


class State:
    """The plane and what is placed on it; what is marked there belongs to one run."""

    method = Choice("map.method", tuple(METHODS))
    first: Choice[int] = Choice("map.x", label="z{}".format)
    second: Choice[int] = Choice("map.y", label="z{}".format)
    half = Choice("map.half", tuple(HALVES))
    n: Choice[int] = Choice("map.n")
    view = MapState("view")


def page() -> None:
    run = layout.opening(
        "Map",
        "Every point is one image, placed by its code. Move the pointer: the decoder paints what any place would be.",
        "encode",
        "decode",
    )
    size = cached.code_of(run, (0,)).shape[1]

    def forget() -> None:
        State.view.put({}, run.info.id)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method: Method = "units"
        first, second = 1, 2
        if size > 2:
            method = METHODS[State.method.option("Plane", on_change=forget)]
            if method == "units":
                order = [int(j) + 1 for j in cached.units(run).order]
                first = State.first.given(options=order).box("Across", on_change=forget, width=110)
                second = State.second.given(options=order, default=order[1]).box("Upwards", on_change=forget, width=110)
        half = HALVES[State.half.option("Images", on_change=forget)]
        there = len(getattr(library.data(run), half))
        usual = DRAWN if library.model(run).sequential else GREY if run.info.shape[0] == 1 else COLOURED
        sizes = sorted({min(most, there) for most in {usual, *SIZES}})
        n = State.n.given(options=sizes, default=min(usual, there)).option("How many")

    if first == second:
        st.info("Choose two different units.", icon=":material/info:")
        st.stop()

    @st.fragment(run_every=1.5)
    @plain_errors()
    def wait() -> None:
        """How a slow map stands; when it is ready the page shows it."""
        standing = analyses().map(run, method, n, half)
        if standing.state == "done":
            st.rerun()
        if standing.state.startswith("failed"):
            st.error(f"{NAMES[method]} {escape_markdown(standing.state)}", icon=":material/error:")
            if st.button("Try again", key="map.again"):
                analyses().map(run, method, n, half, again=True)
            return
        left = max(1, standing.estimate - standing.elapsed)
        how = f"number {standing.position} in line, then " if standing.state == "waiting" else ""
        st.progress(
            min(1.0, standing.progress), f"{NAMES[method]} of {n:,} codes: {how}about {left:.0f} s. PCA meanwhile."
        )

    ready = method not in SLOW or cached.stored(run, method, n, half)
    if not ready:
        wait()
    view = cached.latent_map(run, n, method if ready else "pca", (first - 1, second - 1), half)

    @st.fragment
    @plain_errors()
    def show() -> None:
        """The map, and what was pointed at or chosen on it."""
        state: dict[str, Any] = dict(
            latent_map(
                view.points,
                view.ids,
                view.labels,
                key=f"map.{run.info.id}.{view.method}.{first}.{second}.{half}",
                images=view.images,
                class_names=view.class_names,
                reconstructions=view.reconstructions,
                plane=view.plane,
                extent=view.extent,
                axes=view.axes,
                height=640,
                caption=f"{view.caption}. {view.note}",
                alt=f"Map of the codes of {run.info.title}: {len(view.ids):,} images by {NAMES[view.method]}.",
                state=(State.view.get(run.info.id) or None) if ready else None,
            )
        )
        if ready:  # a link to a slow map waits for that map's own plane
            State.view.put(state, run.info.id)
        if state["point"] is not None:
            pointed(int(state["point"]))
        selected = [i for i in state["selected"] if i in places]
        if selected:
            chosen(selected)

    places = {int(i): k for k, i in enumerate(view.ids)}

    def pointed(example: int) -> None:
        """One image large beside its reconstruction."""
        name = image_title(run, example, half)
        st.subheader(escape_markdown(name[:1].upper() + name[1:]), anchor=False)
        before, after, code = st.columns([1, 1, 2], gap="large", vertical_alignment="center")
        with before:
            layout.picture(cached.images(run, (example,), half)[0], "$x$", name)
        with after:
            layout.picture(cached.reconstructions(run, (example,), half)[0], r"$\hat x$", f"reconstruction of {name}")
        with code:
            code_bars(cached.code_of(run, (example,), half)[0], None, f"The code of {name} as bars", height=260)

    def chosen(ids: list[int]) -> None:
        """The selection as a contact sheet and a table."""
        st.subheader(f"{len(ids):,} selected", anchor=False)
        some = tuple(ids[:SHOWN])
        before, after = cached.images(run, some, half), cached.reconstructions(run, some, half)
        contact(
            [("original", before), ("reconstruction", after)],
            key="map.sheet",
            captions=[label_of(run, i, half) or str(i) for i in some],
            tile=56,
            alt="Selected images above their reconstructions",
        )
        if len(ids) > SHOWN:
            st.caption(f"The first {SHOWN} are shown; the table has all.")
        rows = np.array([places[i] for i in ids])
        codes = cached.code_of(run, tuple(ids), half)
        header = ["image", "class", "x", "y", *(f"z{j + 1}" for j in range(codes.shape[1]))]
        names = [label_of(run, i, half) for i in ids]
        with st.container(horizontal=True):
            download_button(
                "Table as CSV",
                lambda: csv_table(header, ids, names, *view.points[rows].T, *codes.T),
                f"{run.info.id}-selection.csv",
                "text/csv",
                "map.csv",
            )
            both = np.concatenate([before, after])
            download_button(
                "Sheet as PNG",
                lambda: plots.png(contact_sheet(both, len(some))),
                f"{run.info.id}-selection.png",
                "image/png",
                "map.png",
            )

    show()
    with st.container(horizontal=True):
        download_button(
            "Map as CSV",
            lambda: csv_table(
                ["image", "class", "x", "y"], view.ids, [label_of(run, int(i), half) for i in view.ids], *view.points.T
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

projection = Projection("{method}", units={(first - 1, second - 1)})
view = latent_map(run.model(), run.data().{half}, projection, {len(view.ids)}, split_name="{half}")
print(view.points.shape, view.caption)
""",
            "map.python",
        )
    with st.expander("What to look for"):
        st.markdown(
            "- **Classes apart without labels**: the model never saw the colours; they only show what it found by itself.\n"
            "- **Holes and edges**: in a plain autoencoder the plane between groups decodes to rubbish, in a VAE to "
            "something in between.\n"
            "- **A VAE's cloud** is round and centred like its prior; an autoencoder's may lie anywhere.\n"
            "- **PCA and UMAP** of a larger code are shadows: points that overlap here can be far apart in the code."
        )
