"""Exhibit: the regularizers of §2 side by side."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from aecore import Run, inference
from aecore.explore import filters, perturb
from aecore.explore.images import to_uint8
from aecore.measure import jacobian
from aecore.measure.latents import activity
from app import cached, library
from app.browser.contact import contact
from app.browser.planes import Pane, planes
from app.cached import LOOKED_AT, facts
from app.figures import plots
from app.figures.plots import LETTERS, LINES, contact_sheet, empty_figure, show_figure, signed
from app.library import held_out
from app.link import LINKED, keep_pointer, recall_pointer
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row
from app.session import plain_errors

SWEEPS = {
    "sparse-l1": ("sparse, L1", "λ", 2),
    "sparse-kl": ("sparse, KL", "p", 1),
    "denoising": ("denoising", "σ", 2),
    "contractive": ("contractive", "λ", 2),
}
FLOOR = 1e-4


@cached.remember(max_entries=64)
def stretch(run: Run, example: int) -> np.ndarray:
    """Singular values of the encoder's Jacobian, relative to the spread of its codes."""
    return jacobian.singular_values(library.model(run), library.data(run).test, example) / facts(run).spread


@cached.remember(max_entries=64)
def answers(run: Run, example: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (rows, n, H, W[, 3]) of what comes back, and how far the code has moved (rows, n)."""
    x = inference.examples(library.data(run).test, [example])
    images = perturb.pushed(x, kind)
    across, up = perturb.grid_of(kind)
    pictures = perturb.answers(library.model(run), images)
    moved = perturb.moved(library.model(run), x, images, facts(run).spread)
    return pictures.reshape(len(up), len(across), *pictures.shape[1:]), moved.reshape(len(up), len(across))


@cached.remember(max_entries=16)
def inputs(run: Run, example: int, kind: str) -> np.ndarray:
    x = inference.examples(library.data(run).test, [example])
    across, up = perturb.grid_of(kind)
    pictures = to_uint8(perturb.pushed(x, kind).numpy())
    return pictures.reshape(len(up), len(across), *pictures.shape[1:])


def page() -> None:
    plain = exhibit.opening(
        "Regularizers",
        "With 64 units for a digit a net could nearly copy. **Four ways to forbid it** leave four different codes. What "
        "does each do to the picture, to the units, and to how a code answers a push?",
        "bottleneck",
    )
    nothing = plain.runs[list(plain.values).index(64)] if 64 in plain.values else plain.runs[-1]
    runs: dict[str, Run] = {"none": nothing}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        for identity, (title, symbol, usual) in SWEEPS.items():
            sweep = exhibit.trained(identity)
            values = list(sweep.values)
            value = st.select_slider(
                f"{title}: ${LETTERS[symbol]}$",
                values,
                values[min(usual, len(values) - 1)],
                key=f"regularizers.{identity}",
                width=230,
                **LINKED,
            )
            runs[title] = sweep.runs[values.index(value)]
    names = list(runs)
    some = runs["sparse, L1"]
    test = held_out(some)
    n = 12
    seed = int(st.session_state.get("regularizers.seed", 0))
    ids = tuple(cached.choice(some, n, seed).tolist())
    sheets = [
        ("original", cached.images(some, ids)),
        *((name, cached.reconstructions(run, ids)) for name, run in runs.items()),
    ]
    contact(sheets, key="regularizers.sheet", alt="Images above what each net gives back", tile=64)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        layout.number("Seed of the choice", 9999, "regularizers.seed", width=200)
    known = {name: facts(run) for name, run in runs.items()}
    table = {
        "regularizer": names,
        "squared error per pixel": [f"{known[name].error:.4f}" for name in names],
        "units off their rest, per image": [
            f"{activity(known[name].codes).sum():.1f} of {known[name].codes.shape[1]}" for name in names
        ],
        "units that ever move": [int((activity(known[name].codes) > 0).sum()) for name in names],
        "‖J‖ at image 0, per spread of codes": [
            f"{np.sqrt(np.square(stretch(runs[name], 0)).sum()):.3f}" for name in names
        ],
    }
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"Over {min(LOOKED_AT, len(test)):,} held-out images. A unit is off its rest when it is "
        "more than a twentieth of its range away from its median. No frame lies between two models: sliders step from one "
        "trained net to the next."
    )
    st.latex(
        plots.equation(
            r"\begin{gathered} \mathbb{E}\, \term{recon}{\Delta(x, B(a))} + \lambda\, \term{sparsity}{\textstyle\sum_j |a_j|}"
            r"\qquad \mathbb{E}\, \term{recon}{\Delta(x, B(a))} + \lambda\, \term{sparsity}{\textstyle\sum_j D_{KL}(p \Vert "
            r"\hat p_j)} \\[.4em] \mathbb{E}\, \term{recon}{\Delta(x, B(A(\tilde x)))},\ \tilde x \sim \mathcal{N}(x, "
            r"\sigma^2 I) \qquad \mathbb{E}\, \term{recon}{\Delta(x, B(A(x)))} + \lambda\, \term{jacobian}{\lVert J_A(x) "
            r"\rVert_F^2} \end{gathered}"
        )
    )
    download_row(
        "regularizers",
        table,
        """
from aecore.runs import sweeps
from aecore import inference
from aecore.measure.latents import activity

for name in ("sparse-l1", "sparse-kl", "denoising", "contractive"):
    found = sweeps.sweep(name)
    for value, run in zip(found.values, found.runs):
        test = run.data().test
        codes = inference.encode(run.model(), test, inference.first(test, 1000))
        print(name, value, run.info.metrics["mse"], activity(codes).sum())
""",
        "regularizers",
        lambda: plots.png(contact_sheet(np.concatenate([images for _, images in sheets]), n)),
    )

    st.header("What units look for", anchor=False)
    pixels = inference.examples(test, inference.first(test, LOOKED_AT)).std(0).numpy()
    columns = st.columns(len(names), gap="medium")
    for column, name in zip(columns, names, strict=True):
        painted = filters.dictionary(layout.model(runs[name]))
        own = filters.first_layer(layout.model(runs[name]), pixels) if painted is None else painted
        column.markdown(f"**{name}**")
        column.image(
            plots.grid(signed(own[:36]), 6, 2, 6),
            width="stretch",
            output_format="PNG",
            alt=f"Weights of 36 units of the net with {name}",
        )
        column.caption("what each unit paints" if painted is not None else "first layer’s weights")
    st.caption(
        "Red above zero, blue below; each scaled to its own largest. First layers: weights times the spread of "
        "their pixel, so that pixels which never change do not show."
    )

    st.header("Codes and Jacobians", anchor=False)
    made = make_subplots(1, len(names), subplot_titles=names, shared_yaxes=True, horizontal_spacing=0.02)
    for column, (name, colour) in enumerate(zip(names, LINES, strict=False), 1):
        values = known[name].codes
        values = (values - np.median(values, 0)).ravel() / max(float(values.std()), 1e-9)
        share, edges = np.histogram(values, 41, (-4, 4))
        bars = go.Bar(
            x=(edges[1:] + edges[:-1]) / 2,
            y=100 * share / len(values),
            marker={"color": colour},
            name=name,
            showlegend=False,
        )
        made.add_trace(bars, 1, column)
    plots.layout(made, 300)
    made.update_layout(bargap=0, hovermode="closest")
    made.update_yaxes(title="% of all values", col=1, type="log")
    show_figure(made, "regularizers.histograms", "How the values of all units are spread, one panel for each net")
    st.caption(
        "Values of all units around their medians, in standard deviations of all values; the scale is logarithmic."
    )

    @st.fragment
    @plain_errors()
    def one_image() -> None:
        """Singular values at one image, and the image pushed."""
        st.header("One image", anchor=False)
        example = layout.number("Number of the image", len(test) - 1, "regularizers.image", width=200)
        made = empty_figure(360, "singular value number", "stretch, relative to the spread of codes")
        for name, colour in zip(names, LINES, strict=False):
            values = np.maximum(stretch(runs[name], example), FLOOR)
            made.add_scatter(
                x=np.arange(1, len(values) + 1),
                y=values,
                name=name,
                line={"color": colour, "width": 3},
                hovertemplate="%{y:.3g}",
            )
        made.update_yaxes(type="log", exponentformat="power")
        show_figure(made, "regularizers.jacobian", "Singular values of the Jacobian of each encoder at one image")
        st.caption(f"Values below {FLOOR:g} are drawn there: directions in which the code does not move.")

        st.header("Push an image", anchor=False)
        kind = layout.option("How", list(perturb.KINDS), "regularizers.push")
        (across, x0, x1), (up, y0, y1) = perturb.KINDS[kind]
        extent = (x0, x1, y0, y1)
        panes = [Pane("input", inputs(some, example, kind)[None], extent)]
        for name, run in runs.items():
            pictures, moved = answers(run, example, kind)
            panes.append(Pane(name, pictures[None], extent, values=moved[None], measure="code moves"))
        state = planes(
            panes,
            key="regularizers.push.planes",
            axes=(across, up),
            state=recall_pointer("regularizers.at"),
            alt="One image pushed, and what each net gives back",
        )
        keep_pointer("regularizers.at", state)
        st.caption(
            "The bar: how far the code has moved, as a share of the distance between two different images’ codes (root "
            "mean square). 1: as far as if it were another image."
        )

    one_image()
    for identity, (title, _, _) in SWEEPS.items():
        train_sweep.train(identity, title)
    with st.expander("What to look for"):
        st.markdown(
            "- **L1**: as λ grows, fewer units are off their rest, and each paints a whole stroke. Too much, and the "
            "picture goes.\n"
            "- **KL**: units are at p *on average*; that does not make one silent for most images. See the errata.\n"
            "- **Denoising**: pushed with noise or erasures, its code moves less than the others’, and what comes back is "
            "clean. A shift is no noise to it.\n"
            "- **Contractive**: its singular values lie lower as λ grows, all but those directions that it needs."
        )
    with st.expander("Why"):
        st.markdown(
            "The bottleneck is one way not to copy; all four here leave the code wide and add a price (Eq. 2, 3, 6) or "
            "damage the input (Eq. 4). For small Gaussian noise the denoising objective is nearly the contractive one, of "
            "the whole reconstruction and not of the code alone (Alain & Bengio, 2014, arXiv:1211.4246). Sections 2.1 to "
            "2.3; Olshausen & Field (1996), Ng (2011), Vincent et al. (2008), Rifai et al. (2011)."
        )
