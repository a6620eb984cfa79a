"""PixelCNN: drawing pixel by pixel (§5.5, Fig. 8)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import streamlit as st

from aecore import Run
from aecore.explore import autoregressive
from aecore.explore.autoregressive import Drawing
from aecore.explore.images import to_uint8
from aecore.nn.pixel_distributions import bits
from app import cached, library
from app.browser.drawer import Stage, drawer
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, enlarge, rgb
from app.panels import layout
from app.panels.downloads import csv_table, download_button, python_button
from app.state import Choice, Number, Step
from app.views.exhibits.pixelcnn_completions import show_completions
from app.views.exhibits.pixelcnn_decoders import show_decoders
from app.views.exhibits.pixelcnn_field import influence, show_receptive_field
from app.views.exhibits.pixelcnn_likelihoods import show_likelihoods
from app.views.exhibits.pixelcnn_subject import Subject, subject_of

IN_TURN = "in turn"
BEGUN = 0.55  # share of the pixels that are drawn at first, so that there is something to see at once
FRAMES = 60  # of the film
NLL = plots.term_colour("nll")


class State:
    """What is drawn, how many of its pixels are drawn so far, and the image that is shown large."""

    n = Choice("pixelcnn.n", (1, 4, 16, 36), 16)
    temperature = Number("pixelcnn.temperature", 0.1, 2.0, 1.0, 0.1)
    label = Choice("pixelcnn.class", (IN_TURN,))
    seed = Number("pixelcnn.seed", 0, 9999)
    at = Step("pixelcnn.at")
    image = Step("pixelcnn.image")


@cached.remember(max_entries=12)  # 36 coloured images with 256 levels each take 14 MB
def drawn(run: Run, n: int, seed: int, temperature: float, label: int | None) -> Drawing:
    """Images drawn by a run's model.  label: of all of them, None for the labels in turn."""
    return autoregressive.draw(library.model(run), n, seed, temperature, label)


def page() -> None:
    run = layout.opening(
        "PixelCNN",
        "There is no code at all: **each pixel is drawn given the pixels before it.** Press play, or click the pixel "
        "where you want to be.",
        "density",
    )
    subject = subject_of(run)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        n = State.n.option("Images")
        temperature = State.temperature.slider("Temperature", width=240)
        label = chosen_label(subject.labels)
        seed = State.seed.number("Seed", width=150)
    drawing = drawn(run, n, seed, temperature, label)
    stage = show_drawing(run, drawing)
    chosen = min(stage["image"], n - 1)
    show_costs(subject, drawing, chosen, stage["pixel"])
    show_downloads(run, drawing, chosen, f"{n}, seed={seed}, temperature={temperature}, label={label}")

    st.header("Finish my drawing", anchor=False)
    show_completions(subject)
    st.header("What a pixel looks back on", anchor=False)
    row, column = map(int, drawing.order[min(stage["pixel"], len(drawing.order) - 1)])
    show_receptive_field(subject, row, column)
    st.header("The same code, sharp and blurred", anchor=False)
    st.markdown(
        "A decoder that must answer with **one** image answers with the mean of all that fit the code. A decoder that "
        "samples answers with **one of them**."
    )
    show_decoders()
    st.header("Likely and unlikely", anchor=False)
    show_likelihoods(subject)
    show_explanations()


def chosen_label(labels: list[str]) -> int | None:
    """The label of all images; None for the labels in turn, and where no labels condition the model."""
    if not labels:
        return None
    name = State.label.given(options=(IN_TURN, *labels)).box("Class", width=150)
    return labels.index(name) if name in labels else None


def show_drawing(run: Run, drawing: Drawing) -> Stage:
    """The images as they are drawn, and how far that is."""
    pixels = len(drawing.order)
    at, image = State.at.given(start=round(BEGUN * pixels)), State.image
    pixel = at.get()
    stage = drawer(
        drawing.images,
        drawing.chances,
        drawing.order,
        key="pixelcnn.drawer",
        field=influence(run),
        alt=f"{len(drawing.images)} images, drawn pixel by pixel",
        state={"pixel": min(at.start if pixel is None else pixel, pixels), "image": image.get() or 0},
    )
    at.put(stage["pixel"])
    image.put(stage["image"])
    return stage


def show_costs(subject: Subject, drawing: Drawing, chosen: int, pixel: int) -> None:
    """−log p of one image so far and in all.  pixel: how many of its pixels are drawn."""
    condition, given = (", y", r"x \mid y") if subject.labels else ("", "x")
    nats = drawing.nats[chosen]
    terms = rf"-\textstyle\sum_{{i=1}}^{{{nats.size}}} \log p(x_i \mid x_1, \ldots, x_{{i-1}}{condition})"
    st.latex(plots.equation(rf"-\log p({given}) = \term{{nll}}{{{terms}}}"))
    rows, columns = drawing.order[:pixel].T
    so_far, whole = float(nats[:, rows, columns].sum()), float(nats.sum())
    values = str(subject.run.info.params.get("values", "binary"))
    per_dimension = f"−log p of all pixels: {bits(whole, nats.size):.3f} bits per dimension"
    key_figures(
        [
            ("−log p so far", f"{so_far:.1f} nats", f"of {pixel:,} pixels, by the model itself", NLL),
            ("the whole image", f"{whole:.1f} nats", per_dimension, NLL),
            ("order", subject.model.order, "of the pixels: a hyperparameter", ""),
            ("values", values, "what a pixel is drawn from: a hyperparameter, too", ""),
        ]
    )


def show_downloads(run: Run, drawing: Drawing, chosen: int, arguments: str) -> None:
    """The images, the film and the pixels of one image, and the line of Python that draws them, with its arguments."""
    pictures, table, name = to_uint8(drawing.images), pixel_table(drawing, chosen), run.info.id
    with st.container(horizontal=True):
        download_button(
            "Images as PNG",
            lambda: plots.png(contact_sheet(pictures)),
            f"{name}-drawn.png",
            "image/png",
            "pixelcnn.png",
        )
        download_button(
            "GIF of the drawing",
            lambda: plots.gif(film(pictures[chosen], drawing.order), 15),
            f"{name}-drawing.gif",
            "image/gif",
            "pixelcnn.gif",
        )
        csv = csv_table(list(table), *table.values())
        download_button("Pixels as CSV", csv, f"{name}-pixels.csv", "text/csv", "pixelcnn.csv")
        python_button(
            run,
            f"""
from aecore.explore import autoregressive

drawing = autoregressive.draw(run.model(), {arguments})
print(drawing.images.shape, drawing.nats.sum((1, 2, 3)))
""",
            "pixelcnn.python",
        )


def film(picture: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Frames of a picture, uint8 (H, W[, 3]), that is drawn pixel by pixel.  order: (H W, 2), row and column."""
    colours = rgb(picture[None])[0]
    frames = []
    for count in np.linspace(0, len(order), FRAMES).astype(int):
        frame = np.full_like(colours, 128)
        rows, columns = order[:count].T
        frame[rows, columns] = colours[rows, columns]
        frames.append(enlarge(frame, 224))
    return frames


def pixel_table(drawing: Drawing, chosen: int) -> dict[str, Iterable]:
    """The values of one image and their −log p, channel by channel, in the order of drawing."""
    rows, columns = drawing.order.T
    channels = [""] if drawing.images.shape[1] == 1 else [" red", " green", " blue"]
    table: dict[str, Iterable] = {"order": range(1, len(rows) + 1), "row": rows, "column": columns}
    for name, values in (("value", drawing.images), ("−log p", drawing.nats)):
        for channel, suffix in enumerate(channels):
            table[name + suffix] = values[chosen, channel, rows, columns]
    return table


def show_explanations() -> None:
    """What to look for, and why."""
    with st.expander("What to look for"):
        st.markdown(
            "- **Where it hesitates**: inside a stroke the next pixel is nearly certain; at the ends of a stroke it is "
            "open.\n"
            "- **Temperature**: below 1 the likelier value wins more often, and images become smooth and alike.\n"
            "- **Completions** of half an image agree where that half settles which digit it is, and differ where it "
            "does not.\n"
            "- **The order** is arbitrary: train a model that goes by columns (a hyperparameter on Train) and compare "
            "the nats."
        )
    with st.expander("Why"):
        st.markdown(
            "By the chain rule any joint distribution is a product of conditional ones, in any order of the pixels. A "
            "PixelCNN computes all of them with one network, whose filters are masked so that no pixel sees what comes "
            "later. A PixelRNN uses a network whose states are passed on from pixel to pixel instead. Two stacks avoid "
            "the blind spot of masked filters. The likelihood is exact; drawing takes one pass for each pixel, unless "
            "what was computed once is kept. Section 5.5; van den Oord et al. (2016), arXiv:1601.06759 and "
            "arXiv:1606.05328."
        )
