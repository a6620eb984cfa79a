"""Classify: few labels, many images (§4.2, Fig. 5)."""

from __future__ import annotations

import base64
import html
from typing import Any

import numpy as np
import streamlit as st

from aecore import DataSpec, tasks
from aecore.explore import examples
from aecore.tasks import classify
from app import library
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import CONFIG, empty_figure, show_figure
from app.link import LINKED
from app.panels import exhibit, layout
from app.panels import study as studies
from app.panels.downloads import download_row
from app.session import analyses

COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 300, 500, 1000)
LAMS = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0)
USUAL_LAM = classify.Settings().lam
DATA = {"28 × 28 (MNIST)": "digits", "8 × 8": "digits8"}
FIRST = ("labels alone", "fine-tuned", classify.JOINT, "logistic, pixels", "SVM, codes", "closed form")
COLOURS = dict(zip(FIRST, ("#7a7f87", "#2f7de1", "#d9631e", "#8d8a1b", "#1f9a6d", "#b453c9"), strict=True)) | {
    "frozen encoder": "#0f93a8",
    "logistic, PCA": "#d6457a",
    "logistic, codes": "#3d8bb5",
    "SVM, pixels": "#9a7d1c",
    "SVM, PCA": "#c0528f",
    "least squares, pixels": "#6a78d1",
    "mixture encoder": "#b3603f",
}
LOSS, RECON = plots.term_colour("adv"), plots.term_colour("recon")
WRONG = 48  # pictures of wrong answers that are shown at once
ANY = "any"


def there(settings: dict[str, Any]) -> dict[str, Any] | None:
    """A result that is there already."""
    return tasks.stored("classify", settings, analyses().studies)


def percent(accuracies: list[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds, per cent."""
    return 100 * float(np.mean(accuracies)), 100 * float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0


def told(accuracies: list[float]) -> str:
    """ "74.0 ± 1.2" """
    mean, deviation = percent(accuracies)
    return f"{mean:.1f} ± {deviation:.1f}"


def box(words: str, below: str, colour: str = "rgba(128,135,144,.7)") -> str:
    return (
        f'<div style="border:2px solid {colour};border-radius:.6rem;padding:.5rem .8rem;text-align:center">'
        f'<b>{words}</b><div style="font-size:.85rem;opacity:.8">{below}</div></div>'
    )


def arrow(sign: str = "→") -> str:
    return f'<div style="font-size:1.6rem;opacity:.65;text-align:center">{sign}</div>'


def framed(png: str, words: str) -> str:
    return (
        f'<figure style="margin:0;text-align:center"><img src="data:image/png;base64,{png}" alt="{words}" '
        f'style="width:92px;height:92px;image-rendering:pixelated;border-radius:4px"><figcaption '
        f'style="font-size:.9rem">{words}</figcaption></figure>'
    )


def guesses(chances: list[float], classes: list[str], label: int) -> str:
    """ŷ as bars, the true class in the colour of L."""
    cells = "".join(
        f'<div title="{html.escape(name)}: {p:.3f}" style="flex:1;display:flex;flex-direction:column;'
        f'justify-content:flex-end;height:100%"><i style="height:{max(1, 75 * p):.1f}%;background:'
        f'{LOSS if k == label else "rgba(128,135,144,.7)"}"></i><span style="font-size:.75rem;text-align:center">'
        f"{html.escape(name)}</span></div>"
        for k, (name, p) in enumerate(zip(classes, chances, strict=True))
    )
    return (
        f'<div role="img" aria-label="chances of the classes" style="display:flex;gap:2px;height:92px;width:170px">'
        f"{cells}</div>"
    )


def page() -> None:
    exhibit.heading(
        "Classify",
        "Images are plenty, labels are dear. **What is an encoder worth that learnt from the images alone?** Drag the "
        "number of labels.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        data = DATA[layout.option("Digits", list(DATA), "classify.data")]
        most = 1000 if data == "digits" else 150  # of the smaller set no class has more than 149
        counts = [*(k for k in COUNTS if k < most), most]
        per_class = st.select_slider(
            "Labelled images of each class",
            counts,
            10,
            key=f"classify.labels.{data}",
            width=320,
            format_func=lambda k: "all" if k == most else str(k),
            **LINKED,
        )
        lam = st.select_slider(
            "λ of joint training",
            LAMS,
            USUAL_LAM,
            key="classify.lam",
            width=260,
            format_func=lambda v: f"{v:g}",
            **LINKED,
        )

    def asked(per_class: int, **more: Any) -> dict[str, Any]:
        return {"data": data, "labels_per_class": int(per_class), **more}

    def images_of(ids: list[int]) -> np.ndarray:
        """Held-out pictures, uint8 (n, H, W)."""
        return examples.images(library.load(DataSpec(name=data)).test, np.array(ids))

    # --- curves -----------------------------------------------------------------------------------------------------------

    points = {k: found for k in counts if (found := there(asked(k)))}
    if per_class not in points:
        found = studies.result("classify", asked(per_class), f"All methods with {per_class} labels of each class", 150)
        if found:
            points = dict(sorted({**points, per_class: found}.items()))
    if not points:
        st.stop()
    known = [name for name in classify.METHODS if any(name in found["methods"] for found in points.values())]
    names = st.pills(
        "Methods",
        known,
        selection_mode="multi",
        default=[n for n in FIRST if n in known],
        key=f"classify.methods.{data}",
        **LINKED,
    ) or ["labels alone"]
    with st.container(key="halves-classify-curves"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        made = empty_figure(470, "labelled images of each class", "right on held-out images, %")
        for name in names:
            at = [k for k in points if name in points[k]["methods"]]
            mean, deviation = zip(*(percent(points[k]["methods"][name]["accuracy"]) for k in at), strict=True)
            made.add_scatter(
                x=at,
                y=mean,
                name=name,
                mode="lines+markers",
                hovertemplate="%{y:.1f} %",
                error_y={"array": deviation, "thickness": 1.5},
                line={"color": COLOURS[name], "width": 3},
                marker={"size": 9},
            )
        made.add_vline(x=per_class, line={"dash": "dot", "color": plots.INK})
        made.update_xaxes(type="log", tickvals=list(points), ticktext=[str(k) for k in points])
        made.update_layout(legend={"font": {"size": 15}})
        show_figure(made, f"classify.curves.{data}", "Accuracy of each method against the number of labels")
    first = points.get(per_class)
    some = first or next(iter(points.values()))
    seeds = some["seeds"]
    with right:
        if first is None:
            st.info("The curves stand; this number of labels is being computed.", icon=":material/hourglass:")
        else:
            scores = {n: row["accuracy"] for n, row in first["methods"].items()}
            bars = "".join(
                f'<div title="{html.escape(classify.METHODS[n][1])}" style="display:grid;align-items:center;'
                f'grid-template-columns:11.5rem 1fr 5.6rem;gap:.5rem"><span>{html.escape(n)}</span>'
                f'<i style="height:.9rem;border-radius:2px;width:{percent(scores[n])[0]:.1f}%;background:{COLOURS[n]}"></i>'
                f'<b style="font-variant-numeric:tabular-nums">{told(scores[n])}</b></div>'
                for n in sorted(scores, key=lambda n: -np.mean(scores[n]))
            )
            st.markdown(f"**With {per_class} labels of each class**, per cent right:")
            st.html(f'<div style="display:grid;gap:.32rem;font-size:.95rem">{bars}</div>')
    st.caption(
        f"{some['images']:,} training images, of which only the chosen ones have labels; {some['held_out']:,} held-out "
        f"images are judged. Mean and standard deviation over {len(seeds)} seeds ({seeds[0]} to {seeds[-1]}), each with "
        "its own labels and weights; all methods of a seed see the same labels. The size of the network, its steps and the "
        "usual λ were chosen with other seeds, but by the same held-out images."
    )
    if first is None:
        st.stop()

    def gain(method: str) -> tuple[str, str, str, str]:
        """A method against labels alone, seed by seed."""
        values = 100 * classify.paired(first, method)
        each = ", ".join(f"{v:+.1f}" for v in values)
        return f"{method} − labels alone", f"{np.median(values):+.1f} points", f"median of {each}", COLOURS[method]

    alone = first["methods"]["labels alone"]
    key_figures(
        [
            gain("fine-tuned"),
            gain(classify.JOINT),
            gain("frozen encoder"),
            ("labels in all", f"{first['labels']:,}", f"of {first['images']:,} images", ""),
        ]
    )

    # --- Fig. 5 -----------------------------------------------------------------------------------------------------------

    st.header("Two heads on one encoder (Fig. 5)", anchor=False)
    settings = asked(per_class) if lam == USUAL_LAM else asked(per_class, lam=lam, methods="joint")
    joint = (
        first
        if lam == USUAL_LAM
        else studies.result(
            "classify", settings, f"Joint training with λ = {lam:g}, {per_class} labels of each class", 30
        )
    )

    if joint:
        story, classes = joint["joint"], joint["classes"]
        of = layout.option("Held-out image of class", classes, "classify.image", classes[min(4, len(classes) - 1)])
        one = story["images"][classes.index(of)]
        label = one["label"]
        x = base64.b64encode(plots.png(images_of([one["id"]])[0])).decode()
        diagram = (
            '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.6rem 1rem;margin:.4rem 0">'
            + framed(x, f"x: image {one['id']}")
            + arrow()
            + box("encoder A", f"code of {classify.CODE} units")
            + arrow()
            + '<div style="display:grid;gap:.9rem">'
            '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.6rem 1rem">'
            + box("classifier C", "linear", LOSS)
            + arrow()
            + guesses(one["y_hat"], classes, label)
            + arrow()
            + box(f"L = {one['L']:.2f} nats", f"−log ŷ of “{html.escape(classes[label])}”", LOSS)
            + "</div>"
            '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.6rem 1rem">'
            + box("decoder B", "of all images", RECON)
            + arrow()
            + framed(one["x_hat"], "x̂")
            + arrow()
            + box(f"R = {one['R']:.1f}", "squared error over the pixels", RECON)
            + "</div></div></div>"
        )
        st.html(diagram)
        st.latex(
            plots.equation(
                rf"\tilde{{\mathcal L}} = \term{{l}}{{\underbrace{{\mathcal L(y, \hat y)}}_{{{one['L']:.3g}}}}} + "
                rf"\underbrace{{\lambda}}_{{{lam:g}}}\, \term{{recon}}{{\underbrace{{R(x, \hat x)}}_{{{one['R']:.3g}}}}}"
                rf" = {one['L'] + lam * one['R']:.3g}",
                {"l": LOSS},
            )
        )
        said = joint["methods"][classify.JOINT]["accuracy"]
        st.caption(
            f"λ = {lam:g}, {per_class} labels of each class, network of seed {seeds[0]}. Right over {len(said)} seeds: "
            f"{told(said)} % with R, {told(alone['accuracy'])} % on labels alone. L is asked of labelled images only, R of "
            "all; while it learns, R is "
            "taken from noisy images, as a denoising autoencoder does."
        )
        with st.container(key="halves-classify-joint"):
            left, right = st.columns(2, gap="large")
        with left:
            made = empty_figure(330, "step", "mean of a batch")
            made.add_scatter(x=story["step"], y=story["L"], name="L, nats", line={"color": LOSS, "width": 3})
            if lam > 0:
                made.add_scatter(
                    x=story["step"], y=story["R"], name="R, squared error", line={"color": RECON, "width": 3}
                )
            made.update_yaxes(type="log")
            show_figure(made, "classify.joint", "L and R through the training")
            st.caption(
                "Through the training: L soon is near 0 on the few labelled images; R goes on teaching the encoder."
            )
        with right:
            lams = {v: there(asked(per_class, lam=v, methods="joint")) for v in LAMS if v != USUAL_LAM} | {
                USUAL_LAM: first
            }
            lams = {v: found["methods"][classify.JOINT]["accuracy"] for v, found in sorted(lams.items()) if found}
            made = empty_figure(330, "λ", "right, %")
            mean, deviation = zip(*map(percent, lams.values()), strict=True)
            made.add_scatter(
                x=[f"{v:g}" for v in lams],
                y=mean,
                error_y={"array": deviation},
                mode="lines+markers",
                showlegend=False,
                line={"color": COLOURS[classify.JOINT], "width": 3},
                marker={"size": 10},
                hovertemplate="%{y:.1f} %",
            )
            made.update_xaxes(type="category")
            show_figure(made, "classify.lams", "Accuracy of joint training against λ")
            st.caption("Accuracy against λ, as far as it was computed; choose another λ above to add it.")

    # --- closed form ------------------------------------------------------------------------------------------------------

    st.header("Layers without iteration", anchor=False)
    st.latex(
        plots.equation(
            r"\begin{gathered} W = \arg\min_W \mathbb{E}_{\tilde x} \term{recon}{\lVert x - W \tilde x \rVert^2}"
            r" = \mathbb{E}[P]\,\mathbb{E}[Q]^{-1} \\[.4em] P = \bar X \tilde X^{\top}, \quad Q = \tilde X \tilde X^{\top},"
            r"\quad h = \tanh(W \bar x) \end{gathered}"
        )
    )
    times = first["layer_seconds"]
    layers_gain = classify.paired(first, "closed form", "least squares, pixels")
    key_figures(
        [
            *(
                (f"layer {k}", f"{seconds:.2f} s", "one solve, processor time", COLOURS["closed form"])
                for k, seconds in enumerate(times, 1)
            ),
            (
                "the autoencoder",
                f"{first['encoder_seconds']:.1f} s",
                f"{classify.EPOCHS} epochs of gradient steps, processor time",
                COLOURS["fine-tuned"],
            ),
            (
                "layers − pixels",
                f"{100 * np.median(layers_gain):+.1f} points",
                "least squares on the layers against least squares on pixels, median",
                "",
            ),
        ]
    )
    st.caption(
        f"Noise that erases {100 * (1 - classify.KEPT):.0f} % of the values is averaged over exactly, so that no damaged "
        f"copy is ever made. {len(times)} layers on {first['images']:,} images; the classifier on top is one solve, too."
    )

    # --- who is taken for whom --------------------------------------------------------------------------------------------

    st.header("Who is taken for whom", anchor=False)

    def cell_chosen() -> None:
        """A click on a cell chooses its images."""
        picked = st.session_state[f"classify.cells.{data}"].selection.points
        if picked:
            st.session_state["classify.guess"], st.session_state["classify.true"] = picked[0]["x"], picked[0]["y"]

    classes = first["classes"]
    labels = library.load(DataSpec(name=data)).test.labels
    with st.container(key="halves-classify-cells"):
        left, right = st.columns(2, gap="large")
    with left:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            who = st.selectbox(
                "Method",
                list(first["methods"]),
                list(first["methods"]).index("fine-tuned"),
                key=f"classify.who.{data}",
                width=220,
                **LINKED,
            )
            true = st.selectbox("Is", [ANY, *classes], key="classify.true", width=110, **LINKED)
            guess = st.selectbox("Taken for", [ANY, *classes], key="classify.guess", width=110, **LINKED)
        wrong, taken = (np.array(first["methods"][who][part], int) for part in ("wrong", "taken_for"))
        confused = np.zeros((len(classes), len(classes)), int)
        np.add.at(confused, (labels[wrong], taken), 1)
        right_ones = np.bincount(labels, minlength=len(classes)) - confused.sum(1)
        rows, columns = np.indices(confused.shape).reshape(2, -1)
        counted = np.where(rows == columns, right_ones[rows], confused[rows, columns])
        shade = np.where(rows == columns, 0.0, confused[rows, columns] / max(1, confused.max()))
        made = empty_figure(520, "taken for", "is")
        made.add_scatter(
            x=[classes[c] for c in columns],
            y=[classes[r] for r in rows],
            mode="markers+text",
            showlegend=False,
            text=[str(n) if n else "" for n in counted],
            textfont={"size": 14},
            marker={
                "symbol": "square",
                "size": 34,
                "line": {"width": 0},
                "color": [
                    f"rgba(47,160,110,{0.25 + 0.35 * n / labels.size * len(classes):.2f})"
                    if r == c
                    else f"rgba(217,99,30,{0.06 + 0.7 * s:.2f})"
                    for r, c, n, s in zip(rows, columns, counted, shade, strict=True)
                ],
            },
            hovertemplate="%{y} taken for %{x}: %{text}<extra></extra>",
        )
        made.update_layout(hovermode="closest", dragmode=False)
        made.update_yaxes(autorange="reversed", type="category", showgrid=False)
        made.update_xaxes(type="category")
        st.plotly_chart(
            made, key=f"classify.cells.{data}", config=CONFIG, on_select=cell_chosen, selection_mode="points"
        )
        st.caption(
            f"{who}, seed {seeds[0]}: {len(wrong)} of {len(labels):,} wrong. **Click a cell** to see its images."
        )
    with right:
        keep = np.ones(len(wrong), bool)
        if true != ANY:
            keep &= labels[wrong] == classes.index(true)
        if guess != ANY:
            keep &= taken == classes.index(guess)
        if true == guess != ANY:
            hits = np.setdiff1d(np.flatnonzero(labels == classes.index(true)), wrong)
            ids, takens, what = hits, np.full(len(hits), classes.index(true)), "right"
        else:
            ids, takens, what = wrong[keep], taken[keep], "wrong"
        st.markdown(f"**{len(ids):,} {what}**" + (f", the first {WRONG} shown" if len(ids) > WRONG else ""))
        if len(ids):
            lines = [f"{classes[labels[i]]} → {classes[t]}" for i, t in zip(ids, takens, strict=True)][:WRONG]
            contact(
                [("", images_of(ids[:WRONG].tolist()))],
                key="classify.wrong",
                captions=lines,
                tile=52,
                ids=ids[:WRONG].tolist(),
                alt=f"Held-out images that {who} gets {what}",
            )
        else:
            st.caption("None: choose another cell.")

    # --- to take home -----------------------------------------------------------------------------------------------------

    st.header("All numbers", anchor=False)
    table: dict[str, list] = {"labels_per_class": [], "method": [], "seed": [], "accuracy": [], "processor_seconds": []}
    for k, result in points.items():
        for name, row in result["methods"].items():
            for seed, value, seconds in zip(result["seeds"], row["accuracy"], row["seconds"], strict=True):
                for column, cell in zip(table, (k, name, seed, value, round(seconds, 3)), strict=True):
                    table[column].append(cell)
    st.dataframe(
        {
            "method": list(first["methods"]),
            "what it is": [classify.METHODS[n][1] for n in first["methods"]],
            "right, %": [told(row["accuracy"]) for row in first["methods"].values()],
            "against labels alone, median points": [
                f"{100 * np.median(classify.paired(first, n)):+.1f}" for n in first["methods"]
            ],
        },
        hide_index=True,
        width="stretch",
    )
    download_row(
        f"classify-{data}",
        table,
        f"""
from aecore import tasks

found = tasks.compute("classify", {asked(per_class, lam=lam)!r}, print)
for name, row in found["methods"].items():
    print(name, row["accuracy"])
""",
        "classify",
    )
    with st.expander("What to look for"):
        st.markdown(
            "- **Few labels**: fine-tuned starts where the images led it; labels alone starts nowhere. The gain is a point "
            "or two, not a leap.\n"
            "- **A frozen encoder** is capped by what reconstruction found worth keeping: with many labels the network "
            "that may move passes it.\n"
            "- **A support vector machine** beats every network here from ten labels on, on raw pixels as much as on "
            "codes: digits lie well in pixels already. A code is not always worth its training.\n"
            "- **λ**: at 0 the decoder is idle; too large, and the encoder serves pictures more than classes.\n"
            "- **The spread**: with one label of each class the luck of the choice outweighs the method. Compare within a "
            "seed, not across."
        )
    with st.expander("Why"):
        st.markdown(
            "Images of one class lie near each other in the code, so that few labels name a whole region: that is the "
            "assumption of the chapter, and where it fails no label is saved. Pretraining also starts the network in a "
            "better place (Erhan et al., 2010, JMLR 11:625). Joint training keeps the code honest while labels bend it "
            "(Le, Patterson and White, 2018; Zhang, Lee and Lee, 2016, arXiv:1606.06582). The closed form is that of "
            "Chen, Xu, Weinberger and Sha (2012), arXiv:1206.4683; a machine on codes is that of Gogoi and Begum (2017). "
            "The **mixture encoder** saw 60,000 images without labels, six times what the others saw (Feigin, Spitzer and "
            "Giryes, 2020, arXiv:2012.04525). Section 4.2, Fig. 5."
        )
