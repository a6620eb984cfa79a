"""Studies of the tasks: stored ones at once, others from the queue's worker, with progress meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from aecore import tasks
from app.session import analyses, plain_errors
from app.text import escape_markdown


def result(task: str, settings: Mapping[str, Any], what: str, estimate: float = 60.0) -> dict[str, Any] | None:
    """The study's result, or None while it is computed: then its progress stands here, and the page comes back.

    what: in words, for the bar: "Accuracy with 20 labels a class".  estimate: seconds, a first guess.
    """
    found = tasks.stored(task, settings, analyses().studies)
    if found is None:
        waiting(task, dict(settings), what, estimate)
    return found


@st.fragment(run_every=1.5)
@plain_errors()
def waiting(task: str, settings: dict[str, Any], what: str, estimate: float) -> None:
    """How a study stands; when it is ready the page shows it."""
    standing = analyses().study(task, settings, estimate)
    if standing.state == "done":
        st.rerun()
    if standing.state.startswith("failed"):
        st.error(f"{what}: {escape_markdown(standing.state)}", icon=":material/error:")
        if st.button("Try again", key=f"{task}.{hash(repr(settings))}.again"):
            analyses().study(task, settings, estimate, again=True)
        return
    left = max(1, standing.estimate - standing.elapsed)
    how = f"number {standing.position} in line, then " if standing.state == "waiting" else ""
    doing = f" {standing.doing}." if standing.doing else ""
    st.progress(min(1.0, standing.progress), f"{what}: {how}about {left:.0f} s.{escape_markdown(doing)}")
