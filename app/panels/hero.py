"""The opening of the gallery: what the app is about, and a map of a code of two numbers."""

from __future__ import annotations

import streamlit as st

from aecore import Run
from app import pages, warm
from app.browser.latent_map import latent_map
from app.link import to_page
from app.session import plain_errors
from app.text import escape_markdown
from app.widgets.presets import first_link


def hero(runs: list[Run]) -> None:
    """A sentence, and a map that decodes under the pointer: the first picture that a visitor sees.

    runs: all there are. Where none of them has a code of two numbers, there is no map.
    """
    run = warm.first_run(runs)
    with st.container(key="halves"):
        words, picture = st.columns([2, 3], gap="large", vertical_alignment="center")
    with words:
        _introduce(run)
    if run is not None:
        with picture, plain_errors():
            _show_map(run)


def _introduce(run: Run | None) -> None:
    """The sentences and links beside the map of this run."""
    st.title("Autoencoder Explorer", anchor=False)
    st.markdown("An autoencoder compresses an image into a few numbers, and paints it again from these alone.")
    if run is not None:
        st.markdown(
            "Here every image is a point, placed by its code of **two numbers**. Move over the map to see what "
            f"*{escape_markdown(run.info.title)}* paints at each place."
        )
        pages.link("map", label="Open this map", icon="open_in_full", query=to_page(run=run.info.id))
    else:
        st.markdown("Nothing is trained here yet. Begin with a map of handwritten digits: it takes about ten seconds.")
    label = "Train one yourself" if run is not None else "Train your first: 10 seconds"
    pages.link("train", label=label, icon="model_training", query=first_link())


def _show_map(run: Run) -> None:
    view = warm.first_map(run)
    latent_map(
        view.points,
        view.ids,
        view.labels,
        images=view.images,
        class_names=view.class_names,
        plane=view.plane,
        extent=view.extent,
        axes=view.axes,
        caption=view.caption,
        height=400,
        compact=True,
        key="hero",
        alt=f"Map of the codes of {run.info.title}: {view.caption}",
    )
