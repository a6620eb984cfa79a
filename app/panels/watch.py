"""Parts of the Watch page. Rows and previews are read once for all visitors, and only what is new."""

from __future__ import annotations

import threading
import time
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from aecore import Run, RunError
from aecore.measure import collapse_warning
from aecore.paths import root
from aecore.runs.folder import RESUMABLE
from app import cached, library, pages, session
from app.browser import film
from app.figures import plots
from app.figures.html import equation, legend
from app.figures.plots import duration
from app.library import known_run
from app.panels import downloads, exhibit, run_card
from app.session import may_change, plain_errors, visitor
from app.text import escape_markdown
from app.widgets.params import link_of_run

LIVE = ("queued", "running")
DRAWN = 400  # points of a curve; a longer one is thinned
FRAMES = 48
REDRAW = 2.0  # seconds between two figures of a run: a class watches the same one


class Tail:
    """The rows and previews of one run, as far as they are known."""

    def __init__(self, folder: str, identity: str):
        self.identity, self.start = identity, 0
        self.rows: dict[int, dict[str, Any]] = {}
        self.frames: dict[int, bytes] = {}
        self.figure: go.Figure | None = None
        self.drawn, self.count = 0.0, -1
        self.guard = threading.Lock()

    def look(self, run: Run) -> None:
        """Read what is new; call it with `guard` held."""
        fresh, end = run.rows(self.start)
        if fresh and fresh[0]["step"] <= max(self.rows, default=-1):  # resumed: those after the checkpoint are dropped
            self.rows = {step: row for step, row in self.rows.items() if step < fresh[0]["step"]}
        if end < self.start:
            self.rows = {row["step"]: row for row in fresh}
        self.start = end
        self.rows |= {row["step"]: row for row in fresh}
        steps = run_card.previews(run)
        steps = steps[:: max(1, -(-len(steps) // FRAMES))] + ([steps[-1]] if steps else [])
        for step in set(steps) - set(self.frames):
            try:
                self.frames[step] = (run.path / "preview" / f"{step}.png").read_bytes()
            except OSError:
                continue
        self.frames = {step: self.frames[step] for step in sorted(set(steps)) if step in self.frames}

    def curves(self, run: Run) -> go.Figure:
        """Every term as its own curve; drawn anew only when there are new rows, and not at every one of them."""
        rested = time.monotonic() - self.drawn > REDRAW or run.info.status not in LIVE
        if self.figure is None or (len(self.rows) != self.count and rested):
            units = {name: term.unit for name, term in run.entry.terms.items()}
            rows = list(self.rows.values())
            self.figure = plots.curves(thinned(rows), [*losses(rows), *units], units=units, x="epoch")
            self.drawn, self.count = time.monotonic(), len(self.rows)
        return self.figure


@st.cache_resource(max_entries=64, show_spinner=False)
def tail(folder: str, identity: str) -> Tail:
    return Tail(folder, identity)


def tail_of(run: Run) -> Tail:
    return tail(str(root()), run.info.id)


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as `plots.curves` takes them: not too many, those with held-out values all."""
    stride = max(1, len(rows) // DRAWN)
    return [
        {"step": row["step"], "epoch": row["epoch"], **row["train"]}
        | {f"test/{name}": value for name, value in row.get("test", {}).items()}
        for place, row in enumerate(rows)
        if place % stride == 0 or "test" in row or place == len(rows) - 1
    ]


def losses(rows: list[dict[str, Any]]) -> list[str]:
    """ "loss", or those of the players; without those that are just one of the terms."""
    if not rows:
        return []
    last = rows[-1]["train"]
    terms = [value for name, value in last.items() if name.split("/")[0] != "loss"]
    return [name for name, value in last.items() if name.split("/")[0] == "loss" and value not in terms]


def state(identity: str, status: str) -> None:
    """How it stands, and what can be done about it."""
    with plain_errors():
        try:
            run = session.queue().get(identity)
        except RunError:
            st.rerun()
        if run.info.status != status:
            st.rerun()
        run_card.progress(run)
        words = facts(run)
        if words:
            st.caption(words)
        if status == "failed":
            st.caption("Change what the message names and train again, or resume from the last good weights.")
        actions(run)


def facts(run: Run) -> str:
    """Device, pace and progress in a line."""
    info, beat = run.info, run.heartbeat()
    parts = [info.device] if info.device else []
    if beat.get("seconds"):
        parts += [f"{beat['step'] / beat['seconds']:.0f} steps/s", f"step {int(beat['step']):,}"]
        parts.append(f"{duration(float(beat['seconds']))} of training")
    return " · ".join(parts)


def actions(run: Run) -> None:
    """Buttons; those that are not this visitor's to press say why."""
    info, who, queue = run.info, visitor(), session.queue()
    own = may_change(run)
    why = "Somebody else started it: only they can do this. You can watch it, open it or duplicate it."
    if own or not who:
        why = None if own else "One moment: the browser has not answered yet."
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if info.status in LIVE:
            if st.button("Pause", icon=":material/pause:", disabled=not own, help=why):
                queue.pause(info.id, who)
                st.rerun()
            if st.button("Stop", icon=":material/stop:", disabled=not own, help=why):
                queue.stop(info.id, who)
                st.rerun()
        if (
            info.status == "queued"
            and (queue.position(info.id) or 1) > 1
            and st.button(
                "Move up",
                icon=":material/arrow_upward:",
                disabled=not own,
                help=why or "One place up among your own waiting runs",
            )
        ):
            queue.move_up(info.id, who)
            st.rerun()
        if info.status in RESUMABLE and st.button(
            "Resume", icon=":material/play_arrow:", disabled=not own, help=why, type="primary"
        ):
            queue.resume(info.id, who)
            st.rerun()
        pages.link("train", label="Duplicate with other settings", icon="content_copy", query=link_of_run(run))
        if not run.pretrained and st.button("Delete", icon=":material/delete:", disabled=not own, help=why):
            run_card.delete(run)
            st.rerun()


def terms(identity: str) -> None:
    """The equation with the values of its terms, their curves, and the pictures sharpening."""
    run = known_run(identity)
    if run is None:
        return
    known = tail_of(run)
    with known.guard:
        known.look(run)
        rows, frames, figure = list(known.rows.values()), dict(known.frames), known.curves(run)
    last = rows[-1]["train"] if rows else {}
    held = next((row["test"] for row in reversed(rows) if "test" in row), {})
    total = "what is minimised: the weighted sum of the terms"
    named = {name: (term.unit, term.help) for name, term in run.entry.terms.items()}
    named |= {
        name: ("", total if name == "loss" else f"what the {name.removeprefix('loss/')} minimises")
        for name in losses(rows)
    }
    with st.container(key="halves"):
        left, right = st.columns(2, gap="large")
    with left:
        equation(run.entry, run.info.params)
        legend(named, {name: (value(last.get(name)), value(held.get(name))) for name in named} if rows else None)
    with right:
        if frames:
            epochs = {row["step"]: row["epoch"] for row in rows}
            labels = [f"epoch {epochs[step]:.1f}" if step in epochs else f"step {step}" for step in frames]
            film(list(frames.values()), labels, key=f"film-{identity}", alt=alt(run), follow=True, fps=4, height=340)
            st.caption(alt(run))
        elif run.info.status in LIVE:
            st.caption("Pictures come with the first held-out evaluation.")
    st.plotly_chart(
        figure,
        key=f"curves-{identity}",
        config={"displayModeBar": False},
        alt="Every term of the loss over the epochs, in training and held-out",
    )


def value(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"


def alt(run: Run) -> str:
    """What the rows of a preview are."""
    rows = ["held-out images"]
    rows += ["damaged"] if "corrupt" in run.entry.abilities else []
    rows += ["reconstructions"] if {"encode", "decode"} <= run.entry.abilities else []
    if "sample" in run.entry.abilities:
        rows += ["two rows of samples from the prior" if "decode" in run.entry.abilities else "samples"]
    return "From the top: " + ", ".join(rows) + "."


def after(run: Run) -> None:
    """Figures, warnings, where to go on, and what can be taken home."""
    found = run_card.figures(run)
    if found:
        st.subheader("Held-out figures", anchor=False)
        with st.container(horizontal=True, gap="large"):
            for name, shown, help in found:
                st.metric(name, shown, help=help, width="content")
    if not library.has_weights(run):
        return
    with plain_errors():
        if "posterior" in run.entry.abilities and run.info.status == "done":
            unit = cached.units(run)
            warning = collapse_warning(unit.kl, unit.active)
            if warning:
                st.warning(warning, icon=":material/warning:")
        images = len(run.info.shape) == 3 and {"encode", "decode"} <= run.entry.abilities
        if images and "code" in run.info.params and len(run.steps("snapshots")) > 1 and not library.model(run).classes:
            st.subheader("The plane through the training", anchor=False)
            exhibit.through_training(run, "watch.training")
        st.subheader("See inside", anchor=False)
        with st.container(horizontal=True, gap="small"):
            run_card.links(run)
        st.subheader("Take it with you", anchor=False)
        downloads.downloads(run)
    with st.expander("All settings", icon=":material/list:"):
        plan = run.info.plan.model_dump()
        st.markdown(
            "\n".join(
                f"- {escape_markdown(name)}: **{escape_markdown(str(v))}**"
                for name, v in {**run.info.params, **plan}.items()
            )
        )
        st.caption(escape_markdown(run.info.source))
