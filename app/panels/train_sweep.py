"""Train this comparison: all runs of an exhibit's sweep queued at once, with a visitor's own knobs, and filled in."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from aecore import CATALOG, FieldError, Plan, RunError
from aecore import data as datasets
from aecore.jobs.sweeps import submit, varied
from aecore.models.entry import Param
from aecore.runs import sweeps
from app import library
from app.figures.plots import duration
from app.session import may_change, plain_errors, queue, visitor
from app.text import escape_markdown
from app.widgets import speed as training_speed

LINK = "own"  # the group that the page shows in place of the trained examples
LIVE = ("queued", "running")


def group_of(identity: str) -> str:
    """The group of this sweep that the link asks for; "" for the trained examples."""
    said = st.query_params.get(LINK, "")
    return said if said.partition(".")[0] == identity else ""


def show(group: str) -> None:
    """From the next run on, this group; "" the trained examples."""
    if group:
        st.query_params[LINK] = group
    else:
        st.query_params.pop(LINK, None)


def chosen(identity: str) -> sweeps.Sweep:
    """The sweep that the page is about: trained examples, or a visitor's own as far as it is trained."""
    group = group_of(identity)
    if group:
        progress(group)
        try:
            found = sweeps.gathered(group, queue().listing())
            if found.runs:
                return found
            st.caption("Until the first of them is trained, the page shows the trained examples.")
        except RunError as error:
            st.info(f"{error} The page shows the trained examples.", icon=":material/info:")
    return sweeps.sweep(identity)


def progress(group: str) -> None:
    """How far a group is; the page is made anew whenever another one is trained."""
    done = sum(run.info.status == "done" for run in sweeps.members(group, queue().listing()))
    own = sweeps.members(group, queue().listing())
    live = any(run.info.status in LIVE for run in own)

    @st.fragment(run_every=1.5 if live else None)
    def follow() -> None:
        runs = sweeps.members(group, queue().listing())
        ready = sum(run.info.status == "done" for run in runs)
        if ready != done:
            st.rerun()
        if not runs:
            return
        beats = [float(run.heartbeat().get("progress", 0.0)) for run in runs]
        waiting = [run for run in runs if run.info.status in LIVE]
        failed = [run for run in runs if run.info.status == "failed"]
        spent = sum(float(run.heartbeat().get("seconds", 0.0)) for run in runs)
        words = f"Your comparison: {ready} of {len(runs)} trained"
        if waiting and sum(beats) > 0:
            words += f", {duration(spent / sum(beats) * (len(runs) - sum(beats)))} left"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(sum(beats) / len(runs), text=words)
            mine = waiting and all(may_change(run) for run in waiting)
            if mine and st.button("Stop all", icon=":material/stop:", key="comparison.stop"):
                for run in waiting:
                    queue().stop(run.info.id, visitor())
                st.rerun()
            if st.button("Show the trained examples", key="comparison.back"):
                show("")
                st.rerun()
        for run in failed:
            st.caption(f"{escape_markdown(run.info.title)} failed: {escape_markdown(run.info.reason)}")

    follow()


def train(identity: str, which: str = "") -> None:
    """Knobs and the button, folded below an exhibit. which: of the page's comparisons, where it has several."""
    recipe = sweeps.named(identity)
    box = st.expander(
        "Train this comparison yourself" + (f": {which}" if which else ""),
        icon=":material/model_training:",
        on_change="rerun",
        key=f"comparison.{identity}.open",
    )
    if box.open:  # while nobody looks, nothing is loaded and measured for it
        with box, plain_errors():
            _train(recipe)


def _train(recipe: dict[str, Any]) -> None:
    key = f"comparison.{recipe['id']}"
    usual = recipe.get("shown", recipe["data"])
    kind = library.sets()[usual["name"]].kind
    ready = [name for name, info in library.sets().items() if info.here and info.kind == kind]
    first = recipe["models"][0] if recipe["vary"] == "model" else recipe
    entry = CATALOG[first.get("model", recipe.get("model"))]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if recipe["vary"] == "model":
            titles = [single["title"] for single in recipe["models"]]
            values: Any = st.pills("Models", titles, selection_mode="multi", default=titles, key=f"{key}.values")
        else:
            values = _values(recipe, entry.params[recipe["vary"]], key)
        name = st.selectbox(
            "Data",
            ready,
            ready.index(usual["name"]) if usual["name"] in ready else 0,
            format_func=lambda name: library.sets()[name].title.split(" (")[0],
            key=f"{key}.data",
            width=260,
        )
    knobs: dict[str, Any] = {}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        for letter, words in (("code", "Units of the code $d$"), ("width", "Width")):
            if letter in recipe["params"] and recipe["vary"] != letter:
                param = entry.params[letter]
                knobs[letter] = int(
                    st.number_input(
                        words,
                        int(param.low or 1),
                        int(param.high or 1024),
                        int(recipe["params"][letter]),
                        key=f"{key}.{letter}",
                        width=180,
                    )
                )
        epochs = recipe["plan"].get("epochs", first.get("plan", {}).get("epochs", 10))
        plan = {
            "epochs": int(st.number_input("Epochs", 1, 10_000, min(epochs, 20), key=f"{key}.epochs", width=140)),
            "lr": float(
                st.number_input(
                    "Learning rate",
                    1e-5,
                    0.1,
                    float(recipe["plan"].get("lr", 1e-3)),
                    1e-4,
                    format="%.4f",
                    key=f"{key}.lr",
                    width=160,
                )
            ),
        }
        seeds = int(
            st.number_input(
                "Seeds",
                1,
                5,
                1,
                key=f"{key}.seeds",
                width=110,
                help="The pages show the first; the spread is over all of them.",
            )
        )
    if not values:
        st.caption("Choose at least one.")
        return
    data = {**{k: v for k, v in usual.items() if k == "size"}, "name": name}
    wanted = varied({**recipe, "params": {**recipe["params"], **knobs}}, values, data, plan, seeds)
    singles = [single for _, _, single in sweeps.expand(wanted)]
    owner = visitor()
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if st.button(
            f"Train all {len(singles)}",
            type="primary",
            icon=":material/play_arrow:",
            key=f"{key}.go",
            disabled=not owner,
        ):
            show(submit(wanted, queue(), owner))
            st.rerun()
        st.markdown(_time(singles))
    own = {run.info.group for run in queue().listing() if run.info.group.startswith(f"{recipe['id']}.")}
    for group in sorted(own - {group_of(recipe["id"])}):
        born = sweeps.members(group, queue().listing())[0].info.created
        if st.button(f"Show the one of {time.strftime('%d %B, %H:%M', time.localtime(born))}", key=f"{key}.{group}"):
            show(group)
            st.rerun()


def _values(recipe: dict[str, Any], param: Param, key: str) -> list[sweeps.Value]:
    """What the varied parameter shall take; FieldError where it may not."""
    symbol = recipe.get("symbol", recipe["vary"])
    if param.choices:
        return st.pills(symbol, param.choices, selection_mode="multi", default=recipe["values"], key=f"{key}.values")
    usual = ", ".join(f"{value:g}" for value in recipe["values"])
    said = st.text_input(f"Values of {symbol}, with commas between", usual, key=f"{key}.values", width=380)
    return list(dict.fromkeys(param.check(recipe["vary"], part.strip()) for part in said.split(",") if part.strip()))


def _time(singles: list[dict[str, Any]]) -> str:
    """How long all of them take here, one after the other; measured on the first of each kind of model."""
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
