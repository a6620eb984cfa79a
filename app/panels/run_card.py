"""How a run stands, in words and pictures: for the gallery's cards and the Watch page."""

from __future__ import annotations

import io
import time

import numpy as np
import streamlit as st
from PIL import Image

from aecore import Run
from aecore.runs.folder import CUT_OFF
from app import library, pages
from app.figures import plots
from app.figures.plots import duration
from app.link import VERSION
from app.session import may_change, queue, visitor
from app.text import escape_markdown

FIGURES = {
    "elbo": ("ELBO", "{:.1f} nats", "lower bound of log p(x) of a held-out image; higher is better"),
    "psnr": ("PSNR", "{:.1f} dB", "of reconstructions of held-out images; higher is better"),
    "ssim": ("SSIM", "{:.3f}", "structural similarity of held-out reconstructions; 1 is the same image"),
    "mse": ("squared error", "{:.4f}", "per pixel, of held-out reconstructions; lower is better"),
    "pca mse": ("PCA's error", "{:.4f}", "squared error per pixel of PCA with as many components"),
    "denoised mse": ("denoised", "{:.4f}", "squared error per pixel where the input was damaged"),
    "active units": ("active units", "{:.0f}", "of the code: those that move with the image"),
    "test/nll": ("−log p(x)", "{:.1f} nats", "of a held-out image, exactly; lower is better"),
    "bits per dimension": ("bits per value", "{:.3f}", "−log₂ p(x) by the number of values; lower is better"),
    "code kl": ("KL of the code", "{:.1f} nats", "how much a code says about its image"),
}
"""Held-out figures: name, format, what it means. Others of `Info.metrics` follow under their own names."""


def progress(run: Run) -> None:
    """One line with a bar: how far a run is, when it ends, or how it ended."""
    info = run.info
    if info.status == "queued":
        place = queue().position(info.id)
        line = (
            "Waiting: next in line." if place == 1 else f"Waiting: number {place} in line." if place else "Starting …"
        )
        st.progress(0.0, text=line)
    elif info.status == "running":
        beat = run.heartbeat()
        share, left = float(beat.get("progress", 0.0)), float(beat.get("left", -1.0))
        text = f"Epoch {beat.get('epoch', 0.0):.1f} of {info.plan.epochs}"
        if left >= 0 and share < 1:
            left = max(0.0, left - (time.time() - float(beat.get("time", 0.0))))
            text += f", {duration(left)} left"
        elif share >= 1:
            text = "Measuring the trained model …"
        st.progress(min(1.0, share), text=text)
    elif info.status in ("paused", "stopped"):
        share = float(run.heartbeat().get("progress", 0.0))
        state = "Paused" if info.status == "paused" else "Stopped early"
        st.progress(
            min(1.0, share), text=f"{state} at epoch {run.heartbeat().get('epoch', 0.0):.1f} of {info.plan.epochs}"
        )
        if info.reason:
            st.caption(escape_markdown(info.reason))
    elif info.status == "failed":
        st.markdown(f":red[Failed.] {escape_markdown(info.reason)}")


def figures(run: Run, most: int | None = None) -> list[tuple[str, str, str]]:
    """Held-out figures as (name, value with its unit, meaning), the most telling first."""
    metrics = run.info.metrics
    found = [
        (label, form.format(metrics[key]).replace("-", "−"), help)
        for key, (label, form, help) in FIGURES.items()
        if key in metrics
    ]
    return found[:most]


def facts(run: Run) -> str:
    """Model, data, size of the code and time taken, in a line."""
    info = run.info
    parts = [run.entry.name, library.data_title(info.data)]
    if "code" in info.params:
        parts.append(f"d = {info.params['code']}")
    seconds = run.heartbeat().get("seconds")
    if seconds and info.status not in ("queued", "running"):
        parts.append(f"trained in {duration(float(seconds))}".replace(" ", "\u00a0"))
    return " · ".join(parts)


def previews(run: Run) -> list[int]:
    return run.steps("preview")


def strip(run: Run) -> bytes | None:
    """Two rows of ten pictures for a card: samples where it samples, else originals over reconstructions."""
    found = previews(run)
    if not found:
        return None
    file = run.path / "preview" / f"{found[-1]}.png"
    try:
        return _strip(str(file), file.stat().st_mtime, "sample" in run.entry.abilities)
    except OSError:  # a resumed run has just dropped it, or it is half a file
        return None


@st.cache_data(max_entries=256, show_spinner=False)
def _strip(file: str, stamp: float, samples: bool) -> bytes:
    with Image.open(io.BytesIO(open(file, "rb").read())) as image:
        sheet = np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    side = (sheet.shape[1] + 2) // 10
    rows = [sheet[k * side : k * side + side - 2] for k in range((sheet.shape[0] + 2) // side)]
    gap = np.full((2, *sheet.shape[1:]), 128, np.uint8)
    both = rows[-2:] if samples else [rows[0], rows[-1]]
    picture = np.concatenate([both[0], gap, both[-1]])
    scale = max(1, round(900 / picture.shape[1]))
    return plots.png(picture.repeat(scale, 0).repeat(scale, 1))


def links(run: Run, icons: bool = True) -> None:
    """Where this run can be opened: the pages that its abilities permit; to be put into a row."""
    if not library.has_weights(run):
        return
    for page in pages.for_run(run):
        pages.link(page.key, icon=None if icons else "", query={"run": run.info.id, "v": VERSION})


def badges(run: Run) -> str:
    """What kind of run it is, as small words for Markdown."""
    if run.pretrained:
        return ":blue-badge[pretrained]"
    return ":green-badge[yours]" if may_change(run) else ""


def undo() -> None:
    """A line that brings back what this visitor has just deleted."""
    identity = st.session_state.get("deleted")
    if not identity:
        return
    found = [run for run in queue().deleted(visitor()) if run.info.id == identity]
    if not found:
        st.session_state.pop("deleted", None)
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f"**{escape_markdown(found[0].info.title)}** was deleted.", width="content")
        if st.button("Undo", key="undo", icon=":material/undo:"):
            queue().undelete(identity, visitor())
            st.session_state.pop("deleted", None)
            st.rerun()


def take_up() -> None:
    """Offer to go on with this visitor's trainings that ended with the app."""
    cut = [
        run
        for run in library.all_runs()
        if run.info.status == "paused" and run.info.reason == CUT_OFF and may_change(run)
    ]
    if not cut:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        names = ", ".join(f"**{escape_markdown(run.info.title)}**" for run in cut[:3]) + (
            f" and {len(cut) - 3} more" if len(cut) > 3 else ""
        )
        st.markdown(
            f"{names} did not end: the app was closed. Training can go on from the last checkpoint.", width="content"
        )
        if st.button("Resume", key="take-up", icon=":material/play_arrow:"):
            for run in cut:
                queue().resume(run.info.id, visitor())
            st.rerun()


def delete(run: Run) -> None:
    queue().delete(run.info.id, visitor())
    st.session_state["deleted"] = run.info.id
    if st.session_state.get("run") == run.info.id:
        st.session_state.pop("run", None)
