"""The pictures in a folder or a zip of the user's, as data to train on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from aecore.errors import DataError

from ..base import Data, DataSpec, Images
from . import memmap
from .archive import Member, opened, shown
from .attribute_table import AttributeTable, table_in
from .image import decode, fit

SIZE = 32
"""Side in pixels when the spec names none."""

NEEDED = 2
"""Pictures needed at least: one to train on, one held out."""

HELD_OUT = 0.1
"""Share of the pictures that is held out."""

CHUNK = 256
"""How many pictures are decoded before the results are collected."""


def from_path(path: str | Path, spec: DataSpec) -> Data:
    """The pictures in a folder or zip, cropped to their central square and resized to spec.size (or 32).

    A tenth of them, at least one, is held out; which ones depends on their names alone. There are three channels unless
    spec.grey. A table of attributes among the pictures (CelebA's, or a CSV) is read too (`attribute_table.table_in`).
    Damaged pictures, and those without a row in that table, are left out, and `Data.source` says so.
    Raises DataError when fewer than two pictures can be used.
    """
    path, size, channels = Path(path).expanduser(), spec.size or SIZE, 1 if spec.grey else 3
    with opened(path) as contents:
        members = sorted(contents.members, key=lambda member: _shuffled(member.name))
        without_row = 0
        table = table_in(path)
        if table is not None:
            with_row = _with_row(members, table, path)
            without_row = len(members) - len(with_row)
            members = with_row
        if len(members) < NEEDED:
            raise too_few(shown(path.name), len(members), [why for _, why in contents.left_out])
        labelled = labels_of([member.name for member in members])
        held_out = max(1, round(HELD_OUT * len(members)))
        wanted = members[: held_out + (spec.limit or len(members))]
        key = memmap.key(path.absolute(), [(member.name, member.stamp) for member in wanted], size, channels)
        array, note = memmap.filled((len(wanted), channels, size, size), key, lambda out: _decode_all(wanted, out))
    good, damaged = note["good"], note["trouble"]
    if len(good) < NEEDED:
        raise too_few(shown(path.name), len(good), damaged)
    pixels = torch.from_numpy(array[: len(good)])
    labels = None if labelled is None else np.array(labelled[0])[good]
    attributes = None
    if table is not None:
        rows = (table.row_of(wanted[i].name) for i in good)
        attributes = np.stack([row for row in rows if row is not None])
    test_size = min(max(1, sum(i < held_out for i in good)), len(good) - 1)
    train, test = (
        Images(
            pixels[part],
            None if labels is None else labels[part],
            None if attributes is None else attributes[part],
        )
        for part in (slice(test_size, None), slice(test_size))
    )
    return Data(
        spec=spec,
        title=f"Pictures in {shown(path.name)}",
        shape=(channels, size, size),
        train=train,
        test=test,
        source=_source(path, len(good), damaged, table, without_row),
        attribution="Your own pictures",
        classes=None if labelled is None else labelled[1],
        attributes=() if table is None else table.names,
    )


def stamp(path: str) -> tuple[int, ...]:
    """Changes when files are added to or removed from a folder (or one level below), or a file is replaced."""
    try:
        top = Path(path).expanduser()
        below = [entry.stat().st_mtime_ns for entry in os.scandir(top) if entry.is_dir()] if top.is_dir() else []
        return top.stat().st_mtime_ns, top.stat().st_size, sum(below)
    except (OSError, ValueError):
        return ()


def labels_of(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]] | None:
    """Labels from folder names, when every picture lies in one of at least two folders side by side.

    A folder around everything does not count. Returns (label of each name, names of the classes), or None.
    """
    parts = [PurePosixPath(name).parts for name in names]
    while parts and all(len(path) > 1 and path[0] == parts[0][0] for path in parts):
        parts = [path[1:] for path in parts]
    if not parts or any(len(path) != 2 for path in parts):
        return None
    classes = tuple(sorted({folder for folder, _ in parts}))
    number = {folder: label for label, folder in enumerate(classes)}
    return ([number[folder] for folder, _ in parts], classes) if len(classes) > 1 else None


def too_few(name: str, count: int, reasons: list[str]) -> DataError:
    """The error for fewer than NEEDED pictures.  name: of the folder.  reasons: why others were left out."""
    number = {0: "no picture", 1: "only one picture"}.get(count, f"{count} pictures")
    because = f" Left out: {_first_of(reasons)}" if reasons else ""
    return DataError(
        f"{name or 'This'} has {number} that can be used, but at least {NEEDED} are needed: one to train on "
        f"and one held out. Add more pictures.{because}"
    )


def _shuffled(name: str) -> bytes:
    """A sort key that shuffles names in a fixed way: new pictures leave the order of the others as it was."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()


def _with_row(members: list[Member], table: AttributeTable, path: Path) -> list[Member]:
    """The pictures that have a row in the table. Raises DataError where none has."""
    with_row = [member for member in members if table.row_of(member.name) is not None]
    if members and not with_row:
        raise DataError(
            f"None of the pictures in {shown(path.name)} has a row in {shown(table.file)}: its first column "
            f"must hold their file names, for example {shown(members[0].name)}."
        )
    return with_row


def _decode_all(members: list[Member], out: np.ndarray) -> dict[str, Any]:
    """Fill the first rows of out (N, C, S, S) with the pictures that can be decoded, in order.

    Returns {"good": their positions among the members, "trouble": a sentence for each of the others}.
    """
    good: list[int] = []
    damaged: list[str] = []
    channels, size = out.shape[1:3]

    def decoded(member: Member) -> np.ndarray | DataError:
        try:
            return fit(decode(member.read(), shown(member.name), about=size).image, channels, size, size)
        except DataError as error:
            return error

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(members), CHUNK):
            for i, result in enumerate(pool.map(decoded, members[start : start + CHUNK]), start):
                if isinstance(result, DataError):
                    damaged.append(str(result))
                else:
                    out[len(good)] = result
                    good.append(i)
    return {"good": good, "trouble": damaged}  # these keys are also in files of the cache


def _source(path: Path, count: int, damaged: list[str], table: AttributeTable | None, without_row: int) -> str:
    """The sentences of `Data.source`."""
    source = f"{count:,} pictures from {path}."
    if damaged:
        source += f" {len(damaged)} left out: {_first_of(damaged)}"
    if table is not None:
        source += f" {len(table.names)} attributes from {shown(table.file)}."
    if without_row:
        source += f" {without_row:,} pictures without a row there were left out."
    return source


def _first_of(sentences: list[str], n: int = 3) -> str:
    more = f" (and {len(sentences) - n} more)" if len(sentences) > n else ""
    return " ".join(sentences[:n]) + more
