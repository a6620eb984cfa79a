"""Attributes: one code, its attributes switched one by one (§5.2, Fig. 6)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import Run
from aecore.explore import edits, single_edit
from app import library
from app.browser.film import film
from app.figures.plots import contact_sheet, enlarge
from app.library import held_out
from app.panels import layout
from app.panels.attribute_edits import (
    DIRECTION_IMAGES,
    Directions,
    attribute_title,
    coded,
    is_conditional,
    pictures_of,
    rendered,
)
from app.panels.attribute_grid import show_grid
from app.panels.edit_card import show_card
from app.panels.face_editor import edit_face
from app.session import plain_errors
from app.state import Choice, Number
from app.text import escape_markdown

FRAMES = 21  # of the way from one face to another
BOTH, CODE, ATTRIBUTES = "code and attributes", "code alone", "attributes alone"
DIRECTIONS: dict[str, Directions] = {"difference of means": "means", "linear classifier": "classifier"}


class State:
    """How directions are found, and the two ends of the way; the rest: `attribute_grid.State`, `face_editor.State`."""

    directions = Choice("attributes.how", tuple(DIRECTIONS))
    first = Number("attributes.a", 0)
    last = Number("attributes.b", 0, None, 7)
    moves = Choice("attributes.over", (BOTH, CODE, ATTRIBUTES))


def page() -> None:
    run = layout.opening(
        "Attributes",
        "One code, one attribute switched at a time: **the person should stay.** Each picture is decoded here and now.",
        "encode",
        "decode",
        attributes=True,
    )
    how = choose_directions(run)
    show_grid(run, how)
    st.header("Edit a face", anchor=False)
    edit_face(run, how)
    st.header("From one face to another", anchor=False)
    show_way(run, how)
    if "edits seen" in run.info.metrics:
        show_card(run)
    st.info(
        "**What labels are.** On photographs an attribute is what annotators thought they saw: an opinion, with the "
        "notions of man, woman and young of their time. The faces here are drawn; they have no person’s identity, and "
        "their attributes are true by construction.",
        icon=":material/label:",
    )
    with st.expander("What to look for"):
        st.markdown(
            "- **The person**: pose, skin, light and background should be the same along a row.\n"
            "- **What else moved**: an attribute that drags another along was learnt together with it.\n"
            "- **The conditional VAE** keeps the person but ignores some attributes: its code already holds them.\n"
            "- **Pure conditional ALI** obeys the attributes and loses the person: nothing in its objective asks for "
            "the image back.\n"
            "- **Beyond 1**: more than any training image had; what breaks first?"
        )
    with st.expander("Why"):
        st.markdown(
            "The critic of conditional ALI sees image, code and attributes together; pairs that a decoder made from "
            "other attributes must look like pairs that an encoder made (Dumoulin et al., 2016, with Fig. 6 of the "
            "chapter). That says what images of each attribute look like; that the code still describes *this* face "
            "needs more: here a cycle (Li et al., 2017), a network that reads attributes, and edits among the fakes. "
            "Section 5.2."
        )


def choose_directions(run: Run) -> Directions:
    """How directions are found, for a model that no attributes condition."""
    if is_conditional(run):
        return "means"
    st.caption(
        f"{escape_markdown(run.info.title)} was never told an attribute: here codes move along a direction, which is "
        f"found from the codes of {DIRECTION_IMAGES:,} training images, those that have the attribute and those that "
        "have not."
    )
    return DIRECTIONS[State.directions.option("Directions by")]


@st.fragment
@plain_errors()
def show_way(run: Run, how: Directions) -> None:
    """Frames in which code and attributes go from one held-out face to another."""
    most = len(held_out(run)) - 1
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        first = State.first.given(most=most).number("From face", width=150)
        last = State.last.given(most=most).number("To face", width=150)
        moves = State.moves.option("What goes over")
    ends = coded(run, first), coded(run, last)
    z, y = single_edit.interpolate(*ends, FRAMES, moves != ATTRIBUTES, moves != CODE)
    # Where codes move along directions, the codes of the way already have the attributes of the way.
    start = ends[0][1] if is_conditional(run) or moves == ATTRIBUTES else y
    frames = pictures_of(rendered(run, z, start, y, how))
    left, right = st.columns([2, 3], gap="large")
    with left:
        film(
            np.stack([enlarge(frame, 256) for frame in frames]),
            [f"{100 * k / (FRAMES - 1):.0f} %" for k in range(FRAMES)],
            key="attributes.film",
            alt=f"From face {first} to face {last}",
            fps=10,
        )
    with right:
        st.image(contact_sheet(frames, 7), alt="The same way as a strip", output_format="PNG", width="stretch")
        differing = edits.differing(library.data(run), ends[0][1], ends[1][1])
        st.caption(f"Attributes in which they differ: {', '.join(map(attribute_title, differing)) or 'none'}.")
