"""Clusters without labels (§4.3): k-means on pixels, on PCA and on codes, and models whose codes form clusters.

>>> from aecore import inference
>>> from aecore.runs import library
>>> from aecore.tasks import cluster
>>> run = library.find("deep-16")
>>> test = run.data().test
>>> h = inference.encode(run.model(), test, inference.first(test))
>>> found = cluster.fit(h, 10)
>>> cluster.scores(h, found.assigned, test.labels)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .. import inference
from ..catalog import entry, seeded_build
from ..data import load
from ..data.base import Data, DataSpec, Split
from ..data.files import table
from ..errors import DataError, RunError
from ..measure import clustering, pca
from ..models.base import Model
from ..runs.folder import Run
from ..runs.library import find
from ..training.loop import Training
from ..training.plan import Plan
from . import Progress, over_seeds, path_with

RESTARTS = 10  # of k-means, from other starts; the tightest is kept
START_VALUES = 16_000_000  # numbers that are gone through in all starts together: fewer starts for large images
SCORED = 2000  # examples over which a silhouette is taken: it compares all pairs
COMPONENTS = 16  # of PCA, as many as the larger examples have units
EXAMPLES = ("linear-16", "deep-16", "vae-16", "vae-2d", "centroid-10", "dcec-10", "gmvae-10")
SMALL = DataSpec(name="digits", size=16, limit=4000)  # on which whole trainings are repeated
TABLE_STEPS = 600  # of the autoencoder of a table
BEFORE, ROUNDS = 15, 10  # epochs for reconstruction alone, then rounds with the clusters
DOTS = 400  # codes that are kept at every round
WEIGHTS = {"centroid": "lam", "dcec": "gamma"}
PUBLISHED = (
    ("k-means on pixels", 0.53, 0.53, "Xie et al. (2016), arXiv:1511.06335"),
    ("k-means on codes", None, 0.88, "the best of several papers"),
    ("DEC", 0.84, 0.91, "0.84 by Xie et al. (2016), arXiv:1511.06335; up to 0.91 in later papers"),
    ("VaDE", 0.94, 0.94, "Jiang et al. (2017), arXiv:1611.05148"),
)
"""Accuracies on MNIST as others published them: (what, lowest or None, highest, source). Nothing here is ours."""


class Clusters(NamedTuple):
    """assigned: (n,) number of each example's cluster.  centres: (K, D), NaN for one without members.

    distance: (n,) of each example to its centre, Euclidean, in units of the numbers that were clustered.
    """

    assigned: np.ndarray
    centres: np.ndarray
    distance: np.ndarray


def fit(h: np.ndarray, k: int, seed: int = 0) -> Clusters:
    """k-means: min Σ_i ‖h_i − μ_{c(i)}‖² over centres μ (k, D) and assignments c, from up to RESTARTS starts.

    h: (n, D) finite.  Raises DataError for fewer examples than clusters, or codes that are no numbers.
    Source: Lloyd (1982), doi:10.1109/TIT.1982.1056489; scikit-learn.
    """
    from sklearn.cluster import KMeans

    h = np.asarray(h, np.float32)
    if len(h) < k:
        raise DataError(f"{len(h)} examples cannot make {k} clusters. Ask for fewer clusters, or give more examples.")
    if not np.isfinite(h).all():
        raise DataError("The codes are no finite numbers: the training has diverged. Train again with a lower rate.")
    restarts = int(np.clip(START_VALUES // h.size, 1, RESTARTS))
    model = KMeans(k, n_init=restarts, random_state=seed).fit(h)
    return around(h, model.labels_.astype(np.int64), model.cluster_centers_)


def letter(cluster: int) -> str:
    """What a cluster is called: A, B, … Z, A2, … Letters, since the classes of digits are numbers."""
    return chr(65 + cluster % 26) + (str(cluster // 26 + 1) if cluster > 25 else "")


def predict(found: Clusters, h: np.ndarray) -> Clusters:
    """Other examples (n, D), each in the cluster whose centre is nearest."""
    there = np.flatnonzero(np.isfinite(found.centres).all(1))
    from scipy.spatial.distance import cdist

    return around(h, there[cdist(h, found.centres[there]).argmin(1)], found.centres)


def around(h: np.ndarray, assigned: np.ndarray, centres: np.ndarray) -> Clusters:
    """Clusters of these assignments and centres, with each example's distance."""
    return Clusters(assigned, np.asarray(centres, np.float32), np.linalg.norm(h - centres[assigned], axis=1))


def has_own(model: Model) -> bool:
    """Whether a model says itself in which cluster an example lies."""
    return hasattr(model, "assign")


def own(model: Model, split: Split, ids: np.ndarray) -> Clusters:
    """The clusters of a model that has its own, such as `centroid`, `dcec` and `gmvae`; their centres are mean codes.

    Raises DataError for another model.
    """
    if not has_own(model):
        raise DataError(f"{type(model).__name__} has no clusters of its own. Use k-means on its codes.")
    h = inference.encode(model, split, ids)
    assigned = inference.map_batches(model, split, ids, model.assign).astype(np.int64)  # type: ignore[arg-type]
    k = max(int(assigned.max(initial=0)) + 1, int(getattr(model, "centres", h[:0]).shape[0]))
    return around(h, assigned, means(h, assigned, k))


def means(h: np.ndarray, assigned: np.ndarray, k: int) -> np.ndarray:
    """(k, …) the mean of each cluster's examples h (n, …); NaN for a cluster without any."""
    found = np.full((k, *h.shape[1:]), np.nan, np.float32)
    for cluster in np.unique(assigned):
        found[cluster] = h[assigned == cluster].mean(0)
    return found


def represent(
    what: Literal["pixels", "pca", "codes"],
    data: Data,
    split: Split,
    ids: np.ndarray,
    model: Model | None = None,
    size: int = COMPONENTS,
) -> np.ndarray:
    """What is clustered, (n, D): all values of an example, its first principal components, or its code.

    size: how many components, found on the training half.  model: needed for codes.
    """
    if what == "codes":
        if model is None:
            raise DataError("Codes need a model. Choose an autoencoder, or cluster pixels.")
        return inference.encode(model, split, ids)
    x = inference.examples(split, ids).flatten(1).cpu().numpy()
    return x if what == "pixels" else pca.principal(data, size).codes(x, size)


def scores(h: np.ndarray, assigned: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float | None]:
    """{"accuracy", "nmi", "ari"} where there are labels (see `measure.clustering`), and "silhouette" always.

    silhouette: mean of (b − a) / max(a, b), a an example's mean distance to its own cluster, b to the nearest other
    one, from −1 to 1; it needs no labels. It is taken in the space that was clustered, over at most SCORED examples,
    so two spaces do not compare well. None where there is one cluster, or as many as examples.
    Source: Rousseeuw (1987), doi:10.1016/0377-0427(87)90125-7; scikit-learn.
    """
    from sklearn.metrics import silhouette_score

    some = np.random.default_rng(0).permutation(len(h))[:SCORED]
    kinds = len(np.unique(assigned[some]))
    tight = float(silhouette_score(h[some], assigned[some])) if 1 < kinds < len(some) else None
    return {**({} if labels is None else clustering.scores(assigned, labels)), "silhouette": tight}


def majority(assigned: np.ndarray, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(label, share), each (k,): the commonest label of each cluster, and which share of its examples has it.

    −1 and 0 for a cluster without examples.
    """
    counts = np.zeros((k, int(labels.max(initial=0)) + 1), np.int64)
    found = clustering.contingency(assigned, labels)
    counts[: len(found), : found.shape[1]] = found[:k]
    total = counts.sum(1)
    return np.where(total > 0, counts.argmax(1), -1), counts.max(1) / np.maximum(total, 1)


def members(found: Clusters, cluster: int, n: int, far: bool = False) -> np.ndarray:
    """Rows of the n examples of a cluster that lie nearest to its centre; with `far` those farthest from it."""
    rows = np.flatnonzero(found.assigned == cluster)
    order = np.argsort(found.distance[rows], kind="stable")
    return rows[order[::-1] if far else order][:n]


class Flat(NamedTuple):
    """A plane for codes. points: (n, 2).  origin: (D,), directions: (2, D): the mean code at a place (s, t) is about
    origin + s · directions[0] + t · directions[1].  axes: names.
    """

    points: np.ndarray
    origin: np.ndarray
    directions: np.ndarray
    axes: tuple[str, str]


def flat(h: np.ndarray, assigned: np.ndarray) -> Flat:
    """The plane in which clusters lie farthest apart, measured in their own widths: linear discriminant analysis.

    The way back is by least squares. Codes of two units are such a plane already, of one unit are a line in it; fewer
    than three clusters, or hardly more codes than clusters, get their principal plane.
    h: (n, D).  Source: Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x; scikit-learn.
    """
    h = np.asarray(h, np.float64)
    centre = h.mean(0)
    if h.shape[1] == 2:
        return Flat(h.astype(np.float32), np.zeros(2), np.eye(2), ("z1", "z2"))
    if h.shape[1] == 1:
        points = np.column_stack([h[:, 0], np.zeros(len(h))])
        return Flat(points.astype(np.float32), np.zeros(1), np.array([[1.0], [0.0]]), ("z1", ""))
    clusters = len(np.unique(assigned))
    if clusters < 3 or len(h) < 2 * clusters:
        directions = np.linalg.svd(h - centre, full_matrices=len(h) < 2)[2][:2]
        return Flat(((h - centre) @ directions.T).astype(np.float32), centre, directions, ("PC 1", "PC 2"))
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    points = LinearDiscriminantAnalysis(n_components=2).fit(h, assigned).transform(h)
    directions = np.linalg.lstsq(points, h - centre, rcond=None)[0]
    return Flat(points.astype(np.float32), centre, directions, ("apart 1", "apart 2"))


# --- whole trainings, watched round by round --------------------------------------------------------------------------


class Watched(NamedTuple):
    """A training with clusters, at its start and after each round, S moments.

    scores: S dictionaries, of held-out examples.  codes: (S, DOTS, D).  centres: (S, K, D).
    """

    scores: list[dict[str, float | None]]
    codes: np.ndarray
    centres: np.ndarray


def start(data: Data, seed: int, epochs: int = BEFORE, width: int = 512, code: int = 10) -> Model:
    """A plain autoencoder trained for reconstruction alone: where `watch` begins."""
    model = seeded_build(entry("deep"), data.shape, {"code": code, "net": "dense", "width": width}, seed)
    for _ in Training(model, data, Plan(epochs=epochs, seed=seed, precision="fp32", held_out=1), "cpu"):
        pass
    return model


def watch(
    key: str,
    begun: Model,
    data: Data,
    seed: int,
    rounds: int = ROUNDS,
    weight: float | None = None,
    width: int = 512,
    code: int = 10,
) -> Watched:
    """`centroid` or `dcec` from the weights of `begun`: k-means gives the centres, then rounds, epochs, follow.

    weight: of the clusters' term, by default that of the catalog; with 0 the same training for reconstruction alone.
    Raises DataError for a model that has no rounds.
    """
    if key not in WEIGHTS:
        raise DataError(f"{key} is not trained in rounds. Choose {' or '.join(WEIGHTS)}.")
    more = {} if weight is None else {WEIGHTS[key]: weight}
    params = {"code": code, "net": "dense", "width": width, "pretraining": 0.0, **more}
    model: Any = seeded_build(entry(key), data.shape, params, seed)
    model.load_state_dict({**model.state_dict(), **begun.state_dict()})
    ids = inference.first(data.test)
    kept: list[tuple[dict[str, float | None], np.ndarray, np.ndarray]] = []

    def look() -> None:
        h = inference.encode(model, data.test, ids)
        assigned = inference.map_batches(model, data.test, ids, model.assign).astype(np.int64)
        centres = model.centres if key == "centroid" else model.clusters.centres
        kept.append((scores(h, assigned, data.test.labels), h[:DOTS], centres.detach().cpu().numpy().copy()))

    refresh = model.on_epoch_start

    def watched(split: Split, progress: float) -> None:
        refresh(split, progress)
        look()

    model.on_epoch_start = watched
    for _ in Training(model, data, Plan(epochs=rounds, seed=seed, precision="fp32", held_out=1), "cpu"):
        pass
    model.on_epoch_start = refresh  # which was called at the end, too
    return Watched([one for one, _, _ in kept], *(np.stack(parts) for parts in list(zip(*kept, strict=True))[1:]))


# --- the studies ------------------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """What is compared: clusters of trained examples, or a training round by round."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: Literal["compare", "rounds", "table"] = Field(
        "compare", description="trained examples, rounds of a training, or a table of yours"
    )
    seeds: int = Field(5, ge=1, le=10, description="of k-means; of whole trainings where rounds are watched")
    model: Literal["centroid", "dcec"] = Field("centroid", description="whose rounds are watched")
    weight: float | None = Field(None, ge=0, le=1000, description="of the clusters' term; none: the catalog's")
    path: str | None = Field(None, description="of a table, a CSV")
    label: str = Field("", description="the column of a table that says each line's class, if any; only to compare by")
    k: int = Field(0, ge=0, le=50, description="clusters of a table; 0: as many as it has classes, else 8")
    code: int = Field(4, ge=1, le=64, description="units of the code, and components, for a table")

    _path = path_with("look", "table")


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """A comparison with its seeds; see `compare`, `by_rounds` and `of_table`."""
    return {"compare": compare, "rounds": by_rounds, "table": of_table}[settings.look](settings, progress)


def compare(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "seeds", "rows"}: the held-out digits clustered from pixels, PCA and codes of the trained examples.

    A row has "name", "run" (id or ""), "how" ("k-means" or "own"), and "scores", a list: one for each seed of k-means,
    a single one for a model's own clusters. The models have one seed.
    """
    data = load(DataSpec())
    ids, labels = inference.first(data.test), data.test.labels
    there = [run for run in map(_example, EXAMPLES) if run]
    rows: list[dict[str, Any]] = []

    def row(name: str, h: np.ndarray, run: str = "") -> None:
        each = [scores(h, fit(h, 10, seed).assigned, labels) for seed in range(settings.seeds)]
        rows.append({"name": name, "run": run, "how": "k-means", "size": h.shape[1], "scores": each})

    progress(0.02, "k-means on pixels")
    row("pixels", represent("pixels", data, data.test, ids))
    row(f"PCA, {COMPONENTS} numbers", represent("pca", data, data.test, ids))
    for place, run in enumerate(there):
        progress(0.4 + 0.6 * place / len(there), f"k-means on the codes of {run.info.title}")
        model = run.model()
        row(run.info.title, h := inference.encode(model, data.test, ids), run.info.id)
        if has_own(model):
            single = scores(h, own(model, data.test, ids).assigned, labels)
            rows.append({**rows[-1], "how": "own", "scores": [single]})
    return {"n": len(ids), "seeds": settings.seeds, "rows": rows}


def by_rounds(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "train", "seeds", "with", "without", "points", "centres", "labels", "images"}: the embedding as it moves.

    with, without: for each seed the scores at every moment, with the clusters' term and with weight 0, from the same
    start. points (S, DOTS, 2), centres (S, K, 2): of the first seed with the term, in the plane of the last moment's
    codes in which the clusters lie farthest apart (`linear`).  labels: (DOTS,).  images: ids in SMALL's held-out half.
    """
    data = load(SMALL)
    found: dict[str, list[list[dict[str, float | None]]]] = {"with": [], "without": []}
    first: Watched | None = None
    for seed in range(settings.seeds):
        progress(seed / settings.seeds, f"Seed {seed}: {BEFORE} epochs without clusters, then {ROUNDS} rounds")
        begun = start(data, seed)
        for name, weight in (("with", settings.weight), ("without", 0.0)):
            watched = watch(settings.model, begun, data, seed, weight=weight)
            found[name].append(watched.scores)
            first = first or watched
    assert first is not None and data.test.labels is not None
    plane = linear(first)
    return {
        "n": len(data.test),
        "train": len(data.train),
        "seeds": settings.seeds,
        **found,
        "points": np.round(first.codes @ plane.T, 3).tolist(),
        "centres": np.round(first.centres @ plane.T, 3).tolist(),
        "labels": data.test.labels[:DOTS].tolist(),
        "images": list(range(len(first.codes[0]))),
    }


def of_table(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "k", "seeds", "rows", "assigned"}: all lines of a table in clusters of their values, of PCA and of codes.

    Rows as in `compare`; a seed is one of k-means, and of the whole training behind the codes.
    assigned: name → the cluster of each line, from 0, by the first seed.
    """
    data = table.load(settings.path, settings.label, held_out=0)
    labels, ids = data.train.labels, inference.first(data.train)
    k = settings.k or len(data.classes or ()) or 8
    size = min(settings.code, int(np.prod(data.shape)), len(ids) - 1)
    epochs = math.ceil(TABLE_STEPS * Plan().batch / len(ids))
    found: dict[str, list[dict[str, float | None]]] = {}
    assigned: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for seed in range(settings.seeds):
        progress(seed / settings.seeds, f"Seed {seed}: an autoencoder of {len(ids):,} lines, then k-means")
        model = start(data, seed, epochs, width=64, code=size)
        every = {
            "values": represent("pixels", data, data.train, ids),
            f"PCA, {size} numbers": represent("pca", data, data.train, ids, size=size),
            "codes of an autoencoder": represent("codes", data, data.train, ids, model),
        }
        for name, h in every.items():
            clusters = fit(h, k, seed)
            found.setdefault(name, []).append(scores(h, clusters.assigned, labels))
            assigned.setdefault(name, clusters.assigned.tolist())
            sizes[name] = h.shape[1]
    rows = [
        {"name": name, "run": "", "how": "k-means", "size": sizes[name], "scores": each} for name, each in found.items()
    ]
    return {"n": len(ids), "k": k, "seeds": settings.seeds, "rows": rows, "assigned": assigned}


def linear(watched: Watched) -> np.ndarray:
    """Directions (2, D) in which the clusters of the last moment lie farthest apart, each 1 long."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    h, centres = watched.codes[-1].astype(np.float64), watched.centres[-1]
    nearest = np.square(h[:, None] - centres[None]).sum(2).argmin(1)
    if len(np.unique(nearest)) < 3:
        return np.linalg.svd(h - h.mean(0), full_matrices=False)[2][:2]
    found = LinearDiscriminantAnalysis(n_components=2, solver="eigen", shrinkage=1e-3).fit(h, nearest)
    directions = found.scalings_[:, :2].T
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _example(identity: str) -> Run | None:
    """A trained example, None where it was taken away."""
    try:
        return find(identity)
    except RunError:
        return None


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each representation and way to cluster; or the last round of both halves."""
    measures = ("accuracy", "nmi", "ari", "silhouette")

    def cells(scores: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        return {name: over_seeds([one[name] for one in scores if one.get(name) is not None]) for name in measures}

    if "rows" not in found:
        return [{"codes trained": words, **cells([each[-1] for each in found[words]])} for words in ("with", "without")]
    return [
        {"what": row["name"], "clusters": row["how"], "numbers": str(row["size"]), **cells(row["scores"])}
        for row in found["rows"]
    ]
