"""Ratings of items by users, and how they become data whose examples are users or items (chapter §4.5).

Most pairs of user and item have no rating, so matrices are sparse, and only the rows of a minibatch are made dense.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from .base import Batch, Data, DataSpec, Split, choose

HELD_OUT = 0.2
"""Share of users, or of items, that is held out."""

ITEMS_SUFFIX = "-items"
"""Ends the name of a data set whose examples are the items, not the users, of the ratings of that name."""


class Ratings(NamedTuple):
    """The ratings that users gave to items, with what else is known of both.

    matrix: (users, items) sparse float32; an entry that is not stored was not rated.
    titles: of the items.  genres: (items, G) of 0 and 1.  traits: (users, T) of 0 and 1; G or T may be 0.
    truth: (users, items) the mean rating that each user would give to each item, where it is known.
    noise: (users, items) standard deviation of a rating around that mean, where it is known.
    tastes: (users, K) and (items, K) the true factors, where they are known.
    damaged: as in `Data`.
    """

    title: str
    matrix: csr_matrix
    titles: tuple[str, ...]
    genres: np.ndarray
    genre_names: tuple[str, ...]
    traits: np.ndarray
    trait_names: tuple[str, ...]
    source: str
    attribution: str
    truth: np.ndarray | None = None
    noise: np.ndarray | None = None
    tastes: tuple[np.ndarray, np.ndarray] | None = None
    damaged: str = ""

    @property
    def transposed(self) -> csr_matrix:
        """(items, users)"""
        return self.matrix.T.tocsr()


class Rows(Split):
    """Examples that are rows of a sparse matrix (n, D). Only the rows of a minibatch are made dense.

    side: (n, A) what else is known of each example, or None.
    known: whether a model may know these examples by number: then `Batch.y` is the row, else −1.
    """

    def __init__(
        self,
        matrix: csr_matrix,
        side: np.ndarray | None = None,
        known: bool = True,
        device: torch.device | str = "cpu",
    ):
        self.matrix, self.side, self.known, self.device = matrix, side, known, torch.device(device)

    def __len__(self) -> int:
        return self.matrix.get_shape()[0]

    def batch(self, index: Tensor) -> Batch:
        which = index.cpu().numpy()
        x, mask = dense(self.matrix[which])
        y = which if self.known else np.full(len(which), -1)
        side = None if self.side is None or not self.side.shape[1] else torch.from_numpy(self.side[which])
        return Batch(
            torch.from_numpy(x).to(self.device),
            torch.from_numpy(y).long().to(self.device),
            torch.from_numpy(mask).to(self.device),
            None if side is None else side.to(self.device),
        )

    def to(self, device: torch.device | str) -> Rows:
        return Rows(self.matrix, self.side, self.known, device)


def dense(rows: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """(ratings, mask), each (n, D) float32; both are 0 where there is no rating. A stored rating of 0 is a rating."""
    shape = rows.get_shape()
    x, mask = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    stored = (np.repeat(np.arange(shape[0]), np.diff(rows.indptr)), rows.indices)
    x[stored], mask[stored] = rows.data, 1
    return x, mask


@dataclass(frozen=True)
class RatingsData(Data):
    """Ratings whose examples are users or items, as `rows` says. `attributes` names what else is known of each."""

    rows: str | None = "users"


def name_by(name: str, rows: str) -> str:
    """The data set of the same ratings whose examples are `rows`, "users" or "items"."""
    users = name.removesuffix(ITEMS_SUFFIX)
    return users if rows == "users" else users + ITEMS_SUFFIX


def title_by(title: str, rows: str) -> str:
    """The title of ratings whose examples are `rows`, "users" or "items"."""
    return title if rows == "users" else f"{title}, films as examples"


def as_data(ratings: Ratings, spec: DataSpec, rows: str = "users", held_out: float = HELD_OUT) -> RatingsData:
    """Ratings as data whose examples are `rows`, "users" or "items"; a seeded share of the examples is held out.

    All ratings of a held-out example are held out. `aecore.tasks.recommend` splits the ratings of one example.
    """
    matrix = ratings.matrix if rows == "users" else ratings.transposed
    side, names = (ratings.traits, ratings.trait_names) if rows == "users" else (ratings.genres, ratings.genre_names)
    order = np.random.default_rng(0).permutation(matrix.get_shape()[0])
    count = min(max(1, round(held_out * len(order))), len(order) - 1)
    test, train = np.sort(order[:count]), np.sort(order[count:])
    train = train[choose(len(train), spec.limit)]
    return RatingsData(
        spec=spec,
        title=title_by(ratings.title, rows),
        shape=(matrix.get_shape()[1],),
        train=Rows(matrix[train], side[train]),
        test=Rows(matrix[test], side[test], known=False),
        source=ratings.source,
        attribution=ratings.attribution,
        attributes=tuple(names),
        rows=rows,
        damaged=ratings.damaged,
    )
