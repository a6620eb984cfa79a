"""How a run stands, in words and pictures: for the gallery's cards and the Watch page."""

from __future__ import annotations

import html
import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from aecore import Run, runs
from aecore.entry import Entry
from app import plots, shelf

LINKS = (
    ("reconstruct", "Reconstruct", "compare", {"encode", "decode"}),
    ("traverse", "Traverse", "tune", {"decode"}),
    ("map", "Map", "scatter_plot", {"encode", "decode"}),
    ("generate", "Generate", "casino", {"sample"}),
    ("pixelcnn", "PixelCNN", "grid_on", {"density"}),
)
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


def duration(seconds: float) -> str:
    """About how long, as people say it."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 10 else f"{hours} h"


def plain(text: str) -> str:
    """Somebody's words for Markdown: shown as they are."""
    return "".join("\\" + letter if letter in r"\`*_{}[]()<>#+-.!|~$:^" else letter for letter in text)


def latest(run: Run) -> Run:
    """The same run as it is on the disk now."""
    return shelf.queue().get(run.info.id)


def progress(run: Run) -> None:
    """One line with a bar: how far a run is, when it ends, or how it ended."""
    info = run.info
    if info.status == "queued":
        place = shelf.queue().position(info.id)
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
            st.caption(plain(info.reason))
    elif info.status == "failed":
        st.markdown(f":red[Failed.] {plain(info.reason)}")


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
    parts = [run.entry.name, shelf.data_title(info.data)]
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
    if not shelf.has_weights(run):
        return
    for page, label, icon, needs in LINKS:
        if needs <= run.entry.abilities:
            st.page_link(f"views/{page}.py", label=label, icon=f":material/{icon}:" * icons,
                         query_params={"run": run.info.id, "v": shelf.VERSION})  # fmt: skip


def badges(run: Run) -> str:
    """What kind of run it is, as small words for Markdown."""
    if run.pretrained:
        return ":blue-badge[pretrained]"
    return ":green-badge[yours]" if shelf.mine(run) else ""


def equation(entry: Entry, params: Mapping[str, Any] | None = None) -> None:
    """The objective, each term in its colour; one line for each player.

    params: those of a run, for the values of the equation's letters, and what was chosen where it is no number.
    """
    lines = plots.equation(entry.equation).split(r",\quad")
    known = entry.check(params) if params is not None else {}  # an older run may lack a parameter that came later
    letters = {name: entry.params[name] for name in known if entry.params[name].symbol in entry.equation}
    values = [
        rf"{param.symbol} = {known[name]:g}"
        for name, param in letters.items()
        if param.symbol.startswith("\\") and param.type in (int, float)
    ]
    lines += [r",\qquad ".join(values)] if values else []
    st.latex(lines[0] if len(lines) == 1 else r"\begin{gathered}" + r" \\[.4em] ".join(lines) + r"\end{gathered}")
    for name, param in letters.items():
        if param.symbol and param.choices:
            st.caption(f"${param.symbol}$ is **{plain(str(known[name]))}**: {plain(param.help)}")


def legend(terms: Mapping[str, tuple[str, str]], values: Mapping[str, tuple[str, str]] | None = None) -> None:
    """Terms in their colours with unit and meaning. values: of each in training and held-out, while one is watched."""
    cell = 'style="padding:.3rem .9rem .3rem 0;vertical-align:baseline'
    number = f'{cell};text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"'
    lines = ""
    if values is not None:
        heads = "".join(f"<td {number}>{name}</td>" for name in ("training", "held-out"))
        lines += f'<tr style="opacity:.75;font-size:.9rem"><td></td>{heads}<td></td></tr>'
    for name, (unit, help) in terms.items():
        colour = plots.term_colour(name)
        shown = values.get(name, ("", "")) if values is not None else ()
        lines += (
            f'<tr><td {cell};white-space:nowrap;font-weight:600;color:{colour}">'
            f'<span style="display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.6rem;'
            f'background:{colour}"></span>{html.escape(name)}</td>'
            + "".join(f"<td {number}>{html.escape(text)}</td>" for text in shown)
            + f'<td {cell};width:99%"><span style="opacity:.85">{html.escape(help)}</span>'
            + (f' <span style="opacity:.7;white-space:nowrap">[{html.escape(unit)}]</span>' if unit else "")
            + "</td></tr>"
        )
    st.html(f'<table style="border-collapse:collapse;font-size:1rem;line-height:1.4;margin:.2rem 0">{lines}</table>')


def undo() -> None:
    """A line that brings back what this visitor has just deleted."""
    identity = st.session_state.get("deleted")
    if not identity:
        return
    found = [run for run in shelf.queue().deleted(shelf.visitor()) if run.info.id == identity]
    if not found:
        st.session_state.pop("deleted", None)
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f"**{plain(found[0].info.title)}** was deleted.", width="content")
        if st.button("Undo", key="undo", icon=":material/undo:"):
            shelf.queue().undelete(identity, shelf.visitor())
            st.session_state.pop("deleted", None)
            st.rerun()


def take_up() -> None:
    """Offer to go on with this visitor's trainings that ended with the app."""
    cut = [
        run
        for run in shelf.all_runs()
        if run.info.status == "paused" and run.info.reason == runs.CUT_OFF and shelf.mine(run)
    ]
    if not cut:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        names = ", ".join(f"**{plain(run.info.title)}**" for run in cut[:3]) + (
            f" and {len(cut) - 3} more" if len(cut) > 3 else ""
        )
        st.markdown(
            f"{names} did not end: the app was closed. Training can go on from the last checkpoint.", width="content"
        )
        if st.button("Resume", key="take-up", icon=":material/play_arrow:"):
            for run in cut:
                shelf.queue().resume(run.info.id, shelf.visitor())
            st.rerun()


def delete(run: Run) -> None:
    shelf.queue().delete(run.info.id, shelf.visitor())
    st.session_state["deleted"] = run.info.id
    if st.session_state.get("run") == run.info.id:
        st.session_state.pop("run", None)


def known(identity: str) -> Run | None:
    try:
        return runs.find(identity)
    except runs.RunError:
        return None
