"""Exhibit: VAE against WAE (Fig. 7, Eq. 19–21)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st

from aecore import Run
from aecore.runs.sweeps import Sweep
from app import cached, link, pages
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.cached import against_prior, clouds, example, in_holes, projected, square
from app.figures import plots
from app.figures.html import mean_and_deviation
from app.figures.plots import contact_sheet
from app.library import has_gaussian_prior, held_out, label_of
from app.panels import exhibit, train_sweep
from app.panels.downloads import csv_table, download_button, python_button
from app.state import Flag, Many, Number, Point

SWEEP = "planes"
FIRST = ("VAE", "WAE-MMD, Gaussian", "WAE-MMD, points", "AAE")
MOST = 4  # models side by side
KERNELS = {"inverse multiquadratic": "wae-lambda", "gaussian": "wae-lambda-gaussian"}
LARGER = {"VAE, d = 16": "vae-16", "WAE-MMD, d = 8": "wae-mmd-8", "WAE-GAN, d = 8": "wae-gan-8"}
NO_CODES, NO_LABELS = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)


class State:
    """The models, the chosen images, whether all codes are shown, and the pointers of the three rows of planes."""

    models = Many("wasserstein.models")
    n = Number("wasserstein.n", 4, 16, 8)
    seed = Number("wasserstein.seed", 0, 9999)
    all_codes = Flag("wasserstein.all", True)
    at = Point("wasserstein.at")
    at_lambda = Point("wasserstein.knobs")
    at_larger = Point("wasserstein.larger.at")


class View(NamedTuple):
    """What the visitor chose: runs by name, numbers and labels of the chosen images, whether all codes show."""

    runs: dict[str, Run]
    ids: tuple[int, ...]
    labels: np.ndarray
    all_codes: bool
    seed: int

    @property
    def first(self) -> Run:
        """The run whose data and class names all of them share."""
        return next(iter(self.runs.values()))


def page() -> None:
    sweep = exhibit.opening(
        "VAE against WAE",
        "A VAE wants the cloud of **every** image to look like the prior, so clouds overlap and images blur into each "
        "other. A Wasserstein autoencoder wants this only of **all codes together**.",
        SWEEP,
    )
    view = chosen(sweep)
    show_clouds(view)
    st.header("Each cloud, or all together", anchor=False)
    table = distances(sweep, view)
    st.header("Exactly these images", anchor=False)
    sheets = [
        ("original", cached.images(view.first, view.ids)),
        *((name, cached.reconstructions(run, view.ids)) for name, run in view.runs.items()),
    ]
    contact(
        sheets,
        key="wasserstein.sheet",
        alt=f"{len(view.ids)} images above their reconstructions by {', '.join(view.runs)}",
        captions=[label_of(view.first, i) for i in view.ids],
    )
    st.header("Samples from the prior, and from its holes", anchor=False)
    show_samples(view)
    show_downloads(view, table, np.concatenate([images for _, images in sheets]))
    train_sweep.train(SWEEP)

    st.header("λ and the kernel", anchor=False)
    st.markdown(
        "How strongly, and by which measure, are the codes drawn to the prior? **Drag λ**: each step is a model."
    )
    show_lambdas()
    st.header("More than two latent dimensions", anchor=False)
    show_larger(view)
    show_explanations()


def chosen(sweep: Sweep) -> View:
    """The visitor's choice of models and images; the page stops where no model is chosen."""
    runs = dict(zip(map(str, sweep.values), sweep.runs, strict=True))
    usual = [name for name in runs if name in FIRST] or list(runs)[:MOST]
    models = State.models.given(name=exhibit.key_of(State.models.name, sweep), options=tuple(runs), default=usual)
    names = models.pills("Models")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        n = State.n.slider("Chosen images", width=260)
        seed = State.seed.number("Seed of the choice", width=200)
        all_codes = State.all_codes.toggle("All codes", help="of 1,500 held-out images")
    if len(names) > MOST:
        st.info(f"The first {MOST} are shown: more would be too small.", icon=":material/info:")
    shown = {name: run for name, run in runs.items() if name in names}
    shown = dict(list(shown.items())[:MOST])
    if not shown:
        st.info("Choose at least one model.", icon=":material/info:")
        st.stop()
    first = next(iter(shown.values()))
    ids = tuple(cached.choice(first, n, seed).tolist())
    labels = held_out(first).labels
    return View(shown, ids, NO_LABELS if labels is None else labels[list(ids)], all_codes, seed)


def show_clouds(view: View) -> None:
    """The clouds of the chosen images in the plane of each model's code."""
    panes = []
    for name, run in view.runs.items():
        plane, (mu, std) = square(run), clouds(run, view.ids)
        samples = has_gaussian_prior(run) and "sample" in run.entry.abilities
        panes.append(
            Pane(
                name,
                plane.tiles,
                plane.extent,
                plane.codes if view.all_codes else NO_CODES,
                plane.labels if view.all_codes else NO_LABELS,
                np.concatenate([mu, std], 1),
                view.labels,
                rings=(1, 2) if samples else (),
                marks=[(float(x), float(y), label_of(run, i)) for (x, y), i in zip(mu, view.ids, strict=True)],
            )
        )
    pointer = planes(
        panes,
        key="wasserstein.planes",
        alt="Clouds of the chosen images over the prior's contours at one and two standard deviations.",
        state=State.at.get(),
    )
    State.at.put(pointer)
    st.caption(
        f"An ellipse shows two standard deviations of Q(z|x) of one of {len(view.ids)} held-out images, in the colour "
        "of its class; a ring is a code without spread. Thin circles: the prior N(0, I) at one and two standard "
        "deviations. Below each plane is the image that the decoder paints under the pointer."
    )


def distances(sweep: Sweep, view: View) -> dict[str, list[str]]:
    """Both objectives, and how far the codes of each model are from the prior; the table that is shown."""
    st.latex(
        plots.equation(
            r"\begin{gathered} \text{VAE: } \min\; \term{recon}{\mathbb{E}\, \Delta(x, \hat{x})}"
            r" + \term{kl}{\mathbb{E}_x\, D_{KL}\left(q(z|x)\,\Vert\,P_Z\right)} \\[.4em]"
            r" \text{WAE: } \min\; \term{recon}{\mathbb{E}\, c(x, G(z))}"
            r" + \lambda\, \term{mmd}{\mathcal{D}\left(Q_Z,\, P_Z\right)} \end{gathered}"
        )
    )
    names, rows = list(view.runs), [against_prior(run) for run in view.runs.values()]
    errors = dict(zip(map(str, sweep.values), zip(*sweep.spread("mse"), strict=True), strict=True))
    table = {
        "model": names,
        "overlap of two clouds": [f"{row.overlap:.3g}" if row else "0 (points)" for row in rows],
        "MMD² of all codes and prior": [f"{row.mmd2:.4f}" if row else "" for row in rows],
        "by chance, up to": [f"{row.chance:.4f}" if row else "" for row in rows],
        "KL(Q_Z ‖ P_Z), nats": [f"{row.kl:.2f}" if row else "" for row in rows],
        "squared error per pixel": [mean_and_deviation(*errors[name]) for name in names],
    }
    st.dataframe(table, hide_index=True, width="stretch")
    seeds = int(min(errors[name][2] for name in names))
    several = f", mean and standard deviation over {seeds} seeds; all other columns: the first seed."
    st.caption(
        "Overlap: mean Bhattacharyya coefficient of two different images, 1 for equal clouds. MMD² and KL: one sample "
        "of Q(z|x) for each of 500 held-out images against 500 samples of the prior. “By chance”: 95 % of sets of "
        "samples of the prior are this near to each other, so a smaller MMD² shows no difference. KL is estimated by "
        "nearest "
        "neighbours. Error: of held-out MNIST" + (several if seeds > 1 else "; one seed.")
    )
    return table


def show_samples(view: View) -> None:
    """Decoded samples of each model's prior, and what it paints where no code lies near."""
    n, rows = len(view.ids), []
    for name, run in view.runs.items():
        if "sample" in run.entry.abilities:
            rows.append((f"{name}: samples", cached.small(cached.generated(run, n, 1.0, view.seed)[0])))
            rows.append((f"{name}: in its holes", in_holes(run, n)))
    if rows:
        alt = "Samples of each model, and what it paints where no code is near"
        contact(rows, key="wasserstein.holes", tile=48, alt=alt)
        st.caption(
            "Holes are places in the inner half of the prior's mass that are farthest from all codes, the emptiest "
            "first. The decoder was never trained on codes from there."
        )


def show_downloads(view: View, table: Mapping[str, Sequence[str]], sheet: np.ndarray) -> None:
    """The table, the sheet of reconstructions, the lines of Python, and links to the maps."""
    with st.container(horizontal=True):
        csv = csv_table(list(table), *table.values())
        download_button("Numbers as CSV", csv, "vae-against-wae.csv", "text/csv", "wasserstein.csv")
        download_button(
            "Sheet as PNG",
            lambda: plots.png(contact_sheet(sheet, len(view.ids))),
            "vae-against-wae.png",
            "image/png",
            "wasserstein.png",
        )
        python_button(
            view.first,
            f"""
from aecore.runs import sweeps
from aecore.measure.aggregate_posterior import aggregate, clouds

found = sweeps.sweep("{SWEEP}")
for value, run in zip(found.values, found.runs):
    print(value, clouds(run.model(), run.data().test, {list(view.ids)})[1].mean())
    if "sample" in run.entry.abilities:
        print(aggregate(run.model(), run.data().test))
""",
            "wasserstein.python",
        )
        for name, run in view.runs.items():
            pages.link("map", label=name, icon="scatter_plot", query=link.to_page(run=run.info.id))


def show_lambdas() -> None:
    """The codes of WAE-MMD at each λ and for each kernel, and their distances from the prior."""
    sweeps = {kernel: exhibit.trained(identity) for kernel, identity in KERNELS.items()}
    lambdas = list(next(iter(sweeps.values())).values)
    sweeps = {kernel: sweep for kernel, sweep in sweeps.items() if list(sweep.values) == lambdas}
    pointer = planes(
        [lambda_pane(kernel, sweep) for kernel, sweep in sweeps.items()],
        key="wasserstein.lambda",
        steps=[f"λ = {value:g}" for value in lambdas],
        fps=1,
        state=State.at_lambda.get(),
        alt="Codes of WAE-MMD at one λ",
    )
    State.at_lambda.given(start=len(lambdas) - 1).put(pointer)
    rows = [
        {
            "kernel": kernel,
            "λ": value,
            "overlap": row.overlap,
            "MMD²": row.mmd2,
            "by chance": row.chance,
            "squared error": error,
        }
        for kernel, sweep in sweeps.items()
        for value, run, error in zip(lambdas, sweep.runs, sweep.spread("mse")[0], strict=True)
        if (row := against_prior(run)) is not None
    ]
    table = [{name: f"{v:.4g}" if isinstance(v, float) else v for name, v in row.items()} for row in rows]
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption("MMD² is measured here with the inverse multiquadratic kernels for all models. One seed.")
    for kernel, identity in KERNELS.items():
        train_sweep.train(identity, f"{kernel} kernel")


def lambda_pane(kernel: str, sweep: Sweep) -> Pane:
    """The planes of one kernel's models, one for each λ."""
    views = [square(run) for run in sweep.runs]
    tiles, codes = np.concatenate([view.tiles for view in views]), np.stack([view.codes for view in views])
    return Pane(kernel, tiles, views[0].extent, codes, views[0].labels, rings=(1, 2))


def show_larger(view: View) -> None:
    """Larger codes and the clouds of the chosen images, in the plane of the codes' first two principal components."""
    runs = {name: run for name, identity in LARGER.items() if (run := example(identity))}
    if not runs:
        return
    pointer = planes(
        [larger_pane(name, run, view) for name, run in runs.items()],
        key="wasserstein.larger",
        axes=("first component", "second"),
        state=State.at_larger.get(),
        alt="Larger codes and clouds in the plane of their first two principal components",
    )
    State.at_larger.put(pointer)
    st.caption(
        "The projection is PCA of the codes of 1,500 held-out images. Clouds that overlap in the plane may lie apart "
        "in the other directions. Below each plane is what the decoder paints on it."
    )


def larger_pane(name: str, run: Run, view: View) -> Pane:
    """The principal plane of one run's codes, with the clouds of the chosen images."""
    plane, (mu, std) = projected(run), clouds(run, view.ids)
    return Pane(
        name,
        plane.tiles,
        plane.extent,
        plane.codes if view.all_codes else NO_CODES,
        plane.labels if view.all_codes else NO_LABELS,
        np.concatenate([plane.plane.points(mu), plane.plane.spreads(std)], 1),
        view.labels,
        note=f"principal plane: {100 * plane.plane.kept:.0f} % of the codes’ variance",
    )


def show_explanations() -> None:
    """What to look for, and why."""
    with st.expander("What to look for"):
        st.markdown(
            "- **Size of the clouds**: those of the VAE are wide and overlap, so one place must serve several images, "
            "and the decoder paints their average there. Those of the WAE may shrink.\n"
            "- **All codes**: every model but the plain autoencoder draws them to the prior’s circles; the plain "
            "autoencoder’s lie anywhere. With two latent dimensions no model fills the circles as samples would: MMD² "
            "stays several times above chance.\n"
            "- **Errors** are nearly equal with two latent dimensions. With eight, a WAE’s is smaller than a VAE’s, by "
            "7 % or more on digits of 16 × 16 pixels (three seeds).\n"
            "- **Holes**: codes without spread leave gaps between them, on which the decoder was never trained."
        )
    with st.expander("Why"):
        st.markdown(
            "Eq. 21 relaxes the optimal transport between data and generated images: the coupling goes through the "
            "code, and its only constraint is that the mixture of all codes, $Q_Z = \\mathbb{E}_x Q(z|x)$, equals "
            "$P_Z$. The term $\\mathbb{E}_x D_{KL}(q(z|x)\\Vert P_Z)$ of the ELBO is the divergence of that mixture "
            "**plus** the mutual information of image and code, so a VAE also pays for what the code says about the "
            "image. Fig. 7 of the chapter draws the same by hand. Section 5.3; Tolstikhin et al. (2017), "
            "arXiv:1711.01558."
        )
