"""Anomaly detection by reconstruction error (§4.4): what an autoencoder never learnt comes back badly.

A detector is fitted to normal examples alone and gives a score to any example: the larger, the stranger. Above a
threshold the example is called an anomaly. The threshold is a quantile of the scores of other normal examples, which
the detector was not fitted to.

>>> from aecore.tasks import detect
>>> problem = detect.beats()
>>> detector = detect.detectors(problem, code=8, steps=600, seed=0)[detect.DENSE].fit(problem.fitted)
>>> threshold = detect.threshold(detector.score(problem.held), 0.95)
>>> detect.rates(detector.score(problem.test), problem.anomalous, threshold).recall
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

AUTOENCODER, VARIATIONAL = "deep", "vae"
"""Catalog keys of the autoencoders that are compared as detectors."""

DENSE, CONVOLUTIONAL, VAE = "dense autoencoder", "convolutional autoencoder", "VAE"
PRINCIPAL, FOREST, ONE_CLASS = "PCA", "isolation forest", "one-class SVM"
BY_ERROR = (DENSE, CONVOLUTIONAL, VAE, PRINCIPAL)
"""Detectors whose score is the squared error of the reconstruction."""

SHARE = 0.15  # of the normal examples: they set the threshold, and no detector is fitted to them
QUANTILES = 201  # of the scores of normal examples that are kept
SHOWN = 12  # examples of each sort whose reconstructions are kept
NORMAL_TESTED, ANOMALIES_TESTED = 1000, 300  # test examples at most
LEAST = 20  # normal examples


class Problem(NamedTuple):
    """Normal examples to fit, others that set the threshold, and examples to test.

    fitted, held: (n, *shape) float32, all normal.  test: (m, *shape).  anomalous: (m,) bool, or None if it is unknown.
    kind: (m,) indices into `kinds`.  names: of the values of a vector.
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
    """Images of all classes but one are normal, and those of that class are anomalies. Without labels it is unknown.

    Raises DataError for a class that does not exist.
    """
    data = load(spec)
    x, labels = examples(data.train, first(data.train)).numpy(), data.train.labels
    test, test_labels = examples(data.test, first(data.test)).numpy(), data.test.labels
    if labels is None or test_labels is None or not data.classes:
        return _split(data.title, x, test, None, np.zeros(len(test), int), ("unknown",), seed)
    if not 0 <= label < len(data.classes):
        raise DataError(f"There is no class {label}: {data.title} has {len(data.classes)}, counted from 0.")
    title = f"{data.title}: {data.classes[label]} left out"
    return _split(title, x[labels != label], test, test_labels == label, test_labels, data.classes, seed)


def beats(seed: int = 0) -> Problem:
    """3,000 normal heartbeats to fit, and 2,000 to test, of which a fifth is abnormal in one of five ways."""
    x, _ = draw(3000, seed)
    test, kind = draw(2000, seed + 1, 0.2)
    low, high = -0.6, 1.6  # one scale for all points in time, which keeps the shape of a beat
    x, test = ((beat - low) / (high - low) for beat in (x, test))
    return _split(TITLE, x, test, kind > 0, kind, KINDS, seed)


def cancer(seed: int = 0) -> Problem:
    """30 measures of cells of breast tumours (Wolberg et al., 1993; scikit-learn): benign is normal."""
    from sklearn.datasets import load_breast_cancer

    tumours: Any = load_breast_cancer()
    x, malignant = tumours.data.astype(np.float32), tumours.target == 0
    order = np.random.default_rng(seed).permutation(len(x))
    tested = malignant.copy()  # nothing is fitted to any malignant one
    tested[order[: len(x) // 3]] = True
    kinds, bad = ("benign", "malignant"), malignant[tested]
    names = tuple(tumours.feature_names)
    return _scaled(_split("Breast cancer", x[~tested], x[tested], bad, bad.astype(int), kinds, seed, names))


def table(content: bytes, label: str = "", normal: str = "", seed: int = 0, title: str = "Your table") -> Problem:
    """A CSV with a header and one example in each line: numbers, and optionally a column that says what each line is.

    label: the name of that column.  normal: its value for normal lines, by default the most frequent one. Two thirds of
    the normal lines are fitted, the rest is tested beside all other lines. Without a label a third of all is tested.
    Raises DataError that names the line for anything but numbers and for missing values, and for too few lines.
    """
    names, x, words = tables.read(content, label)
    kinds = sorted(set(words)) if words else ["unknown"]
    kind = np.array([kinds.index(word) for word in words]) if words else np.zeros(len(x), int)
    usual = kinds.index(normal) if normal in kinds else int(np.bincount(kind).argmax())
    if words and normal and normal not in kinds:
        raise DataError(f"No line of the column {label} says {normal}: it has {', '.join(kinds[:10])}.")
    if normal and not label:
        raise DataError(f"Which column says {normal}? Name it as the label, or leave the word out.")
    bad = kind != usual
    if (~bad).sum() < LEAST:
        raise DataError(f"The table has {int((~bad).sum())} normal lines; at least {LEAST} are needed to learn from.")
    tested = bad.copy()
    good = np.flatnonzero(~bad)
    tested[np.random.default_rng(seed).permutation(good)[: len(good) // 3]] = True
    known = bad[tested] if words else None
    return _scaled(_split(title, x[~tested], x[tested], known, kind[tested], tuple(kinds), seed, names))


def _scaled(task: Problem) -> Problem:
    """All values on the scale of those that are fitted; the other examples have no influence on it."""
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
    """Hold out a seeded part of the normal examples x for the threshold, and limit the number of test examples."""
    if len(x) < LEAST:
        raise DataError(f"There are {len(x)} normal examples; at least {LEAST} are needed to learn from.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    count = max(2, round(SHARE * len(x)))
    bad = np.zeros(len(test), bool) if anomalous is None else anomalous
    normal_ids = rng.permutation(np.flatnonzero(~bad))[:NORMAL_TESTED]
    bad_ids = rng.permutation(np.flatnonzero(bad))[:ANOMALIES_TESTED]
    kept = np.sort(np.concatenate([normal_ids, bad_ids]))
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
    """fit(x) to normal examples (n, *shape); score(x) → (n,), larger for stranger examples."""

    def fit(self, x: np.ndarray) -> Detector: ...

    def score(self, x: np.ndarray) -> np.ndarray: ...


class Reconstruction:
    """An autoencoder of normal examples, whose score is the squared error ‖x − x̂‖².

    key: of the catalog.  params: of the model.  steps: of training.
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
        epochs = min(10_000, math.ceil(self.steps / per_epoch))  # a plan has at most so many
        plan = {"lr": 2e-3, **which.plan, "epochs": epochs, "batch": self.batch}
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
    """PCA of normal examples with `code` components, whose score is the squared error ‖x − x̂‖²."""

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
    """A detector of scikit-learn on at most COMPONENTS principal components.

    make: makes the detector, anew for each fit.
    """

    COMPONENTS = 50  # fewer would hide anomalies, more would only take time
    MOST = 3000  # examples: the time of a kernel machine grows with their square

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
    """All detectors that are compared, by name: autoencoders with `code` units, and baselines."""
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    images = len(problem.shape) == 3
    width = 128 if images else 64
    dense = {"code": code, "net": "dense", "width": width}
    conv = {"code": code, "net": "conv", "width": width}
    vae = {"code": code, "width": width, "likelihood": "gaussian", "c": 20.0}
    return {
        DENSE: Reconstruction(AUTOENCODER, dense, steps, seed),
        **({CONVOLUTIONAL: Reconstruction(AUTOENCODER, conv, steps, seed)} if images else {}),
        VAE: Reconstruction(VARIATIONAL, vae, steps, seed),
        PRINCIPAL: Principal(code),
        FOREST: Library(lambda: IsolationForest(n_estimators=200, random_state=seed)),
        ONE_CLASS: Library(lambda: OneClassSVM(gamma="scale", nu=0.05)),
    }


# --- judging ----------------------------------------------------------------------------------------------------------


def threshold(normal: np.ndarray, quantile: float) -> float:
    """The score above which an example is called an anomaly: this quantile of the scores of normal examples.

    normal: (n,) scores of normal examples that nothing was fitted to.  quantile: from 0 to 1; on average a share of
    1 − quantile of all normal examples are false alarms.
    """
    return float(np.quantile(normal, quantile))


class Rates(NamedTuple):
    """How many examples lie on each side of a threshold.

    hits, misses: anomalies above and below.  alarms, passed: normal examples above and below.
    """

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
    """scores: (n,).  anomalous: (n,) bool.  at: the threshold, above which an example is called an anomaly."""
    above = scores > at
    return Rates(
        int((above & anomalous).sum()),
        int((~above & anomalous).sum()),
        int((above & ~anomalous).sum()),
        int((~above & ~anomalous).sum()),
    )


def areas(scores: np.ndarray, anomalous: np.ndarray | None) -> dict[str, float]:
    """{"auroc", "ap"} of scores (n,) of examples that are `anomalous` (n,) or not.

    auroc: the chance that an anomaly scores above a normal example, ½ by luck.  ap: average precision, by luck the
    share of anomalies.  Source: scikit-learn.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {"auroc": float(roc_auc_score(anomalous, scores)), "ap": float(average_precision_score(anomalous, scores))}


# --- the study --------------------------------------------------------------------------------------------------------


def listed(value: Any) -> Any:
    """ "2,4" → ["2", "4"]: a list as the command line gives it."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseModel):
    """What is normal, and how it is learnt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field(
        default="digits", description="beats, cancer, table (with a path), or a data set of labelled images"
    )
    left_out: int = Field(default=0, ge=0, le=999, description="the class that is not learnt, of labelled images")
    path: str | None = Field(default=None, description="of a table, or of your own images")
    label: str = Field(default="", description="the column of a table that says what is normal")
    normal: str = Field(default="", description="what it says of normal lines")
    code: int = Field(default=16, ge=1, le=256, description="number of latent dimensions")
    steps: int = Field(default=600, ge=10, le=20_000, description="of each training")
    seeds: int = Field(default=3, ge=1, le=10)
    codes: Annotated[tuple[int, ...], BeforeValidator(listed)] = Field(
        default=(), description="code sizes of the dense autoencoder: these alone are compared then"
    )

    _path = path_with("data", "table", "images")


PROBLEMS: dict[str, Callable[[Settings, int], Problem]] = {
    "beats": lambda settings, seed: beats(seed),
    "cancer": lambda settings, seed: cancer(seed),
    "table": lambda settings, seed: table(tables.opened(settings.path), settings.label, settings.normal, seed),
}
"""What `Settings.data` can name besides a data set of labelled images."""


def problem(settings: Settings, seed: int = 0) -> Problem:
    """The examples that the settings describe; DataError for data that do not exist."""
    if settings.data in PROBLEMS:
        return PROBLEMS[settings.data](settings, seed)
    return left_out(DataSpec(name=settings.data, path=settings.path), settings.left_out, seed)


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """All detectors over seeds of model and split; of the first seed also scores, examples and the threshold.

    "methods": name → {"auroc", "ap": lists over seeds; "seconds"; "scores" of the test, and "held": QUANTILES quantiles
    of the scores of the normal examples that set the threshold, both of the first seed}.  "shown": sort → positions in
    the test; "reconstructions": their x̂ by the dense autoencoder, uint8 in base64, in that order.
    With `settings.codes` instead: {"codes": [{"code", "auroc": a list over seeds}]} of the dense autoencoder.
    """
    if settings.codes:
        return _by_code(settings, progress)
    result: dict[str, Any] = {}
    methods: dict[str, dict[str, Any]] = {}
    for seed in range(settings.seeds):
        task = problem(settings, seed)
        compared = detectors(task, settings.code, settings.steps, seed)
        for place, (name, detector) in enumerate(compared.items()):
            progress((seed + place / len(compared)) / settings.seeds, f"{name}, seed {seed}")
            start = time.perf_counter()
            detector.fit(task.fitted)
            seconds, scores = time.perf_counter() - start, detector.score(task.test)
            method = methods.setdefault(name, {"auroc": [], "ap": [], "seconds": seconds})
            if _has_both(task):
                for measure, value in areas(scores, task.anomalous).items():
                    method[measure].append(value)
            if seed == 0:
                held = np.quantile(detector.score(task.held), np.linspace(0, 1, QUANTILES))
                method |= {"scores": [float(f"{score:.4g}") for score in scores], "held": held.tolist()}
                if name == DENSE and isinstance(detector, Reconstruction):
                    result |= _examples_shown(task, scores, detector)
        if seed == 0:
            result |= _facts(task)
    return result | {"methods": methods}


def _facts(task: Problem) -> dict[str, Any]:
    """What a study says of its examples."""
    return {
        "title": task.title,
        "kinds": list(task.kinds),
        "kind": task.kind.tolist(),
        "anomalous": None if task.anomalous is None else task.anomalous.astype(int).tolist(),
        "fitted": len(task.fitted),
        "held": len(task.held),
        "names": list(task.names),
        "shape": list(task.shape),
    }


def _has_both(task: Problem) -> bool:
    """Whether the test is known to have anomalies as well as normal examples."""
    return task.anomalous is not None and 0 < task.anomalous.sum() < len(task.anomalous)


def _by_code(settings: Settings, progress: Progress) -> dict[str, Any]:
    """AUROC of the dense autoencoder for each size of the code in the settings."""
    auroc: dict[int, list[float]] = {code: [] for code in settings.codes}
    for seed in range(settings.seeds):
        task = problem(settings, seed)
        if not _has_both(task):
            raise DataError("Nobody knows which of these examples are anomalies: there is nothing to compare by.")
        for place, code in enumerate(settings.codes):
            progress((seed + place / len(auroc)) / settings.seeds, f"a code of {code}, seed {seed}")
            detector = detectors(task, code, settings.steps, seed)[DENSE].fit(task.fitted)
            auroc[code].append(areas(detector.score(task.test), task.anomalous)["auroc"])
    return {"codes": [{"code": code, "auroc": values} for code, values in auroc.items()]}


def _examples_shown(task: Problem, scores: np.ndarray, detector: Reconstruction) -> dict[str, Any]:
    """The strangest examples, and those that a threshold would get wrong, with their reconstructions."""
    order = np.argsort(-scores)
    if task.anomalous is None:
        sorts = {"strangest": order[:SHOWN], "most usual": order[::-1][:SHOWN]}
    else:
        bad = task.anomalous[order]
        sorts = {
            "strangest": order[:SHOWN],
            "anomalies found": order[bad][:SHOWN],
            "anomalies that come back well": order[::-1][bad[::-1]][:SHOWN],
            "normal, but come back badly": order[~bad][:SHOWN],
        }
    ids = np.concatenate(list(sorts.values()))
    x_hat = np.clip(np.rint(255 * detector.reconstruct(task.test[ids])), 0, 255).astype(np.uint8)
    return {
        "shown": {name: positions.tolist() for name, positions in sorts.items()},
        "reconstructions": base64.b64encode(x_hat.tobytes()).decode(),
    }


def rows(study: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each detector, or for each size of code."""
    if "codes" in study:
        return [{"units of the code": str(row["code"]), "AUROC": over_seeds(row["auroc"])} for row in study["codes"]]
    return [
        {
            "detector": name,
            "AUROC": over_seeds(method["auroc"]),
            "average precision": over_seeds(method["ap"]),
            "seconds to fit": f"{method['seconds']:.1f}",
        }
        for name, method in study["methods"].items()
    ]


def reconstructions(study: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """The reconstructions of a study's shown examples: position in the test → x̂ in [0, 1]."""
    raw = np.frombuffer(base64.b64decode(study["reconstructions"]), np.uint8).reshape(-1, *study["shape"])
    ids = [number for positions in study["shown"].values() for number in positions]
    return {number: x / np.float32(255) for number, x in zip(ids, raw, strict=True)}


def error_map(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Squared error of the pixels of images x, x_hat (n, C, H, W): (n, H, W) from 0 to 1, 1 for the 99.5 % quantile."""
    error = np.square(x - x_hat).mean(1)
    return np.clip(error / np.quantile(error, 0.995), 0, 1)
