"""Exhibit: the distribution of pixels p(x|z), and what the number of nats means that a decoder gives (§3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run, inference
from aecore.explore import pixel_likelihoods
from aecore.explore.pixel_likelihoods import Beside, Pixel, Sampled, Score
from aecore.measure import likelihood
from aecore.runs.sweeps import Sweep
from app import cached, library, pages
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import held_out
from app.link import to_page
from app.panels import exhibit, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Number

SWEEP = "likelihoods"
NAMES = {"bernoulli": "Bernoulli", "continuous_bernoulli": "continuous Bernoulli", "gaussian": "Gaussian"}
SHOWN = 12  # images and samples in a row
MEASURED = 500  # held-out images over which the terms are measured
CODED, EXACT = "vae-16", "pixelcnn-digits"  # the trained examples whose likelihoods are compared
COMPARED = 30  # held-out images for this comparison


class State:
    """The parameter of one pixel, and the choice of images and samples."""

    lam = Number("likelihoods.lam", 0.01, 0.99, 0.2, 0.01)
    seed = Number("likelihoods.seed", 0, 9999)


@cached.remember(max_entries=64)
def score(run: Run, thresholded: bool) -> Score:
    """The terms of the bound of held-out images, as they are or split at one half."""
    test = held_out(run)
    x = inference.examples(test, inference.first(test, MEASURED))
    return pixel_likelihoods.score(library.model(run), likelihood.binarised(x) if thresholded else x)


@cached.remember(max_entries=64)
def sampled(run: Run, seed: int) -> Sampled:
    """Samples of a run's prior, without and with the noise of the pixels."""
    return pixel_likelihoods.sampled(library.model(run), SHOWN, seed)


@cached.remember(max_entries=8, show_spinner="Computing likelihoods …")
def beside(coded: Run, exact: Run, how: str) -> Beside:
    """Bounds and exact likelihoods of the same binarised images."""
    test = held_out(exact)
    return pixel_likelihoods.beside(
        library.model(coded), library.model(exact), test, inference.first(test, COMPARED), how
    )


def page() -> None:
    sweep = exhibit.opening(
        "Pixel likelihoods",
        "A decoder says how likely every value of every pixel is. **Which distribution it uses decides what its number "
        "of nats means**: a likelihood, a density, or only a cross-entropy.",
        SWEEP,
    )
    runs = {NAMES.get(str(value), str(value)): run for value, run in zip(sweep.values, sweep.runs, strict=True)}
    show_pixel(sweep)
    st.header("The same VAE with each of them", anchor=False)
    sheet = show_decoders(runs)
    scores = {name: score(run, False) for name, run in runs.items()}
    show_scores(runs, scores)
    show_downloads(scores, sheet)
    train_sweep.train(SWEEP)
    st.header("Black and white, beside an exact likelihood", anchor=False)
    show_beside()
    show_explanations()


# --- one pixel --------------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def show_pixel(sweep: Sweep) -> None:
    """The three distributions of one pixel, and what they integrate to."""
    c = float(sweep.runs[0].info.params["c"])
    lam = State.lam.slider("The decoder’s parameter $\\lambda$ of one pixel", width=380)
    found = pixel_likelihoods.pixel(lam, c)
    show_figure(
        pixel_figure(found, lam),
        "likelihoods.pixel",
        "The Bernoulli formula, the continuous Bernoulli and the Gaussian density of one pixel's value",
    )
    key_figures(
        [
            (
                "Bernoulli",
                f"p(1) = {lam:.2f}",
                f"of 0 and 1 only; over grey values its formula has the area {found.area:.3f}, not 1",
                LINES[0],
            ),
            (
                "continuous Bernoulli",
                f"C(λ) = {found.normaliser:.3f}",
                f"the factor that makes the area 1; its mean is {found.mean:.3f}, and that is the grey value shown",
                LINES[1],
            ),
            (
                "Gaussian",
                f"σ = {(0.5 / c) ** 0.5:.3f}",
                f"c = {c:g}; {100 * found.within:.1f} % of it lies between 0 and 1",
                LINES[2],
            ),
        ]
    )


def pixel_figure(found: Pixel, lam: float) -> go.Figure:
    """The densities of one pixel's value, with the two probabilities of the Bernoulli distribution as points."""
    figure = empty_figure(340, "value of the pixel", "density; ● probability")
    bernoulli, continuous, gaussian = LINES[:3]
    figure.add_scatter(
        x=found.x,
        y=found.formula,
        name="Bernoulli’s formula at grey values: no density",
        line={"color": bernoulli, "width": 2, "dash": "dot"},
        hovertemplate="%{y:.3f}",
    )
    figure.add_scatter(
        x=[0, 1],
        y=[1 - lam, lam],
        name="Bernoulli",
        mode="markers",
        marker={"color": bernoulli, "size": 14},
        hovertemplate="p(%{x}) = %{y:.2f}",
    )
    for name, values, colour in (
        (NAMES["continuous_bernoulli"], found.continuous, continuous),
        (NAMES["gaussian"], found.gaussian, gaussian),
    ):
        figure.add_scatter(x=found.x, y=values, name=name, line={"color": colour, "width": 3}, hovertemplate="%{y:.3f}")
    return figure.update_yaxes(rangemode="tozero")


# --- three decoders ---------------------------------------------------------------------------------------------------


def show_decoders(runs: Mapping[str, Run]) -> np.ndarray:
    """Images, their reconstructions and samples by each decoder; all of them as (n, H, W[, 3])."""
    first = next(iter(runs.values()))
    seed = State.seed.number("Seed of images and samples", width=220)
    ids = tuple(cached.choice(first, SHOWN, seed).tolist())
    samples = {name: sampled(run, seed) for name, run in runs.items()}
    rows = [
        ("original", cached.images(first, ids)),
        *((f"reconstructed, {name}", cached.reconstructions(run, ids)) for name, run in runs.items()),
        *((f"sample, {name}", each.means) for name, each in samples.items()),
        *((f"with its pixels’ noise, {name}", each.drawn) for name, each in samples.items()),
    ]
    contact(rows, key="likelihoods.sheet", tile=56, alt=f"Images, reconstructions and samples by {', '.join(runs)}")
    st.caption(
        "Reconstructions and samples show the mean of p(x|z), as everywhere in this app. The last rows draw the value "
        "of each pixel from p(x|z): that is what the number of nats judges."
    )
    return np.concatenate([images for _, images in rows])


def show_scores(runs: Mapping[str, Run], scores: Mapping[str, Score]) -> None:
    """What each decoder's number is, in words and nats."""
    key_figures(
        [
            (name, f"{one.elbo if not one.cross_entropy else -one.elbo:.1f} nats".replace("-", "−"), meaning(one), line)
            for (name, one), line in zip(scores.items(), LINES, strict=False)
        ]
    )
    st.dataframe([table_row(name, scores[name], run) for name, run in runs.items()], hide_index=True, width="stretch")
    st.caption(
        f"Means of {MEASURED} held-out images; ± is the standard error over them. The two densities are of the same "
        "grey values, so their bounds can be compared with each other. No number can be compared with the "
        "cross-entropy. A density rises without limit where values are exactly 0 or 1, so its nats also tell how many "
        "pixels are exactly black."
    )


def meaning(one: Score) -> str:
    """What the sum of a decoder's terms is."""
    if one.cross_entropy:
        return f"cross-entropy {one.recon:.1f} + KL {one.kl:.1f}; bounds nothing; lower is better"
    return f"± {one.error:.1f}; lower bound of a log-density of grey values; higher is better"


def table_row(name: str, one: Score, run: Run) -> dict[str, str]:
    """A row of the table of decoders."""
    able = library.model(run)
    black_and_white = score(run, True).elbo if likelihood.has_bernoulli_pixels(able) else None
    return {
        "p(x|z)": name,
        "first term, nats": f"{one.recon:.1f}",
        "it is": "a cross-entropy" if one.cross_entropy else "−log of a density",
        "KL, nats": f"{one.kl:.1f}",
        "ELBO of grey values": "none" if one.cross_entropy else f"{one.elbo:.1f} ± {one.error:.1f}",
        "ELBO split at ½": "" if black_and_white is None else f"{black_and_white:.1f}",
        "squared error": f"{cached.error(run):.4f}",
    }


def show_downloads(scores: Mapping[str, Score], sheet: np.ndarray) -> None:
    """The terms as a table, the pictures, and the lines of Python."""
    each = scores.values()
    download_row(
        "pixel-likelihoods",
        {
            "likelihood": list(scores),
            "cross-entropy": [one.cross_entropy for one in each],
            "recon": [one.recon for one in each],
            "kl": [one.kl for one in each],
            "minus both": [one.elbo for one in each],
            "standard error": [one.error for one in each],
        },
        f"""
from aecore import inference
from aecore.explore.pixel_likelihoods import score
from aecore.runs import sweeps

sweep = sweeps.sweep("{SWEEP}")
for value, run in zip(sweep.values, sweep.runs):
    test = run.data().test
    print(value, score(run.model(), inference.examples(test, inference.first(test, {MEASURED}))))
""",
        "likelihoods",
        lambda: plots.png(contact_sheet(sheet, SHOWN)),
    )


# --- beside an exact likelihood ---------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def show_beside() -> None:
    """The bound of a VAE and the exact likelihood of a PixelCNN, of the same black-and-white images."""
    coded, exact = cached.example(CODED), cached.example(EXACT)
    if coded is None or exact is None:
        st.info(f"The examples {CODED} and {EXACT} are not trained: make pretrained.", icon=":material/info:")
        return
    st.markdown(
        "Of black-and-white images a Bernoulli decoder has a likelihood. **It can be compared with a PixelCNN’s**, "
        "which is exact."
    )
    rows = []
    for how, words in (("thresholded", "split at one half"), ("drawn", "drawn once, with the grey value as chance")):
        found = beside(coded, exact, how)
        rows.append(
            {
                "pixels": words,
                "VAE: ELBO, nats": f"{found.bound.mean():.1f}",
                f"VAE: log p(x) by {found.k} samples": f"{found.estimate.mean():.1f}",
                "PixelCNN: log p(x), exact": f"{found.exact.mean():.1f}",
                "PixelCNN above the ELBO": with_error(found.exact - found.bound),
            }
        )
    st.dataframe(rows, hide_index=True, width="stretch")
    st.caption(
        f"Means of the first {COMPARED} held-out digits; ± is the standard error over them. The estimate by weighted "
        "samples is below log p(x) on average. The VAE was trained on grey values, the PixelCNN on drawn ones."
    )
    with st.container(horizontal=True):
        pages.link("importance", label="Weights of the VAE’s samples", query=to_page(run=CODED))
        pages.link("run", label="The PixelCNN", query=to_page(run=EXACT))


def with_error(values: np.ndarray) -> str:
    """The mean of values (n,) with its standard error."""
    return f"{values.mean():.1f} ± {values.std(ddof=1) / np.sqrt(len(values)):.1f}"


def show_explanations() -> None:
    """What to look for, and why."""
    with st.expander("What to look for"):
        st.markdown(
            "- **The dotted line** is what most VAEs use for grey pixels. Its area is ½ at λ = ½, and less at every "
            "other λ. So −log of it is a useful loss, but no likelihood of a grey value.\n"
            "- **The mean** of a continuous Bernoulli lies between λ and ½: λ itself is not the grey value that the "
            "decoder means.\n"
            "- **Noise of the pixels**: the Gaussian’s noise is the same everywhere, also beyond black and white. The "
            "continuous Bernoulli’s is small only where the mean is near 0 or 1.\n"
            "- **KL**: a density of exact grey values pays more nats for a precise code than a cross-entropy does, so "
            "the codes carry more."
        )
    with st.expander("Why"):
        st.markdown(
            "The evidence lower bound holds for whatever p(x|z) is, if it is a distribution of x: its probabilities or "
            "its density must add up to 1. λˣ(1 − λ)¹⁻ˣ adds up to 1 over {0, 1}, and to 1/C(λ) over [0, 1], so grey "
            "values need the factor C(λ) = 2 artanh(1 − 2λ) / (1 − 2λ). It also changes what is learned, since log C "
            "rewards parameters near 0 and 1. Loaiza-Ganem & Cunningham (2019), arXiv:1907.06845."
        )
