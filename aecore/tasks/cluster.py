"""Clusters without labels (§4.3): k-means on pixels, on PCA and on codes, and models whose codes form clusters.

>>> from aecore import inference
>>> from aecore.runs import library
>>> from aecore.tasks import cluster
>>> run = library.find("deep-16")
>>> test = run.data().test
>>> h = inference.encode(run.model(), test, inference.first(test))
>>> clusters = cluster.fit(h, 10)
>>> cluster.scores(h, clusters.assigned, test.labels)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from .. import inference
from ..catalog import CATALOG, entry, seeded_build
from ..data import load
from ..data.base import Data, DataSpec, Split
from ..data.files import table
from ..errors import DataError, RunError
from ..explore import planes
from ..measure import clustering, pca
from ..models.base import Model
from ..runs.folder import Run
from ..runs.library import find
from ..training.loop import Training
from ..training.plan import Plan
from . import Progress, over_seeds, path_with

AUTOENCODER = "deep"
"""Catalog key of the autoencoder whose codes are clustered, and from which rounds of training start."""
MODEL = "centroid"
"""Catalog key of the model whose rounds are watched if the settings name no other."""
EXAMPLES = ("linear-16", "deep-16", "vae-16", "vae-2d", "centroid-10", "dcec-10", "gmvae-10")
"""The trained examples that are compared."""
DATA = DataSpec()
"""The data on which the trained examples are compared."""
SMALL = DataSpec(name="digits", size=16, limit=4000)
"""The data on which whole trainings are repeated."""
ROUND_MODELS = tuple(key for key, one in CATALOG.items() if one.cluster_weight)
"""Catalog keys of all models that are trained in rounds."""

RESTARTS = 10  # starts of k-means, of which the tightest clustering is kept
START_VALUES = 16_000_000  # values that all starts together pass over: larger examples get fewer starts
SCORED = 2000  # examples over which a silhouette is computed, since it compares all pairs
COMPONENTS = 16  # of PCA, as many as the larger trained examples have units
TABLE_STEPS = 600  # training steps of the autoencoder of a table
BEFORE, ROUNDS = 15, 10  # epochs for reconstruction alone, then rounds with the clusters
DOTS = 400  # codes that are kept at every round
PUBLISHED = (
    ("k-means on pixels", 0.53, 0.53, "Xie et al. (2016), arXiv:1511.06335"),
    ("k-means on codes", None, 0.88, "the best of several papers"),
    ("DEC", 0.84, 0.91, "0.84 by Xie et al. (2016), arXiv:1511.06335; up to 0.91 in later papers"),
    ("VaDE", 0.94, 0.94, "Jiang et al. (2017), arXiv:1611.05148"),
)
"""Accuracies on MNIST that others published: (method, lowest or None, highest, source). None is computed here."""


class Clusters(NamedTuple):
    """Examples sorted into K clusters.

    assigned: (n,) the number of each example's cluster.  centres: (K, D), NaN for a cluster without members.
    distance: (n,) Euclidean distance of each example to its centre, in units of the values that were clustered.
    """

    assigned: np.ndarray
    centres: np.ndarray
    distance: np.ndarray


def fit(h: np.ndarray, k: int, seed: int = 0) -> Clusters:
    """k-means: min Σ_i ‖h_i − μ_{c(i)}‖² over centres μ (k, D) and assignments c, from up to RESTARTS starts.

    h: (n, D) finite.  Raises DataError for fewer examples than clusters, or for values that are not finite.
    Source: Lloyd (1982), doi:10.1109/TIT.1982.1056489; scikit-learn.
    """
    from sklearn.cluster import KMeans

    h = np.asarray(h, np.float32)
    if len(h) < k:
        raise DataError(f"{len(h)} examples cannot make {k} clusters. Ask for fewer clusters, or give more examples.")
    if not np.isfinite(h).all():
        raise DataError("The codes are no finite numbers: the training has diverged. Train again with a lower rate.")
    restarts = int(np.clip(START_VALUES // h.size, 1, RESTARTS))
    model: Any = KMeans(k, n_init=restarts, random_state=seed)  # pyright: ignore[reportArgumentType]  # no stubs
    model.fit(h)
    return around(h, model.labels_.astype(np.int64), model.cluster_centers_)


def letter(cluster: int) -> str:
    """The name of a cluster: A, B, … Z, A2, … Letters are used because the classes of digits are numbers."""
    return chr(65 + cluster % 26) + (str(cluster // 26 + 1) if cluster > 25 else "")


def predict(clusters: Clusters, h: np.ndarray) -> Clusters:
    """Sort other examples h (n, D) into these clusters, each into the one whose centre is nearest."""
    from scipy.spatial.distance import cdist

    nonempty = np.flatnonzero(np.isfinite(clusters.centres).all(1))
    nearest = cdist(h, clusters.centres[nonempty]).argmin(1)
    return around(h, nonempty[nearest], clusters.centres)


def around(h: np.ndarray, assigned: np.ndarray, centres: np.ndarray) -> Clusters:
    """Clusters with these assignments and centres; the distances are computed."""
    return Clusters(assigned, np.asarray(centres, np.float32), np.linalg.norm(h - centres[assigned], axis=1))


def own(model: Model, split: Split, ids: np.ndarray) -> Clusters:
    """The clusters of a model that assigns examples to clusters itself. The centres are mean codes of their members.

    Raises DataError for a model without the ability "assign".
    """
    if "assign" not in model.abilities:
        raise DataError(f"{type(model).__name__} has no clusters of its own. Use k-means on its codes.")
    h = inference.encode(model, split, ids)
    assigned, centres = assign(model, split, ids)
    return around(h, assigned, means(h, assigned, len(centres)))


def assign(model: Model, split: Split, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n,) of the clusters into which a model sorts examples, and the model's own centres (K, D)."""
    able: Any = model
    assigned = inference.map_batches(model, split, ids, able.assign).astype(np.int64)
    return assigned, able.centres.detach().cpu().numpy().copy()


def means(h: np.ndarray, assigned: np.ndarray, k: int) -> np.ndarray:
    """The mean of each cluster's examples h (n, …): (k, …), NaN for a cluster without examples."""
    result = np.full((k, *h.shape[1:]), np.nan, np.float32)
    for cluster in np.unique(assigned):
        result[cluster] = h[assigned == cluster].mean(0)
    return result


Space = Literal["pixels", "pca", "codes"]


def represent(
    space: Space,
    data: Data,
    split: Split,
    ids: np.ndarray,
    model: Model | None = None,
    size: int = COMPONENTS,
) -> np.ndarray:
    """The values that are clustered, (n, D): all values of an example, its first principal components, or its code.

    size: number of components, fitted to the training split.  model: needed for codes.
    """
    if space == "codes":
        if model is None:
            raise DataError("Codes need a model. Choose an autoencoder, or cluster pixels.")
        return inference.encode(model, split, ids)
    x = inference.examples(split, ids).flatten(1).cpu().numpy()
    return x if space == "pixels" else pca.principal(data, size).codes(x, size)


def scores(h: np.ndarray, assigned: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float | None]:
    """{"accuracy", "nmi", "ari"} if there are labels (see `measure.clustering`), and always "silhouette".

    silhouette: mean of (b − a) / max(a, b), where a is an example's mean distance to its own cluster and b its mean
    distance to the nearest other cluster; from −1 to 1, without labels. It is computed in the space that was
    clustered, over at most SCORED examples, so values of two spaces do not compare well. None for a single cluster, or
    for as many clusters as examples.
    Source: Rousseeuw (1987), doi:10.1016/0377-0427(87)90125-7; scikit-learn.
    """
    from sklearn.metrics import silhouette_score

    ids = np.random.default_rng(0).permutation(len(h))[:SCORED]
    count = len(np.unique(assigned[ids]))
    silhouette = float(silhouette_score(h[ids], assigned[ids])) if 1 < count < len(ids) else None
    return {**({} if labels is None else clustering.scores(assigned, labels)), "silhouette": silhouette}


def majority(assigned: np.ndarray, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(label, share), each (k,): the most frequent label of each cluster, and the share of its examples that have it.

    −1 and 0 for a cluster without examples.
    """
    counts = np.zeros((k, int(labels.max(initial=0)) + 1), np.int64)
    table = clustering.contingency(assigned, labels)
    counts[: len(table), : table.shape[1]] = table[:k]
    total = counts.sum(1)
    return np.where(total > 0, counts.argmax(1), -1), counts.max(1) / np.maximum(total, 1)


def members(clusters: Clusters, cluster: int, n: int, far: bool = False) -> np.ndarray:
    """Rows of the n members of a cluster that are nearest to its centre, or with `far` farthest from it."""
    rows = np.flatnonzero(clusters.assigned == cluster)
    order = np.argsort(clusters.distance[rows], kind="stable")
    return rows[order[::-1] if far else order][:n]


class Plane(NamedTuple):
    """A plane for codes.

    points: (n, 2) the codes on the plane.  origin: (D,), directions: (2, D): the mean code at the point (s, t) is
    about origin + s · directions[0] + t · directions[1].  axes: names.
    """

    points: np.ndarray
    origin: np.ndarray
    directions: np.ndarray
    axes: tuple[str, str]


def plane_of(h: np.ndarray, assigned: np.ndarray) -> Plane:
    """The plane in which clusters lie farthest apart, relative to their widths: linear discriminant analysis.

    The way back to codes is fitted by least squares. Codes of two units are a plane already, and codes of one unit are
    a line in it. Fewer than three clusters, or hardly more codes than clusters, get their principal plane.
    h: (n, D).  Source: Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x; scikit-learn.
    """
    h = np.asarray(h, np.float64)
    centre = h.mean(0)
    if h.shape[1] == 2:
        return Plane(h.astype(np.float32), np.zeros(2), np.eye(2), ("z1", "z2"))
    if h.shape[1] == 1:
        points = np.column_stack([h[:, 0], np.zeros(len(h))])
        return Plane(points.astype(np.float32), np.zeros(1), np.array([[1.0], [0.0]]), ("z1", ""))
    clusters = len(np.unique(assigned))
    if clusters < 3 or len(h) < 2 * clusters:
        directions = np.linalg.svd(h - centre, full_matrices=len(h) < 2)[2][:2]
        return Plane(((h - centre) @ directions.T).astype(np.float32), centre, directions, ("PC 1", "PC 2"))
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    points = LinearDiscriminantAnalysis(n_components=2).fit(h, assigned).transform(h)
    directions = np.linalg.lstsq(points, h - centre, rcond=None)[0]
    return Plane(points.astype(np.float32), centre, directions, ("apart 1", "apart 2"))


class Groups(NamedTuple):
    """Examples of a split in K clusters, with a picture of each cluster.

    ids: (n,) of the examples.  h: (n, D) their codes.  clusters: in the space that was clustered.  scores: see
    `scores`.
    objective: mean squared distance to the centre, in that space.
    decoded: (K, *shape) the decoded mean code of each cluster.  mean: (K, *shape) the mean of its examples.
    """

    ids: np.ndarray
    h: np.ndarray
    clusters: Clusters
    scores: dict[str, float | None]
    objective: float
    decoded: np.ndarray
    mean: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """(K,) numbers of members."""
        return np.bincount(self.clusters.assigned, minlength=len(self.clusters.centres))


def group(
    model: Model, data: Data, split: Split, ids: np.ndarray, space: Space | None, k: int = 10, seed: int = 0
) -> Groups:
    """Cluster examples of a split by k-means in a space, or by the model's own clusters where `space` is None."""
    h = inference.encode(model, split, ids)
    if space is None:
        points, clusters = h, own(model, split, ids)
    else:
        points = represent(space, data, split, ids, model)
        clusters = fit(points, k, seed)
    labels = None if split.labels is None else split.labels[ids]
    x = inference.examples(split, ids).numpy()
    count = len(clusters.centres)
    mean_code, mean_example = (np.nan_to_num(means(each, clusters.assigned, count)) for each in (h, x))
    objective = float(np.square(clusters.distance).mean())
    quality = scores(points, clusters.assigned, labels)
    return Groups(ids, h, clusters, quality, objective, inference.decode(model, mean_code), mean_example)


def sort(model: Model, data: Data, split: Split, ids: np.ndarray, clusters: Clusters, space: Space | None) -> Clusters:
    """Other examples in the clusters that `group` found in the same space."""
    if space is None:
        return own(model, split, ids)
    return predict(clusters, represent(space, data, split, ids, model))


Extent = tuple[float, float, float, float]


def decoded_plane(model: Model, plane: Plane, grid: int, side: int) -> tuple[np.ndarray, Extent]:
    """Images decoded all over a plane of codes: (grid, grid, H, W[, 3]) uint8, and (x0, x1, y0, y1) of the plane.

    The lowest row comes first.  side: of an image in pixels, at most.
    """
    low, high = plane.points.min(0), plane.points.max(0)
    low, high = low - 0.04 * (high - low) - 1e-3, high + 0.04 * (high - low) + 1e-3
    across, up = (high - low)[:, None] * plane.directions
    tiles = planes.plane(model, plane.origin + low @ plane.directions, across, up, grid, side)
    return tiles, (float(low[0]), float(high[0]), float(low[1]), float(high[1]))


# --- whole trainings, watched round by round --------------------------------------------------------------------------


class Watched(NamedTuple):
    """A training with clusters at S moments: at its start and after each round.

    scores: S dictionaries, of held-out examples.  codes: (S, DOTS, D).  centres: (S, K, D).
    """

    scores: list[dict[str, float | None]]
    codes: np.ndarray
    centres: np.ndarray


def start(data: Data, seed: int, epochs: int = BEFORE, width: int = 512, code: int = 10) -> Model:
    """A plain autoencoder trained for reconstruction alone, from which `watch` begins."""
    model = seeded_build(entry(AUTOENCODER), data.shape, {"code": code, "net": "dense", "width": width}, seed)
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
    """Train a model of ROUND_MODELS from the weights of `begun`: k-means gives the centres, then each epoch is a round.

    weight: of the clusters' term, by default that of the catalog; with 0 the training is for reconstruction alone.
    Raises DataError for a model that is not trained in rounds.
    """
    if key not in ROUND_MODELS:
        raise DataError(f"{key} is not trained in rounds. Choose {' or '.join(ROUND_MODELS)}.")
    weights = {} if weight is None else {entry(key).cluster_weight: weight}
    params = {"code": code, "net": "dense", "width": width, "pretraining": 0.0, **weights}
    model = seeded_build(entry(key), data.shape, params, seed)
    model.load_state_dict({**model.state_dict(), **begun.state_dict()})
    ids = inference.first(data.test)
    moments: list[tuple[dict[str, float | None], np.ndarray, np.ndarray]] = []

    def observe(progress: float) -> None:
        h = inference.encode(model, data.test, ids)
        assigned, centres = assign(model, data.test, ids)
        moments.append((scores(h, assigned, data.test.labels), h[:DOTS], centres))

    plan = Plan(epochs=rounds, seed=seed, precision="fp32", held_out=1)
    for _ in Training(model, data, plan, "cpu", observe=observe):
        pass
    return Watched(
        [each for each, _, _ in moments],
        np.stack([codes for _, codes, _ in moments]),
        np.stack([centres for _, _, centres in moments]),
    )


# --- the studies ------------------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """What is compared: clusters of trained examples, the rounds of a training, or clusters of a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: Literal["compare", "rounds", "table"] = Field(
        default="compare", description="trained examples, rounds of a training, or a table of yours"
    )
    seeds: int = Field(default=5, ge=1, le=10, description="of k-means; of whole trainings where rounds are watched")
    model: str = Field(default=MODEL, description=f"whose rounds are watched: {' or '.join(ROUND_MODELS)}")
    weight: float | None = Field(default=None, ge=0, le=1000, description="of the clusters' term; none: the catalog's")
    path: str | None = Field(default=None, description="of a table, a CSV")
    label: str = Field(
        default="", description="the column of a table that says each line's class, if any; only to compare by"
    )
    k: int = Field(default=0, ge=0, le=50, description="clusters of a table; 0: as many as it has classes, else 8")
    code: int = Field(default=4, ge=1, le=64, description="number of latent dimensions, and of components, for a table")

    _path = path_with("look", "table")

    @field_validator("model")
    @classmethod
    def _trained_in_rounds(cls, model: str) -> str:
        if model not in ROUND_MODELS:
            raise ValueError(f"it must be one of {', '.join(ROUND_MODELS)}")
        return model


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """A comparison with its seeds; see `compare`, `by_rounds` and `of_table`."""
    return {"compare": compare, "rounds": by_rounds, "table": of_table}[settings.look](settings, progress)


def compare(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "seeds", "rows"}: held-out examples clustered from pixels, PCA and codes of the trained examples.

    A row has "name", "run" (its id or ""), "how" ("k-means" or "own"), "size" (D) and "scores": a list with an element
    for each seed of k-means, or a single one for a model's own clusters. The models have one seed.
    """
    data = load(DATA)
    ids, labels = inference.first(data.test), data.test.labels
    runs = [run for run in map(_example, EXAMPLES) if run]
    rows: list[dict[str, Any]] = []

    def k_means_row(name: str, h: np.ndarray, run: str = "") -> None:
        results = [scores(h, fit(h, 10, seed).assigned, labels) for seed in range(settings.seeds)]
        rows.append({"name": name, "run": run, "how": "k-means", "size": h.shape[1], "scores": results})

    progress(0.02, "k-means on pixels")
    k_means_row("pixels", represent("pixels", data, data.test, ids))
    k_means_row(f"PCA, {COMPONENTS} numbers", represent("pca", data, data.test, ids))
    for place, run in enumerate(runs):
        progress(0.4 + 0.6 * place / len(runs), f"k-means on the codes of {run.info.title}")
        model = run.model()
        h = inference.encode(model, data.test, ids)
        k_means_row(run.info.title, h, run.info.id)
        if "assign" in model.abilities:
            single = scores(h, own(model, data.test, ids).assigned, labels)
            rows.append({**rows[-1], "how": "own", "scores": [single]})
    return {"n": len(ids), "seeds": settings.seeds, "rows": rows}


def by_rounds(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "train", "seeds", "with", "without", "points", "centres", "labels", "images"}: codes that move in rounds.

    with, without: for each seed the scores at every moment, with the clusters' term and with weight 0, from the same
    start. points (S, DOTS, 2), centres (S, K, 2): of the first seed with the term, in the plane of the last moment's
    codes in which the clusters lie farthest apart (`directions_apart`).  labels: (DOTS,).  images: ids in the held-out
    split of SMALL.
    """
    data = load(SMALL)
    results: dict[str, list[list[dict[str, float | None]]]] = {"with": [], "without": []}
    first: Watched | None = None
    for seed in range(settings.seeds):
        progress(seed / settings.seeds, f"Seed {seed}: {BEFORE} epochs without clusters, then {ROUNDS} rounds")
        begun = start(data, seed)
        for name, weight in (("with", settings.weight), ("without", 0.0)):
            watched = watch(settings.model, begun, data, seed, weight=weight)
            results[name].append(watched.scores)
            first = first or watched
    assert first is not None and data.test.labels is not None
    directions = directions_apart(first.codes[-1], first.centres[-1])
    return {
        "n": len(data.test),
        "train": len(data.train),
        "seeds": settings.seeds,
        **results,
        "points": np.round(first.codes @ directions.T, 3).tolist(),
        "centres": np.round(first.centres @ directions.T, 3).tolist(),
        "labels": data.test.labels[:DOTS].tolist(),
        "images": list(range(len(first.codes[0]))),
    }


def directions_apart(codes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Two directions (2, D) of length 1 in which codes (n, D), each with its nearest centre, lie farthest apart."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    h = codes.astype(np.float64)
    nearest = np.square(h[:, None] - centres[None]).sum(2).argmin(1)
    if len(np.unique(nearest)) < 3:
        return np.linalg.svd(h - h.mean(0), full_matrices=False)[2][:2]
    analysis = LinearDiscriminantAnalysis(n_components=2, solver="eigen", shrinkage=1e-3).fit(h, nearest)
    directions = analysis.scalings_[:, :2].T
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def of_table(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"n", "k", "seeds", "rows", "assigned"}: all lines of a table, clustered by their values, by PCA and by codes.

    Rows as in `compare`; a seed is that of k-means, and of the whole training behind the codes.
    assigned: name → the cluster of each line, from 0, by the first seed.
    """
    data = table.load(settings.path, settings.label, held_out=0)
    labels, ids = data.train.labels, inference.first(data.train)
    k = settings.k or len(data.classes or ()) or 8
    size = min(settings.code, int(np.prod(data.shape)), len(ids) - 1)
    epochs = math.ceil(TABLE_STEPS * Plan().batch / len(ids))
    rows: dict[str, dict[str, Any]] = {}
    assigned: dict[str, list[int]] = {}
    for seed in range(settings.seeds):
        progress(seed / settings.seeds, f"Seed {seed}: an autoencoder of {len(ids):,} lines, then k-means")
        model = start(data, seed, epochs, width=64, code=size)
        spaces = {
            "values": represent("pixels", data, data.train, ids),
            f"PCA, {size} numbers": represent("pca", data, data.train, ids, size=size),
            "codes of an autoencoder": represent("codes", data, data.train, ids, model),
        }
        for name, h in spaces.items():
            clusters = fit(h, k, seed)
            row = {"name": name, "run": "", "how": "k-means", "size": h.shape[1], "scores": []}
            rows.setdefault(name, row)["scores"].append(scores(h, clusters.assigned, labels))
            assigned.setdefault(name, clusters.assigned.tolist())
    return {"n": len(ids), "k": k, "seeds": settings.seeds, "rows": list(rows.values()), "assigned": assigned}


def _example(identity: str) -> Run | None:
    """A trained example, or None if it was taken away."""
    try:
        return find(identity)
    except RunError:
        return None


def rows(study: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each representation and way to cluster; or the last round with and without."""
    measures = ("accuracy", "nmi", "ari", "silhouette")

    def cells(scores: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        return {name: over_seeds([one[name] for one in scores if one.get(name) is not None]) for name in measures}

    if "rows" not in study:
        return [{"codes trained": part, **cells([seed[-1] for seed in study[part]])} for part in ("with", "without")]
    return [
        {"what": row["name"], "clusters": row["how"], "numbers": str(row["size"]), **cells(row["scores"])}
        for row in study["rows"]
    ]
