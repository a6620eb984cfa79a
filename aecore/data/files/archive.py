"""The pictures in a folder, a zip or an upload: the name of each, and a function that reads it.

Nothing is unpacked to disk. The names in a zip are used as labels only: no path is ever built from them. A file that
cannot be a picture is listed with the reason. Hidden files, and files that file managers leave behind, are ignored.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from aecore.errors import DataError

from .image import KINDS, MAX_BYTES, SUFFIXES

MAX_MEMBERS = 300_000
MAX_UNPACKED = 4 * 2**30
MAX_RATIO = 100
"""The contents of a zip may be this many times larger than the zip. Pictures are compressed already, so that a larger
ratio means a zip bomb."""

SMALL = 16 * 2**20
"""The ratio of a zip whose contents have fewer bytes than this is not looked at."""

LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


class Member(NamedTuple):
    """A picture file.  name: relative, with '/'.  read(): its bytes; raises DataError.  stamp: changes with them."""

    name: str
    read: Callable[[], bytes]
    stamp: tuple[int, ...] = ()


class LeftOut(NamedTuple):
    """A file that is not used, and a sentence that says why and what to do."""

    name: str
    why: str


class Contents(NamedTuple):
    """The pictures in a folder or zip, and the files that were left out."""

    members: list[Member]
    left_out: list[LeftOut]


def shown(name: str) -> str:
    """A file name of any origin, made printable and short for use in a sentence."""
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= 80 else f"{name[:38]}…{name[-38:]}"


def ignored(name: str) -> bool:
    """Whether a file is hidden, or one that file managers leave behind."""
    return any(part.startswith(".") or part in LEFTOVERS for part in PurePosixPath(name).parts if part != "..")


def refusal(name: str) -> LeftOut | None:
    """Why a file of this name cannot be a picture; None when it may be one."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        return None
    if suffix == ".zip":
        return LeftOut(name, f"{shown(name)} is a zip inside a zip or folder. Unpack it first.")
    return LeftOut(name, f"{shown(name)} is not a {KINDS} picture. Save it as one of these.")


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """What is in a folder, a zip, or one picture file. Raises DataError when it cannot be read."""
    with ExitStack() as stack:
        try:
            contents = _find(path, stack)
        except PermissionError as e:
            raise DataError(f"{e.filename or path} may not be read. Change its permissions or choose another.") from e
        except OSError as e:
            raise DataError(
                f"{shown(str(path))} cannot be read ({e.strerror or e}). Choose another folder or zip."
            ) from e
        yield contents


def _find(path: Path, stack: ExitStack) -> Contents:
    if "\0" in str(path) or not path.exists():
        raise DataError(f"There is nothing at {shown(str(path))}. Check the path, or upload the pictures again.")
    if path.is_dir():
        return in_folder(path)
    if not path.is_file():
        raise DataError(f"{path} is neither a folder, nor a zip, nor a picture. Choose one of these.")
    if refusal(path.name) is None:
        return Contents([_file(path, path.name)], [])
    return stack.enter_context(in_zip(stack.enter_context(path.open("rb")), path.name))


def in_folder(folder: Path) -> Contents:
    """The pictures anywhere below a folder; links to folders are not followed."""
    members: list[Member] = []
    left_out: list[LeftOut] = []

    def give_up(e: OSError) -> None:
        raise e

    for root, folders, files in os.walk(folder, onerror=give_up):
        folders[:] = sorted(f for f in folders if not ignored(f))
        for file in sorted(files):
            path = Path(root, file)
            name = path.relative_to(folder).as_posix()
            if ignored(name):
                continue
            if refused := refusal(name):
                left_out.append(refused)
            elif path.is_file():
                members.append(_file(path, name))
            if len(members) + len(left_out) > MAX_MEMBERS:
                raise DataError(f"{folder} holds more than {MAX_MEMBERS:,} files. Choose a smaller folder.")
    return Contents(members, left_out)


def _file(path: Path, name: str) -> Member:
    def read() -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as e:
            raise DataError(f"{shown(name)} cannot be read ({e.strerror}). Change its permissions.") from e

    info = path.stat()
    return Member(name, read, (info.st_size, info.st_mtime_ns))


@contextmanager
def in_zip(file: BinaryIO, title: str) -> Iterator[Contents]:
    """The pictures in a zip, open for reading as long as the context lasts. Raises DataError for a zip bomb."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as e:
        raise DataError(
            f"{shown(title)} is not a zip, or a damaged one. Pack the pictures again, or choose them singly."
        ) from e
    with archive:
        entries = [i for i in archive.infolist() if not i.is_dir()]
        if len(entries) > MAX_MEMBERS:
            raise DataError(f"{shown(title)} holds more than {MAX_MEMBERS:,} files. Pack fewer pictures.")
        members: list[Member] = []
        left_out: list[LeftOut] = []
        pictures: list[zipfile.ZipInfo] = []
        for entry in entries:
            name = entry.filename.replace("\\", "/")
            if ignored(name):
                continue
            if refused := _unsafe(entry, name) or refusal(name):
                left_out.append(refused)
            else:
                pictures.append(entry)
                members.append(Member(name, _reader(archive, entry, name), (entry.CRC, entry.file_size)))
        _check_size(pictures, title)
        yield Contents(members, left_out)


def _unsafe(entry: zipfile.ZipInfo, name: str) -> LeftOut | None:
    """Why an entry of a zip is not read; None when it may be read."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0]:
        return LeftOut(name, f"{shown(name)} has a name that points outside the zip. Pack it again without its path.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return LeftOut(name, f"{shown(name)} is a link, not a file. Pack the picture itself.")
    if entry.flag_bits & 1:
        return LeftOut(name, f"{shown(name)} is locked with a password. Pack it again without one.")
    return None


def _check_size(pictures: list[zipfile.ZipInfo], title: str) -> None:
    """Raises DataError when the pictures would unpack to too many bytes."""
    unpacked, packed = sum(i.file_size for i in pictures), sum(i.compress_size for i in pictures)
    if unpacked > MAX_UNPACKED:
        raise DataError(
            f"{shown(title)} would unpack to {unpacked / 1e9:.1f} GB; "
            f"at most {MAX_UNPACKED / 1e9:.1f} GB are taken. Pack fewer or smaller pictures."
        )
    if unpacked > SMALL and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"{shown(title)} would unpack to {unpacked / max(packed, 1):.0f} times its size, "
            "which pictures never do, so it is refused. Pack the pictures again."
        )


def _reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with archive.open(entry) as file:
                return file.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as e:
            raise DataError(f"{shown(name)} is damaged inside the zip. Pack it again.") from e

    return read
