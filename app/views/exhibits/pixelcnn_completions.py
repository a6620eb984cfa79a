"""A section of the page PixelCNN: the first part of an image is kept, and the rest is drawn sixteen times."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import DataError, Run, inference
from aecore.data import image as read_picture
from aecore.explore import autoregressive
from aecore.explore.autoregressive import Drawing
from aecore.explore.completions import Certainty, certainty
from aecore.explore.images import to_uint8
from app import cached, library
from app.browser.contact import contact
from app.browser.pad import pad
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, rgb
from app.library import held_out
from app.panels import layout
from app.panels.downloads import download_button
from app.session import plain_errors
from app.state import Choice, Flag, Number
from app.text import escape_markdown
from app.views.exhibits.pixelcnn_subject import BLUE, RED, WHITE, Subject, blend

COMPLETIONS = 16
HELD_OUT, OWN_DRAWING, UPLOAD = "held-out image", "draw", "upload"
BELIEVED, IN_TURN = "as it believes", "each label in turn"
WHITE_ON_BLACK = ("digits", "mnist")  # data whose images are white strokes on black
LIKELY = 0.005  # the least probability of a label that is named
SETTLED, SETTLED_GREY = 0.99, 0.96  # agreement from which on completions count as agreeing


class State:
    """Which image is completed, how much of it is kept, and what the completions are conditioned on."""

    source = Choice("pixelcnn.from", (HELD_OUT, OWN_DRAWING, UPLOAD))
    kept = Number("pixelcnn.keep", 0, 100, 50, 5)
    seed = Number("pixelcnn.again", 0, 9999)
    label = Choice("pixelcnn.as", (BELIEVED, IN_TURN))
    number = Number("pixelcnn.image-number", 0)
    invert = Flag("pixelcnn.invert")


@cached.remember(max_entries=64)
def completed(run: Run, image: np.ndarray, first: int, seed: int, label: int | tuple[int, ...] | None) -> Drawing:
    """Completions of an image (C, H, W) of which the first pixels in the model's order are known.

    label: of all completions, or of each; None for the labels in turn.
    """
    model = library.model(run)
    known = autoregressive.first_pixels(model, first)
    return autoregressive.draw(model, COMPLETIONS, seed, label=label, image=image, known=known)


@cached.remember(max_entries=64)
def class_posterior(run: Run, image: np.ndarray, first: int) -> np.ndarray:
    """p(y | known) of each label y, where the first pixels of an image (C, H, W) are known."""
    model = library.model(run)
    return autoregressive.class_posterior(model, image, autoregressive.first_pixels(model, first))


@st.fragment
@plain_errors()
def show_completions(subject: Subject) -> None:
    """The controls, the image as far as it is kept, and its completions."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        source = State.source.option("Picture")
        kept = State.kept.slider("Keep the first … of its pixels", format="%d %%", width=260)
        seed = State.seed.number("Seed of the completions", width=200)
        name = BELIEVED
        if subject.labels:
            name = State.label.given(options=(BELIEVED, IN_TURN, *subject.labels)).box("Completed as", width=190)
    image = chosen_image(subject, source)
    if image is None:
        return
    first = round(kept / 100 * image[0].size)
    labels = labels_of_completions(subject, image, first, name, seed)
    drawing = completed(subject.run, image, first, seed, labels)
    sure = certainty(drawing)
    left, right = st.columns([1, 3], gap="large")
    with left:
        show_certainty(image, drawing.known, sure)
    with right:
        pictures = to_uint8(drawing.images)
        alt = "Sixteen completions of the picture"
        contact([("", pictures)], key="pixelcnn.completed", tile=92, alt=alt)
        show_figures(drawing, sure, subject.binary)
        download_button(
            "Completions as PNG",
            lambda: plots.png(contact_sheet(pictures, 8)),
            f"{subject.run.info.id}-completions.png",
            "image/png",
            "pixelcnn.completions",
        )


def chosen_image(subject: Subject, source: str) -> np.ndarray | None:
    """The image (C, H, W), of values that the model knows; None until there is one."""
    run, model = subject.run, subject.model
    channels, height, width = run.info.shape
    if source == HELD_OUT:
        number = State.number.given(most=len(held_out(run)) - 1).number("Number", width=150)
        return autoregressive.quantize(model, inference.examples(held_out(run), [number])[0].numpy())
    if source == OWN_DRAWING:
        drawing = pad("pixelcnn.pad", (height, width), label="Draw here", centre=False)
        if drawing is None:
            st.caption(
                f"Draw with mouse, pen or finger. The part that comes first in the model’s order, by {model.order}, is "
                "kept."
            )
            return None
        return autoregressive.quantize(model, np.repeat(drawing[None] / 255, channels, 0))
    file = st.file_uploader("PNG, JPEG or WebP", key="pixelcnn.upload", max_upload_size=64)
    ink = run.info.data.name in WHITE_ON_BLACK
    invert = State.invert.toggle("Invert", help="Digits here are white on black" if ink else None)
    if file is None:
        return None
    try:
        picture = read_picture(file.getvalue(), (channels, height, width), file.name)
    except DataError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        return None
    return autoregressive.quantize(model, (255 - picture if invert else picture) / 255)


def labels_of_completions(
    subject: Subject, image: np.ndarray, first: int, name: str, seed: int
) -> int | tuple[int, ...] | None:
    """The label of all completions, or of each; None for the labels in turn. A caption says how they are chosen.

    name: a label's, BELIEVED for samples from p(y | known), or IN_TURN.
    """
    if name in subject.labels:
        return subject.labels.index(name)
    if not subject.model.classes:
        return None
    if name == IN_TURN:
        st.caption(
            "Each completion is conditioned on another label, likely or not. Where they disagree, the labels differ; "
            "that is not the model’s own doubt."
        )
        return None
    posterior = class_posterior(subject.run, image, first)
    likeliest = [label for label in np.argsort(-posterior)[:4] if posterior[label] >= LIKELY]
    shares = [f"{escape_markdown(subject.name_of(label))} {100 * posterior[label]:.0f} %" for label in likeliest]
    st.caption(
        f"p(label | what is kept): {', '.join(shares)}. The labels of the completions are sampled with these "
        "probabilities."
    )
    return tuple(np.random.default_rng(seed).choice(len(posterior), COMPLETIONS, p=posterior).tolist())


def show_certainty(image: np.ndarray, known: np.ndarray, sure: Certainty) -> None:
    """What is kept, how much the completions agree, and how certain the model was."""
    original = rgb(to_uint8(image[None]))[0]
    kept = np.where(known[..., None], original, 128).astype(np.uint8)
    layout.picture(kept, "what is kept", "The part of the picture that is kept")
    agreement = np.where(known[..., None], kept // 2 + 64, blend(sure.agreement, BLUE, WHITE)).astype(np.uint8)
    meaning = "how much the completions agree: the bluer, the more"
    layout.picture(agreement, meaning, "Agreement of the completions")
    largest = max(sure.entropy[~known].max(initial=0), 1e-9)
    entropy = blend(np.clip(sure.entropy / largest, 0, 1) * ~known, RED)
    meaning = "how uncertain the model was when it drew each pixel: entropy"
    layout.picture(entropy, meaning, "Entropy of each pixel")


def show_figures(drawing: Drawing, sure: Certainty, binary: bool) -> None:
    """How many pixels are drawn anew, what they cost, and how far they are settled."""
    free = ~drawing.known
    if not free.any():
        return
    nats = drawing.nats[:, :, free].sum((1, 2))
    settled = (sure.agreement[free] > (SETTLED if binary else SETTLED_GREY)).mean()
    scale = "; a coin toss has 0.69" if binary else f", in {autoregressive.BARS} ranges"
    tolerance = "" if binary else ", to five levels of 256"
    key_figures(
        [
            ("drawn anew", f"{int(free.sum()):,} pixels", f"of {free.size:,}", ""),
            (
                "−log p of what was drawn",
                f"{nats.mean():.1f} nats",
                f"from {nats.min():.1f} to {nats.max():.1f}",
                plots.term_colour("nll"),
            ),
            ("unsure", f"{sure.entropy[free].mean():.2f} nats", f"entropy of a pixel when it is drawn{scale}", ""),
            ("settled", f"{100 * settled:.0f} %", f"of these pixels all completions agree{tolerance}", ""),
        ]
    )
