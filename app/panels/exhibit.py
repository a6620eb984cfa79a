"""How an exhibit opens: its heading, and the sweep of trained models that it shows."""

from __future__ import annotations

import streamlit as st

from aecore import RunError
from aecore.runs import sweeps
from app.panels import train_sweep
from app.panels.layout import heading, tell_shown_data
from app.panels.training_plane import through_training

__all__ = ["heading", "key_of", "opening", "through_training", "trained"]


def opening(title: str, question: str, identity: str) -> sweeps.Sweep:
    """The heading, and the sweep that the page shows first."""
    heading(title, question)
    sweep = trained(identity)
    tell_shown_data(sweep.runs[0])
    return sweep


def trained(identity: str) -> sweeps.Sweep:
    """The trained examples of a sweep, or the visitor's own (`train_sweep`).

    The page stops with a sentence where there are none.
    """
    try:
        return train_sweep.chosen(identity)
    except RunError as error:
        st.info(f"{error}", icon=":material/info:")
        st.stop()


def key_of(name: str, sweep: sweeps.Sweep) -> str:
    """The name of a choice among the models of a sweep.

    The name of a visitor's own sweep changes whenever one more of its models is trained, since a widget keeps its
    options for as long as its name stays.
    """
    return f"{name}.{len(sweep.runs)}" if "." in sweep.id else name
