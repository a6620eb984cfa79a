"""Exhibit: adversarial codes and images (§5.1, §5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.data.sets import gaussians
from aecore.measure import coverage, sharpness
from aecore.measure.aggregate_posterior import Aggregate
from aecore.runs import sweeps
from aecore.runs.sweeps import Sweep
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.browser.swarm import Dots, Field, swarm
from app.cached import against_prior, error, example, square
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES
from app.library import has_gaussian_prior, held_out
from app.panels import exhibit, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors, queue
from app.state import Number, Point, Step

PRIORS, MODES = "aae-priors", "modes"  # sweeps
CRITIC_OF_IMAGES = {"VAE": "vae-16", "VAE/GAN": "vae-gan-16"}
CRITIC_OF_PAIRS = {"ALI": "ali-16", "HALI": "hali-16", "ALICE": "alice-16"}
SHOWN = 12  # images in a row
MEASURED = 500  # images over which sharpness is measured
POINTS = 2000  # samples among the Gaussians
MMD, CRITIC = plots.term_colour("mmd"), plots.term_colour("critic")


class State:
    """The pointer on the four planes, the seeds of the sheets, and the moment of the training."""

    at = Point("adversarial.at")
    seed = Number("adversarial.seed", 0, 9999)
    seed_of_images = Number("adversarial.vae-gan.seed", 0, 9999)
    seed_of_pairs = Number("adversarial.ali.seed", 0, 9999)
    moment = Step("adversarial.moment")


@cached.remember(max_entries=16)
def energy(run: Run, sampled: bool) -> float:
    """Gradient energy of samples of a run's model, or of held-out images."""
    if sampled:
        return sharpness.gradient_energy(cached.generated(run, MEASURED, 1.0, 0)[0])
    test = held_out(run)
    return sharpness.gradient_energy(inference.examples(test, inference.first(test, MEASURED)))


@cached.remember(max_entries=128)
def samples_at(run: Run, step: int) -> np.ndarray:
    """Samples (POINTS, 2) of a run's model as it was at a step of its training."""
    model = library.model(run, step)
    able = inference.require(model, "sample")
    with inference.evaluating(model) as device:
        return np.asarray(able.sample(POINTS, generator=inference.generator(device, 0)))


def page() -> None:
    sweep = exhibit.opening(
        "Adversarial codes",
        "A critic needs no formula for the prior, only samples: **whatever can be sampled can be a prior**. Here are "
        "four priors, and for each an encoder that has learned to fool its critic.",
        PRIORS,
    )
    runs = dict(zip(map(str, sweep.values), sweep.runs, strict=True))
    distances = {name: distance for name, run in runs.items() if (distance := against_prior(run))}
    show_codes(runs, distances)
    show_prior_samples(runs)
    show_downloads(distances)
    train_sweep.train(PRIORS)

    st.header("A critic of images: VAE/GAN", anchor=False)
    st.markdown(
        "Here the loss compares **what a critic sees** in two images, in place of their pixels. A VAE stands beside it."
    )
    show_critic_of_images()
    st.header("A critic of pairs: ALI, HALI, ALICE", anchor=False)
    st.markdown(
        "The critic sees an image **together with its code**. ALI relies on this alone to make encoder and decoder "
        "inverse to each other; HALI adds a second level of codes, and ALICE asks for the image back."
    )
    show_critic_of_pairs()

    st.header("What is forgotten: 25 Gaussians", anchor=False)
    st.markdown(
        "Each dot is a sample. A generator that has found **some** of the 25 Gaussians and has forgotten the others "
        "fools its critic all the same. Train the models yourself below and watch their samples spread."
    )
    modes = exhibit.trained(MODES)
    group = train_sweep.group_of(MODES)
    if group:
        st.fragment(show_running, run_every=2.0)(group, f"{modes.title}: ")
    show_moments(modes)
    train_sweep.train(MODES)
    show_explanations()


# --- critics of codes -------------------------------------------------------------------------------------------------


def show_codes(runs: Mapping[str, Run], distances: Mapping[str, Aggregate]) -> None:
    """The planes of codes, the objectives, and how far the codes are from each prior."""
    pointer = planes(
        [code_pane(name, run) for name, run in runs.items()],
        key="adversarial.planes",
        state=State.at.get(),
        alt="Codes of held-out images, of four adversarial autoencoders with different priors",
    )
    State.at.put(pointer)
    st.latex(
        plots.equation(
            r"\begin{gathered} \min_{A, B} \term{recon}{\Delta(x, B(A(x)))},\qquad \min_A \term{adv}{-\log D(A(x))} \\"
            r"\min_D \term{critic}{-\log D(z) - \log(1 - D(A(x)))},\quad z \sim p(z) \end{gathered}"
        )
    )
    key_figures(
        [
            (name, f"{distance.mmd2:.4f}", f"MMD² of codes and prior; {distance.chance:.4f} by chance", MMD)
            for name, distance in distances.items()
        ]
    )


def code_pane(name: str, run: Run) -> Pane:
    """The plane of a code of two latent dimensions, with the codes of held-out images."""
    view = square(run)
    rings = (1, 2) if has_gaussian_prior(run) else ()
    return Pane(name, view.tiles, view.extent, view.codes, view.labels, rings=rings)


@st.fragment
@plain_errors()
def show_prior_samples(runs: Mapping[str, Run]) -> None:
    """Samples from each prior, decoded."""
    seed = State.seed.number("Seed of the samples", width=200)
    rows = [(name, cached.small(cached.generated(run, SHOWN, 1.0, seed)[0])) for name, run in runs.items()]
    contact(rows, key="adversarial.draws", tile=64, alt="Samples from each prior, decoded")
    st.caption(
        "Samples from each prior, decoded. The points above are codes of held-out digits, in the colour of their class."
    )


def show_downloads(distances: Mapping[str, Aggregate]) -> None:
    """The distances from the priors as a table, and the lines of Python."""
    download_row(
        "adversarial-priors",
        {
            "prior": list(distances),
            "mmd2": [distance.mmd2 for distance in distances.values()],
            "by chance": [distance.chance for distance in distances.values()],
        },
        f"""
from aecore.measure.aggregate_posterior import aggregate
from aecore.runs import sweeps

sweep = sweeps.sweep("{PRIORS}")
for prior, run in zip(sweep.values, sweep.runs):
    print(prior, aggregate(run.model(), run.data().test))
""",
        "adversarial",
    )


# --- critics of images and of pairs -----------------------------------------------------------------------------------


def trained_examples(ids: Mapping[str, str]) -> dict[str, Run]:
    """Those of these examples that are trained: run by name."""
    return {name: run for name, identity in ids.items() if (run := example(identity))}


def tell_missing(ids: Mapping[str, str]) -> None:
    names = " and ".join(ids.values())
    st.info(f"The examples {names} are not trained: make pretrained.", icon=":material/info:")


def show_critic_of_images() -> None:
    """A VAE beside a VAE/GAN, and how sharp their samples are."""
    runs = trained_examples(CRITIC_OF_IMAGES)
    if len(runs) < len(CRITIC_OF_IMAGES):
        tell_missing(CRITIC_OF_IMAGES)
        return
    show_side_by_side("adversarial.vae-gan", State.seed_of_images, runs)
    first = next(iter(runs.values()))
    figures = [("images", f"{energy(first, False):.4f}", "gradient energy of held-out images", "")]
    for (name, run), colour in zip(runs.items(), LINES, strict=False):
        meaning = "sharper where it is nearer to that of the images"
        figures.append((f"{name}: samples", f"{energy(run, True):.4f}", meaning, colour))
    key_figures(figures)


def show_critic_of_pairs() -> None:
    """ALI and its successors, and their errors."""
    runs = trained_examples(CRITIC_OF_PAIRS)
    if not runs:
        tell_missing(CRITIC_OF_PAIRS)
        return
    show_side_by_side("adversarial.ali", State.seed_of_pairs, runs)
    key_figures(
        [
            (name, f"{error(run):.4f}", f"squared error per pixel, from {run.info.params['code']} numbers", colour)
            for (name, run), colour in zip(runs.items(), LINES, strict=False)
        ]
    )


@st.fragment
@plain_errors()
def show_side_by_side(key: str, seed_state: Number[int], runs: Mapping[str, Run]) -> None:
    """The same images reconstructed by several runs, and samples of each."""
    seed = seed_state.number("Seed of choice and samples", width=220)
    first = next(iter(runs.values()))
    ids = tuple(cached.choice(first, SHOWN, seed).tolist())
    rows = [("original", cached.images(first, ids))]
    rows += [(name, cached.reconstructions(run, ids)) for name, run in runs.items()]
    rows += [
        (f"{name}: samples", cached.small(cached.generated(run, SHOWN, 1.0, seed)[0])) for name, run in runs.items()
    ]
    contact(rows, key=f"{key}.sheet", tile=60, alt=f"Images, their reconstructions and samples by {', '.join(runs)}")


# --- 25 Gaussians -----------------------------------------------------------------------------------------------------


def sample_field(title: str, run: Run, steps: Sequence[int]) -> Field:
    """Samples of a run's model at some steps of its training, among the 25 Gaussians."""
    samples = [samples_at(run, step) for step in steps]
    centres = gaussians.centres().numpy()
    counts = [coverage.modes(points, gaussians.centres(), gaussians.STD) for points in samples]
    notes = [
        f"step {step:,}: {count.covered} of {len(centres)} covered, {100 * count.near:.0f} % of samples lie near one"
        for step, count in zip(steps, counts, strict=True)
    ]
    rings = np.column_stack([centres, np.full(len(centres), coverage.NEAR * gaussians.STD)])
    dots = Dots(np.stack(samples), CRITIC, size=2.5, opacity=0.8)
    return Field(title, [dots], (0, 1, 0, 1), rings=rings, notes=notes)


@plain_errors()
def show_running(group: str, prefix: str) -> None:
    """Samples of a visitor's own models while they are in training, as they are now.

    prefix: of the titles of these runs, which is left out.
    """
    runs = [run for run in sweeps.members(group, queue().listing()) if run.info.status in train_sweep.LIVE]
    fields = [
        sample_field(f"{run.info.title.removeprefix(prefix)}, in training", run, steps[-1:])
        for run in runs
        if (steps := run.steps("snapshots"))
    ]
    if fields:
        swarm(fields, key="adversarial.watched", report=False, alt="Samples among the 25 Gaussians")


@st.fragment
@plain_errors()
def show_moments(sweep: Sweep) -> None:
    """Samples of the trained models from the first moment of their training to the last, and what is covered."""
    runs = dict(zip(map(str, sweep.values), sweep.runs, strict=True))
    snapshots = {name: run.steps("snapshots") for name, run in runs.items()}
    moments = min(map(len, snapshots.values()))
    if not moments:  # a visitor's own training may have kept none
        return
    moment = State.moment.given(start=moments - 1)
    step = swarm(
        [sample_field(name, runs[name], steps[-moments:]) for name, steps in snapshots.items()],
        fps=2,
        key="adversarial.moments",
        steps=[f"moment {k + 1} of {moments}" for k in range(moments)],
        step=moment.get(),
        alt="Samples of each model among the 25 Gaussians",
    )
    moment.put(step)
    st.caption(
        f"A Gaussian counts as covered when a fifth of its fair share of {POINTS:,} samples lies within three standard "
        "deviations of its centre, which the rings mark. One seed each."
    )
    covered = {
        name: [row["modes covered"] for row in sweep.figures if str(row["value"]) == name and "modes covered" in row]
        for name in runs
    }
    counts = "; ".join(f"{name} {', '.join(map(str, each))}" for name, each in covered.items() if len(each) > 1)
    if counts:
        st.caption(f"Gaussians covered by trainings with this and other seeds, of 10,000 samples each: {counts}.")


def show_explanations() -> None:
    """What to look for, and why."""
    with st.expander("What to look for"):
        st.markdown(
            "- **Priors**: the codes take the form of the prior, whatever it is. No KL divergence is needed, only "
            "samples. In every form the classes lie next to each other.\n"
            "- **VAE/GAN**: samples are sharper. Reconstructions look like real digits, but their strokes do not lie "
            "exactly where those of the original do.\n"
            "- **ALI** brings back *an* image like x; ALICE, which asks for x, brings back x. HALI reconstructs no "
            "better than an ALI whose code is as large as HALI’s lower one, as here. It does better than an ALI whose "
            "code is as small as HALI’s upper one, because it decodes the lower code, which is larger: see the "
            "errata.\n"
            "- **25 Gaussians** are found in groups, and lost again. The critic of a WGAN pulls along a distance, and "
            "so its generator finds more of them than that of a GAN."
        )
    with st.expander("Why"):
        st.markdown(
            "The critic estimates from samples alone how far two distributions are apart. For codes it takes the place "
            "of the KL divergence (Makhzani et al., 2015), and for images that of a comparison of pixels (Larsen et "
            "al., 2016). For pairs it makes encoder and decoder agree in their joint distribution (Dumoulin et al., "
            "2016), which does not yet mean that x comes back (Li et al., 2017: ALICE). Sections 5.1 and 5.2."
        )
