"""The parts of the page Watch: how a training stands, its terms and pictures, and what follows when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from aecore import Run, RunError
from aecore.measure import collapse_warning
from aecore.runs.folder import RESUMABLE
from app import cached, library, pages, session
from app.browser.film import film
from app.figures.html import equation, legend
from app.figures.plots import duration
from app.library import known_run
from app.panels import run_card, run_files, run_notices, run_rows
from app.panels.run_rows import LIVE
from app.panels.training_plane import through_training
from app.session import may_change, plain_errors, visitor
from app.text import escape_markdown
from app.widgets.params import link_of_run

# --- how it stands --------------------------------------------------------------------------------------------------


def state(identity: str, status: str) -> None:
    """How the training stands, and the buttons that act on it. The page is run again when the status changes."""
    with plain_errors():
        try:
            run = session.queue().get(identity)
        except RunError:
            st.rerun()
        if run.info.status != status:
            st.rerun()
        run_card.progress(run)
        if line := facts(run):
            st.caption(line)
        if status == "failed":
            st.caption("Change what the message names and train again, or resume from the last good weights.")
        actions(run)


def facts(run: Run) -> str:
    """Device, precision, pace and progress in a line."""
    info, beat = run.info, run.heartbeat()
    words = {"bf16": " in bfloat16", "fp32": " in full precision"}
    parts = [info.device + words.get(info.precision, "")] if info.device else []
    if beat.get("seconds"):
        parts += [f"{beat['step'] / beat['seconds']:.0f} steps/s", f"step {int(beat['step']):,}"]
        parts.append(f"{duration(float(beat['seconds']))} of training")
    return " · ".join(parts)


def actions(run: Run) -> None:
    """The buttons of a run. Those that this visitor may not press say why."""
    info, queue = run.info, session.queue()
    reason = _why_not(run)

    def button(label: str, icon: str, help: str | None = None, **more: Any) -> bool:
        disabled = not may_change(run)
        return st.button(label, icon=f":material/{icon}:", disabled=disabled, help=reason or help, **more)

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if info.status in LIVE:
            if button("Pause", "pause"):
                queue.pause(info.id, visitor())
                st.rerun()
            if button("Stop", "stop"):
                queue.stop(info.id, visitor())
                st.rerun()
        waits_behind = info.status == "queued" and (queue.position(info.id) or 1) > 1
        if waits_behind and button("Move up", "arrow_upward", "One place up among your own waiting runs"):
            queue.move_up(info.id, visitor())
            st.rerun()
        if info.status in RESUMABLE and button("Resume", "play_arrow", type="primary"):
            queue.resume(info.id, visitor())
            st.rerun()
        pages.link("train", label="Duplicate with other settings", icon="content_copy", query=link_of_run(run))
        if not run.pretrained and button("Delete", "delete"):
            run_notices.delete(run)
            st.rerun()


def _why_not(run: Run) -> str | None:
    """Why this visitor may not change the run; None where they may."""
    if may_change(run):
        return None
    if not visitor():
        return "One moment: the browser has not answered yet."
    return "Somebody else started it: only they can do this. You can watch it, open it or duplicate it."


# --- terms and pictures ---------------------------------------------------------------------------------------------


def terms(identity: str) -> None:
    """The objective with the values of its terms, their curves, and previews through the training."""
    run = known_run(identity)
    if run is None:
        return
    rows, frames, curves = run_rows.read(run)
    with st.container(key="halves"):
        left, right = st.columns(2, gap="large")
    with left:
        equation(run.entry, run.info.params)
        _show_values(run, rows)
    with right:
        _show_previews(run, rows, frames)
    st.plotly_chart(
        curves,
        key=f"curves-{identity}",
        config={"displayModeBar": False},
        alt="Every term of the loss over the epochs, in training and held-out",
    )


def _show_values(run: Run, rows: list[dict[str, Any]]) -> None:
    """A table of the terms and losses, with their newest values in training and held-out."""
    meanings = {name: (term.unit, term.help) for name, term in run.entry.terms.items()}
    for name in run_rows.losses(rows):
        meaning = f"what the {name.removeprefix('loss/')} minimises"
        meanings[name] = ("", meaning if "/" in name else "what is minimised: the weighted sum of the terms")
    if not rows:
        legend(meanings, None)
        return
    train: Mapping[str, float] = rows[-1]["train"]
    test: Mapping[str, float] = next((row["test"] for row in reversed(rows) if "test" in row), {})
    legend(meanings, {name: (_number(train.get(name)), _number(test.get(name))) for name in meanings})


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _show_previews(run: Run, rows: list[dict[str, Any]], frames: Mapping[int, bytes]) -> None:
    if frames:
        epochs = {row["step"]: row["epoch"] for row in rows}
        labels = [f"epoch {epochs[step]:.1f}" if step in epochs else f"step {step}" for step in frames]
        meaning = preview_rows(run)
        film(list(frames.values()), labels, key=f"film-{run.info.id}", alt=meaning, follow=True, fps=4, height=340)
        st.caption(meaning)
    elif run.info.status in LIVE:
        st.caption("Pictures come with the first held-out evaluation.")


def preview_rows(run: Run) -> str:
    """What the rows of a preview show."""
    rows = ["held-out images"]
    rows += ["damaged"] if "corrupt" in run.entry.abilities else []
    rows += ["reconstructions"] if {"encode", "decode"} <= run.entry.abilities else []
    if "sample" in run.entry.abilities:
        rows += ["two rows of samples from the prior" if "decode" in run.entry.abilities else "samples"]
    return "From the top: " + ", ".join(rows) + "."


# --- when it has ended ----------------------------------------------------------------------------------------------


def after(run: Run) -> None:
    """Held-out figures, warnings, the pages that can open the run, and its files."""
    _show_figures(run)
    if not library.has_weights(run):
        return
    with plain_errors():
        _warn_of_collapse(run)
        _show_plane(run)
        st.subheader("Explore", anchor=False)
        with st.container(horizontal=True, gap="small"):
            run_card.links(run)
        st.subheader("Take it with you", anchor=False)
        run_files.buttons(run)
    _show_settings(run)


def _show_figures(run: Run) -> None:
    figures = run_card.figures(run)
    if figures:
        st.subheader("Held-out figures", anchor=False)
        with st.container(horizontal=True, gap="large"):
            for name, value, meaning in figures:
                st.metric(name, value, help=meaning, width="content")


def _warn_of_collapse(run: Run) -> None:
    if "posterior" in run.entry.abilities and run.info.status == "done":
        latents = cached.units(run)
        warning = collapse_warning(latents.kl, latents.active)
        if warning:
            st.warning(warning, icon=":material/warning:")


def _show_plane(run: Run) -> None:
    """The plane of the code through the training, where the model has one and snapshots were kept."""
    draws_images = len(run.info.shape) == 3 and {"encode", "decode"} <= run.entry.abilities
    if (
        draws_images
        and "code" in run.info.params
        and len(run.steps("snapshots")) > 1
        and not library.model(run).classes
    ):
        st.subheader("The plane through the training", anchor=False)
        through_training(run, "watch.training")


def _show_settings(run: Run) -> None:
    with st.expander("All settings", icon=":material/list:"):
        settings = {**run.info.params, **run.info.plan.model_dump()}
        lines = [f"- {escape_markdown(name)}: **{escape_markdown(str(value))}**" for name, value in settings.items()]
        st.markdown("\n".join(lines))
        st.caption(escape_markdown(run.info.source))
