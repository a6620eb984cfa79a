"""The named sets of ratings: the invented world, MovieLens, and a file of the user's own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aecore.errors import DataError

from ..base import DataSpec
from ..files.ratings import from_path
from ..places import Info, Progress
from ..ratings import Ratings, RatingsData, _title, as_data
from .movielens import HARPER, MOVIELENS
from .world import ITEMS, MADE, MAKER, USERS, WORLD, world

if TYPE_CHECKING:
    pass


@lru_cache(maxsize=4)
def _own(path: str, stamp: float) -> Ratings:
    return from_path(path)


def get(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Ratings:
    """The ratings that a spec names: "ratings" (generated, or from `path`) or a MovieLens; "-items" may follow."""
    name = spec.name.removesuffix("-items")
    if name in MOVIELENS:
        return MOVIELENS[name].load(download, progress)
    if spec.path:
        path = Path(spec.path).expanduser()
        if not path.exists():
            raise DataError(f"There is no {path}. Name a file, folder or zip with ratings.")
        return _own(str(path), path.stat().st_mtime)
    return world()


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> RatingsData:
    """As data to train on; of "…-items" the items are the examples."""
    rows = "items" if spec.name.endswith("-items") else "users"
    return as_data(get(spec, download, progress), rows, spec)


def info(name: str) -> Info:
    rows = "items" if name.endswith("-items") else "users"
    which = MOVIELENS.get(name.removesuffix("-items"))
    users, items = (which.users, which.items) if which else (USERS, ITEMS)
    examples, size = (users, items) if rows == "users" else (items, users)
    held = round(0.2 * examples)
    place = which.place() if which else None
    words = MADE if which is None else f"From {place}." if place else f"A download from {which.url}."
    return Info(
        _title(which.title if which else WORLD, rows),
        size,
        1,
        examples - held,
        held,
        None,
        here=which is None or place is not None,
        place=words,
        download_mb=which.mb if which else 0,
        attribution=HARPER if which else MAKER,
        kind="ratings",
    )


REGISTERED = ("ratings", "ratings-items", *(f"{name}{rows}" for name in MOVIELENS for rows in ("", "-items")))
