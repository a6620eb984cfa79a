"""Exhibit: β and disentanglement (Eq. 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run, inference
from aecore.explore import code_planes
from aecore.measure import aggregate_posterior, disentanglement, latents
from aecore.runs.sweeps import Sweep
from app import cached, library
from app.browser.planes import Pane, planes
from app.figures import plots
from app.figures.plots import LINES, empty_figure, matrix, show_figure, strip_sheet
from app.library import held_out
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.state import Choice, Number, Point

DATA = {"sprites": "beta-sprites", "digits": "beta-digits"}
DIMENSIONS, TILES, REACH = 6, 25, 2.5  # strips, tiles along each, and the largest value
SCORED = 3000  # held-out images
PLAIN_VAE = 1.0  # the β with which the page begins
KL = plots.term_colour("kl")


class Score(NamedTuple):
    """What people call a score, and what it is."""

    title: str
    meaning: str


SCORES = {
    "mig": Score(
        "MIG",
        "the gap between the two latent dimensions that tell most about a factor, as a share of the factor’s entropy",
    ),
    "sap": Score("SAP", "the gap between the two latent dimensions that best predict a factor alone"),
    "d": Score("DCI: disentanglement", "each latent dimension serves one factor"),
    "c": Score("DCI: completeness", "each factor is served by one latent dimension"),
    "i": Score("DCI: informativeness", "how much better than chance factors can be predicted from the code at all"),
    "beta": Score("β-VAE", "how well a linear classifier names the factor that pairs of images share"),
    "factor": Score("FactorVAE", "the latent dimension that varies least names the factor that a batch shares"),
}
"""Held-out figures of the sweeps, by their names."""
LOSSES = ("test/recon", "test/kl")


class State:
    """Which sweep, the image whose other latent dimensions stay, and the pointer with the step of β."""

    data = Choice("beta.data", tuple(DATA))
    image = Number("beta.image", 0)
    at = Point("beta.at")


class View(NamedTuple):
    """What the visitor has chosen.

    values: of β.  at: the index of the chosen one.  run, units: of this β.  figures: means and deviations over seeds.
    """

    sweep: Sweep
    values: list[float]
    at: int
    run: Run
    units: latents.Units
    figures: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def beta(self) -> float:
        return self.values[self.at]

    @property
    def labels(self) -> list[str]:
        """The names of the latent dimensions."""
        return [f"z{j + 1}" for j in range(len(self.units.mean))]


@cached.remember(max_entries=256)
def strips(run: Run, count: int, example: int) -> np.ndarray:
    """uint8 (count, TILES, H, W[, 3]): the latent dimensions with the largest KL, each moved, all others an image’s."""
    z = cached.code_of(run, (example,))[0]
    return code_planes.strips(library.model(run), z, cached.units(run).order[:count].tolist(), REACH, TILES)


@cached.remember(max_entries=64)
def codes(run: Run) -> np.ndarray:
    """Posterior means (n, D) of held-out images."""
    test = held_out(run)
    return inference.encode(library.model(run), test, inference.first(test, SCORED))


def factors_of(run: Run) -> np.ndarray:
    """The known factors (n, K) of the same images."""
    test = held_out(run)
    return inference.factors_of(test, inference.first(test, SCORED))


@cached.remember(max_entries=64)
def total_correlation(run: Run) -> aggregate_posterior.TotalCorrelation:
    """Bounds of the total correlation of sampled codes, held out."""
    return aggregate_posterior.total_correlation(library.model(run), held_out(run), SCORED)


@cached.remember(max_entries=64)
def information(run: Run) -> np.ndarray:
    """(D, K) mutual information of latent dimensions and factors, as a share of the factor's entropy, from 0 to 1."""
    return disentanglement.mutual_information(codes(run), factors_of(run))


@cached.remember(max_entries=64, show_spinner="Scoring the code …")
def scores(run: Run) -> dict[str, float]:
    """All scores of a visitor's own run; the figures of the trained examples hold those of all seeds."""
    labels, factors = held_out(run).labels, factors_of(run)
    categorical = () if labels is None else disentanglement.categorical(factors, labels[: len(factors)])
    return disentanglement.scores(codes(run), factors, categorical).numbers()


def page() -> None:
    exhibit.heading(
        "β-disentanglement",
        "With a larger weight of the KL, a code keeps only what is worth its price. **Which latent dimensions stay "
        "active, and does each stand for one thing?** Drag β; each step is a model of its own.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        name = State.data.option("Images")
        beside = st.container(width=300)
    sweep = exhibit.trained(DATA[name])
    layout.tell_shown_data(sweep.runs[0])
    with beside:
        most = len(held_out(sweep.runs[0])) - 1
        example = State.image.given(most=most).number("The other dimensions: those of image", width=290)
    pictures = all_strips(sweep, example)
    view = show_strips(sweep, pictures, name, example)
    show_objective(view)
    with st.container(key="halves-beta-rate"):
        left, right = st.columns(2, gap="large")
    with left:
        show_rate(view)
    with right:
        show_kl(view)
    with st.container(key="halves-beta-matrix"):
        left, right = st.columns(2, gap="large")
    with left:
        show_correlation(view)
    with right:
        show_information(view)
    if library.data(view.run).factors:
        st.header("Scores", anchor=False)
        show_scores(view)
    table = {"beta": view.values, **{key: np.round(column[0], 5) for key, column in view.figures.items()}}
    picture = pictures[view.at][:, ::2]
    download_row(f"beta-{name}", table, snippet(DATA[name]), "beta", lambda: plots.png(strip_sheet(picture)))
    train_sweep.train(DATA[name])
    show_explanations()


def all_strips(sweep: Sweep, example: int) -> np.ndarray:
    """uint8 (β, dimension, TILES, H, W[, 3]): `strips` of every model of the sweep."""
    count = min(DIMENSIONS, *(run.info.params["code"] for run in sweep.runs))
    return np.stack([strips(run, count, example) for run in sweep.runs])


def show_strips(sweep: Sweep, pictures: np.ndarray, name: str, example: int) -> View:
    """The strips at each β; returns the view at the β that was chosen.  name: of the images."""
    values = [float(value) for value in sweep.values]
    middle = values.index(PLAIN_VAE) if PLAIN_VAE in values else len(values) // 2
    extent = (-REACH, REACH, 0.0, 1.0)
    pointer = State.at.given(start=middle)
    state = planes(
        [Pane(f"no. {k + 1} by KL", pictures[:, k][:, None], extent) for k in range(pictures.shape[1])],
        key=f"beta.planes.{name}.{sweep.id}",
        steps=[f"β = {value:g}" for value in values],
        start=middle,
        axes=("z", ""),
        fps=2,
        state=pointer.get(),
        alt="Latent dimensions sorted by their KL; each strip shows what one of them changes",
    )
    pointer.put(state)
    at = min(int(state["step"]), len(values) - 1)
    units = cached.units(sweep.runs[at])
    figures = {key: sweep.spread(key) for key in (*LOSSES, *SCORES)}
    st.caption(
        f"Each strip moves one latent dimension from {-REACH:g} to {REACH:g}; all others stay those of image "
        f"{example}. The dimensions are sorted anew by their KL at each β. Below: β = {values[at]:g}, "
        f"{int(units.active.sum())} of {len(units.mean)} active."
    )
    return View(sweep, values, at, sweep.runs[at], units, figures)


def show_objective(view: View) -> None:
    """The objective with the numbers of this β."""
    recon, kl = (view.figures[key][0][view.at] for key in LOSSES)
    st.latex(
        plots.equation(
            rf"-\mathcal{{L}} = \term{{recon}}{{\underbrace{{\mathbb{{E}}\left[-\log p(x|z)\right]}}_{{{recon:.1f}}}}}"
            rf" + \underbrace{{\beta}}_{{{view.beta:g}}}\, \term{{kl}}{{\underbrace{{D_{{KL}}\left(q(z|x) \,\Vert\, "
            rf"p(z)\right)}}_{{{kl:.1f}}}}}\quad \text{{nats}}"
        )
    )


def show_rate(view: View) -> None:
    """Rate and distortion of every β."""
    recon, kl = (view.figures[key] for key in LOSSES)
    show_figure(
        rate_figure(view.values, recon, kl, view.at), "beta.rate", "Rate against distortion, a point for each β"
    )
    seeds = int(kl[2].min())
    st.caption(f"A point for each β, mean and standard deviation over {seeds} seed{'s' * (seeds > 1)}, held out.")


def rate_figure(values: Sequence[float], recon: Sequence[np.ndarray], kl: Sequence[np.ndarray], at: int) -> go.Figure:
    """Distortion against rate.  recon, kl: means and deviations at each β.  at: the index of the one that is marked."""
    figure = empty_figure(380, "rate: KL, nats", "distortion: −log p(x|z), nats")
    figure.add_scatter(
        x=kl[0],
        y=recon[0],
        mode="lines+markers+text",
        text=[f"{value:g}" for value in values],
        showlegend=False,
        textposition="top right",
        line={"color": plots.INK, "width": 2},
        marker={"size": 9},
        error_y={"array": np.nan_to_num(recon[1]), "thickness": 1},
        error_x={"array": np.nan_to_num(kl[1]), "thickness": 1},
    )
    figure.add_scatter(
        x=[kl[0][at]],
        y=[recon[0][at]],
        mode="markers",
        showlegend=False,
        marker={"size": 18, "symbol": "diamond", "color": KL},
    )
    return figure.update_layout(hovermode="closest")


def show_kl(view: View) -> None:
    """The KL of each latent dimension at this β."""
    units = view.units
    values = units.kl if units.kl is not None else units.std
    figure = empty_figure(380, "", "KL, nats")
    names = [view.labels[j] for j in units.order]
    figure.add_bar(x=names, y=values[units.order], showlegend=False, marker={"color": KL})
    show_figure(figure, "beta.kl", "KL of each latent dimension, sorted")
    st.caption(
        f"KL of each latent dimension over {units.examples:,} held-out images: {values.sum():.1f} nats in total."
    )


def show_correlation(view: View) -> None:
    """How the latent dimensions vary together."""
    st.subheader("Do latent dimensions vary together?", anchor=False)
    together = latents.correlation(codes(view.run))
    figure = matrix(together, view.labels, view.labels, "RdBu", -1, 1)
    show_figure(figure, "beta.correlation", "Correlation of the means of the latent dimensions")
    off = np.abs(together[np.triu_indices(len(together), 1)])
    low, high, count = total_correlation(view.run)
    st.caption(
        f"Correlation of the posterior’s means; on average {off.mean():.2f} in absolute value. The means do not show "
        f"the total correlation of sampled codes, which is between {low:.2f} and {high:.2f} nats, by the posteriors of "
        f"{count:,} held-out images."
    )


def show_information(view: View) -> None:
    """What each latent dimension tells about the known factors, if there are any."""
    st.subheader("What does each latent dimension follow?", anchor=False)
    factors = library.data(view.run).factors
    if not factors:
        st.caption(
            "These images have no known factors, only classes, so that nothing can be scored: see sprites for that."
        )
        return
    figure = matrix(information(view.run), view.labels, factors, "Blues", 0, 1)
    show_figure(figure, "beta.factors", "How much each latent dimension tells about each factor")
    st.caption("Mutual information of a latent dimension and a factor, as a share of the factor’s entropy.")


def show_scores(view: View) -> None:
    """The scores of disentanglement at each β, and how they go together with the strips."""
    spreads = {}
    for name, score in SCORES.items():
        means, deviations, _ = view.figures[name]
        if np.isnan(means).all():  # the visitor's own runs have no scores in their figures
            means = np.array([scores(run)[name] for run in view.sweep.runs])
        spreads[score.title] = means, deviations
    show_figure(
        score_figure(view.values, spreads, view.beta),
        "beta.scores",
        "Seven scores against β, with their spread over seeds",
    )
    st.caption(
        "Mean and standard deviation over the seeds; 1 is best for all. A higher score at some β is an observation, "
        "not a rule: the spread over seeds is often as large as the effect."
    )
    st.markdown(why_scores_are_low(view.beta, information(view.run), library.data(view.run).factors))
    with st.expander("Each score’s definition"):
        st.markdown("\n".join(f"- **{score.title}**: {score.meaning}." for score in SCORES.values()))
        st.caption("Equations, sources and what is done differently: `aecore/measure/disentanglement.py`.")


def score_figure(
    values: Sequence[float], spreads: Mapping[str, tuple[np.ndarray, np.ndarray]], beta: float
) -> go.Figure:
    """Scores against β.  spreads: means and deviations by title of the score.  beta: where a vertical line stands."""
    figure = empty_figure(420, "β", "score")
    for (title, (means, deviations)), colour in zip(spreads.items(), LINES, strict=True):
        figure.add_scatter(
            x=values,
            y=means,
            name=title,
            mode="lines+markers",
            line={"color": colour, "width": 3},
            error_y={"array": np.nan_to_num(deviations), "thickness": 1.5},
            hovertemplate="%{y:.3f}",
            marker={"size": 9},
        )
    figure.add_vline(x=beta, line=plots.DOTTED)
    figure.update_xaxes(type="log", tickvals=values, ticktext=[f"{value:g}" for value in values])
    return figure.update_yaxes(range=[0, 1])


def why_scores_are_low(beta: float, known: np.ndarray, factors: Sequence[str]) -> str:
    """Why good strips can go together with low scores.  known: (D, K) mutual information with each factor."""
    varies = np.isfinite(known[0])
    left_out = [name for name, kept in zip(factors, varies, strict=True) if not kept]
    factors = [name for name, kept in zip(factors, varies, strict=True) if kept]
    if not factors:
        return "None of the factors changes in these images, so that nothing can be scored."
    known = known[:, varies]
    best = known.max(0)
    weakest, strongest = factors[int(best.argmin())], factors[int(best.argmax())]
    mixed = int(((known > 0.1).sum(1) > 1).sum())
    some = {0: "No latent dimension follows", 1: "One latent dimension follows"}
    return (
        f"**Why are scores low where strips look good?** At β = {beta:g} no latent dimension tells more than "
        f"{100 * best.min():.0f} % of *{weakest}*, while one tells {100 * best.max():.0f} % of *{strongest}*. Every "
        f"score is a mean over all {len(factors)} factors, including those that the code does not hold. "
        f"{some.get(mixed, f'{mixed} latent dimensions follow')} two factors or more; MIG and DCI lower the score for "
        "each that does, though the eye hardly sees it. A factor that two latent dimensions share, such as position "
        "along a diagonal, has no gap between the two, however smooth its strip is."
        + (f" Never changing in these images, and left out of every score: {', '.join(left_out)}." if left_out else "")
    )


def snippet(identity: str) -> str:
    """The lines that read all figures of the sweep."""
    names = ", ".join(f'"{key}"' for key in (*LOSSES, *SCORES))
    return f"""
from aecore.runs import sweeps

sweep = sweeps.sweep("{identity}")
for name in ({names}):
    mean, deviation, seeds = sweep.spread(name)
    print(name, dict(zip(sweep.values, mean.round(3))))
"""


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Small β**: many latent dimensions carry a little of everything; strips change position, size and "
            "shape at once.\n"
            "- **Larger β**: one dimension after another becomes inactive. Those that are left often hold one factor, "
            "first of all position, since it matters most to the pixels. Shape and orientation are given up.\n"
            "- **Too large**: nothing is left. No strip changes, and the rate is 0.\n"
            "- **Correlations** of means need not fall as β grows; those of sampled codes do (Locatello et al., 2019)."
        )
    with st.expander("Why"):
        st.markdown(
            "β weighs the rate against the distortion: each β picks the point of the curve where one nat of rate "
            "saves β nats of distortion. The latent dimensions of the prior are independent, so a code that must be "
            "cheap is best laid along independent axes. That these are *our* factors is no theorem: without "
            "supervision it takes luck (Locatello et al., 2019, arXiv:1811.12359). Section 3.3; Higgins et al. (2017)."
        )
