"""Dimensionality reduction (§4.6): codes of two numbers beside PCA, LDA, Isomap, UMAP and t-SNE on the same points.

>>> from aecore.tasks import reduce
>>> x = ...  # (n, V) examples as rows
>>> reduced = reduce.fit("isomap", x)
>>> reduced.points, reduce.scores(x, reduced.points)["trustworthiness"]
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

AUTOENCODER = "deep"
"""Catalog key of the autoencoder that is trained on the placed examples alone."""
EXAMPLES = {"bottleneck-2": "autoencoder, 60,000 images", "vae-2d": "VAE, 60,000 images"}
"""Trained examples with a code of two numbers, which saw all of MNIST → what to call them."""
SWEEP = "bottleneck"
"""The trained sweep over sizes of the code whose errors are compared with those of PCA."""
DATA = DataSpec()
"""The data that the trained examples belong to."""

ERRORS = {"autoencoder": "deep", "PCA": "pca"}
"""What is compared by size of the code → the name of its column in a study's `sizes`."""

METHODS = {"pca": "PCA", "lda": "LDA", "isomap": "Isomap", "umap": "UMAP", "tsne": "t-SNE"}
WIDTH = 80  # of the autoencoder that sees the placed examples alone
NEIGHBOURS = 12  # of trustworthiness, continuity, Isomap and k-NN
FEWEST = 2 * NEIGHBOURS + 2  # examples: trustworthiness is not defined for fewer


class Reduced(NamedTuple):
    """Examples on a plane.

    points: (n, 2).  seconds: for learning them.  project: new examples (m, V) → (m, 2), or None if that is impossible.
    restore: (m, 2) → examples (m, V), or None if no way back is defined.
    """

    points: np.ndarray
    seconds: float
    project: Callable[[np.ndarray], np.ndarray] | None
    restore: Callable[[np.ndarray], np.ndarray] | None


def fit(method: str, x: np.ndarray, labels: np.ndarray | None = None, seed: int = 0) -> Reduced:
    """Rows x (n, V) on a plane by one of METHODS.

    labels: (n,), for LDA alone, which is supervised.
    Raises DataError for an unknown method, fewer than FEWEST rows, or LDA without three classes.

    Sources: PCA, Pearson (1901); LDA, Fisher (1936); Isomap, Tenenbaum et al. (2000),
    doi:10.1126/science.290.5500.2319; UMAP, McInnes et al. (2018), arXiv:1802.03426; t-SNE, van der Maaten & Hinton
    (2008), JMLR 9: scikit-learn and umap-learn, with their defaults but for Isomap's neighbours.
    t-SNE places the given rows only.  Departures: the approximate way back of UMAP is left out: it takes minutes.
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
    """The rows x (n, V) themselves; DataError if there are fewer than FEWEST of them, or fewer than two columns."""
    if len(x) < FEWEST:
        raise DataError(f"{len(x)} examples are too few: give at least {FEWEST}.")
    if x.shape[1] < 2:
        raise DataError("There is one number in each example: nothing is to be reduced. Give two columns or more.")
    return x


def _made(method: str, seed: int, n: int) -> Any:
    """The method for n rows, before it is fitted: an object of scikit-learn or umap-learn."""
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
    """The autoencoder with a code of two numbers, before any training."""
    return seeded_build(entry(AUTOENCODER), shape, {"code": 2, "net": "dense", "width": width}, seed)


def trained(data: Data, ids: np.ndarray, epochs: int, seed: int = 0, width: int = WIDTH) -> tuple[Model, float]:
    """The autoencoder of `begun` after training on these training examples alone, and the seconds that it took."""
    chosen = TensorSplit(inference.examples(data.train, ids))
    few = Data(data.spec, data.title, data.shape, chosen, data.test, data.source)
    began = time.perf_counter()
    model = begun(data.shape, seed, width)
    plan = Plan(epochs=epochs, batch=min(128, len(ids)), lr=2e-3, seed=seed, precision="fp32", held_out=1)
    for _ in Training(model, few, plan, "cpu"):
        pass
    return model.eval(), time.perf_counter() - began


def trustworthiness(x: np.ndarray, points: np.ndarray) -> float:
    """Whether neighbours on the plane are neighbours in x too, from 0 to 1.

    1 − 2 / (n k (2n − 3k − 1)) Σ_i Σ_{j ∈ U_i} (r(i, j) − k) with k = NEIGHBOURS. U_i are those of the k nearest
    neighbours of i on the plane that are not among its k nearest in x; r(i, j) is the rank of j by distance to i in x.
    x: (n, V).  points: (n, 2).  Source: Venna & Kaski (2001), doi:10.1007/3-540-44668-0_68; scikit-learn.
    """
    from sklearn.manifold import trustworthiness as of_sklearn

    return float(of_sklearn(x, points, n_neighbors=NEIGHBOURS))


def continuity(x: np.ndarray, points: np.ndarray) -> float:
    """Whether neighbours in x are still neighbours on the plane, from 0 to 1: trustworthiness with exchanged spaces."""
    return trustworthiness(points, x)


def k_nn(
    points: np.ndarray, labels: np.ndarray, new: np.ndarray | None = None, truth: np.ndarray | None = None
) -> float:
    """The share of examples whose class is the most frequent one among the NEIGHBOURS nearest points (n, 2).

    labels: (n,) of the points.  new: (m, 2) examples to classify, with classes truth (m,). Without them each point is
    classified by the other ones.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if new is not None and truth is not None:
        return float(KNeighborsClassifier(NEIGHBOURS).fit(points, labels).score(new, truth))
    nearest = KNeighborsClassifier(NEIGHBOURS).fit(points, labels).kneighbors(return_distance=False)
    votes = np.apply_along_axis(np.bincount, 1, labels[nearest], minlength=int(labels.max()) + 1)
    return float((votes.argmax(1) == labels).mean())


def scores(x: np.ndarray, points: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
    """{"trustworthiness", "continuity", and "k_nn" where there are labels} of rows x (n, V) at points (n, 2)."""
    values = {"trustworthiness": trustworthiness(x, points), "continuity": continuity(x, points)}
    return values if labels is None else {**values, "k_nn": k_nn(points, labels)}


# --- the study --------------------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """Which examples are placed on a plane, how many, and with which seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Literal["digits", "table"] = Field(default="digits", description="table: a CSV of yours")
    path: str | None = Field(default=None, description="of a table")
    label: str = Field(default="", description="the column of a table that says each line's class, if any")
    n: int = Field(
        default=1500, ge=FEWEST, le=3000, description="training examples that are placed, as far as there are"
    )
    new: int = Field(default=400, ge=5, le=2000, description="held-out examples that are projected afterwards")
    epochs: int = Field(default=100, ge=1, le=1000, description="of the autoencoder that sees the placed images alone")
    seed: int = Field(default=0, ge=0, le=10_000, description="of the choice of images and of every method")

    _path = path_with("data", "table")


class Placed(NamedTuple):
    """Examples x (n, V) that are placed and new ones (m, V) that are projected, with labels (n,), (m,) or None."""

    x: np.ndarray
    labels: np.ndarray | None
    new: np.ndarray
    new_labels: np.ndarray | None


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "new", "seed", "epochs", "images", "labels", "new_images", "new_labels", "rows", "sizes", "weights", …}.

    A row has "method", "name", "run" (id of a trained example, or ""), "points" (2, n), "projected" (2, m) or None,
    "seconds", "new_seconds", "restored" (squared error per pixel of the placed images, of the new ones) or None, and
    the figures of `scores`, with "new_k_nn" if there are classes. sizes: error against code size, see `sizes`.
    images, new_images: ids in the training split and in the held-out split of the data.
    weights: of the autoencoder that saw the placed examples alone, for `restore`.
    """
    digits = settings.data != "table"
    data = load(DATA) if digits else table.load(settings.path, settings.label)
    ids = examples.choose(data.train, settings.n, settings.seed)
    new_ids = examples.choose(data.test, settings.new, settings.seed)
    placed = Placed(*_rows_of(data.train, ids), *_rows_of(data.test, new_ids))
    enough(placed.x)
    progress(0.02, f"An autoencoder on the {len(ids):,} examples")
    model, seconds = trained(data, ids, settings.epochs, settings.seed)
    rows = [_row("ae", "autoencoder", _by_model(model, data.train, ids, seconds), placed)]
    for place, (identity, name) in enumerate(EXAMPLES.items() if digits else ()):
        progress(0.3 + 0.05 * place, name)
        try:
            run = find(identity)
        except RunError:
            continue
        seconds = (run.info.ended or 0.0) - (run.info.started or 0.0)
        rows.append(_row("ae", name, _by_model(run.model(), data.train, ids, seconds), placed, run.info.id))
    for place, (method, name) in enumerate(METHODS.items()):
        progress(0.4 + 0.1 * place, name)
        if method == "lda" and len(np.unique(placed.labels) if placed.labels is not None else ()) < 3:
            continue  # it has no plane for fewer classes
        rows.append(_row(method, name, fit(method, placed.x, placed.labels, settings.seed), placed))
    progress(0.95, "Error against the size of the code")
    return {
        "n": len(ids),
        "new": len(new_ids),
        "seed": settings.seed,
        "epochs": settings.epochs,
        "images": ids.tolist(),
        "labels": None if placed.labels is None else placed.labels.tolist(),
        "new_images": new_ids.tolist(),
        "new_labels": None if placed.new_labels is None else placed.new_labels.tolist(),
        "rows": rows,
        "sizes": sizes(data) if digits else [],
        "title": data.title,
        "classes": list(data.classes or ()),
        "weights": quantize.to_text(model.state_dict()),
    }


def _rows_of(split: Split, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Examples of a split as rows (n, V), and their labels (n,) or None."""
    x = inference.examples(split, ids).flatten(1).numpy()
    return x, None if split.labels is None else split.labels[ids]


def _row(method: str, name: str, reduced: Reduced, placed: Placed, run: str = "") -> dict[str, Any]:
    """One row of the study: what a method keeps, projects and restores."""
    row: dict[str, Any] = {
        "method": method,
        "name": name,
        "run": run,
        "seconds": reduced.seconds,
        "projected": None,
        "new_seconds": None,
        "new_k_nn": None,
        "restored": None,
        **scores(placed.x, reduced.points, placed.labels),
    }
    if reduced.project:
        began = time.perf_counter()
        new_points = np.asarray(reduced.project(placed.new), np.float32)
        row |= {
            "new_seconds": time.perf_counter() - began,
            "projected": _rounded(new_points, reduced.points),
        }
        if placed.labels is not None:
            row["new_k_nn"] = k_nn(reduced.points, placed.labels, new_points, placed.new_labels)
        if reduced.restore:
            row["restored"] = [
                float(np.square(x - reduced.restore(points)).mean())
                for x, points in ((placed.x, reduced.points), (placed.new, new_points))
            ]
    return {**row, "points": _rounded(reduced.points, reduced.points)}


def restore(study: Mapping[str, Any], row: Mapping[str, Any], data: Data, points: np.ndarray) -> np.ndarray | None:
    """Examples (m, *shape) from points (m, 2) on the plane of one row of a study; None if there is no way back.

    data: those of the study, to which PCA is fitted again.
    """
    if row["run"]:
        return inference.decode(find(row["run"]).model(), points)
    if row["method"] == "ae":
        model = begun(data.shape, study["seed"])
        model.load_state_dict(quantize.from_text(study["weights"]))
        return inference.decode(model.eval().requires_grad_(False), points)
    if row["method"] == "pca":
        x = inference.examples(data.train, np.array(study["images"])).flatten(1).numpy()
        back = fit("pca", x, seed=study["seed"]).restore
        assert back is not None
        return back(points).reshape(-1, *data.shape).astype(np.float32)
    return None


def sizes(data: Data) -> list[dict[str, float]]:
    """Squared error per pixel of 1,000 held-out images by the "size" of the code: [{"size", columns of ERRORS}].

    The autoencoders are the trained examples of the sweep SWEEP, with one seed. PCA is fitted to the bundled training
    images.
    """
    try:
        sweep = sweeps.sweep(SWEEP)
    except RunError:
        return []
    ids = inference.first(data.test, 1000)
    x = inference.examples(data.test, ids).numpy()
    components = pca.principal(data, int(max(sweep.values)))
    rows = []
    for size, run in zip(sweep.values, sweep.runs, strict=True):
        x_hats = {
            "autoencoder": inference.autoencode(run.model(), data.test, ids),
            "PCA": components.reconstruct(x, int(size)),
        }
        errors = {ERRORS[name]: float(np.square(x - x_hat).mean()) for name, x_hat in x_hats.items()}
        rows.append({"size": int(size), **errors})
    return rows


def _by_model(model: Model, split: Split, ids: np.ndarray, seconds: float) -> Reduced:
    """The codes of a model in the form that the other methods have."""

    def project(rows: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).reshape(len(rows), *model.shape)
        new = TensorSplit(x)
        return inference.encode(model, new, inference.first(new))

    return Reduced(
        inference.encode(model, split, ids),
        seconds,
        project,
        lambda points: inference.decode(model, points).reshape(len(points), -1),
    )


def _rounded(points: np.ndarray, like: np.ndarray) -> list[list[float]]:
    """Points (n, 2) as [all x, all y], rounded to three digits of the extent of `like`, which keeps files small."""
    size = float(np.abs(like).max()) or 1.0
    return np.round(points.astype(np.float64), int(np.clip(3 - np.ceil(np.log10(size)), 0, 12))).T.tolist()


def rows(study: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each method."""
    measures = ("trustworthiness", "continuity", "k_nn", "new_k_nn", "seconds")
    return [
        {"method": row["name"]} | {name: "" if row.get(name) is None else f"{row[name]:.3f}" for name in measures}
        for row in study["rows"]
    ]
