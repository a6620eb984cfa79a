"""Pictures that a browser sent, singly or in zips: checked, and kept as a clean folder."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from aecore.errors import DataError

from .archive import MAX_MEMBERS, LeftOut, Member, in_zip, refusal, shown
from .image import decode
from .pictures import NEEDED, labels_of, too_few

KEPT_SIDE = 256
"""Uploaded pictures are kept with their shorter side at most this long: twice the largest `DataSpec.size`."""


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


def ingest(files: Sequence[tuple[str, bytes]], into: Path) -> Report:
    """Check uploaded files (pictures and zips of pictures) and keep the good ones as a clean folder.

    files: (name, content). into: a folder that does not exist yet, or is empty. It appears with all its pictures at
    once, or not at all.
    Pictures are kept upright, as 8-bit PNG without metadata, at most 256 pixels on the shorter side. Their
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
            taken, classes, notes = _write(members, work, left_out)
            if taken < NEEDED:
                raise too_few("The upload", taken, [why for _, why in left_out])
            work.chmod(0o755)
            os.replace(work, into)
        except OSError as error:
            raise DataError(
                f"The pictures could not be kept in {into.parent}: {error.strerror or error}. "
                "Free some space or choose another folder."
            ) from error
    return Report(into, taken, classes, tuple(left_out), tuple(notes))


def _uploaded(files: Sequence[tuple[str, bytes]], left_out: list[LeftOut], stack: ExitStack) -> list[Member]:
    """The files that may be pictures, singly or in zips. Zips stay open until the stack closes."""
    members: list[Member] = []
    for name, raw in files:
        name = name.replace("\\", "/")
        if PurePosixPath(name).suffix.lower() == ".zip":
            try:
                contents = stack.enter_context(in_zip(io.BytesIO(raw), name))
            except DataError as error:
                left_out.append(LeftOut(name, str(error)))
                continue
            members += contents.members
            left_out += contents.left_out
        elif refused := refusal(name):
            left_out.append(refused)
        else:
            members.append(Member(name, lambda raw=raw: raw))
    if len(members) > MAX_MEMBERS:
        raise DataError(f"The upload holds more than {MAX_MEMBERS:,} pictures. Choose fewer.")
    return members


def _write(
    members: list[Member], folder: Path, left_out: list[LeftOut]
) -> tuple[int, tuple[str, ...] | None, list[str]]:
    """Write the pictures that can be decoded into a folder. Returns (number written, classes, notes)."""
    labelled = labels_of([member.name for member in members])
    class_folders: list[str] = []
    for name in labelled[1] if labelled else ():
        class_folders.append(_unused(_safe(name), {other.casefold() for other in class_folders}))
    used: dict[str, set[str]] = {}
    taken, notes = 0, []
    for i, member in enumerate(members):
        try:
            image, note = decode(member.read(), shown(member.name), about=KEPT_SIDE)
        except DataError as error:
            left_out.append(LeftOut(member.name, str(error)))
            continue
        class_folder = class_folders[labelled[0][i]] if labelled else ""
        (folder / class_folder).mkdir(exist_ok=True)
        stem = _unused(_safe(PurePosixPath(member.name).stem), used.setdefault(class_folder, set()))
        used[class_folder].add(stem.casefold())
        _smaller(image).save(folder / class_folder / f"{stem}.png", compress_level=1)
        taken += 1
        if note:
            notes.append(f"{shown(member.name)}: {note}.")
    filled = tuple(class_folder for class_folder in class_folders if class_folder in used)
    return taken, filled if len(filled) > 1 else None, notes


def _safe(name: str) -> str:
    """A file name without anything that a file system, a shell or a web page could misread."""
    return re.sub(r"[^\w\- ]+", "_", name).strip(" _")[:60] or "picture"


def _unused(name: str, used: set[str]) -> str:
    """The name, with a number at its end when it is among `used` (casefolded) already."""
    unique, number = name, 1
    while unique.casefold() in used:
        number += 1
        unique = f"{name}-{number}"
    return unique


def _smaller(image: Image.Image) -> Image.Image:
    """The picture with its shorter side at most KEPT_SIDE long."""
    short = min(image.size)
    if short <= KEPT_SIDE:
        return image
    width, height = (max(1, round(side * KEPT_SIDE / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)
