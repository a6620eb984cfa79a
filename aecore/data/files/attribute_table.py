"""Tables that say which attributes each picture has."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from aecore.errors import DataError

from .archive import shown

CELEBA = "list_attr_celeba.txt"
"""The name of CelebA's own table."""

PRESENCE = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), 1.0),
    **dict.fromkeys(("0", "0.0", "-1", "-1.0", "false", "no"), 0.0),
}
"""What a cell says, in lower case, and whether the attribute is then present."""

MAX_ATTRIBUTES = 200


class AttributeTable(NamedTuple):
    """names: of the attributes.  rows: file name → (A,) of 0 and 1.  file: the table's own name."""

    names: tuple[str, ...]
    rows: dict[str, np.ndarray]
    file: str

    def row_of(self, member: str) -> np.ndarray | None:
        """The row (A,) of a picture, by its path or else by its file name; None without one."""
        row = self.rows.get(member)
        return self.rows.get(PurePosixPath(member).name) if row is None else row


def beside(path: Path) -> bool:
    """Whether a folder or zip seems to hold a table of attributes."""
    try:
        if path.is_dir():
            return any(path.glob(CELEBA)) or any(path.glob("*.csv")) or any(path.glob(f"*/{CELEBA}"))
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith((CELEBA, ".csv")) for name in archive.namelist() if name.count("/") <= 1)
    except (OSError, zipfile.BadZipFile):
        return False


def table_in(path: Path) -> AttributeTable | None:
    """The table of attributes in a folder or zip: CelebA's, or the one CSV at its top; None without one.

    Raises DataError for a table that cannot be used, and when there are several.
    """
    tables = _tables_in(path)
    if not tables:
        return None
    if len(tables) > 1:
        names = ", ".join(shown(name) for name, _ in tables[:4])
        raise DataError(f"There are {len(tables)} tables beside the pictures ({names}). Keep the one with attributes.")
    name, read = tables[0]
    try:
        text = read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(name)} cannot be read as text ({error}). Save it as CSV in UTF-8.") from error
    return from_celeba(text, name) if name == CELEBA else from_csv(text, name)


def _tables_in(path: Path) -> list[tuple[str, Callable[[], bytes]]]:
    """Name and content of each table in a folder or zip. Where CelebA's table is, the others do not count."""
    if path.is_dir():
        files = sorted(path.glob(CELEBA)) or sorted(path.glob("*.csv")) or sorted(path.glob(f"*/{CELEBA}"))
        return [(file.name, file.read_bytes) for file in files]
    if path.suffix.lower() == ".zip" and path.is_file():
        with zipfile.ZipFile(path) as archive:
            near_top = [n for n in archive.namelist() if n.count("/") <= 1 and not n.startswith("__MACOSX")]
            chosen = [n for n in near_top if PurePosixPath(n).name == CELEBA]
            chosen = chosen or [n for n in near_top if n.endswith(".csv")]
            contents = [(PurePosixPath(n).name, archive.read(n)) for n in chosen]
        return [(name, lambda content=content: content) for name, content in contents]
    return []


def from_celeba(text: str, file: str = CELEBA) -> AttributeTable:
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


def from_csv(text: str, file: str) -> AttributeTable:
    """A header whose first column names the file, then a column for each attribute: 0 or 1, −1 or 1, yes or no."""
    try:
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t")
    except csv.Error:
        dialect = csv.excel
    lines = [row for row in csv.reader(io.StringIO(text), dialect) if any(cell.strip() for cell in row)]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise DataError(f"{shown(file)} has no rows of attributes. Its first line names the columns: file, then each.")
    return _table([name.strip() for name in lines[0][1:]], lines[1:], file, first=2)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], file: str, first: int) -> AttributeTable:
    """rows: of each picture its file name, then a cell for each attribute.  first: number of the first row's line."""
    if len(set(names)) != len(names) or not all(names):
        twice = next((name for name in names if names.count(name) > 1), "")
        raise DataError(
            f"{shown(file)} has {f'two columns {shown(twice)}' if twice else 'a nameless column'}: name each once."
        )
    if len(names) > MAX_ATTRIBUTES:
        raise DataError(
            f"{shown(file)} has {len(names)} columns; at most {MAX_ATTRIBUTES} attributes are taken. Remove some."
        )
    by_file: dict[str, np.ndarray] = {}
    for line, row in enumerate(rows, first):
        if len(row) != len(names) + 1:
            raise DataError(
                f"Line {line} of {shown(file)} has {len(row) - 1} values for {len(names)} attributes. Mend that line."
            )
        values = [PRESENCE.get(cell.strip().lower()) for cell in row[1:]]
        if None in values:
            column = values.index(None)
            raise DataError(
                f"Line {line} of {shown(file)} says '{shown(row[1 + column])}' for {shown(names[column])}. "
                "An attribute is 0 or 1, −1 or 1, yes or no: remove columns that are something else."
            )
        by_file[row[0].strip().replace("\\", "/")] = np.array(values, np.float32)
    return AttributeTable(tuple(names), by_file, file)
