"""Exhibit: the regularizers of §2 side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run, inference
from aecore.explore import filters, perturb
from aecore.measure import jacobian
from aecore.measure.latents import activity
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.figures import plots
from app.figures.plots import LETTERS, LINES, contact_sheet, empty_panels, model_lines, show_figure, signed
from app.library import held_out
from app.panels import exhibit, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Choice, Number, Point


class Regularizer(NamedTuple):
    """title: what people read.  symbol: of its weight.  usual: the position of the default in the sweep's values."""

    title: str
    symbol: str
    usual: int


SWEEPS = {
    "sparse-l1": Regularizer("sparse, L1", "λ", 2),
    "sparse-kl": Regularizer("sparse, KL", "p", 1),
    "denoising": Regularizer("denoising", "σ", 2),
    "contractive": Regularizer("contractive", "λ", 2),
}
PLAIN, PLAIN_CODE = "bottleneck", 64  # the sweep without a regularizer, and the size of the code taken from it
NONE = "none"
SHOWN = 12  # images
FILTERS = 36  # pictures of weights for each network
FLOOR = 1e-4  # smaller singular values are drawn here

EQUATIONS = (
    r"\begin{gathered} \mathbb{E}\, \term{recon}{\Delta(x, B(a))} + \lambda\, \term{sparsity}{\textstyle\sum_j |a_j|}"
    r"\qquad \mathbb{E}\, \term{recon}{\Delta(x, B(a))} + \lambda\, \term{sparsity}{\textstyle\sum_j D_{KL}(p \Vert "
    r"\hat p_j)} \\[.4em] \mathbb{E}\, \term{recon}{\Delta(x, B(A(\tilde x)))},\ \tilde x \sim \mathcal{N}(x, "
    r"\sigma^2 I) \qquad \mathbb{E}\, \term{recon}{\Delta(x, B(A(x)))} + \lambda\, \term{jacobian}{\lVert J_A(x) "
    r"\rVert_F^2} \end{gathered}"
)
SNIPPET = """
from aecore.runs import sweeps
from aecore import inference
from aecore.measure.latents import activity

for name in ("sparse-l1", "sparse-kl", "denoising", "contractive"):
    sweep = sweeps.sweep(name)
    for value, run in zip(sweep.values, sweep.runs):
        test = run.data().test
        codes = inference.encode(run.model(), test, inference.first(test, 1000))
        print(name, value, run.info.metrics["mse"], activity(codes).sum())
"""


class State:
    """The strength of each regularizer, the choice of images, and the one image that is pushed."""

    strengths: ClassVar = {identity: Choice[float](f"regularizers.{identity}") for identity in SWEEPS}
    seed = Number("regularizers.seed", 0, 9999)
    image = Number("regularizers.image", 0)
    push = Choice("regularizers.push", tuple(perturb.KINDS))
    at = Point("regularizers.at")


@cached.remember(max_entries=64)
def stretch(run: Run, example: int) -> np.ndarray:
    """Singular values of the encoder's Jacobian at one held-out image, relative to the spread of the codes."""
    return jacobian.singular_values(library.model(run), library.data(run).test, example) / cached.facts(run).spread


@cached.remember(max_entries=64)
def answers(run: Run, example: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """What comes back for a pushed image, uint8 (rows, n, H, W[, 3]), and how far its code has moved, (rows, n)."""
    x = inference.examples(library.data(run).test, [example])
    return perturb.answer_grid(library.model(run), x, kind, cached.facts(run).spread)


@cached.remember(max_entries=16)
def inputs(run: Run, example: int, kind: str) -> np.ndarray:
    """The pushed images, uint8 (rows, n, H, W[, 3])."""
    return perturb.input_grid(inference.examples(library.data(run).test, [example]), kind)


AHEAD = 0.06
"""Seconds before the rest of the page is sent. The browser draws what comes at once together: without this pause the
pictures appeared 0.25 s later, with the figures below them."""


def page() -> None:
    plain = exhibit.opening(
        "Regularizers",
        "With 64 latent dimensions for a digit, a network could nearly copy. **Four ways to prevent it** lead to "
        "four different codes. What does each do to the picture, to the latent dimensions, and to a code whose image "
        "is pushed?",
        PLAIN,
    )
    runs = {NONE: dict(zip(plain.values, plain.runs, strict=True)).get(PLAIN_CODE, plain.runs[-1]), **choose_runs()}
    sheet = show_pictures(runs)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        State.seed.number("Seed of the choice", width=200)
    show_table(runs, sheet)

    st.header("What units look for", anchor=False)
    show_filters(runs)

    st.header("Codes and Jacobians", anchor=False)
    show_figure(
        histogram_figure({name: cached.facts(run).codes for name, run in runs.items()}),
        "regularizers.histograms",
        "How the values of all latent dimensions are spread, one panel for each network",
    )
    st.caption(
        "Values of all latent dimensions around their medians, in standard deviations of all values; the scale is "
        "logarithmic."
    )
    show_one_image(runs)
    for identity, regularizer in SWEEPS.items():
        train_sweep.train(identity, regularizer.title)
    show_explanations()


def choose_runs() -> dict[str, Run]:
    """For each regularizer the network that was trained with the chosen strength, by title."""
    runs = {}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        for identity, (title, symbol, usual) in SWEEPS.items():
            sweep = exhibit.trained(identity)
            values = list(sweep.values)
            strength = State.strengths[identity].given(options=values, default=values[min(usual, len(values) - 1)])
            value = strength.slider(f"{title}: ${LETTERS[symbol]}$", width=230)
            runs[title] = sweep.runs[values.index(value)]
    return runs


def show_pictures(runs: Mapping[str, Run]) -> np.ndarray:
    """Images above what each network gives back; returns all of them in the order of the sheet."""
    first = one_of(runs)
    ids = tuple(cached.choice(first, SHOWN, State.seed.now()).tolist())
    rows = [("original", cached.images(first, ids))]
    rows += [(name, cached.reconstructions(run, ids)) for name, run in runs.items()]
    contact(rows, key="regularizers.sheet", alt="Images above what each network gives back", tile=64)
    time.sleep(AHEAD)
    return np.concatenate([images for _, images in rows])


def one_of(runs: Mapping[str, Run]) -> Run:
    """A regularized run, whose data the page shows."""
    return next(run for name, run in runs.items() if name != NONE)


def show_table(runs: Mapping[str, Run], sheet: np.ndarray) -> None:
    """What each regularizer does to error, code and Jacobian, and what can be downloaded.  sheet: all pictures."""
    facts = [cached.facts(run) for run in runs.values()]
    active = [activity(fact.codes) for fact in facts]
    table = {
        "regularizer": list(runs),
        "squared error per pixel": [f"{fact.error:.4f}" for fact in facts],
        "latent dimensions off their rest, per image": [f"{share.sum():.1f} of {len(share)}" for share in active],
        "latent dimensions that ever move": [int((share > 0).sum()) for share in active],
        "‖J‖ at image 0, per spread of codes": [f"{np.linalg.norm(stretch(run, 0)):.3f}" for run in runs.values()],
    }
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"Over {min(cached.LOOKED_AT, len(held_out(one_of(runs)))):,} held-out images. A latent dimension is off its "
        "rest when its value is more than a twentieth of its range away from its median. Each step of a slider shows "
        "another trained network; nothing lies between two of them."
    )
    st.latex(plots.equation(EQUATIONS))
    download_row("regularizers", table, SNIPPET, "regularizers", lambda: plots.png(contact_sheet(sheet, SHOWN)))


def show_filters(runs: Mapping[str, Run]) -> None:
    """Of each network the weights of its linear decoder, or of the first layer of its encoder, as pictures."""
    spread = filters.pixel_spread(held_out(one_of(runs)), cached.LOOKED_AT)
    for column, (name, run) in zip(st.columns(len(runs), gap="medium"), runs.items(), strict=True):
        weights, meaning = filters.dictionary(library.model(run)), "what each latent dimension paints"
        if weights is None:
            weights, meaning = filters.first_layer(library.model(run), spread), "first layer’s weights"
        column.markdown(f"**{name}**")
        column.image(
            plots.grid(signed(weights[:FILTERS]), 6, 2, 6),
            width="stretch",
            output_format="PNG",
            alt=f"Weights of {FILTERS} units of the network with {name}",
        )
        column.caption(meaning)
    st.caption(
        "Red is above zero, blue below; each picture is scaled to its largest weight. The weights of a first layer are "
        "multiplied by the standard deviation of their pixel, so that pixels which never change do not show."
    )


def histogram_figure(codes: Mapping[str, np.ndarray]) -> go.Figure:
    """How the values of codes (n, D) are spread around the medians of their latent dimensions, a panel for each."""
    figure = empty_panels(list(codes))
    for column, ((name, values), colour) in enumerate(zip(codes.items(), LINES, strict=False), 1):
        values = (values - np.median(values, 0)).ravel() / max(float(values.std()), 1e-9)
        counts, edges = np.histogram(values, 41, (-4, 4))
        bars = go.Bar(
            x=(edges[1:] + edges[:-1]) / 2,
            y=100 * counts / len(values),
            marker={"color": colour},
            name=name,
            showlegend=False,
        )
        figure.add_trace(bars, 1, column)
    figure.update_layout(bargap=0, hovermode="closest")
    return figure.update_yaxes(title="% of all values", col=1, type="log")


@st.fragment
@plain_errors()
def show_one_image(runs: Mapping[str, Run]) -> None:
    """The singular values of each encoder's Jacobian at one image, and the image pushed."""
    st.header("One image", anchor=False)
    example = State.image.given(most=len(held_out(one_of(runs))) - 1).number("Number of the image", width=200)
    show_figure(
        singular_value_figure({name: stretch(run, example) for name, run in runs.items()}),
        "regularizers.jacobian",
        "Singular values of the Jacobian of each encoder at one image",
    )
    st.caption(f"Values below {FLOOR:g} are drawn there: they belong to directions in which the code does not move.")

    st.header("Push an image", anchor=False)
    kind = State.push.option("How")
    (across, x0, x1), (up, y0, y1) = perturb.KINDS[kind]
    extent = (x0, x1, y0, y1)
    panes = [Pane("input", inputs(one_of(runs), example, kind)[None], extent)]
    for name, run in runs.items():
        pictures, moved = answers(run, example, kind)
        panes.append(Pane(name, pictures[None], extent, values=moved[None], measure="code moves"))
    pointer = planes(
        panes,
        key="regularizers.push.planes",
        axes=(across, up),
        state=State.at.get(),
        alt="One image pushed, and what each network gives back",
    )
    State.at.put(pointer)
    st.caption(
        "The bar shows how far the code has moved, as a share of the distance between the codes of two different "
        "images (root mean square). At 1 it has moved as far as if it belonged to another image."
    )


def singular_value_figure(values: Mapping[str, np.ndarray]) -> go.Figure:
    """Singular values by their number, a line for each network; those below FLOOR are drawn there."""
    curves = {name: np.maximum(singular, FLOOR) for name, singular in values.items()}
    numbers = np.arange(1, max(map(len, curves.values())) + 1)
    titles = "singular value number", "stretch, relative to the spread of codes"
    figure = model_lines(numbers, curves, titles, 360, "%{y:.3g}", "lines")
    return figure.update_yaxes(type="log", exponentformat="power")


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **L1**: as λ grows, fewer latent dimensions are off their rest, and each paints a whole stroke. If λ "
            "is too large, the picture is lost.\n"
            "- **KL**: each latent dimension has the value p *on average*. That does not make it silent for most "
            "images; see the errata.\n"
            "- **Denoising**: when noise or erasures are added, its code moves less than the others’, and the answer "
            "is clean. It was not trained on shifts, and they move its code.\n"
            "- **Contractive**: as λ grows, its singular values become smaller, all but those of the directions that "
            "it needs."
        )
    with st.expander("Why"):
        st.markdown(
            "A bottleneck is one way to prevent copying. All four methods here leave the code wide; they add a "
            "penalty (Eq. 2, 3, 6) or damage the input (Eq. 4). For small Gaussian noise the denoising objective is "
            "nearly the contractive one, of the whole reconstruction and not of the code alone (Alain & Bengio, 2014, "
            "arXiv:1211.4246). Sections 2.1 to 2.3; Olshausen & Field (1996), Ng (2011), Vincent et al. (2008), Rifai "
            "et al. (2011)."
        )
