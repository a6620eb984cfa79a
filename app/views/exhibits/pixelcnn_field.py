"""A section of the page PixelCNN: the receptive field of one pixel by gradients, beside that of masked filters."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.explore import autoregressive
from app import cached, library
from app.library import held_out
from app.panels import layout
from app.session import plain_errors
from app.state import Choice, Number
from app.views.exhibits.pixelcnn_subject import GREEN, RED, Subject, blend

ABOVE, ANOTHER = "where the drawing above stands", "another"
YELLOW = (245, 200, 40)
AVERAGED, AVERAGED_FOR_ALL = 8, 4  # held-out images over which gradients are averaged, for one pixel and for many
FAINTEST, FAINTEST_FOR_ALL = 0.12, 0.15  # strengths of the smallest gradient that is shown


class State:
    """The pixel whose receptive field is shown."""

    which = Choice("pixelcnn.which", (ABOVE, ANOTHER))
    row = Number("pixelcnn.row", 0)
    column = Number("pixelcnn.column", 0)


@cached.remember(max_entries=16)
def images(run: Run) -> np.ndarray:
    """A few held-out images (n, C, H, W), of values that the model knows."""
    test = held_out(run)
    examples = inference.examples(test, inference.first(test, AVERAGED)).numpy()
    return autoregressive.quantize(library.model(run), examples)


@cached.remember(max_entries=256)
def saliency(run: Run, row: int, column: int) -> np.ndarray:
    """Mean absolute gradient of a pixel's distribution with respect to each pixel, (H, W)."""
    model = library.model(run)
    return autoregressive.saliency(model, row, column, images(run), 0 if model.classes else None)


@cached.remember(max_entries=8)
def influence(run: Run) -> np.ndarray:
    """How much a pixel at an offset influences another one, (2H − 1, 2W − 1) from 0 to 1, as `log_strength`."""
    model = library.model(run)
    gradients = autoregressive.receptive_field(model, images(run)[:AVERAGED_FOR_ALL], 0 if model.classes else None)
    return log_strength(gradients, FAINTEST_FOR_ALL).astype(np.float32)


def log_strength(gradients: np.ndarray, faintest: float) -> np.ndarray:
    """Absolute gradients on a logarithmic scale: 1 for the largest, ¼ less for a tenth of it, but at least `faintest`.

    A gradient of 0 stays 0.
    """
    strength = 1 + np.log10(gradients / max(gradients.max(), 1e-12) + 1e-9) / 4
    return np.where(gradients > 0, np.clip(strength, faintest, 1), 0)


@st.fragment
@plain_errors()
def show_receptive_field(subject: Subject, row: int, column: int) -> None:
    """What one pixel depends on.  row, column: of the pixel that is drawn next in the drawing above."""
    run = subject.run
    height, width = run.info.shape[1:]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if State.which.option("Pixel") == ANOTHER:
            row = State.row.given(most=height - 1, default=height // 2).slider("Row", width=300)
            column = State.column.given(most=width - 1, default=width // 2).slider("Column", width=300)
        else:
            st.caption(f"Row {row}, column {column}: click any pixel of the large image above to ask about it.")
    gradients, layers = saliency(run, row, column), int(run.info.params["layers"])
    convolutional = subject.model.convolutional
    by_gradients, all_seen, *by_masks = st.columns(3 if convolutional else 2, gap="large")
    with by_gradients:
        layout.picture(
            marked(log_strength(gradients, FAINTEST), row, column),
            "how much this pixel depends on each other one: gradients, darker is more",
            "Receptive field by gradients",
        )
    with all_seen:
        layout.picture(
            marked((gradients > 0).astype(float), row, column),
            f"all pixels that it sees: {int((gradients > 0).sum())}",
            "All pixels that it sees",
        )
    for place in by_masks:
        with place:
            picture = beside_masks(subject, gradients, layers, row, column)
            layout.picture(picture, f"{layers} masked layers alone: red is their blind spot", "The blind spot")
    if convolutional:
        network = (
            "This model has two stacks, one for the rows above and one for the row itself, and so it has no blind "
            "spot; masked filters alone have one."
        )
    else:
        network = (
            "Row LSTMs pass a state down from row to row, and each looks one pixel to both sides, so that the pixel "
            "sees a triangle that reaches up to the first row. What lies beside the triangle stays unseen: this "
            "model’s own blind spot."
        )
    st.caption(f"Pixels that come later in the order of drawing have a gradient of exactly zero. {network}")


def marked(strength: np.ndarray, row: int, column: int) -> np.ndarray:
    """Strengths (H, W) from 0 to 1 as green on grey, the pixel itself yellow: uint8 (H, W, 3)."""
    picture = blend(strength, GREEN)
    picture[row, column] = YELLOW
    return picture


def beside_masks(subject: Subject, gradients: np.ndarray, layers: int, row: int, column: int) -> np.ndarray:
    """What masked filters alone would see in green, and in red what only this model sees: uint8 (H, W, 3)."""
    seen, blind = autoregressive.beside_masks(subject.model, layers, row, column)
    picture = marked(seen.astype(float), row, column)
    picture[blind & (gradients > 0)] = RED
    return picture
