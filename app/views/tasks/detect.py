"""Detect: anomalies by reconstruction error (§4.4)."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from aecore import DataError, FieldError, tasks
from aecore.data.base import DataSpec
from aecore.data.files import uploads
from aecore.explore.images import to_uint8
from aecore.tasks import detect
from app import cached, library
from app.browser import threshold
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, empty_figure, rgb, show_figure
from app.link import LINKED
from app.panels import exhibit, layout
from app.panels import study as studies
from app.panels.downloads import download_row
from app.session import plain_errors
from app.text import escape_markdown
from app.widgets import data_picker

KINDS = {
    "a digit left out": "digits",
    "heartbeats": "beats",
    "breast cancer": "cancer",
    "garments": "fashion",
    "your table": "table",
    "your pictures": "images",
}
CODES = (2, 4, 8, 16, 32, 64, 128)
QUANTILES = {"90 %": 0.90, "95 %": 0.95, "99 %": 0.99}
ERROR = np.array([225, 90, 60])

# --- what is normal ---------------------------------------------------------------------------------------------------


def own_table() -> dict[str, str] | None:
    """Settings of a table of the visitor's; None until there is one."""
    path = data_picker.kept(
        "A CSV: a line of names, then one example a line",
        {"csv": "table.csv", "txt": "table.csv"},
        "detect",
        "Every column must hold numbers, but for one that may say what each line is.",
    )
    if path is None:
        return None
    with st.container(horizontal=True):
        label = st.text_input("Column that says what is normal (optional)", key="detect.label", **AGAIN)
        normal = st.text_input("What it says of normal lines", key="detect.normal", **AGAIN)
    return {"path": path, "label": label.strip(), "normal": normal.strip()}


def start_over() -> None:
    """Another question: the threshold begins where its quantile is."""
    st.query_params.pop("detect.at", None)


AGAIN = {"on_change": start_over, **LINKED}


@cached.remember(max_entries=8)
def problem(said: str, stamp: tuple) -> detect.Problem:
    """The examples of the settings, as JSON.  stamp: of the file or folder they name."""
    return detect.problem(detect.Settings.model_validate_json(said))


def page() -> None:
    exhibit.heading(
        "Detect",
        "An autoencoder learns what is normal, and nothing else. **What comes back badly is unlike what it has seen.**",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        data = KINDS[layout.option("Examples", list(KINDS), "detect.data", on_change=start_over)]
        settings: dict = {"data": data}
        if data in ("digits", "fashion"):
            classes = list(library.sets()[data].classes or [])
            settings["left_out"] = classes.index(
                st.selectbox("Left out", classes, 0, key=f"detect.left-out.{data}", width=170, **AGAIN)
            )
        code = st.select_slider(
            "Units of the code",
            CODES,
            16 if data in ("digits", "fashion", "images") else 8,
            key=f"detect.code.{data}",
            width=260,
            **AGAIN,
        )
    settings["code"] = code
    if data == "fashion" and not library.sets()["fashion"].here:
        st.info("Fashion-MNIST is not on this computer.", icon=":material/info:")
        data_picker.offer("fashion", library.sets()["fashion"])
        st.stop()
    if data == "table":
        said = own_table()
        if said is None:
            st.stop()
        settings |= said
    if data == "images":
        with plain_errors():
            path = data_picker.own("detect")
            if not path:
                st.caption("Normal pictures; folders of a zip are classes, of which one can be left out.")
                st.stop()
            settings["path"] = path
            found = library.load(DataSpec(name="images", path=path))
            if found.classes:
                names = list(found.classes)
                left = st.selectbox("Left out", names, key="detect.left-out.images", width=220, **AGAIN)
                settings["left_out"] = names.index(left)

    try:
        checked = tasks.checked("detect", settings)
        task = problem(checked.model_dump_json(), uploads.stamp(checked.path) if checked.path else ())
    except (DataError, FieldError) as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        st.stop()
    seconds = 150 if len(task.shape) == 3 else 40
    result = studies.result("detect", settings, "Learning what is normal", seconds)
    if result is None:
        st.stop()

    # --- the threshold ----------------------------------------------------------------------------------------------------

    methods = result["methods"]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.selectbox("Detector", list(methods), key="detect.method", width=280, **AGAIN)
        quantile = QUANTILES[
            layout.option(
                "Let pass of normal examples", list(QUANTILES), "detect.quantile", "95 %", on_change=start_over
            )
        ]
    mine = methods[method]
    scores = np.array(mine["scores"], np.float32)
    bad = None if result["anomalous"] is None else np.array(result["anomalous"], bool)
    start = detect.threshold(np.array(mine["held"]), quantile)
    squared = method not in ("isolation forest", "one-class SVM")
    try:
        where = float(st.query_params.get("detect.at", ""))
        where = where if math.isfinite(where) else None
    except ValueError:
        where = None
    at = threshold(
        scores,
        bad,
        start,
        key=f"detect.threshold.{checked.model_dump_json()}.{method}.{quantile}",
        score="squared error ‖x − x̂‖²" if squared else "score",
        start_words=f"the line starts at the {100 * quantile:.0f} % quantile of {result['held']:,} normal examples that "
        "nothing was fitted to",
        alt=f"{method} on {result['title']}: scores of normal examples and of anomalies",
        where=where,
    )
    if abs(at - start) < 1e-6 * max(1.0, abs(start)):
        st.query_params.pop("detect.at", None)
    elif st.query_params.get("detect.at") != f"{at:.6g}":
        st.query_params["detect.at"] = f"{at:.6g}"
    st.latex(
        plots.equation(
            r"s(x) = \term{recon}{\lVert x - \hat{x} \rVert^2} > \tau,\qquad \hat{x} = \mathrm{dec}(\mathrm{enc}(x)),\qquad "
            rf"\tau = {at:.4g}"
            if squared
            else rf"s(x) > \tau,\qquad \tau = {at:.4g}"
        )
    )

    if bad is not None:
        count = len(mine["auroc"])
        key_figures(
            [
                (
                    "AUROC",
                    tasks.over_seeds(mine["auroc"]),
                    f"the chance that an anomaly scores above a normal example; ½ by luck; {count} seeds, of which "
                    "the picture shows the first",
                    "",
                ),
                (
                    "average precision",
                    tasks.over_seeds(mine["ap"]),
                    f"by luck {bad.mean():.3f}, the share of anomalies",
                    "",
                ),
                ("learnt from", f"{result['fitted']:,}", "normal examples; no anomaly was ever seen", ""),
            ]
        )
        st.dataframe(detect.rows(result), hide_index=True, width="stretch")
    else:
        st.caption("Nobody has said which of these are anomalies: the strangest are shown, and no rate can be known.")
    download_row(
        f"anomalies-{data}",
        {
            "example": range(len(scores)),
            "kind": [result["kinds"][k] for k in result["kind"]],
            "score": scores.tolist(),
            "above": (scores > at).astype(int).tolist(),
        },
        f"""
from aecore.tasks import detect

task = detect.problem(detect.Settings(**{settings!r}))
detector = detect.detectors(task, code={code}, steps=600, seed=0)[{method!r}].fit(task.fitted)
tau = detect.threshold(detector.score(task.held), {quantile})
scores = detector.score(task.test)
print(tau, (scores > tau).sum(), task.anomalous is not None and detect.rates(scores, task.anomalous, tau))
""",
        "detect",
    )

    # --- where the error sits ---------------------------------------------------------------------------------------------

    st.header("Where the error sits", anchor=False)
    sorts = [name for name, ids in result["shown"].items() if ids]
    which = layout.option("Examples", sorts, "detect.sort") if len(sorts) > 1 else sorts[0]
    ids = result["shown"][which]
    back = detect.reconstructions(result)
    x, x_hat = task.test[ids], np.stack([back[i] for i in ids])
    dense = np.array(methods["dense autoencoder"]["scores"])
    captions = [f"{result['kinds'][result['kind'][i]]} · {dense[i]:.3g}" for i in ids]

    @st.fragment
    @plain_errors()
    def where_images() -> None:
        """Originals, what comes back, and the squared error of each pixel in red."""
        error = np.square(x - x_hat).mean(1)
        heat = np.clip(error / np.quantile(error, 0.995), 0, 1)[..., None]
        grey = 255 - (255 - to_uint8(x.mean(1, keepdims=True))) // 5  # of the image a shade is left, to see where
        painted = (rgb(grey) * (1 - heat) + ERROR * heat).astype(np.uint8)
        contact(
            [("x", to_uint8(x)), ("x̂", to_uint8(x_hat)), ("error", painted)],
            key="detect.sheet",
            tile=72,
            captions=captions,
            alt=f"{which}: originals, reconstructions by the dense autoencoder, errors",
        )
        st.caption("Below each what it is, and its squared error. All by the dense autoencoder.")

    @st.fragment
    @plain_errors()
    def where_traces() -> None:
        """One vector with what comes back, and the error between them."""
        number = st.segmented_control(
            "One of them",
            range(len(ids)),
            default=0,
            required=True,
            key="detect.one",
            format_func=lambda k: f"{k + 1}",
            **LINKED,
        )
        names = result["names"] or None
        made = empty_figure(380, "" if names else "time", "value, 0 to 1 is the normal range")
        if names:
            order = np.argsort(-np.square(x[number] - x_hat[number]))[:12]
            labels = [names[k] for k in order]
            made.add_bar(x=labels, y=x[number][order], name="x", marker_color=LINES[0])
            made.add_bar(x=labels, y=x_hat[number][order], name="x̂", marker_color=LINES[1])
        else:
            time = np.arange(x.shape[1])
            made.add_scatter(x=time, y=x[number], name="x", line={"color": LINES[0], "width": 3})
            made.add_scatter(
                x=time,
                y=x_hat[number],
                name="x̂",
                fill="tonexty",
                fillcolor="rgba(225,90,60,.35)",
                line={"color": LINES[1], "width": 3},
            )
        show_figure(made, "detect.trace", f"{captions[number]}: the example and its reconstruction")
        st.caption(
            f"{escape_markdown(captions[number])}: squared error by the dense autoencoder."
            + (" The twelve values that come back worst." if names else "")
        )

    if len(task.shape) == 3:
        where_images()
    else:
        where_traces()

    # --- a larger code ----------------------------------------------------------------------------------------------------

    if bad is not None:
        st.header("Does a larger code make it worse?", anchor=False)
        st.markdown("A wide code can copy anything, **anomalies too**: the error then no longer tells what was learnt.")

        @st.fragment
        def by_code() -> None:
            """AUROC of the dense autoencoder by the size of its code."""
            sweep = {**{k: v for k, v in settings.items() if k != "code"}, "codes": list(CODES)}
            found = studies.result("detect", sweep, "Learning with seven sizes of code", 2 * seconds)
            if found is None:
                return
            sizes = [row["code"] for row in found["codes"]]
            values = np.array([row["auroc"] for row in found["codes"]])
            made = empty_figure(380, "units of the code", "AUROC")
            made.add_scatter(
                x=sizes,
                y=values.mean(1),
                mode="lines+markers",
                line={"color": LINES[0], "width": 4},
                error_y={"array": values.std(1, ddof=1) if values.shape[1] > 1 else None},
                name="dense",
                showlegend=False,
            )
            made.add_hline(y=0.5, line_dash="dot", annotation_text="by luck")
            made.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])
            show_figure(made, "detect.by-code", "AUROC by the size of the code")
            best = sizes[int(values.mean(1).argmax())]
            fallen = values.mean(1).max() - values.mean(1)[-1]
            does = f"The widest is worse by {fallen:.3f}." if fallen > 0.01 else "A wide code does no harm to speak of."
            st.caption(
                f"Dense autoencoder, {values.shape[1]} seeds of weights and split; bars are standard deviations. "
                f"The best here is {best}. {does}"
            )

        by_code()
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
            "makes that error large, though, where the anomaly is simpler than the data. Section 4.4. The breast "
            "cancer data: Wolberg, Street & Mangasarian (1993), with scikit-learn; the heartbeats are drawn, after "
            "McSharry et al. (2003)."
        )
