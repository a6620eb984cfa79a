"""Exhibit: adversarial codes and images (§5.1, §5.2)."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from aecore import Run, inference
from aecore.data.sets import gaussians
from aecore.measure import coverage, sharpness
from aecore.runs import sweeps
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.browser.swarm import Dots, Field, swarm
from app.cached import against_prior, error, example, square
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES
from app.library import has_gaussian_prior
from app.link import keep_pointer, keep_step, recall_pointer, recall_step
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors, queue

N = 12
DRAWS = 2000


def pane(name: str, run: Run) -> Pane:
    view = square(run)
    rings = (1, 2) if has_gaussian_prior(run) else ()
    return Pane(str(name), view.tiles, view.extent, view.codes, view.labels, rings=rings)


@cached.remember(max_entries=16)
def energy(run: Run, draws: bool) -> float:
    """Gradient energy of held-out images, or of draws."""
    if draws:
        return sharpness.gradient_energy(cached.generated(run, 500, 1.0, 0)[0])
    test = library.data(run).test
    return sharpness.gradient_energy(inference.examples(test, inference.first(test, 500)))


@st.fragment
@plain_errors()
def beside(key: str, found: dict[str, Run]) -> None:
    """Reconstructions and draws of several runs, of the same images."""
    seed = layout.number("Seed of choice and draws", 9999, f"{key}.seed", width=220)
    first = next(iter(found.values()))
    ids = tuple(cached.choice(first, N, seed).tolist())
    sheets = [("original", cached.images(first, ids))]
    for name, run in found.items():
        sheets.append((name, cached.reconstructions(run, ids)))
    sheets += [(f"{name}: draws", cached.small(cached.generated(run, N, 1.0, seed)[0])) for name, run in found.items()]
    contact(sheets, key=f"{key}.sheet", tile=60, alt=f"Images, their reconstructions and draws by {', '.join(found)}")


@cached.remember(max_entries=128)
def draws(run: Run, step: int) -> np.ndarray:
    """(DRAWS, 2)"""
    return np.asarray(library.model(run, step).sample(DRAWS, generator=torch.Generator().manual_seed(0)))


def field(name: str, run: Run, steps: list[int]) -> Field:
    """Draws of a run at some steps of its training, among the 25 places."""
    moves = [draws(run, step) for step in steps]
    found = [coverage.modes(xy, gaussians.centres(), gaussians.STD) for xy in moves]
    centres = gaussians.centres().numpy()
    rings = np.column_stack([centres, np.full(len(centres), 3 * gaussians.STD)])
    notes = [
        f"step {at:,}: {one.covered} of 25 covered, {100 * one.near:.0f} % of draws lie near one"
        for at, one in zip(steps, found, strict=True)
    ]
    dots = Dots(np.stack(moves), plots.term_colour("critic"), size=2.5, opacity=0.8)
    return Field(name, [dots], (0, 1, 0, 1), rings=rings, notes=notes)


def page() -> None:
    sweep = exhibit.opening(
        "Adversarial codes",
        "A critic needs no formula: **whatever can be drawn from can be a prior**. Four of them, and one encoder each that "
        "learnt to fool its critic.",
        "aae-priors",
    )
    named = dict(zip(sweep.values, sweep.runs, strict=True))

    state = planes(
        [pane(name, run) for name, run in named.items()],
        key="adversarial.planes",
        state=recall_pointer("adversarial.at"),
        alt="Codes of held-out images, of four adversarial autoencoders with different priors",
    )
    keep_pointer("adversarial.at", state)
    rows = [against_prior(run) for run in named.values()]
    st.latex(
        plots.equation(
            r"\begin{gathered} \min_{A, B} \term{recon}{\Delta(x, B(A(x)))},\qquad \min_A \term{adv}{-\log D(A(x))} \\"
            r"\min_D \term{critic}{-\log D(z) - \log(1 - D(A(x)))},\quad z \sim p(z) \end{gathered}"
        )
    )
    key_figures(
        [
            (
                str(name),
                f"{row.mmd2:.4f}",
                f"MMD² of codes and prior; {row.chance:.4f} by chance",
                plots.term_colour("mmd"),
            )
            for name, row in zip(named, rows, strict=True)
            if row is not None
        ]
    )

    @st.fragment
    @plain_errors()
    def draws_of_priors() -> None:
        """Draws from each prior, decoded."""
        seed = layout.number("Seed of the draws", 9999, "adversarial.seed", width=200)
        rows = [(str(name), cached.small(cached.generated(run, N, 1.0, seed)[0])) for name, run in named.items()]
        contact(rows, key="adversarial.draws", tile=64, alt="Draws from each prior, decoded")
        st.caption(
            "Draws from each prior, decoded. Points above: codes of held-out digits in the colour of their class."
        )

    draws_of_priors()
    table = {
        "prior": [str(name) for name in named],
        "mmd2": [row.mmd2 for row in rows if row],
        "by chance": [row.chance for row in rows if row],
    }
    download_row(
        "adversarial-priors",
        table,
        """
from aecore.runs import sweeps
from aecore.measure.aggregate_posterior import aggregate

found = sweeps.sweep("aae-priors")
for prior, run in zip(found.values, found.runs):
    print(prior, aggregate(run.model(), run.data().test))
""",
        "adversarial",
    )
    train_sweep.train("aae-priors")

    st.header("A critic of images: VAE/GAN", anchor=False)
    st.markdown("Beside a VAE: **what a critic sees** in an image is compared, in place of its pixels.")
    pair = {name: run for name, key in (("VAE", "vae-16"), ("VAE/GAN", "vae-gan-16")) if (run := example(key))}
    if len(pair) == 2:
        beside("adversarial.vae-gan", pair)
        key_figures(
            [
                ("images", f"{energy(pair['VAE'], False):.4f}", "gradient energy of held-out images", ""),
                *(
                    (f"{name}: draws", f"{energy(run, True):.4f}", "nearer to the images’ is sharper", colour)
                    for (name, run), colour in zip(pair.items(), LINES, strict=False)
                ),
            ]
        )
    else:
        st.info("The examples vae-16 and vae-gan-16 are not trained: make pretrained.", icon=":material/info:")

    st.header("A critic of pairs: ALI, HALI, ALICE", anchor=False)
    st.markdown(
        "The critic sees an image **with its code**. ALI hopes that encoder and decoder become inverse; HALI adds a level, "
        "ALICE asks for the image back."
    )
    three = {
        name: run
        for name, key in (("ALI", "ali-16"), ("HALI", "hali-16"), ("ALICE", "alice-16"))
        if (run := example(key))
    }
    if three:
        beside("adversarial.ali", three)
        key_figures(
            [
                (name, f"{error(run):.4f}", "squared error per pixel of reconstructions", colour)
                for (name, run), colour in zip(three.items(), LINES, strict=False)
            ]
        )
    else:
        st.info("The examples of ALI, HALI and ALICE are not trained: make pretrained.", icon=":material/info:")

    st.header("What is forgotten: 25 Gaussians", anchor=False)
    st.markdown(
        "Each dot is a draw. A generator that found **some** of the 25 places and forgot the others fools its critic all "
        "the same. Train them yourself below and watch them spread."
    )
    modes = exhibit.trained("modes")
    live = {str(value): run for value, run in zip(modes.values, modes.runs, strict=True)}
    group = train_sweep.group_of("modes")

    def running() -> list[Run]:
        members = sweeps.members(group, queue().listing()) if group else []
        return [run for run in members if run.info.status in train_sweep.LIVE and run.steps("snapshots")]

    @st.fragment(run_every=2.0 if group else None)
    @plain_errors()
    def watched() -> None:
        """Those in training, as they are now."""
        now = running()
        if now:
            swarm(
                [
                    field(
                        f"{run.info.title.removeprefix(f'{modes.title}: ')}, in training",
                        run,
                        [run.steps("snapshots")[-1]],
                    )
                    for run in now
                ],
                key="adversarial.watched",
                report=False,
                alt="Draws among the 25 Gaussians",
            )

    if group:
        watched()

    @st.fragment
    @plain_errors()
    def through_training() -> None:
        """The trained examples from the first moment of their training to the last."""
        taken = {name: run.steps("snapshots") for name, run in live.items()}
        moments = min(map(len, taken.values()))
        if not moments:  # of a visitor's own, of which none was kept
            return
        step = swarm(
            [field(name, live[name], steps[len(steps) - moments :]) for name, steps in taken.items()],
            fps=2,
            key="adversarial.moments",
            steps=[f"moment {k + 1} of {moments}" for k in range(moments)],
            step=recall_step("adversarial.moment"),
            alt="Draws of each model among the 25 Gaussians",
        )
        keep_step("adversarial.moment", step, moments - 1)
        st.caption(
            "A place counts as covered when a fifth of its fair share of 2,000 draws lies within three standard "
            "deviations: the rings. One seed each."
        )
        by_seed = {
            name: [row["modes covered"] for row in modes.figures if row["value"] == name and "modes covered" in row]
            for name in live
        }
        counts = "; ".join(f"{name} {', '.join(map(str, each))}" for name, each in by_seed.items() if len(each) > 1)
        if counts:
            st.caption(f"How many places are covered in trainings of other seeds, too (of 10,000 draws): {counts}.")

    through_training()
    train_sweep.train("modes")
    with st.expander("What to look for"):
        st.markdown(
            "- **Priors**: the map of codes takes the prior’s form, whatever it is; no KL is needed, only draws. Classes "
            "lie next to each other in any form.\n"
            "- **VAE/GAN**: sharper draws, and reconstructions that look right and lie wrong.\n"
            "- **ALI** brings back *an* image like x; ALICE, which asks for it, brings back x. HALI does better than an "
            "ALI that draws from equally many numbers, and not always than one whose code is as large as HALI’s lower one, "
            "as here: see the errata.\n"
            "- **25 Gaussians**: places are found in groups, and lost again. The critic of a WGAN pulls along a distance "
            "and so finds more than the GAN’s."
        )
    with st.expander("Why"):
        st.markdown(
            "The critic estimates how far two distributions are apart from draws alone. On codes it stands in for the KL "
            "(Makhzani et al., 2015), in images for pixels (Larsen et al., 2016), on pairs it makes encoder and decoder "
            "agree in joint distribution (Dumoulin et al., 2016), which does not yet mean that x comes back (Li et al., "
            "2017: ALICE). Sections 5.1 and 5.2."
        )
