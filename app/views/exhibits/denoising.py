"""Exhibit: denoising autoencoders (Fig. 2, Eq. 4, 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run, inference
from aecore.explore import denoise
from aecore.explore.images import to_uint8
from aecore.measure.reconstruction import psnr
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import code_bars, key_figures
from app.figures.plots import DOTTED, LINES, contact_sheet, model_lines, show_figure
from app.library import held_out
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.state import Choice, Number


class Damage(NamedTuple):
    """One kind of damage.

    sweep: of networks that were trained on it.  symbol: of what was varied among them.
    strength, trained: what the visitor chooses, with titles.  strengths: on the axis of the curve.
    equation: how an image is damaged, in LaTeX, for one strength.
    """

    sweep: str
    symbol: str
    strength: Number[float]
    strength_title: str
    trained: Choice[float]
    trained_title: str
    strengths: tuple[float, ...]
    equation: Callable[[float], str]


NAME = "denoising"
DAMAGES = {
    "gaussian": Damage(
        "denoising",
        "σ",
        Number("denoising.sigma", 0.0, 1.2, 0.5, 0.05),
        r"Strength $\sigma$",
        Choice("denoising.trained"),
        r"Trained with $\sigma$",
        tuple(np.linspace(0.1, 1.2, 12).tolist()),
        lambda strength: rf"\tilde{{x}} = x + \sigma \xi,\ \sigma = {strength:.2f}",
    ),
    "erasures": Damage(
        "erasures",
        "p",
        Number("denoising.share", 0.0, 0.9, 0.5, 0.05),
        "Share of pixels erased, $1 - p$",
        Choice("denoising.kept"),
        "Trained with $p$ kept",
        tuple(np.linspace(0.1, 0.9, 9).tolist()),
        lambda strength: rf"\tilde{{x}} = \beta \odot x,\ \beta \sim \mathrm{{Ber}}(p),\ p = {1 - strength:.2f}",
    ),
}
PLAIN, PLAIN_CODE = "bottleneck", 64  # the sweep of plain autoencoders, and the size of the code taken from it
SHOWN = 12  # images on the sheet
MANY = 200  # held-out images over which the curve is a mean
PICTURES = {
    "original": "$x$",
    "damaged": r"$\tilde{x}$",
    "code": "",
    "denoising": r"$B(A(\tilde{x}))$",
    "deep": "plain network",
    "filter": "filter",
}
"""From left to right: fields of a comparison, and the words below their pictures."""


class State:
    """The kind of damage, the image and the random numbers; see also DAMAGES."""

    noise = Choice("denoising.noise", denoise.NOISES)
    image = Number("denoising.image", 0)
    seed = Number("denoising.seed", 0, 9999)


class View(NamedTuple):
    """What the visitor has chosen.  run: the denoising network.  value: of its sweep.  plain: the other network."""

    noise: str
    strength: float
    run: Run
    value: float
    plain: Run
    example: int
    seed: int


@cached.remember(max_entries=128)
def best_filter(run: Run, noise: str, strength: float) -> str:
    """The name of the filter that restores training images best."""
    return denoise.best_filter(library.data(run).train, noise, strength)


@cached.remember(max_entries=128)
def restored(run: Run, plain: Run, ids: tuple[int, ...], noise: str, strength: float, seed: int) -> denoise.Comparison:
    """Held-out images, damaged, and what each of the three methods makes of them."""
    x = inference.examples(library.data(run).test, ids)
    filter_name = best_filter(run, noise, strength)
    return denoise.compare(library.model(run), library.model(plain), filter_name, x, noise, strength, seed)


@cached.remember(max_entries=32)
def network_curve(run: Run, noise: str, strengths: tuple[float, ...]) -> np.ndarray:
    """Mean PSNR over MANY held-out images at each strength, in dB."""
    return denoise.psnr_of_model(library.model(run), library.data(run).test, noise, strengths, MANY)


@cached.remember(max_entries=32)
def filter_curve(run: Run, noise: str, strengths: tuple[float, ...]) -> np.ndarray:
    """As `network_curve`, of the best filter at each strength."""
    names = [best_filter(run, noise, strength) for strength in strengths]
    return denoise.psnr_of_filters(names, library.data(run).test, noise, strengths, MANY)


def page() -> None:
    exhibit.heading(
        "Denoising",
        "A network that sees only damaged images and must give back whole ones has to learn **what images look "
        "like**. How much noise does it remove, and what do a plain autoencoder and a filter make of the same image?",
    )
    view = choose_view()
    damage = DAMAGES[view.noise]
    one = restored(view.run, view.plain, (view.example,), view.noise, view.strength, view.seed)
    levels = {
        name: float(psnr(one.original, np.clip(getattr(one, name), 0, 1))[0]) for name in PICTURES if name != "code"
    }
    show_pictures(one, levels, view.example)
    st.latex(
        plots.equation(
            damage.equation(view.strength)
            + r"\qquad \min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta(x, B(A(\tilde{x})))}"
        )
    )
    ids = tuple(cached.choice(view.run, SHOWN, view.seed).tolist())
    many = restored(view.run, view.plain, ids, view.noise, view.strength, view.seed)
    rows = [(name, to_uint8(getattr(many, name))) for name in PICTURES if name != "code"]
    contact(rows, key="denoising.sheet", tile=64, alt="Twelve images, damaged, and restored by three methods")
    st.caption(
        f"The filter is {best_filter(view.run, view.noise, view.strength)}, the best of {len(denoise.FILTERS)} "
        f"classical ones on {denoise.TUNED} training images at this strength. The network has seen all training images."
    )

    st.header("From little noise to much", anchor=False)
    curves = {
        f"denoising, {damage.symbol} = {view.value}": network_curve(view.run, view.noise, damage.strengths),
        "deep": network_curve(view.plain, view.noise, damage.strengths),
        "filter": filter_curve(view.run, view.noise, damage.strengths),
    }
    show_figure(
        psnr_figure(damage.strengths, curves, view.strength),
        "denoising.curve",
        "PSNR against strength, for the denoising network, a plain network and a filter",
    )
    show_numbers(many, levels)
    sheet = np.concatenate([images for _, images in rows])
    table = {"strength": damage.strengths, **curves}
    download_row(NAME, table, snippet(view), NAME, lambda: plots.png(contact_sheet(sheet, SHOWN)))
    train_sweep.train(damage.sweep)
    show_explanations()


def choose_view() -> View:
    """The controls at the top."""
    noise = State.noise.option("Damage")
    damage = DAMAGES[noise]
    sweep, plain = exhibit.trained(damage.sweep), exhibit.trained(PLAIN)
    values = list(sweep.values)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        strength = damage.strength.slider(damage.strength_title, width=300)
        trained = damage.trained.given(options=values, default=values[len(values) // 2])
        value = trained.slider(damage.trained_title, width=260)
        run = sweep.runs[values.index(value)]
        example = State.image.given(most=len(held_out(run)) - 1).number("Number of the image", width=200)
        seed = State.seed.number("Seed of the damage", width=200)
    other = dict(zip(plain.values, plain.runs, strict=True)).get(PLAIN_CODE, plain.runs[-1])
    return View(noise, float(strength), run, value, other, example, seed)


def show_pictures(one: denoise.Comparison, levels: Mapping[str, float], example: int) -> None:
    """One image, damaged, its code, and what comes back.  levels: PSNR of each picture in dB."""
    with st.container(horizontal=True, gap="medium"):
        for name, title in PICTURES.items():
            if name == "code":
                with st.container(width=226):
                    code_bars(one.code[0], None, "The code of the damaged image", 230, labels=4)
                    st.caption(f"code $A(\\tilde{{x}})$, $d = {one.code.shape[1]}$")
                continue
            level = f", {levels[name]:.1f} dB" if np.isfinite(levels[name]) else ""
            with st.container(width=164):
                layout.picture(to_uint8(getattr(one, name))[0], f"{title}{level}", f"{name} image {example}")


def psnr_figure(strengths: Sequence[float], curves: Mapping[str, np.ndarray], strength: float) -> go.Figure:
    """PSNR against the strength of the damage, a line for each method.  strength: where a vertical line stands."""
    figure = model_lines(strengths, curves, ("strength", "PSNR, dB"), hover="%{y:.1f} dB")
    return figure.add_vline(x=strength, line=DOTTED)


def show_numbers(many: denoise.Comparison, levels: Mapping[str, float]) -> None:
    """The PSNR of one image, and the wrong bits of many.  levels: PSNR of each picture in dB."""
    before, after = denoise.bits_restored(many.original, many.damaged, many.denoising)
    damaged = f"{levels['damaged']:.1f} dB" if np.isfinite(levels["damaged"]) else "whole"
    key_figures(
        [
            ("this image, damaged", damaged, "peak signal-to-noise ratio", ""),
            ("restored", f"{levels[NAME]:.1f} dB", "by the denoising network", LINES[0]),
            (
                "wrong bits, damaged",
                f"{100 * before:.1f} %",
                "of twelve images; 1 means brighter than ½",
                "",
            ),
            ("wrong bits, restored", f"{100 * after:.1f} %", "as a code corrects errors", LINES[0]),
        ]
    )


def snippet(view: View) -> str:
    """The lines that compute the curve of the denoising network."""
    damage = DAMAGES[view.noise]
    return f"""
from aecore import inference
from aecore.explore import denoise
from aecore.measure.reconstruction import psnr
from aecore.runs import sweeps

sweep = sweeps.sweep("{damage.sweep}")
run = sweep.runs[sweep.values.index({view.value})]
test = run.data().test
x = inference.examples(test, inference.first(test, {MANY}))
for strength in {[round(s, 2) for s in damage.strengths]}:
    print(strength, psnr(x, denoise.restored(run.model(), denoise.damaged(x, "{view.noise}", strength))).mean())
"""


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Trained with σ = 0**, it is a plain autoencoder: its answers become blurred as the noise grows.\n"
            "- **Trained with much noise and shown little**, it also smooths what was not damaged. Each network is "
            "best at its own σ.\n"
            "- **The filter** knows nothing of digits: it blurs strokes and noise alike.\n"
            "- **Erasures** are like the channel of an error-correcting code: half of the pixels are gone, and the "
            "answer has fewer wrong bits than the damaged image. The network also spoils some bits that were right, "
            "since it corrects towards the nearest image that it can draw."
        )
    with st.expander("Why"):
        st.markdown(
            "The network sees $\\tilde{x}$ and is compared with $x$ (Eq. 4, 5). The best answer is the mean of all "
            "images from which this damaged image could have come, so the network must know which images there are. In "
            "the chapter’s Eq. 5, p is the probability that a value is **kept**. Section 2.2, Fig. 2; Vincent et al. "
            "(2008)."
        )
