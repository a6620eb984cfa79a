"""Tables that say which attributes each picture has."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from aecore.errors import DataError

from .archive import shown

CELEBA = "list_attr_celeba.txt"


PRESENT = {
    "1": 1.0,
    "1.0": 1.0,
    "true": 1.0,
    "yes": 1.0,
    "0": 0.0,
    "0.0": 0.0,
    "-1": 0.0,
    "-1.0": 0.0,
    "false": 0.0,
    "no": 0.0,
}


MOST = 200


class Table(NamedTuple):
    """names: of the attributes.  rows: file name → (A,) of 0 and 1.  file: where it was read."""

    names: tuple[str, ...]
    rows: dict[str, np.ndarray]
    file: str

    def of(self, member: str) -> np.ndarray | None:
        """The row of a picture, by its path or by its file name."""
        found = self.rows.get(member)
        return self.rows.get(PurePosixPath(member).name) if found is None else found


def beside(path: Path) -> bool:
    """Whether a table of attributes seems to lie in a folder or zip."""
    try:
        if path.is_dir():
            return any(path.glob(CELEBA)) or any(path.glob("*.csv")) or any(path.glob(f"*/{CELEBA}"))
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith((CELEBA, ".csv")) for name in archive.namelist() if name.count("/") <= 1)
    except (OSError, zipfile.BadZipFile):
        return False


def table_in(path: Path) -> Table | None:
    """The table of attributes that lies in a folder or zip: CelebA's, or the one CSV at its top; None without one.

    Raises DataError, in words, for a table that cannot be used or when there are several.
    """
    if path.is_dir():
        found = sorted(path.glob(CELEBA)) or sorted(path.glob("*.csv"))
        if not found:
            found = sorted(path.glob(f"*/{CELEBA}"))
        texts = [(file.name, file.read_bytes) for file in found]
    elif path.suffix.lower() == ".zip" and path.is_file():
        with zipfile.ZipFile(path) as archive:
            inside = [n for n in archive.namelist() if n.count("/") <= 1 and not n.startswith("__MACOSX")]
            chosen = [n for n in inside if PurePosixPath(n).name == CELEBA] or [n for n in inside if n.endswith(".csv")]
            held = [(PurePosixPath(n).name, archive.read(n)) for n in chosen]
        texts = [(name, lambda raw=raw: raw) for name, raw in held]
    else:
        return None
    if not texts:
        return None
    if len(texts) > 1:
        names = ", ".join(shown(name) for name, _ in texts[:4])
        raise DataError(f"There are {len(texts)} tables beside the pictures ({names}). Keep the one with attributes.")
    name, read = texts[0]
    try:
        text = read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(name)} cannot be read as text ({error}). Save it as CSV in UTF-8.") from error
    return from_celeba(text, name) if name == CELEBA else from_csv(text, name)


def from_celeba(text: str, file: str = CELEBA) -> Table:
    """CelebA's own format: a number of pictures, a line of names, then for each picture its file and −1 or 1."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 3 or len(lines[0]) != 1 or not lines[0][0].isdigit():
        raise DataError(f"{shown(file)} does not begin with a number of pictures and a line of names. Copy it again.")
    names, rows = lines[1], lines[2:]
    if len(rows) != int(lines[0][0]):
        raise DataError(
            f"{shown(file)} says it has {int(lines[0][0]):,} rows, but holds {len(rows):,}. Copy it again, or put the "
            f"number of its rows into its first line."
        )
    return _table(names, rows, file, first=3)


def from_csv(text: str, file: str) -> Table:
    """A header whose first column names the file, then a column for each attribute: 0 or 1, −1 or 1, yes or no."""
    try:
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t")
    except csv.Error:
        dialect = csv.excel
    lines = [row for row in csv.reader(io.StringIO(text), dialect) if any(cell.strip() for cell in row)]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise DataError(f"{shown(file)} has no rows of attributes. Its first line names the columns: file, then each.")
    return _table([name.strip() for name in lines[0][1:]], lines[1:], file, first=2)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], file: str, first: int) -> Table:
    if len(set(names)) != len(names) or not all(names):
        twice = next((name for name in names if names.count(name) > 1), "")
        raise DataError(
            f"{shown(file)} has {f'two columns {shown(twice)}' if twice else 'a nameless column'}: name each once."
        )
    if len(names) > MOST:
        raise DataError(f"{shown(file)} has {len(names)} columns; at most {MOST} attributes are taken. Remove some.")
    found: dict[str, np.ndarray] = {}
    for number, row in enumerate(rows, first):
        if len(row) != len(names) + 1:
            raise DataError(
                f"Line {number} of {shown(file)} has {len(row) - 1} values for {len(names)} attributes. Mend that line."
            )
        values = [PRESENT.get(cell.strip().lower()) for cell in row[1:]]
        if None in values:
            at = values.index(None)
            raise DataError(
                f"Line {number} of {shown(file)} says '{shown(row[1 + at])}' for {shown(names[at])}. An attribute is 0 "
                "or 1, −1 or 1, yes or no: remove columns that are something else."
            )
        found[row[0].strip().replace("\\", "/")] = np.array(values, np.float32)
    return Table(tuple(names), found, file)
