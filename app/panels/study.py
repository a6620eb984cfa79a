"""Studies of the tasks: stored ones appear at once, others are computed by the queue's worker while a bar shows how far
they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from aecore import tasks
from app.session import analyses, plain_errors
from app.text import escape_markdown


def stored(task: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of a study that was computed before, bundled or on this server; None if there is none."""
    return tasks.stored(task, settings, analyses().studies)


def result(task: str, settings: Mapping[str, Any], title: str, estimate: float = 60.0) -> dict[str, Any] | None:
    """The result of a study. While it is computed: None, and a bar shows the progress and reruns the page at the end.

    title: what is computed, shown beside the bar, such as "Accuracy with 20 labels a class".
    estimate: seconds that it may take, until the worker knows better.
    """
    study = stored(task, settings)
    if study is None:
        waiting(task, dict(settings), title, estimate)
    return study


@st.fragment(run_every=1.5)
@plain_errors()
def waiting(task: str, settings: dict[str, Any], title: str, estimate: float) -> None:
    """The progress of a study; the page runs again when it is done."""
    status = analyses().study(task, settings, estimate)
    if status.state == "done":
        st.rerun()
    if status.state.startswith("failed"):
        st.error(f"{title}: {escape_markdown(status.state)}", icon=":material/error:")
        if st.button("Try again", key=f"{task}.{hash(repr(settings))}.again"):
            analyses().study(task, settings, estimate, again=True)
        return
    left = max(1, status.estimate - status.elapsed)
    place = f"number {status.position} in line, then " if status.state == "waiting" else ""
    doing = f" {status.doing}." if status.doing else ""
    st.progress(min(1.0, status.progress), f"{title}: {place}about {left:.0f} s.{escape_markdown(doing)}")
