"""Data sets: what there is, and how to get one as a `Data`.

>>> from aecore.data import DataSpec, load
>>> data = load(DataSpec(name="digits", size=16))
>>> data.shape, len(data.train), len(data.test)
((1, 16, 16), 10000, 2000)
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from pathlib import Path

import torch
from cachetools import LRUCache, cached

from ..errors import DataError
from .base import DEFAULT, Batch, Data, DataSpec, Images, Split
from .files.attribute_table import beside
from .files.image import image
from .files.pictures import from_path, stamp
from .files.uploads import Report, ingest
from .places import DataSet, Info, Progress, candidates
from .ratings import Ratings, name_by
from .sets import celeba, digits, digits8, faces, gaussians, movielens, sprites, torchvision_sets, world
from .sets.rating_sets import RatingSet, RatingSource

__all__ = [
    "DEFAULT",
    "OWN",
    "SETS",
    "Batch",
    "Data",
    "DataError",
    "DataSet",
    "DataSpec",
    "Images",
    "Info",
    "Progress",
    "Report",
    "Split",
    "from_path",
    "has_attributes",
    "image",
    "info",
    "ingest",
    "load",
    "load_ratings",
    "names",
]

RATINGS: dict[str, RatingSource] = {
    "ratings": world.WORLD,
    "ml-100k": movielens.ML_100K,
    "ml-1m": movielens.ML_1M,
    "ml-20m": movielens.ML_20M,
}
"""Ratings by name. Each makes two data sets: users as examples, and items as examples ("…-items")."""

SETS: dict[str, DataSet] = {
    "digits": digits,
    "digits8": digits8,
    "sprites": sprites,
    "faces": faces,
    "gaussians": gaussians,
    "celeba": celeba,
    "mnist": torchvision_sets.MNIST,
    "fashion": torchvision_sets.FASHION,
    "kmnist": torchvision_sets.KMNIST,
    "cifar10": torchvision_sets.CIFAR10,
    "svhn": torchvision_sets.SVHN,
    **{name_by(name, rows): RatingSet(source, rows) for name, source in RATINGS.items() for rows in ("users", "items")},
}
"""The table of all named data sets. A new one is a file that has `info` and `load`, and a row here."""

OWN = "images"
"""The name of the user's own pictures, which `DataSpec.path` says where to find."""


class Loaded(LRUCache):
    """The data sets that were loaded last, as many as fit into two limits; the one unused longest goes first.

    number: of data sets.  nbytes: of their stored images. A data set that is larger alone is kept alone.
    """

    def __init__(self, number: int, nbytes: int):
        super().__init__(nbytes, getsizeof=lambda data: min(_nbytes(data), nbytes))
        self.number = number

    def __setitem__(self, key: Hashable, data: Data) -> None:
        super().__setitem__(key, data)
        while len(self) > self.number:
            self.popitem()


def _nbytes(data: Data) -> int:
    return sum(split.pixels.nbytes for split in (data.train, data.test) if isinstance(split, Images))


def info(name: str) -> Info:
    """What a named data set is, whether it is here now, from where, and what a download costs. Raises DataError."""
    return _named(name).info()


def names() -> dict[str, Info]:
    """The `info` of every named data set, by name."""
    return {name: data_set.info() for name, data_set in SETS.items()}


def has_attributes(spec: DataSpec) -> bool:
    """Whether the data of a spec come with attributes, found out without loading them; False for an unknown name."""
    if spec.name == OWN:
        return bool(spec.path) and beside(Path(spec.path).expanduser())
    return spec.name in SETS and info(spec.name).has_attributes


def load_ratings(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Ratings:
    """The ratings that a spec names, as one matrix of users and items; arguments and errors as in `load`."""
    data_set = _named(spec.name)
    if not isinstance(data_set, RatingSet):
        raise DataError(f"The data set '{spec.name}' holds no ratings. Choose one of {', '.join(RATINGS)}.")
    return data_set.source.ratings(spec, download, progress)


def load(
    spec: DataSpec | str,
    device: torch.device | str = "cpu",
    download: bool = False,
    progress: Progress | None = None,
) -> Data:
    """The data set that a spec (or just a name) describes, on a device.

    download: get it from its official address when it is nowhere on this computer.
    progress: called with the fraction done and a sentence, while it downloads.
    Asked again with the same spec, the same object comes back: it must not be changed.
    Raises DataError, with the remedy, when there is no such set or it is missing or damaged.
    """
    spec = DataSpec.model_validate({"name": spec}) if isinstance(spec, str) else spec
    return _load(spec, device, download, progress)


def _key(spec: DataSpec, device: torch.device | str, *_: object) -> Hashable:
    """All that the loaded data depend on: folders and files of the user's own may have changed since."""
    content = stamp(spec.path) if spec.path else ()
    return spec, str(device), tuple(candidates("")), content


# The condition lets one thread load while the others that want the same data wait for them.
@cached(Loaded(number=16, nbytes=2**30), key=_key, condition=threading.Condition())
def _load(spec: DataSpec, device: torch.device | str, download: bool, progress: Progress | None) -> Data:
    if spec.name != OWN:
        return _named(spec.name).load(spec, download, progress).to(device)
    if not spec.path:
        raise DataError("Your own pictures need a path: name a folder or a zip that holds them.")
    return from_path(spec.path, spec).to(device)


def _named(name: str) -> DataSet:
    if name not in SETS:
        raise DataError(f"There is no data set '{name}'. There are: {', '.join([*SETS, f'{OWN} (with a path)'])}.")
    return SETS[name]
