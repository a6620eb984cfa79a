"""Arrays that are computed once: large ones are files of the cache, mapped into memory; small ones stay in memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aecore.errors import DataError

from ..places import cache_dir

BIG = 512 * 2**20
"""Bytes above which an array is kept in a file instead of in memory."""

KEEP = 4
"""How many such files are kept; the oldest are deleted first."""

Fill = Callable[[np.ndarray], dict[str, Any]]
"""Fills an array in place, and returns a note that can be written as JSON."""


def key(*parts: object) -> str:
    """A short name that stands for all that an array depends on."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def filled(shape: tuple[int, ...], name: str, fill: Fill) -> tuple[np.ndarray, dict[str, Any]]:
    """A uint8 array of this shape that `fill` has filled, and the note that it returned.

    name: from `key`; the same name gives the same file. Raises DataError when the cache cannot be written.
    """
    if math.prod(shape) <= BIG:
        out = np.empty(shape, np.uint8)
        return out, fill(out)
    folder = cache_dir() / "arrays"
    array, note = folder / f"{name}.npy", folder / f"{name}.json"
    if not (array.exists() and note.exists()):
        try:
            _write(shape, array, note, fill)
        except OSError as e:
            raise DataError(
                f"The prepared images ({math.prod(shape) / 1e9:.1f} GB) could not be kept in {folder}: "
                f"{e.strerror or e}. Free some space, choose a smaller size or a limit, "
                "or set AECORE_CACHE to a folder with room."
            ) from e
    # Copy-on-write, because torch warns of memory that cannot be written; nothing writes to it.
    return np.load(array, mmap_mode="c"), json.loads(note.read_text())


def _write(shape: tuple[int, ...], array: Path, note: Path, fill: Fill) -> None:
    """Fill a temporary file, then rename it, so that a file with the final name is always complete."""
    array.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=array.parent, suffix=".part")
    os.close(handle)
    try:
        # A full disk would be noticed only when a write to the mapped file kills the process, so look first.
        stat = os.statvfs(array.parent) if hasattr(os, "statvfs") else None
        if stat and stat.f_bavail * stat.f_frsize < math.prod(shape) + 2**20:
            raise OSError("not enough space on the disk")
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        text = json.dumps(fill(out))
        out.flush()
        del out
        note.write_text(text)
        os.replace(part, array)
    finally:
        Path(part).unlink(missing_ok=True)
    _forget_oldest(array.parent)


def _forget_oldest(folder: Path) -> None:
    oldest_first = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
    for file in oldest_first[:-KEEP]:
        try:
            file.unlink()
            file.with_suffix(".json").unlink(missing_ok=True)
        except OSError:  # some systems do not delete a file that is open; it is deleted another time
            continue
