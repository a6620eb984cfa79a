"""Exhibit: how narrow may a code be, and what else keeps a net from copying (§1, §2)."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from aecore import Run
from aecore.data.base import Given
from aecore.explore import codes
from aecore.explore.pictures import to_uint8
from aecore.measure import baseline, passing
from app import comparison, exhibits, looks, plots, seen, shelf
from app.browser import Pane, planes
from app.browser.contact import contact

TILES = 33

sweep = exhibits.opening(
    "Bottleneck",
    "An autoencoder may pass on only so many numbers. **How much of an image survives**, and what does a net do that "
    "a straight line, PCA, can’t?",
    "bottleneck",
)
runs = {int(value): run for value, run in zip(sweep.values, sweep.runs, strict=True)}
sizes = tuple(runs)
some = next(iter(runs.values()))
test = looks.split(some)


@seen.remember(max_entries=8)
def pca_errors(run: Run, sizes: tuple[int, ...]) -> np.ndarray:
    """Errors per pixel (S,) over held-out images of PCA with these many numbers."""
    data = shelf.data(run)
    found = baseline.principal(data, max(sizes))
    x = passing.examples(data.test, passing.first(data.test, exhibits.LOOKED_AT)).numpy()
    return np.array([float(np.square(x - found.reconstruct(x, size)).mean()) for size in sizes])


@seen.remember(max_entries=32)
def pca_pictures(run: Run, ids: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """(S, n, H, W[, 3])"""
    data = shelf.data(run)
    found = baseline.principal(data, max(sizes))
    x = passing.examples(data.test, ids).numpy()
    return np.stack([to_uint8(found.reconstruct(x, size)) for size in sizes])


@seen.remember(max_entries=8)
def variance(run: Run) -> float:
    """Squared error per pixel of answering the mean image."""
    test = shelf.data(run).test
    x = passing.examples(test, passing.first(test, exhibits.LOOKED_AT))
    return float((x - x.mean(0)).square().mean())


@seen.remember(max_entries=32)
def on_noise(run: Run, seed: int, n: int = 500) -> tuple[float, float, np.ndarray, np.ndarray]:
    """(error on noise, its variance per pixel, 8 noises, what comes back)."""
    noise = torch.rand(n, *run.info.shape, generator=torch.Generator().manual_seed(seed))
    x_hat = passing.autoencode(shelf.model(run), Given(noise), np.arange(n))
    spread = float((noise - noise.mean(0)).square().mean())
    return float(np.square(noise.numpy() - x_hat).mean()), spread, to_uint8(noise[:8].numpy()), to_uint8(x_hat[:8])


with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
    example = looks.number("Number of the image", len(test) - 2, "bottleneck.image", width=200)
ids = (example, example + 1)
ours = [seen.reconstructions(run, ids) for run in runs.values()]
theirs = pca_pictures(some, ids, sizes)
originals = seen.images(some, ids)
rows = []
for k, i in enumerate(ids):
    rows.append((f"original, {looks.label_of(some, i)}", np.stack([originals[k]] * len(sizes))))
    rows.append(("deep", np.stack([pictures[k] for pictures in ours])))
    rows.append(("PCA", theirs[:, k]))
contact(rows, key="bottleneck.sheet", captions=[f"d = {size}" for size in sizes], tile=84,
        alt="Two images, and what comes back through codes of each size from the deep net and from PCA")  # fmt: skip
errors = pca_errors(some, sizes)
deep = np.array([exhibits.error(run) for run in runs.values()])
made = exhibits.figure(400, "size of the code d", "squared error per pixel")
for name, values, colour in (("deep", deep, exhibits.LINES[0]), ("PCA", errors, exhibits.LINES[1])):
    made.add_scatter(x=sizes, y=values, name=name, mode="lines+markers", line={"color": colour, "width": 3},
                     marker={"size": 11}, hovertemplate="%{y:.4f}")  # fmt: skip
made.add_hline(y=variance(some), line={"dash": "dot", "color": plots.INK}, annotation_text="the mean image: 0 numbers")
made.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])
made.update_yaxes(rangemode="tozero")
exhibits.show(made, "bottleneck.curve", "Error against size of the code: deep below PCA at small sizes, both falling")
st.caption(
    f"Over {min(exhibits.LOOKED_AT, len(test)):,} held-out images. PCA is fitted here and now to the training "
    "images that the page has; the nets have two hidden layers of 80 units on each side."
)
st.latex(plots.equation(
    r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\lVert x - B(A(x)) \rVert^2},\qquad A: \mathbb{R}^{784} \to \mathbb{R}^d"
))  # fmt: skip
best = int(np.argmax(errors / deep))
looks.numbers([
    (f"deep, d = {sizes[best]}", f"{deep[best]:.4f}", "squared error per pixel", exhibits.LINES[0]),
    (f"PCA, d = {sizes[best]}", f"{errors[best]:.4f}", f"{errors[best] / deep[best]:.2f} times that of the deep net",
     exhibits.LINES[1]),
])  # fmt: skip
exhibits.take_home(
    "bottleneck", {"d": sizes, "deep": deep, "PCA": errors},
    """
from aecore import sweeps
from aecore.measure import baseline

found = sweeps.sweep("bottleneck")
for size, run in zip(found.values, found.runs):
    print(size, run.info.metrics["mse"], baseline.pca_mse(run.data(), size))
""",
    "bottleneck", lambda: plots.png(looks.sheet(np.concatenate([images for _, images in rows]), len(sizes))),
)  # fmt: skip
comparison.train("bottleneck")

st.header("One number can remember", anchor=False)
st.markdown(
    "A code of a **single unit**, and nets that saw few images, more, and many. Drag along the line: with 32 images, "
    "each has a place of its own, and nothing lies between."
)
memory = exhibits.trained("memory")


@seen.remember(max_entries=16)
def line(run: Run) -> tuple[np.ndarray, float, float]:
    """Pictures along the one unit, and its ends: all training codes but the outermost."""
    model, train = shelf.model(run), shelf.data(run).train
    z = codes.codes(model, train, codes.choose(train, 2000))[:, 0]
    low, high = np.quantile(z, [0.0, 1.0]) if len(z) < 100 else np.quantile(z, [0.005, 0.995])
    grid = np.linspace(low, high, 4 * TILES, dtype=np.float32)[:, None]
    return to_uint8(passing.decode(model, grid)), float(low), float(high)


panes = []
for value, run in zip(memory.values, memory.runs, strict=True):
    tiles, low, high = line(run)
    panes.append(Pane(str(value), tiles[None, None], (low, high, 0, 1)))
state = planes(panes, key="bottleneck.line", axes=("z", ""), state=exhibits.recall("bottleneck.at"),
               alt="What each net paints along its one unit")  # fmt: skip
exhibits.keep("bottleneck.at", state)
looks.numbers([
    (f"{value}", f"{exhibits.error(run, 'train'):.4f} seen, {exhibits.error(run):.4f} unseen",
     f"squared error per pixel; the mean image has {variance(run):.4f}", "")
    for value, run in zip(memory.values, memory.runs, strict=True)
])  # fmt: skip
comparison.train("memory")

st.header("More units than pixels", anchor=False)
st.markdown(
    "256 units for 144 pixels: nothing forces the net to find a structure. Does it copy **everything**, noise too? "
    "Four nets, one without and three with a regularizer."
)
identity = exhibits.trained("identity")


@st.fragment
@shelf.plain_errors()
def copied() -> None:
    """Digits and noise through the four nets."""
    seed = looks.number("Seed of the noise", 999, "bottleneck.noise", width=200)

    first = identity.runs[0]
    eight = tuple(range(8))
    before = np.concatenate([seen.images(first, eight), on_noise(first, seed)[2]])
    rows = [("input", before)]
    for value, run in zip(identity.values, identity.runs, strict=True):
        rows.append((str(value), np.concatenate([seen.reconstructions(run, eight), on_noise(run, seed)[3]])))
    contact(rows, key="bottleneck.identity", tile=64, alt="Digits and noise, and what four overcomplete nets give back")
    table = {
        "regularizer": [str(value) for value in identity.values],
        "error on digits": [f"{exhibits.error(run):.5f}" for run in identity.runs],
        "as a share of their variance": [f"{100 * exhibits.error(run) / variance(run):.1f} %" for run in identity.runs],
        "error on noise": [f"{on_noise(run, seed)[0]:.4f}" for run in identity.runs],
        "as a share of its variance ": [f"{100 * on_noise(run, seed)[0] / on_noise(run, seed)[1]:.0f} %"
                                       for run in identity.runs],
    }  # fmt: skip
    st.dataframe(table, hide_index=True, width="stretch")


copied()
comparison.train("identity")
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
