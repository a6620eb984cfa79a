"""Watch: one training, from the queue to its end. Everything is read from the run's folder, by the id in the link."""

from __future__ import annotations

import streamlit as st

from aecore import CATALOG
from app import library, pages
from app.library import known_run
from app.link import copy_button, requested_run, set_run
from app.panels import run_card, watch
from app.text import escape_markdown


def page() -> None:
    identity = requested_run()
    run_card.undo()
    if not identity:
        live = [run for run in library.all_runs() if run.info.status in ("running", "queued")]
        ended = [run for run in library.all_runs() if not run.pretrained]
        identity = (live or ended or [None])[0].info.id if live or ended else ""
    if not identity:
        st.title("Watch", anchor=False)
        st.info("Nothing has been trained here yet.")
        pages.link("train", label="Go to Train", icon="model_training")
        st.stop()
    run = known_run(identity)
    if run is None or run.info.model not in CATALOG:
        st.title("Watch", anchor=False)
        if identity != st.session_state.get("deleted"):
            st.warning(
                "There is no such run here. It may have been deleted; the gallery lists all there are.",
                icon=":material/search_off:",
            )
        pages.link("gallery", label="Go to the gallery", icon="grid_view")
        st.stop()
    set_run(identity)

    head, side = st.columns([4, 1], vertical_alignment="bottom")
    with head:
        st.title(escape_markdown(run.info.title), anchor=False)
        st.markdown(f"{run_card.facts(run)} &nbsp;{run_card.badges(run)}")
    with side:
        copy_button("Copy the link")

    live = run.info.status in watch.LIVE
    st.fragment(watch.state, run_every=1.0 if live else None)(identity, run.info.status)
    st.fragment(watch.terms, run_every=2.0 if live else None)(identity)
    if not live:
        watch.after(run)
