"""One run in words and pictures, for the cards of the gallery and for the page Watch."""

from __future__ import annotations

import time

import numpy as np
import streamlit as st
from PIL import Image

from aecore import Run
from aecore.measure import likelihood
from app import library, pages
from app.caching import remember
from app.figures import plots
from app.figures.plots import duration
from app.link import to_page
from app.session import may_change, queue
from app.text import escape_markdown

FIGURES = {
    "elbo": ("ELBO", "{:.1f} nats", "lower bound of the log-density of a held-out image’s values; higher is better"),
    "elbo, thresholded": (
        "ELBO, black and white",
        "{:.1f} nats",
        "lower bound of log p(x) of held-out images split at one half; higher is better",
    ),
    "psnr": ("PSNR", "{:.1f} dB", "of reconstructions of held-out images; higher is better"),
    "ssim": ("SSIM", "{:.3f}", "structural similarity of held-out reconstructions; 1 is the same image"),
    "mse": ("squared error", "{:.4f}", "per pixel, of held-out reconstructions; lower is better"),
    "pca mse": ("PCA's error", "{:.4f}", "squared error per pixel of PCA with as many components"),
    "denoised mse": ("denoised", "{:.4f}", "squared error per pixel where the input was damaged"),
    "active units": ("active units", "{:.0f}", "latent dimensions of the code that change with the image"),
    "elbo, drawn": (
        "ELBO, drawn",
        "{:.1f} nats",
        "lower bound of log p(x) of held-out images whose pixels were drawn as 0 or 1; higher is better",
    ),
    "cross-entropy + kl": (
        "cross-entropy + KL",
        "{:.1f} nats",
        "of a held-out grey image, which has no likelihood under Bernoulli pixels; lower is better",
    ),
    "test/nll": ("−log p(x)", "{:.1f} nats", "of a held-out image, exactly; lower is better"),
    "bits per dimension": ("bits per value", "{:.3f}", "−log₂ p(x) by the number of values; lower is better"),
    "total correlation, at most": (
        "total correlation",
        "≤ {:.2f} nats",
        "how much the latent dimensions depend on each other, at most; from the posteriors of up to 10,000 held-out "
        "images, and of no minibatch",
    ),
    "code kl": ("KL of the code", "{:.1f} nats", "how much a code says about its image"),
}
"""The held-out figures that are shown, the most telling first: name, format, and what it means."""


def progress(run: Run) -> None:
    """How far a run is, when it ends, or how it ended: one line with a bar."""
    info, beat = run.info, run.heartbeat()
    share = min(1.0, float(beat.get("progress", 0.0)))
    if info.status == "queued":
        st.progress(0.0, text=_place_in_line(queue().position(info.id)))
    elif info.status == "running":
        st.progress(share, text=_epochs_and_time_left(run))
    elif info.status in ("paused", "stopped"):
        state = "Paused" if info.status == "paused" else "Stopped early"
        st.progress(share, text=f"{state} at epoch {beat.get('epoch', 0.0):.1f} of {info.plan.epochs}")
        if info.reason:
            st.caption(escape_markdown(info.reason))
    elif info.status == "failed":
        st.markdown(f":red[Failed.] {escape_markdown(info.reason)}")


def _place_in_line(position: int | None) -> str:
    """position: in the queue, from 1; None once a worker has taken the run."""
    if not position:
        return "Starting …"
    return "Waiting: next in line." if position == 1 else f"Waiting: number {position} in line."


def _epochs_and_time_left(run: Run) -> str:
    beat = run.heartbeat()
    if float(beat.get("progress", 0.0)) >= 1:
        return "Measuring the trained model …"
    text = f"Epoch {beat.get('epoch', 0.0):.1f} of {run.info.plan.epochs}"
    left = float(beat.get("left", -1.0))  # seconds, when the heartbeat was written; −1 where it is not known yet
    if left < 0:
        return text
    return f"{text}, {duration(max(0.0, left - (time.time() - float(beat.get('time', 0.0)))))} left"


def figures(run: Run, most: int | None = None) -> list[tuple[str, str, str]]:
    """Held-out figures as (name, value with its unit, meaning), those of `FIGURES` in their order.

    most: at most so many.
    """
    metrics = likelihood.current_names(run.info.metrics, run.info.params)
    shown = [
        (label, form.format(metrics[key]).replace("-", "−"), meaning)
        for key, (label, form, meaning) in FIGURES.items()
        if key in metrics
    ]
    return shown[:most]


def facts(run: Run) -> str:
    """Model, data, size of the code and the time that the training took, in a line."""
    info = run.info
    parts = [run.entry.name, library.data_title(info.data)]
    if "code" in info.params:
        parts.append(f"d = {info.params['code']}")
    seconds = run.heartbeat().get("seconds")
    if seconds and info.status not in ("queued", "running"):
        parts.append(f"trained in {duration(float(seconds))}".replace(" ", "\u00a0"))
    return " · ".join(parts)


def strip(run: Run) -> bytes | None:
    """Two rows of ten pictures as PNG: samples where the model can sample, else originals over reconstructions.

    None where there is no preview yet.
    """
    steps = run.steps("preview")
    if not steps:
        return None
    file = run.path / "preview" / f"{steps[-1]}.png"
    try:
        return _strip(str(file), file.stat().st_mtime, "sample" in run.entry.abilities)
    except OSError:  # a resumed run has just dropped it, or it is half a file
        return None


@remember(max_entries=256)
def _strip(file: str, stamp: float, samples: bool) -> bytes:
    """stamp: when the file was written, so that a new one is read again."""
    with Image.open(file) as image:
        sheet = np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    side = (sheet.shape[1] + 2) // 10  # of a tile with the gap of 2 pixels that follows it
    rows = [sheet[k * side : k * side + side - 2] for k in range((sheet.shape[0] + 2) // side)]
    gap = np.full((2, *sheet.shape[1:]), 128, np.uint8)
    upper, lower = rows[-2:] if samples else (rows[0], rows[-1])
    picture = np.concatenate([upper, gap, lower])
    scale = max(1, round(900 / picture.shape[1]))
    return plots.png(picture.repeat(scale, 0).repeat(scale, 1))


def links(run: Run, icons: bool = True) -> None:
    """Links to the pages that this run's model can be opened on; call it inside a row."""
    if not library.has_weights(run):
        return
    for page in pages.for_run(run):
        pages.link(page.key, icon=None if icons else "", query=to_page(run=run.info.id))


def badges(run: Run) -> str:
    """Whose run it is, as small words in Markdown."""
    if run.pretrained:
        return ":blue-badge[pretrained]"
    return ":green-badge[yours]" if may_change(run) else ""
