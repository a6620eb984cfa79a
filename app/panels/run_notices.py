"""Deleting a run and bringing it back, and trainings that ended with the app and can go on."""

from __future__ import annotations

import streamlit as st

from aecore import Run
from aecore.runs.folder import CUT_OFF
from app import library, link
from app.session import may_change, queue, visitor
from app.text import escape_markdown

DELETED = "deleted"
"""Where the session keeps the id of the run that this visitor deleted last."""


def delete(run: Run) -> None:
    """Put a run of this visitor's into the bin."""
    queue().delete(run.info.id, visitor())
    st.session_state[DELETED] = run.info.id
    link.forget_run(run.info.id)


def was_deleted(identity: str) -> bool:
    """Whether this is the run that the visitor deleted last."""
    return identity == st.session_state.get(DELETED)


def offer_undo() -> None:
    """A line that brings back what this visitor has just deleted."""
    identity = st.session_state.get(DELETED)
    if not identity:
        return
    run = next((run for run in queue().deleted(visitor()) if run.info.id == identity), None)
    if run is None:
        del st.session_state[DELETED]
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f"**{escape_markdown(run.info.title)}** was deleted.", width="content")
        if st.button("Undo", key="undo", icon=":material/undo:"):
            queue().undelete(identity, visitor())
            del st.session_state[DELETED]
            st.rerun()


def offer_resume() -> None:
    """A line that resumes this visitor's trainings that were interrupted when the app was closed."""
    interrupted = [
        run
        for run in library.all_runs()
        if run.info.status == "paused" and run.info.reason == CUT_OFF and may_change(run)
    ]
    if not interrupted:
        return
    titles = ", ".join(f"**{escape_markdown(run.info.title)}**" for run in interrupted[:3])
    more = f" and {len(interrupted) - 3} more" if len(interrupted) > 3 else ""
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(
            f"{titles}{more} did not end: the app was closed. Training can go on from the last checkpoint.",
            width="content",
        )
        if st.button("Resume", key="take-up", icon=":material/play_arrow:"):
            for run in interrupted:
                queue().resume(run.info.id, visitor())
            st.rerun()
