"""Train: choose an autoencoder and data, set the knobs, begin."""

from __future__ import annotations

from typing import Any

import streamlit as st

from aecore import CATALOG, Plan
from aecore.data.base import Data
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


class State:
    """Which model is trained. Its hyperparameters come from the catalog, the data from `data_picker.DataState`."""

    model = Choice("model", tuple(CATALOG), FIRST).under(f"{PAGE}.model")


def time_of(entry: Entry, params: dict[str, Any], plan: Plan, data: Data) -> tuple[str, training_speed.Speed | None]:
    speed = training_speed.ask(entry, params, plan, data.shape)
    if speed is None:
        return "…", None
    return speed.trouble or f"about {duration(speed.seconds(plan, len(data.train)))}", speed


def presets(entry: Entry, data: Data) -> None:
    """Three ways to set everything at once, each with the time it takes here."""
    pending = False
    for preset in PRESETS:
        params, plan = filled(preset, entry, len(data.train), data.kind)
        words, speed = time_of(entry, params, plan, data)
        pending |= speed is None
        button, time = st.columns([5, 6], vertical_alignment="center", gap="small")
        if button.button(preset.title, key=f"preset-{preset.title}", width="stretch"):
            controls.preset(entry, PAGE, params, plan.model_dump())
            st.rerun()
        time.markdown(f"**{words}**  \n:small[{preset.words}]")
    if st.session_state.get("estimates pending", True) != pending:
        st.session_state["estimates pending"] = pending
        st.rerun()


def prediction(entry: Entry, params: dict[str, Any], plan: Plan, data: Data) -> None:
    """How long just this would take, and what that was measured on."""
    words, speed = time_of(entry, params, plan, data)
    if speed is None:
        st.markdown("This training: … :small[measuring a few steps]")
    elif speed.trouble:
        st.warning(f"This configuration: {escape_markdown(speed.trouble)}", icon=":material/info:")
    else:
        beside = ", while another training ran" if speed.busy else ""
        st.markdown(
            f"This training: **{words}**  \n:small[a few steps of it measured on this computer: {speed.where}{beside}]"
        )
    if speed is None and not st.session_state.get("estimates pending"):
        st.session_state["estimates pending"] = True


def begin(entry: Entry, params: dict[str, Any], plan: Plan, spec, data: Data | None) -> None:
    """Name, time and the button."""
    usual = entry.name + (f", d = {params['code']}" if "code" in params else "")
    title = st.text_input("Name", key=f"{PAGE}.title", placeholder=usual, max_chars=80)
    owner = visitor()
    reason = "" if owner else "One moment: the browser has not answered yet."
    if data is None:
        reason = "Get the data first." if spec and spec.name != data_picker.OWN else "Choose data first."
    running = [run for run in queue().listing() if run.info.status in ("queued", "running")]
    line = f"{len(running)} before it in the queue" if running else None
    if st.button(
        "Train",
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(reason),
        help=reason or line,
        width="stretch",
    ):
        run = create(
            entry.key,
            spec,
            params,
            plan,
            path=root() / new_id(entry.key),
            title=" ".join(title.split()) or usual,
            owner=owner,
        )
        queue().submit(run)
        pages.open_page("run", query=link.to_page(run=run.info.id))
    if reason and data is None:
        st.caption(reason)
    elif line:
        st.caption(line)


def about(entry: Entry) -> None:
    """Idea, equation, terms, and where they come from."""
    st.markdown(entry.idea)
    equation(entry)
    legend({name: (term.unit, term.help) for name, term in entry.terms.items()})
    with st.expander("Source and departures", icon=":material/menu_book:"):
        st.markdown(f"{escape_markdown(entry.source)}  \nSection {entry.section} of the chapter, {entry.year}.")
        st.markdown(f"Departures from it: {escape_markdown(entry.departures)}.")


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
        st.subheader("Knobs of the model", anchor=False)
        params = controls.controls(entry, PAGE)
        st.subheader("Training", anchor=False)
        plan = controls.plan_controls(entry, PAGE)
    with right:
        for problem in link.problems():
            st.warning(escape_markdown(problem), icon=":material/link_off:")
        spec, data = data_picker.choose(entry, PAGE)
        if data is not None:
            st.markdown("**All at once**")
            tick = 1.0 if st.session_state.get("estimates pending", True) else None
            st.fragment(presets, run_every=tick)(entry, data)
            st.fragment(prediction, run_every=tick)(entry, params, plan, data)
        begin(entry, params, plan, spec, data)
    link.write_only(controls.train_query(entry, params, plan, spec))
