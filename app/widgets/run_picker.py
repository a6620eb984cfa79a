"""The box in which a page's run is chosen."""

from __future__ import annotations

import streamlit as st

from aecore import Run, RunError
from aecore import data as datasets
from aecore.runs.library import find
from app import pages
from app.library import all_runs, has_weights, names
from app.link import requested_run, set_run


def choose(needs: str = "encode", label: str = "Autoencoder", attributes: bool = False) -> Run:
    """The run this page is about: a box to choose it, `run` in the link. Stops the page where there is none.

    needs: an ability ("encode", "decode", "sample", …) that the model must have, "sample|decode" for one of two.
    attributes: whether its data must have attributes.
    """
    wanted_abilities = set(needs.split("|"))
    able = {run.info.id: run for run in all_runs() if wanted_abilities & run.entry.abilities and has_weights(run)}
    if attributes:
        able = {identity: run for identity, run in able.items() if datasets.has_attributes(run.info.data)}
    if not able:
        st.info("Nothing is trained yet for this page. Train an autoencoder first: it takes a moment.")
        pages.link("train", label="Go to Train", icon="model_training")
        st.stop()
    identity = requested_run()
    if identity not in able:
        if identity:
            try:
                run = find(identity)
                why = "has no weights yet" if not has_weights(run) else "cannot be shown on this page"
                problem = f"{run.info.title} {why}"
            except RunError as error:
                problem = str(error).rstrip(".")
            st.warning(f"{problem}. Showing another one.", icon=":material/info:")
        identity = next(iter(able))
    set_run(identity)
    st.session_state["run-box"] = identity
    st.selectbox(
        label,
        list(able),
        format_func=names(able.values()).__getitem__,
        key="run-box",
        on_change=lambda: set_run(st.session_state["run-box"]),
    )
    return able[identity]
