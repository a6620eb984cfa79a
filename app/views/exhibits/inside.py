"""Exhibit: inside a VAE (Fig. 3, Eq. 7 to 15, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import DataSpec, Run
from aecore.explore import posterior
from aecore.explore.planes import plane
from aecore.explore.vae_algorithm import LINES, Stepper
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, empty_figure, show_figure
from app.library import held_out, image_title, label_of
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row, run_location
from app.session import plain_errors
from app.state import Choice, Number, Point

PLANES, VAE = "planes", "VAE"  # the sweep of models with a code of two numbers, and its value that is a VAE
DECODERS = "decoders"  # the sweep of VAEs with a Gaussian decoder
TRAINING = "training"  # the sweep whose run has snapshots
BERNOULLI = "Bernoulli"
DIGITS = DataSpec(name="digits")  # on which Algorithm 1 runs
STEPPER = "inside.machine"  # in the session: Algorithm 1 of this visitor
PACE = {"slow motion": (1, 0.9), "a round at a time": (6, 0.6), "fast": (120, 0.35)}
"""Name → lines of Algorithm 1 that are carried out at a time, and seconds between two times."""
FRAMES = 10  # of each of the two movements
SIDE = 9  # tiles along a side of the plane of Algorithm 1
BEHIND = 500  # codes of other images, among which the samples are seen
COMPARED = 12  # images whose bounds are compared
KL = plots.term_colour("kl")
RECON = plots.term_colour("recon")
ELBO = plots.term_colour("elbo")


class State:
    """The decoder, the image, its samples and their movement."""

    decoder = Choice[str]("inside.decoder")
    image = Number("inside.image", 0)
    samples = Choice("inside.draws", (1, 2, 3, 5, 8, 12, 20, 40), 12)
    speed = Choice("inside.speed", ("play", "slow motion"))
    seed = Number("inside.seed", 0, 9999)
    at = Point("inside.at")


class View(NamedTuple):
    """What the visitor has chosen, and the posterior of the image.  decoder: its likelihood by name."""

    decoder: str
    run: Run
    example: int
    samples: int
    slowly: bool
    seed: int
    inside: posterior.Inside


@cached.remember(max_entries=64)
def inside(run: Run, example: int, samples: int, seed: int) -> posterior.Inside:
    """The posterior of one held-out image, and samples of it."""
    return posterior.inside(library.model(run), library.data(run).test, example, samples, seed)


@cached.remember(max_entries=64)
def evidence(run: Run, example: int) -> posterior.Evidence:
    """An estimate of log p(x) of one held-out image."""
    return posterior.evidence(library.model(run), library.data(run).test, example)


def page() -> None:
    sweep = exhibit.opening(
        "Inside a VAE",
        "An image is not a point of the code but a **small cloud**. Press play: noise from the prior is scaled by "
        "h(x) and moved by g(x), which makes it a sample of the image’s own cloud.",
        PLANES,
    )
    decoders = exhibit.trained(DECODERS)
    runs = {BERNOULLI: dict(zip(sweep.values, sweep.runs, strict=True)).get(VAE, sweep.runs[0])}
    runs |= {f"Gaussian, c = {value:g}": run for value, run in zip(decoders.values, decoders.runs, strict=True)}
    view = choose_view(runs)
    left, right = st.columns([2, 3], gap="large")
    with left:
        show_cloud(view)
    with right:
        show_pictures(view)
    show_bound(view)

    st.header("Which image costs what", anchor=False)
    show_images(view)

    st.header("The plane through a training", anchor=False)
    st.markdown("One training, kept at several moments: **drag the track** from its first step to its last.")
    exhibit.through_training(exhibit.trained(TRAINING).runs[0], "inside.training")

    st.header("Algorithm 1, line by line", anchor=False)
    st.markdown("A small VAE learns the bundled digits **here and now**; the line that was just carried out is marked.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pace = st.segmented_control("Pace", list(PACE), default="slow motion", required=True, key="inside.pace")
        playing = st.toggle("Run", False, key="inside.run")
        if st.button("One line", icon=":material/skip_next:", key="inside.step"):
            stepper().advance(1)
        if st.button("Start anew", icon=":material/restart_alt:", key="inside.anew"):
            st.session_state.pop(STEPPER, None)
    lines, seconds = PACE[pace]
    st.fragment(show_algorithm, run_every=seconds if playing else None)(lines if playing else 0)
    train_sweep.train(DECODERS)
    show_explanations()


def choose_view(runs: dict[str, Run]) -> View:
    """The controls at the top.  runs: by the name of their decoder's likelihood."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        decoder = State.decoder.given(options=tuple(runs)).option("Decoder’s likelihood $p(x|z)$")
        run = runs[decoder]
        example = State.image.given(most=len(held_out(run)) - 1).number("Image number", width=160)
        samples = State.samples.slider("Samples $L$", width=200)
        slowly = State.speed.option("Play as") == "slow motion"
        seed = State.seed.number("Seed of the samples", width=160)
    return View(decoder, run, example, samples, slowly, seed, inside(run, example, samples, seed))


def show_cloud(view: View) -> None:
    """The plane of the code with the cloud of the image, and its samples on their way from the prior."""
    found = view.inside
    steps = ["ξ ~ N(0, I)", *["h(x) ⊙ ξ"] * (FRAMES - 1), *["h(x) ⊙ ξ + g(x)"] * (FRAMES - 1)]
    pane = cloud_pane(view)
    x0, x1, y0, y1 = pane.extent
    middle = [float((found.mu[0] - x0) / (x1 - x0)), float((found.mu[1] - y0) / (y1 - y0))]
    pointer = State.at.given(start=len(steps) - 1)
    state = planes(
        [pane],
        key="inside.plane",
        steps=steps,
        fps=1.5 if view.slowly else 6,
        state=pointer.get() or {"at": middle, "step": len(steps) - 1},
        alt="The posterior of one image as an ellipse over the prior's circles, and its samples",
    )
    pointer.put(state)


def cloud_pane(view: View) -> Pane:
    """The plane of the code: codes of other images, the cloud of this one, and its samples at every step."""
    found, square, labels = view.inside, cached.square(view.run), held_out(view.run).labels
    path = posterior.reparameterisation(found, FRAMES)
    behind = square.codes[:BEHIND]
    classes = np.full(len(behind), -1) if square.labels is None else square.labels[:BEHIND]
    return Pane(
        "The code’s plane",
        square.tiles,
        square.extent,
        points=np.stack([np.concatenate([behind, samples]) for samples in path]),
        labels=np.concatenate([classes, np.full(view.samples, -1)]),
        clouds=np.concatenate([found.mu, found.std])[None],
        cloud_colours=[-1 if labels is None else int(labels[view.example])],
        rings=(1, 2),
        marks=[(float(found.mu[0]), float(found.mu[1]), "g(x)")],
    )


def show_pictures(view: View) -> None:
    """The image, the middle of its cloud decoded, and the samples decoded."""
    found = view.inside
    first, second = st.columns(2, gap="medium")
    with first:
        split = ", split at ½" if view.decoder == BERNOULLI else ""
        layout.picture(found.image, f"$x$: the image{split}", image_title(view.run, view.example))
    with second:
        layout.picture(found.mean, "$f(g(x))$: the cloud’s middle, decoded", "The mean, decoded")
    contact(
        [("", found.tiles)],
        key="inside.draws.sheet",
        tile=64,
        captions=[f"{value:.2f}" for value in found.rounded().recon],
        alt=f"{view.samples} samples of the cloud, decoded; below each −log p(x|z) in nats",
    )
    st.caption("Samples of the cloud, decoded; below each: −log p(x|z) in nats.")


def show_bound(view: View) -> None:
    """The first sample and the bound as equations with numbers, and log p(x)."""
    found, shown = view.inside, view.inside.rounded()
    st.latex(sample_equation(found))
    st.latex(plots.equation(bound_equation(shown)))
    estimate = evidence(view.run, view.example)
    value, error = round(estimate.value, 2), f"{estimate.error:.2f}"
    difference = f"{abs(value - shown.elbo):.2f} {'above' if value >= shown.elbo else 'below'} L"
    deviation = f"± {found.recon.std(ddof=1) / np.sqrt(view.samples):.2f} by chance of {view.samples} samples"
    key_figures(
        [
            ("reconstruction", nats(shown.mean), deviation if view.samples > 1 else "one sample", RECON),
            ("KL", nats(shown.kl_sum), "exactly; no samples needed", KL),
            ("bound L", nats(shown.elbo), "minus both", ELBO),
            (
                "log p(x), nearly",
                nats(value),
                f"± {error}, {difference}: mean of {estimate.groups} groups of {estimate.k} weighted samples",
                "",
            ),
        ]
    )
    if view.decoder == BERNOULLI:
        st.caption(
            "Bernoulli pixels are 0 or 1, so the image is split at one half into black and white. Only then is p(x|z) "
            "a likelihood and L a bound on log p(x). The training used grey values, for which −log p(x|z) is a "
            "cross-entropy."
        )
    else:
        st.caption("A Gaussian decoder’s p(x|z) is a density: its logarithm may be positive, and grows with c.")


def nats(value: float) -> str:
    return f"{value:.2f} nats".replace("-", "−")


def sample_equation(found: posterior.Inside) -> str:
    """z = h(x) ⊙ ξ + g(x) with the rounded numbers of the first sample, of which z is the rounded result."""
    parts = np.round(np.stack([found.std, found.xi[0], found.mu], 1).astype(float), 2)
    terms = r" \\ ".join(rf"{s:.2f} \cdot ({x:.2f}) {m:+.2f}" for s, x, m in parts)
    code = r" \\ ".join(f"{s * x + m:.2f}" for s, x, m in parts)
    return (
        rf"z = h(x) \odot \xi + g(x) = \begin{{pmatrix}}{terms}\end{{pmatrix}} = \begin{{pmatrix}}{code}\end{{pmatrix}}"
    )


def bound_equation(shown: posterior.Rounded) -> str:
    """The bound with the numbers of its terms below them; terms are marked for `plots.equation`."""
    recon, kl = f"{shown.mean:.2f}", " + ".join(f"{value:.2f}" for value in shown.kl)
    return (
        r"\mathcal{L} = -\term{recon}{\underbrace{\tfrac{1}{L} \textstyle\sum_l -\log p(x|z_l)}_{" + recon + "}}"
        r" - \term{kl}{\underbrace{D_{KL}\left(\mathcal{N}(g, h^2) \,\Vert\, \mathcal{N}(0, I)\right)}_{" + kl + "}}"
        r"\quad \text{nats}"
    )


def show_images(view: View) -> None:
    """The bounds of several images, and what can be downloaded."""
    run = view.run
    ids = range(view.example, min(view.example + COMPARED, len(held_out(run))))
    each = [inside(run, example, max(view.samples, 12), view.seed) for example in ids]
    show_figure(
        bound_figure([f"{example}: “{label_of(run, example)}”" for example in ids], each),
        "inside.bound",
        "The bound of twelve images, split into reconstruction and the KL of each latent dimension",
    )
    table = {
        "image": ids,
        "recon": [float(one.recon.mean()) for one in each],
        "kl z1": [float(one.kl[0]) for one in each],
        "kl z2": [float(one.kl[1]) for one in each],
        "bound": [one.elbo for one in each],
    }
    tiles = view.inside.tiles
    download_row("inside-a-vae", table, snippet(view), "inside", lambda: plots.png(contact_sheet(tiles)))


def bound_figure(names: Sequence[str], each: Sequence[posterior.Inside]) -> go.Figure:
    """Bars of the terms of the bound in nats, for each image."""
    figure = empty_figure(360, "", "nats")
    recon = [float(one.recon.mean()) for one in each]
    figure.add_bar(x=names, y=recon, name="−log p(x|z)", marker={"color": RECON})
    for dimension, opacity in ((0, 1.0), (1, 0.6)):
        figure.add_bar(
            x=names,
            y=[float(one.kl[dimension]) for one in each],
            name=f"KL of z{dimension + 1}",
            opacity=opacity,
            marker={"color": KL},
        )
    return figure.update_layout(barmode="relative" if min(recon) < 0 else "stack")


def snippet(view: View) -> str:
    """The lines that compute the posterior of the image."""
    return f"""
from aecore import load
from aecore.explore.posterior import inside

run = load("{run_location(view.run)}")
found = inside(run.model(), run.data().test, example={view.example}, draws={view.samples}, seed={view.seed})
print(found.mu, found.std, found.recon.mean(), found.kl, found.elbo)
"""


def stepper() -> Stepper:
    """Algorithm 1 of this visitor, as far as it has been carried out."""
    if STEPPER not in st.session_state:
        digits = library.load(DIGITS)
        st.session_state[STEPPER] = Stepper(digits.train, digits.shape)
    return st.session_state[STEPPER]


@plain_errors()
def show_algorithm(lines: int) -> None:
    """Carry out so many lines of Algorithm 1; show its text, its numbers and what the decoder paints."""
    algorithm = stepper()
    algorithm.advance(lines)
    text, pictures = st.columns([1, 1], gap="large")
    with text:
        for k, latex in enumerate(LINES):
            st.markdown(f":orange-background[${latex}$ ◀]" if k == algorithm.now.line else f"${latex}$")
        show_numbers(algorithm)
    with pictures:
        show_decoder(algorithm)
    if len(algorithm.losses) > 1:
        bound = -np.array(algorithm.losses).sum(1)
        st.line_chart({"−(cross-entropy + KL) of the minibatch, nats": bound[-2000:]}, height=180, color=ELBO)


def show_numbers(algorithm: Stepper) -> None:
    """The numbers of the current round, as far as they are known."""

    def known(name: str, digits: int) -> str:
        return f"{algorithm.made[name]:.{digits}f}" if name in algorithm.made else ""

    key_figures(
        [
            ("rounds", f"{algorithm.now.step:,}", "updates so far", ""),
            ("cross-entropy", known("recon", 1), "nats, of grey images", RECON),
            ("KL", known("kl", 2), "nats", KL),
            ("‖g‖", known("gradient", 1), "the gradient’s length", ""),
            ("‖Δ(θ, φ)‖", known("moved", 3), "the last step’s length", ""),
        ]
    )


def show_decoder(algorithm: Stepper) -> None:
    """What the decoder paints over the plane of the code now, and the minibatch."""
    model = algorithm.made["model"]
    corner, across, up = np.array([-2.5, -2.5]), np.array([5.0, 0.0]), np.array([0.0, 5.0])
    tiles = plane(model, corner, across, up, SIDE)[::-1].reshape(SIDE * SIDE, *model.shape[1:])
    left, right = st.columns(2, gap="medium")
    left.image(
        contact_sheet(tiles, SIDE, 520),
        caption="the decoder’s plane now",
        output_format="PNG",
        alt="What the decoder paints over the plane at this moment",
    )
    if "x" in algorithm.made:
        right.image(
            contact_sheet(algorithm.made["x"][: SIDE * SIDE], SIDE, 520),
            caption="$X^M$: the minibatch",
            output_format="PNG",
            alt="The minibatch",
        )


def show_explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **h(x) is small**: the cloud is much narrower than the prior. Its samples decode to nearly the same "
            "digit, yet their pixels differ by nats.\n"
            "- **c** sets the exchange rate between the two terms. With c = 1 a squared error is cheap, so clouds "
            "grow until they fill the prior and every picture is grey. With c = 100 the KL hardly matters.\n"
            "- **L** makes the estimate of the first term more precise; the KL needs no samples.\n"
            "- **Algorithm 1**: in the first rounds the KL falls to nearly nothing; then it rises as codes begin to "
            "carry information."
        )
    with st.expander("Why"):
        st.markdown(
            "No gradient passes through sampling. Written as z = h(x) ⊙ ξ + g(x), a sample is a function of x and of "
            "noise that does not depend on any parameter, and gradients pass through g and h (Eq. 14). log p(x) is "
            "the bound plus the KL from q(z|x) to the true posterior (Eq. 7), so the gap above shows how far the "
            "Gaussian is from that posterior. The chapter writes h once for a scale and once for a covariance; here h "
            "is the standard deviation. Section 3; Kingma & Welling (2013), arXiv:1312.6114."
        )
