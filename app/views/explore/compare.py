"""Side by side: one pointer drives the decoders of several runs, over a plane or along one unit of each code."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import DataError, Run, inference
from aecore.explore import traverse
from aecore.explore.planes import plane, through
from app import cached, library
from app.browser import Pane, planes
from app.browser.contact import contact
from app.figures import plots
from app.figures.plots import contact_sheet, rgb
from app.library import held_out, label_of
from app.link import LINKED, keep_pointer, recall_pointer
from app.panels import exhibit, layout
from app.panels.downloads import csv_table, download_button, python_button
from app.text import escape_markdown

MOST = 4
GRID, LINE = 21, 41
NEEDS = {"encode", "decode"}
WAYS = ("three images", "two units", "one unit")


@cached.remember(max_entries=64)
def by_images(run: Run, corners: tuple[int, int, int]) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Tiles (1, n, n, H, W[, 3]) of the plane through three images' codes, and where these lie on it."""
    z = cached.code_of(run, corners)
    origin, across, up, places = through(z)
    return plane(library.model(run), origin, across, up, GRID)[None], places


@cached.remember(max_entries=64)
def by_units(run: Run, ranks: tuple[int, ...]) -> tuple[np.ndarray, tuple[float, ...], tuple[int, ...]]:
    """Tiles (1, n, m, H, W[, 3]) while one or two units move and the others rest, their ranges, and which they are."""
    model, units = library.model(run), cached.units(run)
    which = tuple(int(units.order[min(rank, len(units.order)) - 1]) for rank in ranks)
    low, high = traverse.spans(model, units)
    origin = traverse.prior_mean(model, units).astype(np.float32)
    steps = []
    for unit in which:
        step = np.zeros_like(origin)
        origin[unit], step[unit] = low[unit], high[unit] - low[unit]
        steps.append(step)
    tiles = plane(model, origin, *steps, grid=LINE if len(steps) == 1 else GRID)[None]
    ends = [float(v) for unit in which for v in (low[unit], high[unit])]
    return tiles, (*ends, 0.0, 1.0)[:4] if len(which) == 1 else tuple(ends), which


def page() -> None:
    exhibit.heading(
        "Side by side",
        "**One pointer for several decoders**: the same place of each code, what is painted there by each. The place is "
        "spanned by three images, or by units that you choose.",
    )
    able = {
        run.info.id: run
        for run in library.all_runs()
        if run.entry.abilities >= NEEDS
        and "code" in run.info.params
        and len(run.info.shape) == 3
        and library.has_weights(run)
        and not run.info.params.get("classes")
    }
    usual = [name for name in ("deep-16", "vae-16", "wae-mmd-8", "ali-16") if name in able] or list(able)[:2]
    names = library.names(able.values())
    chosen = st.multiselect(
        "Autoencoders",
        list(able),
        usual,
        format_func=names.__getitem__,
        key="compare.runs",
        max_selections=MOST,
        **LINKED,
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        way = layout.option("The place is spanned by", list(WAYS), "compare.way")
        if way == "three images":
            corners = tuple(
                int(st.number_input(f"Image {letter}", 0, 9999, k, key=f"compare.{letter}", width=150, **LINKED))
                for k, letter in enumerate("abc")
            )
        else:
            ranks = tuple(
                int(
                    st.number_input(
                        f"{word} unit, by importance", 1, 256, k + 1, key=f"compare.unit{k}", width=210, **LINKED
                    )
                )
                for k, word in enumerate(("First", "Second")[: 1 + (way == "two units")])
            )
    if not chosen:
        st.info("Choose one autoencoder or more.", icon=":material/info:")
        st.stop()

    panes, sheets = [], []
    for identity in chosen:
        run = able[identity]
        most = len(held_out(run)) - 1
        if way == "three images":
            corners = tuple(min(corner, most) for corner in corners)
            try:
                tiles, places = by_images(run, corners)
            except DataError as error:
                st.info(f"{escape_markdown(run.info.title)}: {error}", icon=":material/info:")
                continue
            marks = [
                (u, v, label_of(run, i) or letter) for (u, v), i, letter in zip(places, corners, "abc", strict=True)
            ]
            panes.append(Pane(run.info.title, tiles, (0.0, 1.0, 0.0, 1.0), marks=marks))
        else:
            tiles, ends, which = by_units(run, ranks)
            told = " and ".join(f"z{unit + 1}" for unit in which)
            panes.append(Pane(run.info.title, tiles, ends, note=f"{told} of {len(cached.units(run).mean)} units"))
    if not panes:
        st.stop()
    axes = {"three images": ("from a to b", "from a to c"), "two units": ("first", "second"), "one unit": ("z", "")}[
        way
    ]
    state = planes(
        panes,
        key="compare.planes",
        axes=axes,
        state=recall_pointer("compare.at"),
        alt="The same place of several codes, and what each decoder paints there",
    )
    keep_pointer("compare.at", state)
    if way == "three images":
        st.latex(r"z(s, t) = z_a + s\,(z_b - z_a) + t\,(z_c - z_a),\qquad z_i = A(x_i)")
        for spec in dict.fromkeys(
            library.data(able[identity]).spec for identity in chosen
        ):  # one sheet for all of one data
            same = [able[identity] for identity in chosen if library.data(able[identity]).spec == spec]
            own = tuple(min(corner, len(held_out(same[0])) - 1) for corner in corners)
            contact(
                [
                    ("image", cached.images(same[0], own)),
                    *((names[run.info.id], cached.reconstructions(run, own)) for run in same),
                ],
                key=f"compare.sheet.{spec.name}.{spec.size}",
                captions=["a", "b", "c"],
                tile=64,
                alt="The three images and what comes back from each autoencoder",
            )
    else:
        st.latex(r"z = \bar z + s\, e_j + t\, e_k" if way == "two units" else r"z = \bar z + s\, e_j")
        st.caption(
            "Units are numbered by importance: by their KL where there is a posterior, else by how much they vary. All "
            "others rest at the prior’s mean, or at their own where there is no prior."
        )

    def sheet() -> bytes:
        """All planes one above the other, as far as their pictures have one size."""
        size = panes[0].tiles.shape
        same = [rgb(pane.tiles[0][::-1].reshape(-1, *size[3:])) for pane in panes if pane.tiles.shape == size]
        return plots.png(np.concatenate([contact_sheet(tiles, size[2], 900) for tiles in same]))

    def errors() -> str:
        """Squared error per pixel of the first hundred held-out images."""
        found = []
        for identity in chosen:
            test = held_out(able[identity])
            ids = inference.first(test, 100)
            x = inference.examples(test, ids).numpy()
            found.append(float(np.square(x - inference.autoencode(layout.model(able[identity]), test, ids)).mean()))
        return csv_table(["run", "squared error per pixel"], chosen, found)

    with st.container(horizontal=True):
        download_button("Planes as PNG", sheet, "side-by-side.png", "image/png", "compare.png")
        download_button("Errors as CSV", errors, "side-by-side.csv", "text/csv", "compare.csv")
        three = list(corners) if way == "three images" else [0, 1, 2]
        python_button(
            able[chosen[0]],
            f"""
from aecore.explore.planes import plane, through
from aecore import inference

model, test = run.model(), run.data().test
origin, across, up, places = through(inference.encode(model, test, {three}))
print(plane(model, origin, across, up, 21).shape)
""",
            "compare.python",
        )
    with st.expander("What to look for"):
        st.markdown(
            "- **Between images**: a plain autoencoder’s plane may hold places that look like nothing; a VAE’s are "
            "mostly averages, a WAE’s lie between.\n"
            "- **Units of the same rank** need not mean the same: no two nets agree on their axes.\n"
            "- **Outside the triangle** of the three images each decoder shows how it goes on."
        )
    with st.expander("Why"):
        st.markdown(
            "Every code has its own coordinates; what all share are the images. The plane through three codes is the same "
            "question put to each: what lies between these? Along units the question is what a single number stands for "
            "(Section 3.3)."
        )
