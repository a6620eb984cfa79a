"""Exhibit: pixels or features, who compares (§5.4)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import Run
from aecore.explore import features
from aecore.explore.pictures import to_uint8
from aecore.measure import passing, sharpness
from app import comparison, exhibits, looks, plots, seen, shelf
from app.browser.contact import contact

MANY = 500
CHANNELS = 12

sweep = exhibits.opening(
    "Feature loss",
    "A loss of pixels punishes an edge that is one pixel off as if it were missing: **so a net answers with a blur**. "
    "What if a net that has learned to see compares the two instead?",
    "features",
)
runs = dict(zip(sweep.values, sweep.runs, strict=True))
names = st.pills("Compared by", list(runs), selection_mode="multi", default=list(runs),
                 key=exhibits.key_of("features.models", sweep), **looks.LINKED)  # fmt: skip
names = [name for name in runs if name in names] or list(runs)
some = runs[names[0]]
test = looks.split(some)
with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
    seed = looks.number("Seed of the choice", 9999, "features.seed", width=200)
ids = tuple(seen.choice(some, 12, seed).tolist())
sheets = [("original", seen.images(some, ids)), *((name, seen.reconstructions(runs[name], ids)) for name in names)]
contact(sheets, key="features.sheet", tile=64, alt=f"Images above their reconstructions by {', '.join(names)}")
st.latex(plots.equation(
    r"\text{pixels: } \term{recon}{c \lVert x - \hat x \rVert^2}\qquad \text{features: } \beta\, "
    r"\term{features}{\textstyle\sum_l \frac{\lVert \Phi_l(x) - \Phi_l(\hat x) \rVert^2}{2 C_l H_l W_l s_l}}"
))  # fmt: skip
eyes = {name: run for name, run in runs.items() if run.info.model == "dfc_vae"}
if eyes:
    kind = next(iter(eyes.values())).info.params["features"]
    st.caption(
        f"Φ is here **{looks.plain(kind)}**"
        + (", trained on the same images by their labels before the rest" if kind == "classifier" else "")
        + ". Another Φ (MobileNetV2 or VGG-19 with ImageNet’s weights) can be chosen on Train."
    )


@seen.remember(max_entries=32)
def pictures(run: Run, original: bool = False) -> np.ndarray:
    """(n, C, H, W) held-out images, or what the model makes of them."""
    test = shelf.data(run).test
    ids = passing.first(test, MANY)
    if original:
        return np.concatenate([x.numpy() for x in passing.inputs(test, ids, run.info.shape)])
    return passing.autoencode(shelf.model(run), test, ids)


x = pictures(some, True)
energy = {"images": sharpness.gradient_energy(x)}
spectra = {"images": sharpness.spectrum(x).numpy()}
errors = {}
for name in names:
    x_hat = pictures(runs[name])
    energy[name] = sharpness.gradient_energy(x_hat)
    spectra[name] = sharpness.spectrum(x_hat).numpy()
    errors[name] = float(np.square(x - x_hat).mean())
looks.numbers([
    ("images", f"{energy['images']:.4f}", "gradient energy: how much neighbouring pixels differ", ""),
    *((name, f"{energy[name]:.4f}", f"{100 * energy[name] / energy['images']:.0f} % of the images’; squared error "
       f"{errors[name]:.4f}", colour) for name, colour in zip(names, exhibits.LINES, strict=False)),
])  # fmt: skip
st.header("Blur, by frequency", anchor=False)
made = exhibits.figure(360, "frequency, cycles a pixel", "power, relative to the images’")
count = len(spectra["images"])
frequency = np.linspace(0, 0.5, count)
for name, colour in zip(names, exhibits.LINES, strict=False):
    made.add_scatter(x=frequency[1:], y=(spectra[name] / np.maximum(spectra["images"], 1e-12))[1:], name=name,
                     line={"color": colour, "width": 3}, hovertemplate="%{y:.2f}")  # fmt: skip
made.add_hline(y=1, line={"dash": "dot", "color": plots.INK}, annotation_text="as the images")
made.update_yaxes(rangemode="tozero")
exhibits.show(made, "features.spectrum", "Power of reconstructions by frequency, as a share of that of the images")
st.caption(f"Over {len(x)} held-out images. A blur takes the high frequencies; artefacts add some.")


@seen.remember(max_entries=64)
def maps(eye: Run, run: Run, example: int, block: int) -> features.Maps:
    return features.feature_maps(shelf.model(eye), shelf.model(run), shelf.data(run).test, example, block)


st.header("What the loss compares", anchor=False)


@st.fragment
@shelf.plain_errors()
def compared() -> None:
    """Feature maps of an image and of its reconstruction."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        example = looks.number("Number of the image", len(test) - 1, "features.image", width=200)
        block = st.select_slider("Block", [1, 2, 3, 4, 5], 2, key="features.block", width=260, **looks.LINKED)
        by = looks.option("Reconstructed by", names, "features.by")

    eye = next(iter(eyes.values()))
    found = maps(eye, runs[by], example, block)
    some_maps = min(CHANNELS, len(found.x))
    top = np.maximum(np.abs(found.x).max((1, 2)), np.abs(found.x_hat).max((1, 2)))[:some_maps, None, None]

    def shown(values: np.ndarray) -> np.ndarray:
        return to_uint8((values[:some_maps] / np.maximum(top, 1e-12))[:, None]).repeat(2, 1).repeat(2, 2)

    first, second, rest = st.columns([1, 1, 6], gap="medium")
    with first:
        looks.picture(seen.images(some, (example,))[0], "$x$", "the image")
    with second:
        looks.picture(seen.reconstructions(runs[by], (example,))[0], r"$\hat x$", "its reconstruction")
    with rest:
        contact([("Φ(x)", shown(found.x)), ("Φ(x̂)", shown(found.x_hat))], key="features.maps", tile=56,
                captions=[f"{value:.2f}" for value in found.distance[:some_maps]],
                alt="Feature maps of the image above those of its reconstruction")  # fmt: skip
    st.caption(
        f"The {some_maps} channels of block {block} that differ most, of {len(found.x)}; below each its mean squared "
        f"difference, in shares of the block’s variance. Mean of all: {found.distance.mean():.3f}."
    )


if eyes:
    compared()
table = {"compared by": ["images", *names], "gradient energy": [energy[name] for name in ("images", *names)],
         "squared error": ["", *(f"{errors[name]:.5f}" for name in names)]}  # fmt: skip
exhibits.take_home(
    "feature-loss", table,
    """
from aecore import sweeps
from aecore.measure import passing, sharpness

found = sweeps.sweep("features")
for value, run in zip(found.values, found.runs):
    x_hat = passing.autoencode(run.model(), run.data().test, passing.first(run.data().test, 500))
    print(value, sharpness.gradient_energy(x_hat))
""",
    "features", lambda: plots.png(looks.sheet(np.concatenate([images for _, images in sheets]), 12)),
)  # fmt: skip
comparison.train("features")
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
