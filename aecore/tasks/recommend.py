"""Recommending (chapter §4.5): methods that predict ratings or rank items, beside simple ones; splits and scores.

Every method has `fit(known)` and `predict(known)` → (users, items): `known` is a sparse matrix (users, items) of the
ratings that may be looked at. Memory: 4 bytes for each user and item in what `predict` returns.

>>> from aecore.data import ratings
>>> known, asked = hold_out(ratings.world().matrix, share=0.1, seed=0)
>>> error = rmse(AutoencoderOf("u_autorec").fit(known).predict(known), asked)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from scipy.sparse import coo_matrix, csr_matrix
from torch import nn

from ..catalog import entry, seeded_build
from ..data.base import DataSpec
from ..data.files.ratings import HIGHEST, LOWEST
from ..data.ratings import Ratings, RatingsData, Rows, dense
from ..data.sets.rating_sets import get
from ..errors import DataError
from ..models.base import Model
from ..nn import quantize
from ..training.loop import Training
from ..training.plan import Plan
from . import over_seeds, path_with

# --- splits -----------------------------------------------------------------------------------------------------------


def hold_out(matrix: csr_matrix, share: float = 0.1, seed: int = 0) -> tuple[csr_matrix, csr_matrix]:
    """Ratings that are known, and others that are asked for: a seeded share of all, of the same users.

    Both are (users, items), and no rating is in both. The first rating, in random order, of every user and of every
    item stays known.
    """
    entries = matrix.tocoo()
    order = np.random.default_rng((11, seed)).permutation(entries.nnz)
    keep = np.zeros(entries.nnz, bool)
    for line in (entries.row, entries.col):
        keep[order[np.unique(line[order], return_index=True)[1]]] = True
    free = order[~keep[order]]
    asked = np.zeros(entries.nnz, bool)
    asked[free[: round(share * entries.nnz)]] = True
    return _some(entries, ~asked), _some(entries, asked)


def _some(entries: coo_matrix, which: np.ndarray) -> csr_matrix:
    return csr_matrix((entries.data[which], (entries.row[which], entries.col[which])), entries.shape)


class Strong(NamedTuple):
    """A split by users (strong generalisation): a method learns from `train` alone, all of other users.

    given: what held-out users tell, (held out, items).  asked: what they do not tell, of the same rows.
    users: their numbers, and of those in `train`.
    """

    train: csr_matrix
    given: csr_matrix
    asked: csr_matrix
    users: np.ndarray
    others: np.ndarray


def hold_out_users(matrix: csr_matrix, share: float = 0.2, tell: float = 0.8, seed: int = 0) -> Strong:
    """A seeded share of users held out; each tells a share of the ratings and is asked for the others.

    Source: Liang et al. (2018), arXiv:1802.05814, section 4.2. Departures: all ratings are told and asked for, of which
    those that are no like count for nothing afterwards; there the data are reduced to likes first.
    DataError where too few users rated 5 items or more.
    """
    random = np.random.default_rng((12, seed))
    enough = np.flatnonzero(np.diff(matrix.indptr) >= 5)
    if len(enough) < 5:
        raise DataError(f"{len(enough)} users rated 5 or more films. To hold some out, at least 5 are needed.")
    users = np.sort(random.permutation(enough)[: max(1, round(share * len(enough)))])
    held = matrix[users].tocoo()
    place = random.random(held.nnz)
    order = np.lexsort((place, held.row))
    starts = np.concatenate([[0], np.cumsum(np.bincount(held.row, minlength=len(users)))])
    rank = np.empty(held.nnz, int)
    rank[order] = np.arange(held.nnz) - starts[held.row[order]]
    told = rank < np.ceil(tell * np.diff(starts) - 1e-9).astype(int)[held.row]
    others = np.setdiff1d(np.arange(matrix.shape[0]), users)
    return Strong(matrix[others], _some(held, told), _some(held, ~told), users, others)


def likes(matrix: csr_matrix, like: float = 4.0) -> csr_matrix:
    """1 where a rating is at least `like`; all else is not stored."""
    entries = matrix.tocoo()
    found = _some(entries, entries.data >= like)
    found.data[:] = 1
    return found


# --- scores -----------------------------------------------------------------------------------------------------------


def pairs(asked: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(user, item, rating) of each stored rating."""
    entries = asked.tocoo()
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
    """The k items of highest score that each user has not told already, best first: (users, k)."""
    scores = np.where(dense(given)[1] > 0, -np.inf, scores)
    return np.argsort(-scores, 1, kind="stable")[:, :k]


def recall_at(ranked: np.ndarray, asked: csr_matrix) -> np.ndarray:
    """|first k ∩ asked| / min(k, |asked|) for each user with anything asked; from 0 to 1.  ranked: (users, k).

    Source: Liang et al. (2018), arXiv:1802.05814, section 4.3.
    """
    hits, count = _hits(ranked, asked)
    return hits.sum(1)[count > 0] / np.minimum(ranked.shape[1], count)[count > 0]


def ndcg_at(ranked: np.ndarray, asked: csr_matrix) -> np.ndarray:
    """Σ_j hit_j / log₂(j + 1) over the first k places, as a share of what the best order would have; from 0 to 1.

    For each user with anything asked. Source: Järvelin & Kekäläinen (2002), doi:10.1145/582415.582418, with hits 0, 1.
    """
    hits, count = _hits(ranked, asked)
    discount = 1 / np.log2(np.arange(ranked.shape[1]) + 2)
    best = np.concatenate([[0], np.cumsum(discount)])[np.minimum(ranked.shape[1], count)]
    return (hits * discount).sum(1)[count > 0] / best[count > 0]


def _hits(ranked: np.ndarray, asked: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    wanted = dense(asked)[1]
    return np.take_along_axis(wanted, ranked, 1), np.diff(asked.indptr)


# --- simple methods ---------------------------------------------------------------------------------------------------


class Method(Protocol):
    """What can be fitted to known ratings and then predicts for all users and items."""

    def fit(self, known: csr_matrix) -> Method: ...

    def predict(self, known: csr_matrix) -> np.ndarray: ...


class Mean:
    """The mean of all known ratings, of the user's ("users"), or of the item's ("items").

    Who has none gets the mean of all.
    """

    def __init__(self, of: Literal["all", "users", "items"] = "all"):
        self.of = of

    def fit(self, known: csr_matrix) -> Mean:
        self.all = float(known.data.mean())
        self.items = _means(known.T.tocsr(), self.all)
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        shape = {"all": np.array(self.all), "users": _means(known, self.all)[:, None], "items": self.items[None]}
        return np.broadcast_to(shape[self.of], known.shape).astype(np.float32)


def _means(rows: csr_matrix, otherwise: float) -> np.ndarray:
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
        self.items = np.c_[np.zeros(known.shape[1]), 0.1 * random.normal(size=(known.shape[1], self.k))]
        for _ in range(self.rounds):
            users = self._solve(known, self.items)
            self.items = self._solve(columns, users)
        return self

    def _solve(self, rows: csr_matrix, others: np.ndarray) -> np.ndarray:
        """[bias, factors] (n, 1 + k) of each row, those of the others given."""
        found = np.zeros((rows.shape[0], 1 + self.k))
        ridge = self.lam * np.eye(1 + self.k)
        for n in range(rows.shape[0]):
            at = slice(rows.indptr[n], rows.indptr[n + 1])
            other = others[rows.indices[at]]
            a = np.c_[np.ones(len(other)), other[:, 1:]]
            found[n] = np.linalg.solve(a.T @ a + ridge, a.T @ (rows.data[at] - self.mean - other[:, 0]))
        return found

    def predict(self, known: csr_matrix) -> np.ndarray:
        users = self._solve(known, self.items)
        return (self.mean + users[:, :1] + self.items[:, 0] + users[:, 1:] @ self.items[:, 1:].T).astype(np.float32)


class Popular:
    """Items by how many liked them, the same for everybody."""

    def __init__(self, like: float = 4.0):
        self.like = like

    def fit(self, known: csr_matrix) -> Popular:
        self.counts = np.asarray(likes(known, self.like).sum(0)).ravel()
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        return np.broadcast_to(self.counts, known.shape).astype(np.float32)


class Neighbours:
    """Item-kNN: an item's score is the sum of its cosines with the items that the user liked, as far as it is among
    the n nearest of these.

    Source: Sarwar et al. (2001), doi:10.1145/371920.372071.
    """

    def __init__(self, n: int = 50, like: float = 4.0):
        self.n, self.like = n, like

    def fit(self, known: csr_matrix) -> Neighbours:
        from sklearn.preprocessing import normalize  # here: the page needs none of it to open

        columns = normalize(likes(known, self.like), axis=0)
        cosine = (columns.T @ columns).toarray().astype(np.float32)
        np.fill_diagonal(cosine, 0)
        n = min(self.n, len(cosine))
        least = np.partition(cosine, -n, axis=1)[:, [-n]]
        self.cosine = csr_matrix(np.where(cosine >= least, cosine, 0))
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        return (likes(known, self.like) @ self.cosine).toarray()


# --- autoencoders -----------------------------------------------------------------------------------------------------

LIKES = ("cdae", "multi_vae")


class AutoencoderOf:
    """An autoencoder of the catalog as a method: the rows of `known` are its examples, or the columns of I-AutoRec.

    side: (users, A), or (items, A) for I-models: what else is known of each (only `cfn`).
    plan, seed: of its training; params: of the model. By default those of its catalog entry.
    Predictions of stars are cut to the range of the known ratings.
    """

    def __init__(
        self,
        key: str,
        by: Literal["users", "items"] | None = None,
        seed: int = 0,
        plan: Mapping[str, Any] | None = None,
        **params: Any,
    ):
        self.key, self.seed, self.params = key, seed, params
        self.by = by or ("items" if key == "i_autorec" else "users")
        self.plan = {**entry(key).plan, **(plan or {})}

    def begin(self, known: csr_matrix, side: np.ndarray | None = None) -> AutoencoderOf:
        """As before any training: weights that were kept can then be loaded into `model`."""
        params = dict(self.params)
        if self.key == "cfn" and side is not None:
            params["side"] = side.shape[1]
        self.low, self.high = float(known.data.min()), float(known.data.max())
        width = known.shape[1] if self.by == "users" else known.shape[0]
        self.model = seeded_build(entry(self.key), (width,), entry(self.key).check(params), self.seed).eval()
        return self

    def fit(self, known: csr_matrix, side: np.ndarray | None = None) -> AutoencoderOf:
        self.begin(known, side)
        rows = known if self.by == "users" else known.T.tocsr()
        names = tuple(f"{j}" for j in range(0 if side is None else side.shape[1]))
        split = Rows(rows, side)
        data = RatingsData(
            DataSpec(name="ratings"),
            "known ratings",
            (rows.shape[1],),
            split,
            split,
            "",
            "",
            attributes=names,
            rows=self.by,
        )
        for _ in Training(self.model, data, Plan(seed=self.seed, precision="fp32", held_out=1, **self.plan), "cpu"):
            pass
        self.model.eval().requires_grad_(False)
        return self

    @torch.inference_mode()
    def predict(self, known: csr_matrix, side: np.ndarray | None = None) -> np.ndarray:
        """Stars, or scores of liking: (users, items). Rows may be other users than it was fitted to ("users")."""
        rows = known if self.by == "users" else known.T.tocsr()
        parts = []
        for start in range(0, rows.shape[0], 500):
            x = torch.from_numpy(dense(rows[start : start + 500])[0])
            told = () if side is None or self.key != "cfn" else (torch.from_numpy(side[start : start + 500]),)
            parts.append(self.model.decode(self.model.encode(x, *told), *told).numpy())
        found = np.concatenate(parts)
        found = found if self.key in LIKES else found.clip(self.low, self.high)
        return found if self.by == "users" else found.T

    @torch.inference_mode()
    def item_codes(self, known: csr_matrix) -> np.ndarray:
        """(items, code): the place of every item in code space, from the mean of all items: its own code where items
        are the examples, else its row of the decoder's last matrix, which is multiplied with a user's code."""
        if self.by == "items":
            codes = self.model.encode(torch.from_numpy(dense(known.T.tocsr())[0])).numpy()
        else:
            codes = item_codes(self.model)
        return codes - codes.mean(0)  # what all have in common would make any two look alike


WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0)


def with_chosen_weight(
    key: str, known: csr_matrix, seed: int, plan: Mapping[str, Any], **params: Any
) -> tuple[AutoencoderOf, float]:
    """A model of stars fitted to the known ratings with that λ of WEIGHTS which was best on a tenth of them, and λ.

    The tenth is held out while λ is chosen, and learnt from in the end. No other rating is looked at.
    """
    fitted, held = hold_out(known, 0.1, seed + 500)

    def method(lam: float) -> AutoencoderOf:
        return AutoencoderOf(key, seed=seed, plan=plan, **{**params, "lam": lam})

    best = min(WEIGHTS, key=lambda lam: rmse(method(lam).fit(fitted).predict(fitted), held))
    return method(best).fit(known), best


# --- why --------------------------------------------------------------------------------------------------------------


def item_codes(model: Model) -> np.ndarray:
    """(items, code): the decoder's last weights of each item, its place in the space of users' codes or, where the
    decoder has hidden layers, of the last of these."""
    decoder: Any = model.decoder
    if isinstance(decoder, nn.Linear):
        return decoder.weight.detach()[:, : model.code].float().cpu().numpy()
    return decoder[-1].weight.detach().float().cpu().numpy()


def _units(codes: np.ndarray) -> np.ndarray:
    """Rows brought to length 1; of zeros, left as they are."""
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)


def nearest(codes: np.ndarray, item: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those items of `among` whose codes point most as the item's does, nearest first, and their cosines."""
    unit = _units(codes)
    cosine = unit[among] @ unit[item]
    order = np.argsort(-cosine, kind="stable")
    return np.asarray(among)[order], cosine[order]


def without(model: Model, x: np.ndarray, item: int) -> tuple[np.ndarray, np.ndarray]:
    """Which ratings carry a prediction: the rated items, and by how much each rating raises that of `item`.

    x: (items,) ratings, 0 where there is none. Each is taken away in turn, and the prediction made anew; the
    differences need not add up, since the encoder bends.
    """
    rated = np.flatnonzero(x)
    rows = np.repeat(x[None].astype(np.float32), len(rated) + 1, 0)
    rows[np.arange(len(rated)), rated] = 0
    with torch.no_grad():
        found = model.decode(model.encode(torch.from_numpy(rows)))[:, item].numpy()
    return rated, found[-1] - found[:-1]


def agreement(codes: np.ndarray, genres: np.ndarray, n: int = 10) -> float:
    """The share of each item's n nearest (by cosine) that have a genre in common with it; mean over items."""
    from sklearn.neighbors import NearestNeighbors

    n = min(n, len(codes) - 1)
    near = NearestNeighbors(n_neighbors=n + 1, metric="cosine").fit(codes).kneighbors(return_distance=False, X=codes)
    # An item is usually its own nearest; where equals come before it, the last one is left out.
    others = np.stack([row[row != k][:n] for k, row in enumerate(near)])
    return float(((genres[others] * genres[:, None]).sum(-1) > 0).mean())


# --- the study --------------------------------------------------------------------------------------------------------

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

BINS = (1, 10, 20, 50, 10_000)
"""Users by how many ratings of theirs are known."""
NOISES = (0.0, 0.25, 0.5, 0.75)
STARS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "U-AutoRec": ("u_autorec", {"code": 64, "lam": 0.01}, {"lr": 6e-3}),
    "I-AutoRec": ("i_autorec", {"code": 64, "lam": 0.1}, {"lr": 6e-3, "batch": 32}),
    "CFN": ("cfn", {"code": 16, "lam": 0.05, "noise": 0.5}, {}),
    "CFN, told traits": ("cfn", {"code": 16, "lam": 0.05, "noise": 0.5}, {}),
}
"""Autoencoders that predict stars: key, parameters, plan. λ, code and noise were chosen by hand on the generated world,
split by seed 1000, whose held-out ratings are partly those of other splits; learning rates were not."""
RANKS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "U-AutoRec": ("u_autorec", {"code": 64, "lam": 0.01}, {"lr": 6e-3}),
    "CDAE": ("cdae", {"lam": 0.001}, {}),
    "Mult-VAE": ("multi_vae", {"beta": 0.5, "width": 128}, {}),
}


KNOWN = {
    **{name: one for name, one in STARS.items() if "traits" not in name},
    **{name: one for name, one in RANKS.items() if name not in STARS},
}
"""Every autoencoder of the comparison by its name, told no traits."""


class Settings(BaseModel):
    """What the study is made of.

    look: "compare" all methods, or fit "one" model to all ratings, whose name and share of hidden ratings follow.
    data: which ratings.  path: of your own, for "ratings".  seeds: how many, from 0; of splits, weights and order.
    asked: share of ratings that is asked for.  epochs: of every training.  k: places of a ranking.  like: from how many
    stars on a film counts as liked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: Literal["compare", "one"] = "compare"
    model: str = "CFN"
    hidden: float = Field(0.5, ge=0, le=0.95)
    data: Literal["ratings", "ml-100k", "ml-1m"] = "ratings"
    path: str = ""
    seeds: int = Field(3, ge=1, le=10)
    asked: float = Field(0.1, ge=0.01, le=0.5)
    epochs: int = Field(80, ge=1, le=1000)
    k: int = Field(20, ge=1, le=100)
    like: float = Field(4.0, ge=LOWEST, le=HIGHEST, allow_inf_nan=False)

    _path = path_with("data", "ratings")

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in KNOWN:
            raise ValueError(f"it must be one of {', '.join(KNOWN)}")
        return model


def ratings_of(settings: Settings) -> Ratings:
    return get(DataSpec(name=settings.data, path=settings.path or None))


def study(settings: Settings, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """Stars and rankings of all methods over the seeds, users by number of ratings, and what denoising changes.

    "stars": method → rmse, mae (a number a seed), few (seeds, bins: RMSE by the user's number of known ratings), true
    (against the true means of all pairs that nobody told, where there is a truth).  "ranks": method → recall, ndcg, for
    users who were held out.  "floor": RMSE of the truth itself.  "noise": RMSE of CFN by share hidden.
    "activations": "f, g" → RMSE of I-AutoRec, each with a λ of its own, see `with_chosen_weight`.
    "map", "weights": places of items, and a small CFN fitted to all ratings, for the page.
    Of "one" model: its "weights", and "seconds" of its training.
    """
    ratings = ratings_of(settings)
    if settings.look == "one":
        progress(0.1, f"{settings.model} learns from {ratings.matrix.nnz:,} ratings")
        began = time.perf_counter()
        model = one(settings).fit(ratings.matrix).model
        return {"weights": quantize.to_text(model.state_dict()), "seconds": time.perf_counter() - began}
    hold_out_users(ratings.matrix)  # where that cannot be done it is said before anything is trained
    if not likes(ratings.matrix, settings.like).nnz:
        raise DataError(
            f"No rating is {settings.like:g} or more, so nothing is liked; the highest is "
            f"{ratings.matrix.data.max():g}. Give a lower `like`."
        )
    steps = settings.seeds * (3 + 1 + len(STARS) + len(NOISES) + 2 + len(RANKS) + 6 * len(PUBLISHED_ACTIVATIONS)) + 2
    done = 0

    def next_(doing: str) -> None:
        nonlocal done
        progress(done / steps, doing)
        done += 1

    stars: dict[str, dict[str, list]] = {}
    ranks: dict[str, dict[str, list]] = {}
    noise: dict[str, dict[str, list]] = {}
    activations: dict[str, list[float]] = {}
    floor, counts = [], np.zeros(len(BINS) - 1, int)
    for seed in range(settings.seeds):
        known, asked = hold_out(ratings.matrix, settings.asked, seed)
        group = np.digitize(np.diff(known.indptr), BINS) - 1
        counts = np.bincount(group, minlength=len(BINS) - 1)
        if ratings.truth is not None:
            floor.append(rmse(ratings.truth, asked))
        for name, method, side in _star_methods(ratings, settings, seed):
            next_(f"Seed {seed}: {name}")
            told = {} if side is None else {"side": side}
            _add(
                stars,
                name,
                _star_scores(method.fit(known, **told).predict(known, **told), known, asked, group, ratings.truth),
            )
        for hidden in NOISES:
            next_(f"Seed {seed}: denoising, {hidden:.0%} hidden")
            params = {**STARS["CFN"][1], "noise": hidden}
            method = AutoencoderOf("cfn", seed=seed, plan={"epochs": settings.epochs}, **params)
            _add(
                noise, f"{hidden:g}", _star_scores(method.fit(known).predict(known), known, asked, group, ratings.truth)
            )
        for f, g in PUBLISHED_ACTIVATIONS:
            next_(f"Seed {seed}: I-AutoRec, f {f}, g {g}")
            key, params, plan = STARS["I-AutoRec"]
            plan = {"epochs": settings.epochs, **plan}
            method, _ = with_chosen_weight(key, known, seed, plan, **{**params, "f": f, "g": g})
            done += len(WEIGHTS)
            activations.setdefault(f"{f}, {g}", []).append(rmse(method.predict(known), asked))
        split = hold_out_users(ratings.matrix, seed=seed)
        wanted = likes(split.asked, settings.like)
        for name, method in _rank_methods(settings, seed):
            next_(f"Seed {seed}: ranking by {name}")
            ranked = top(method.fit(split.train).predict(split.given), split.given, settings.k)
            recall, ndcg = recall_at(ranked, wanted), ndcg_at(ranked, wanted)
            _add(ranks, name, {"recall": float(recall.mean()), "ndcg": float(ndcg.mean())})
    next_("A small model of all ratings, for the page")
    small = AutoencoderOf("cfn", plan={"epochs": settings.epochs}, **STARS["CFN"][1]).fit(ratings.matrix)
    next_("A map of the films")
    return {
        "title": ratings.title,
        "users": ratings.matrix.shape[0],
        "items": ratings.matrix.shape[1],
        "ratings": int(ratings.matrix.nnz),
        "seeds": list(range(settings.seeds)),
        "bins": list(BINS),
        "counts": counts.tolist(),
        "stars": stars,
        "ranks": ranks,
        "noise": noise,
        "floor": floor,
        "activations": activations,
        "map": _map(ratings, small, settings),
        "weights": quantize.to_text(small.model.state_dict()),
    }


def one(settings: Settings) -> AutoencoderOf:
    """The model that the settings name, not fitted."""
    key, params, plan = KNOWN[settings.model]
    params = params | ({"noise": settings.hidden} if key == "cfn" else {})
    params = params | ({"like": settings.like} if key in LIKES else {})
    return AutoencoderOf(key, plan={"epochs": settings.epochs, **plan}, **params)


def of_user(method: AutoencoderOf, matrix: csr_matrix, user: int) -> np.ndarray:
    """(items,) what the method says of one user of the ratings it was fitted to, without all others."""
    if method.by == "users":
        return method.predict(matrix[[user]])[0]
    rows = matrix.T.tocsr()
    parts = []
    with torch.inference_mode():
        for start in range(0, rows.shape[0], 500):
            x = torch.from_numpy(dense(rows[start : start + 500])[0])
            parts.append(method.model.decode(method.model.encode(x))[:, user].numpy())
    return np.concatenate(parts).clip(method.low, method.high)


def _star_methods(ratings: Ratings, settings: Settings, seed: int):
    """(name, method, what else is known of the users or None)."""
    for of, name in (("all", "mean of all"), ("users", "user’s mean"), ("items", "film’s mean")):
        yield name, Mean(of), None
    yield "matrix factorisation", Factorised(seed=seed), None
    for name, (key, params, plan) in STARS.items():
        told = name.endswith("traits")
        if not told or ratings.traits.shape[1]:
            method = AutoencoderOf(key, seed=seed, plan={"epochs": settings.epochs, **plan}, **params)
            yield name, method, ratings.traits if told else None


def _rank_methods(settings: Settings, seed: int):
    yield "popularity", Popular(settings.like)
    yield "item-kNN", Neighbours(like=settings.like)
    for name, (key, params, plan) in RANKS.items():
        like = {"like": settings.like} if key in LIKES else {}
        yield name, AutoencoderOf(key, seed=seed, plan={"epochs": settings.epochs, **plan}, **params, **like)


def _star_scores(
    predicted: np.ndarray, known: csr_matrix, asked: csr_matrix, group: np.ndarray, truth: np.ndarray | None
) -> dict[str, Any]:
    u, i, r = pairs(asked)
    square = (predicted[u, i] - r) ** 2
    few = [
        float(np.sqrt(square[group[u] == g].mean())) if (group[u] == g).any() else None for g in range(len(BINS) - 1)
    ]
    found: dict[str, Any] = {"rmse": rmse(predicted, asked), "mae": mae(predicted, asked), "few": few}
    if truth is not None:
        untold = dense(known)[1] == 0
        found["true"] = float(np.sqrt(np.mean((predicted - truth)[untold] ** 2)))
    return found


def _add(table: dict[str, dict[str, list]], name: str, scores: Mapping[str, Any]) -> None:
    for score, value in scores.items():
        table.setdefault(name, {}).setdefault(score, []).append(value)


def _map(ratings: Ratings, small: AutoencoderOf, settings: Settings) -> dict[str, Any]:
    """Places of the items in the plane of the first two principal components of their codes; genres in common."""
    from sklearn.decomposition import PCA

    key, params, plan = STARS["I-AutoRec"]
    by_items = AutoencoderOf(key, plan={"epochs": settings.epochs, **plan}, **params).fit(ratings.matrix)
    codes = {
        "I-AutoRec’s codes": by_items.item_codes(ratings.matrix),
        "CFN’s decoder": small.item_codes(ratings.matrix),
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


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: stars, then rankings."""
    if "stars" not in found:
        return [{"seconds of training": f"{found['seconds']:.1f}"}]
    stars = [
        {"method": name, "RMSE": over_seeds(m["rmse"]), "MAE": over_seeds(m["mae"])}
        for name, m in found["stars"].items()
    ]
    ranks = [
        {"method": name, "Recall": over_seeds(m["recall"]), "NDCG": over_seeds(m["ndcg"])}
        for name, m in found["ranks"].items()
    ]
    return [{"RMSE": "", "MAE": "", "Recall": "", "NDCG": ""} | row for row in (*stars, *ranks)]
