"""The MovieLens data sets of GroupLens, which may not be passed on: everyone downloads their own.

Source: F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History and Context, doi:10.1145/2827872.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aecore.errors import DataError

from ..base import DataSpec
from ..files.download import fetch
from ..files.ratings import from_path
from ..places import Place, Progress, cache_dir, candidates, first_undamaged
from ..ratings import Ratings
from .rating_sets import RatingSource

ATTRIBUTION = "F. M. Harper and J. A. Konstan (2015), GroupLens, University of Minnesota; not to be passed on"


@dataclass(frozen=True)
class MovieLens(RatingSource):
    """An official archive of GroupLens.  file: its name.  md5: of that file."""

    file: str = ""
    md5: str = ""

    @property
    def url(self) -> str:
        return f"https://files.grouplens.org/datasets/movielens/{self.file}"

    def copies(self) -> list[Place]:
        """The archives of this computer, and the folders that were unpacked from them, damaged or not."""
        return [place for place in candidates(self.file, Path(self.file).stem) if place.folder.exists()]

    def whereabouts(self) -> tuple[bool, str]:
        copies = self.copies()
        return bool(copies), f"From {copies[0].folder}." if copies else f"A download from {self.url}."

    def ratings(self, spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Ratings:
        def read(path: Path) -> Ratings:
            return _read(str(path), path.stat().st_mtime, self)

        try:
            found = first_undamaged(self.title, self.copies(), read)
        except DataError:
            if not download:
                raise
            found = None
        if found is None and download:
            path = cache_dir() / "data" / self.file
            fetch([self.url], self.md5, path, progress)
            found = first_undamaged(self.title, [Place(path, "the official download, kept in the app's cache")], read)
        if found is None:
            raise DataError(
                f"{self.title} is not on this computer. Download it ({self.download_mb} MB), or put {self.file} "
                "into a folder that AECORE_DATA names."
            )
        ratings = found.value
        return ratings._replace(source=f"{ratings.source} {found.damaged}".rstrip(), damaged=found.damaged)


@lru_cache(maxsize=2)
def _read(path: str, stamp: float, source: MovieLens) -> Ratings:
    return from_path(path, source.title)._replace(attribution=source.attribution)


ML_100K = MovieLens(
    title="MovieLens 100K",
    users=943,
    items=1682,
    attribution=ATTRIBUTION,
    download_mb=5,
    file="ml-100k.zip",
    md5="0e33842e24a9c977be4e0107933c0723",
)
ML_1M = MovieLens(
    title="MovieLens 1M",
    users=6040,
    items=3706,
    attribution=ATTRIBUTION,
    download_mb=6,
    file="ml-1m.zip",
    md5="c4d9eecfca2ab87c1945afe126590906",
)
ML_20M = MovieLens(
    title="MovieLens 20M",
    users=138_493,
    items=26_744,
    attribution=ATTRIBUTION,
    download_mb=190,
    file="ml-20m.zip",
    md5="cd245b17a1ae2cc31bb14903e1204af3",
)
