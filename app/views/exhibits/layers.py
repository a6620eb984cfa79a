"""Exhibit: trained layer by layer, or as a whole (§1)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.explore.images import to_uint8
from aecore.explore.layerwise import through
from app import cached, library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.link import LINKED
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import download_row

LIMIT = 500


@cached.remember(max_entries=256)
def back(run: Run, step: int | None, ids: tuple[int, ...], depth: int) -> np.ndarray:
    return to_uint8(through(library.model(run, step), library.data(run).test, np.array(ids), depth))


@cached.remember(max_entries=256)
def error(run: Run, step: int | None, depth: int) -> float:
    """Squared error per pixel through the first `depth` layers."""
    test = library.data(run).test
    ids = inference.first(test, LIMIT)
    x = next(iter([np.concatenate([part.numpy() for part in inference.inputs(test, ids, run.info.shape)])]))
    return float(np.square(x - through(library.model(run, step), test, ids, depth)).mean())


def page() -> None:
    sweep = exhibit.opening(
        "Layer by layer",
        "Before deep nets could be trained whole, each layer first learnt to restore **the layer below it**. Step through "
        "the training and see what has come through the stack so far.",
        "layers",
    )
    named = dict(zip(sweep.values, sweep.runs, strict=True))
    stacked = named.get("layer by layer", sweep.runs[0])
    whole = named.get("end to end", sweep.runs[-1])
    layers = layout.model(stacked).layers
    per_step = max(1, max((row["step"] for row in stacked.rows()[0]), default=1)) / stacked.info.plan.epochs
    snapshots = stacked.steps("snapshots")
    steps = [*snapshots, None] if not snapshots or snapshots[-1] < per_step * stacked.info.plan.epochs else snapshots

    def epoch(step: int | None) -> str:
        return "the end" if step is None else f"{step / per_step:.1f}"

    def stage(step: int | None) -> str:
        """Who learns at this moment."""
        done = 1.0 if step is None else step / per_step / stacked.info.plan.epochs
        name = next(iter(layout.model(stacked).players(min(done, 1.0) - 1e-9)))
        return {"whole": "all layers as one"}.get(name, f"layer {name.removeprefix('stage ')} alone")

    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        names = [epoch(step) for step in steps]
        at = st.select_slider("After epoch", names, names[-1], key="layers.step", width=420, **LINKED)
        seed = layout.number("Seed of the choice", 9999, "layers.seed", width=200)
    step = steps[names.index(at)]
    ids = tuple(cached.choice(stacked, 12, seed).tolist())

    st.markdown(f"Epoch **{at}** of {stacked.info.plan.epochs}: **{stage(step)}** learnt here.")
    sheets = [("original", cached.images(stacked, ids))]
    for depth in range(1, layers + 1):
        sheets.append((f"through {depth} layer{'s' * (depth > 1)}", back(stacked, step, ids, depth)))
    sheets.append(("end to end", back(whole, None, ids, layout.model(whole).layers)))
    contact(sheets, key="layers.sheet", tile=64, alt="Images, and what comes back through one layer, two, and all")
    st.latex(
        plots.equation(
            r"\text{layer } k\colon\ \min_{A_k, B_k} \term{stage}{\Delta(h_{k-1}, B_k(A_k(\tilde h_{k-1})))},\qquad "
            r"\text{whole}\colon\ \min_{A, B} \term{recon}{\Delta(x, B_1(\cdots A_1(x)))}"
        )
    )
    key_figures(
        [
            *(
                (
                    f"through {depth} layer{'s' * (depth > 1)}",
                    f"{error(stacked, step, depth):.4f}",
                    "squared error per pixel",
                    LINES[depth - 1],
                )
                for depth in range(1, layers + 1)
            ),
            (
                "end to end",
                f"{error(whole, None, layout.model(whole).layers):.4f}",
                "trained as one from the start",
                "",
            ),
        ]
    )
    st.header("Through the training", anchor=False)
    made = empty_figure(380, "epoch", "squared error per pixel")
    x = [stacked.info.plan.epochs if step is None else step / per_step for step in steps]
    table: dict[str, list] = {"epoch": [round(value, 2) for value in x]}
    for depth in range(1, layers + 1):
        values = [error(stacked, step, depth) for step in steps]
        table[f"through {depth}"] = values
        made.add_scatter(
            x=x,
            y=values,
            name=f"through {depth} layer{'s' * (depth > 1)}",
            mode="lines+markers",
            line={"color": LINES[depth - 1], "width": 3},
            hovertemplate="%{y:.4f}",
        )
    made.add_hline(
        y=error(whole, None, layout.model(whole).layers),
        line={"dash": "dot", "color": plots.INK},
        annotation_text="end to end",
    )
    made.update_yaxes(rangemode="tozero")
    show_figure(made, "layers.curve", "Error through one, two and all layers over the epochs")
    download_row(
        "layer-by-layer",
        table,
        """
from aecore.runs import sweeps
from aecore.explore.layerwise import through
from aecore import inference

run = sweeps.sweep("layers").runs[0]
test = run.data().test
for step in run.steps("snapshots"):
    model = run.model(step)
    print(step, [through(model, test, inference.first(test, 500), k).shape for k in range(1, model.layers + 1)])
""",
        "layers",
        lambda: plots.png(contact_sheet(np.concatenate([images for _, images in sheets]), 12)),
    )
    train_sweep.train("layers")
    with st.expander("What to look for"):
        st.markdown(
            "- **The first layer alone** restores images nearly at once: it has many units and one step to go.\n"
            "- **Deeper layers** restore codes, not pixels: what they lose in h is seen through all decoders above.\n"
            "- **Fine-tuning** mends the whole, and spoils the halves: layers now serve the last reconstruction only.\n"
            "- **End to end** needs no stages here: with ReLUs and Adam the detour is history, as the chapter says."
        )
    with st.expander("Why"):
        st.markdown(
            "Gradients through many sigmoids vanish, so each layer was first trained as an autoencoder of the one below, "
            "with the layers below held fixed; the flavours are denoising (here, with values erased) and convolutional. "
            "Section 1; Vincent et al. (2010), JMLR 11:3371; Masci et al. (2011)."
        )
