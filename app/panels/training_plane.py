"""A plane of one run's code, dragged through its training."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from aecore import DataError, Run
from app import cached, library
from app.browser.planes import Pane, planes
from app.state import Number, Point


def through_training(run: Run, key: str) -> None:
    """What the decoder paints at each place of a plane, from the first snapshot of the training to the last.

    A code of two numbers is the plane itself, on which the codes of 500 images stand. Of a larger code it is the plane
    through the codes of three images that the visitor chooses.
    key: the beginning of the names in the link.
    """
    corners = (0, 1, 2) if run.info.params["code"] == 2 else _choose_corners(run, key)
    try:
        moments = cached.moments(run, corners)
    except DataError as error:
        st.info(str(error), icon=":material/info:")
        return
    pointer = Point(f"{key}.at").given(start=len(moments.names) - 1)
    state = planes(
        _panes(run, moments),
        key=f"{key}.planes",
        steps=moments.names,
        fps=3,
        state=pointer.get(),
        axes=("z1", "z2") if moments.codes is not None else ("from 1 to 2", "from 1 to 3"),
        alt="The plane of the code at one moment of the training",
    )
    pointer.put(state)


def _choose_corners(run: Run, key: str) -> tuple[int, int, int]:
    """Three held-out images, chosen by their numbers."""
    most = len(library.data(run).test) - 1
    with st.container(horizontal=True):
        first, second, third = (
            Number(f"{key}.{k}", 0, most, k).number(f"Corner {k + 1}: image", width=170) for k in range(3)
        )
    return first, second, third


def _panes(run: Run, moments: cached.Moments) -> list[Pane]:
    """One plane; with codes of images two, one without and one with these."""
    plane = Pane("", moments.tiles, moments.extent, moments.codes, moments.labels, marks=moments.marks)
    if moments.codes is None:
        return [plane]
    rings = (1, 2) if library.has_gaussian_prior(run) else ()
    return [
        Pane("what is painted", moments.tiles, moments.extent),
        replace(plane, title="codes of 500 images", rings=rings),
    ]
