"""The user's own pictures: a folder, a zip, or files that a browser sent.

`ingest` turns uploaded files into a clean folder; `from_path` turns a folder or a zip into a `Data`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from aecore.errors import DataError

from ..base import Data, DataSpec, Images
from . import memmap
from .archive import MAX_MEMBERS, LeftOut, Member, in_zip, opened, refusal, shown
from .attribute_table import table_in
from .image import decode, fit

SIZE = 32
"""Side in pixels when the spec names none."""

NEEDED = 2
"""Pictures needed at least: one to train on, one held out."""

KEPT_SIDE = 256
"""Uploaded pictures are kept with their shorter side at most this: twice the largest `DataSpec.size`."""

HELD_OUT = 0.1
CHUNK = 256


@dataclass(frozen=True)
class Report:
    """What became of uploaded files.

    path: the clean folder, for `DataSpec.path`. taken: number of pictures in it. classes: the folder names
    that became labels, or None. left_out: each file that was not taken, with the reason.
    notes: what was done to pictures that were taken, a sentence each.
    """

    path: Path
    taken: int
    classes: tuple[str, ...] | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def labels_of(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]] | None:
    """Labels from folder names, when every picture lies in one of at least two folders side by side.

    A folder around everything does not count. Returns (label of each name, names of the classes), or None.
    """
    parts = [PurePosixPath(name).parts for name in names]
    while parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    if not parts or any(len(p) != 2 for p in parts):
        return None
    classes = tuple(sorted({p[0] for p in parts}))
    number = {name: i for i, name in enumerate(classes)}
    return ([number[p[0]] for p in parts], classes) if len(classes) > 1 else None


def stamp(path: str) -> tuple:
    """Changes when files are added to or removed from a folder (or one level below), or a zip is replaced."""
    try:
        top = Path(path).expanduser()
        below = [e.stat().st_mtime_ns for e in os.scandir(top) if e.is_dir()] if top.is_dir() else []
        return top.stat().st_mtime_ns, top.stat().st_size, sum(below)
    except (OSError, ValueError):
        return ()


def _order(name: str) -> bytes:
    """Sorting by this is a fixed shuffle in which new pictures leave the order of the others as it was."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()


def from_path(path: str | Path, spec: DataSpec) -> Data:
    """The pictures in a folder or zip, cropped to their central square and resized to spec.size (or 32).

    A tenth, at least one, is held out; which one depends on the names alone. Always three channels unless
    spec.grey. A table of attributes among them (CelebA's, or a CSV) is read too (`attributes.table_in`). Damaged
    pictures, and those without a row in it, are left out, and `Data.source` says so.
    Raises DataError when fewer than two can be used.
    """
    path, size, channels = Path(path).expanduser(), spec.size or SIZE, 1 if spec.grey else 3
    with opened(path) as found:
        members = sorted(found.members, key=lambda m: _order(m.name))
        table = table_in(path)
        unknown = 0
        if table is not None:
            known = [m for m in members if table.of(m.name) is not None]
            unknown = len(members) - len(known)
            if not known and members:
                raise DataError(
                    f"None of the pictures in {shown(path.name)} has a row in {shown(table.file)}: its first column "
                    f"must hold their file names, for example {shown(members[0].name)}."
                )
            members = known
        if len(members) < NEEDED:
            raise _too_few(shown(path.name), len(members), [why for _, why in found.left_out])
        labelled = labels_of([m.name for m in members])
        held_out = max(1, round(HELD_OUT * len(members)))
        wanted = members[: held_out + (spec.limit or len(members))]
        name = memmap.key(path.absolute(), [(m.name, m.stamp) for m in wanted], size, channels)
        array, note = memmap.filled((len(wanted), channels, size, size), name, lambda out: _decode_all(wanted, out))
    good, trouble = note["good"], note["trouble"]
    if len(good) < NEEDED:
        raise _too_few(shown(path.name), len(good), trouble)
    cut = min(max(1, sum(i < held_out for i in good)), len(good) - 1)
    pixels = torch.from_numpy(array[: len(good)])
    labels = None if labelled is None else np.array(labelled[0])[good]
    attributes = None if table is None else np.stack([table.of(wanted[i].name) for i in good])
    halves = [
        Images(pixels[part], *(None if values is None else values[part] for values in (labels, attributes)))
        for part in (slice(cut, None), slice(cut))
    ]
    source = _source(path, len(good), trouble)
    if table is not None:
        source += f" {len(table.names)} attributes from {shown(table.file)}."
        source += f" {unknown:,} pictures without a row there were left out." if unknown else ""
    return Data(
        spec=spec,
        title=f"Pictures in {shown(path.name)}",
        shape=(channels, size, size),
        train=halves[0],
        test=halves[1],
        source=source,
        attribution="Your own pictures",
        classes=None if labelled is None else labelled[1],
        attributes=() if table is None else table.names,
    )


def _source(path: Path, taken: int, trouble: list[str]) -> str:
    left_out = f" {len(trouble)} left out: {_some(trouble)}" if trouble else ""
    return f"{taken:,} pictures from {path}.{left_out}"


def _decode_all(members: list[Member], out: np.ndarray) -> dict[str, Any]:
    """Fill the first rows of out (N, C, S, S) with the pictures that can be decoded, in order.

    Returns {"good": positions of those, "trouble": a sentence for each other one}.
    """
    good: list[int] = []
    trouble: list[str] = []
    C, S = out.shape[1:3]

    def one(member: Member) -> np.ndarray | DataError:
        try:
            return fit(decode(member.read(), shown(member.name), about=S).image, C, S, S)
        except DataError as e:
            return e

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(members), CHUNK):
            for i, result in enumerate(pool.map(one, members[start : start + CHUNK]), start):
                if isinstance(result, DataError):
                    trouble.append(str(result))
                else:
                    out[len(good)] = result
                    good.append(i)
    return {"good": good, "trouble": trouble}


def _some(sentences: list[str], n: int = 3) -> str:
    more = f" (and {len(sentences) - n} more)" if len(sentences) > n else ""
    return " ".join(sentences[:n]) + more


def _too_few(name: str, taken: int, trouble: list[str]) -> DataError:
    number = {0: "no picture", 1: "only one picture"}.get(taken, f"{taken} pictures")
    because = f" Left out: {_some(trouble)}" if trouble else ""
    return DataError(
        f"{name or 'This'} has {number} that can be used, but at least {NEEDED} are needed: one to train on "
        f"and one held out. Add more pictures.{because}"
    )


def ingest(files: Sequence[tuple[str, bytes]], into: Path) -> Report:
    """Check uploaded files (pictures and zips of pictures) and keep the good ones as a clean folder.

    files: (name, content). into: a folder that does not exist yet, or is empty; it appears whole or never.
    Pictures are kept upright, as 8-bit PNG without metadata, at most 256 pixels on the shorter side; their
    names are made safe and unique; folders that give labels become the folders of `into`.
    Raises DataError when fewer than two pictures can be used, or the folder cannot be written.
    """
    into = Path(into)
    left_out: list[LeftOut] = []
    with ExitStack() as stack:
        members = _uploaded(files, left_out, stack)
        try:
            into.parent.mkdir(parents=True, exist_ok=True)
            if into.exists() and (not into.is_dir() or any(into.iterdir())):
                raise DataError(f"{into} exists already. Choose a new name, so that nothing is lost.")
            work = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}-"))
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            taken, classes, notes = _keep(members, work, left_out)
            if taken < NEEDED:
                raise _too_few("The upload", taken, [why for _, why in left_out])
            work.chmod(0o755)
            os.replace(work, into)
        except OSError as e:
            raise DataError(
                f"The pictures could not be kept in {into.parent}: {e.strerror or e}. "
                "Free some space or choose another folder."
            ) from e
    return Report(into, taken, classes, tuple(left_out), tuple(notes))


def _uploaded(files: Sequence[tuple[str, bytes]], left_out: list[LeftOut], stack: ExitStack) -> list[Member]:
    """The candidates among uploaded files; zips stay open until the stack closes."""
    members: list[Member] = []
    for name, raw in files:
        name = name.replace("\\", "/")
        if PurePosixPath(name).suffix.lower() == ".zip":
            try:
                found = stack.enter_context(in_zip(io.BytesIO(raw), name))
            except DataError as e:
                left_out.append(LeftOut(name, str(e)))
                continue
            members += found.members
            left_out += found.left_out
        elif no := refusal(name):
            left_out.append(no)
        else:
            members.append(Member(name, lambda raw=raw: raw))
    if len(members) > MAX_MEMBERS:
        raise DataError(f"The upload holds more than {MAX_MEMBERS:,} pictures. Choose fewer.")
    return members


def _keep(
    members: list[Member], folder: Path, left_out: list[LeftOut]
) -> tuple[int, tuple[str, ...] | None, list[str]]:
    """Write the decodable members into a folder. Returns (number written, classes, notes)."""
    labelled = labels_of([m.name for m in members])
    homes: list[str] = []
    for name in labelled[1] if labelled else ():
        homes.append(_free(_safe(name), {h.casefold() for h in homes}))
    used: dict[str, set[str]] = {}
    taken, notes = 0, []
    for i, member in enumerate(members):
        try:
            image, note = decode(member.read(), shown(member.name), about=KEPT_SIDE)
        except DataError as e:
            left_out.append(LeftOut(member.name, str(e)))
            continue
        home = homes[labelled[0][i]] if labelled else ""
        (folder / home).mkdir(exist_ok=True)
        stem = _free(_safe(PurePosixPath(member.name).stem), used.setdefault(home, set()))
        used[home].add(stem.casefold())
        _smaller(image).save(folder / home / f"{stem}.png", compress_level=1)
        taken += 1
        if note:
            notes.append(f"{shown(member.name)}: {note}.")
    filled = tuple(home for home in homes if home in used)
    return taken, filled if len(filled) > 1 else None, notes


def _safe(name: str) -> str:
    """A file name without anything that a file system, a shell or a web page could misread."""
    return re.sub(r"[^\w\- ]+", "_", name).strip(" _")[:60] or "picture"


def _free(name: str, used: set[str]) -> str:
    """The name, numbered when it is among `used` (casefolded) already."""
    unique, number = name, 1
    while unique.casefold() in used:
        number += 1
        unique = f"{name}-{number}"
    return unique


def _smaller(image: Image.Image) -> Image.Image:
    short = min(image.size)
    if short <= KEPT_SIDE:
        return image
    width, height = (max(1, round(side * KEPT_SIDE / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)
