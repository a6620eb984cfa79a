"""The MovieLens data sets of GroupLens."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aecore.errors import DataError

from ..files.download import fetch
from ..files.ratings import from_path
from ..places import Progress, cache_dir, places
from ..ratings import Ratings

if TYPE_CHECKING:
    pass


class MovieLens(NamedTuple):
    """An official archive of GroupLens, which may not be passed on: everyone downloads their own."""

    title: str
    file: str
    md5: str
    mb: int
    users: int
    items: int

    @property
    def url(self) -> str:
        return f"https://files.grouplens.org/datasets/movielens/{self.file}"

    def place(self) -> Path | None:
        """The archive, or the folder that was unpacked from it, where this computer has one."""
        for root in places():
            for name in (self.file, Path(self.file).stem):
                if (root.folder / name).exists():
                    return root.folder / name
        return None

    def load(self, download: bool = False, progress: Progress | None = None) -> Ratings:
        place = self.place()
        if place is None and download:
            place = cache_dir() / "data" / self.file
            fetch([self.url], self.md5, place, progress)
        if place is None:
            raise DataError(
                f"{self.title} is not on this computer. Download it ({self.mb} MB), or put {self.file} "
                "into a folder that AECORE_DATA names."
            )
        return _movielens(str(place), place.stat().st_mtime, self)


MOVIELENS = {
    "ml-100k": MovieLens("MovieLens 100K", "ml-100k.zip", "0e33842e24a9c977be4e0107933c0723", 5, 943, 1682),
    "ml-1m": MovieLens("MovieLens 1M", "ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906", 6, 6040, 3706),
    "ml-20m": MovieLens("MovieLens 20M", "ml-20m.zip", "cd245b17a1ae2cc31bb14903e1204af3", 190, 138_493, 26_744),
}


HARPER = "F. M. Harper and J. A. Konstan (2015), GroupLens, University of Minnesota; not to be passed on"


@lru_cache(maxsize=2)
def _movielens(path: str, stamp: float, which: MovieLens) -> Ratings:
    return from_path(path, which.title)._replace(attribution=HARPER)
