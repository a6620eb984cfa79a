"""Exhibit: trained layer by layer, or as a whole (§1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run
from aecore.explore import layerwise
from aecore.explore.images import to_uint8
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import DOTTED, LINES, contact_sheet, model_lines, show_figure
from app.panels import exhibit, train_sweep
from app.panels.downloads import download_row
from app.state import Choice, Number

SWEEP, STACKED, WHOLE = "layers", "layer by layer", "end to end"
"""The sweep, and its two values."""
LIMIT = 500  # held-out images over which errors are taken
SHOWN = 12  # images on the sheet

SNIPPET = """
from aecore.runs import sweeps
from aecore.explore import layerwise

run = sweeps.sweep("layers").runs[0]
test = run.data().test
for step in run.steps("snapshots"):
    model = run.model(step)
    print(step, [layerwise.error(model, test, k, 500) for k in range(1, model.layers + 1)])
"""


class State:
    """The moment of the training, and the choice of images."""

    step = Choice[str]("layers.step")
    seed = Number("layers.seed", 0, 9999)


class Training(NamedTuple):
    """A stack at several moments of its training.

    layers: how many.  total: epochs of the whole training.
    steps: of the snapshots, None for the weights at the end.  epochs: of each of these.
    """

    run: Run
    layers: int
    total: int
    steps: list[int | None]
    epochs: list[float]

    @property
    def names(self) -> list[str]:
        """What the slider calls each moment."""
        return [
            "the end" if step is None else f"{epoch:.1f}" for step, epoch in zip(self.steps, self.epochs, strict=True)
        ]


@cached.remember(max_entries=256)
def pictures_through(run: Run, step: int | None, ids: tuple[int, ...], depth: int) -> np.ndarray:
    """uint8 (n, H, W[, 3]): held-out images, reconstructed through the first `depth` layers."""
    return to_uint8(layerwise.through(library.model(run, step), library.data(run).test, np.array(ids), depth))


@cached.remember(max_entries=256)
def error_through(run: Run, step: int | None, depth: int) -> float:
    """Squared error per pixel through the first `depth` layers, over held-out images."""
    return layerwise.error(library.model(run, step), library.data(run).test, depth, LIMIT)


def page() -> None:
    sweep = exhibit.opening(
        "Layer by layer",
        "Before deep networks could be trained as a whole, each layer first learnt to restore **the layer below "
        "it**. Step through the training and see what comes through the layers at each moment.",
        SWEEP,
    )
    runs = dict(zip(sweep.values, sweep.runs, strict=True))
    training = training_of(runs.get(STACKED, sweep.runs[0]))
    whole = runs.get(WHOLE, sweep.runs[-1])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        names = training.names
        name = State.step.given(options=names, default=names[-1]).slider("After epoch", width=420)
        seed = State.seed.number("Seed of the choice", width=200)
    moment = names.index(name)
    sheet = show_moment(training, moment, whole, seed)

    st.header("Through the training", anchor=False)
    errors = {
        depth: [error_through(training.run, step, depth) for step in training.steps]
        for depth in range(1, training.layers + 1)
    }
    show_figure(
        error_figure(training.epochs, errors, error_of_whole(whole)),
        "layers.curve",
        "Error through one, two and all layers over the epochs",
    )
    download_row(
        "layer-by-layer",
        {
            "epoch": [round(epoch, 2) for epoch in training.epochs],
            **{f"through {depth}": values for depth, values in errors.items()},
        },
        SNIPPET,
        "layers",
        lambda: plots.png(contact_sheet(sheet, SHOWN)),
    )
    train_sweep.train(SWEEP)
    show_explanations()


def training_of(run: Run) -> Training:
    """The moments at which a stack can be shown: its snapshots and, unless the last of them is that, the end."""
    total = run.info.plan.epochs
    steps_per_epoch = max(1, max((row["step"] for row in run.rows()[0]), default=1)) / total
    steps: list[int | None] = [*run.steps("snapshots")]
    if not steps or (steps[-1] or 0) < steps_per_epoch * total:
        steps.append(None)
    epochs = [total if step is None else step / steps_per_epoch for step in steps]
    return Training(run, layerwise.layers_of(library.model(run)), total, steps, epochs)


def error_of_whole(run: Run) -> float:
    """Squared error per pixel through all layers at the end of the training."""
    return error_through(run, None, layerwise.layers_of(library.model(run)))


def show_moment(training: Training, moment: int, whole: Run, seed: int) -> np.ndarray:
    """What comes through one layer, two and all at one moment; returns all pictures in the order of the sheet."""
    run, step = training.run, training.steps[moment]
    progress = min(training.epochs[moment] / training.total, 1.0) - 1e-9
    layer = layerwise.layer_in_training(library.model(run), progress)
    learner = "all layers as one" if layer is None else f"layer {layer} alone"
    st.markdown(f"Epoch **{training.names[moment]}** of {training.total}: **{learner}** learnt here.")
    ids = tuple(cached.choice(run, SHOWN, seed).tolist())
    depths = range(1, training.layers + 1)
    rows = [("original", cached.images(run, ids))]
    rows += [(through_layers(depth), pictures_through(run, step, ids, depth)) for depth in depths]
    rows.append(("end to end", pictures_through(whole, None, ids, layerwise.layers_of(library.model(whole)))))
    contact(rows, key="layers.sheet", tile=64, alt="Images, and what comes back through one layer, two, and all")
    st.latex(
        plots.equation(
            r"\text{layer } k\colon\ \min_{A_k, B_k} \term{stage}{\Delta(h_{k-1}, B_k(A_k(\tilde h_{k-1})))},\qquad "
            r"\text{whole}\colon\ \min_{A, B} \term{recon}{\Delta(x, B_1(\cdots A_1(x)))}"
        )
    )
    figures = [
        (through_layers(depth), f"{error_through(run, step, depth):.4f}", "squared error per pixel", LINES[depth - 1])
        for depth in depths
    ]
    key_figures([*figures, ("end to end", f"{error_of_whole(whole):.4f}", "trained as one from the start", "")])
    return np.concatenate([images for _, images in rows])


def through_layers(depth: int) -> str:
    return f"through {depth} layer{'s' * (depth > 1)}"


def error_figure(epochs: list[float], errors: Mapping[int, list[float]], of_whole: float) -> go.Figure:
    """Squared error per pixel against the epoch, a line for each number of layers.  of_whole: a horizontal line."""
    curves = {through_layers(depth): values for depth, values in errors.items()}
    figure = model_lines(epochs, curves, ("epoch", "squared error per pixel"))
    figure.add_hline(y=of_whole, line=DOTTED, annotation_text="end to end")
    return figure.update_yaxes(rangemode="tozero")


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **The first layer alone** restores images nearly at once: it has many units, and the way through it is "
            "short.\n"
            "- **Deeper layers** restore codes, not pixels. What they lose of h is seen through the decoders of all "
            "layers below.\n"
            "- **Fine-tuning** improves the whole and spoils its parts, since the layers now serve only the "
            "reconstruction at the end.\n"
            "- **End to end** needs no stages here. With ReLUs and Adam, training layer by layer is history, as the "
            "chapter says."
        )
    with st.expander("Why"):
        st.markdown(
            "Gradients through many sigmoids vanish. Therefore each layer was first trained as an autoencoder of the "
            "layer below it, while all layers below were held fixed. There are two kinds: denoising ones (here values "
            "are erased) and convolutional ones. Section 1; Vincent et al. (2010), JMLR 11:3371; Masci et al. (2011)."
        )
