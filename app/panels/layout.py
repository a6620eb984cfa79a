"""What the pages that look into a model have in common: how they open, and how pictures and numbers are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import streamlit as st

from aecore import Run
from app import library
from app.figures.plots import enlarge
from app.link import LINKED, copy_button
from app.text import escape_markdown
from app.widgets.run_picker import choose

VERBS = {"encode": "no encoder", "decode": "no decoder", "sample": "no prior to draw from"}


def opening(title: str, idea: str, *needs: str, attributes: bool = False) -> Run:
    """Title, one sentence, the box to choose the run, its link; the model and the data are loaded when this returns.

    needs: abilities, "sample|decode" for one of two; a run that lacks one, or is not about images, is named and the
    page stops.
    attributes: only runs whose data have attributes.
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
            st.info(f"{run.info.title} has {VERBS[ability]}. Choose another autoencoder above.", icon=":material/info:")
            st.stop()
    if len(run.info.shape) != 3:
        st.info(f"{run.info.title} was trained on rows of numbers, which this page cannot draw. Choose one of images.")
        st.stop()
    library.model(run)
    data = library.data(run)
    if run.info.shown:
        st.caption(f"Trained on {library.data_title(run.info.data)}; shown here on {escape_markdown(data.title)}.")
    return run


def option(label: str, options: Sequence, key: str, default: Any = None, **more: Any) -> Any:
    """One of a few, side by side; the link says it in the words of the page. By default the first."""
    default = options[0] if default is None else default
    return st.segmented_control(label, options, default=default, required=True, key=key, **LINKED, **more)


def number(label: str, most: int, key: str, least: int = 0, **more: Any) -> int:
    """A whole number from `least` (its default) to `most`."""
    return int(st.number_input(label, least, most, key=key, **LINKED, **more))


def model(run: Run):
    return library.model(run)


def picture(image: np.ndarray, caption: str, alt: str, width: int | Literal["stretch"] = "stretch") -> None:
    """One picture, sharp and as wide as its place. image: uint8 (H, W[, 3]).  caption: Markdown."""
    st.image(enlarge(image), caption=caption, alt=alt, width=width, output_format="PNG")


# --- state that no widget holds: in the session, and in the link ------------------------------------------------------
