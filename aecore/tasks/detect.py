"""Chapter §4.4: anomalies by reconstruction error. What was never learnt comes back badly.

A detector is fitted to normal examples alone, scores any example (larger: stranger), and calls it an anomaly above a
threshold that is a quantile of the scores of normal examples which it was not fitted to.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..catalog import entry, seeded_build
from ..data import load
from ..data.base import Data, DataSpec, TensorSplit
from ..data.files import table as tables
from ..data.sets.beats import KINDS, TITLE, draw
from ..errors import DataError
from ..inference import autoencode, examples, first
from ..training.loop import Training
from ..training.plan import Plan
from . import Progress, over_seeds, path_with

SHARE = 0.15  # of the normal examples that set the threshold and are fitted by nobody
QUANTILES = 201  # of the scores of normal examples that are kept
SHOWN = 12  # examples of each sort whose reconstructions are kept
AT_MOST = {"normal": 1000, "anomalous": 300}  # test examples
LEAST = 20  # normal examples


class Problem(NamedTuple):
    """Normal examples to fit, others to set the threshold, and a test.

    fitted, held: (n, *shape) float32, all normal.  test: (m, *shape).  anomalous: (m,) bool; None where nobody knows.
    kind: (m,) numbers of `kinds`.  names: of the values of a vector.
    """

    title: str
    fitted: np.ndarray
    held: np.ndarray
    test: np.ndarray
    anomalous: np.ndarray | None
    kind: np.ndarray
    kinds: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.fitted.shape[1:]


# --- problems ---------------------------------------------------------------------------------------------------------


def left_out(spec: DataSpec, label: int, seed: int = 0) -> Problem:
    """Images of all classes but one are normal, those of that one anomalies; without labels nobody knows which are.

    Raises DataError for a class that there is not.
    """
    data = load(spec)
    x, y = examples(data.train, first(data.train)).numpy(), data.train.labels
    test, z = examples(data.test, first(data.test)).numpy(), data.test.labels
    if y is None or z is None or not data.classes:
        return _split(data.title, x, test, None, np.zeros(len(test), int), ("unknown",), seed)
    if not 0 <= label < len(data.classes):
        raise DataError(f"There is no class {label}: {data.title} has {len(data.classes)}, counted from 0.")
    title = f"{data.title}: {data.classes[label]} left out"
    return _split(title, x[y != label], test, z == label, z, data.classes, seed)


def beats(seed: int = 0) -> Problem:
    """3,000 normal heartbeats to learn from; a fifth of 2,000 others is abnormal, in five ways."""
    x, _ = draw(3000, seed)
    test, kind = draw(2000, seed + 1, 0.2)
    low, high = -0.6, 1.6  # one scale for all points, so that a beat still looks like one
    x, test = ((beat - low) / (high - low) for beat in (x, test))
    return _split(TITLE, x, test, kind > 0, kind, KINDS, seed)


def cancer(seed: int = 0) -> Problem:
    """30 measures of cells of breast tumours (Wolberg et al., 1993; scikit-learn): benign is normal."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    x, malignant = found.data.astype(np.float32), found.target == 0
    order = np.random.default_rng(seed).permutation(len(x))
    tested = np.zeros(len(x), bool)
    tested[order[: len(x) // 3]] = True
    tested |= malignant  # none is learnt from
    kinds, bad = ("benign", "malignant"), malignant[tested]
    return _scaled(
        _split("Breast cancer", x[~tested], x[tested], bad, bad.astype(int), kinds, seed, tuple(found.feature_names))
    )


def table(content: bytes, label: str = "", normal: str = "", seed: int = 0, title: str = "Your table") -> Problem:
    """A CSV with a header, one example a line: numbers, and if you like one column that says what each is.

    label: that column's name.  normal: its value for normal lines; by default the most frequent one. Normal lines are
    learnt from, but for a third that is tested beside all others. Without a label a third of all lines is tested.
    Raises DataError, with the line, for anything else than numbers, for missing values, and for too few lines.
    """
    names, x, said = tables.read(content, label)
    kinds = sorted(set(said)) if said else ["unknown"]
    kind = np.array([kinds.index(word) for word in said]) if said else np.zeros(len(x), int)
    usual = kinds.index(normal) if normal in kinds else int(np.bincount(kind).argmax())
    if said and normal and normal not in kinds:
        raise DataError(f"No line of the column {label} says {normal}: it has {', '.join(kinds[:10])}.")
    if normal and not label:
        raise DataError(f"Which column says {normal}? Name it as the label, or leave the word out.")
    bad = kind != usual
    if (~bad).sum() < LEAST:
        raise DataError(f"The table has {int((~bad).sum())} normal lines; at least {LEAST} are needed to learn from.")
    tested = bad.copy()
    whole = np.flatnonzero(~bad)
    tested[np.random.default_rng(seed).permutation(whole)[: len(whole) // 3]] = True
    known = bad[tested] if said else None
    return _scaled(_split(title, x[~tested], x[tested], known, kind[tested], tuple(kinds), seed, names))


def _scaled(task: Problem) -> Problem:
    """Values on the scale of those that are fitted; nobody has looked at those that set the threshold."""
    fitted, held, test = tables.scaled(task.fitted, task.held, task.test)
    return task._replace(fitted=fitted, held=held, test=test)


def _split(
    title: str,
    x: np.ndarray,
    test: np.ndarray,
    anomalous: np.ndarray | None,
    kind: np.ndarray,
    kinds: Sequence[str],
    seed: int,
    names: tuple[str, ...] = (),
) -> Problem:
    """A seeded part of the normal examples is held for the threshold; the test is thinned to `AT_MOST`."""
    if len(x) < LEAST:
        raise DataError(f"There are {len(x)} normal examples; at least {LEAST} are needed to learn from.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    count = max(2, round(SHARE * len(x)))
    bad = np.zeros(len(test), bool) if anomalous is None else anomalous
    some = [
        rng.permutation(np.flatnonzero(bad == strange))[:most]
        for strange, most in zip((False, True), AT_MOST.values(), strict=True)
    ]
    kept = np.sort(np.concatenate(some))
    return Problem(
        title,
        x[np.sort(order[count:])],
        x[np.sort(order[:count])],
        test[kept],
        None if anomalous is None else anomalous[kept],
        kind[kept],
        tuple(kinds),
        names,
    )


# --- detectors --------------------------------------------------------------------------------------------------------


class Detector(Protocol):
    """fit(x) to normal examples (n, *shape); score(x) → (n,), larger for what is stranger."""

    def fit(self, x: np.ndarray) -> Detector: ...

    def score(self, x: np.ndarray) -> np.ndarray: ...


class Reconstruction:
    """An autoencoder of normal examples: the score is the squared error ‖x − x̂‖².

    key, params: of the catalog.  steps: of training.
    """

    def __init__(self, key: str, params: Mapping[str, Any], steps: int = 600, seed: int = 0, batch: int = 128):
        self.key, self.params, self.steps, self.seed, self.batch = key, dict(params), steps, seed, batch

    def fit(self, x: np.ndarray) -> Reconstruction:
        which, inputs = entry(self.key), torch.from_numpy(np.ascontiguousarray(x))
        data = Data(
            DataSpec(), "normal examples", tuple(x.shape[1:]), TensorSplit(inputs), TensorSplit(inputs[:200]), ""
        )
        model = seeded_build(which, data.shape, which.check(self.params), self.seed)
        per_epoch = max(1, len(x) // min(self.batch, len(x)))
        epochs = min(10_000, math.ceil(self.steps / per_epoch))  # no plan has more
        plan = {"lr": 2e-3} | which.plan | {"epochs": epochs, "batch": self.batch}
        for _ in Training(model, data, Plan(**plan, seed=self.seed, precision="fp32", held_out=100), "cpu"):
            pass
        self.model = model.eval().requires_grad_(False)
        return self

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """x̂, as x."""
        return autoencode(self.model, TensorSplit(torch.from_numpy(np.ascontiguousarray(x))), np.arange(len(x)))

    def score(self, x: np.ndarray) -> np.ndarray:
        return np.square(x - self.reconstruct(x)).reshape(len(x), -1).sum(1)


class Principal:
    """PCA of normal examples with so many components; the score is the squared error."""

    def __init__(self, code: int):
        self.code = code

    def fit(self, x: np.ndarray) -> Principal:
        from sklearn.decomposition import PCA

        flat = x.reshape(len(x), -1)
        self.pca = PCA(min(self.code, *flat.shape), svd_solver="full" if flat.shape[1] < 50 else "auto", random_state=0)
        self.pca.fit(flat)
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1)
        return np.square(flat - self.pca.inverse_transform(self.pca.transform(flat))).sum(1)


class Library:
    """A detector of scikit-learn, on at most 50 principal components: fewer would hide, more would only cost."""

    COMPONENTS, MOST = 50, 3000  # MOST examples: a kernel machine's time grows with their square

    def __init__(self, make: Callable[[], Any]):
        self.make = make

    def fit(self, x: np.ndarray) -> Library:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        flat = x.reshape(len(x), -1)[: self.MOST]
        few = PCA(min(self.COMPONENTS, *flat.shape), whiten=False, random_state=0)
        self.pipe = make_pipeline(StandardScaler(with_std=x.ndim == 2), few, self.make()).fit(flat)
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        return -self.pipe.score_samples(x.reshape(len(x), -1))


def detectors(problem: Problem, code: int, steps: int, seed: int) -> dict[str, Detector]:
    """All that are compared, by name: autoencoders with `code` units, and baselines."""
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    wide = 128 if len(problem.shape) == 3 else 64
    dense = {"code": code, "net": "dense", "width": wide}
    found: dict[str, Detector] = {"dense autoencoder": Reconstruction("deep", dense, steps, seed)}
    if len(problem.shape) == 3:
        conv = {"code": code, "net": "conv", "width": 128}
        found["convolutional autoencoder"] = Reconstruction("deep", conv, steps, seed)
    vae = {"code": code, "width": wide, "likelihood": "gaussian", "c": 20.0}
    return found | {
        "VAE": Reconstruction("vae", vae, steps, seed),
        "PCA": Principal(code),
        "isolation forest": Library(lambda: IsolationForest(n_estimators=200, random_state=seed)),
        "one-class SVM": Library(lambda: OneClassSVM(gamma="scale", nu=0.05)),
    }


# --- judging ----------------------------------------------------------------------------------------------------------


def threshold(normal: np.ndarray, quantile: float) -> float:
    """The score above which an example is called an anomaly: this quantile of the scores of normal ones.

    normal: (n,) scores of normal examples to which nothing was fitted.  quantile: from 0 to 1; 1 − quantile of normal
    examples are false alarms, on average.
    """
    return float(np.quantile(normal, quantile))


class Rates(NamedTuple):
    """Of a threshold. hits, misses: anomalies above and below.  alarms, passed: normal examples above and below."""

    hits: int
    misses: int
    alarms: int
    passed: int

    @property
    def recall(self) -> float:
        return self.hits / max(1, self.hits + self.misses)

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.alarms)

    @property
    def false_alarms(self) -> float:
        """The share of normal examples above the threshold."""
        return self.alarms / max(1, self.alarms + self.passed)


def rates(scores: np.ndarray, anomalous: np.ndarray, at: float) -> Rates:
    """scores: (n,).  anomalous: (n,) bool.  at: the threshold; above it lies what is called an anomaly."""
    above = scores > at
    return Rates(
        int((above & anomalous).sum()),
        int((~above & anomalous).sum()),
        int((above & ~anomalous).sum()),
        int((~above & ~anomalous).sum()),
    )


def areas(scores: np.ndarray, anomalous: np.ndarray | None) -> dict[str, float]:
    """ "auroc": the chance that an anomaly scores above a normal example, ½ by luck.  "ap": average precision, by luck
    the share of anomalies. Source: scikit-learn."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {"auroc": float(roc_auc_score(anomalous, scores)), "ap": float(average_precision_score(anomalous, scores))}


# --- the study --------------------------------------------------------------------------------------------------------


def listed(value: Any) -> Any:
    """ "2,4" → ["2", "4"], as a command line says it."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseModel):
    """What is normal, and how it is learnt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field("digits", description="beats, cancer, table (with a path), or a data set of labelled images")
    left_out: int = Field(0, ge=0, le=999, description="the class that is not learnt, of labelled images")
    path: str | None = Field(None, description="of a table, or of your own images")
    label: str = Field("", description="the column of a table that says what is normal")
    normal: str = Field("", description="what it says of normal lines")
    code: int = Field(16, ge=1, le=256, description="units of the code")
    steps: int = Field(600, ge=10, le=20_000, description="of each training")
    seeds: int = Field(3, ge=1, le=10)
    codes: Annotated[tuple[int, ...], BeforeValidator(listed)] = Field(
        (), description="code sizes of the dense autoencoder: these alone are compared then"
    )

    _path = path_with("data", "table", "images")


def problem(settings: Settings, seed: int = 0) -> Problem:
    """What the settings say; DataError for data that there are not."""
    if settings.data == "beats":
        return beats(seed)
    if settings.data == "cancer":
        return cancer(seed)
    if settings.data == "table":
        return table(tables.opened(settings.path), settings.label, settings.normal, seed)
    return left_out(DataSpec(name=settings.data, path=settings.path), settings.left_out, seed)


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Every detector with several seeds of model and split; scores, shown examples and the threshold of the first.

    "methods": name → {"auroc", "ap": a list over seeds; "seconds"; "scores" of the test and 201 quantiles, "held", of
    those of the normal examples that set the threshold, of the first seed}.  "shown": sort → positions in the test;
    "reconstructions": their x̂ by the dense autoencoder, uint8 in base64, in that order.
    With `codes`: "codes": [{"code", "auroc": a list over seeds}] of the dense autoencoder in place of all that.
    """
    if settings.codes:
        return _by_code(settings, progress)
    found: dict[str, Any] = {}
    methods: dict[str, dict[str, Any]] = {}
    for seed in range(settings.seeds):
        task = problem(settings, seed)
        every = detectors(task, settings.code, settings.steps, seed)
        for place, (name, detector) in enumerate(every.items()):
            progress((seed + place / len(every)) / settings.seeds, f"{name}, seed {seed}")
            start = time.perf_counter()
            detector.fit(task.fitted)
            seconds, scores = time.perf_counter() - start, detector.score(task.test)
            mine = methods.setdefault(name, {"auroc": [], "ap": [], "seconds": seconds})
            if _both(task):
                for measure, value in areas(scores, task.anomalous).items():
                    mine[measure].append(value)
            if seed == 0:
                held = np.quantile(detector.score(task.held), np.linspace(0, 1, QUANTILES))
                mine |= {"scores": [float(f"{score:.4g}") for score in scores], "held": held.tolist()}
                if name == "dense autoencoder" and isinstance(detector, Reconstruction):
                    found |= _shown(task, scores, detector)
        if seed == 0:
            found |= {
                "title": task.title,
                "kinds": list(task.kinds),
                "kind": task.kind.tolist(),
                "anomalous": None if task.anomalous is None else task.anomalous.astype(int).tolist(),
                "fitted": len(task.fitted),
                "held": len(task.held),
                "names": list(task.names),
                "shape": list(task.shape),
            }
    return found | {"methods": methods}


def _both(task: Problem) -> bool:
    """Whether the test has anomalies and normal examples, as far as anybody knows."""
    return task.anomalous is not None and 0 < task.anomalous.sum() < len(task.anomalous)


def _by_code(settings: Settings, progress: Progress) -> dict[str, Any]:
    found: dict[int, list[float]] = {code: [] for code in settings.codes}
    for seed in range(settings.seeds):
        task = problem(settings, seed)
        if not _both(task):
            raise DataError("Nobody knows which of these examples are anomalies: there is nothing to compare by.")
        for place, code in enumerate(settings.codes):
            progress((seed + place / len(found)) / settings.seeds, f"a code of {code}, seed {seed}")
            one = detectors(task, code, settings.steps, seed)["dense autoencoder"].fit(task.fitted)
            found[code].append(areas(one.score(task.test), task.anomalous)["auroc"])
    return {"codes": [{"code": code, "auroc": values} for code, values in found.items()]}


def _shown(task: Problem, scores: np.ndarray, detector: Reconstruction) -> dict[str, Any]:
    """The strangest examples, of which kind they may be, and what a threshold would get wrong."""
    order = np.argsort(-scores)
    bad = np.zeros(len(scores), bool) if task.anomalous is None else task.anomalous
    sorts = {
        "strangest": order[:SHOWN],
        "anomalies found": order[bad[order]][:SHOWN],
        "anomalies that come back well": order[::-1][bad[order[::-1]]][:SHOWN],
        "normal, but come back badly": order[~bad[order]][:SHOWN],
    }
    if task.anomalous is None:
        sorts = {"strangest": order[:SHOWN], "most usual": order[::-1][:SHOWN]}
    ids = np.concatenate(list(sorts.values()))
    said = np.clip(np.rint(255 * detector.reconstruct(task.test[ids])), 0, 255).astype(np.uint8)
    return {
        "shown": {name: each.tolist() for name, each in sorts.items()},
        "reconstructions": base64.b64encode(said.tobytes()).decode(),
    }


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each detector, or for each size of code."""
    if "codes" in found:
        return [{"units of the code": str(row["code"]), "AUROC": over_seeds(row["auroc"])} for row in found["codes"]]
    return [
        {
            "detector": name,
            "AUROC": over_seeds(m["auroc"]),
            "average precision": over_seeds(m["ap"]),
            "seconds to fit": f"{m['seconds']:.1f}",
        }
        for name, m in found["methods"].items()
    ]


def reconstructions(found: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """Of a study's shown examples: position in the test → x̂ in [0, 1]."""
    raw = np.frombuffer(base64.b64decode(found["reconstructions"]), np.uint8).reshape(-1, *found["shape"])
    ids = [number for each in found["shown"].values() for number in each]
    return {number: x / np.float32(255) for number, x in zip(ids, raw, strict=True)}
