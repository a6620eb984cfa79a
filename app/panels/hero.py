"""The gallery's opening: a live map of a two-unit code."""

from __future__ import annotations

import streamlit as st

from aecore import Run
from app import pages, warm
from app.browser import latent_map
from app.link import VERSION
from app.session import plain_errors
from app.text import escape_markdown
from app.widgets.presets import first_link


def hero(everything: list[Run]) -> None:
    """What this is in a sentence, and a map that decodes under the pointer: the first picture anyone sees."""
    first = warm.first_run(everything)
    with st.container(key="halves"):
        words, picture = st.columns([2, 3], gap="large", vertical_alignment="center")
    with words:
        st.title("Autoencoder Explorer", anchor=False)
        st.markdown("An autoencoder squeezes an image into a few numbers, and paints it back from them alone.")
        if first:
            st.markdown(
                f"Here every image is a point, its code of **two numbers**. Move over the map: what "
                f"*{escape_markdown(first.info.title)}* paints at that place appears."
            )
            pages.link("map", label="Open this map", icon="open_in_full", query={"run": first.info.id, "v": VERSION})
        else:
            st.markdown("Nothing is trained here yet, so begin: a map of handwritten digits takes about ten seconds.")
        label = "Train one yourself" if first else "Train your first: 10 seconds"
        pages.link("train", label=label, icon="model_training", query=first_link())
    if first is None:
        return
    with picture, plain_errors():
        view = warm.first_map(first)
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
            alt=f"Map of the codes of {first.info.title}: {view.caption}",
        )
