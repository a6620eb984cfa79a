"""What the exhibits share: how they open, and numbers of a sweep's runs, remembered."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from aecore import DataError, Run, RunError
from aecore.runs import sweeps
from app import library
from app.browser import Pane, planes
from app.cached import moments
from app.library import has_gaussian_prior
from app.link import LINKED, copy_button, keep_pointer, recall_pointer
from app.panels import train_sweep
from app.text import escape_markdown


def heading(title: str, question: str) -> None:
    """Title, the question in a sentence or two, the link."""
    words, side = st.columns([4, 1], vertical_alignment="bottom")
    with words:
        st.title(title, anchor=False)
        st.markdown(question)
    with side:
        copy_button()


def opening(title: str, question: str, identity: str) -> sweeps.Sweep:
    """The heading, and the sweep that the page shows first."""
    heading(title, question)
    found = trained(identity)
    info = found.runs[0].info
    if info.shown:
        where = escape_markdown(library.data(found.runs[0]).title)
        st.caption(f"Trained on {library.data_title(info.data)}; shown here on {where}.")
    return found


def key_of(name: str, sweep: sweeps.Sweep) -> str:
    """The key of a choice among a sweep's models: another one whenever one more of a visitor's own is trained."""
    return f"{name}.{len(sweep.runs)}" if "." in sweep.id else name


def trained(identity: str) -> sweeps.Sweep:
    """Trained examples, or a visitor's own (`comparison`); the page stops in words where there are none."""
    try:
        return train_sweep.chosen(identity)
    except RunError as error:
        st.info(f"{error}", icon=":material/info:")
        st.stop()


def through_training(run: Run, key: str) -> None:
    """The plane of one run, dragged from its first snapshot to its last."""
    three = (0, 1, 2)
    if run.info.params["code"] != 2:
        most = len(library.data(run).test) - 1
        with st.container(horizontal=True):
            three = tuple(
                int(st.number_input(f"Corner {k + 1}: image", 0, most, k, key=f"{key}.{k}", width=170, **LINKED))
                for k in range(3)
            )
    try:
        found = moments(run, three)
    except DataError as error:
        st.info(str(error), icon=":material/info:")
        return
    pane = Pane(
        "",
        found.tiles,
        found.extent,
        found.codes,
        found.labels,
        marks=found.marks,
        rings=(1, 2) if has_gaussian_prior(run) and found.codes is not None else (),
    )
    panes = (
        [pane]
        if found.codes is None
        else [Pane("what is painted", found.tiles, found.extent), replace(pane, title="codes of 500 images")]
    )
    last = len(found.names) - 1
    state = planes(
        panes,
        key=f"{key}.planes",
        steps=found.names,
        fps=3,
        state=recall_pointer(f"{key}.at"),
        axes=("z1", "z2") if found.codes is not None else ("from 1 to 2", "from 1 to 3"),
        alt="The plane of the code at one moment of the training",
    )
    keep_pointer(f"{key}.at", state, last)


# --- what the browser holds, in the session and in the link ---------------------------------------------------


# --- figures of one look ------------------------------------------------------------------------------------------
