"""Exhibit: how narrow may a code be, and what else keeps a net from copying (§1, §2)."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from aecore import Run, inference
from aecore.data.base import TensorSplit
from aecore.explore import examples
from aecore.explore.images import to_uint8
from aecore.measure import pca
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.cached import LOOKED_AT, error
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import held_out, label_of
from app.link import keep_pointer, recall_pointer
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors

TILES = 33


@cached.remember(max_entries=8)
def pca_errors(run: Run, sizes: tuple[int, ...]) -> np.ndarray:
    """Errors per pixel (S,) over held-out images of PCA with these many numbers."""
    data = library.data(run)
    found = pca.principal(data, max(sizes))
    x = inference.examples(data.test, inference.first(data.test, LOOKED_AT)).numpy()
    return np.array([float(np.square(x - found.reconstruct(x, size)).mean()) for size in sizes])


@cached.remember(max_entries=32)
def pca_pictures(run: Run, ids: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """(S, n, H, W[, 3])"""
    data = library.data(run)
    found = pca.principal(data, max(sizes))
    x = inference.examples(data.test, ids).numpy()
    return np.stack([to_uint8(found.reconstruct(x, size)) for size in sizes])


@cached.remember(max_entries=8)
def variance(run: Run) -> float:
    """Squared error per pixel of answering the mean image."""
    test = library.data(run).test
    x = inference.examples(test, inference.first(test, LOOKED_AT))
    return float((x - x.mean(0)).square().mean())


@cached.remember(max_entries=32)
def on_noise(run: Run, seed: int, n: int = 500) -> tuple[float, float, np.ndarray, np.ndarray]:
    """(error on noise, its variance per pixel, 8 noises, what comes back)."""
    noise = torch.rand(n, *run.info.shape, generator=torch.Generator().manual_seed(seed))
    x_hat = inference.autoencode(library.model(run), TensorSplit(noise), np.arange(n))
    spread = float((noise - noise.mean(0)).square().mean())
    return float(np.square(noise.numpy() - x_hat).mean()), spread, to_uint8(noise[:8].numpy()), to_uint8(x_hat[:8])


@cached.remember(max_entries=16)
def line(run: Run) -> tuple[np.ndarray, float, float]:
    """Pictures along the one unit, and its ends: all training codes but the outermost."""
    model, train = library.model(run), library.data(run).train
    z = examples.codes(model, train, examples.choose(train, 2000))[:, 0]
    low, high = np.quantile(z, [0.0, 1.0]) if len(z) < 100 else np.quantile(z, [0.005, 0.995])
    grid = np.linspace(low, high, 4 * TILES, dtype=np.float32)[:, None]
    return to_uint8(inference.decode(model, grid)), float(low), float(high)


def page() -> None:
    sweep = exhibit.opening(
        "Bottleneck",
        "An autoencoder may pass on only so many numbers. **How much of an image survives**, and what does a net do that "
        "a straight line, PCA, can’t?",
        "bottleneck",
    )
    runs = {int(value): run for value, run in zip(sweep.values, sweep.runs, strict=True)}
    sizes = tuple(runs)
    some = next(iter(runs.values()))
    test = held_out(some)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        example = layout.number("Number of the image", len(test) - 2, "bottleneck.image", width=200)
    ids = (example, example + 1)
    ours = [cached.reconstructions(run, ids) for run in runs.values()]
    theirs = pca_pictures(some, ids, sizes)
    originals = cached.images(some, ids)
    rows = []
    for k, i in enumerate(ids):
        rows.append((f"original, {label_of(some, i)}", np.stack([originals[k]] * len(sizes))))
        rows.append(("deep", np.stack([pictures[k] for pictures in ours])))
        rows.append(("PCA", theirs[:, k]))
    contact(
        rows,
        key="bottleneck.sheet",
        captions=[f"d = {size}" for size in sizes],
        tile=84,
        alt="Two images, and what comes back through codes of each size from the deep net and from PCA",
    )
    errors = pca_errors(some, sizes)
    deep = np.array([error(run) for run in runs.values()])
    made = empty_figure(400, "size of the code d", "squared error per pixel")
    for name, values, colour in (("deep", deep, LINES[0]), ("PCA", errors, LINES[1])):
        made.add_scatter(
            x=sizes,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 3},
            marker={"size": 11},
            hovertemplate="%{y:.4f}",
        )
    made.add_hline(
        y=variance(some), line={"dash": "dot", "color": plots.INK}, annotation_text="the mean image: 0 numbers"
    )
    made.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])
    made.update_yaxes(rangemode="tozero")
    show_figure(made, "bottleneck.curve", "Error against size of the code: deep below PCA at small sizes, both falling")
    st.caption(
        f"Over {min(LOOKED_AT, len(test)):,} held-out images. PCA is fitted here and now to the training "
        "images that the page has; the nets have two hidden layers of 80 units on each side."
    )
    st.latex(
        plots.equation(
            r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\lVert x - B(A(x)) \rVert^2},\qquad A: \mathbb{R}^{784} \to \mathbb{R}^d"
        )
    )
    best = int(np.argmax(errors / deep))
    key_figures(
        [
            (f"deep, d = {sizes[best]}", f"{deep[best]:.4f}", "squared error per pixel", LINES[0]),
            (
                f"PCA, d = {sizes[best]}",
                f"{errors[best]:.4f}",
                f"{errors[best] / deep[best]:.2f} times that of the deep net",
                LINES[1],
            ),
        ]
    )
    download_row(
        "bottleneck",
        {"d": sizes, "deep": deep, "PCA": errors},
        """
from aecore.runs import sweeps
from aecore.measure import pca

found = sweeps.sweep("bottleneck")
for size, run in zip(found.values, found.runs):
    print(size, run.info.metrics["mse"], pca.pca_mse(run.data(), size))
""",
        "bottleneck",
        lambda: plots.png(contact_sheet(np.concatenate([images for _, images in rows]), len(sizes))),
    )
    train_sweep.train("bottleneck")

    st.header("One number can remember", anchor=False)
    st.markdown(
        "A code of a **single unit**, and nets that saw few images, more, and many. Drag along the line: with 32 images, "
        "each has a place of its own, and nothing lies between."
    )
    memory = exhibit.trained("memory")

    panes = []
    for value, run in zip(memory.values, memory.runs, strict=True):
        tiles, low, high = line(run)
        panes.append(Pane(str(value), tiles[None, None], (low, high, 0, 1)))
    state = planes(
        panes,
        key="bottleneck.line",
        axes=("z", ""),
        state=recall_pointer("bottleneck.at"),
        alt="What each net paints along its one unit",
    )
    keep_pointer("bottleneck.at", state)
    key_figures(
        [
            (
                f"{value}",
                f"{error(run, 'train'):.4f} seen, {error(run):.4f} unseen",
                f"squared error per pixel; the mean image has {variance(run):.4f}",
                "",
            )
            for value, run in zip(memory.values, memory.runs, strict=True)
        ]
    )
    train_sweep.train("memory")

    st.header("More units than pixels", anchor=False)
    st.markdown(
        "256 units for 144 pixels: nothing forces the net to find a structure. Does it copy **everything**, noise too? "
        "Four nets, one without and three with a regularizer."
    )
    identity = exhibit.trained("identity")

    @st.fragment
    @plain_errors()
    def copied() -> None:
        """Digits and noise through the four nets."""
        seed = layout.number("Seed of the noise", 999, "bottleneck.noise", width=200)

        first = identity.runs[0]
        eight = tuple(range(8))
        before = np.concatenate([cached.images(first, eight), on_noise(first, seed)[2]])
        rows = [("input", before)]
        for value, run in zip(identity.values, identity.runs, strict=True):
            rows.append((str(value), np.concatenate([cached.reconstructions(run, eight), on_noise(run, seed)[3]])))
        contact(
            rows, key="bottleneck.identity", tile=64, alt="Digits and noise, and what four overcomplete nets give back"
        )
        table = {
            "regularizer": [str(value) for value in identity.values],
            "error on digits": [f"{error(run):.5f}" for run in identity.runs],
            "as a share of their variance": [f"{100 * error(run) / variance(run):.1f} %" for run in identity.runs],
            "error on noise": [f"{on_noise(run, seed)[0]:.4f}" for run in identity.runs],
            "as a share of its variance ": [
                f"{100 * on_noise(run, seed)[0] / on_noise(run, seed)[1]:.0f} %" for run in identity.runs
            ],
        }
        st.dataframe(table, hide_index=True, width="stretch")

    copied()
    train_sweep.train("identity")
    with st.expander("What to look for"):
        st.markdown(
            "- **Few units**: the deep net bends its sheet of images through the data, PCA has a flat one. At two to "
            "sixteen numbers it needs less for the same picture; with many, both keep nearly all.\n"
            "- **One unit**: “even a one-node bottleneck can overfit”: 32 images lie like beads on the line, and an "
            "unseen image comes back as one of them. With 10,000 images the line can only be a walk through averages.\n"
            "- **Noise**: a net that copies digits to a few per mille does **not** copy noise: above 100 % it is worse "
            "than answering plain grey. It has learnt the identity where the data are, not everywhere."
        )
    with st.expander("Why"):
        st.markdown(
            "A linear autoencoder’s best code spans the first d principal components (Baldi & Hornik, 1989), so PCA is the "
            "yardstick: what is below its curve was gained by bending. The chapter warns of the two ways to learn nothing: "
            "memorising through a code however narrow, and copying through one that is wide (§1, §2). A linear net on data "
            "that fill the space does become the identity; a net of ReLUs on digits stays close to their sheet. "
            "Sections 1 and 2; Plaut (2018), arXiv:1804.10253."
        )
