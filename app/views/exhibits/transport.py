"""Exhibit: optimal transport, primal and dual (Eq. 19, 20)."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import DataError, DataSpec
from aecore.explore import examples, transport
from aecore.measure.transport import jensen_shannon, plan, sorted_quantiles
from app import library
from app.browser.swarm import Dots, Field, swarm
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, empty_figure, show_figure
from app.link import LINKED, keep_step, recall_step
from app.panels import exhibit, layout
from app.panels.downloads import download_row
from app.session import plain_errors

DIGITS = "a digit"
REACH = 1.35
STEPS = 51
FROM, TO = LINES[0], LINES[1]


@st.cache_data(max_entries=64, show_spinner=False)
def points(kind: str, n: int, seed: int, second: bool) -> np.ndarray:
    if kind != DIGITS:
        return transport.cloud(kind, n, 2 * seed + second)
    split = library.load(DataSpec(name="digits")).test
    example = int(examples.choose(split, 2, seed)[int(second)])
    return transport.ink(examples.images(split, np.array([example]))[0], n, seed)


@st.cache_data(max_entries=64, show_spinner=False)
def carried(a: np.ndarray, b: np.ndarray, p: int) -> tuple[np.ndarray, float]:
    found = plan(a, b, p)
    return found.plan.argmax(1), found.distance


def dots(xy: np.ndarray, colour: str, name: str, size: int = 9, opacity: float = 1.0) -> go.Scatter:
    return go.Scatter(
        x=xy[:, 0],
        y=xy[:, 1],
        mode="markers",
        name=name,
        opacity=opacity,
        hoverinfo="skip",
        marker={"size": size, "color": colour},
    )


class Judge:
    """A critic of one visitor's two clouds."""

    def __init__(self, a: np.ndarray, b: np.ndarray, name: tuple):
        self.name, self.turns = name, transport.critic(a, b, REACH)
        self.now = next(self.turns)
        self.past = [(0, self.now.estimate)]

    def go(self) -> None:
        self.now = next(self.turns)
        self.past.append((self.now.step, self.now.estimate))


MOST = 3000

PLACES = np.linspace(-4, 4, 3201)


def bump(at: float, width: float) -> np.ndarray:
    """A Gaussian over PLACES, summing to 1."""
    density = np.exp(-0.5 * ((PLACES - at) / width) ** 2)
    return density / density.sum()


@st.fragment
@plain_errors()
def two_bumps() -> None:
    """Jensen–Shannon and W₁ of two bumps."""
    width = st.slider("Width of both bumps", 0.02, 0.6, 0.1, 0.02, key="transport.width", width=280, **LINKED)
    thetas, here, cell = np.linspace(0, 2, 41), bump(0.0, width), PLACES[1] - PLACES[0]
    apart = [bump(theta, width) for theta in thetas]
    js = [jensen_shannon(here, there) for there in apart]
    w1 = [float(np.abs(np.cumsum(here - there)).sum() * cell) for there in apart]
    made = empty_figure(340, "distance θ between the two", "")
    for name, values, colour in (("Jensen–Shannon, nats", js, LINES[3]), ("W₁", w1, plots.term_colour("wasserstein"))):
        made.add_scatter(x=thetas, y=values, name=name, line={"color": colour, "width": 3})
    made.add_hline(y=math.log(2), line={"dash": "dot", "color": plots.INK}, annotation_text="log 2")
    show_figure(made, "transport.js", "Jensen-Shannon and W1 of two bumps against their distance")
    st.caption(
        "Once the bumps no longer overlap, Jensen–Shannon is log 2 whatever their distance: it has no slope to "
        "follow. W₁ is θ everywhere."
    )


def page() -> None:
    exhibit.heading(
        "Transport",
        "How far are two distributions apart? **As far as the earth must be carried** to make one out of the other. Drag "
        "the slider below the picture to carry it.",
    )
    options = [*transport.SHAPES, DIGITS]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        a_kind = st.selectbox("From", options, 0, key="transport.from", width=180, **LINKED)
        b_kind = st.selectbox("To", options, 1, key="transport.to", width=180, **LINKED)
        n = st.slider("Points", 20, 200, 80, 20, key="transport.n", width=220, **LINKED)
        p = layout.option("Cost", ["‖x − y‖", "‖x − y‖²"], "transport.cost")
        seed = layout.number("Seed", 9999, "transport.seed", width=150)

    try:
        a, b = points(a_kind, n, seed, False), points(b_kind, n, seed, True)
    except DataError as error:
        st.error(str(error))
        st.stop()
    power = 1 if p == "‖x − y‖" else 2
    goes, _ = carried(a, b, power)
    w1, w2 = carried(a, b, 1)[1], carried(a, b, 2)[1]

    shares = np.linspace(0, 1, STEPS)[:, None, None]
    paths = (1 - shares) * a + shares * b[goes]
    left, right = st.columns([3, 2], gap="large")
    with left:
        field = Field(
            "",
            [
                Dots(a, FROM, name="from", size=9, opacity=0.45),
                Dots(b, TO, name="to", size=9, opacity=0.45),
                Dots(paths, plots.term_colour("penalty"), name="carried", size=12),
            ],
            (-REACH, REACH, -REACH, REACH),
            segments=np.concatenate([a, b[goes]], 1),
        )
        step = swarm(
            [field],
            key="transport.plan",
            start=0,
            steps=[f"carried: {share:.0%}" for share in shares.ravel()],
            fps=25,
            step=recall_step("transport.carried"),
            alt="Two clouds of points, the plan's lines between them, and the points carried",
        )
        keep_step("transport.carried", step, 0)
    cells = 12
    edges = np.linspace(-REACH, REACH, cells + 1)
    shares_a, shares_b = (np.histogram2d(*xy.T, bins=(edges, edges))[0].ravel() / n for xy in (a, b))
    js = jensen_shannon(shares_a, shares_b)
    with right:
        key_figures(
            [
                ("W₁", f"{w1:.4f}", "mean distance carried, at best: exact", plots.term_colour("wasserstein")),
                ("W₂", f"{w2:.4f}", "root of the mean squared distance: exact", plots.term_colour("wasserstein")),
                (
                    "Jensen–Shannon",
                    f"{js:.3f} nats",
                    f"of histograms of {cells} × {cells} cells; at most log 2 = 0.693",
                    "",
                ),
            ]
        )
        st.latex(
            plots.equation(
                rf"W_{power}^{power} = \term{{wasserstein}}{{\min_{{\Gamma}} \textstyle\sum_{{ij}} \Gamma_{{ij}}\,"
                rf" \lVert a_i - b_j \rVert{'^2' if power == 2 else ''}}} = {(w1 if power == 1 else w2**2):.4f}"
                if power == 2
                else r"W_1 = \term{wasserstein}{\min_{\Gamma} \textstyle\sum_{ij} \Gamma_{ij}\, \lVert a_i - b_j \rVert}"
                rf" = {w1:.4f}"
            )
        )
        st.latex(
            plots.equation(r"W_1 = \term{critic}{\sup_{\lVert f \rVert_L \le 1} \mathbb{E} f(A) - \mathbb{E} f(B)}")
        )
        st.caption("Each of the points weighs 1/n, so the best plan is one-to-one: a line for each point.")
    download_row(
        "transport",
        {"from x": a[:, 0], "from y": a[:, 1], "to x": b[goes, 0], "to y": b[goes, 1]},
        f"""
import numpy as np
from aecore.measure.transport import plan

a = np.array({a.round(4).tolist()})
b = np.array({b.round(4).tolist()})
print(plan(a, b, 1).distance, plan(a, b, 2).distance)
""",
        "transport",
    )

    st.header("The dual: a critic that must not be steep", anchor=False)
    st.markdown(
        "A small net f learns **here and now** to be high on the one cloud and low on the other, never steeper than 1. "
        "The difference of its means climbs towards W₁."
    )

    def judge() -> Judge:
        name = (a_kind, b_kind, n, seed)
        if getattr(st.session_state.get("transport.judge"), "name", None) != name:
            st.session_state["transport.judge"] = Judge(a, b, name)
        return st.session_state["transport.judge"]

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        playing = st.toggle("Train the critic", False, key="transport.train")
        if st.button("Start anew", icon=":material/restart_alt:", key="transport.anew"):
            st.session_state.pop("transport.judge", None)

    @st.fragment(run_every=0.5 if playing else None)
    @plain_errors()
    def dual() -> None:
        own = judge()
        if playing and own.now.step < MOST:
            own.go()
        line = np.linspace(-REACH, REACH, own.now.surface.shape[0])
        made = empty_figure(460)
        made.add_contour(
            z=own.now.surface,
            x=line,
            y=line,
            colorscale="RdBu_r",
            showscale=False,
            ncontours=24,
            line={"width": 0.5},
            hoverinfo="skip",
        )
        made.add_trace(dots(a, FROM, "f high"))
        made.add_trace(dots(b, TO, "f low"))
        made.update_xaxes(range=[-REACH, REACH], visible=False)
        made.update_yaxes(range=[-REACH, REACH], visible=False, scaleanchor="x")
        surface, curve = st.columns([1, 1], gap="large")
        with surface:
            show_figure(made, "transport.critic", "The critic's heights over the plane, with both clouds")
        with curve:
            steps, values = zip(*own.past, strict=True)
            made = empty_figure(360, "steps of the critic", "")
            made.add_scatter(
                x=steps,
                y=values,
                name="E f(A) − E f(B)",
                mode="lines",
                line={"color": plots.term_colour("critic"), "width": 3},
            )
            made.add_hline(
                y=w1,
                line={"dash": "dot", "color": plots.term_colour("wasserstein")},
                annotation_text=f"W₁ = {w1:.3f}, exact",
            )
            made.update_xaxes(range=[0, max(200, *steps)])
            made.update_yaxes(range=[min(0.0, *values), 1.25 * max(w1, *values)])
            show_figure(made, "transport.estimate", "The critic's estimate over its steps, and the exact W1")
            key_figures(
                [
                    (
                        "critic’s estimate",
                        f"{own.now.estimate:.4f}",
                        f"after {own.now.step:,} steps of {MOST:,}",
                        plots.term_colour("critic"),
                    ),
                    (
                        "exact",
                        f"{w1:.4f}",
                        f"the estimate is {100 * own.now.estimate / max(w1, 1e-9):.0f} % of it",
                        plots.term_colour("wasserstein"),
                    ),
                ]
            )

    dual()

    st.header("On a line: sort both", anchor=False)

    @st.fragment
    @plain_errors()
    def on_a_line() -> None:
        """Two samples of numbers, sorted."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
            shift = st.slider(
                "Shift of the second sample", 0.0, 4.0, 1.5, 0.1, key="transport.shift", width=280, **LINKED
            )
            scale = st.slider("Its width", 0.2, 3.0, 0.6, 0.1, key="transport.scale", width=240, **LINKED)
        random = np.random.default_rng(seed)
        u, v = random.standard_normal(400), shift + scale * random.standard_normal(400)
        rank = (np.arange(400) + 0.5) / 400
        made = empty_figure(340, "value", "share of points below")
        made.add_scatter(x=np.sort(u), y=rank, name="first", line={"color": FROM, "width": 3})
        made.add_scatter(
            x=np.sort(v),
            y=rank,
            name="second",
            line={"color": TO, "width": 3},
            fill="tonextx",
            fillcolor="rgba(141,138,27,.25)",
        )
        made.update_layout(hovermode="closest")
        show_figure(made, "transport.quantiles", "Both samples sorted; the area between is W1")
        st.caption(
            f"The i-th smallest goes to the i-th smallest: W₁ is the area between the two curves, "
            f"{sorted_quantiles(u, v):.4f}; the general solver says {carried(u[:, None], v[:, None], 1)[1]:.4f}."
        )

    on_a_line()
    st.header("Where Jensen–Shannon says nothing", anchor=False)

    two_bumps()
    with st.expander("What to look for"):
        st.markdown(
            "- **W₁ or W₂**: with ‖x − y‖² long ways cost more, so lines grow more alike; with ‖x − y‖ lines never cross.\n"
            "- **The critic** rises steeply between the clouds and is level elsewhere: where it matters its slope is 1, "
            "and straight down it the plan’s lines run.\n"
            "- **Its estimate** may pass W₁ a little: the slope is held by a penalty, not by force."
        )
    with st.expander("Why"):
        st.markdown(
            "Eq. 19 asks for the cheapest coupling; for W₁ its dual (Kantorovich–Rubinstein, Eq. 20) asks for the "
            "1-Lipschitz function that tells both apart best. The chapter leaves out that the supremum runs over "
            "1-Lipschitz f only: without that it is infinite. A GAN’s critic minimises Jensen–Shannon, a WGAN’s climbs to "
            "W₁. Section 5.3; Arjovsky et al. (2017), arXiv:1701.07875; exact plans by the library POT."
        )
