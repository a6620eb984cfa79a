"""How good the attribute edits of a run are: the figures that were measured on held-out faces."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from aecore import Run
from aecore.measure.attribute_edits import EACH
from app import library
from app.panels.attribute_edits import attribute_title

CARD = {
    "edits seen": ("edits that a classifier sees", "edits seen without editing", True),
    "edits seen, worst attribute": ("of the worst attribute", "", True),
    "other attributes stay": ("other attributes that stay", "", True),
    "all attributes right": ("all attributes right", "", True),
    "reconstruction, squared error": ("reconstruction error", "", False),
    "error against the true edit": ("error against the truth, decoded", "error of not editing", False),
    "error of the edit laid on the image": ("the same, laid on the face", "error of not editing", False),
    "rest of the face after, R²": ("rest of the face, R² after edits", "rest of the face before, R²", False),
    "Fréchet distance to true edits": ("Fréchet distance to true edits", "Fréchet distance by chance", False),
}
"""Figures of `measure.attribute_edits`: title, the figure that stands beside it, and whether it is a share."""
EACH_CARD = {
    "edits seen": True,
    "other attributes stay": True,
    "error, decoded": False,
    "error, laid on the image": False,
    "error, not editing": False,
}
"""Figures of each attribute, and whether they are shares."""


def show_card(run: Run) -> None:
    """The figures that were measured on held-out faces."""
    metrics = run.info.metrics
    st.header("How good are these edits?", anchor=False)
    lines = [
        {
            "measure": title,
            "here": figure_text(metrics[key], share),
            "beside": f"{figure_text(metrics[beside], share)} ({beside})" if beside in metrics else "",
        }
        for key, (title, beside, share) in CARD.items()
        if key in metrics
    ]
    st.dataframe(lines, hide_index=True, width="content")
    with st.expander("Attribute by attribute"):
        each = [
            {"attribute": attribute_title(name)}
            | {
                title: f"{100 * metrics[key]:.1f} %" if share else f"{metrics[key]:.5f}"
                for title, share in EACH_CARD.items()
                if (key := f"{title}{EACH}{name}") in metrics
            }
            for name in library.data(run).attributes
        ]
        st.dataframe(each, hide_index=True, width="stretch")
    st.caption(
        "Over 500 held-out faces, each attribute of each switched alone; one seed. Faces are drawn, so the true "
        "answer to every edit is known: the same face, drawn with the attribute changed." + frechet_note(metrics)
    )


def frechet_note(metrics: Mapping[str, float]) -> str:
    """How many edits a Fréchet distance compares; "" for metrics that do not say it."""
    size = metrics.get("edits in each set of a Fréchet distance")
    if size is None:
        return ""
    return (
        f" Both Fréchet distances compare one half of all edits with the true edits of the other half, {size:,.0f} "
        "each; by chance means that the first half are true edits, too."
    )


def figure_text(value: float, share: bool) -> str:
    if share:
        return f"{100 * value:.1f} %"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
