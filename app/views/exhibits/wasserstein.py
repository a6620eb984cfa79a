"""Exhibit: VAE against WAE (Fig. 7, Eq. 19–21)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import cached, pages
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.cached import against_prior, clouds, example, in_holes, projected, square
from app.figures import plots
from app.figures.html import mean_and_deviation
from app.figures.plots import contact_sheet
from app.library import has_gaussian_prior, held_out, label_of
from app.link import LINKED, VERSION, keep_pointer, recall_pointer
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import csv_table, download_button, python_button

SWEEP = "planes"
FIRST = ("VAE", "WAE-MMD, Gaussian", "WAE-MMD, points", "AAE")
MOST = 4
KERNELS = {"inverse multiquadratic": "wae-lambda", "gaussian": "wae-lambda-gaussian"}
LARGER = {"VAE, 16 units": "vae-16", "WAE-MMD, 8 units": "wae-mmd-8", "WAE-GAN, 8 units": "wae-gan-8"}


def page() -> None:
    sweep = exhibit.opening(
        "VAE against WAE",
        "A VAE wants the cloud of **every** image to look like the prior, so clouds overlap and images blur into each "
        "other. "
        "A Wasserstein autoencoder wants it only of **all codes together**.",
        SWEEP,
    )
    runs = dict(zip(sweep.values, sweep.runs, strict=True))
    usual = [name for name in runs if name in FIRST] or list(runs)[:MOST]
    names = st.pills(
        "Models",
        list(runs),
        selection_mode="multi",
        default=usual,
        key=exhibit.key_of("wasserstein.models", sweep),
        **LINKED,
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        n = st.slider("Chosen images", 4, 16, 8, key="wasserstein.n", width=260, **LINKED)
        seed = layout.number("Seed of the choice", 9999, "wasserstein.seed", width=200)
        all_codes = st.toggle("All codes", True, key="wasserstein.all", help="of 1,500 held-out images", **LINKED)
    if len(names) > MOST:
        st.info(f"The first {MOST} are shown: more would be too small.", icon=":material/info:")
    names = [name for name in runs if name in names][:MOST]
    if not names:
        st.info("Choose one model or more.", icon=":material/info:")
        st.stop()

    some = runs[names[0]]
    ids = tuple(cached.choice(some, n, seed).tolist())
    labels = held_out(some).labels[list(ids)]

    def pane(name: str) -> Pane:
        run = runs[name]
        view = square(run)
        mu, std = clouds(run, ids)
        marks = [(float(x), float(y), label_of(run, i)) for (x, y), i in zip(mu, ids, strict=True)]
        return Pane(
            name,
            view.tiles,
            view.extent,
            view.codes if all_codes else np.zeros((0, 2), np.float32),
            view.labels if all_codes else np.zeros(0, np.int32),
            np.concatenate([mu, std], 1),
            labels,
            rings=(1, 2) if has_gaussian_prior(run) and "sample" in run.entry.abilities else (),
            marks=marks,
        )

    state = planes(
        [pane(name) for name in names],
        key="wasserstein.planes",
        alt="Clouds of the chosen images over the prior's contours at one and two standard deviations.",
        state=recall_pointer("wasserstein.at"),
    )
    keep_pointer("wasserstein.at", state)
    st.caption(
        f"Ellipses hold two standard deviations of Q(z|x) of {n} held-out images, in the colour of their class; a ring is "
        "a code without spread. Thin circles: the prior N(0, I) at one and two standard deviations. Below, what each "
        "decoder paints under the pointer."
    )

    st.header("Each cloud, or all together", anchor=False)
    st.latex(
        plots.equation(
            r"\begin{gathered} \text{VAE: } \min\; \term{recon}{\mathbb{E}\, \Delta(x, \hat{x})}"
            r" + \term{kl}{\mathbb{E}_x\, D_{KL}\left(q(z|x)\,\Vert\,P_Z\right)} \\[.4em]"
            r" \text{WAE: } \min\; \term{recon}{\mathbb{E}\, c(x, G(z))}"
            r" + \lambda\, \term{mmd}{\mathcal{D}\left(Q_Z,\, P_Z\right)} \end{gathered}"
        )
    )
    rows = [against_prior(runs[name]) for name in names]
    mse = dict(zip(sweep.values, zip(*sweep.spread("mse"), strict=True), strict=True))
    table = {
        "model": names,
        "overlap of two clouds": [f"{row.overlap:.3g}" if row else "0 (points)" for row in rows],
        "MMD² of all codes and prior": [f"{row.mmd2:.4f}" if row else "" for row in rows],
        "by chance, up to": [f"{row.chance:.4f}" if row else "" for row in rows],
        "KL(Q_Z ‖ P_Z), nats": [f"{row.kl:.2f}" if row else "" for row in rows],
        "squared error per pixel": [mean_and_deviation(*mse[name]) for name in names],
    }
    st.dataframe(table, hide_index=True, width="stretch")
    seeds = int(min(mse[name][2] for name in names))
    st.caption(
        "Overlap: mean Bhattacharyya coefficient of two different images, 1 for equal clouds. MMD² and KL: one draw of "
        "Q(z|x) for each of 500 held-out images against 500 draws of the prior; below “by chance” (95 % of samples of the "
        "prior against each other) nothing can be told apart. KL by nearest neighbours. Error: of held-out MNIST"
        + (
            f", mean and standard deviation over {seeds} seeds; all else of the first seed."
            if seeds > 1
            else "; one seed."
        )
    )

    st.header("Exactly these images", anchor=False)
    sheets = [
        ("original", cached.images(some, ids)),
        *((name, cached.reconstructions(runs[name], ids)) for name in names),
    ]
    contact(
        sheets,
        key="wasserstein.sheet",
        alt=f"{n} images above their reconstructions by {', '.join(names)}",
        captions=[label_of(some, i) for i in ids],
    )

    st.header("Draws from the prior, and from its holes", anchor=False)
    able = [name for name in names if "sample" in runs[name].entry.abilities]
    drawn = [(f"{name}: draws", cached.small(cached.generated(runs[name], n, 1.0, seed)[0])) for name in able]
    holes = [(f"{name}: in its holes", in_holes(runs[name], n)) for name in able]
    if able:
        both = [row for pair in zip(drawn, holes, strict=True) for row in pair]
        contact(
            both, key="wasserstein.holes", tile=48, alt="Draws of each model, and what it paints where no code is near"
        )
        st.caption(
            "Holes: places within half of the prior's mass that are farthest from all codes, the emptiest first. What no "
            "image was encoded to, the decoder has never been asked for."
        )
    with st.container(horizontal=True):
        download_button(
            "Numbers as CSV",
            csv_table(list(table), *table.values()),
            "vae-against-wae.csv",
            "text/csv",
            "wasserstein.csv",
        )
        sheet = np.concatenate([images for _, images in sheets])
        download_button(
            "Sheet as PNG",
            lambda: plots.png(contact_sheet(sheet, n)),
            "vae-against-wae.png",
            "image/png",
            "wasserstein.png",
        )
        python_button(
            some,
            f"""
from aecore.runs import sweeps
from aecore.measure.aggregate_posterior import aggregate, clouds

found = sweeps.sweep("{SWEEP}")
for value, run in zip(found.values, found.runs):
    print(value, clouds(run.model(), run.data().test, {list(ids)})[1].mean())
    if "sample" in run.entry.abilities:
        print(aggregate(run.model(), run.data().test))
""",
            "wasserstein.python",
        )
        for name in names:
            pages.link("map", label=name, icon="scatter_plot", query={"run": runs[name].info.id, "v": VERSION})
    train_sweep.train(SWEEP)

    st.header("λ and the kernel", anchor=False)
    st.markdown(
        "How hard the codes are drawn to the prior, and by which measure: **drag λ**; each step is another net."
    )
    knobs = {kernel: exhibit.trained(identity) for kernel, identity in KERNELS.items()}
    lambdas = list(next(iter(knobs.values())).values)
    panes, lines = [], {name: [] for name in ("kernel", "λ", "overlap", "MMD²", "by chance", "squared error")}
    for kernel, knob in knobs.items():
        if list(knob.values) != lambdas:
            continue
        views = [square(run) for run in knob.runs]
        panes.append(
            Pane(
                kernel,
                np.concatenate([view.tiles for view in views]),
                views[0].extent,
                np.stack([view.codes for view in views]),
                views[0].labels,
                rings=(1, 2),
            )
        )
        for value, run, error in zip(lambdas, knob.runs, knob.spread("mse")[0], strict=True):
            row = against_prior(run)
            if row is not None:
                entries = (kernel, value, row.overlap, row.mmd2, row.chance, error)
                for column, entry in zip(lines.values(), entries, strict=True):
                    column.append(entry)
    state = planes(
        panes,
        key="wasserstein.lambda",
        steps=[f"λ = {value:g}" for value in lambdas],
        fps=1,
        state=recall_pointer("wasserstein.knobs"),
        alt="Codes of WAE-MMD at one λ",
    )
    keep_pointer("wasserstein.knobs", state, len(lambdas) - 1)
    st.dataframe(
        {name: [f"{v:.4g}" if isinstance(v, float) else v for v in column] for name, column in lines.items()},
        hide_index=True,
        width="stretch",
    )
    st.caption("MMD² here is measured with the inverse multiquadratic kernels for all nets. One seed.")
    for kernel, identity in KERNELS.items():
        train_sweep.train(identity, f"{kernel} kernel")

    st.header("More than two units", anchor=False)
    there = {name: run for name, key in LARGER.items() if (run := example(key))}
    larger = {name: projected(run) for name, run in there.items()}

    def ellipses(name: str) -> np.ndarray:
        """The chosen images' clouds in that plane, (n, 4)."""
        mu, std = clouds(there[name], ids)
        return np.concatenate([larger[name].plane.points(mu), larger[name].plane.spreads(std)], 1)

    if larger:
        state = planes(
            [
                Pane(
                    name,
                    view.tiles,
                    view.extent,
                    view.codes if all_codes else np.zeros((0, 2), np.float32),
                    view.labels if all_codes else np.zeros(0, np.int32),
                    ellipses(name),
                    labels,
                    note=f"principal plane: {100 * view.plane.kept:.0f} % of the codes’ variance",
                )
                for name, view in larger.items()
            ],
            key="wasserstein.larger",
            axes=("first component", "second"),
            state=recall_pointer("wasserstein.larger.at"),
            alt="Larger codes and clouds in the plane of their first two principal components",
        )
        keep_pointer("wasserstein.larger.at", state)
        st.caption(
            "The projection is PCA of the codes of 1,500 held-out images: clouds that overlap in the plane may lie "
            "apart in the other directions. Below, what the decoder paints on that plane."
        )
    with st.expander("What to look for"):
        st.markdown(
            "- **Size of the clouds**: the VAE’s are wide and lie over each other, so one place must serve several "
            "images: it paints their average. The WAE’s may shrink.\n"
            "- **All codes**: they are drawn to the prior’s circles in every model but the plain autoencoder, whose codes "
            "lie where they like. With two units none fills them as draws would: MMD² stays several times above chance.\n"
            "- **Errors** are nearly alike with two units. With eight, a WAE’s is smaller than a VAE’s, by 7 % or "
            "more on digits of 16 × 16 pixels (three seeds).\n"
            "- **Holes**: points without spread leave gaps between them that no training filled."
        )
    with st.expander("Why"):
        st.markdown(
            "Eq. 21 relaxes the optimal transport between data and generated images: the coupling goes through the code, "
            "and its only constraint is that the codes’ mixture $Q_Z = \\mathbb{E}_x Q(z|x)$ equals $P_Z$. The ELBO’s "
            "$\\mathbb{E}_x D_{KL}(q(z|x)\\Vert P_Z)$ is that mixture’s divergence **plus** the mutual information of "
            "image and code: a VAE also pays for what the code says. Fig. 7 of the chapter draws the same by hand. "
            "Section 5.3; Tolstikhin et al. (2017), arXiv:1711.01558."
        )
