"""Classify: few labels, many images (§4.2, Fig. 5)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import DataSpec
from aecore.explore import examples
from aecore.tasks import classify
from app import library
from app.browser.contact import contact
from app.caching import remember
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import CONFIG, empty_figure, show_figure
from app.panels import exhibit
from app.panels import study as studies
from app.panels.downloads import download_row
from app.state import Choice, Many
from app.text import escape_html


class Offer(NamedTuple):
    """Data that can be classified. name: of the data set.  largest: labelled images of each class, at most."""

    name: str
    largest: int


DATA = {"28 × 28 (MNIST)": Offer("digits", 1000), "8 × 8": Offer("digits8", 150)}
"""What the page offers. Of the smaller set no class has more than 149 training images."""
COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 300, 500, 1000)
LAMS = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0)
USUAL_COUNT = 10  # labelled images of each class at first
USUAL_LAM = classify.Settings().lam
FIRST = (classify.ALONE, classify.TUNED, classify.JOINT, "logistic, pixels", "SVM, codes", classify.CLOSED_FORM)
"""Methods whose curves are shown at first."""
COLOURS = dict(zip(FIRST, ("#7a7f87", "#2f7de1", "#d9631e", "#8d8a1b", "#1f9a6d", "#b453c9"), strict=True)) | {
    classify.FROZEN: "#0f93a8",
    "logistic, PCA": "#d6457a",
    "logistic, codes": "#3d8bb5",
    "SVM, pixels": "#9a7d1c",
    "SVM, PCA": "#c0528f",
    "least squares, pixels": "#6a78d1",
    classify.MIXTURE: "#b3603f",
}
LOSS, RECON = plots.term_colour("adv"), plots.term_colour("recon")
GREY = "rgba(128,135,144,.7)"
WRONG = 48  # images of wrong answers that are shown at once
ANY = "any"

Study = Mapping[str, Any]


class State:
    """Data, number of labels and λ; the curves; the image in Fig. 5; the method and the cell that are looked into.

    Options are given where the data are known.
    """

    data = Choice("classify.data", tuple(DATA))
    labels: Choice[int] = Choice("classify.labels", COUNTS, USUAL_COUNT)
    lam = Choice("classify.lam", LAMS, USUAL_LAM, "{:g}".format)
    methods: Many[str] = Many("classify.methods", default=FIRST)
    image: Choice[str] = Choice("classify.image")
    method: Choice[str] = Choice("classify.who", default=classify.TUNED)
    true_class: Choice[str] = Choice("classify.true")
    taken_for: Choice[str] = Choice("classify.guess")


class Chosen(NamedTuple):
    """What the visitor chose. counts: all numbers of labels that are offered."""

    data: str
    counts: list[int]
    per_class: int
    lam: float

    def settings(self, per_class: int | None = None, **more: Any) -> dict[str, Any]:
        """Settings of a study of these data, with the chosen number of labels or another one."""
        return {"data": self.data, "labels_per_class": per_class or self.per_class, **more}

    def joint_settings(self, lam: float) -> dict[str, Any]:
        """Settings of the study that has joint training with this λ."""
        return self.settings() if lam == USUAL_LAM else self.settings(lam=lam, methods="joint")


def page() -> None:
    exhibit.heading(
        "Classify",
        "Images are plenty, labels are dear. **What is an encoder worth that learnt from the images alone?** Drag the "
        "number of labels.",
    )
    choice = choose()
    by_count = computed(choice)
    if not by_count:
        st.stop()
    study = by_count.get(choice.per_class)
    accuracy(choice, by_count, study, choose_methods(choice, by_count))
    if study is None:
        st.stop()
    gains(study)
    joint_training(choice, study)
    closed_form(study)
    confusion(choice, study)
    all_numbers(choice, by_count, study)
    explanations()


def choose() -> Chosen:
    """Controls for the data, the number of labels and λ."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        data, largest = DATA[State.data.option("Digits")]
        counts = [*(k for k in COUNTS if k < largest), largest]
        labels = State.labels.of(data).given(options=counts, label=lambda k: "all" if k == largest else str(k))
        per_class = labels.slider("Labelled images of each class", width=320)
        lam = State.lam.slider("λ of joint training", width=260)
    return Chosen(data, counts, per_class, lam)


def computed(choice: Chosen) -> dict[int, Study]:
    """Number of labels → study, of all that were computed. The chosen one is asked for if it was not."""
    by_count = {k: study for k in choice.counts if (study := studies.stored("classify", choice.settings(k)))}
    if choice.per_class not in by_count:
        title = f"All methods with {choice.per_class} labels of each class"
        if study := studies.result("classify", choice.settings(), title, 150):
            by_count[choice.per_class] = study
    return dict(sorted(by_count.items()))


def choose_methods(choice: Chosen, by_count: Mapping[int, Study]) -> list[str]:
    """The methods whose curves are shown."""
    known = [name for name in classify.METHODS if any(name in study["methods"] for study in by_count.values())]
    return State.methods.of(choice.data).given(options=known).pills("Methods") or [classify.ALONE]


@remember(max_entries=64)
def images_of(data: str, ids: tuple[int, ...]) -> np.ndarray:
    """Held-out images of a data set, uint8 (n, H, W)."""
    return examples.images(library.load(DataSpec(name=data)).test, np.array(ids, int))


# --- accuracy ---------------------------------------------------------------------------------------------------------


def percent(accuracies: list[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds, per cent."""
    return 100 * float(np.mean(accuracies)), 100 * float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0


def percent_text(accuracies: list[float]) -> str:
    """ "74.0 ± 1.2" """
    mean, deviation = percent(accuracies)
    return f"{mean:.1f} ± {deviation:.1f}"


def accuracy(choice: Chosen, by_count: Mapping[int, Study], study: Study | None, methods: list[str]) -> None:
    """Curves over the number of labels, and bars for the chosen number."""
    any_study = study or next(iter(by_count.values()))
    seeds = any_study["seeds"]
    with st.container(key="halves-classify-curves"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        show_figure(
            accuracy_figure(by_count, methods, choice.per_class),
            f"classify.curves.{choice.data}",
            "Accuracy of each method against the number of labels",
        )
    with right:
        if study is None:
            st.info("The curves stand; this number of labels is being computed.", icon=":material/hourglass:")
        else:
            st.markdown(f"**With {choice.per_class} labels of each class**, per cent right:")
            st.html(accuracy_bars({name: row["accuracy"] for name, row in study["methods"].items()}))
    st.caption(
        f"There are {any_study['images']:,} training images, of which only the chosen ones have labels; "
        f"{any_study['held_out']:,} held-out images are judged. Mean and standard deviation over {len(seeds)} seeds "
        f"({seeds[0]} to {seeds[-1]}), each with its own labels and weights; all methods of a seed see the same "
        "labels. The size of the network, its steps and the usual λ were chosen with other seeds, but by the same "
        "held-out images."
    )


def accuracy_figure(by_count: Mapping[int, Study], methods: list[str], per_class: int) -> go.Figure:
    """Accuracy over the number of labelled images, a curve for each method."""
    figure = empty_figure(470, "labelled images of each class", "right on held-out images, %")
    for name in methods:
        counts = [k for k in by_count if name in by_count[k]["methods"]]
        mean, deviation = zip(*(percent(by_count[k]["methods"][name]["accuracy"]) for k in counts), strict=True)
        figure.add_scatter(
            x=counts,
            y=mean,
            name=name,
            mode="lines+markers",
            hovertemplate="%{y:.1f} %",
            error_y={"array": deviation, "thickness": 1.5},
            line={"color": COLOURS[name], "width": 3},
            marker={"size": 9},
        )
    figure.add_vline(x=per_class, line={"dash": "dot", "color": plots.INK})
    figure.update_xaxes(type="log", tickvals=list(by_count), ticktext=[str(k) for k in by_count])
    figure.update_layout(legend={"font": {"size": 15}})
    return figure


def accuracy_bars(accuracies: Mapping[str, list[float]]) -> str:
    """HTML: a bar for each method, the best on top."""
    bars = "".join(
        f'<div title="{escape_html(classify.METHODS[name][1])}" style="display:grid;align-items:center;'
        f'grid-template-columns:11.5rem 1fr 5.6rem;gap:.5rem"><span>{escape_html(name)}</span>'
        f'<i style="height:.9rem;border-radius:2px;width:{percent(accuracies[name])[0]:.1f}%;'
        f'background:{COLOURS[name]}"></i>'
        f'<b style="font-variant-numeric:tabular-nums">{percent_text(accuracies[name])}</b></div>'
        for name in sorted(accuracies, key=lambda name: -np.mean(accuracies[name]))
    )
    return f'<div style="display:grid;gap:.32rem;font-size:.95rem">{bars}</div>'


def gains(study: Study) -> None:
    """By how much the encoder's methods beat training on the labels alone."""

    def gain(method: str) -> tuple[str, str, str, str]:
        values = 100 * classify.paired(study, method)
        seeds = ", ".join(f"{v:+.1f}" for v in values)
        name = f"{method} − {classify.ALONE}"
        return name, f"{np.median(values):+.1f} points", f"median of {seeds}", COLOURS[method]

    key_figures(
        [
            gain(classify.TUNED),
            gain(classify.JOINT),
            gain(classify.FROZEN),
            ("labels in all", f"{study['labels']:,}", f"of {study['images']:,} images", ""),
        ]
    )


# --- Fig. 5 -----------------------------------------------------------------------------------------------------------


def joint_training(choice: Chosen, study: Study) -> None:
    """The network of Fig. 5 with one image in it, its losses during the training, and its accuracy against λ."""
    st.header("Two heads on one encoder (Fig. 5)", anchor=False)
    joint = study
    if choice.lam != USUAL_LAM:
        title = f"Joint training with λ = {choice.lam:g}, {choice.per_class} labels of each class"
        joint = studies.result("classify", choice.joint_settings(choice.lam), title, 30)
    if joint is None:
        return
    classes, lam = joint["classes"], choice.lam
    first = classes[min(4, len(classes) - 1)]
    shown = State.image.given(options=classes, default=first).option("Held-out image of class")
    image = joint["joint"]["images"][classes.index(shown)]
    pixels = images_of(choice.data, (image["id"],))[0]
    st.html(network_diagram(image, classes, base64.b64encode(plots.png(pixels)).decode()))
    st.latex(
        plots.equation(
            rf"\tilde{{\mathcal L}} = \term{{l}}{{\underbrace{{\mathcal L(y, \hat y)}}_{{{image['L']:.3g}}}}} + "
            rf"\underbrace{{\lambda}}_{{{lam:g}}}\, "
            rf"\term{{recon}}{{\underbrace{{R(x, \hat x)}}_{{{image['R']:.3g}}}}}"
            rf" = {image['L'] + lam * image['R']:.3g}",
            {"l": LOSS},
        )
    )
    accuracies = joint["methods"][classify.JOINT]["accuracy"]
    alone = study["methods"][classify.ALONE]["accuracy"]
    st.caption(
        f"λ = {lam:g}, {choice.per_class} labels of each class, network of seed {study['seeds'][0]}. Right over "
        f"{len(accuracies)} seeds: {percent_text(accuracies)} % with R, {percent_text(alone)} % on labels alone. L is "
        "taken over labelled images only, R over all; during the training R is taken from noisy images, as a denoising "
        "autoencoder does."
    )
    with st.container(key="halves-classify-joint"):
        left, right = st.columns(2, gap="large")
    with left:
        show_figure(losses_figure(joint["joint"], lam), "classify.joint", "L and R through the training")
        st.caption("Through the training: L soon is near 0 on the few labelled images; R goes on teaching the encoder.")
    with right:
        by_lam = {
            value: study if value == USUAL_LAM else studies.stored("classify", choice.joint_settings(value))
            for value in LAMS
        }
        show_figure(lam_figure(by_lam), "classify.lams", "Accuracy of joint training against λ")
        st.caption("Accuracy against λ, as far as it was computed; choose another λ above to add it.")


def network_diagram(image: Mapping[str, Any], classes: list[str], png: str) -> str:
    """HTML: Fig. 5 with one image in it.

    image: one of a study's "joint" images.  png: the image x itself, in base64.
    """
    label = image["label"]
    row = '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.6rem 1rem">'
    return (
        '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.6rem 1rem;margin:.4rem 0">'
        + framed(png, f"x: image {image['id']}")
        + arrow()
        + box("encoder A", f"code of {classify.CODE} units")
        + arrow()
        + '<div style="display:grid;gap:.9rem">'
        + row
        + box("classifier C", "one linear layer", LOSS)
        + arrow()
        + probability_bars(image["y_hat"], classes, label)
        + arrow()
        + box(f"L = {image['L']:.2f} nats", f"−log ŷ of “{escape_html(classes[label])}”", LOSS)
        + "</div>"
        + row
        + box("decoder B", "of all images", RECON)
        + arrow()
        + framed(image["x_hat"], "x̂")
        + arrow()
        + box(f"R = {image['R']:.1f}", "squared error over the pixels", RECON)
        + "</div></div></div>"
    )


def box(title: str, below: str, colour: str = GREY) -> str:
    """HTML: a part of the network."""
    return (
        f'<div style="border:2px solid {colour};border-radius:.6rem;padding:.5rem .8rem;text-align:center">'
        f'<b>{title}</b><div style="font-size:.85rem;opacity:.8">{below}</div></div>'
    )


def arrow() -> str:
    """HTML: an arrow from one part to the next."""
    return '<div style="font-size:1.6rem;opacity:.65;text-align:center">→</div>'


def framed(png: str, caption: str) -> str:
    """HTML: a picture, a PNG in base64, with its caption."""
    return (
        f'<figure style="margin:0;text-align:center"><img src="data:image/png;base64,{png}" alt="{caption}" '
        f'style="width:92px;height:92px;image-rendering:pixelated;border-radius:4px"><figcaption '
        f'style="font-size:.9rem">{caption}</figcaption></figure>'
    )


def probability_bars(probabilities: list[float], classes: list[str], label: int) -> str:
    """HTML: ŷ as bars, the true class in the colour of L."""
    cells = "".join(
        f'<div title="{escape_html(name)}: {p:.3f}" style="flex:1;display:flex;flex-direction:column;'
        f'justify-content:flex-end;height:100%"><i style="height:{max(1, 75 * p):.1f}%;background:'
        f'{LOSS if k == label else GREY}"></i><span style="font-size:.75rem;text-align:center">'
        f"{escape_html(name)}</span></div>"
        for k, (name, p) in enumerate(zip(classes, probabilities, strict=True))
    )
    return (
        '<div role="img" aria-label="chances of the classes" style="display:flex;gap:2px;height:92px;width:170px">'
        f"{cells}</div>"
    )


def losses_figure(story: Mapping[str, Any], lam: float) -> go.Figure:
    """L, and with λ > 0 also R, during the training."""
    figure = empty_figure(330, "step", "mean of a batch")
    figure.add_scatter(x=story["step"], y=story["L"], name="L, nats", line={"color": LOSS, "width": 3})
    if lam > 0:
        figure.add_scatter(x=story["step"], y=story["R"], name="R, squared error", line={"color": RECON, "width": 3})
    return figure.update_yaxes(type="log")


def lam_figure(by_lam: Mapping[float, Study | None]) -> go.Figure:
    """Accuracy of joint training against λ, for those λ that were computed."""
    accuracies = {lam: study["methods"][classify.JOINT]["accuracy"] for lam, study in by_lam.items() if study}
    mean, deviation = zip(*map(percent, accuracies.values()), strict=True)
    figure = empty_figure(330, "λ", "right, %")
    figure.add_scatter(
        x=[f"{lam:g}" for lam in accuracies],
        y=mean,
        error_y={"array": deviation},
        mode="lines+markers",
        showlegend=False,
        line={"color": COLOURS[classify.JOINT], "width": 3},
        marker={"size": 10},
        hovertemplate="%{y:.1f} %",
    )
    return figure.update_xaxes(type="category")


# --- closed form ------------------------------------------------------------------------------------------------------


def closed_form(study: Study) -> None:
    """What the closed-form layers cost and gain."""
    st.header("Layers without iteration", anchor=False)
    st.latex(
        plots.equation(
            r"\begin{gathered} W = \arg\min_W \mathbb{E}_{\tilde x} \term{recon}{\lVert x - W \tilde x \rVert^2}"
            r" = \mathbb{E}[P]\,\mathbb{E}[Q]^{-1} \\[.4em] P = \bar X \tilde X^{\top}, \quad "
            r"Q = \tilde X \tilde X^{\top},\quad h = \tanh(W \bar x) \end{gathered}"
        )
    )
    seconds = study["layer_seconds"]
    gain = 100 * np.median(classify.paired(study, classify.CLOSED_FORM, "least squares, pixels"))
    layers = [
        (f"layer {k}", f"{value:.2f} s", "one solve, processor time", COLOURS[classify.CLOSED_FORM])
        for k, value in enumerate(seconds, 1)
    ]
    autoencoder = (
        "the autoencoder",
        f"{study['encoder_seconds']:.1f} s",
        f"{classify.EPOCHS} epochs of gradient steps, processor time",
        COLOURS[classify.TUNED],
    )
    gained = (
        "layers − pixels",
        f"{gain:+.1f} points",
        "least squares on the layers against least squares on pixels, median",
        "",
    )
    key_figures([*layers, autoencoder, gained])
    st.caption(
        f"Noise that erases {100 * (1 - classify.KEPT):.0f} % of the values is averaged over exactly, so that no "
        f"damaged copy is ever made. {len(seconds)} layers on {study['images']:,} images; the classifier on top is one "
        "solve, too."
    )


# --- confusion --------------------------------------------------------------------------------------------------------


def confusion(choice: Chosen, study: Study) -> None:
    """The confusion matrix of one method, and the images of the chosen cell."""
    st.header("Who is taken for whom", anchor=False)
    classes, names = study["classes"], list(study["methods"])
    labels = np.asarray(library.load(DataSpec(name=choice.data)).test.labels)
    with st.container(key="halves-classify-cells"):
        left, right = st.columns(2, gap="large")
    with left:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            method = State.method.of(choice.data).given(options=names).box("Method", width=220)
            true = State.true_class.given(options=[ANY, *classes]).box("Is", width=110)
            guess = State.taken_for.given(options=[ANY, *classes]).box("Taken for", width=110)
        matrix = classify.confusion(study, method, labels)
        key = f"classify.cells.{choice.data}"
        st.plotly_chart(
            confusion_figure(matrix.counts, classes, len(labels)),
            key=key,
            config=CONFIG,
            on_select=lambda: choose_cell(key),
            selection_mode="points",
        )
        st.caption(
            f"{method}, seed {study['seeds'][0]}: {len(matrix.wrong)} of {len(labels):,} wrong. **Click a cell** to "
            "see its images."
        )
    with right:
        true_class, guessed_class = (None if name == ANY else classes.index(name) for name in (true, guess))
        ids, predicted = classify.in_cell(matrix, labels, true_class, guessed_class)
        what = "right" if true == guess != ANY else "wrong"
        st.markdown(f"**{len(ids):,} {what}**" + (f", the first {WRONG} shown" if len(ids) > WRONG else ""))
        if not len(ids):
            st.caption("None: choose another cell.")
            return
        shown = tuple(ids[:WRONG].tolist())
        contact(
            [("", images_of(choice.data, shown))],
            key="classify.wrong",
            captions=[f"{classes[labels[i]]} → {classes[k]}" for i, k in zip(shown, predicted, strict=False)],
            tile=52,
            ids=list(shown),
            alt=f"Held-out images that {method} gets {what}",
        )


def choose_cell(key: str) -> None:
    """Choose the cell of the confusion matrix that was clicked."""
    if points := st.session_state[key].selection.points:
        State.taken_for.put(points[0]["x"])
        State.true_class.put(points[0]["y"])


def confusion_figure(counts: np.ndarray, classes: list[str], n: int) -> go.Figure:
    """A confusion matrix (K, K) of n examples: correct answers green, wrong ones orange, and stronger for more."""
    rows, columns = np.indices(counts.shape).reshape(2, -1)
    values = counts[rows, columns]
    most = max(1, int(counts[~np.eye(len(counts), dtype=bool)].max()))
    colours = [
        f"rgba(47,160,110,{0.25 + 0.35 * value / n * len(classes):.2f})"
        if row == column
        else f"rgba(217,99,30,{0.06 + 0.7 * value / most:.2f})"
        for row, column, value in zip(rows, columns, values, strict=True)
    ]
    figure = empty_figure(520, "taken for", "is")
    figure.add_scatter(
        x=[classes[column] for column in columns],
        y=[classes[row] for row in rows],
        mode="markers+text",
        showlegend=False,
        text=[str(value) if value else "" for value in values],
        textfont={"size": 14},
        marker={"symbol": "square", "size": 34, "line": {"width": 0}, "color": colours},
        hovertemplate="%{y} taken for %{x}: %{text}<extra></extra>",
    )
    figure.update_layout(hovermode="closest", dragmode=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return figure.update_xaxes(type="category")


# --- downloads and text -----------------------------------------------------------------------------------------------


def all_numbers(choice: Chosen, by_count: Mapping[int, Study], study: Study) -> None:
    """A table of all methods, and the numbers behind the page as files."""
    st.header("All numbers", anchor=False)
    st.dataframe(
        {
            "method": list(study["methods"]),
            "what it is": [classify.METHODS[name][1] for name in study["methods"]],
            "right, %": [percent_text(row["accuracy"]) for row in study["methods"].values()],
            "against labels alone, median points": [
                f"{100 * np.median(classify.paired(study, name)):+.1f}" for name in study["methods"]
            ],
        },
        hide_index=True,
        width="stretch",
    )
    download_row(
        f"classify-{choice.data}",
        long_table(by_count),
        f"""
from aecore import tasks

study = tasks.compute("classify", {choice.settings(lam=choice.lam)!r}, print)
for name, row in study["methods"].items():
    print(name, row["accuracy"])
""",
        "classify",
    )


def long_table(by_count: Mapping[int, Study]) -> dict[str, list]:
    """A line for each number of labels, method and seed."""
    lines = [
        (per_class, name, seed, accuracy, round(seconds, 3))
        for per_class, study in by_count.items()
        for name, row in study["methods"].items()
        for seed, accuracy, seconds in zip(study["seeds"], row["accuracy"], row["seconds"], strict=True)
    ]
    columns = ("labels_per_class", "method", "seed", "accuracy", "processor_seconds")
    return {name: list(cells) for name, cells in zip(columns, zip(*lines, strict=True), strict=True)}


def explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Few labels**: the fine-tuned network starts where the images led it; labels alone start nowhere. The "
            "gain is a point or two, not a leap.\n"
            "- **A frozen encoder** is limited by what reconstruction found worth keeping: with many labels the "
            "network that may move does better.\n"
            "- **A support vector machine** beats every network here from ten labels on, on raw pixels as much as on "
            "codes: digits are easy to tell apart in pixels already. A code is not always worth its training.\n"
            "- **λ**: at 0 the decoder is idle; if λ is too large, the encoder serves pictures more than classes.\n"
            "- **The spread**: with one label of each class the luck of the choice outweighs the method. Compare "
            "within a seed, not across seeds."
        )
    with st.expander("Why"):
        st.markdown(
            "Images of one class lie near each other in the code, so that few labels name a whole region: that is the "
            "assumption of the chapter, and where it fails no label is saved. Pretraining also starts the network in a "
            "better place (Erhan et al., 2010, JMLR 11:625). Joint training keeps the code honest while labels bend it "
            "(Le, Patterson and White, 2018; Zhang, Lee and Lee, 2016, arXiv:1606.06582). The closed form is that of "
            "Chen, Xu, Weinberger and Sha (2012), arXiv:1206.4683; a machine on codes is that of Gogoi and Begum "
            "(2017). The **mixture encoder** saw 60,000 images without labels, six times what the others saw (Feigin, "
            "Spitzer and Giryes, 2020, arXiv:2012.04525). Section 4.2, Fig. 5."
        )
