"""The grid of Fig. 6: one code with many attributes. Rows hold some of them, columns switch others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import streamlit as st

from aecore import Run
from aecore.explore import edits
from app import library
from app.browser.contact import contact
from app.figures import plots
from app.figures.plots import contact_sheet
from app.panels.attribute_edits import (
    DIRECTION_IMAGES,
    SAMPLED,
    Directions,
    attribute_title,
    coded,
    is_conditional,
    pictures_of,
    rendered,
    sampled,
    switch_title,
)
from app.panels.downloads import download_button, python_button
from app.panels.tables import csv_table
from app.session import plain_errors
from app.state import Choice, Many, Number

NUMBERS = 10_000  # of faces and seeds that can be chosen
HELD = ("Male", "Young")
"""What the rows hold at first."""


class State:
    """The code, the attributes that the rows hold, and those that the columns switch."""

    code = Choice("attributes.code", ("of a held-out face", SAMPLED))
    number = Number("attributes.z", 0)
    rows: Many[str] = Many("attributes.rows", default=HELD, label=attribute_title)
    columns: Many[str] = Many("attributes.columns", label=attribute_title)


class Grid(NamedTuple):
    """A code, and the switches of each row and column with their titles.

    targets: (rows, columns, A), the attributes of each picture.
    """

    z: np.ndarray
    attributes: np.ndarray
    rows: Sequence[tuple[str, edits.Switches]]
    columns: Sequence[tuple[str, edits.Switches]]
    targets: np.ndarray


@st.fragment
@plain_errors()
def show_grid(run: Run, how: Directions) -> None:
    """Rows hold attributes, columns switch others; the code is the same throughout."""
    number, grid = choose_grid(run)
    flat = grid.targets.reshape(-1, grid.targets.shape[-1])
    images = rendered(run, grid.z, grid.attributes, flat, how)
    pictures = pictures_of(images.reshape(*grid.targets.shape[:2], *images.shape[1:]))
    contact(
        [(title, row) for (title, _), row in zip(grid.rows, pictures, strict=True)],
        key="attributes.grid",
        tile=76,
        captions=[title for title, _ in grid.columns],
        alt="One code with many attributes: rows hold some, columns switch others",
    )
    decoder = r"B(z, y)" if is_conditional(run) else r"B\left(z + \textstyle\sum_k (y_k - y^0_k)\, d_k\right)"
    st.latex(rf"x = {decoder},\qquad z\ \text{{the same in all {len(flat)} pictures}},\quad y\ \text{{as named}}")
    offer_grid(run, grid, number, how, pictures)


def choose_grid(run: Run) -> tuple[int | None, Grid]:
    """The number of the held-out face, None for a code from the prior; and what its grid shows."""
    data = library.data(run)
    names = data.attributes
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        from_prior = "sample" in run.entry.abilities and State.code.option("Code") == SAMPLED
        most = min(NUMBERS, len(data.test)) - 1
        number = State.number.given(most=most).number("Which", width=150)
        st.button("Another", icon=":material/casino:", key="attributes.another", on_click=next_number, args=(most,))
        held = State.rows.given(options=names).box("Rows hold", max_selections=2, width=300)
        varied = State.columns.given(options=names).box(
            "Columns switch", width=360, placeholder="as in the chapter’s Fig. 6"
        )
    z, attributes = sampled(run, number) if from_prior else coded(run, number)
    base = edits.switch(data, attributes, edits.BASE)
    rows = row_switches(held) if held else [("", ())]
    columns = column_switches(varied, dict(zip(names, base, strict=True))) if varied else list(edits.COLUMNS)
    targets = np.stack(
        [[edits.switch(data, edits.switch(data, base, row), column) for _, column in columns] for _, row in rows]
    )
    return None if from_prior else number, Grid(z, attributes, rows, columns, targets)


def next_number(most: int) -> None:
    State.number.put((State.number.now() + 1) % (most + 1))


def row_switches(names: Sequence[str]) -> list[tuple[str, edits.Switches]]:
    """All ways in which up to two attributes can be present or absent."""
    if tuple(names) == HELD:
        return list(edits.ROWS)
    ways = product(*[[(name, True), (name, False)] for name in names])
    return [(", ".join(switch_title(*switch) for switch in way), way) for way in ways]


def column_switches(names: Sequence[str], base: Mapping[str, float]) -> list[tuple[str, edits.Switches]]:
    """Each attribute switched alone, beside a column where none is.  base: the attributes that are switched."""
    return [("as it is", ()), *((attribute_title(name), ((name, bool(base[name] < 0.5)),)) for name in names)]


def offer_grid(run: Run, grid: Grid, number: int | None, how: Directions, pictures: np.ndarray) -> None:
    """The grid as a picture, its attributes as a table, and the Python that computes it."""
    with st.container(horizontal=True):
        flat = pictures.reshape(-1, *pictures.shape[2:])
        download_button(
            "Grid as PNG",
            lambda: plots.png(contact_sheet(flat, len(grid.columns), 2000)),
            f"{run.info.id}-attributes.png",
            "image/png",
            "attributes.png",
        )
        targets = grid.targets.reshape(-1, grid.targets.shape[-1])
        table = csv_table(
            ["row", "column", *library.data(run).attributes],
            [row for row, _ in grid.rows for _ in grid.columns],
            [column for _ in grid.rows for column, _ in grid.columns],
            *targets.T.astype(int),
        )
        download_button("Attributes as CSV", table, f"{run.info.id}-attributes.csv", "text/csv", "attributes.csv")
        code = f"z, attributes = single_edit.encode_example(model, data.test, {number})"
        if number is None:
            code = f"""z = np.array({grid.z.round(4).tolist()}, np.float32)  # from the prior
attributes = np.array({grid.attributes.astype(int).tolist()}, np.float32)"""
        along = "None"
        if not is_conditional(run):
            along = f'edits.directions(model, data.train, np.arange({DIRECTION_IMAGES}), "{how}")'
        python_button(
            run,
            f"""
from aecore.explore import edits, single_edit

model, data = run.model(), run.data()
{code}
base = edits.switch(data, attributes, edits.BASE)
targets = [edits.switch(data, edits.switch(data, base, row), column)
           for _, row in edits.ROWS for _, column in edits.COLUMNS]
print(edits.render(model, z, attributes, np.stack(targets), {along}).shape)
""",
            "attributes.python",
        )
