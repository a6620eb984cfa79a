"""Exhibit: denoising autoencoders (Fig. 2, Eq. 4, 5)."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from aecore import Run, inference
from aecore.data.base import TensorSplit
from aecore.explore import denoise
from aecore.explore.images import to_uint8
from aecore.measure.reconstruction import psnr
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import code_bars, key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import held_out
from app.link import LINKED
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row

MANY = 200
STRENGTHS = {"gaussian": np.linspace(0.1, 1.2, 12), "erasures": np.linspace(0.1, 0.9, 9)}
WORDS = {"gaussian": "σ", "erasures": "erased"}


@cached.remember(max_entries=128)
def best(run: Run, noise: str, strength: float) -> str:
    return denoise.best_filter(library.data(run).train, noise, strength)


@cached.remember(max_entries=128)
def restored(run: Run, deep: Run, ids: tuple[int, ...], noise: str, strength: float, seed: int) -> dict:
    """name → floats (n, C, H, W): "original", "damaged", and what each of the three makes of it."""
    x = inference.examples(library.data(run).test, ids)
    x_tilde = denoise.damaged(x, noise, strength, seed)
    return {
        "original": x.numpy(),
        "damaged": x_tilde.numpy(),
        "denoising": denoise.restored(library.model(run), x_tilde),
        "deep": denoise.restored(library.model(deep), x_tilde),
        "filter": denoise.filtered(x_tilde.numpy(), best(run, noise, strength), noise, strength),
    }


@cached.remember(max_entries=32)
def curve(run: Run, noise: str, strengths: tuple[float, ...], classical: bool = False) -> np.ndarray:
    """Mean PSNR over MANY held-out images at each strength; classical: of the best filter, else of the model."""
    test = library.data(run).test
    x = inference.examples(test, inference.first(test, MANY))
    levels = []
    for strength in strengths:
        x_tilde = denoise.damaged(x, noise, strength)
        if classical:
            answer = denoise.filtered(x_tilde.numpy(), best(run, noise, strength), noise, strength)
        else:
            answer = denoise.restored(library.model(run), x_tilde)
        levels.append(float(psnr(x, answer).mean()))
    return np.array(levels)


def page() -> None:
    exhibit.heading(
        "Denoising",
        "Shown only damaged images, and asked for whole ones, a net must learn **what images look like**. How much noise "
        "does it undo, and what do a plain autoencoder and a filter make of the same?",
    )
    noise = layout.option("Damage", list(denoise.NOISES), "denoising.noise")
    sweep = exhibit.trained("denoising" if noise == "gaussian" else "erasures")
    plain = exhibit.trained("bottleneck")
    deep = plain.runs[list(plain.values).index(64)] if 64 in plain.values else plain.runs[-1]
    values = list(sweep.values)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        if noise == "gaussian":
            strength = st.slider(r"Strength $\sigma$", 0.0, 1.2, 0.5, 0.05, key="denoising.sigma", width=300, **LINKED)
            value = st.select_slider(
                r"Trained with $\sigma$",
                values,
                values[min(2, len(values) - 1)],
                key="denoising.trained",
                width=260,
                **LINKED,
            )
        else:
            strength = st.slider(
                "Share of pixels erased, $1 - p$", 0.0, 0.9, 0.5, 0.05, key="denoising.share", width=300, **LINKED
            )
            value = st.select_slider(
                "Trained with $p$ kept", values, values[len(values) // 2], key="denoising.kept", width=260, **LINKED
            )
        run = sweep.runs[values.index(value)]
        test = held_out(run)
        example = layout.number("Number of the image", len(test) - 1, "denoising.image", width=200)
        seed = layout.number("Seed of the damage", 9999, "denoising.seed", width=200)

    found = restored(run, deep, (example,), noise, float(strength), seed)
    code = inference.map_batches(
        layout.model(run), TensorSplit(torch.from_numpy(found["damaged"])), np.arange(1), layout.model(run).encode
    )[0]
    level = {name: float(psnr(found["original"], np.clip(picture, 0, 1))[0]) for name, picture in found.items()}

    def decibels(name: str) -> str:
        return "" if not np.isfinite(level[name]) else f", {level[name]:.1f} dB"

    with st.container(horizontal=True, gap="medium"):
        for name, title in (
            ("original", "$x$"),
            ("damaged", r"$\tilde{x}$"),
            ("", ""),
            ("denoising", r"$B(A(\tilde{x}))$"),
            ("deep", "by a plain net"),
            ("filter", "by a filter"),
        ):
            with st.container(width=164 if name else 226):
                if name:
                    layout.picture(to_uint8(found[name])[0], f"{title}{decibels(name)}", f"{name} image {example}")
                else:
                    code_bars(code, None, "The code of the damaged image", 230, labels=4)
                    st.caption(f"code $A(\\tilde{{x}})$ of {len(code)} units")
    st.latex(
        plots.equation(
            (
                r"\tilde{x} = x + \sigma \xi,\ \sigma = " + f"{strength:.2f}"
                if noise == "gaussian"
                else r"\tilde{x} = \beta \odot x,\ \beta \sim \mathrm{Ber}(p),\ p = " + f"{1 - strength:.2f}"
            )
            + r"\qquad \min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta(x, B(A(\tilde{x})))}"
        )
    )
    twelve = tuple(cached.choice(run, 12, seed).tolist())
    many = restored(run, deep, twelve, noise, float(strength), seed)
    sheets = [(name, to_uint8(picture)) for name, picture in many.items()]
    contact(sheets, key="denoising.sheet", tile=64, alt="Twelve images, damaged, and restored by three methods")
    st.caption(
        f"The filter: {best(run, noise, float(strength))}: the best of {len(denoise.FILTERS)} classical ones on "
        f"{denoise.TUNED} training images at this strength. The net has seen them all."
    )

    st.header("From little noise to much", anchor=False)
    strengths = tuple(float(s) for s in STRENGTHS[noise])
    lines = {
        f"denoising, {WORDS[noise] if noise == 'gaussian' else 'p'} = {value}": curve(run, noise, strengths),
        "deep": curve(deep, noise, strengths),
        "filter": curve(run, noise, strengths, True),
    }
    made = empty_figure(380, "strength", "PSNR, dB")
    for (name, levels), colour in zip(lines.items(), LINES, strict=False):
        made.add_scatter(
            x=strengths,
            y=levels,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 3},
            hovertemplate="%{y:.1f} dB",
        )
    made.add_vline(x=float(strength), line={"dash": "dot", "color": plots.INK})
    show_figure(made, "denoising.curve", "PSNR against strength, for the denoising net, a plain net and a filter")
    before, after = denoise.bits_restored(many["original"], many["damaged"], many["denoising"])
    key_figures(
        [
            (
                "this image, damaged",
                f"{level['damaged']:.1f} dB" if np.isfinite(level["damaged"]) else "whole",
                "peak signal-to-noise ratio",
                "",
            ),
            ("restored", f"{level['denoising']:.1f} dB", "by the denoising net", LINES[0]),
            ("wrong bits, damaged", f"{100 * before:.1f} %", "of twelve images; a bit: brighter than ½", ""),
            ("wrong bits, restored", f"{100 * after:.1f} %", "as a code corrects errors", LINES[0]),
        ]
    )
    download_row(
        "denoising",
        {"strength": strengths, **lines},
        f"""
import torch
from aecore.runs import sweeps
from aecore.explore import denoise
from aecore.measure.reconstruction import psnr

found = sweeps.sweep("{"denoising" if noise == "gaussian" else "erasures"}")
run = found.runs[{values.index(value)}]
test = run.data().test
x = inference.examples(test, inference.first(test, {MANY}))
for strength in {[round(s, 2) for s in strengths]}:
    print(strength, psnr(x, denoise.restored(run.model(), denoise.damaged(x, "{noise}", strength))).mean())
""",
        "denoising",
        lambda: plots.png(contact_sheet(np.concatenate([images for _, images in sheets]), 12)),
    )
    train_sweep.train("denoising" if noise == "gaussian" else "erasures")
    with st.expander("What to look for"):
        st.markdown(
            "- **Trained with σ = 0** it is a plain autoencoder: its answer turns to mist as noise grows.\n"
            "- **Trained with much, shown little**: it smooths what was not damaged. Each net is best at its own σ.\n"
            "- **The filter** knows nothing of digits: it blurs stroke and noise alike.\n"
            "- **Erasures** are a code’s channel: half of the pixels gone, and fewer wrong bits than before, though the "
            "net also spoils some that were right: it corrects towards the nearest image that it can draw."
        )
    with st.expander("Why"):
        st.markdown(
            "The net sees $\\tilde{x}$ and is judged by $x$ (Eq. 4, 5): the best answer is the mean of all images that "
            "could have been damaged into this one, so it must know which images there are. In the chapter’s Eq. 5, p is "
            "the probability that a value is **kept**. Section 2.2, Fig. 2; Vincent et al. (2008)."
        )
