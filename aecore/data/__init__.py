"""Data sets: what there is, and how to get one as a `Data`.

>>> from aecore.data import DataSpec, load
>>> data = load(DataSpec(name="digits", size=16))
>>> data.shape, len(data.train), len(data.test)
((1, 16, 16), 10000, 2000)
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import DataError
from .base import Batch, Data, DataSpec, Images, Split
from .files import uploads
from .files.attribute_table import beside
from .files.image import image
from .files.uploads import Report, from_path, ingest
from .places import Info, Progress
from .sets import celeba, digits, digits8, faces, gaussians, rating_sets, sprites
from .sets.rating_sets import REGISTERED
from .sets.torchvision_sets import OFFICIAL

__all__ = [
    "Batch",
    "Data",
    "DataError",
    "DataSpec",
    "Images",
    "Info",
    "Progress",
    "Report",
    "Split",
    "from_path",
    "has_attributes",
    "image",
    "ingest",
    "load",
    "names",
]


class Entry(NamedTuple):
    """A named data set: `info()` says what it is, `load(spec, download, progress)` gets it."""

    info: Callable[[], Info]
    load: Callable[[DataSpec, bool, Progress | None], Data]


SETS: dict[str, Entry] = {
    "digits": Entry(digits.info, lambda spec, download, progress: digits.load(spec)),
    "digits8": Entry(digits8.info, lambda spec, download, progress: digits8.load(spec)),
    "sprites": Entry(sprites.info, lambda spec, download, progress: sprites.load(spec)),
    "faces": Entry(faces.info, lambda spec, download, progress: faces.load(spec)),
    "gaussians": Entry(gaussians.info, lambda spec, download, progress: gaussians.load(spec)),
    "celeba": Entry(celeba.info, lambda spec, download, progress: celeba.load(spec)),
    **{name: Entry(official.info, official.load) for name, official in OFFICIAL.items()},
    **{name: Entry(partial(rating_sets.info, name), rating_sets.load) for name in REGISTERED},
}
OWN = "images"
"""The name of the user's own pictures, which `DataSpec.path` says where to find."""

KEEP, KEEP_BYTES = 16, 2**30
"""How many loaded data sets are kept, and how many bytes of images, before the one unused longest goes."""

_kept: OrderedDict[tuple, Data] = OrderedDict()
_turns: dict[tuple, threading.Lock] = {}
_guard = threading.Lock()


def has_attributes(spec: DataSpec) -> bool:
    """Whether the data of a spec come with attributes, found out without loading them."""
    if spec.name == OWN:
        return bool(spec.path) and beside(Path(spec.path).expanduser())
    return spec.name in ("faces", "celeba")


def names() -> dict[str, Info]:
    """Every data set by name: what it is, whether it is here now, from where, and what a download costs."""
    return {name: entry.info() for name, entry in SETS.items()}


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
    if spec.name not in SETS and spec.name != OWN:
        there_are = ", ".join([*SETS, f"{OWN} (with a path)"])
        raise DataError(f"There is no data set '{spec.name}'. There are: {there_are}.")
    if spec.name == OWN and not spec.path:
        raise DataError("Your own pictures need a path: name a folder or a zip that holds them.")
    own = spec.path if spec.name == OWN else None
    state = uploads.stamp(own) if own else ()
    key = (spec, str(device), os.environ.get("AECORE_DATA"), os.environ.get("AECORE_CACHE"), state)
    with _guard:
        turn = _turns.setdefault(key, threading.Lock())
    with turn:  # whoever asks for the same data meanwhile waits for them, and no one else does
        with _guard:
            if key in _kept:
                _kept.move_to_end(key)
                return _kept[key]
        data = from_path(own, spec) if own else SETS[spec.name].load(spec, download, progress)
        data = data.to(device)
        with _guard:
            _kept[key] = data
            while (len(_kept) > 1 and sum(map(_nbytes, _kept.values())) > KEEP_BYTES) or len(_kept) > KEEP:
                _kept.popitem(last=False)
    return data


def _nbytes(data: Data) -> int:
    return sum(s.pixels.nbytes for s in (data.train, data.test) if isinstance(s, Images))
