"""Exhibit: pixels or features, who compares (§5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run, inference
from aecore.explore import features
from aecore.explore.images import to_uint8
from aecore.measure import sharpness
from aecore.runs.sweeps import Sweep
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import held_out
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Choice, Many, Number
from app.text import escape_markdown

SWEEP = "features"
COMPARES = "features"  # the ability of a model whose loss compares features
SHOWN = 12  # images on the sheet
MEASURED = 500  # held-out images over which sharpness and error are measured
CHANNELS = 12  # feature maps side by side


class State:
    """The models, the choice of images, and whose feature maps of which image are shown."""

    models = Many("features.models")
    seed = Number("features.seed", 0, 9999)
    image = Number("features.image", 0)
    block = Choice("features.block", default=2)
    by = Choice("features.by")


class Sharpness(NamedTuple):
    """How sharp held-out images or reconstructions are.

    energy: gradient energy.  spectrum: (F,) power by frequency, from 0 to half a cycle per pixel.
    error: mean squared error per pixel, 0 for the images themselves.
    """

    energy: float
    spectrum: np.ndarray
    error: float


@cached.remember(max_entries=8)
def originals(run: Run) -> np.ndarray:
    """(n, C, H, W) held-out images."""
    test = held_out(run)
    ids = inference.first(test, MEASURED)
    return np.concatenate([x.numpy() for x in inference.inputs(test, ids, run.info.shape)])


@cached.remember(max_entries=64)
def sharpness_of(run: Run, reconstructed: bool) -> Sharpness:
    """Of a run's reconstructions, or of the images themselves."""
    x = shown = originals(run)
    if reconstructed:
        test = held_out(run)
        shown = inference.autoencode(library.model(run), test, inference.first(test, MEASURED))
    error = float(np.square(x - shown).mean())
    return Sharpness(sharpness.gradient_energy(shown), sharpness.spectrum(shown).numpy(), error)


@cached.remember(max_entries=64)
def maps(eye: Run, run: Run, example: int, block: int) -> features.Maps:
    """Feature maps of a held-out image and of a run's reconstruction of it, as the network of `eye` sees them."""
    return features.feature_maps(library.model(eye), library.model(run), held_out(run), example, block)


def page() -> None:
    sweep = exhibit.opening(
        "Feature loss",
        "A loss that compares pixels punishes an edge that is one pixel off as if it were missing, **so the network "
        "answers with a blur**. What if a network that has learned to see compares the two images instead?",
        SWEEP,
    )
    runs = chosen_models(sweep)
    eye = next((run for run in sweep.runs if COMPARES in run.entry.abilities), None)
    sheet = show_reconstructions(runs)
    show_losses(eye)
    images = sharpness_of(next(iter(runs.values())), False)
    blurs = {name: sharpness_of(run, True) for name, run in runs.items()}
    show_energies(images, blurs)
    st.header("Blur, by frequency", anchor=False)
    figure = spectrum_figure(images, blurs)
    show_figure(figure, "features.spectrum", "Power of reconstructions by frequency, as a share of that of the images")
    st.caption(
        f"Over {len(originals(next(iter(runs.values()))))} held-out images. A blur removes high frequencies; artefacts "
        "add some."
    )
    if eye:
        st.header("What the loss compares", anchor=False)
        show_feature_maps(eye, runs)
    show_downloads(images, blurs, sheet)
    train_sweep.train(SWEEP)
    show_explanations()


def chosen_models(sweep: Sweep) -> dict[str, Run]:
    """The chosen runs by name, all of them where none is chosen."""
    runs = dict(zip(map(str, sweep.values), sweep.runs, strict=True))
    names = State.models.given(
        name=exhibit.key_of(State.models.name, sweep), options=tuple(runs), default=tuple(runs)
    ).pills("Compared by")
    return {name: run for name, run in runs.items() if name in names} or runs


def show_reconstructions(runs: Mapping[str, Run]) -> np.ndarray:
    """Held-out images above their reconstructions by each model; all of them as (n, H, W[, 3])."""
    first = next(iter(runs.values()))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        seed = State.seed.number("Seed of the choice", width=200)
    ids = tuple(cached.choice(first, SHOWN, seed).tolist())
    rows = [
        ("original", cached.images(first, ids)),
        *((name, cached.reconstructions(run, ids)) for name, run in runs.items()),
    ]
    contact(rows, key="features.sheet", tile=64, alt=f"Images above their reconstructions by {', '.join(runs)}")
    return np.concatenate([images for _, images in rows])


def show_losses(eye: Run | None) -> None:
    """Both losses, and what Φ is.  eye: a run whose loss compares features, if there is one."""
    st.latex(
        plots.equation(
            r"\text{pixels: } \term{recon}{c \lVert x - \hat x \rVert^2}\qquad \text{features: } \beta\, "
            r"\term{features}{\textstyle\sum_l \frac{\lVert \Phi_l(x) - \Phi_l(\hat x) \rVert^2}{2 C_l H_l W_l s_l}}"
        )
    )
    if eye:
        network = str(eye.info.params["features"])
        trained = ", which was first trained to tell the labels of the same images" if network == "classifier" else ""
        st.caption(
            f"Φ is here the network **{escape_markdown(network)}**{trained}. Another Φ (MobileNetV2 or VGG-19 with "
            "ImageNet’s weights) can be chosen on Train."
        )


def show_energies(images: Sharpness, blurs: Mapping[str, Sharpness]) -> None:
    """The gradient energy of the images and of each model's reconstructions."""
    figures = [("images", f"{images.energy:.4f}", "gradient energy: how much neighbouring pixels differ", "")]
    for (name, blur), colour in zip(blurs.items(), LINES, strict=False):
        share = f"{100 * blur.energy / images.energy:.0f} % of the images’; squared error {blur.error:.4f}"
        figures.append((name, f"{blur.energy:.4f}", share, colour))
    key_figures(figures)


def spectrum_figure(images: Sharpness, blurs: Mapping[str, Sharpness]) -> go.Figure:
    """The power of each model's reconstructions by frequency, as a share of the images' power."""
    figure = empty_figure(360, "frequency, cycles per pixel", "power, relative to the images’")
    frequency = np.linspace(0, 0.5, len(images.spectrum))
    for (name, blur), colour in zip(blurs.items(), LINES, strict=False):
        power = blur.spectrum / np.maximum(images.spectrum, 1e-12)
        line = {"color": colour, "width": 3}
        figure.add_scatter(x=frequency[1:], y=power[1:], name=name, line=line, hovertemplate="%{y:.2f}")
    figure.add_hline(y=1, line={"dash": "dot", "color": plots.INK}, annotation_text="as the images")
    figure.update_yaxes(rangemode="tozero")
    return figure


@st.fragment
@plain_errors()
def show_feature_maps(eye: Run, runs: Mapping[str, Run]) -> None:
    """Feature maps of an image and of its reconstruction, in the network of `eye`."""
    blocks = inference.require(library.model(eye), COMPARES).blocks
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        example = State.image.given(most=len(held_out(eye)) - 1).number("Number of the image", width=200)
        block = State.block.given(options=range(1, blocks + 1)).slider("Block", width=260)
        name = State.by.given(options=tuple(runs)).option("Reconstructed by")
    run = runs[name]
    compared = maps(eye, run, example, block)
    count = min(CHANNELS, len(compared.x))
    first, second, rest = st.columns([1, 1, 6], gap="medium")
    with first:
        layout.picture(cached.images(run, (example,))[0], "$x$", "the image")
    with second:
        layout.picture(cached.reconstructions(run, (example,))[0], r"$\hat x$", "its reconstruction")
    with rest:
        x, x_hat = map_pictures(compared, count)
        contact(
            [("Φ(x)", x), ("Φ(x̂)", x_hat)],
            key="features.maps",
            tile=56,
            captions=[f"{value:.2f}" for value in compared.distance[:count]],
            alt="Feature maps of the image above those of its reconstruction",
        )
    st.caption(
        f"The {count} of {len(compared.x)} channels of block {block} that differ most. Below each stands its mean "
        f"squared difference, as a share of the block’s variance; the mean of all channels is "
        f"{compared.distance.mean():.3f}."
    )


def map_pictures(compared: features.Maps, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` maps of x and of x̂ as pictures, each uint8 (count, 2H, 2W), 255 for a channel's largest value.

    Every value is painted as 2 × 2 pixels.
    """
    x, x_hat = compared.x[:count], compared.x_hat[:count]
    largest = np.maximum(np.abs(x).max((1, 2)), np.abs(x_hat).max((1, 2)))[:, None, None]
    first, second = (
        to_uint8((values / np.maximum(largest, 1e-12))[:, None]).repeat(2, 1).repeat(2, 2) for values in (x, x_hat)
    )
    return first, second


def show_downloads(images: Sharpness, blurs: Mapping[str, Sharpness], sheet: np.ndarray) -> None:
    """The figures as a table, the sheet of reconstructions, and the lines of Python."""
    download_row(
        "feature-loss",
        {
            "compared by": ["images", *blurs],
            "gradient energy": [images.energy, *(blur.energy for blur in blurs.values())],
            "squared error": ["", *(f"{blur.error:.5f}" for blur in blurs.values())],
        },
        f"""
from aecore import inference
from aecore.measure import sharpness
from aecore.runs import sweeps

sweep = sweeps.sweep("{SWEEP}")
for value, run in zip(sweep.values, sweep.runs):
    x_hat = inference.autoencode(run.model(), run.data().test, inference.first(run.data().test, {MEASURED}))
    print(value, sharpness.gradient_energy(x_hat))
""",
        "features",
        lambda: plots.png(contact_sheet(sheet, SHOWN)),
    )


def show_explanations() -> None:
    """What to look for, and why."""
    with st.expander("What to look for"):
        st.markdown(
            "- **Edges**: where features are compared, strokes keep sharp edges, even if these lie a little beside the "
            "original ones. The gradient energy comes nearer to that of the images.\n"
            "- **Early or late blocks**: the first block sees strokes, the last one sees which digit it is. Where only "
            "late blocks are compared, the picture may carry marks that no digit has, because Φ does not see them.\n"
            "- **Squared error** is larger where features are compared, because that loss does not ask for it to be "
            "small."
        )
    with st.expander("Why"):
        st.markdown(
            "The best answer to a squared error is the mean of all images that fit the code, and the mean of shifted "
            "edges is a blur. Features of a trained network change little when an edge moves a little. What sharper "
            "edges are worth, and what the claim does not say, stands in the errata. One seed each. Section 5.4; Hou "
            "et al. (2017), arXiv:1610.00291."
        )
