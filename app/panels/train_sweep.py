"""Train this comparison: queue all runs of an exhibit's sweep with settings of the visitor's own, and follow them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from aecore import CATALOG, FieldError, Plan, RunError
from aecore import data as datasets
from aecore.jobs.sweeps import submit, varied
from aecore.models.entry import Entry, Param
from aecore.runs import sweeps
from app import library
from app.figures.plots import duration
from app.session import may_change, plain_errors, queue, visitor
from app.state import Word
from app.text import escape_markdown
from app.widgets import speed as training_speed

LIVE = ("queued", "running")
EPOCHS = 20  # at most so many at first: a visitor waits for them
HYPERPARAMETERS = {"code": "Latent dimensions $d$", "width": "Width"}
"""Those that can be set here, as far as the sweep sets them and does not vary them."""


class State:
    """The group of runs that the page shows in place of the trained examples, "" for these."""

    group = Word("own")


# --- which runs an exhibit shows --------------------------------------------------------------------------------------


def group_of(identity: str) -> str:
    """The group of this sweep that the link asks for; "" for the trained examples."""
    group = State.group.get()
    return group if group.partition(".")[0] == identity else ""


def chosen(identity: str) -> sweeps.Sweep:
    """The sweep that the page is about: the trained examples, or the visitor's own as far as it is trained.

    RunError where the trained examples are missing.
    """
    group = group_of(identity)
    if group:
        progress(group)
        try:
            own = sweeps.gathered(group, queue().listing())
            if own.runs:
                return own
            st.caption("Until the first of them is trained, the page shows the trained examples.")
        except RunError as error:
            st.info(f"{error} The page shows the trained examples.", icon=":material/info:")
    return sweeps.sweep(identity)


def progress(group: str) -> None:
    """How far a group is. The page is run again whenever one more of its runs is trained."""
    runs = sweeps.members(group, queue().listing())
    ready = sum(run.info.status == "done" for run in runs)
    live = any(run.info.status in LIVE for run in runs)
    st.fragment(_follow, run_every=1.5 if live else None)(group, ready)


def _follow(group: str, ready_before: int) -> None:
    runs = sweeps.members(group, queue().listing())
    ready = sum(run.info.status == "done" for run in runs)
    if ready != ready_before:
        st.rerun()
    if not runs:
        return
    shares = [float(run.heartbeat().get("progress", 0.0)) for run in runs]
    unfinished = [run for run in runs if run.info.status in LIVE]
    spent = sum(float(run.heartbeat().get("seconds", 0.0)) for run in runs)
    line = f"Your comparison: {ready} of {len(runs)} trained"
    if unfinished and sum(shares) > 0:
        line += f", {duration(spent / sum(shares) * (len(runs) - sum(shares)))} left"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(sum(shares) / len(runs), text=line)
        may_stop = unfinished and all(may_change(run) for run in unfinished)
        if may_stop and st.button("Stop all", icon=":material/stop:", key="comparison.stop"):
            for run in unfinished:
                queue().stop(run.info.id, visitor())
            st.rerun()
        if st.button("Show the trained examples", key="comparison.back"):
            State.group.put("")
            st.rerun()
    for run in runs:
        if run.info.status == "failed":
            st.caption(f"{escape_markdown(run.info.title)} failed: {escape_markdown(run.info.reason)}")


# --- training a comparison of one's own -------------------------------------------------------------------------------


def train(identity: str, which: str = "") -> None:
    """Settings and the button that trains, folded below an exhibit.

    identity: of the sweep.  which: of the page's comparisons it is, where the page has several.
    """
    recipe = sweeps.named(identity)
    box = st.expander(
        "Train this comparison yourself" + (f": {which}" if which else ""),
        icon=":material/model_training:",
        on_change="rerun",
        key=f"comparison.{identity}.open",
    )
    if box.open:  # nothing is loaded or measured for it while it is closed
        with box, plain_errors():
            _train(recipe)


def _train(recipe: dict[str, Any]) -> None:
    key = f"comparison.{recipe['id']}"
    first = recipe["models"][0] if recipe["vary"] == "model" else recipe
    entry = CATALOG[{**recipe, **first}["model"]]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        values = _choose_values(recipe, entry, key)
        data = _choose_data(recipe.get("shown", recipe["data"]), key)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        params = _choose_hyperparameters(recipe, entry, key)
        plan = _choose_plan(recipe, first, key)
        seeds = int(
            st.number_input(
                "Seeds",
                1,
                5,
                1,
                key=f"{key}.seeds",
                width=110,
                help="The pages show the first seed; the spread is over all of them.",
            )
        )
    if not values:
        st.caption("Choose at least one.")
        return
    own_recipe = varied({**recipe, "params": {**recipe["params"], **params}}, values, data, plan, seeds)
    _begin(own_recipe, key)
    _offer_earlier(recipe["id"], key)


def _choose_values(recipe: Mapping[str, Any], entry: Entry, key: str) -> Sequence[sweeps.Value]:
    """Which models are compared, or which values of the parameter that varies; FieldError for a value not allowed."""
    if recipe["vary"] == "model":
        titles = [single["title"] for single in recipe["models"]]
        return st.pills("Models", titles, selection_mode="multi", default=titles, key=f"{key}.values")
    param: Param = entry.params[recipe["vary"]]
    symbol = recipe.get("symbol", recipe["vary"])
    if param.choices:
        return st.pills(symbol, param.choices, selection_mode="multi", default=recipe["values"], key=f"{key}.values")
    usual = ", ".join(f"{value:g}" for value in recipe["values"])
    text = st.text_input(f"Values of {symbol}, with commas between", usual, key=f"{key}.values", width=380)
    return list(dict.fromkeys(param.check(recipe["vary"], part.strip()) for part in text.split(",") if part.strip()))


def _choose_data(usual: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Data of the same kind that are on this computer, at the size of the usual ones."""
    sets = library.sets()
    kind = sets[usual["name"]].kind
    ready = [name for name, info in sets.items() if info.here and info.kind == kind]
    name = st.selectbox(
        "Data",
        ready,
        ready.index(usual["name"]) if usual["name"] in ready else 0,
        format_func=lambda name: sets[name].title.split(" (")[0],
        key=f"{key}.data",
        width=260,
    )
    return {**{field: value for field, value in usual.items() if field == "size"}, "name": name}


def _choose_hyperparameters(recipe: Mapping[str, Any], entry: Entry, key: str) -> dict[str, int]:
    params = {}
    for name, title in HYPERPARAMETERS.items():
        if name in recipe["params"] and recipe["vary"] != name:
            param, value = entry.params[name], int(recipe["params"][name])
            low, high = int(param.low or 1), int(param.high or 1024)
            params[name] = int(st.number_input(title, low, high, value, key=f"{key}.{name}", width=180))
    return params


def _choose_plan(recipe: Mapping[str, Any], first: Mapping[str, Any], key: str) -> dict[str, int | float]:
    """Epochs and learning rate.  first: the first of the models that are compared, or the recipe itself."""
    usual_epochs = recipe["plan"].get("epochs", first.get("plan", {}).get("epochs", 10))
    usual_rate = float(recipe["plan"].get("lr", 1e-3))
    epochs = st.number_input("Epochs", 1, 10_000, min(usual_epochs, EPOCHS), key=f"{key}.epochs", width=140)
    rate = st.number_input("Learning rate", 1e-5, 0.1, usual_rate, 1e-4, format="%.4f", key=f"{key}.lr", width=160)
    return {"epochs": int(epochs), "lr": float(rate)}


def _begin(recipe: dict[str, Any], key: str) -> None:
    """The button that queues all runs, and how long they take."""
    singles = [single for _, _, single in sweeps.expand(recipe)]
    owner = visitor()
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if st.button(
            f"Train all {len(singles)}",
            type="primary",
            icon=":material/play_arrow:",
            key=f"{key}.go",
            disabled=not owner,
        ):
            State.group.put(submit(recipe, queue(), owner))
            st.rerun()
        st.markdown(_duration_of(singles))


def _offer_earlier(identity: str, key: str) -> None:
    """Buttons that show the visitors' earlier comparisons of this sweep."""
    runs = queue().listing()
    groups = {run.info.group for run in runs if run.info.group.startswith(f"{identity}.")}
    for group in sorted(groups - {group_of(identity)}):
        created = sweeps.members(group, runs)[0].info.created
        date = time.strftime("%d %B, %H:%M", time.localtime(created))
        if st.button(f"Show the comparison of {date}", key=f"{key}.{group}"):
            State.group.put(group)
            st.rerun()


def _duration_of(singles: Sequence[dict[str, Any]]) -> str:
    """How long all these trainings take here, one after the other. Each kind of model is measured once, on its first.

    FieldError where one of them cannot be trained.
    """
    speeds, total = {}, 0.0
    for single in singles:
        entry, plan = CATALOG[single["model"]], Plan(**single["plan"])
        data = library.load(datasets.DataSpec(**single["data"]))
        if entry.key not in speeds:
            speeds[entry.key] = training_speed.ask(entry, entry.check(single["params"]), plan, data.shape)
        speed = speeds[entry.key]
        if speed is None:
            return ":small[Measuring how long that takes … ask again in a moment.]"
        if speed.trouble:
            raise FieldError("settings", speed.trouble)
        total += speed.seconds(plan, len(data.train))
    return f"about {duration(total)} :small[in all, one after the other, on this computer]"
