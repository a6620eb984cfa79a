"""Watch: one training, from the queue to its end, read from the folder of the run that the link names."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from aecore import CATALOG
from app import library, pages
from app.library import known_run
from app.link import copy_button, requested_run, set_run
from app.panels import run_card, run_notices, watch
from app.text import escape_markdown


def page() -> None:
    run_notices.offer_undo()
    identity = requested_run() or newest_run()
    if not identity:
        nothing_trained()
    run = known_run(identity)
    if run is None or run.info.model not in CATALOG:
        no_such_run(identity)
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


def newest_run() -> str:
    """The id of the newest run that trains or waits, else of the newest that was trained here; "" without any."""
    runs = library.all_runs()
    live = [run for run in runs if run.info.status in watch.LIVE]
    own = [run for run in runs if not run.pretrained]
    return next((run.info.id for run in live or own), "")


def nothing_trained() -> NoReturn:
    st.title("Watch", anchor=False)
    st.info("Nothing has been trained here yet.")
    pages.link("train", label="Go to Train", icon="model_training")
    st.stop()


def no_such_run(identity: str) -> NoReturn:
    st.title("Watch", anchor=False)
    if not run_notices.was_deleted(identity):
        st.warning(
            "There is no such run here. It may have been deleted; the gallery lists all there are.",
            icon=":material/search_off:",
        )
    pages.link("gallery", label="Go to the gallery", icon="grid_view")
    st.stop()
