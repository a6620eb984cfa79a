"""Named ratings as data sets: the same ratings once with users as examples, once with items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aecore.errors import DataError

from ..base import DataSpec
from ..files.ratings import from_path
from ..places import Info, Progress
from ..ratings import HELD_OUT, Ratings, RatingsData, as_data, title_by


@dataclass(frozen=True)
class RatingSource:
    """Ratings that have a name. Each kind of them says where they are and how they are read.

    users, items: how many there are.  download_mb: as in `Info`.
    """

    title: str
    users: int
    items: int
    attribution: str
    download_mb: int = 0

    def whereabouts(self) -> tuple[bool, str]:
        """Whether the ratings are on this computer, and a sentence that says where they would come from now."""
        raise NotImplementedError

    def ratings(self, spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Ratings:
        """The ratings; arguments and errors as in `DataSet.load`."""
        raise NotImplementedError


@dataclass(frozen=True)
class RatingSet:
    """Ratings as a named data set (`DataSet`).  rows: what its examples are, "users" or "items"."""

    source: RatingSource
    rows: str

    def info(self) -> Info:
        source = self.source
        examples, size = (source.users, source.items) if self.rows == "users" else (source.items, source.users)
        held_out = round(HELD_OUT * examples)
        here, place = source.whereabouts()
        return Info(
            title_by(source.title, self.rows),
            size,
            1,
            examples - held_out,
            held_out,
            None,
            here=here,
            place=place,
            download_mb=source.download_mb,
            attribution=source.attribution,
            kind="ratings",
        )

    def load(self, spec: DataSpec, download: bool = False, progress: Progress | None = None) -> RatingsData:
        return as_data(self.source.ratings(spec, download, progress), spec, self.rows)


def own_ratings(path: str) -> Ratings:
    """Ratings from the user's own file, folder or zip, read anew when it changes. Raises DataError."""
    file = Path(path).expanduser()
    if not file.exists():
        raise DataError(f"There is no {file}. Name a file, folder or zip with ratings.")
    return _own_ratings(str(file), file.stat().st_mtime)


@lru_cache(maxsize=4)
def _own_ratings(path: str, stamp: float) -> Ratings:
    return from_path(path)
