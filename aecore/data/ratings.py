"""Ratings of items by users: GroupLens files, and a generated world whose true tastes are known (chapter §4.5).

A rating that nobody gave is no number: matrices are sparse, and only the rows of a minibatch are made dense.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from .base import Batch, Data, DataSpec, choose

if TYPE_CHECKING:  # pandas takes half a second to import, and only files need it
    pass

# --- what ratings are -----------------------------------------------------------------------------------


class Ratings(NamedTuple):
    """Who gave how many stars to what.

    matrix: (users, items) sparse float32; what is not stored was not rated.
    titles: of the items.  genres: (items, G) of 0 and 1.  traits: (users, T) of 0 and 1; G or T may be 0.
    truth: (users, items) the mean rating that each user would give, where it is known.
    noise: standard deviation of a rating around its mean, where it is known.
    tastes: (users, K) and (items, K) true factors, where they are known.
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

    @property
    def transposed(self) -> csr_matrix:
        """(items, users)"""
        return self.matrix.T.tocsr()


class Rows:
    """Examples that are rows of a sparse matrix (n, D); only those of a minibatch are made dense.

    side: (n, A) what else is known of each example, or None.
    known: whether these are the examples that a model may know by number: then `Batch.y` is the row, else −1.
    """

    labels: np.ndarray | None = None

    def __init__(
        self,
        matrix: csr_matrix,
        side: np.ndarray | None = None,
        known: bool = True,
        device: torch.device | str = "cpu",
    ):
        self.matrix, self.side, self.known, self.device = matrix, side, known, torch.device(device)

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def batch(self, index: Tensor) -> Batch:
        which = index.cpu().numpy()
        x, mask = dense(self.matrix[which])
        y = which if self.known else np.full(len(which), -1)
        side = None if self.side is None or not self.side.shape[1] else torch.from_numpy(self.side[which])
        parts = (torch.from_numpy(x), torch.from_numpy(y).long(), torch.from_numpy(mask), side)
        return Batch(*(part if part is None else part.to(self.device) for part in parts))

    def to(self, device: torch.device | str) -> Rows:
        return Rows(self.matrix, self.side, self.known, device)


def dense(rows: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """(ratings, mask), each (n, D) float32; 0 where nobody rated. A stored rating of 0 is a rating."""
    x, mask = np.zeros(rows.shape, np.float32), np.zeros(rows.shape, np.float32)
    at = (np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices)
    x[at], mask[at] = rows.data, 1
    return x, mask


@dataclass(frozen=True)
class RatingsData(Data):
    """Ratings with users as examples ("users"), or items ("items"); `attributes` names what else is known of each."""

    rows: str = "users"

    @property
    def kind(self) -> str:
        return "ratings"


def as_data(ratings: Ratings, rows: str = "users", spec: DataSpec | None = None, held_out: float = 0.2) -> RatingsData:
    """Ratings with users or items as examples, of which a seeded share is held out.

    Held-out examples are others, not other ratings of the same: `aecore.tasks.recommend` splits ratings.
    """
    spec = spec or DataSpec(name="ratings" if rows == "users" else "ratings-items")
    matrix = ratings.matrix if rows == "users" else ratings.transposed
    side, names = (ratings.traits, ratings.trait_names) if rows == "users" else (ratings.genres, ratings.genre_names)
    order = np.random.default_rng(0).permutation(matrix.shape[0])
    count = min(max(1, round(held_out * len(order))), len(order) - 1)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    kept = kept[choose(len(kept), spec.limit)]
    return RatingsData(
        spec,
        _title(ratings.title, rows),
        (matrix.shape[1],),
        Rows(matrix[kept], side[kept]),
        Rows(matrix[held], side[held], known=False),
        ratings.source,
        ratings.attribution,
        attributes=tuple(names),
        rows=rows,
    )


def _title(title: str, rows: str) -> str:
    return title if rows == "users" else f"{title}, films as examples"


# --- the generated world --------------------------------------------------------------------------------


# --- files ----------------------------------------------------------------------------------------------


# --- MovieLens ------------------------------------------------------------------------------------------


# --- as named data sets ---------------------------------------------------------------------------------
