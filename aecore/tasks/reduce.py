"""Dimensionality reduction (§4.6): codes of two numbers beside PCA, LDA, Isomap, UMAP and t-SNE on the same points.

>>> from aecore.tasks import reduce
>>> x = ...  # (n, V) examples as rows
>>> found = reduce.fit("isomap", x)
>>> found.points, reduce.scores(x, found.points)["trustworthiness"]
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from .. import inference
from ..catalog import entry, seeded_build
from ..data import load
from ..data.base import Data, DataSpec, Split, TensorSplit
from ..data.files import table
from ..errors import DataError, RunError
from ..explore import examples
from ..measure import pca
from ..models.base import Model
from ..nn import quantize
from ..runs import sweeps
from ..runs.library import find
from ..training.loop import Training
from ..training.plan import Plan
from . import Progress, path_with

METHODS = {"pca": "PCA", "lda": "LDA", "isomap": "Isomap", "umap": "UMAP", "tsne": "t-SNE"}
WIDTH = 80  # of the autoencoder that sees the placed examples alone
NEIGHBOURS = 12  # of trustworthiness, continuity, Isomap and k-NN
FEWEST = 2 * NEIGHBOURS + 2  # examples: trustworthiness is not defined for fewer
EXAMPLES = {"bottleneck-2": "autoencoder, 60,000 images", "vae-2d": "VAE, 60,000 images"}
"""Trained examples with a code of two numbers, and what to call them: they saw all of MNIST."""
SWEEP = "bottleneck"


class Reduced(NamedTuple):
    """points: (n, 2).  seconds: for learning them.  project: (m, V) → (m, 2) for new examples, None where it cannot.

    restore: (m, 2) → (m, V), None where no way back is defined.
    """

    points: np.ndarray
    seconds: float
    project: Callable[[np.ndarray], np.ndarray] | None
    restore: Callable[[np.ndarray], np.ndarray] | None


def fit(method: str, x: np.ndarray, labels: np.ndarray | None = None, seed: int = 0) -> Reduced:
    """Rows x (n, V) on a plane by one of METHODS.

    labels: (n,), for LDA, which is supervised: it is told the classes, and all others are not.
    Raises DataError for an unknown method, fewer than NEIGHBOURS + 2 rows, or LDA without three classes.

    Sources: PCA, Pearson (1901); LDA, Fisher (1936); Isomap, Tenenbaum et al. (2000),
    doi:10.1126/science.290.5500.2319; UMAP, McInnes et al. (2018), arXiv:1802.03426; t-SNE, van der Maaten & Hinton
    (2008), JMLR 9: scikit-learn and umap-learn, with their defaults but for Isomap's neighbours.
    t-SNE places the given rows only.  Departures: UMAP's approximate way back is left out, since it takes minutes.
    """
    x = enough(np.asarray(x, np.float32))
    if method not in METHODS:
        raise DataError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    if method == "lda" and (labels is None or len(np.unique(labels)) < 3):
        raise DataError("LDA needs labels of three classes or more. Choose data with classes, or another method.")
    model = _made(method, seed, len(x))
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = model.fit(x, labels).transform(x) if method == "lda" else model.fit_transform(x)
    seconds = time.perf_counter() - began
    return Reduced(
        np.asarray(points, np.float32),
        seconds,
        getattr(model, "transform", None),
        model.inverse_transform if method == "pca" else None,
    )


def enough(x: np.ndarray) -> np.ndarray:
    """Rows x (n, V), once there are enough of them, and enough in them, to be reduced."""
    if len(x) < FEWEST:
        raise DataError(f"{len(x)} examples are too few: give at least {FEWEST}.")
    if x.shape[1] < 2:
        raise DataError("There is one number in each example: nothing is to be reduced. Give two columns or more.")
    return x


def _made(method: str, seed: int, n: int) -> Any:
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed)
    if method == "lda":
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        return LinearDiscriminantAnalysis(n_components=2)
    if method == "isomap":
        from sklearn.manifold import Isomap

        return Isomap(n_neighbors=NEIGHBOURS, n_components=2)
    if method == "tsne":
        from sklearn.manifold import TSNE

        return TSNE(init="pca", random_state=seed, perplexity=min(30.0, (n - 1) / 3))
    from umap import UMAP

    return UMAP(random_state=seed, n_jobs=1)


def begun(shape: tuple[int, ...], seed: int = 0, width: int = WIDTH) -> Model:
    """A deep autoencoder with a code of two, before any training."""
    return seeded_build(entry("deep"), shape, {"code": 2, "net": "dense", "width": width}, seed)


def trained(data: Data, ids: np.ndarray, epochs: int, seed: int = 0, width: int = WIDTH) -> tuple[Model, float]:
    """(model, seconds): the autoencoder of `begun`, after it saw these training examples alone."""
    given = TensorSplit(inference.examples(data.train, ids))
    few = Data(data.spec, data.title, data.shape, given, data.test, data.source)
    began = time.perf_counter()
    model = begun(data.shape, seed, width)
    plan = Plan(epochs=epochs, batch=min(128, len(ids)), lr=2e-3, seed=seed, precision="fp32", held_out=1)
    for _ in Training(model, few, plan, "cpu"):
        pass
    return model.eval(), time.perf_counter() - began


def trustworthiness(x: np.ndarray, points: np.ndarray) -> float:
    """From 0 to 1: are those who are neighbours on the plane neighbours in x, too?

    1 − 2 / (n k (2n − 3k − 1)) Σ_i Σ_{j ∈ U_i} (r(i, j) − k), k = NEIGHBOURS, U_i the k nearest of i on the plane that
    are not among its k nearest in x, r(i, j) the rank of j by its distance to i in x.
    x: (n, V).  points: (n, 2).  Source: Venna & Kaski (2001), doi:10.1007/3-540-44668-0_68; scikit-learn.
    """
    from sklearn.manifold import trustworthiness as of_sklearn

    return float(of_sklearn(x, points, n_neighbors=NEIGHBOURS))


def continuity(x: np.ndarray, points: np.ndarray) -> float:
    """From 0 to 1: are neighbours in x still neighbours on the plane? Trustworthiness with the spaces exchanged."""
    return trustworthiness(points, x)


def k_nn(
    points: np.ndarray, labels: np.ndarray, new: np.ndarray | None = None, truth: np.ndarray | None = None
) -> float:
    """The share of examples whose class is the commonest of the NEIGHBOURS nearest on the plane.

    points: (n, 2), labels: (n,). Without new ones each example is left out in turn; new: (m, 2), truth: (m,).
    """
    from sklearn.neighbors import KNeighborsClassifier

    if new is not None:
        return float(KNeighborsClassifier(NEIGHBOURS).fit(points, labels).score(new, truth))
    nearest = KNeighborsClassifier(NEIGHBOURS).fit(points, labels).kneighbors(return_distance=False)  # not itself
    votes = np.apply_along_axis(np.bincount, 1, labels[nearest], minlength=int(labels.max()) + 1)
    return float((votes.argmax(1) == labels).mean())


def scores(x: np.ndarray, points: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
    """{"trustworthiness", "continuity", and "k_nn" where there are labels} of rows x (n, V) at points (n, 2)."""
    found = {"trustworthiness": trustworthiness(x, points), "continuity": continuity(x, points)}
    return found if labels is None else {**found, "k_nn": k_nn(points, labels)}


# --- the study --------------------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """What is placed on a plane, how many of it, and from which seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Literal["digits", "table"] = Field("digits", description="table: a CSV of yours")
    path: str | None = Field(None, description="of a table")
    label: str = Field("", description="the column of a table that says each line's class, if any")
    n: int = Field(1500, ge=FEWEST, le=3000, description="training examples that are placed, as far as there are")
    new: int = Field(400, ge=5, le=2000, description="held-out examples that are projected afterwards")
    epochs: int = Field(100, ge=1, le=1000, description="of the autoencoder that sees the placed images alone")
    seed: int = Field(0, ge=0, le=10_000, description="of the choice of images and of every method")

    _path = path_with("data", "table")


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "new", "seed", "epochs", "images", "labels", "new_images", "new_labels", "rows", "sizes", "weights", …}.

    A row has "method", "name", "run" (id of a trained example, or ""), "points" (2, n), "projected" (2, m) or None,
    "seconds", "new_seconds", "restored" (squared error per pixel of the placed images, of the new ones) or None, and
    the figures of `scores`, with "new_k_nn" where there are classes. sizes: error against code size, see `sizes`.
    images, new_images: ids in the training half and in the held-out half of the data.
    weights: of the autoencoder that saw the placed examples alone, for `restore`.
    """
    data = load(DataSpec()) if settings.data == "digits" else table.load(settings.path, settings.label)
    ids = examples.choose(data.train, settings.n, settings.seed)
    fresh = examples.choose(data.test, settings.new, settings.seed)
    x, new = (
        inference.examples(half, some).flatten(1).numpy() for half, some in ((data.train, ids), (data.test, fresh))
    )
    enough(x)
    labels, truth = (
        None if half.labels is None else half.labels[some] for half, some in ((data.train, ids), (data.test, fresh))
    )
    rows: list[dict[str, Any]] = []

    def add(method: str, name: str, found: Reduced, run: str = "") -> None:
        row: dict[str, Any] = {
            "method": method,
            "name": name,
            "run": run,
            "seconds": found.seconds,
            "projected": None,
            "new_seconds": None,
            "new_k_nn": None,
            "restored": None,
        }
        row |= scores(x, found.points, labels)
        if found.project:
            began = time.perf_counter()
            there = np.asarray(found.project(new), np.float32)
            row |= {"new_seconds": time.perf_counter() - began, "projected": _rounded(there, found.points)}
            if labels is not None:
                row["new_k_nn"] = k_nn(found.points, labels, there, truth)
            if found.restore:
                row["restored"] = [
                    float(np.square(given - found.restore(at)).mean())
                    for given, at in ((x, found.points), (new, there))
                ]
        rows.append({**row, "points": _rounded(found.points, found.points)})

    progress(0.02, f"An autoencoder on the {len(ids):,} examples")
    model, seconds = trained(data, ids, settings.epochs, settings.seed)
    add("ae", "autoencoder", _of(model, data.train, ids, seconds))
    digits = settings.data == "digits"
    for place, (identity, name) in enumerate(EXAMPLES.items() if digits else ()):
        progress(0.3 + 0.05 * place, name)
        try:
            run = sweeps.sweep(SWEEP).runs[1] if identity == "bottleneck-2" else find(identity)
        except RunError:
            continue
        took = (run.info.ended or 0.0) - (run.info.started or 0.0)
        add("ae", name, _of(run.model(), data.train, ids, took), run.info.id)
    for place, (method, name) in enumerate(METHODS.items()):
        progress(0.4 + 0.1 * place, name)
        if method == "lda" and len(np.unique(labels) if labels is not None else ()) < 3:
            continue  # it has no plane for fewer classes
        add(method, name, fit(method, x, labels, settings.seed))
    progress(0.95, "Error against the size of the code")
    return {
        "n": len(ids),
        "new": len(fresh),
        "seed": settings.seed,
        "epochs": settings.epochs,
        "images": ids.tolist(),
        "labels": None if labels is None else labels.tolist(),
        "new_images": fresh.tolist(),
        "new_labels": None if truth is None else truth.tolist(),
        "rows": rows,
        "sizes": sizes(data) if digits else [],
        "title": data.title,
        "classes": list(data.classes or ()),
        "weights": quantize.to_text(model.state_dict()),
    }


def restore(found: Mapping[str, Any], row: Mapping[str, Any], data: Data, points: np.ndarray) -> np.ndarray | None:
    """Examples (m, *shape) from places (m, 2) on the plane of one row of a study; None where there is no way back.

    data: those of the study, to which PCA is fitted again.
    """
    if row["run"]:
        return inference.decode(find(row["run"]).model(), points)
    if row["method"] == "ae":
        model = begun(data.shape, found["seed"])
        model.load_state_dict(quantize.from_text(found["weights"]))
        return inference.decode(model.eval().requires_grad_(False), points)
    if row["method"] == "pca":
        x = inference.examples(data.train, np.array(found["images"])).flatten(1).numpy()
        back = fit("pca", x, seed=found["seed"]).restore
        assert back is not None
        return back(points).reshape(-1, *data.shape).astype(np.float32)
    return None


def sizes(data: Data) -> list[dict[str, float]]:
    """[{"size", "deep", "pca"}]: squared error per pixel of 1,000 held-out images, by the size of the code.

    deep: the trained examples of the sweep SWEEP, one seed.  pca: fitted to the bundled training images.
    """
    try:
        found = sweeps.sweep(SWEEP)
    except RunError:
        return []
    ids = inference.first(data.test, 1000)
    x = inference.examples(data.test, ids).numpy()
    straight = pca.principal(data, int(max(found.values)))
    return [
        {
            "size": int(size),
            "deep": float(np.square(x - inference.autoencode(run.model(), data.test, ids)).mean()),
            "pca": float(np.square(x - straight.reconstruct(x, int(size))).mean()),
        }
        for size, run in zip(found.values, found.runs, strict=True)
    ]


def _of(model: Model, split: Split, ids: np.ndarray, seconds: float) -> Reduced:
    """A model's codes as the other methods give theirs."""

    def project(rows: np.ndarray) -> np.ndarray:
        given = TensorSplit(torch.from_numpy(np.ascontiguousarray(rows, np.float32)).reshape(len(rows), *model.shape))
        return inference.encode(model, given, inference.first(given))

    return Reduced(
        inference.encode(model, split, ids),
        seconds,
        project,
        lambda points: inference.decode(model, points).reshape(len(points), -1),
    )


def _rounded(points: np.ndarray, like: np.ndarray) -> list[list[float]]:
    """Points with three digits of the spread of `like`, as [all x, all y]: small in a file."""
    size = float(np.abs(like).max()) or 1.0
    return np.round(points.astype(np.float64), int(np.clip(3 - np.ceil(np.log10(size)), 0, 12))).T.tolist()


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each method."""
    measures = ("trustworthiness", "continuity", "k_nn", "new_k_nn", "seconds")
    return [
        {"method": row["name"]} | {name: "" if row.get(name) is None else f"{row[name]:.3f}" for name in measures}
        for row in found["rows"]
    ]
