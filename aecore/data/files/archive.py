"""The pictures inside a folder, a zip or an upload, as names and ways to read them.

Nothing is unpacked to disk. Names from strangers are only labels here: no path is ever built from them.
What cannot be a picture is listed with the reason; hidden files and what file managers leave behind are
passed over in silence.
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
"""Pictures are compressed already: a zip that unpacks to a hundred times its size is a trap."""

SMALL = 16 * 2**20
"""Below this size unpacked, a ratio proves nothing and harms nobody."""

LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


class Member(NamedTuple):
    """name: relative, with '/'. read(): its bytes; raises DataError. stamp: changes when the content does."""

    name: str
    read: Callable[[], bytes]
    stamp: tuple[int, ...] = ()


class LeftOut(NamedTuple):
    """A file that is not used, and a sentence that says why and what to do."""

    name: str
    why: str


class Found(NamedTuple):
    members: list[Member]
    left_out: list[LeftOut]


def shown(name: str) -> str:
    """A stranger's file name, fit for a sentence."""
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= 80 else f"{name[:38]}…{name[-38:]}"


def ignored(name: str) -> bool:
    """Hidden files, and what file managers leave behind."""
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
def opened(path: Path) -> Iterator[Found]:
    """What is in a folder, a zip, or one picture file. Raises DataError when it cannot be read."""
    with ExitStack() as stack:
        try:
            found = _find(path, stack)
        except PermissionError as e:
            raise DataError(f"{e.filename or path} may not be read. Change its permissions or choose another.") from e
        except OSError as e:
            raise DataError(
                f"{shown(str(path))} cannot be read ({e.strerror or e}). Choose another folder or zip."
            ) from e
        yield found


def _find(path: Path, stack: ExitStack) -> Found:
    if "\0" in str(path) or not path.exists():
        raise DataError(f"There is nothing at {shown(str(path))}. Check the path, or upload the pictures again.")
    if path.is_dir():
        return in_folder(path)
    if not path.is_file():
        raise DataError(f"{path} is neither a folder, nor a zip, nor a picture. Choose one of these.")
    if refusal(path.name) is None:
        return Found([_file(path, path.name)], [])
    return stack.enter_context(in_zip(stack.enter_context(path.open("rb")), path.name))


def in_folder(folder: Path) -> Found:
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
            if no := refusal(name):
                left_out.append(no)
            elif path.is_file():
                members.append(_file(path, name))
            if len(members) + len(left_out) > MAX_MEMBERS:
                raise DataError(f"{folder} holds more than {MAX_MEMBERS:,} files. Choose a smaller folder.")
    return Found(members, left_out)


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
def in_zip(file: BinaryIO, title: str) -> Iterator[Found]:
    """The pictures in a zip, open for reading as long as the context lasts. Raises DataError for a trap."""
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
            if no := _unsafe(entry, name) or refusal(name):
                left_out.append(no)
            else:
                pictures.append(entry)
                members.append(Member(name, _reader(archive, entry, name), (entry.CRC, entry.file_size)))
        _check_size(pictures, title)
        yield Found(members, left_out)


def _unsafe(entry: zipfile.ZipInfo, name: str) -> LeftOut | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0]:
        return LeftOut(name, f"{shown(name)} has a name that points outside the zip. Pack it again without its path.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return LeftOut(name, f"{shown(name)} is a link, not a file. Pack the picture itself.")
    if entry.flag_bits & 1:
        return LeftOut(name, f"{shown(name)} is locked with a password. Pack it again without one.")
    return None


def _check_size(pictures: list[zipfile.ZipInfo], title: str) -> None:
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
