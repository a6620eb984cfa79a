"""CelebA: photographs of faces with 40 attributes each. It may not be passed on, so the user must have a copy.

Source: Liu, Luo, Wang, Tang (2015), Deep Learning Face Attributes in the Wild, arXiv:1411.7766.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aecore.errors import DataError

from ..base import Data, DataSpec
from ..files.attribute_table import CELEBA
from ..files.pictures import HELD_OUT, from_path
from ..places import Info, Place, Progress, candidates, first_undamaged

TITLE = "CelebA"
FOLDER = "celeba"
"""Its folder in one of `places()`, as torchvision lays it out."""

N = 202_599
SIZE = 64
"""Side in pixels when the spec names none; the photographs have 178 × 218."""

ATTRIBUTION = "Liu, Luo, Wang and Tang (2015); for non-commercial research, by agreement with its authors"
REMEDY = (
    f"Put its img_align_celeba and {CELEBA} into a folder {FOLDER} below ./data, or below the one named AECORE_DATA."
)


def _copies() -> list[Place]:
    """The folders of this computer that hold CelebA, damaged or not."""
    return [place for place in candidates(FOLDER) if (place.folder / CELEBA).is_file()]


def _count(folder: Path) -> int:
    """The number of pictures, from the first line of the table of attributes."""
    with open(folder / CELEBA, encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
    return int(first) if first.isdigit() else N


def info() -> Info:
    place = next(iter(_copies()), None)
    n = _count(place.folder) if place else N
    held_out = max(1, round(HELD_OUT * n))
    sentence = f"From {place.name}." if place else f"Not on this computer, and not to be had by a click. {REMEDY}"
    return Info(
        TITLE,
        SIZE,
        3,
        n - held_out,
        held_out,
        None,
        here=place is not None,
        place=sentence,
        attribution=ATTRIBUTION,
        has_attributes=True,
    )


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """The central squares of the photographs, SIZE pixels a side unless the spec says otherwise; a tenth is held out.

    Which ones are held out depends on their names alone. The images are kept in a file of the cache that is mapped
    into memory (`memmap.filled`), since they may need gigabytes.
    """

    def read(folder: Path) -> Data:
        data = from_path(folder, spec.model_copy(update={"size": spec.size or SIZE}))
        if not data.attributes:
            raise DataError(f"{folder} has no {CELEBA} that can be read. {REMEDY}")
        return data

    found = first_undamaged(TITLE, _copies(), read)
    if found is None:
        raise DataError(f"CelebA is not on this computer. {REMEDY}")
    return replace(
        found.value,
        spec=spec,
        title=TITLE,
        attribution=ATTRIBUTION,
        classes=None,
        source=f"{found.value.source} {found.damaged}".rstrip(),
        damaged=found.damaged,
    )
