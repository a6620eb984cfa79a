"""The gallery's opening: a live map of a two-unit code."""

from __future__ import annotations

import streamlit as st

from aecore import Run
from app import first as opening
from app import shelf, standing
from app.browser import latent_map
from app.presets import first_link


def hero(everything: list[Run]) -> None:
    """What this is in a sentence, and a map that decodes under the pointer: the first picture anyone sees."""
    first = opening.choose(everything)
    with st.container(key="halves"):
        words, picture = st.columns([2, 3], gap="large", vertical_alignment="center")
    with words:
        st.title("Autoencoder Explorer", anchor=False)
        st.markdown("An autoencoder squeezes an image into a few numbers, and paints it back from them alone.")
        if first:
            st.markdown(
                f"Here every image is a point, its code of **two numbers**. Move over the map: what "
                f"*{standing.plain(first.info.title)}* paints at that place appears."
            )
            st.page_link("views/map.py", label="Open this map", icon=":material/open_in_full:",
                         query_params={"run": first.info.id, "v": shelf.VERSION})  # fmt: skip
        else:
            st.markdown("Nothing is trained here yet, so begin: a map of handwritten digits takes about ten seconds.")
        label = "Train one yourself" if first else "Train your first: 10 seconds"
        st.page_link("views/train.py", label=label, icon=":material/model_training:", query_params=first_link())
    if first is None:
        return
    with picture, shelf.plain_errors():
        view = opening.view(first)
        latent_map(
            view.points, view.ids, view.labels, images=view.images, class_names=view.class_names, plane=view.plane,
            extent=view.extent, axes=view.axes, caption=view.caption, height=400, compact=True, key="hero",
            alt=f"Map of the codes of {first.info.title}: {view.caption}",
        )  # fmt: skip
