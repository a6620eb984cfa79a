"""Exhibit: pixels or features, who compares (§5.4)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.explore import features
from aecore.explore.images import to_uint8
from aecore.measure import sharpness
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import held_out
from app.link import LINKED
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors
from app.text import escape_markdown

MANY = 500
CHANNELS = 12


@cached.remember(max_entries=32)
def pictures(run: Run, original: bool = False) -> np.ndarray:
    """(n, C, H, W) held-out images, or what the model makes of them."""
    test = library.data(run).test
    ids = inference.first(test, MANY)
    if original:
        return np.concatenate([x.numpy() for x in inference.inputs(test, ids, run.info.shape)])
    return inference.autoencode(library.model(run), test, ids)


@cached.remember(max_entries=64)
def maps(eye: Run, run: Run, example: int, block: int) -> features.Maps:
    return features.feature_maps(library.model(eye), library.model(run), library.data(run).test, example, block)


def page() -> None:
    sweep = exhibit.opening(
        "Feature loss",
        "A loss of pixels punishes an edge that is one pixel off as if it were missing: **so a net answers with a blur**. "
        "What if a net that has learned to see compares the two instead?",
        "features",
    )
    runs = dict(zip(sweep.values, sweep.runs, strict=True))
    names = st.pills(
        "Compared by",
        list(runs),
        selection_mode="multi",
        default=list(runs),
        key=exhibit.key_of("features.models", sweep),
        **LINKED,
    )
    names = [name for name in runs if name in names] or list(runs)
    some = runs[names[0]]
    test = held_out(some)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        seed = layout.number("Seed of the choice", 9999, "features.seed", width=200)
    ids = tuple(cached.choice(some, 12, seed).tolist())
    sheets = [
        ("original", cached.images(some, ids)),
        *((name, cached.reconstructions(runs[name], ids)) for name in names),
    ]
    contact(sheets, key="features.sheet", tile=64, alt=f"Images above their reconstructions by {', '.join(names)}")
    st.latex(
        plots.equation(
            r"\text{pixels: } \term{recon}{c \lVert x - \hat x \rVert^2}\qquad \text{features: } \beta\, "
            r"\term{features}{\textstyle\sum_l \frac{\lVert \Phi_l(x) - \Phi_l(\hat x) \rVert^2}{2 C_l H_l W_l s_l}}"
        )
    )
    eyes = {name: run for name, run in runs.items() if run.info.model == "dfc_vae"}
    if eyes:
        kind = next(iter(eyes.values())).info.params["features"]
        st.caption(
            f"Φ is here **{escape_markdown(kind)}**"
            + (", trained on the same images by their labels before the rest" if kind == "classifier" else "")
            + ". Another Φ (MobileNetV2 or VGG-19 with ImageNet’s weights) can be chosen on Train."
        )

    x = pictures(some, True)
    energy = {"images": sharpness.gradient_energy(x)}
    spectra = {"images": sharpness.spectrum(x).numpy()}
    errors = {}
    for name in names:
        x_hat = pictures(runs[name])
        energy[name] = sharpness.gradient_energy(x_hat)
        spectra[name] = sharpness.spectrum(x_hat).numpy()
        errors[name] = float(np.square(x - x_hat).mean())
    key_figures(
        [
            ("images", f"{energy['images']:.4f}", "gradient energy: how much neighbouring pixels differ", ""),
            *(
                (
                    name,
                    f"{energy[name]:.4f}",
                    f"{100 * energy[name] / energy['images']:.0f} % of the images’; squared error {errors[name]:.4f}",
                    colour,
                )
                for name, colour in zip(names, LINES, strict=False)
            ),
        ]
    )
    st.header("Blur, by frequency", anchor=False)
    made = empty_figure(360, "frequency, cycles a pixel", "power, relative to the images’")
    count = len(spectra["images"])
    frequency = np.linspace(0, 0.5, count)
    for name, colour in zip(names, LINES, strict=False):
        made.add_scatter(
            x=frequency[1:],
            y=(spectra[name] / np.maximum(spectra["images"], 1e-12))[1:],
            name=name,
            line={"color": colour, "width": 3},
            hovertemplate="%{y:.2f}",
        )
    made.add_hline(y=1, line={"dash": "dot", "color": plots.INK}, annotation_text="as the images")
    made.update_yaxes(rangemode="tozero")
    show_figure(made, "features.spectrum", "Power of reconstructions by frequency, as a share of that of the images")
    st.caption(f"Over {len(x)} held-out images. A blur takes the high frequencies; artefacts add some.")

    st.header("What the loss compares", anchor=False)

    @st.fragment
    @plain_errors()
    def compared() -> None:
        """Feature maps of an image and of its reconstruction."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
            example = layout.number("Number of the image", len(test) - 1, "features.image", width=200)
            block = st.select_slider("Block", [1, 2, 3, 4, 5], 2, key="features.block", width=260, **LINKED)
            by = layout.option("Reconstructed by", names, "features.by")

        eye = next(iter(eyes.values()))
        found = maps(eye, runs[by], example, block)
        some_maps = min(CHANNELS, len(found.x))
        top = np.maximum(np.abs(found.x).max((1, 2)), np.abs(found.x_hat).max((1, 2)))[:some_maps, None, None]

        def shown(values: np.ndarray) -> np.ndarray:
            return to_uint8((values[:some_maps] / np.maximum(top, 1e-12))[:, None]).repeat(2, 1).repeat(2, 2)

        first, second, rest = st.columns([1, 1, 6], gap="medium")
        with first:
            layout.picture(cached.images(some, (example,))[0], "$x$", "the image")
        with second:
            layout.picture(cached.reconstructions(runs[by], (example,))[0], r"$\hat x$", "its reconstruction")
        with rest:
            contact(
                [("Φ(x)", shown(found.x)), ("Φ(x̂)", shown(found.x_hat))],
                key="features.maps",
                tile=56,
                captions=[f"{value:.2f}" for value in found.distance[:some_maps]],
                alt="Feature maps of the image above those of its reconstruction",
            )
        st.caption(
            f"The {some_maps} channels of block {block} that differ most, of {len(found.x)}; below each its mean squared "
            f"difference, in shares of the block’s variance. Mean of all: {found.distance.mean():.3f}."
        )

    if eyes:
        compared()
    table = {
        "compared by": ["images", *names],
        "gradient energy": [energy[name] for name in ("images", *names)],
        "squared error": ["", *(f"{errors[name]:.5f}" for name in names)],
    }
    download_row(
        "feature-loss",
        table,
        """
from aecore.runs import sweeps
from aecore import inference
from aecore.measure import sharpness

found = sweeps.sweep("features")
for value, run in zip(found.values, found.runs):
    x_hat = inference.autoencode(run.model(), run.data().test, inference.first(run.data().test, 500))
    print(value, sharpness.gradient_energy(x_hat))
""",
        "features",
        lambda: plots.png(contact_sheet(np.concatenate([images for _, images in sheets]), 12)),
    )
    train_sweep.train("features")
    with st.expander("What to look for"):
        st.markdown(
            "- **Edges**: compared by features, strokes keep their edge even where they lie elsewhere; the gradient energy "
            "comes nearer to the images’.\n"
            "- **Early or late blocks**: the first sees strokes, the last sees which digit it is. Compared by late blocks "
            "alone, the picture may carry what no digit has: Φ does not mind.\n"
            "- **Squared error** is worst where pixels do not count: it was not asked for."
        )
    with st.expander("Why"):
        st.markdown(
            "The mean of all images that fit is the best answer to a squared error, and the mean of shifted edges is a "
            "blur. Features of a trained net change little when an edge moves a little. What sharper edges are worth, and "
            "what the claim does not say, is in the errata. One seed each. Section 5.4; Hou et al. (2017), "
            "arXiv:1610.00291."
        )
