"""Exhibit: importance weights and IWAE's bound (Eq. 13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run
from aecore.explore import importance
from aecore.measure import likelihood
from app import cached, library, pages
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures, share_bars
from app.figures.plots import contact_sheet, empty_figure, model_lines, show_figure
from app.library import held_out, image_title
from app.link import to_page
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import csv_table, download_button, python_button
from app.state import Choice, Number

SWEEP = "importance"  # networks trained with several numbers of samples
IWAE = "iwae"  # what the link to the Train page opens
KS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
TOTAL = 2000  # samples of the image, on which each bound rests: four groups of 500, 2,000 of one
MANY = 30  # images whose mean bound is shown
FEW_TOTAL = 100  # samples of each of them
FEW_KS = tuple(k for k in KS if 2 * k <= FEW_TOTAL)
SHOWN = 24  # samples
ELBO = plots.term_colour("elbo")


class State:
    """The number of samples, the image, and the random numbers."""

    k = Choice("importance.k", (*range(1, 11), *range(12, 65, 4), 100, 200, 500), 10)
    image = Number("importance.image", 0)
    seed = Number("importance.seed", 0, 9999)


class View(NamedTuple):
    """What the visitor has chosen: k samples of the posterior of one image."""

    run: Run
    example: int
    k: int
    seed: int
    samples: importance.Draws

    @property
    def shown(self) -> int:
        """How many of the samples are shown."""
        return min(self.k, SHOWN)


@cached.remember(max_entries=64)
def samples_of(run: Run, example: int, k: int, seed: int) -> importance.Draws:
    """k samples of a held-out image's posterior with their weights."""
    return importance.draws(library.model(run), library.data(run).test, example, k, seed)


@cached.remember(max_entries=64)
def bounds_of(run: Run, ids: tuple[int, ...], ks: tuple[int, ...], seed: int, total: int) -> importance.Bounds:
    """The bound of held-out images for each number of samples."""
    return importance.bounds(library.model(run), library.data(run).test, np.array(ids), ks, seed, total)


class Curve(NamedTuple):
    """Bounds against k, nats.

    mean, error: (len(ks),), the estimates and their standard errors.  groups: (len(ks),), of k samples of each image.
    """

    ks: tuple[int, ...]
    mean: np.ndarray
    error: np.ndarray
    groups: np.ndarray


def page() -> None:
    run = layout.opening(
        "Importance weights",
        "The ELBO takes one sample of the code as if it were the only one. **Several samples, each with its "
        "weight**, come closer to how likely the image really is.",
        "posterior",
    )
    if "likelihood" not in run.entry.abilities:
        st.info("This model has no likelihood p(x|z): its samples have no weights. Choose a VAE or an IWAE above.")
        st.stop()
    view = choose_view(run)
    show_samples(view)
    st.latex(
        r"\begin{gathered} \mathcal{L}_k = \mathbb{E}\, \log \tfrac{1}{k} \textstyle\sum_{i=1}^{k} w_i,\qquad "
        r"w_i = \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)} \\[.4em] z_i \sim q(z|x),\qquad "
        r"\mathcal{L}_1 \le \mathcal{L}_k \le \log p(x) \end{gathered}"
    )
    one = bounds_of_image(view)
    mean = mean_bounds(run)
    show_numbers(view, one)
    show_values(view)

    st.header("The bound against k", anchor=False)
    curves = {f"image {view.example}": one, f"{MANY} held-out images, mean": mean}
    show_figure(
        bound_figure(curves, view.k, view.samples),
        "importance.curve",
        "The bound grows with the number of samples, fast at first",
    )
    st.caption(
        f"Each point is a mean over groups of k samples. For the image there are {TOTAL:,} samples: {TOTAL:,} groups "
        f"of one, {TOTAL // KS[-1]} of {KS[-1]}. For the mean of {MANY} images there are {FEW_TOTAL} samples of each. "
        "Bars are ± 2 standard errors by chance of the samples; point at one for its numbers."
    )
    show_downloads(view, one, mean)

    st.header("Trained with more samples", anchor=False)
    sweep = exhibit.trained(SWEEP)
    trained = {f"trained with {k}": mean_bounds(run) for k, run in zip(sweep.values, sweep.runs, strict=True)}
    show_figure(
        trained_figure(trained),
        "importance.trained",
        "The bound against the samples that judge, of networks trained with 1, 5 and 50",
    )
    st.caption(
        f"Mean bound of the same {MANY} held-out images, ± 2 standard errors by chance of {FEW_TOTAL} samples of each. "
        "Small networks and few epochs; one seed each."
    )
    train_sweep.train(SWEEP)
    show_explanations()


def choose_view(run: Run) -> View:
    """The controls at the top."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        k = State.k.slider("Samples $k$", width=380)
        example = State.image.given(most=len(held_out(run)) - 1).number("Number of the image", width=200)
        seed = State.seed.number("Seed of the samples", width=200)
    return View(run, example, k, seed, samples_of(run, example, k, seed))


def bounds_of_image(view: View) -> Curve:
    """The bounds of the image for each of KS."""
    found = bounds_of(view.run, (view.example,), KS, view.seed, TOTAL)
    return Curve(KS, found.mean[0], found.error[0], found.groups)


def mean_bounds(run: Run) -> Curve:
    """Mean bounds of the first MANY held-out images for each of FEW_KS."""
    found = bounds_of(run, tuple(range(min(MANY, len(held_out(run))))), FEW_KS, 0, FEW_TOTAL)
    return Curve(FEW_KS, found.mean.mean(0), np.sqrt((found.error**2).sum(0)) / len(found.error), found.groups)


def show_samples(view: View) -> None:
    """The image, and what the samples decode to, with their weights."""
    weights, tiles = view.samples.weights[: view.shown], view.samples.tiles[: view.shown]
    original, sheet = st.columns([1, 5], gap="large")
    with original:
        layout.picture(view.samples.image, "$x$", image_title(view.run, view.example))
    with sheet:
        contact(
            [("", tiles)],
            key="importance.sheet",
            tile=64,
            captions=[f"{100 * weight:.1f} %" for weight in weights],
            alt=f"The {view.shown} heaviest of {view.k} samples, with their weights",
        )
        share_bars(weights, "Weights of the samples, the heaviest first")
        subject = f"The {view.shown} heaviest of {view.k} samples" if view.shown < view.k else f"All {view.k} samples"
        st.caption(f"{subject} of q(z|x), what each decodes to, and its share of all weights.")


def show_numbers(view: View, bounds: Curve) -> None:
    """The bound of these samples beside those of other numbers of samples.  bounds: of the image, for each of KS."""
    k = view.k
    chance = f", ± {view.samples.error:.2f} by chance" if k > 1 else ", by chance of one"
    key_figures(
        [
            ("these samples", nats(view.samples.bound), f"log of these {k} weights’ mean{chance}", ELBO),
            (
                "effective samples",
                f"{view.samples.effective:.1f}",
                f"so many of equal weight are worth these {k}",
                "",
            ),
            ("ELBO of this image", nats(bounds.mean[0]), f"k = 1: {spread(bounds, 0)}", ""),
            (f"k = {KS[-1]}", nats(bounds.mean[-1]), f"nearest to log p(x): {spread(bounds, -1)}", ""),
        ]
    )


def spread(bounds: Curve, at: int) -> str:
    """The standard error of one of the bounds, and on how many samples it rests."""
    k, groups = bounds.ks[at], bounds.groups[at]
    samples = f"{groups:,} samples" if k == 1 else f"{groups:,} groups of {k}"
    return f"± {bounds.error[at]:.2f}, mean of {samples}"


def show_values(view: View) -> None:
    """Of which values of the image p(x|z) is a likelihood."""
    if likelihood.has_bernoulli_pixels(library.model(view.run)):
        st.caption(
            "This decoder’s pixels are 0 or 1 (Bernoulli), so each image is split at one half into black and white. Of "
            "grey values −log p(x|z) would be a cross-entropy, which bounds no likelihood."
        )
    else:
        st.caption("p(x|z) is a density of grey values, so its logarithm may be positive.")


def nats(value: float) -> str:
    return f"{value:.2f} nats".replace("-", "−")


def bound_figure(curves: Mapping[str, Curve], k: int, samples: importance.Draws) -> go.Figure:
    """Bounds against k with ± 2 standard errors.  k, samples: those that the page shows."""
    figure = empty_figure(380, "samples k", "nats")
    for (name, curve), dash in zip(curves.items(), ("solid", "dot"), strict=True):
        line = {"color": ELBO, "dash": dash, "width": 3}
        figure.add_scatter(
            x=curve.ks,
            y=curve.mean,
            error_y=error_bars(curve),
            name=name,
            mode="lines+markers",
            line=line,
            marker={"size": 9},
            customdata=np.stack([curve.error, curve.groups], 1),
            hovertemplate="k = %{x}: %{y:.2f} ± %{customdata[0]:.2f} nats, %{customdata[1]:,} groups",
        )
    diamond = {"size": 16, "symbol": "diamond", "color": plots.term_colour("kl")}
    bars = {"array": [2 * samples.error], "color": plots.term_colour("kl")} if k > 1 else None
    figure.add_scatter(x=[k], y=[samples.bound], error_y=bars, name="these samples", mode="markers", marker=diamond)
    return figure.update_xaxes(type="log", tickvals=KS)


def error_bars(curve: Curve) -> dict[str, Any]:
    """± 2 standard errors, as a figure draws them."""
    return {"type": "data", "array": 2 * curve.error, "thickness": 1.5}


def trained_figure(curves: Mapping[str, Curve]) -> go.Figure:
    """Mean bounds against FEW_KS with ± 2 standard errors, a line for each network."""
    means = {name: curve.mean for name, curve in curves.items()}
    figure = model_lines(FEW_KS, means, ("samples k that judge", "nats"), hover="%{y:.2f}", marker_size=9)
    for trace, curve in zip(figure.data, curves.values(), strict=True):
        trace.error_y = error_bars(curve)
    return figure.update_xaxes(type="log", tickvals=KS)


def show_downloads(view: View, one: Curve, mean: Curve) -> None:
    """Bounds, samples and their pictures as files.  one, mean: bounds of the image, and means, for the first of KS."""
    run, samples = view.run, view.samples
    with st.container(horizontal=True):
        empty = [""] * (len(KS) - len(mean.ks))
        columns = (one.mean, one.error, one.groups, [*mean.mean, *empty], [*mean.error, *empty])
        titles = (f"image {view.example}", "standard error", "groups", f"mean of {MANY} images", "its standard error")
        bounds = csv_table(["k", *titles], KS, *(map(str, column) for column in columns))
        download_button("Bounds as CSV", bounds, f"{run.info.id}-bounds.csv", "text/csv", "importance.csv")
        table = csv_table(
            ["sample", "log weight", "weight", *(f"z{j + 1}" for j in range(samples.z.shape[1]))],
            range(1, view.k + 1),
            samples.log_w,
            samples.weights,
            *samples.z.T,
        )
        download_button("Samples as CSV", table, f"{run.info.id}-samples.csv", "text/csv", "importance.draws")
        download_button(
            "Samples as PNG",
            lambda: plots.png(contact_sheet(samples.tiles[: view.shown])),
            f"{run.info.id}-samples.png",
            "image/png",
            "importance.png",
        )
        python_button(run, snippet(view), "importance.python")
        pages.link("train", label="Train an IWAE with another k", icon="model_training", query=to_page(model=IWAE))


def snippet(view: View) -> str:
    """The lines that compute the samples and bounds of the image."""
    return f"""
from aecore.explore.importance import bounds, draws

samples = draws(run.model(), run.data().test, example={view.example}, k={view.k}, seed={view.seed})
print(samples.bound, samples.error, samples.effective)
found = bounds(run.model(), run.data().test, [{view.example}], ks={KS}, seed={view.seed}, total={TOTAL})
print(found.mean, found.error, found.groups)
"""


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Few samples carry the weight**: most samples of a posterior decode to nearly the same image. Yet "
            "small differences of many pixels add up to nats, so that one or two of ten samples have nearly all of "
            "the weight.\n"
            "- **The gap between k = 1 and k = 500** is what the ELBO loses. It is large where the true posterior is "
            "no Gaussian with independent latent dimensions.\n"
            "- **VAE beside IWAE** (box above): a posterior that is trained with several samples may be wider, since "
            "one good sample is enough. Its ELBO can be worse and its bound better."
        )
    with st.expander("Why"):
        st.markdown(
            "By Jensen’s inequality, the logarithm of a mean is at least the mean of the logarithms. Averaging weights "
            "before taking the logarithm can therefore only raise the bound, and with ever more samples it reaches "
            "log p(x). The text after Eq. 13 calls the weights likelihoods q(z|x); they are the normalised "
            "p(x, z) / q(z|x). Section 3.1; Burda et al. (2015), arXiv:1509.00519."
        )
