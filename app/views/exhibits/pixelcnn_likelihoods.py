"""A section of the page PixelCNN: the likeliest and the least likely images, and images of other kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.explore import autoregressive
from aecore.explore.images import to_uint8
from aecore.nn.pixel_distributions import bits
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.library import held_out, image_title
from app.panels import layout
from app.session import plain_errors
from app.state import Number
from app.text import escape_markdown
from app.views.exhibits.pixelcnn_subject import RED, WHITE, Subject, blend

RANKED = 200  # held-out images
CONDITIONED = 30  # images of a model that is conditioned on labels: each is measured under every label
NOISE_IMAGES = 15
SHOWN = 10  # likeliest images, and as many of the least likely
OWN, INVERTED, NOISE, EMPTY = "own", "inverted", "noise", "empty"
OTHERS = (
    {"fashion": "garments (Fashion-MNIST)"},
    {"mnist": "digits (MNIST)", "digits": "digits"},
)
"""Other images, each kind with the names of its data sets; the first one on this computer is taken."""
SHEET = "pixelcnn.likely"


class State:
    """The image of which is shown where it is unlikely."""

    number = Number("pixelcnn.heat", 0)


class Surprise(NamedTuple):
    """An image (C, H, W) of values that the model knows, and −log p of each pixel, (H, W), in nats."""

    image: np.ndarray
    cost: np.ndarray


@cached.remember(max_entries=8, show_spinner="Computing likelihoods …")
def ranks(run: Run) -> np.ndarray:
    """−log p(x) of the first held-out images, or −log p(x|y) where labels condition the model: (n,) nats."""
    model, test = library.model(run), held_out(run)
    if not model.classes or test.labels is None:
        return nats(run, OWN)
    ids = inference.first(test, RANKED // 2)  # models that labels condition are the larger ones
    x = autoregressive.quantize(model, inference.examples(test, ids).numpy())
    return autoregressive.surprise(model, x, np.asarray(test.labels)[ids].tolist()).sum((1, 2, 3))


@cached.remember(max_entries=8, show_spinner="Computing likelihoods …")
def nats(run: Run, kind: str) -> np.ndarray:
    """−log p(x) of images of a kind, (n,) nats; n is 0 where they are not of the model's size."""
    images = images_of_kind(run, kind)
    return autoregressive.unlikely(library.model(run), images) if len(images) else np.zeros(0)


def images_of_kind(run: Run, kind: str) -> np.ndarray:
    """Images (n, C, H, W) of a kind, of values that the model knows; n is 0 where they are not of the model's size.

    kind: OWN, INVERTED, NOISE, EMPTY, or the name of a data set.
    """
    model = library.model(run)
    n = CONDITIONED if model.classes else RANKED
    test = held_out(run)
    if kind not in (OWN, INVERTED, NOISE, EMPTY):
        test = library.load(run.info.data.model_copy(update={"name": kind, "limit": None})).test
    x = inference.examples(test, inference.first(test, n)).numpy()
    if x.shape[1:] != tuple(model.shape):
        return np.zeros((0, *model.shape), np.float32)
    if kind == NOISE:
        x = np.random.default_rng(0).random(x[:NOISE_IMAGES].shape)
    x = autoregressive.quantize(model, x)
    if kind == INVERTED:
        return 1 - x[: n // 2]
    return np.zeros_like(x[:1]) if kind == EMPTY else x


@cached.remember(max_entries=64)
def surprise(run: Run, number: int) -> Surprise:
    """Where a held-out image is unlikely, given its label where labels condition the model."""
    model = library.model(run)
    x = autoregressive.quantize(model, inference.examples(held_out(run), [number]).numpy())
    return Surprise(x[0], autoregressive.surprise(model, x, label_given(run, number))[0].sum(0))


def label_given(run: Run, number: int) -> int | None:
    """The label on which the likelihood of a held-out image is conditioned; None where no labels are."""
    if not library.model(run).classes:
        return None
    labels = held_out(run).labels
    return 0 if labels is None else int(labels[number])


@st.fragment
@plain_errors()
def show_likelihoods(subject: Subject) -> None:
    """The likeliest and least likely images, where one of them is unlikely, and the likelihoods of other images."""
    number_state = State.number.given(most=len(held_out(subject.run)) - 1)
    show_extremes(subject, number_state)
    number = number_state.number("Image", width=150)
    left, right = st.columns([2, 3], gap="large")
    with left:
        show_surprise(subject, number)
    with right:
        show_other_images(subject)


def show_extremes(subject: Subject, number_state: Number[int]) -> None:
    """The likeliest and the least likely held-out images; a click chooses one."""
    run = subject.run
    costs = ranks(run)
    order = np.argsort(costs)
    count = min(SHOWN, len(order) // 2)
    ids = np.concatenate([order[:count], order[len(order) - count :][::-1]]).tolist()
    contact(
        [("", cached.images(run, tuple(ids)))],
        key=SHEET,
        tile=64,
        captions=[f"{costs[i]:.0f}" for i in ids],
        ids=ids,
        pick="Where is it unlikely?",
        chosen=number_state.now(),
        alt="The likeliest and the least likely images",
        on_change=lambda: number_state.put(int(st.session_state[SHEET]["pick"])),
    )
    rounding = ", in black and white split at one half" if subject.binary else ""
    conditional = subject.model.classes and held_out(run).labels is not None
    measure = "−log p(x|y), given its label" if conditional else "−log p(x)"
    st.caption(
        f"The {count} likeliest of {len(costs)} held-out images, then the {count} least likely ones. Below each stands "
        f"{measure}, in nats{rounding}. Click an image to see where it is unlikely."
    )


def show_surprise(subject: Subject, number: int) -> None:
    """One image, and −log p of each of its pixels."""
    run = subject.run
    image, cost = surprise(run, number)
    label = label_given(run, number)
    given = "" if label is None else f", given the label “{escape_markdown(subject.name_of(label))}”"
    layout.picture(to_uint8(image[None])[0], escape_markdown(image_title(run, number)), "The image as it is modelled")
    heat = np.clip(cost / max(3, np.quantile(cost, 0.98)), 0, 1)
    meaning = f"−log p of each pixel{given}: {cost.sum():.1f} nats in all"
    layout.picture(blend(heat, RED, WHITE), meaning, "Where the image is unlikely")
    per_dimension = f"{bits(float(cost.sum()), image.size):.3f}"
    definition = f"−log₂ p{'(x|y)' if given else '(x)'} by the number of values"
    key_figures([("bits per dimension", per_dimension, definition, plots.term_colour("nll"))])


def show_other_images(subject: Subject) -> None:
    """A table of likelihoods of images of several kinds, and whether others are likelier than the model's own."""
    others, absent = other_sets(subject.run)
    titles = {
        OWN: "held-out images",
        INVERTED: "half of them, inverted",
        NOISE: "coin tosses" if subject.binary else "noise",
        EMPTY: "an empty image",
        **others,
    }
    costs = {kind: values for kind in titles if len(values := nats(subject.run, kind))}
    st.dataframe(
        [table_row(titles[kind], values, costs[OWN]) for kind, values in costs.items()],
        hide_index=True,
        width="stretch",
    )
    likelier = [
        titles[kind]
        for kind, values in costs.items()
        if kind not in (OWN, NOISE) and np.median(values) < np.median(costs[OWN])
    ]
    if likelier:
        st.caption(
            f"A well-known surprise shows here: {', '.join(likelier)} – likelier than half of the images of the kind "
            "from which the model learned. Smooth images are likely, so a high likelihood does not mean “like the "
            "training images” (Nalisnick et al., 2019, arXiv:1810.09136)."
        )
    else:
        st.caption(
            "Nalisnick et al. (2019), arXiv:1810.09136, found that images of another kind can be likelier than those "
            "of the training. This does not show for these images."
        )
    if absent:
        st.caption(f"Not on this computer, and so not compared: {', '.join(absent)}. They can be downloaded on Train.")


def table_row(title: str, values: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """A row of the table.  values: −log p of these images.  own: of held-out images."""
    return {
        "images": title,
        "−log p, nats": f"{values.mean():.1f}",
        "least": f"{values.min():.1f}",
        "most": f"{values.max():.1f}",
        "likelier than half of the held-out": f"{100 * (values < np.median(own)).mean():.0f} %",
    }


def other_sets(run: Run) -> tuple[dict[str, str], Sequence[str]]:
    """Data sets of other kinds than the run's: those on this computer, {name: title}, and the titles of absent ones."""
    here, absent = {}, []
    for kind in OTHERS:
        if run.info.data.name in kind:
            continue
        names = [name for name in kind if library.sets()[name].here]
        if names:
            here[names[0]] = kind[names[0]]
        else:
            absent.append(next(iter(kind.values())))
    return here, absent
