"""Exhibit: β and disentanglement (Eq. 16)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.measure import disentanglement
from app import cached, library
from app.browser import Pane, planes
from app.figures import plots
from app.figures.plots import LINES, empty_figure, matrix, show_figure, strip_sheet
from app.library import held_out
from app.panels import exhibit, train_sweep
from app.panels.downloads import download_row
from app.state import Choice, Number, Point
from app.text import escape_markdown

DATA = {"sprites": "beta-sprites", "digits": "beta-digits"}
UNITS, TILES, REACH = 6, 25, 2.5
SCORED = 3000
NAMES = {
    "mig": ("MIG", "gap between the two units that tell most of a factor, in shares of its entropy"),
    "sap": ("SAP", "gap between the two units that best predict a factor alone"),
    "d": ("DCI: disentanglement", "each unit serves one factor"),
    "c": ("DCI: completeness", "each factor is served by one unit"),
    "i": ("DCI: informativeness", "factors can be read off the code at all, above chance"),
    "beta": ("β-VAE", "a linear classifier names the factor that pairs share"),
    "factor": ("FactorVAE", "the unit that varies least names the factor that a batch shares"),
}


class State:
    """Which sweep, the image whose other units stay, and the pointer with the step of β."""

    data = Choice("beta.data", tuple(DATA))
    image = Number("beta.image", 0)
    at = Point("beta.at")


@cached.remember(max_entries=256)
def strips(run: Run, count: int, example: int) -> np.ndarray:
    """Pictures (count, TILES, H, W[, 3]): the units by KL, each from −REACH to REACH, all others those of an image."""
    units = cached.units(run)
    model = library.model(run)
    z = cached.code_of(run, (example,))[0]
    tiles = [
        inference.decode(model, np.stack([_with(z, j, v) for v in np.linspace(-REACH, REACH, TILES)]))
        for j in units.order[:count]
    ]
    return np.stack([cached.small(strip) for strip in tiles])


def _with(z: np.ndarray, unit: int, value: float) -> np.ndarray:
    moved = z.copy()
    moved[unit] = value
    return moved


@cached.remember(max_entries=64)
def code(run: Run) -> np.ndarray:
    """Posterior means (n, D) of held-out images."""
    test = library.data(run).test
    return inference.encode(library.model(run), test, inference.first(test, SCORED))


def factors_of(run: Run) -> np.ndarray:
    test = library.data(run).test
    return inference.factors_of(test, inference.first(test, SCORED))


@cached.remember(max_entries=64)
def information(run: Run) -> np.ndarray:
    """(D, K) in [0, 1]"""
    return disentanglement.mutual_information(code(run), factors_of(run))


@cached.remember(max_entries=64, show_spinner="Scoring the code …")
def scored(run: Run) -> dict[str, float]:
    """All scores of a visitor's own run; those of the trained examples lie beside them, of all seeds."""
    labels, factors = library.data(run).test.labels, factors_of(run)
    named = tuple(k for k, factor in enumerate(factors.T) if np.array_equal(factor, labels[: len(factors)]))
    return disentanglement.scores(code(run), factors, named).numbers()


def page() -> None:
    exhibit.heading(
        "β-disentanglement",
        "A heavier KL makes a code give up what it can spare. **Which units stay, and does each stand for one thing?** "
        "Drag β; each step is a model of its own.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        which = State.data.option("Images")
        place = st.container(width=240)
    sweep = exhibit.trained(DATA[which])
    values, runs = list(sweep.values), list(sweep.runs)
    if runs[0].info.shown:
        st.caption(
            f"Trained on {library.data_title(runs[0].info.data)}; shown here on "
            f"{escape_markdown(library.data(runs[0]).title)}."
        )

    count = min(UNITS, min(run.info.params["code"] for run in runs))
    with place:
        example = State.image.given(most=len(held_out(runs[0])) - 1).number(
            "The other units: those of image", width=230
        )
    every = np.stack([strips(run, count, example) for run in runs])  # (β, unit, tile, …)
    panes = [Pane(f"unit no. {k + 1} by KL", every[:, k][:, None], (-REACH, REACH, 0, 1)) for k in range(count)]
    middle = values.index(1.0) if 1.0 in values else len(values) // 2
    pointer = State.at.given(start=middle)
    state = planes(
        panes,
        key=f"beta.planes.{which}.{sweep.id}",
        steps=[f"β = {value:g}" for value in values],
        start=middle,
        axes=("z", ""),
        fps=2,
        state=pointer.get(),
        alt="Units sorted by their KL; each strip shows what one of them changes",
    )
    pointer.put(state)
    at = min(int(state["step"]), len(runs) - 1)
    run, value = runs[at], values[at]
    units = cached.units(run)
    labels = [f"z{j + 1}" for j in range(len(units.mean))]
    st.caption(
        f"Each strip moves one unit from {-REACH:g} to {REACH:g}; all others stay those of image {example}. Units are "
        f"sorted anew by their KL at each β. Below: β = {value:g}, {int(units.active.sum())} of {len(units.mean)} active."
    )

    mean = {name: sweep.spread(name) for name in ("test/recon", "test/kl", *NAMES)}
    recon, kl = mean["test/recon"][0], mean["test/kl"][0]
    st.latex(
        plots.equation(
            rf"-\mathcal{{L}} = \term{{recon}}{{\underbrace{{\mathbb{{E}}\left[-\log p(x|z)\right]}}_{{{recon[at]:.1f}}}}}"
            rf" + \underbrace{{\beta}}_{{{value:g}}}\, \term{{kl}}{{\underbrace{{D_{{KL}}\left(q(z|x) \,\Vert\, p(z)\right)}}"
            rf"_{{{kl[at]:.1f}}}}}\quad \text{{nats}}"
        )
    )
    with st.container(key="halves-beta-rate"):
        left, right = st.columns(2, gap="large")
    with left:
        made = empty_figure(380, "rate: KL, nats", "distortion: −log p(x|z), nats")
        made.add_scatter(
            x=kl,
            y=recon,
            mode="lines+markers+text",
            text=[f"{v:g}" for v in values],
            showlegend=False,
            textposition="top right",
            line={"color": plots.INK, "width": 2},
            marker={"size": 9},
            error_y={"array": np.nan_to_num(mean["test/recon"][1]), "thickness": 1},
            error_x={"array": np.nan_to_num(mean["test/kl"][1]), "thickness": 1},
        )
        made.add_scatter(
            x=[kl[at]],
            y=[recon[at]],
            mode="markers",
            showlegend=False,
            marker={"size": 18, "symbol": "diamond", "color": plots.term_colour("kl")},
        )
        made.update_layout(hovermode="closest")
        show_figure(made, "beta.rate", "Rate against distortion, a point for each β")
        seeds = int(mean["test/kl"][2].min())
        st.caption(f"A point for each β, mean and standard deviation over {seeds} seed{'s' * (seeds > 1)}, held out.")
    with right:
        per_unit = units.kl if units.kl is not None else units.std
        made = empty_figure(380, "", "KL, nats")
        made.add_bar(
            x=[labels[j] for j in units.order],
            y=per_unit[units.order],
            showlegend=False,
            marker={"color": plots.term_colour("kl")},
        )
        show_figure(made, "beta.kl", "KL of each unit, sorted")
        st.caption(f"KL of each unit over {units.examples:,} held-out images: {per_unit.sum():.1f} nats in all.")
    with st.container(key="halves-beta-matrix"):
        left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Do units move together?", anchor=False)
        z = code(run)
        moving = z.std(0) > 1e-6
        together = np.corrcoef(np.where(moving, z, np.random.default_rng(0).standard_normal(z.shape)).T)
        show_figure(
            matrix(together, labels, labels, "RdBu", -1, 1), "beta.correlation", "Correlation of the units' means"
        )
        off = np.abs(together[np.triu_indices(len(together), 1)])
        st.caption(f"Correlation of the posterior’s means; on average {off.mean():.2f} in absolute value.")
    with right:
        if library.data(run).factors:
            st.subheader("What does each unit follow?", anchor=False)
            told = information(run)
            show_figure(
                matrix(told, labels, library.data(run).factors, "Blues", 0, 1),
                "beta.factors",
                "How much each unit tells of each factor",
            )
            st.caption("Mutual information of a unit and a factor, as a share of the factor’s entropy.")
        else:
            st.subheader("What does each unit follow?", anchor=False)
            st.caption(
                "These images have no known factors, only classes, so that nothing can be scored: see sprites for that."
            )
    if library.data(run).factors:
        st.header("Scores", anchor=False)
        made = empty_figure(420, "β", "score")
        for (name, (title, _)), colour in zip(NAMES.items(), LINES, strict=True):
            scores, deviation, n = mean[name]
            if np.isnan(scores).all():  # of a visitor's own runs: the seed at hand
                scores = np.array([scored(other)[name] for other in runs])
            made.add_scatter(
                x=values,
                y=scores,
                name=title,
                mode="lines+markers",
                line={"color": colour, "width": 3},
                error_y={"array": np.nan_to_num(deviation), "thickness": 1.5},
                hovertemplate="%{y:.3f}",
                marker={"size": 9},
            )
        made.add_vline(x=value, line={"dash": "dot", "color": plots.INK})
        made.update_xaxes(type="log", tickvals=values, ticktext=[f"{v:g}" for v in values])
        made.update_yaxes(range=[0, 1])
        show_figure(made, "beta.scores", "Seven scores against β, with their spread over seeds")
        st.caption(
            "Mean and standard deviation over the seeds; 1 is best for all. A higher score at some β is a finding, "
            "not a rule: the spread over seeds is often as large as the effect."
        )
        factors = library.data(run).factors
        best = told.max(0)
        weakest, strongest = factors[int(best.argmin())], factors[int(best.argmax())]
        mixed = int((np.sort(told, 1)[:, -2] > 0.1).sum())
        st.markdown(
            f"**Why low scores beside good traversals?** At β = {value:g} no unit tells more than "
            f"{100 * best.min():.0f} % of *{weakest}*, while one tells {100 * best.max():.0f} % of *{strongest}*: every "
            f"score averages over all {len(factors)} factors, those that the code does not hold, too. {mixed} unit"
            f"{'s' * (mixed != 1)} answer{'s' * (mixed == 1)} to two factors or more, which MIG and DCI punish and the eye "
            "forgives; and a factor that two units share (position along a diagonal) has no gap, however smooth its strip."
        )
        with st.expander("Each score’s definition"):
            st.markdown("\n".join(f"- **{title}**: {words}." for title, words in NAMES.values()))
            st.caption("Equations, sources and what is done differently: `aecore/measure/disentanglement.py`.")
    table = {"beta": values, **{name: np.round(column[0], 5) for name, column in mean.items()}}
    download_row(
        f"beta-{which}",
        table,
        f"""
from aecore import sweeps

found = sweeps.sweep("{DATA[which]}")
for name in ("test/recon", "test/kl", "mig", "sap", "d", "c", "i", "beta", "factor"):
    mean, deviation, seeds = found.spread(name)
    print(name, dict(zip(found.values, mean.round(3))))
""",
        "beta",
        lambda: plots.png(strip_sheet(every[at][:, ::2])),
    )
    train_sweep.train(DATA[which])
    with st.expander("What to look for"):
        st.markdown(
            "- **Small β**: many units carry a little of everything; strips change position, size and shape at once.\n"
            "- **Larger β**: units fall silent one after another; those left often hold one factor, position first, since "
            "it matters most to the pixels. Shape and orientation are given up.\n"
            "- **Too large**: nothing is left: every strip stands still, and rate is 0.\n"
            "- **Correlations** of means need not fall as β grows; those of sampled codes do (Locatello et al., 2019)."
        )
    with st.expander("Why"):
        st.markdown(
            "β weighs the rate against the distortion: each β picks the point of the curve where a nat of rate buys β nats "
            "of distortion. Since the prior’s units are independent, a code that must be cheap is best laid along "
            "independent axes; that this finds *our* factors is no theorem (Locatello et al., 2019, arXiv:1811.12359: not "
            "without supervision or luck). Section 3.3; Higgins et al. (2017)."
        )
