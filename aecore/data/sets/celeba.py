"""CelebA, for those who have it: photographs of faces with 40 attributes each. It may not be passed on with a program.

Source: Liu, Luo, Wang, Tang (2015), Deep Learning Face Attributes in the Wild, arXiv:1411.7766.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aecore.errors import DataError

from ..base import Data, DataSpec
from ..files.attribute_table import CELEBA
from ..files.pictures import HELD_OUT, from_path
from ..places import Info, Place, Progress, places

TITLE = "CelebA"
FOLDER = "celeba"  # below a root, as torchvision lays it out
N, SIDE = 202_599, 178
ATTRIBUTION = "Liu, Luo, Wang and Tang (2015); for non-commercial research, by agreement with its authors"
REMEDY = (
    f"Put its img_align_celeba and {CELEBA} into a folder {FOLDER} below ./data, or below the one named AECORE_DATA."
)


def _found() -> Place | None:
    for folder, words in places():
        if (folder / FOLDER / CELEBA).is_file():
            return Place(folder / FOLDER, words)
    return None


def _count(folder: Path) -> int:
    """How many pictures the table says there are."""
    with open(folder / CELEBA, encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
    return int(first) if first.isdigit() else N


def info() -> Info:
    place = _found()
    n = _count(place.folder) if place else N
    held_out = max(1, round(HELD_OUT * n))
    words = f"From {place.words}." if place else f"Not on this computer, and not to be had by a click. {REMEDY}"
    return Info(
        TITLE,
        64,
        3,
        n - held_out,
        held_out,
        None,
        here=place is not None,
        place=words,
        attribution=ATTRIBUTION,
        has_attributes=True,
    )


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """Its central squares, 64 pixels a side unless the spec says otherwise; a tenth held out by name.

    Hundreds of thousands of pictures are kept in a file of the cache and mapped into memory, never read into it.
    """
    place = _found()
    if place is None:
        raise DataError(f"CelebA is not on this computer. {REMEDY}")
    data = from_path(place.folder, spec.model_copy(update={"size": spec.size or 64}))
    if not data.attributes:
        raise DataError(f"{place.folder} has no {CELEBA} that can be read. {REMEDY}")
    return replace(data, spec=spec, title=TITLE, attribution=ATTRIBUTION, classes=None)
