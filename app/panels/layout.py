"""How a page opens: its title, what it is about, the link to it, and the run that it shows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import streamlit as st

from aecore import Run
from app import library
from app.figures.plots import enlarge
from app.link import copy_button
from app.text import escape_markdown
from app.widgets.run_picker import choose

LACKS = {"encode": "no encoder", "decode": "no decoder", "sample": "no prior from which it samples"}
"""How a sentence names a missing ability."""


def heading(title: str, question: str) -> None:
    """The title, a question in a sentence or two, and the button that copies the link."""
    words, side = st.columns([4, 1], vertical_alignment="bottom")
    with words:
        st.title(title, anchor=False)
        st.markdown(question)
    with side:
        copy_button()


def opening(title: str, idea: str, *needs: str, attributes: bool = False) -> Run:
    """The heading of a page about one run, with the box in which the run is chosen.

    needs: abilities that the model must have; "sample|decode" asks for one of two.
    attributes: offer only runs whose data have attributes.
    Returns the run, its model and data loaded. Stops the page with a sentence where the run lacks an ability, or is not
    about images.
    """
    words, box = st.columns([3, 2], vertical_alignment="bottom")
    with words:
        st.title(title, anchor=False)
        st.markdown(idea)
    with box:
        run = choose(needs[0], attributes=attributes)
        copy_button()
    for ability in needs:
        if run.entry.abilities.isdisjoint(ability.split("|")):
            st.info(f"{run.info.title} has {LACKS[ability]}. Choose another autoencoder above.", icon=":material/info:")
            st.stop()
    if len(run.info.shape) != 3:
        st.info(f"{run.info.title} was trained on rows of numbers, which this page cannot draw. Choose one of images.")
        st.stop()
    library.model(run)
    library.data(run)
    tell_shown_data(run)
    return run


def tell_shown_data(run: Run) -> None:
    """Say so where a run is shown on other data than those it was trained on."""
    if run.info.shown:
        shown = escape_markdown(library.data(run).title)
        st.caption(f"Trained on {library.data_title(run.info.data)}; shown here on {shown}.")


def picture(image: np.ndarray, caption: str, alt: str, width: int | Literal["stretch"] = "stretch") -> None:
    """One picture, enlarged without blur.  image: uint8 (H, W[, 3]).  caption: Markdown."""
    st.image(enlarge(image), caption=caption, alt=alt, width=width, output_format="PNG")
