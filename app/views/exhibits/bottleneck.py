"""Exhibit: how small may a code be, and what else keeps a network from copying (§1, §2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run
from aecore.explore import code_planes, copying
from aecore.explore.images import to_uint8
from aecore.measure import pca, pixel_error
from aecore.runs.sweeps import Sweep
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import DOTTED, LINES, contact_sheet, model_lines, show_figure
from app.library import held_out, label_of
from app.panels import exhibit, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Number, Point

SIZES, MEMORY, IDENTITY = "bottleneck", "memory", "identity"
"""Sweeps: sizes of the code; numbers of training images for a code of one number; codes larger than the image."""
TILES = 132  # along the line
ON_NOISE = 8  # images and noises that are shown

SNIPPET = """
from aecore.runs import sweeps
from aecore.measure import pca

sweep = sweeps.sweep("bottleneck")
for size, run in zip(sweep.values, sweep.runs):
    print(size, run.info.metrics["mse"], pca.pca_mse(run.data(), size))
"""


class State:
    """The two images, the place on the line, and the noise."""

    image = Number("bottleneck.image", 0)
    at = Point("bottleneck.at")
    noise = Number("bottleneck.noise", 0, 999)


@cached.remember(max_entries=8)
def pca_errors(run: Run, sizes: tuple[int, ...]) -> np.ndarray:
    """(S,) squared error per pixel of PCA over held-out images, for each number of components."""
    return pca.errors(library.data(run), sizes, cached.LOOKED_AT)


@cached.remember(max_entries=32)
def pca_pictures(run: Run, ids: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """uint8 (S, n, H, W[, 3]): held-out images, reconstructed by PCA from each number of components."""
    return np.stack([to_uint8(pictures) for pictures in pca.reconstructions(library.data(run), ids, sizes)])


@cached.remember(max_entries=8)
def variance(run: Run) -> float:
    """Squared error per pixel where every answer is the mean image."""
    return pixel_error.of_the_mean(library.data(run).test, cached.LOOKED_AT)


@cached.remember(max_entries=32)
def noise_answers(run: Run, seed: int) -> copying.NoiseAnswers:
    """What the model gives back for noise."""
    return copying.noise_answers(library.model(run), seed)


@cached.remember(max_entries=16)
def line(run: Run) -> code_planes.Line:
    """What the model decodes along its one latent dimension."""
    return code_planes.line(library.model(run), library.data(run).train, TILES)


def page() -> None:
    sweep = exhibit.opening(
        "Bottleneck",
        "An autoencoder may pass on only so many numbers. **How much of an image survives**, and what can a deep "
        "network do that PCA, a linear map, cannot?",
        SIZES,
    )
    run = sweep.runs[0]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        example = State.image.given(most=len(held_out(run)) - 2).number("Number of the image", width=200)
    rows = show_pictures(sweep, (example, example + 1))
    show_errors(sweep, rows)
    train_sweep.train(SIZES)

    st.header("One number can remember", anchor=False)
    st.markdown(
        "Three networks have a code of a **single number**; they have seen few images, more, and many. Drag along the "
        "line: after training on 32 images, each of these has a place of its own, and nothing lies between them."
    )
    show_line(exhibit.trained(MEMORY))
    train_sweep.train(MEMORY)

    st.header("More latent dimensions than pixels", anchor=False)
    st.markdown(
        "With 256 latent dimensions for 144 pixels, nothing forces the network to find a structure. Does it copy "
        "**everything**, noise too? Here are four networks, one without and three with a regularizer."
    )
    show_copies(exhibit.trained(IDENTITY))
    train_sweep.train(IDENTITY)
    show_explanations()


def show_pictures(sweep: Sweep, ids: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    """Two images, and what comes back from codes of each size; returns the rows of the sheet."""
    run, sizes = sweep.runs[0], sizes_of(sweep)
    deep = [cached.reconstructions(run, ids) for run in sweep.runs]
    linear, originals = pca_pictures(run, ids, sizes), cached.images(run, ids)
    rows = []
    for k, i in enumerate(ids):
        rows.append((f"original, {label_of(run, i)}", np.stack([originals[k]] * len(sizes))))
        rows.append(("deep", np.stack([pictures[k] for pictures in deep])))
        rows.append(("PCA", linear[:, k]))
    contact(
        rows,
        key="bottleneck.sheet",
        captions=[f"d = {size}" for size in sizes],
        tile=84,
        alt="Two images, and what comes back through codes of each size from the deep network and from PCA",
    )
    return rows


def show_errors(sweep: Sweep, rows: Sequence[tuple[str, np.ndarray]]) -> None:
    """The error against the size of the code, and what can be downloaded.  rows: of the sheet of pictures."""
    run, sizes = sweep.runs[0], sizes_of(sweep)
    linear = pca_errors(run, sizes)
    deep = np.array([cached.error(run) for run in sweep.runs])
    show_figure(
        error_figure(sizes, {"deep": deep, "PCA": linear}, variance(run)),
        "bottleneck.curve",
        "Error against size of the code: deep below PCA at small sizes, both falling",
    )
    st.caption(
        f"Over {min(cached.LOOKED_AT, len(held_out(run))):,} held-out images. PCA is fitted here and now to the "
        "training images that the page has; the networks have two hidden layers of 80 units on each side."
    )
    st.latex(
        plots.equation(
            r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\lVert x - B(A(x)) \rVert^2},"
            r"\qquad A: \mathbb{R}^{784} \to \mathbb{R}^d"
        )
    )
    best = int(np.argmax(linear / deep))
    ratio = f"{linear[best] / deep[best]:.2f} times that of the deep network"
    key_figures(
        [
            (f"deep, d = {sizes[best]}", f"{deep[best]:.4f}", "squared error per pixel", LINES[0]),
            (f"PCA, d = {sizes[best]}", f"{linear[best]:.4f}", ratio, LINES[1]),
        ]
    )
    download_row(
        "bottleneck",
        {"d": sizes, "deep": deep, "PCA": linear},
        SNIPPET,
        "bottleneck",
        lambda: plots.png(contact_sheet(np.concatenate([images for _, images in rows]), len(sizes))),
    )


def error_figure(sizes: Sequence[int], errors: dict[str, np.ndarray], of_the_mean: float) -> go.Figure:
    """Squared error per pixel against the size of the code, a line for each method, and the error of the mean image."""
    titles = "size of the code d", "squared error per pixel"
    figure = model_lines(sizes, errors, titles, 400, marker_size=11)
    figure.add_hline(y=of_the_mean, line=DOTTED, annotation_text="the mean image: 0 numbers")
    figure.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])
    return figure.update_yaxes(rangemode="tozero")


def sizes_of(sweep: Sweep) -> tuple[int, ...]:
    """The sizes of the codes in a sweep."""
    return tuple(int(value) for value in sweep.values)


def show_line(memory: Sweep) -> None:
    """What each network decodes along its one latent dimension, and its errors on seen and unseen images."""
    panes = []
    for value, run in zip(memory.values, memory.runs, strict=True):
        tiles, low, high = line(run)
        panes.append(Pane(str(value), tiles[None, None], (low, high, 0, 1)))
    pointer = planes(
        panes,
        key="bottleneck.line",
        axes=("z", ""),
        state=State.at.get(),
        alt="What each network decodes along its one latent dimension",
    )
    State.at.put(pointer)
    key_figures(
        [
            (
                str(value),
                f"{cached.error(run, 'train'):.4f} seen, {cached.error(run):.4f} unseen",
                f"squared error per pixel; the mean image has {variance(run):.4f}",
                "",
            )
            for value, run in zip(memory.values, memory.runs, strict=True)
        ]
    )


@st.fragment
@plain_errors()
def show_copies(identity: Sweep) -> None:
    """Images and noise through networks whose codes are larger than the image."""
    seed = State.noise.number("Seed of the noise", width=200)
    ids = tuple(range(ON_NOISE))
    noise = [noise_answers(run, seed) for run in identity.runs]
    rows = [("input", np.concatenate([cached.images(identity.runs[0], ids), noise[0].noises]))]
    for value, run, answer in zip(identity.values, identity.runs, noise, strict=True):
        rows.append((str(value), np.concatenate([cached.reconstructions(run, ids), answer.answers])))
    contact(
        rows, key="bottleneck.identity", tile=64, alt="Digits and noise, and what four overcomplete networks give back"
    )
    errors = [cached.error(run) for run in identity.runs]
    shares = [error / variance(run) for error, run in zip(errors, identity.runs, strict=True)]
    table = {
        "regularizer": [str(value) for value in identity.values],
        "error on digits": [f"{error:.5f}" for error in errors],
        "as a share of their variance": [f"{100 * share:.1f} %" for share in shares],
        "error on noise": [f"{answer.error:.4f}" for answer in noise],
        "as a share of its variance ": [f"{100 * answer.error / answer.variance:.0f} %" for answer in noise],
    }
    st.dataframe(table, hide_index=True, width="stretch")


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Small codes**: the deep network can bend its surface of images through the data; that of PCA is flat. "
            "With two to sixteen numbers the deep network therefore has a smaller error. With many, both keep nearly "
            "everything.\n"
            "- **One number**: “even a one-node bottleneck can overfit”. The 32 images lie like beads on the line, and "
            "an unseen image comes back as one of them. With 10,000 images, the line can only pass through averages.\n"
            "- **Noise**: a network that copies digits with an error of a few per mille does **not** copy noise. Above "
            "100 % it is worse than an answer of plain grey. It has learnt the identity where the data are, not "
            "everywhere."
        )
    with st.expander("Why"):
        st.markdown(
            "The best code of a linear autoencoder spans the first d principal components (Baldi & Hornik, 1989). PCA "
            "is therefore the yardstick: what lies below its curve was gained by bending. The chapter warns of two "
            "ways to learn nothing: to memorise through a code however small, and to copy through a large one (§1, "
            "§2). A linear network on data that fill the space does become the identity; a network of ReLUs on digits "
            "stays close to the surface on which they lie. Sections 1 and 2; Plaut (2018), arXiv:1804.10253."
        )
