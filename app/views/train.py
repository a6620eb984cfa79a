"""Train: choose an autoencoder and data, set the hyperparameters, begin."""

from __future__ import annotations

from typing import Any

import streamlit as st

from aecore import CATALOG, Plan
from aecore.data.base import Data, DataSpec
from aecore.models.entry import Entry
from aecore.paths import root
from aecore.runs.library import create, new_id
from app import link, pages
from app.figures.html import equation, legend
from app.figures.plots import duration
from app.session import queue, visitor
from app.state import Choice
from app.text import escape_markdown
from app.widgets import data_picker
from app.widgets import params as controls
from app.widgets import speed as training_speed
from app.widgets.presets import FIRST, PRESETS, filled

PAGE = "train"
MEASURING = "estimates pending"
"""Where the session keeps whether some estimate of the time is still being measured."""


class State:
    """Which model is trained. Its hyperparameters come from the catalog, the data from `data_picker.DataState`."""

    model = Choice("model", tuple(CATALOG), FIRST).under(f"{PAGE}.model")


def page() -> None:
    head, side = st.columns([4, 1], vertical_alignment="bottom")
    head.title("Train", anchor=False)
    with side:
        link.copy_button("Copy the link")
    with st.container(key="halves"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        names = {key: f"{entry.name}  ({entry.section}, {entry.year})" for key, entry in CATALOG.items()}
        entry = CATALOG[State.model.given(label=names.__getitem__).box("Autoencoder")]
        about(entry)
        st.subheader("Hyperparameters", anchor=False)
        params = controls.controls(entry, PAGE)
        st.subheader("Training", anchor=False)
        plan = controls.plan_controls(entry, PAGE)
    with right:
        for problem in link.problems():
            st.warning(escape_markdown(problem), icon=":material/link_off:")
        spec, data = data_picker.choose(entry, PAGE)
        if data is not None:
            st.markdown("**Presets**")
            tick = 1.0 if st.session_state.get(MEASURING, True) else None
            st.fragment(presets, run_every=tick)(entry, data)
            st.fragment(prediction, run_every=tick)(entry, params, plan, data)
        begin(entry, params, plan, spec, data)
    link.write_only(controls.train_query(entry, params, plan, spec))


def about(entry: Entry) -> None:
    """Idea, equation, terms, and where they come from."""
    st.markdown(entry.idea)
    equation(entry)
    legend({name: (term.unit, term.help) for name, term in entry.terms.items()})
    with st.expander("Source and departures", icon=":material/menu_book:"):
        st.markdown(f"{escape_markdown(entry.source)}  \nSection {entry.section} of the chapter, {entry.year}.")
        st.markdown(f"Departures from it: {escape_markdown(entry.departures)}.")


def presets(entry: Entry, data: Data) -> None:
    """Settings that go together, each with the time that its training takes here."""
    measuring = False
    for preset in PRESETS:
        params, plan = filled(preset, entry, len(data.train), data.kind)
        duration_text, speed = duration_of(entry, params, plan, data)
        measuring |= speed is None
        button, time = st.columns([5, 6], vertical_alignment="center", gap="small")
        if button.button(preset.title, key=f"preset-{preset.title}", width="stretch"):
            controls.preset(entry, PAGE, params, plan.model_dump())
            st.rerun()
        time.markdown(f"**{duration_text}**  \n:small[{preset.meaning}]")
    if st.session_state.get(MEASURING, True) != measuring:
        st.session_state[MEASURING] = measuring
        st.rerun()


def prediction(entry: Entry, params: dict[str, Any], plan: Plan, data: Data) -> None:
    """How long this training would take, and how that was measured."""
    duration_text, speed = duration_of(entry, params, plan, data)
    if speed is None:
        st.markdown("This training: … :small[measuring a few steps]")
        if not st.session_state.get(MEASURING):
            st.session_state[MEASURING] = True
    elif speed.trouble:
        st.warning(f"This configuration: {escape_markdown(speed.trouble)}", icon=":material/info:")
    else:
        beside = ", while another training ran" if speed.busy else ""
        how = f"a few steps of it measured on this computer: {speed.where}{beside}"
        st.markdown(f"This training: **{duration_text}**  \n:small[{how}]")


def duration_of(
    entry: Entry, params: dict[str, Any], plan: Plan, data: Data
) -> tuple[str, training_speed.Speed | None]:
    """How long a training takes, in words, and its speed; None while that is being measured."""
    speed = training_speed.ask(entry, params, plan, data.shape)
    if speed is None:
        return "…", None
    return speed.trouble or f"about {duration(speed.seconds(plan, len(data.train)))}", speed


def begin(entry: Entry, params: dict[str, Any], plan: Plan, spec: DataSpec | None, data: Data | None) -> None:
    """The name of the run, and the button that queues it.

    spec, data: None while none are chosen, or while they are not on this computer.
    """
    usual = entry.name + (f", d = {params['code']}" if "code" in params else "")
    title = st.text_input("Name", key=f"{PAGE}.title", placeholder=usual, max_chars=80)
    reason = why_not(spec, data)
    waiting = [run for run in queue().listing() if run.info.status in ("queued", "running")]
    line = f"{len(waiting)} before it in the queue" if waiting else None
    pressed = st.button(
        "Train",
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(reason),
        help=reason or line,
        width="stretch",
    )
    if pressed and spec is not None:
        run = create(
            entry.key,
            spec,
            params,
            plan,
            path=root() / new_id(entry.key),
            title=" ".join(title.split()) or usual,
            owner=visitor(),
        )
        queue().submit(run)
        pages.open_page("run", query=link.to_page(run=run.info.id))
    if reason and data is None:
        st.caption(reason)
    elif line:
        st.caption(line)


def why_not(spec: DataSpec | None, data: Data | None) -> str:
    """Why the training cannot begin yet; "" where it can."""
    if data is None:
        return "Get the data first." if spec and spec.name != data_picker.OWN else "Choose data first."
    return "" if visitor() else "One moment: the browser has not answered yet."
