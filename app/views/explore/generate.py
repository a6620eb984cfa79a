"""Generate: decode samples from the prior, and see whether they are copies of training images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st

from aecore import Run
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet
from app.library import class_names, has_gaussian_prior, training_split
from app.panels import layout
from app.panels.downloads import download_button, npz_bytes, python_button
from app.panels.tables import csv_table
from app.state import Choice, Number
from app.text import escape_markdown

SEEDS = 10_000
ALL_IN_TURN = "all in turn"
MOST_COMPARED = 18  # generated images that stand above their nearest training images


class State:
    """What is sampled."""

    n = Choice("generate.n", (16, 36, 64, 100), 36)
    temperature = Number("generate.temperature", 0.0, 2.0, 1.0, 0.05)
    label = Choice("generate.class", (ALL_IN_TURN,))
    seed = Number("generate.seed", 0, SEEDS - 1)


class Request(NamedTuple):
    """What is sampled.  label: the class, None for all in turn or where the model knows of none."""

    n: int
    temperature: float
    seed: int
    label: int | None


def page() -> None:
    run = layout.opening(
        "Generate",
        "Sample a code, and let the model decode it: an image that nobody has drawn. Samples of a good model look like "
        "the originals without copying any.",
        "sample|decode",
    )
    if not has_prior(run):
        st.info(
            f"**{escape_markdown(run.info.title)} has no prior:** nothing in its training says where codes lie. "
            "For comparison, here is what samples from N(0, I) decode to; most of them lie where no image has its "
            "code.",
            icon=":material/info:",
        )
    pictures, beside = st.columns([7, 2], gap="large")
    with beside:
        request = choose_samples(run)
    images, codes = cached.generated(run, *request)
    with pictures:
        show_samples(run, request, images, codes)
    offer_samples(run, request, images, codes)
    show_nearest(run, request, images)
    with st.expander("What to look for"):
        st.markdown(
            "- **Temperature**: below 1 the samples are safer and more alike, above 1 bolder and more often broken.\n"
            "- **Distances near 0** would be copies; distances far below those of held-out images mean blur, which is "
            "near to everything.\n"
            "- **Without a prior** (linear, deep, denoising) random codes miss the small region that training used.\n"
            "- **In-between shapes** are codes between classes: look at the same place on the map."
        )


def has_prior(run: Run) -> bool:
    return "sample" in run.entry.abilities


# --- samples --------------------------------------------------------------------------------------------------------


def choose_samples(run: Run) -> Request:
    """How many images, of which class, and how bold."""
    n = State.n.slider("Images")
    meaning = "On the prior's standard deviation: 0 is its mean, 1 the prior itself"
    if "density" in run.entry.abilities:
        meaning = "Divides the logit of each pixel: at 0 the likelier value wins, 1 is the model itself"
    temperature = State.temperature.slider("Temperature $T$", help=meaning)
    label = None
    if classes := library.model(run).classes:
        names = class_names(run)[:classes] or [str(index) for index in range(classes)]
        name = State.label.given(options=[ALL_IN_TURN, *names]).box("Class")
        label = names.index(name) if name in names else None
    seed = State.seed.number("Seed")
    st.button("Sample again", type="primary", key="generate.again", on_click=next_seed, width="stretch")
    return Request(n, temperature, seed, label)


def next_seed() -> None:
    State.seed.put((State.seed.now() + 1) % SEEDS)


def show_samples(run: Run, request: Request, images: np.ndarray, codes: np.ndarray | None) -> None:
    """Generated images beside held-out ones, and the equation by which they were made.

    images: float (n, C, H, W).  codes: (n, D), None where the model has none.
    """
    originals = cached.images(run, tuple(cached.choice(run, request.n, request.seed).tolist()))
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Originals", anchor=False)
        alt = f"{len(originals)} held-out images"
        st.image(contact_sheet(originals), alt=alt, output_format="PNG", width="stretch")
    with right:
        st.subheader("Generated" if has_prior(run) else "Decoded from N(0, I)", anchor=False)
        sheet = contact_sheet(cached.small(images))
        st.image(sheet, alt=f"{request.n} generated images", output_format="PNG", width="stretch")
    conditional = bool(library.model(run).classes)
    if codes is not None:
        variance = "I" if request.temperature == 1 else rf"{request.temperature:g}^2 I"
        gaussian = rf"\mathcal{{N}}(0,\, {variance})"
        prior = gaussian if has_gaussian_prior(run) else rf"p_{{T = {request.temperature:g}}}(z)"
        decoder = "B(z, y)" if conditional else "B(z)"
        st.latex(rf"z \sim {prior},\qquad x = {decoder},\qquad d = {codes.shape[1]}")
    elif "density" in run.entry.abilities:
        condition = ", y" if conditional else ""
        st.latex(rf"x_i \sim p(x_i \mid x_1, \ldots, x_{{i-1}}{condition}),\qquad i = 1, \ldots, {images[0].size}")


def offer_samples(run: Run, request: Request, images: np.ndarray, codes: np.ndarray | None) -> None:
    """The samples as a picture, as arrays and as a table, and the Python that makes them."""
    name = f"{run.info.id}-generated-{request.seed}"
    with st.container(horizontal=True):
        download_button(
            "Generated as PNG",
            lambda: plots.png(contact_sheet(cached.small(images))),
            f"{name}.png",
            "image/png",
            "generate.png",
        )
        arrays = {"images": images} | ({} if codes is None else {"codes": codes})
        download_button(
            "Images as NPZ" if codes is None else "Images and codes as NPZ",
            lambda: npz_bytes(**arrays),
            f"{name}.npz",
            "application/octet-stream",
            "generate.npz",
        )
        if codes is not None:
            header = ["image", *(f"z{j + 1}" for j in range(codes.shape[1]))]
            table = csv_table(header, range(len(codes)), *codes.T)
            download_button("Codes as CSV", table, f"{name}.csv", "text/csv", "generate.csv")
        settings = f"{request.n}, temperature={request.temperature}, seed={request.seed}, label={request.label}"
        python_button(
            run,
            f"""
from aecore.explore.generate import generate

images, codes = generate(run.model(), {settings})
print(images.shape)
""",
            "generate.python",
        )


# --- are they copies? -----------------------------------------------------------------------------------------------


def show_nearest(run: Run, request: Request, images: np.ndarray) -> None:
    """Generated images above the training images that are nearest to them, and how near these are."""
    st.header("Copies?", anchor=False)
    st.markdown("Under each generated image the training image that is nearest to it, pixel by pixel.")
    shown = min(request.n, MOST_COMPARED)
    ids, distances = cached.nearest(run, *request)
    contact(
        [
            ("generated", cached.small(images)[:shown]),
            ("nearest training image", cached.images(run, tuple(ids[:shown].tolist()), "train")),
        ],
        key="generate.nearest",
        captions=[f"{distance:.1f}" for distance in distances[:shown]],
        alt="Generated images above their nearest training images",
    )
    median = f"median of {request.n} generated images, ‖a − b‖² over pixels"
    held_out = "the same median for real images that were not trained on"
    key_figures(
        [
            ("nearest distance", f"{np.median(distances):.1f}", median, ""),
            ("smallest", f"{distances.min():.1f}", "0 would be a copy", ""),
            ("held-out images", f"{cached.typical(run):.1f}", held_out, ""),
        ]
    )
    size = len(training_split(run))
    searched = min(size, cached.COMPARED)
    st.caption(f"Searched among {searched:,} of {size:,} training images; the first {shown} are shown.")
