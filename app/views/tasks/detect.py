"""Detect: anomalies by reconstruction error (§4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import DataError, FieldError, tasks
from aecore.data.base import DataSpec
from aecore.data.files import pictures
from aecore.explore.images import to_uint8
from aecore.tasks import detect
from app import cached, library
from app.browser.contact import contact
from app.browser.threshold import threshold
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, empty_figure, rgb, show_figure
from app.panels import exhibit
from app.panels import study as studies
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Choice, Level, Line
from app.text import escape_markdown
from app.widgets.data_download import offer_download
from app.widgets.uploads import kept_file, own_pictures


class Kind(NamedTuple):
    """Examples among which anomalies are sought.  data: as in `detect.Settings`.  code: usual latent dimensions."""

    data: str
    code: int


TABLE, PICTURES = Kind("table", 8), Kind("images", 16)
KINDS = {
    "a digit left out": Kind("digits", 16),
    "heartbeats": Kind("beats", 8),
    "breast cancer": Kind("cancer", 8),
    "garments": Kind("fashion", 16),
    "your table": TABLE,
    "your pictures": PICTURES,
}
CODES = (2, 4, 8, 16, 32, 64, 128)
QUANTILES = {"90 %": 0.90, "95 %": 0.95, "99 %": 0.99}
RED = np.array([225, 90, 60])
SECONDS = {True: 150, False: 40}  # a first guess of how long a study of images, or of vectors, takes

Study = Mapping[str, Any]


class State:
    """The question, which detector answers it, where its threshold stands, and which examples are shown."""

    data = Choice("detect.data", tuple(KINDS))
    left_out: Choice[str] = Choice("detect.left-out")  # of each data set
    code = Choice("detect.code", CODES)  # of each data set
    label = Line("detect.label")
    normal = Line("detect.normal")
    method: Choice[str] = Choice("detect.method")
    quantile = Choice("detect.quantile", tuple(QUANTILES), "95 %")
    at = Level("detect.at")
    sort: Choice[str] = Choice("detect.sort")
    one: Choice[int] = Choice("detect.one", label=lambda k: f"{k + 1}")


def start_over() -> None:
    """Another question: the threshold begins at its quantile again."""
    State.at.put(None)


class Judged(NamedTuple):
    """One detector's scores (m,) of the test, and the threshold above which an example is called an anomaly.

    anomalous: (m,) bool, or None if it is unknown.
    """

    method: str
    scores: np.ndarray
    anomalous: np.ndarray | None
    quantile: float
    at: float


def page() -> None:
    exhibit.heading(
        "Detect",
        "An autoencoder learns what is normal, and nothing else. **What comes back badly is unlike what it has seen.**",
    )
    settings = choose_examples()
    problem = problem_of(settings)
    images = len(problem.shape) == 3
    study = studies.result("detect", settings, "Learning what is normal", SECONDS[images])
    if study is None:
        st.stop()
    judged = judge(settings, study)
    measures(study, judged)
    take_home(settings, study, judged)
    where_the_error_sits(problem, study)
    if judged.anomalous is not None:
        st.header("Does a larger code make it worse?", anchor=False)
        st.markdown("A wide code can copy anything, **anomalies too**: the error then no longer tells what was learnt.")
        by_code(settings, 2 * SECONDS[images])
    explanations()


# --- what is normal ---------------------------------------------------------------------------------------------------


def choose_examples() -> dict[str, Any]:
    """Settings of the study that the visitor asks for. The page stops where data are still missing."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = KINDS[State.data.option("Examples", on_change=start_over)]
        settings: dict[str, Any] = {"data": kind.data}
        named = library.sets().get(kind.data)
        if named is not None:
            classes = list(named.classes or [])
            choice = State.left_out.of(kind.data).given(options=classes)
            left_out = choice.box("Left out", width=170, on_change=start_over)
            settings["left_out"] = classes.index(left_out)
        code = State.code.of(kind.data).given(default=kind.code)
        settings["code"] = code.slider("Units of the code", width=260, on_change=start_over)
    if named is not None and not named.here:
        st.info(f"{named.title} is not on this computer.", icon=":material/info:")
        offer_download(kind.data, named)
        st.stop()
    if kind is TABLE:
        settings |= table_settings()
    if kind is PICTURES:
        with plain_errors():
            settings |= picture_settings()
    return settings


def table_settings() -> dict[str, str]:
    """Settings of a table of the visitor's. The page stops until there is one."""
    path = kept_file(
        "A CSV: a line of names, then one example a line",
        {"csv": "table.csv", "txt": "table.csv"},
        "detect",
        "Every column must hold numbers, but for one that may say what each line is.",
    )
    if path is None:
        st.stop()
    with st.container(horizontal=True):
        label = State.label.input("Column that says what is normal (optional)", on_change=start_over)
        normal = State.normal.input("What it says of normal lines", on_change=start_over)
    return {"path": path, "label": label.strip(), "normal": normal.strip()}


def picture_settings() -> dict[str, Any]:
    """Settings of the visitor's own pictures. The page stops until there are any."""
    path = own_pictures("detect")
    if not path:
        st.caption("Normal pictures; folders of a zip are classes, of which one can be left out.")
        st.stop()
    data = library.load(DataSpec(name=PICTURES.data, path=path))
    if not data.classes:
        return {"path": path}
    names = list(data.classes)
    choice = State.left_out.of(PICTURES.data).given(options=names)
    left_out = choice.box("Left out", width=220, on_change=start_over)
    return {"path": path, "left_out": names.index(left_out)}


@cached.remember(max_entries=8)
def examples_of(settings: str, stamp: tuple) -> detect.Problem:
    """The examples of the settings, given as JSON.  stamp: of the file or folder they name."""
    return detect.problem(detect.Settings.model_validate_json(settings))


def problem_of(settings: Mapping[str, Any]) -> detect.Problem:
    """The examples of the settings. What is wrong with them is said in a sentence, and the page stops."""
    try:
        checked = tasks.checked("detect", settings)
        return examples_of(checked.model_dump_json(), pictures.stamp(checked.path) if checked.path else ())
    except (DataError, FieldError) as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        st.stop()


# --- the threshold ----------------------------------------------------------------------------------------------------


def judge(settings: Mapping[str, Any], study: Study) -> Judged:
    """Controls for detector and quantile, and the scores with a threshold that can be dragged."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        methods = State.method.given(options=list(study["methods"]))
        method = methods.box("Detector", width=280, on_change=start_over)
        quantile = QUANTILES[State.quantile.option("Let pass of normal examples", on_change=start_over)]
    scores = np.array(study["methods"][method]["scores"], np.float32)
    anomalous = None if study["anomalous"] is None else np.array(study["anomalous"], bool)
    start = detect.threshold(np.array(study["methods"][method]["held"]), quantile)
    by_error = method in detect.BY_ERROR
    checked = tasks.checked("detect", settings)
    at = threshold(
        scores,
        anomalous,
        start,
        key=f"detect.threshold.{checked.model_dump_json()}.{method}.{quantile}",
        score="squared error ‖x − x̂‖²" if by_error else "score",
        start_words=f"the line starts at the {100 * quantile:.0f} % quantile of {study['held']:,} normal examples that "
        "nothing was fitted to",
        alt=f"{method} on {study['title']}: scores of normal examples and of anomalies",
        where=State.at.get(),
    )
    State.at.given(start=start).put(at)
    st.latex(
        plots.equation(
            r"s(x) = \term{recon}{\lVert x - \hat{x} \rVert^2} > \tau,\qquad "
            rf"\hat{{x}} = \mathrm{{dec}}(\mathrm{{enc}}(x)),\qquad \tau = {at:.4g}"
            if by_error
            else rf"s(x) > \tau,\qquad \tau = {at:.4g}"
        )
    )
    return Judged(method, scores, anomalous, quantile, at)


def measures(study: Study, judged: Judged) -> None:
    """How well the anomalies are found, as far as it is known which examples are anomalies."""
    if judged.anomalous is None:
        st.caption("Nobody has said which of these are anomalies: the strangest are shown, and no rate can be known.")
        return
    method = study["methods"][judged.method]
    luck = "the chance that an anomaly scores above a normal example; ½ by luck"
    key_figures(
        [
            (
                "AUROC",
                tasks.over_seeds(method["auroc"]),
                f"{luck}; {len(method['auroc'])} seeds, of which the picture shows the first",
                "",
            ),
            (
                "average precision",
                tasks.over_seeds(method["ap"]),
                f"by luck {judged.anomalous.mean():.3f}, the share of anomalies",
                "",
            ),
            ("learnt from", f"{study['fitted']:,}", "normal examples; no anomaly was ever seen", ""),
        ]
    )
    st.dataframe(detect.rows(study), hide_index=True, width="stretch")


def take_home(settings: Mapping[str, Any], study: Study, judged: Judged) -> None:
    """The scores as a file, and the Python lines that compute them."""
    download_row(
        f"anomalies-{settings['data']}",
        {
            "example": range(len(judged.scores)),
            "kind": [study["kinds"][k] for k in study["kind"]],
            "score": judged.scores.tolist(),
            "above": (judged.scores > judged.at).astype(int).tolist(),
        },
        f"""
from aecore.tasks import detect

task = detect.problem(detect.Settings(**{settings!r}))
detector = detect.detectors(task, code={settings["code"]}, steps=600, seed=0)[{judged.method!r}].fit(task.fitted)
tau = detect.threshold(detector.score(task.held), {judged.quantile})
scores = detector.score(task.test)
print(tau, (scores > tau).sum(), task.anomalous is not None and detect.rates(scores, task.anomalous, tau))
""",
        "detect",
    )


# --- where the error sits ---------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """Examples x (n, *shape) of one sort, their reconstructions, and a line of text for each."""

    sort: str
    x: np.ndarray
    x_hat: np.ndarray
    captions: list[str]
    names: list[str]


def where_the_error_sits(problem: detect.Problem, study: Study) -> None:
    """Examples of one sort with their reconstructions, as images or as curves."""
    st.header("Where the error sits", anchor=False)
    sorts = [name for name, ids in study["shown"].items() if ids]
    sort = State.sort.given(options=sorts).option("Examples") if len(sorts) > 1 else sorts[0]
    ids = study["shown"][sort]
    back = detect.reconstructions(study)
    scores = study["methods"][detect.DENSE]["scores"]
    captions = [f"{study['kinds'][study['kind'][i]]} · {scores[i]:.3g}" for i in ids]
    shown = Shown(sort, problem.test[ids], np.stack([back[i] for i in ids]), captions, study["names"])
    if len(problem.shape) == 3:
        image_errors(shown)
    else:
        vector_errors(shown)


@st.fragment
@plain_errors()
def image_errors(shown: Shown) -> None:
    """Originals, reconstructions, and the squared error of each pixel in red."""
    heat = detect.error_map(shown.x, shown.x_hat)[..., None]
    pale = 255 - (255 - to_uint8(shown.x.mean(1, keepdims=True))) // 5  # a trace of the image, for orientation
    painted = (rgb(pale) * (1 - heat) + RED * heat).astype(np.uint8)
    contact(
        [("x", to_uint8(shown.x)), ("x̂", to_uint8(shown.x_hat)), ("error", painted)],
        key="detect.sheet",
        tile=72,
        captions=shown.captions,
        alt=f"{shown.sort}: originals, reconstructions by the dense autoencoder, errors",
    )
    st.caption("Below each what it is, and its squared error. All by the dense autoencoder.")


@st.fragment
@plain_errors()
def vector_errors(shown: Shown) -> None:
    """One vector with its reconstruction, and the error between them."""
    number = State.one.given(options=range(len(shown.x))).option("One of them")
    x, x_hat, caption = shown.x[number], shown.x_hat[number], shown.captions[number]
    figure = worst_values(x, x_hat, shown.names) if shown.names else trace(x, x_hat)
    show_figure(figure, "detect.trace", f"{caption}: the example and its reconstruction")
    st.caption(
        f"{escape_markdown(caption)}: squared error by the dense autoencoder."
        + (" The twelve values that come back worst." if shown.names else "")
    )


VALUE_AXIS = "value, 0 to 1 is the normal range"


def worst_values(x: np.ndarray, x_hat: np.ndarray, names: list[str]) -> go.Figure:
    """The twelve values (of V) of one example x (V,) that come back worst, as bars."""
    order = np.argsort(-np.square(x - x_hat))[:12]
    labels = [names[k] for k in order]
    figure = empty_figure(380, "", VALUE_AXIS)
    figure.add_bar(x=labels, y=x[order], name="x", marker_color=LINES[0])
    figure.add_bar(x=labels, y=x_hat[order], name="x̂", marker_color=LINES[1])
    return figure


def trace(x: np.ndarray, x_hat: np.ndarray) -> go.Figure:
    """A signal x (T,) and its reconstruction over time, the error between them filled."""
    time = np.arange(len(x))
    figure = empty_figure(380, "time", VALUE_AXIS)
    figure.add_scatter(x=time, y=x, name="x", line={"color": LINES[0], "width": 3})
    figure.add_scatter(
        x=time,
        y=x_hat,
        name="x̂",
        fill="tonexty",
        fillcolor="rgba(225,90,60,.35)",
        line={"color": LINES[1], "width": 3},
    )
    return figure


# --- a larger code ----------------------------------------------------------------------------------------------------


@st.fragment
def by_code(settings: Mapping[str, Any], seconds: float) -> None:
    """AUROC of the dense autoencoder by the size of its code."""
    sweep = {**{name: value for name, value in settings.items() if name != "code"}, "codes": list(CODES)}
    study = studies.result("detect", sweep, "Learning with seven sizes of code", seconds)
    if study is None:
        return
    sizes = [row["code"] for row in study["codes"]]
    auroc = np.array([row["auroc"] for row in study["codes"]])  # (sizes, seeds)
    show_figure(auroc_figure(sizes, auroc), "detect.by-code", "AUROC by the size of the code")
    mean = auroc.mean(1)
    loss = mean.max() - mean[-1]
    harm = f"The widest is worse by {loss:.3f}." if loss > 0.01 else "A wide code does no harm to speak of."
    st.caption(
        f"Dense autoencoder, {auroc.shape[1]} seeds of weights and split; bars are standard deviations. "
        f"The best here is {sizes[int(mean.argmax())]}. {harm}"
    )


def auroc_figure(sizes: list[int], auroc: np.ndarray) -> go.Figure:
    """Mean and standard deviation of AUROC (sizes, seeds) against the size of the code."""
    figure = empty_figure(380, "latent dimensions", "AUROC")
    figure.add_scatter(
        x=sizes,
        y=auroc.mean(1),
        mode="lines+markers",
        line={"color": LINES[0], "width": 4},
        error_y={"array": auroc.std(1, ddof=1) if auroc.shape[1] > 1 else None},
        name="dense",
        showlegend=False,
    )
    figure.add_hline(y=0.5, line_dash="dot", annotation_text="by luck")
    return figure.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])


def explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Which digit is left out** decides: a 1 is part of what other digits are drawn with, and comes back "
            "well.\n"
            "- **The threshold** is set without a single anomaly, by how many false alarms one can bear; move it and "
            "see the price on the other side.\n"
            "- **Precision** falls where anomalies are rare, even if the detector stays the same.\n"
            "- **The baselines** are worth their name: on tables of few numbers they are hard to beat."
        )
    with st.expander("Why"):
        st.markdown(
            "An autoencoder that passes its input through a narrow code can only bring back what lies near the "
            "manifold of its training data. The error of everything else measures its distance from there. Nothing "
            "makes that error large, though, if the anomaly is simpler than the data. Section 4.4. The breast cancer "
            "data: Wolberg, Street & Mangasarian (1993), with scikit-learn; the heartbeats are drawn, after McSharry "
            "et al. (2003)."
        )
