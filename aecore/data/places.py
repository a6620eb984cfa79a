"""The folders in which data are looked for, and what every named data set says and does.

The folders have a fixed order: the one that AECORE_DATA names, the app's own cache, the folder ./data, and those where
other programs of this computer keep data (`SYSTEM_PLACES`). Data are downloaded only when they are in none of these and
only when that is asked for. Where a copy of a data set is damaged, a warning says so, and the next place is used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from ..errors import DataError
from .base import Data, DataSpec

log = logging.getLogger(__name__)
T = TypeVar("T")

Progress = Callable[[float, str], None]
"""Called with the fraction done in [0, 1] and a short sentence."""


@dataclass(frozen=True)
class Info:
    """What can be said about a data set without loading it.

    size, channels: of one image before `DataSpec.size` and `DataSpec.grey` change it; size is the length of vectors.
    train, test: number of examples in each split.
    classes: names of the labels, by label; None without labels.
    here: whether `load` works now without a download.
    place: a sentence that says where the data would come from now.
    download_mb: what a download would cost, in megabytes; 0 when there is nothing to download.
    kind: "image", "vector" or "ratings", as in `Data.kind`.
    has_attributes: whether the examples come with attributes.
    published: a sentence with published likelihoods of the held-out examples and their sources; "" without any.
    """

    title: str
    size: int
    channels: int
    train: int
    test: int
    classes: tuple[str, ...] | None
    here: bool
    place: str
    download_mb: int = 0
    attribution: str = ""
    kind: str = "image"
    has_attributes: bool = False
    published: str = ""


class DataSet(Protocol):
    """A named data set: the module, or the object, that a row of `aecore.data.SETS` holds."""

    def info(self) -> Info:
        """What can be said about it without loading it."""
        ...

    def load(self, spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
        """The data, on the CPU, as the spec wants them.

        download: get them from their official address when they are nowhere on this computer, where that is possible.
        progress: called while they are downloaded. Raises DataError, with the remedy, for missing or damaged data.
        """
        ...


class Place(NamedTuple):
    """A folder that may hold data sets, and its name in a sentence."""

    folder: Path
    name: str


SYSTEM_PLACES: dict[str, tuple[Place, ...]] = {
    "FashionMNIST/raw": (
        Place(Path("/usr/share/datasets/fashion-mnist"), "Debian's package dataset-fashion-mnist"),
        Place(Path("~/.keras/datasets/fashion-mnist"), "the cache of Keras"),
    ),
}
"""Folders of other programs that may hold a data set, by the set's folder in one of `places()`. Every loader finds the
system-wide folders here, through `candidates`, so that emptying this table hides all of them."""


def cache_dir() -> Path:
    """The app's own folder for downloads and prepared arrays: AECORE_CACHE, or one under the home folder."""
    folder = os.environ.get("AECORE_CACHE")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "autoencoder-explorer"


def isolated() -> bool:
    """Whether AECORE_ISOLATED is set: then data are looked for only in AECORE_DATA's folder and in the app's cache."""
    return bool(os.environ.get("AECORE_ISOLATED"))


def places() -> list[Place]:
    """The folders in which data sets are looked for, in this order; each is laid out as torchvision does."""
    folder = os.environ.get("AECORE_DATA")
    named = [Place(Path(folder).expanduser(), "the folder named by AECORE_DATA")] if folder else []
    local = [] if isolated() else [Place(Path("data"), "the folder ./data")]
    return [*named, Place(cache_dir() / "data", "the app's cache"), *local]


def candidates(*names: str) -> list[Place]:
    """Where one data set may be, in the order in which it is looked for.

    names: of its folder (or file) in each of `places()`; several if it may have one of several names there.
    """
    own = [Place(place.folder / name, place.name) for place in places() for name in names]
    system = [] if isolated() else [place for name in names for place in SYSTEM_PLACES.get(name, ())]
    return own + [Place(folder.expanduser(), name) for folder, name in system]


@dataclass(frozen=True)
class Found(Generic[T]):
    """What was read, from which place, and a sentence on each damaged copy that was passed over ("" without any)."""

    value: T
    place: Place
    damaged: str


def first_undamaged(title: str, places: Sequence[Place], read: Callable[[Path], T]) -> Found[T] | None:
    """What `read` returns for the first of the places that holds an undamaged copy; None for no places at all.

    title: of the data set.  places: those that hold a copy, damaged or not.  read: raises DataError, with the remedy,
    where the copy is damaged.
    A damaged copy is passed over, and a warning says so: it is logged, which prints it on the command line, and it is
    `Found.damaged`, which the pages show. Raises DataError that names every damaged copy if no other one is left.
    """
    damaged: list[str] = []
    for place in places:
        try:
            value = read(place.folder)
        except DataError as error:
            damaged.append(f"The copy in {place.name} cannot be used: {error}")
            continue
        if not damaged:
            return Found(value, place, "")
        warning = f"{title} was read from {place.name} instead. {' '.join(damaged)}"
        log.warning(warning)
        return Found(value, place, warning)
    if damaged:
        raise DataError(f"{title} cannot be loaded. {' '.join(damaged)}")
    return None
