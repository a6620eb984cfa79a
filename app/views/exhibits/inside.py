"""Exhibit: inside a VAE (Fig. 3, Eq. 7 to 15, Algorithm 1)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import DataSpec, Run
from aecore.explore import posterior
from aecore.explore.planes import plane
from aecore.explore.vae_algorithm import LINES, algorithm_1
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.cached import square
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, empty_figure, show_figure
from app.library import held_out, image_title, label_of
from app.link import LINKED, keep_pointer, recall_pointer
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row, run_location
from app.session import plain_errors

FRAMES = 10  # of each of the two movements
SIDE = 9
BEHIND = 500  # codes of other images, to see the draws among


@cached.remember(max_entries=64)
def inside(run: Run, example: int, draws: int, seed: int) -> posterior.Inside:
    return posterior.inside(library.model(run), library.data(run).test, example, draws, seed)


@cached.remember(max_entries=64)
def evidence(run: Run, example: int) -> float:
    return posterior.evidence(library.model(run), library.data(run).test, example)


class Machine:
    """A training that goes on line by line, of one visitor."""

    def __init__(self) -> None:
        digits = library.load(DataSpec(name="digits"))
        self.lines = algorithm_1(digits.train, digits.shape)
        self.now = next(self.lines)
        self.made: dict = dict(self.now.made)
        self.past: list[tuple[float, float]] = []

    def go(self, lines: int) -> None:
        for _ in range(lines):
            self.now = next(self.lines)
            self.made |= self.now.made
            if self.now.line == 4:
                self.past.append((self.made["recon"], self.made["kl"]))


def machine() -> Machine:
    if "inside.machine" not in st.session_state:
        st.session_state["inside.machine"] = Machine()
    return st.session_state["inside.machine"]


PACE = {"slow motion": (1, 0.9), "a round at a time": (6, 0.6), "fast": (120, 0.35)}


def page() -> None:
    sweep = exhibit.opening(
        "Inside a VAE",
        "An image is not a point of the code but a **small cloud**. Press play: noise from the prior is scaled by h(x) and "
        "moved by g(x), which makes a draw of the image’s own cloud.",
        "planes",
    )
    decoders = exhibit.trained("decoders")
    runs: dict[str, Run] = {"Bernoulli": dict(zip(sweep.values, sweep.runs, strict=True)).get("VAE", sweep.runs[0])}
    runs |= {f"Gaussian, c = {value:g}": run for value, run in zip(decoders.values, decoders.runs, strict=True)}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        name = layout.option("Decoder’s likelihood $p(x|z)$", list(runs), "inside.decoder")
        run = runs[name]
        test = held_out(run)
        example = layout.number("Image number", len(test) - 1, "inside.image", width=160)
        L = st.select_slider("Draws $L$", [1, 2, 3, 5, 8, 12, 20, 40], 12, key="inside.draws", width=200, **LINKED)
        speed = layout.option("Play as", ["play", "slow motion"], "inside.speed")
        seed = layout.number("Seed of draws", 9999, "inside.seed", width=160)

    found = inside(run, example, L, seed)
    view = square(run)
    grow = np.linspace(0, 1, FRAMES)
    path = [((1 - t) + t * found.std) * found.xi for t in grow] + [
        found.std * found.xi + t * found.mu for t in grow[1:]
    ]
    words = ["ξ ~ N(0, I)", *["h(x) ⊙ ξ"] * (FRAMES - 1), *["h(x) ⊙ ξ + g(x)"] * (FRAMES - 1)]
    x0, x1, y0, y1 = view.extent
    middle = {
        "at": [float((found.mu[0] - x0) / (x1 - x0)), float((found.mu[1] - y0) / (y1 - y0))],
        "step": len(words) - 1,
    }
    label = -1 if test.labels is None else int(test.labels[example])
    behind = view.codes[:BEHIND]
    frames = np.stack([np.concatenate([behind, xy]) for xy in path])
    classes = np.concatenate([np.full(BEHIND, -1) if view.labels is None else view.labels[:BEHIND], np.full(L, -1)])
    left, right = st.columns([2, 3], gap="large")
    with left:
        state = planes(
            [
                Pane(
                    "The code’s plane",
                    view.tiles,
                    view.extent,
                    frames,
                    classes,
                    np.concatenate([found.mu, found.std])[None],
                    [label],
                    rings=(1, 2),
                    marks=[(float(found.mu[0]), float(found.mu[1]), "g(x)")],
                )
            ],
            key="inside.plane",
            steps=words,
            fps=6 if speed == "play" else 1.5,
            state=recall_pointer("inside.at") or middle,
            alt="The posterior of one image as an ellipse over the prior's circles, and its draws",
        )
        keep_pointer("inside.at", state, len(words) - 1)
    with right:
        first, second = st.columns(2, gap="medium")
        with first:
            layout.picture(cached.images(run, (example,))[0], "$x$", image_title(run, example))
        with second:
            layout.picture(found.mean, "$f(g(x))$: the cloud’s middle, decoded", "The mean, decoded")
        contact(
            [("", found.tiles)],
            key="inside.draws.sheet",
            tile=64,
            captions=[f"{nats:.0f}" for nats in found.recon],
            alt=f"{L} draws of the cloud, decoded; below each −log p(x|z) in nats",
        )
        st.caption("Draws of the cloud, decoded; below each: −log p(x|z) in nats.")
    st.latex(
        r"z = h(x) \odot \xi + g(x) = \begin{pmatrix}"
        + r" \\ ".join(
            rf"{s:.2f} \cdot {x:.2f} {m:+.2f}" for s, x, m in zip(found.std, found.xi[0], found.mu, strict=True)
        )
        + r"\end{pmatrix} = \begin{pmatrix}"
        + r" \\ ".join(f"{v:.2f}" for v in found.z[0])
        + r"\end{pmatrix}"
    )
    kl = float(found.kl.sum())
    st.latex(
        plots.equation(
            r"\mathcal{L} = -\term{recon}{\underbrace{\tfrac{1}{L} \textstyle\sum_l -\log p(x|z_l)}_{"
            + f"{found.recon.mean():.2f}"
            + r"}} - \term{kl}{\underbrace{D_{KL}\left(\mathcal{N}(g, h^2) \,\Vert\, "
            r"\mathcal{N}(0, I)\right)}_{" + " + ".join(f"{value:.2f}" for value in found.kl) + r"}}\quad \text{nats}"
        )
    )
    truth = evidence(run, example)
    key_figures(
        [
            (
                "reconstruction",
                f"{found.recon.mean():.2f} nats".replace("-", "−"),
                f"± {found.recon.std(ddof=1) / np.sqrt(L):.2f} by chance of {L} draws" if L > 1 else "one draw",
                plots.term_colour("recon"),
            ),
            ("KL", f"{kl:.2f} nats", "exactly; no draws needed", plots.term_colour("kl")),
            ("bound L", f"{found.elbo:.2f} nats".replace("-", "−"), "minus both", plots.term_colour("elbo")),
            (
                "log p(x)",
                f"{truth:.2f} nats".replace("-", "−"),
                f"by 500 weighed draws: {truth - found.elbo:.2f} above",
                "",
            ),
        ]
    )
    if name != "Bernoulli":
        st.caption("A Gaussian decoder’s p(x|z) is a density: its logarithm may be positive, and grows with c.")

    st.header("Which image costs what", anchor=False)
    many = tuple(range(example, min(example + 12, len(test))))
    each = [inside(run, other, max(L, 12), seed) for other in many]
    made = empty_figure(360, "", "nats")
    texts = [f"{i}: “{label_of(run, i)}”" for i in many]
    offset = min(0.0, min(float(one.recon.mean()) for one in each))
    made.add_bar(
        x=texts,
        y=[float(one.recon.mean()) for one in each],
        name="−log p(x|z)",
        marker={"color": plots.term_colour("recon")},
    )
    for unit, opacity in ((0, 1.0), (1, 0.6)):
        made.add_bar(
            x=texts,
            y=[float(one.kl[unit]) for one in each],
            name=f"KL of z{unit + 1}",
            opacity=opacity,
            marker={"color": plots.term_colour("kl")},
        )
    made.update_layout(barmode="relative" if offset < 0 else "stack")
    show_figure(made, "inside.bound", "The bound of twelve images, split into reconstruction and the KL of each unit")
    download_row(
        "inside-a-vae",
        {
            "image": many,
            "recon": [float(one.recon.mean()) for one in each],
            "kl z1": [float(o.kl[0]) for o in each],
            "kl z2": [float(o.kl[1]) for o in each],
            "bound": [one.elbo for one in each],
        },
        f"""
from aecore import load
from aecore.explore.posterior import inside

run = load("{run_location(run)}")
found = inside(run.model(), run.data().test, example={example}, draws={L}, seed={seed})
print(found.mu, found.std, found.recon.mean(), found.kl, found.elbo)
""",
        "inside",
        lambda: plots.png(contact_sheet(found.tiles)),
    )

    st.header("The plane through a training", anchor=False)
    st.markdown("One training, kept at several moments: **drag the track** from its first step to its last.")
    exhibit.through_training(exhibit.trained("training").runs[0], "inside.training")

    st.header("Algorithm 1, line by line", anchor=False)
    st.markdown("A small VAE learns the bundled digits **here and now**; the line that was just done is lit.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pace = st.segmented_control("Pace", list(PACE), default="slow motion", required=True, key="inside.pace")
        playing = st.toggle("Run", False, key="inside.run")
        if st.button("One line", icon=":material/skip_next:", key="inside.step"):
            machine().go(1)
        if st.button("Start anew", icon=":material/restart_alt:", key="inside.anew"):
            st.session_state.pop("inside.machine", None)

    @st.fragment(run_every=PACE[pace][1] if playing else None)
    @plain_errors()
    def algorithm() -> None:
        own = machine()
        if playing:
            own.go(PACE[pace][0])
        made, line = own.made, own.now.line
        words, picture = st.columns([1, 1], gap="large")
        with words:
            for k, latex in enumerate(LINES):
                lit = f":orange-background[${latex}$ ◀]" if k == line else f"${latex}$"
                st.markdown(lit)
            key_figures(
                [
                    ("rounds", f"{own.now.step:,}", "updates so far", ""),
                    ("recon", f"{made['recon']:.1f}" if "recon" in made else "", "nats", plots.term_colour("recon")),
                    ("KL", f"{made['kl']:.2f}" if "kl" in made else "", "nats", plots.term_colour("kl")),
                    ("‖g‖", f"{made['gradient']:.1f}" if "gradient" in made else "", "the gradient’s length", ""),
                    ("‖Δ(θ, φ)‖", f"{made['moved']:.3f}" if "moved" in made else "", "the last step’s length", ""),
                ]
            )
        with picture:
            ends = np.array([-2.5, -2.5]), np.array([5.0, 0.0]), np.array([0.0, 5.0])
            tiles = plane(made["model"], *ends, SIDE)[::-1].reshape(SIDE * SIDE, *made["model"].shape[1:])
            a, b = st.columns(2, gap="medium")
            a.image(
                contact_sheet(tiles, SIDE, 520),
                caption="the decoder’s plane now",
                output_format="PNG",
                alt="What the decoder paints over the plane at this moment",
            )
            if "x" in made:
                b.image(
                    contact_sheet(made["x"][:81], 9, 520),
                    caption="$X^M$: the minibatch",
                    output_format="PNG",
                    alt="The minibatch",
                )
        if len(own.past) > 1:
            bound = -np.array(own.past).sum(1)
            st.line_chart({"bound of the minibatch, nats": bound[-2000:]}, height=180, color=plots.term_colour("elbo"))

    algorithm()
    train_sweep.train("decoders")
    with st.expander("What to look for"):
        st.markdown(
            "- **h(x) is small**: the cloud is much narrower than the prior; its draws decode to nearly the same digit, "
            "yet pixels tell them apart by nats.\n"
            "- **c** sets the exchange rate: with c = 1 a squared error is cheap, so clouds swell until they fill the "
            "prior and every picture is grey; with c = 100 the KL hardly matters.\n"
            "- **L** makes the estimate of the first term steadier; the KL needs no draws.\n"
            "- **Algorithm 1**: in the first rounds the KL falls to nearly nothing, then rises as codes begin to tell."
        )
    with st.expander("Why"):
        st.markdown(
            "No gradient passes through a draw. Written as z = h(x) ⊙ ξ + g(x), the draw is a function of x and of noise "
            "that no parameter touches, and gradients pass through g and h (Eq. 14). log p(x) is the bound plus the KL "
            "from q(z|x) to the true posterior (Eq. 7), so the gap above is how far the Gaussian is from it. The chapter "
            "writes h once for a scale and once for a covariance; here h is the standard deviation. Section 3; Kingma & "
            "Welling (2013), arXiv:1312.6114."
        )
