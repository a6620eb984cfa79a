"""Reader for the IDX files of MNIST and its relatives, plain or gzipped, checked before they are used."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from aecore.errors import DataError

Part = tuple[np.ndarray, np.ndarray]
"""Images (N, H, W) uint8 and labels (N,) int64."""

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""md5 of MNIST's unpacked files (torchvision knows only those of the gzipped ones)."""

FASHION = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""md5 of Fashion-MNIST's unpacked files, which does not depend on how a distribution has packed them."""


def present(folder: Path) -> bool:
    """Whether all four files are in the folder, plain or gzipped."""
    return all(_path(folder, name) is not None for pair in FILES.values() for name in pair)


def partly(folder: Path) -> bool:
    """Whether any of the four files is in the folder, plain or gzipped."""
    return any(_path(folder, name) is not None for pair in FILES.values() for name in pair)


def read(folder: Path, md5: dict[str, str]) -> tuple[Part, Part]:
    """The training part and the test part.

    md5: sums of the unpacked files by name, or of the gzipped ones under their names with .gz. A file whose
    sum is not given is checked by its structure (and, when gzipped, by gzip's own checksum).
    Raises DataError that names the file and the remedy.
    """
    parts = []
    for images, labels in FILES.values():
        x, y = _load(folder, images, 3, md5), _load(folder, labels, 1, md5)
        if len(x) != len(y):
            raise DataError(
                f"In {folder} there are {len(x)} images in {images} but {len(y)} labels in {labels}. "
                "The files do not belong together: delete them and get them again."
            )
        parts.append((x, y.astype(np.int64)))
    return parts[0], parts[1]


def _path(folder: Path, name: str) -> Path | None:
    """The plain file of this name, else the gzipped one; None without either."""
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _load(folder: Path, name: str, ndim: int, md5: dict[str, str]) -> np.ndarray:
    """The array with `ndim` axes in one file. Raises DataError for a missing or damaged file."""
    path = _path(folder, name)
    if path is None:
        raise DataError(f"{name} (or {name}.gz) is missing in {folder}. Put it there or download the data set.")
    damaged = DataError(f"{path} is damaged. Delete it and download the data set again.")
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise DataError(f"{path} cannot be read ({e.strerror}). Change its permissions or delete it.") from e
    if not _matches(raw, md5.get(path.name)):
        raise damaged
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as e:
            raise damaged from e
        if not _matches(raw, md5.get(name)):
            raise damaged
    array = parse(raw, ndim)
    if array is None:
        raise damaged
    return array


def _matches(raw: bytes, md5: str | None) -> bool:
    return md5 is None or hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5


def parse(raw: bytes, ndim: int) -> np.ndarray | None:
    """The array of unsigned bytes with `ndim` axes in the content of an IDX file, or None when it is not one.

    An IDX file is made of 0, 0, 8 (for unsigned bytes), the number of axes, the length of each axis (big-endian,
    4 bytes), then the data.
    """
    head = 4 + 4 * ndim
    if len(raw) < head or raw[:4] != bytes((0, 0, 8, ndim)):
        return None
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", count=ndim, offset=4))
    if 0 in shape or len(raw) - head != int(np.prod(shape, dtype=object)):
        return None
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape).copy()
