"""The folders in which data are looked for, and what every named data set says and does.

The folders have a fixed order: the one that AECORE_DATA names, the app's own cache, and folders where this computer may
already keep the data. They are downloaded only when they are in none of these, and only when that is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from .base import Data, DataSpec

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


def cache_dir() -> Path:
    """The app's own folder for downloads and prepared arrays: AECORE_CACHE, or one under the home folder."""
    folder = os.environ.get("AECORE_CACHE")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "autoencoder-explorer"


def places() -> list[Place]:
    """The folders in which data sets are looked for, in this order; each is laid out as torchvision does."""
    folder = os.environ.get("AECORE_DATA")
    first = [Place(Path(folder).expanduser(), "the folder named by AECORE_DATA")] if folder else []
    return [*first, Place(cache_dir() / "data", "the app's cache"), Place(Path("data"), "the folder ./data")]
