"""A section of the page PixelCNN: the same codes, decoded by a VAE, by a feature loss and by a PixelCNN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.explore import autoregressive
from aecore.explore.images import to_uint8
from aecore.measure import sharpness
from app import cached, library
from app.browser.contact import contact
from app.cached import example
from app.figures.html import key_figures
from app.figures.plots import LINES
from app.library import held_out
from app.session import plain_errors
from app.state import Number

MEAN, FEATURES, SAMPLES = "VAE", "feature loss", "PixelCNN decoder"
DECODERS = {MEAN: "vae-16", FEATURES: "dfc-vae-held-16", SAMPLES: "pixelcnn-decoder-16"}
SHOWN = 10  # images
REPEATED = 3  # samples of each code
MEASURED = 200  # held-out images over which sharpness is measured
COMPARED = 20  # images whose codes tell whether two encoders are the same


class State:
    """The choice of images, and the noise of the samples."""

    seed = Number("pixelcnn.beside", 0, 9999)


@cached.remember(max_entries=32)
def variations(run: Run, ids: tuple[int, ...], seed: int) -> np.ndarray:
    """A sample of each held-out image's code, with noise of its own: uint8 (n, H, W[, 3])."""
    return to_uint8(autoregressive.variations(library.model(run), cached.code_of(run, ids), seed))


@cached.remember(max_entries=16)
def energy(run: Run) -> float:
    """Gradient energy of reconstructions."""
    test = held_out(run)
    return sharpness.gradient_energy(inference.autoencode(library.model(run), test, inference.first(test, MEASURED)))


def one_encoder(runs: Mapping[str, Run]) -> bool:
    """Whether all these runs give an image the same code."""
    ids = tuple(range(COMPARED))
    first, *others = (cached.code_of(run, ids) for run in runs.values())
    return all(np.allclose(other, first, atol=0.02) for other in others)


@st.fragment
@plain_errors()
def show_decoders() -> None:
    """Images, what each decoder makes of their codes, and how sharp that is."""
    runs = {name: run for name, identity in DECODERS.items() if (run := example(identity))}
    if SAMPLES not in runs:
        st.info(f"The example {DECODERS[SAMPLES]} is not trained: make pretrained.", icon=":material/info:")
        return
    seed = State.seed.number("Seed of choice and samples", width=220)
    sampling = runs[SAMPLES]
    ids = tuple(cached.choice(sampling, SHOWN, seed).tolist())
    rows = [("original", cached.images(sampling, ids))]
    rows += [(name, cached.reconstructions(run, ids)) for name, run in runs.items() if name != SAMPLES]
    rows += [(f"PixelCNN, sample {k + 1}", variations(sampling, ids, REPEATED * seed + k)) for k in range(REPEATED)]
    contact(rows, key="pixelcnn.sheet", tile=64, alt="Images and what three decoders make of their codes")
    size = sampling.info.params["code"]
    if one_encoder(runs):
        st.caption(
            f"Each image has one code of {size} numbers, given by the VAE’s encoder. The other decoders were trained "
            "behind the same encoder, whose weights were frozen."
        )
    else:
        st.caption(f"Each decoder has its own encoder: an image has another code of {size} numbers for each.")
    show_sharpness(runs)


def show_sharpness(runs: Mapping[str, Run]) -> None:
    """The gradient energy of images, grey and in black and white, and of each decoder's reconstructions."""
    test = held_out(runs[SAMPLES])
    images = inference.examples(test, inference.first(test, MEASURED)).numpy()
    black_and_white = sharpness.gradient_energy((images > 0.5).astype(np.float32))
    figures = [
        ("images", f"{sharpness.gradient_energy(images):.4f}", "gradient energy: higher is sharper", ""),
        ("in black and white", f"{black_and_white:.4f}", "what the PixelCNN decoder learns", ""),
    ]
    for (name, run), colour in zip(runs.items(), LINES, strict=False):
        figures.append((name, f"{energy(run):.4f}", "of its reconstructions", colour))
    key_figures(figures)
    if {MEAN, FEATURES} <= set(runs) and energy(runs[FEATURES]) < 1.1 * energy(runs[MEAN]):
        st.caption(
            "Behind this code the feature loss is no sharper than the VAE: both answer with one image, and what the "
            "code leaves open is answered by a mean. The page Feature loss shows this loss with an encoder of its own."
        )
