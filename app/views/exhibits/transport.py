"""Exhibit: optimal transport, primal and dual (Eq. 19, 20)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import DataError, DataSpec
from aecore.explore import examples, transport
from aecore.measure.transport import binned_jensen_shannon, plan, sorted_quantiles
from app import library
from app.browser.swarm import Dots, Field, swarm
from app.caching import remember
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, empty_figure, show_figure
from app.panels import exhibit
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Choice, Number, Step

DIGITS, DIGITS_DATA = "a digit", DataSpec(name="digits")
SHAPES = (*transport.SHAPES, DIGITS)
COSTS = {"‖x − y‖": 1, "‖x − y‖²": 2}
REACH = 1.35  # half the side of the square that is shown
STEPS = 51  # positions of the slider that carries the points
CELLS = 12  # a side of the histograms
CRITIC_STEPS = 3000
ON_A_LINE = 400  # points of each sample on the line
FROM, TO = LINES[0], LINES[1]
WASSERSTEIN, CRITIC = plots.term_colour("wasserstein"), plots.term_colour("critic")
JUDGE = "transport.judge"  # in the session: the critic of this visitor


class State:
    """The two clouds, the cost and the share carried; the two samples on a line; the width of the two bumps."""

    first = Choice("transport.from", SHAPES)
    second = Choice("transport.to", SHAPES, SHAPES[1])
    n = Number("transport.n", 20, 200, 80, 20)
    cost = Choice("transport.cost", tuple(COSTS))
    seed = Number("transport.seed", 0, 9999)
    carried = Step("transport.carried")
    shift = Number("transport.shift", 0.0, 4.0, 1.5, 0.1)
    scale = Number("transport.scale", 0.2, 3.0, 0.6, 0.1)
    width = Number("transport.width", 0.02, 0.6, 0.1, 0.02)


class Clouds(NamedTuple):
    """Two clouds a and b, each (n, 2).  target: the point of b to which each point of a goes.  w1, w2: exact."""

    name: tuple[str, str, int, int]
    a: np.ndarray
    b: np.ndarray
    target: np.ndarray
    w1: float
    w2: float


@remember(max_entries=64)
def points(shape: str, n: int, seed: int, second: bool) -> np.ndarray:
    """One cloud (n, 2): a generated shape, or the ink of a digit."""
    if shape != DIGITS:
        return transport.cloud(shape, n, 2 * seed + second)
    digits = library.load(DIGITS_DATA).test
    example = int(examples.choose(digits, 2, seed)[int(second)])
    return transport.ink(examples.images(digits, np.array([example]))[0], n, seed)


@remember(max_entries=64)
def best_plan(a: np.ndarray, b: np.ndarray, p: int) -> tuple[np.ndarray, float]:
    """The point of b to which each point of a goes, and W_p."""
    best = plan(a, b, p)
    return best.plan.argmax(1), best.distance


class Judge:
    """A critic of one visitor's two clouds.  history: (step, estimate) so far."""

    def __init__(self, clouds: Clouds):
        self.name = clouds.name
        self._critiques = transport.critic(clouds.a, clouds.b, REACH)
        self.now = next(self._critiques)
        self.history = [(0, self.now.estimate)]

    def train(self) -> None:
        """A few more steps."""
        self.now = next(self._critiques)
        self.history.append((self.now.step, self.now.estimate))


def page() -> None:
    exhibit.heading(
        "Transport",
        "How far apart are two distributions? **As far as the mass of one must be carried** to become the other. "
        "Drag the slider below the picture to carry it.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        shapes = State.first.box("From", width=180), State.second.box("To", width=180)
        n = State.n.slider("Points", width=220)
        power = COSTS[State.cost.option("Cost")]
        seed = State.seed.number("Seed", width=150)
    clouds = chosen_clouds(shapes, n, seed, power)
    picture, numbers = st.columns([3, 2], gap="large")
    with picture:
        show_plan(clouds)
    with numbers:
        show_distances(clouds, power)
    show_downloads(clouds)

    st.header("The dual: a critic whose slope is bounded", anchor=False)
    st.markdown(
        "A small network f learns **here and now** to be high on one cloud and low on the other, with a slope of at "
        "most 1. The difference of its means rises towards W₁."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        playing = st.toggle("Train the critic", False, key="transport.train")
        if st.button("Start anew", icon=":material/restart_alt:", key="transport.anew"):
            st.session_state.pop(JUDGE, None)
    st.fragment(show_critic, run_every=0.5 if playing else None)(clouds, playing)

    st.header("On a line: sort both samples", anchor=False)
    on_a_line(seed)
    st.header("Where Jensen–Shannon has no slope", anchor=False)
    two_bumps()
    show_explanations()


def chosen_clouds(shapes: Sequence[str], n: int, seed: int, power: int) -> Clouds:
    """The two clouds and the plan between them; the page stops with a sentence where a cloud cannot be made."""
    try:
        a, b = points(shapes[0], n, seed, False), points(shapes[1], n, seed, True)
    except DataError as error:
        st.error(str(error))
        st.stop()
    target, _ = best_plan(a, b, power)
    return Clouds((shapes[0], shapes[1], n, seed), a, b, target, best_plan(a, b, 1)[1], best_plan(a, b, 2)[1])


def show_plan(clouds: Clouds) -> None:
    """Both clouds, the lines of the plan, and the points on their way."""
    shares = np.linspace(0, 1, STEPS)[:, None, None]
    targets = clouds.b[clouds.target]
    field = Field(
        "",
        [
            Dots(clouds.a, FROM, name="from", size=9, opacity=0.45),
            Dots(clouds.b, TO, name="to", size=9, opacity=0.45),
            Dots((1 - shares) * clouds.a + shares * targets, plots.term_colour("penalty"), name="carried", size=12),
        ],
        (-REACH, REACH, -REACH, REACH),
        segments=np.concatenate([clouds.a, targets], 1),
    )
    step = swarm(
        [field],
        key="transport.plan",
        start=0,
        steps=[f"carried: {share:.0%}" for share in shares.ravel()],
        fps=25,
        step=State.carried.get(),
        alt="Two clouds of points, the plan's lines between them, and the points carried",
    )
    State.carried.put(step)


def show_distances(clouds: Clouds, power: int) -> None:
    """The distances of the two clouds, and Eq. 19 and 20 with their values."""
    js = binned_jensen_shannon(clouds.a, clouds.b, REACH, CELLS)
    cells = f"from histograms of {CELLS} × {CELLS} cells; at most log 2 = {math.log(2):.3f}"
    key_figures(
        [
            ("W₁", f"{clouds.w1:.4f}", "smallest possible mean distance carried: exact", WASSERSTEIN),
            ("W₂", f"{clouds.w2:.4f}", "root of the smallest mean squared distance: exact", WASSERSTEIN),
            ("Jensen–Shannon", f"{js:.3f} nats", cells, ""),
        ]
    )
    left, cost = ("W_1", "") if power == 1 else ("W_2^2", "^2")
    value = clouds.w1 if power == 1 else clouds.w2**2
    primal = rf"\min_{{\Gamma}} \textstyle\sum_{{ij}} \Gamma_{{ij}}\, \lVert a_i - b_j \rVert{cost}"
    st.latex(plots.equation(rf"{left} = \term{{wasserstein}}{{{primal}}} = {value:.4f}"))
    st.latex(plots.equation(r"W_1 = \term{critic}{\sup_{\lVert f \rVert_L \le 1} \mathbb{E} f(A) - \mathbb{E} f(B)}"))
    st.caption("Each point has weight 1/n, so the best plan is one-to-one: one line for each point.")


def show_downloads(clouds: Clouds) -> None:
    """The plan as a table, and the lines of Python that compute it."""
    a, b = clouds.a, clouds.b
    download_row(
        "transport",
        {"from x": a[:, 0], "from y": a[:, 1], "to x": b[clouds.target, 0], "to y": b[clouds.target, 1]},
        f"""
import numpy as np
from aecore.measure.transport import plan

a = np.array({a.round(4).tolist()})
b = np.array({b.round(4).tolist()})
print(plan(a, b, 1).distance, plan(a, b, 2).distance)
""",
        "transport",
    )


# --- the dual ---------------------------------------------------------------------------------------------------------


def judge_of(clouds: Clouds) -> Judge:
    """This visitor's critic; a new one for other clouds."""
    judge = st.session_state.get(JUDGE)
    if not isinstance(judge, Judge) or judge.name != clouds.name:
        judge = st.session_state[JUDGE] = Judge(clouds)
    return judge


@plain_errors()
def show_critic(clouds: Clouds, playing: bool) -> None:
    """The critic over the plane, and its estimate of W₁ so far. Runs again and again while it trains."""
    judge = judge_of(clouds)
    if playing and judge.now.step < CRITIC_STEPS:
        judge.train()
    surface, curve = st.columns([1, 1], gap="large")
    with surface:
        figure = critic_figure(clouds, judge.now.surface)
        show_figure(figure, "transport.critic", "The critic's heights over the plane, with both clouds")
    with curve:
        figure = estimate_figure(judge.history, clouds.w1)
        show_figure(figure, "transport.estimate", "The critic's estimate over its steps, and the exact W1")
        share = f"the estimate is {100 * judge.now.estimate / max(clouds.w1, 1e-9):.0f} % of it"
        steps = f"after {judge.now.step:,} steps of {CRITIC_STEPS:,}"
        key_figures(
            [
                ("critic’s estimate", f"{judge.now.estimate:.4f}", steps, CRITIC),
                ("exact", f"{clouds.w1:.4f}", share, WASSERSTEIN),
            ]
        )


def critic_figure(clouds: Clouds, surface: np.ndarray) -> go.Figure:
    """The heights (n, n) of the critic as contours, with both clouds."""
    figure, line = empty_figure(460), np.linspace(-REACH, REACH, len(surface))
    figure.add_contour(
        z=surface,
        x=line,
        y=line,
        colorscale="RdBu_r",
        showscale=False,
        ncontours=24,
        line={"width": 0.5},
        hoverinfo="skip",
    )
    for cloud, colour, name in ((clouds.a, FROM, "f high"), (clouds.b, TO, "f low")):
        marker = {"size": 9, "color": colour}
        figure.add_scatter(x=cloud[:, 0], y=cloud[:, 1], mode="markers", name=name, hoverinfo="skip", marker=marker)
    figure.update_xaxes(range=[-REACH, REACH], visible=False)
    figure.update_yaxes(range=[-REACH, REACH], visible=False, scaleanchor="x")
    return figure


def estimate_figure(history: Sequence[tuple[int, float]], exact: float) -> go.Figure:
    """The critic's estimate over its steps, with the exact W₁ as a line."""
    steps, values = zip(*history, strict=True)
    figure = empty_figure(360, "steps of the critic", "")
    line = {"color": CRITIC, "width": 3}
    figure.add_scatter(x=steps, y=values, name="E f(A) − E f(B)", mode="lines", line=line)
    dotted = {"dash": "dot", "color": WASSERSTEIN}
    figure.add_hline(y=exact, line=dotted, annotation_text=f"W₁ = {exact:.3f}, exact")
    figure.update_xaxes(range=[0, max(200, *steps)])
    figure.update_yaxes(range=[min(0.0, *values), 1.25 * max(exact, *values)])
    return figure


# --- on a line --------------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def on_a_line(seed: int) -> None:
    """Two samples of numbers: sorted, the i-th smallest goes to the i-th smallest."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        shift = State.shift.slider("Shift of the second sample", width=280)
        scale = State.scale.slider("Its width", width=240)
    random = np.random.default_rng(seed)
    first, second = random.standard_normal(ON_A_LINE), shift + scale * random.standard_normal(ON_A_LINE)
    rank = (np.arange(ON_A_LINE) + 0.5) / ON_A_LINE
    figure = empty_figure(340, "value", "share of points below")
    figure.add_scatter(x=np.sort(first), y=rank, name="first", line={"color": FROM, "width": 3})
    between = {"fill": "tonextx", "fillcolor": "rgba(141,138,27,.25)"}
    figure.add_scatter(x=np.sort(second), y=rank, name="second", line={"color": TO, "width": 3}, **between)
    figure.update_layout(hovermode="closest")
    show_figure(figure, "transport.quantiles", "Both samples sorted; the area between is W1")
    _, solved = best_plan(first[:, None], second[:, None], 1)
    st.caption(
        "The i-th smallest goes to the i-th smallest. W₁ is the area between the two curves, "
        f"{sorted_quantiles(first, second):.4f}; the general solver gives {solved:.4f}."
    )


@st.fragment
@plain_errors()
def two_bumps() -> None:
    """Jensen–Shannon and W₁ of two bumps against their distance."""
    width = State.width.slider("Width of both bumps", width=280)
    bumps = transport.two_bumps(width, np.linspace(0, 2, 41))
    figure = empty_figure(340, "distance θ between the two", "")
    for name, values, colour in (("Jensen–Shannon, nats", bumps.js, LINES[3]), ("W₁", bumps.w1, WASSERSTEIN)):
        figure.add_scatter(x=bumps.thetas, y=values.tolist(), name=name, line={"color": colour, "width": 3})
    figure.add_hline(y=math.log(2), line={"dash": "dot", "color": plots.INK}, annotation_text="log 2")
    show_figure(figure, "transport.js", "Jensen-Shannon and W1 of two bumps against their distance")
    st.caption(
        "Once the bumps no longer overlap, Jensen–Shannon is log 2 at every distance, so it has no slope to follow. W₁ "
        "is θ everywhere."
    )


def show_explanations() -> None:
    """What to look for, and why."""
    with st.expander("What to look for"):
        st.markdown(
            "- **W₁ or W₂**: with ‖x − y‖² long ways cost more, so the lines become more alike; with ‖x − y‖ lines "
            "never cross.\n"
            "- **The critic** rises between the clouds and is level elsewhere. Where mass is carried its slope is 1, "
            "and the lines of the plan run straight down it.\n"
            "- **Its estimate** may exceed W₁ a little, because a penalty bounds the slope, not a strict limit."
        )
    with st.expander("Why"):
        st.markdown(
            "Eq. 19 asks for the cheapest coupling. For W₁ its dual (Kantorovich–Rubinstein, Eq. 20) asks for "
            "the 1-Lipschitz function that separates the two distributions best. The chapter does not say that the "
            "supremum runs over 1-Lipschitz f only; without this it is infinite. The critic of a GAN estimates "
            "Jensen–Shannon, that of a WGAN estimates W₁. Section 5.3; Arjovsky et al. (2017), arXiv:1701.07875; exact "
            "plans by the library POT."
        )
