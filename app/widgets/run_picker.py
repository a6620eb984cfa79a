"""The box in which the run is chosen that a page is about."""

from __future__ import annotations

import streamlit as st

from aecore import Run, RunError
from aecore import data as datasets
from aecore.runs.library import find
from app import pages
from app.library import all_runs, has_weights, names
from app.link import requested_run, set_run

BOX = "run-box"


def choose(needs: str = "encode", label: str = "Autoencoder", attributes: bool = False) -> Run:
    """The run that this page is about; the link names it as `run`. Stops the page where no run suits it.

    needs: an ability that the model must have ("encode", "decode", "sample", …); "sample|decode" asks for one of two.
    attributes: offer only runs whose data have attributes.
    """
    suitable = _suitable(set(needs.split("|")), attributes)
    if not suitable:
        st.info("Nothing is trained yet for this page. Train an autoencoder first: it takes a moment.")
        pages.link("train", label="Go to Train", icon="model_training")
        st.stop()
    identity = requested_run()
    if identity not in suitable:
        if identity:
            st.warning(f"{_why_not(identity)}. Showing another one.", icon=":material/info:")
        identity = next(iter(suitable))
    set_run(identity)
    st.session_state[BOX] = identity
    st.selectbox(
        label,
        list(suitable),
        format_func=names(suitable.values()).__getitem__,
        key=BOX,
        on_change=lambda: set_run(st.session_state[BOX]),
    )
    return suitable[identity]


def _suitable(needs: set[str], attributes: bool) -> dict[str, Run]:
    """The trained runs that have one of these abilities, by id."""
    return {
        run.info.id: run
        for run in all_runs()
        if needs & run.entry.abilities
        and has_weights(run)
        and (not attributes or datasets.has_attributes(run.info.data))
    }


def _why_not(identity: str) -> str:
    """Why the run that the link asks for cannot be shown, without the full stop."""
    try:
        run = find(identity)
    except RunError as error:
        return str(error).rstrip(".")
    return f"{run.info.title} {'cannot be shown on this page' if has_weights(run) else 'has no weights yet'}"
