"""Recommending (§4.5): methods that predict ratings or rank items, beside simple ones; splits and scores.

Every method has `fit(known)` and `predict(known)` → (users, items), where `known` is a sparse matrix (users, items) of
the ratings that may be looked at. What `predict` returns takes 4 bytes for each user and item.

>>> from aecore.data.sets.world import world
>>> known, asked = hold_out(world().matrix, share=0.1, seed=0)
>>> error = rmse(AutoencoderOf("u_autorec").fit(known).predict(known), asked)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from scipy.sparse import coo_matrix, csr_matrix
from torch import nn

from ..catalog import CATALOG, entry, seeded_build
from ..data import load_ratings
from ..data.base import DataSpec
from ..data.files.ratings import HIGHEST, LOWEST
from ..data.ratings import Ratings, RatingsData, Rows, dense
from ..errors import DataError, FieldError
from ..models.base import Model
from ..nn import quantize
from ..training.loop import Training
from ..training.plan import Plan
from . import Progress, over_seeds, path_with

# --- what is compared -------------------------------------------------------------------------------------------------


class Recipe(NamedTuple):
    """An autoencoder of the comparison. key: of the catalog.  params: of the model.  plan: of its training."""

    key: str
    params: dict[str, Any]
    plan: dict[str, Any]


GENERATED: Literal["ratings"] = "ratings"
"""The data set of generated ratings, in whose place a file of the user's own is read."""
DENOISING, BY_ITEMS = "CFN", "I-AutoRec"
"""Names below: the model whose share of hidden ratings is varied, and the one whose activations are compared."""
TRAITS = f"{DENOISING}, told traits"
STARS: dict[str, Recipe] = {
    "U-AutoRec": Recipe("u_autorec", {"code": 64, "lam": 0.01}, {"lr": 6e-3}),
    BY_ITEMS: Recipe("i_autorec", {"code": 64, "lam": 0.1}, {"lr": 6e-3, "batch": 32}),
    DENOISING: Recipe("cfn", {"code": 16, "lam": 0.05, "noise": 0.5}, {}),
    TRAITS: Recipe("cfn", {"code": 16, "lam": 0.05, "noise": 0.5}, {}),
}
"""Autoencoders that predict stars. λ, code and noise were chosen by hand on the generated world, split by seed 1000,
whose held-out ratings are partly those of other splits; learning rates were not chosen."""
RANKS: dict[str, Recipe] = {
    "U-AutoRec": Recipe("u_autorec", {"code": 64, "lam": 0.01}, {"lr": 6e-3}),
    "CDAE": Recipe("cdae", {"lam": 0.001}, {}),
    "Mult-VAE": Recipe("multi_vae", {"beta": 0.5, "width": 128}, {}),
}
"""Autoencoders that rank items."""
KNOWN: dict[str, Recipe] = {name: recipe for name, recipe in {**STARS, **RANKS}.items() if name != TRAITS}
KNOWN |= {
    entry.name: Recipe(entry.key, {}, {})
    for entry in CATALOG.values()
    if entry.recommends and entry.key not in {recipe.key for recipe in KNOWN.values()}
}
"""Every autoencoder of ratings by its name: those of the comparison, then all others of the catalog on defaults."""

WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""λ among which `with_chosen_weight` chooses."""
NOISES = (0.0, 0.25, 0.5, 0.75)
"""Shares of hidden ratings that are compared."""
BINS = (1, 10, 20, 50, 10_000)
"""Bounds of the groups of users by how many of their ratings are known."""

PUBLISHED = (
    {"method": "I-AutoRec", "data": "MovieLens 1M", "score": "RMSE", "value": 0.831},
    {"method": "U-AutoRec", "data": "MovieLens 1M", "score": "RMSE", "value": 0.874},
    {"method": "Mult-VAE", "data": "MovieLens 20M", "score": "Recall@20", "value": 0.395},
)
"""What the papers report: Sedhain et al. (2015), table 1; Liang et al. (2018), table 2. None of it is computed here."""
PUBLISHED_ACTIVATIONS = {
    ("identity", "identity"): 0.872,
    ("sigmoid", "identity"): 0.852,
    ("identity", "sigmoid"): 0.831,
    ("sigmoid", "sigmoid"): 0.836,
}
"""(f of the output, g of the hidden units) → RMSE of I-AutoRec on MovieLens 1M: Sedhain et al. (2015)."""

# --- splits -----------------------------------------------------------------------------------------------------------


def hold_out(matrix: csr_matrix, share: float = 0.1, seed: int = 0) -> tuple[csr_matrix, csr_matrix]:
    """(known, asked): a seeded share of all ratings is asked for, of the same users; the others are known.

    Both are (users, items), and no rating is in both. The first rating, in random order, of every user and of every
    item stays known.
    """
    entries = coo_matrix(matrix)
    order = np.random.default_rng((11, seed)).permutation(entries.nnz)
    keep = np.zeros(entries.nnz, bool)
    for line in (entries.row, entries.col):
        keep[order[np.unique(line[order], return_index=True)[1]]] = True
    free = order[~keep[order]]
    asked = np.zeros(entries.nnz, bool)
    asked[free[: round(share * entries.nnz)]] = True
    return _part(entries, ~asked), _part(entries, asked)


def size_of(matrix: csr_matrix) -> tuple[int, int]:
    """(users, items) of a sparse matrix: scipy's own annotation of `shape` misleads type checkers."""
    return cast("tuple[int, int]", matrix.shape)


def _part(entries: coo_matrix, which: np.ndarray) -> csr_matrix:
    """The ratings where `which` (n,) is true."""
    return csr_matrix((entries.data[which], (entries.row[which], entries.col[which])), entries.shape)


class Strong(NamedTuple):
    """A split by users (strong generalisation): a method learns from `train` alone, all of other users.

    train: (other users, items).  given: ratings that the held-out users tell, (held out, items).  asked: their ratings
    that they do not tell, (held out, items).  users, others: numbers of the held-out users and of those in `train`.
    """

    train: csr_matrix
    given: csr_matrix
    asked: csr_matrix
    users: np.ndarray
    others: np.ndarray


def hold_out_users(matrix: csr_matrix, share: float = 0.2, tell: float = 0.8, seed: int = 0) -> Strong:
    """Hold out a seeded share of the users; each tells a share `tell` of the ratings and is asked for the others.

    Source: Liang et al. (2018), arXiv:1802.05814, section 4.2. Departures: the data are not reduced to likes before
    they are split; ratings that are no likes do not count in the scores.
    DataError if too few users rated 5 items or more.
    """
    random = np.random.default_rng((12, seed))
    enough = np.flatnonzero(np.diff(matrix.indptr) >= 5)
    if len(enough) < 5:
        raise DataError(f"{len(enough)} users rated 5 or more films. To hold some out, at least 5 are needed.")
    users = np.sort(random.permutation(enough)[: max(1, round(share * len(enough)))])
    held = coo_matrix(matrix[users])
    order = np.lexsort((random.random(held.nnz), held.row))
    starts = np.concatenate([[0], np.cumsum(np.bincount(held.row, minlength=len(users)))])
    rank = np.empty(held.nnz, int)
    rank[order] = np.arange(held.nnz) - starts[held.row[order]]
    given = rank < np.ceil(tell * np.diff(starts) - 1e-9).astype(int)[held.row]
    others = np.setdiff1d(np.arange(size_of(matrix)[0]), users)
    return Strong(matrix[others], _part(held, given), _part(held, ~given), users, others)


def likes(matrix: csr_matrix, like: float = 4.0) -> csr_matrix:
    """1 for each rating of at least `like`; nothing else is stored."""
    entries = coo_matrix(matrix)
    liked = _part(entries, entries.data >= like)
    liked.data[:] = 1
    return liked


# --- scores -----------------------------------------------------------------------------------------------------------


def pairs(asked: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and stars of all stored ratings: (n,) each."""
    entries = coo_matrix(asked)
    return entries.row, entries.col, entries.data


def rmse(predicted: np.ndarray, asked: csr_matrix) -> float:
    """√ mean (r_ui − r̂_ui)² over the ratings that are asked for, in stars.  predicted: (users, items)."""
    u, i, r = pairs(asked)
    return float(np.sqrt(np.mean((predicted[u, i] - r) ** 2)))


def mae(predicted: np.ndarray, asked: csr_matrix) -> float:
    """Mean |r_ui − r̂_ui| over the ratings that are asked for, in stars."""
    u, i, r = pairs(asked)
    return float(np.mean(np.abs(predicted[u, i] - r)))


def top(scores: np.ndarray, given: csr_matrix, k: int) -> np.ndarray:
    """The k items with the highest scores among those that a user has not rated, the best first: (users, k)."""
    scores = np.where(dense(given)[1] > 0, -np.inf, scores)
    return np.argsort(-scores, 1, kind="stable")[:, :k]


def recall_at(ranked: np.ndarray, asked: csr_matrix) -> np.ndarray:
    """|first k ∩ asked| / min(k, |asked|) for each user who is asked for anything; from 0 to 1.  ranked: (users, k).

    Source: Liang et al. (2018), arXiv:1802.05814, section 4.3.
    """
    hits, count = _hits(ranked, asked)
    return hits.sum(1)[count > 0] / np.minimum(ranked.shape[1], count)[count > 0]


def ndcg_at(ranked: np.ndarray, asked: csr_matrix) -> np.ndarray:
    """Σ_j hit_j / log₂(j + 1) over the first k places, as a share of what the best order would have; from 0 to 1.

    For each user who is asked for anything.  Source: Järvelin & Kekäläinen (2002), doi:10.1145/582415.582418, with
    hits of 0 and 1.
    """
    hits, count = _hits(ranked, asked)
    discount = 1 / np.log2(np.arange(ranked.shape[1]) + 2)
    best = np.concatenate([[0], np.cumsum(discount)])[np.minimum(ranked.shape[1], count)]
    return (hits * discount).sum(1)[count > 0] / best[count > 0]


def _hits(ranked: np.ndarray, asked: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Whether each ranked item was asked for (users, k), and how many items each user was asked for (users,)."""
    wanted = dense(asked)[1]
    return np.take_along_axis(wanted, ranked, 1), np.diff(asked.indptr)


# --- simple methods ---------------------------------------------------------------------------------------------------


class Method(Protocol):
    """A method that is fitted to known ratings and then predicts for all users and items."""

    def fit(self, known: csr_matrix) -> Method: ...

    def predict(self, known: csr_matrix) -> np.ndarray: ...


class Mean:
    """The mean of all known ratings ("all"), of the user's ratings ("users"), or of the item's ratings ("items").

    A user or an item without ratings gets the mean of all.
    """

    def __init__(self, of: Literal["all", "users", "items"] = "all"):
        self.of = of

    def fit(self, known: csr_matrix) -> Mean:
        self.all = float(known.data.mean())
        self.items = _means(known.T.tocsr(), self.all)
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        shape = {"all": np.array(self.all), "users": _means(known, self.all)[:, None], "items": self.items[None]}
        return np.broadcast_to(shape[self.of], size_of(known)).astype(np.float32)


def _means(rows: csr_matrix, otherwise: float) -> np.ndarray:
    """The mean rating of each row, (n,); `otherwise` for a row without ratings."""
    counts, sums = np.diff(rows.indptr), np.asarray(rows.sum(1)).ravel()
    return np.where(counts > 0, sums / np.maximum(counts, 1), otherwise)


class Factorised:
    """Matrix factorisation: r̂_ui = m + b_u + c_i + ⟨p_u, q_i⟩, fitted by alternating ridge regressions.

    min Σ_known (r_ui − r̂_ui)² + λ(|b|² + |c|² + ‖P‖² + ‖Q‖²).  k: factors.  lam: λ.

    Source: Koren, Bell & Volinsky (2009), doi:10.1109/MC.2009.263.
    """

    def __init__(self, k: int = 8, lam: float = 6.0, rounds: int = 15, seed: int = 0):
        self.k, self.lam, self.rounds, self.seed = k, lam, rounds, seed

    def fit(self, known: csr_matrix) -> Factorised:
        self.mean = float(known.data.mean())
        columns = known.T.tocsr()
        random = np.random.default_rng(self.seed)
        self.items = np.c_[np.zeros(size_of(known)[1]), 0.1 * random.normal(size=(size_of(known)[1], self.k))]
        for _ in range(self.rounds):
            users = self._solve(known, self.items)
            self.items = self._solve(columns, users)
        return self

    def _solve(self, rows: csr_matrix, others: np.ndarray) -> np.ndarray:
        """[bias, factors] of each row, (n, 1 + k), while those of the other side stay fixed."""
        result = np.zeros((size_of(rows)[0], 1 + self.k))
        ridge = self.lam * np.eye(1 + self.k)
        for n in range(size_of(rows)[0]):
            at = slice(rows.indptr[n], rows.indptr[n + 1])
            other = others[rows.indices[at]]
            a = np.c_[np.ones(len(other)), other[:, 1:]]
            result[n] = np.linalg.solve(a.T @ a + ridge, a.T @ (rows.data[at] - self.mean - other[:, 0]))
        return result

    def predict(self, known: csr_matrix) -> np.ndarray:
        users = self._solve(known, self.items)
        return (self.mean + users[:, :1] + self.items[:, 0] + users[:, 1:] @ self.items[:, 1:].T).astype(np.float32)


class Popular:
    """Scores items by the number of users who liked them, the same for everybody."""

    def __init__(self, like: float = 4.0):
        self.like = like

    def fit(self, known: csr_matrix) -> Popular:
        self.counts = np.asarray(likes(known, self.like).sum(0)).ravel()
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        return np.broadcast_to(self.counts, size_of(known)).astype(np.float32)


class Neighbours:
    """Item-kNN: an item's score is the sum of its cosines with those items that the user liked and that have it among
    their n nearest items.

    Source: Sarwar et al. (2001), doi:10.1145/371920.372071.
    """

    def __init__(self, n: int = 50, like: float = 4.0):
        self.n, self.like = n, like

    def fit(self, known: csr_matrix) -> Neighbours:
        from sklearn.preprocessing import normalize  # slow to import, and not needed to open the page

        columns: Any = normalize(likes(known, self.like), axis=0)
        cosine = (columns.T @ columns).toarray().astype(np.float32)
        np.fill_diagonal(cosine, 0)
        n = min(self.n, len(cosine))
        least = np.partition(cosine, -n, axis=1)[:, [-n]]
        self.cosine = csr_matrix(np.where(cosine >= least, cosine, 0))
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        scores: Any = likes(known, self.like) @ self.cosine
        return scores.toarray()


# --- autoencoders -----------------------------------------------------------------------------------------------------


class AutoencoderOf:
    """An autoencoder of the catalog as a method; its entry says whether users or items are its examples.

    by: "users" if the rows of `known` are the examples, "items" if its columns are; by default what the entry says.
    plan, seed: of its training.  params: of the model. By default those of its catalog entry.
    side, below: (users, A), or (items, A) if items are the examples: what else is known of each. A model that does not
    read side information leaves it aside.
    Predictions of stars are cut to the range of the known ratings.

    Raises FieldError for a model that is not for ratings.
    """

    def __init__(
        self,
        key: str,
        by: Literal["users", "items"] | None = None,
        seed: int = 0,
        plan: Mapping[str, Any] | None = None,
        **params: Any,
    ):
        recommends = entry(key).recommends
        if recommends is None:
            raise FieldError("model", f"{key} is not for ratings")
        self.key, self.seed, self.params, self.recommends = key, seed, params, recommends
        self.by = by or recommends.examples
        self.plan = {**entry(key).plan, **(plan or {})}

    def begin(self, known: csr_matrix, side: np.ndarray | None = None) -> AutoencoderOf:
        """The model before any training; weights that were stored can then be loaded into `model`."""
        params = dict(self.params)
        if self.recommends.side and side is not None:
            params["side"] = side.shape[1]
        self.low, self.high = float(known.data.min()), float(known.data.max())
        width = size_of(known)[1] if self.by == "users" else size_of(known)[0]
        self.model = seeded_build(entry(self.key), (width,), entry(self.key).check(params), self.seed).eval()
        return self

    def fit(self, known: csr_matrix, side: np.ndarray | None = None) -> AutoencoderOf:
        """Train the model on the known ratings."""
        self.begin(known, side)
        rows = known if self.by == "users" else known.T.tocsr()
        split = Rows(rows, side)
        data = RatingsData(
            DataSpec(name=GENERATED),
            "known ratings",
            (size_of(rows)[1],),
            split,
            split,
            "",
            "",
            attributes=tuple(str(j) for j in range(0 if side is None else side.shape[1])),
            rows=self.by,
        )
        plan = Plan(seed=self.seed, precision="fp32", held_out=1, **self.plan)
        for _ in Training(self.model, data, plan, "cpu"):
            pass
        self.model.eval().requires_grad_(False)
        return self

    def predict(self, known: csr_matrix, side: np.ndarray | None = None) -> np.ndarray:
        """Stars, or scores of a ranking: (users, items). With users as examples, `known` may be of other users."""
        predicted = self._decoded(known if self.by == "users" else known.T.tocsr(), side)
        return predicted if self.by == "users" else predicted.T

    def predict_user(self, matrix: csr_matrix, user: int) -> np.ndarray:
        """Predictions (items,) for one user of the ratings (users, items) that it was fitted to."""
        if self.by == "users":
            return self.predict(matrix[[user]])[0]
        return self._decoded(matrix.T.tocsr(), None, column=user)[:, 0]

    @torch.inference_mode()
    def _decoded(self, rows: csr_matrix, side: np.ndarray | None, column: int | None = None) -> np.ndarray:
        """Predictions for examples (n, V), in batches: (n, V), or with `column` that column alone, (n, 1)."""
        model: Any = self.model
        kept = slice(None) if column is None else [column]
        parts = []
        for start in range(0, size_of(rows)[0], 500):
            x = torch.from_numpy(dense(rows[start : start + 500])[0])
            conditions = ()
            if side is not None and self.recommends.side:
                conditions = (torch.from_numpy(side[start : start + 500]),)
            parts.append(model.decode(model.encode(x, *conditions), *conditions)[:, kept].numpy())
        predicted = np.concatenate(parts)
        return predicted if self.recommends.predicts == "ranking" else predicted.clip(self.low, self.high)

    @torch.inference_mode()
    def item_codes(self, known: csr_matrix) -> np.ndarray:
        """The place of every item in code space, relative to the mean of all items: (items, code).

        That is the item's own code if items are the examples, and otherwise its row of the decoder's last matrix, which
        is multiplied with a user's code.
        """
        model: Any = self.model
        if self.by == "items":
            codes = model.encode(torch.from_numpy(dense(known.T.tocsr())[0])).numpy()
        else:
            codes = item_codes(model)
        return codes - codes.mean(0)  # a part that all items share would make any two look alike


def with_chosen_weight(
    key: str, known: csr_matrix, seed: int, plan: Mapping[str, Any], **params: Any
) -> tuple[AutoencoderOf, float]:
    """A model of stars fitted to the known ratings, and its λ: the best of WEIGHTS on a tenth of these ratings.

    The tenth is held out while λ is chosen, and learnt from in the end. No other rating is looked at.
    """
    fitted, held = hold_out(known, 0.1, seed + 500)

    def method(lam: float) -> AutoencoderOf:
        return AutoencoderOf(key, seed=seed, plan=plan, **{**params, "lam": lam})

    best = min(WEIGHTS, key=lambda lam: rmse(method(lam).fit(fitted).predict(fitted), held))
    return method(best).fit(known), best


# --- why --------------------------------------------------------------------------------------------------------------


def item_codes(model: Model) -> np.ndarray:
    """The weights of each item in the decoder's last layer, (items, code): its place in the space of users' codes.

    If the decoder has hidden layers, it is the place in the space of the last of them.
    """
    decoder: Any = model.decoder
    if isinstance(decoder, nn.Linear):
        return decoder.weight.detach()[:, : model.code].float().cpu().numpy()
    return decoder[-1].weight.detach().float().cpu().numpy()


def _units(codes: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; rows of zeros stay as they are."""
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)


def nearest(codes: np.ndarray, item: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items `among` (n,) sorted by the cosine of their codes with that of `item`, largest first; and cosines."""
    unit = _units(codes)
    cosine = unit[among] @ unit[item]
    order = np.argsort(-cosine, kind="stable")
    return np.asarray(among)[order], cosine[order]


def without(model: Model, x: np.ndarray, item: int) -> tuple[np.ndarray, np.ndarray]:
    """By how much each rating raises the prediction for `item`: (rated items, differences), (n,) each.

    x: (items,) ratings, 0 for none. Each rating is taken away in turn and the prediction is computed again. The
    differences need not add up, since the encoder is not linear.
    """
    able: Any = model
    rated = np.flatnonzero(x)
    rows = np.repeat(x[None].astype(np.float32), len(rated) + 1, 0)
    rows[np.arange(len(rated)), rated] = 0
    with torch.no_grad():
        predicted = able.decode(able.encode(torch.from_numpy(rows)))[:, item].numpy()
    return rated, predicted[-1] - predicted[:-1]


class Reason(NamedTuple):
    """Why an item is recommended.

    near: liked items that are nearest to it in code space.  cosines: of their codes.
    carrier: the rating that raises the prediction most, by `gain`; None if none does, or if items are the examples.
    """

    near: list[int]
    cosines: list[float]
    carrier: int | None
    gain: float


def reasons(method: AutoencoderOf, matrix: csr_matrix, given: Mapping[int, float], items: list[int]) -> list[Reason]:
    """Why these items are recommended to a user who gave these ratings {item: stars}."""
    codes, mean = method.item_codes(matrix), float(matrix.data.mean())
    liked = np.array([i for i, stars in given.items() if stars >= mean] or list(given))
    x = np.zeros(size_of(matrix)[1], np.float32)
    x[list(given)] = list(given.values())
    reasons_by_item = []
    for item in items:
        near, cosines = nearest(codes, item, liked)
        carrier, gain = None, 0.0
        if method.by == "users":
            rated, gains = without(method.model, x, item)
            most = int(np.argmax(gains))
            carrier, gain = (int(rated[most]), float(gains[most])) if gains[most] > 0 else (None, 0.0)
        reasons_by_item.append(Reason(near[:2].tolist(), cosines[:2].tolist(), carrier, gain))
    return reasons_by_item


def agreement(codes: np.ndarray, genres: np.ndarray, n: int = 10) -> float:
    """The share of an item's n nearest items (by cosine) that have a genre in common with it; mean over all items."""
    from sklearn.neighbors import NearestNeighbors

    n = min(n, len(codes) - 1)
    near = NearestNeighbors(n_neighbors=n + 1, metric="cosine").fit(codes).kneighbors(return_distance=False, X=codes)
    # An item is usually its own nearest neighbour; if equal ones come before it, the last neighbour is left out.
    others = np.stack([row[row != k][:n] for k, row in enumerate(near)])
    return float(((genres[others] * genres[:, None]).sum(-1) > 0).mean())


# --- the study --------------------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """What the study is made of.

    look: "compare" all methods, or fit "one" model to all ratings.  model, hidden: of that one; its share of hidden
    ratings.  data: which ratings.  path: of your own, for "ratings".  seeds: their number, from 0; of splits, weights
    and order.  asked: share of the ratings that is asked for.  epochs: of every training.  k: places of a ranking.
    like: stars from which a film counts as liked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: Literal["compare", "one"] = "compare"
    model: str = DENOISING
    hidden: float = Field(default=0.5, ge=0, le=0.95)
    data: Literal["ratings", "ml-100k", "ml-1m"] = GENERATED
    path: str = ""
    seeds: int = Field(default=3, ge=1, le=10)
    asked: float = Field(default=0.1, ge=0.01, le=0.5)
    epochs: int = Field(default=80, ge=1, le=1000)
    k: int = Field(default=20, ge=1, le=100)
    like: float = Field(default=4.0, ge=LOWEST, le=HIGHEST, allow_inf_nan=False)

    _path = path_with("data", GENERATED)

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in KNOWN:
            raise ValueError(f"it must be one of {', '.join(KNOWN)}")
        return model


def ratings_of(settings: Settings) -> Ratings:
    """The ratings that the settings name."""
    return load_ratings(DataSpec(name=settings.data, path=settings.path or None))


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """All methods compared, or one model fitted to all ratings: see `compare` and `fit_one`."""
    return (fit_one if settings.look == "one" else compare)(settings, progress)


def fit_one(settings: Settings, progress: Progress) -> dict[str, Any]:
    """{"weights", "seconds"}: of one model's training on all ratings."""
    ratings = ratings_of(settings)
    progress(0.1, f"{settings.model} learns from {ratings.matrix.nnz:,} ratings")
    began = time.perf_counter()
    model = one(settings).fit(ratings.matrix).model
    return {"weights": quantize.to_text(model.state_dict()), "seconds": time.perf_counter() - began}


def one(settings: Settings) -> AutoencoderOf:
    """The model that the settings name, before it is fitted."""
    recipe = KNOWN[settings.model]
    hides = hides_of(settings.model)
    return _method(recipe, settings, 0, **({hides: settings.hidden} if hides else {}))


def hides_of(name: str) -> str:
    """The parameter of a model in KNOWN that is the share of ratings hidden in training; "" if it has none."""
    recommends = entry(KNOWN[name].key).recommends
    return recommends.hides if recommends else ""


def ranks(name: str) -> bool:
    """Whether a model in KNOWN ranks items instead of predicting stars."""
    recommends = entry(KNOWN[name].key).recommends
    return recommends is not None and recommends.predicts == "ranking"


def _method(recipe: Recipe, settings: Settings, seed: int, **params: Any) -> AutoencoderOf:
    """A recipe with the epochs of the settings, and their threshold of a like if the model has one."""
    like = {"like": settings.like} if "like" in entry(recipe.key).params else {}
    plan = {"epochs": settings.epochs, **recipe.plan}
    return AutoencoderOf(recipe.key, seed=seed, plan=plan, **{**recipe.params, **like, **params})


class Steps:
    """Progress that is counted in steps. Call it before a step with a sentence, and with `count` steps at once."""

    def __init__(self, progress: Progress, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, doing: str, count: int = 1) -> None:
        self.progress(self.done / self.total, doing)
        self.done += count


Scores = dict[str, dict[str, list]]
"""Method → score → a value for each seed."""


def compare(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Stars and rankings of all methods over the seeds, users by number of ratings, and what denoising changes.

    "stars": method → rmse, mae (a value for each seed), few (seeds, bins: RMSE by the user's number of known ratings),
    true (against the true means of all pairs that nobody told, if the truth is known).  "ranks": method → recall, ndcg,
    for held-out users.  "floor": RMSE of the truth itself.  "noise": scores of the model DENOISING by its share of
    hidden ratings.  "activations": "f, g" → RMSE of the model BY_ITEMS, each with a λ of its own, see
    `with_chosen_weight`.  "map", "weights": places of items, and the model DENOISING fitted to all ratings.
    """
    ratings = ratings_of(settings)
    hold_out_users(ratings.matrix)  # says what cannot be split before anything is trained
    if not likes(ratings.matrix, settings.like).nnz:
        raise DataError(
            f"No rating is {settings.like:g} or more, so nothing is liked; the highest is "
            f"{ratings.matrix.data.max():g}. Give a lower `like`."
        )
    activations = (1 + len(WEIGHTS)) * len(PUBLISHED_ACTIVATIONS)
    per_seed = 4 + len(STARS) + len(NOISES) + 2 + len(RANKS) + activations
    step = Steps(progress, settings.seeds * per_seed + 2)
    result: dict[str, Any] = {
        "title": ratings.title,
        "users": size_of(ratings.matrix)[0],
        "items": size_of(ratings.matrix)[1],
        "ratings": int(ratings.matrix.nnz),
        "seeds": list(range(settings.seeds)),
        "bins": list(BINS),
        "counts": [],
        "stars": {},
        "ranks": {},
        "noise": {},
        "floor": [],
        "activations": {},
    }
    for seed in range(settings.seeds):
        known, asked = hold_out(ratings.matrix, settings.asked, seed)
        group = np.digitize(np.diff(known.indptr), BINS) - 1
        result["counts"] = np.bincount(group, minlength=len(BINS) - 1).tolist()
        if ratings.truth is not None:
            result["floor"].append(rmse(ratings.truth, asked))
        parts = RatingSplit(ratings, known, asked, group)
        _compare_stars(result["stars"], parts, settings, seed, step)
        _compare_noises(result["noise"], parts, settings, seed, step)
        _compare_activations(result["activations"], parts, settings, seed, step)
        _compare_ranks(result["ranks"], ratings, settings, seed, step)
    step("A small model of all ratings, for the page")
    recipe = STARS[DENOISING]
    small = _method(recipe, settings, 0).fit(ratings.matrix)
    step("A map of the films")
    result["map"] = _map(ratings, small, settings)
    result["weights"] = quantize.to_text(small.model.state_dict())
    return result


class RatingSplit(NamedTuple):
    """One split of the ratings.  known, asked: (users, items).  group: (users,) by number of known ratings."""

    ratings: Ratings
    known: csr_matrix
    asked: csr_matrix
    group: np.ndarray

    def scores(self, predicted: np.ndarray) -> dict[str, Any]:
        """{"rmse", "mae", "few", "true"} of predicted stars (users, items); see `compare`."""
        u, i, r = pairs(self.asked)
        square = (predicted[u, i] - r) ** 2
        member = [self.group[u] == g for g in range(len(BINS) - 1)]
        few = [float(np.sqrt(square[which].mean())) if which.any() else None for which in member]
        scores: dict[str, Any] = {"rmse": rmse(predicted, self.asked), "mae": mae(predicted, self.asked), "few": few}
        if self.ratings.truth is not None:
            untold = dense(self.known)[1] == 0
            scores["true"] = float(np.sqrt(np.mean((predicted - self.ratings.truth)[untold] ** 2)))
        return scores


def _compare_stars(table: Scores, split: RatingSplit, settings: Settings, seed: int, step: Steps) -> None:
    """Means, factorisation and all autoencoders that predict stars."""
    simple: dict[str, Method] = {
        "mean of all": Mean("all"),
        "user’s mean": Mean("users"),
        "film’s mean": Mean("items"),
        "matrix factorisation": Factorised(seed=seed),
    }
    for name, method in simple.items():
        step(f"Seed {seed}: {name}")
        _add(table, name, split.scores(method.fit(split.known).predict(split.known)))
    for name, recipe in STARS.items():
        side = split.ratings.traits if name == TRAITS else None
        if side is not None and not side.shape[1]:
            continue
        step(f"Seed {seed}: {name}")
        method = _method(recipe, settings, seed).fit(split.known, side)
        _add(table, name, split.scores(method.predict(split.known, side)))


def _compare_noises(table: Scores, split: RatingSplit, settings: Settings, seed: int, step: Steps) -> None:
    """The model DENOISING with each share of hidden ratings."""
    for hidden in NOISES:
        step(f"Seed {seed}: denoising, {hidden:.0%} hidden")
        method = _method(STARS[DENOISING], settings, seed, **{hides_of(DENOISING): hidden}).fit(split.known)
        _add(table, f"{hidden:g}", split.scores(method.predict(split.known)))


def _compare_activations(
    table: dict[str, list[float]], split: RatingSplit, settings: Settings, seed: int, step: Steps
) -> None:
    """The model BY_ITEMS with each pair of activations."""
    key, params, plan = STARS[BY_ITEMS]
    for f, g in PUBLISHED_ACTIVATIONS:
        step(f"Seed {seed}: {BY_ITEMS}, f {f}, g {g}", 1 + len(WEIGHTS))
        plan = {"epochs": settings.epochs, **plan}
        method, _ = with_chosen_weight(key, split.known, seed, plan, **{**params, "f": f, "g": g})
        table.setdefault(f"{f}, {g}", []).append(rmse(method.predict(split.known), split.asked))


def _compare_ranks(table: Scores, ratings: Ratings, settings: Settings, seed: int, step: Steps) -> None:
    """Popularity, neighbours and all autoencoders that rank, for users who were held out."""
    split = hold_out_users(ratings.matrix, seed=seed)
    wanted = likes(split.asked, settings.like)
    for name, method in _rank_methods(settings, seed):
        step(f"Seed {seed}: ranking by {name}")
        ranked = top(method.fit(split.train).predict(split.given), split.given, settings.k)
        recall, ndcg = recall_at(ranked, wanted), ndcg_at(ranked, wanted)
        _add(table, name, {"recall": float(recall.mean()), "ndcg": float(ndcg.mean())})


def _rank_methods(settings: Settings, seed: int) -> Iterator[tuple[str, Method]]:
    yield "popularity", Popular(settings.like)
    yield "item-kNN", Neighbours(like=settings.like)
    for name, recipe in RANKS.items():
        yield name, _method(recipe, settings, seed)


def _add(table: Scores, name: str, scores: Mapping[str, Any]) -> None:
    """Append the scores of one more seed."""
    for score, value in scores.items():
        table.setdefault(name, {}).setdefault(score, []).append(value)


def _map(ratings: Ratings, small: AutoencoderOf, settings: Settings) -> dict[str, Any]:
    """Items in the plane of the first two principal components of their codes, and the agreement of genres."""
    from sklearn.decomposition import PCA

    by_items = _method(STARS[BY_ITEMS], settings, 0).fit(ratings.matrix)
    codes = {
        f"{BY_ITEMS}’s codes": by_items.item_codes(ratings.matrix),
        f"{DENOISING}’s decoder": small.item_codes(ratings.matrix),
    }
    if ratings.tastes is not None:
        codes["true tastes"] = ratings.tastes[1]
    codes["ratings, as they are"] = dense(ratings.transposed)[0]
    return {
        name: {
            "points": PCA(2, random_state=0).fit_transform(_units(z)).round(4).tolist(),
            "agreement": agreement(z, ratings.genres) if ratings.genres.shape[1] else None,
        }
        for name, z in codes.items()
    }


def rows(study: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: stars, then rankings."""
    if "stars" not in study:
        return [{"seconds of training": f"{study['seconds']:.1f}"}]
    stars = [
        {"method": name, "RMSE": over_seeds(scores["rmse"]), "MAE": over_seeds(scores["mae"])}
        for name, scores in study["stars"].items()
    ]
    rankings = [
        {"method": name, "Recall": over_seeds(scores["recall"]), "NDCG": over_seeds(scores["ndcg"])}
        for name, scores in study["ranks"].items()
    ]
    return [{"RMSE": "", "MAE": "", "Recall": "", "NDCG": ""} | row for row in (*stars, *rankings)]
