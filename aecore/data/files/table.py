"""The user's own table: a CSV with a line of names, then one example a line.

>>> from aecore.data.files import table
>>> table.read(b"a,b,what\\n1,2,cat\\n3,4,dog\\n", "what").labels
['cat', 'dog']
"""

from __future__ import annotations

import csv
import io
import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aecore.errors import DataError

from ..base import Data, DataSpec, TensorSplit

MARGIN = 8.0
"""How many standard deviations of a column become the range from 0 to 1."""

HELD_OUT = 0.25
"""Share of the lines that is held out."""

LEAST = 20
"""Lines needed at least to learn from."""

LARGEST = 1e18
"""Numbers must be smaller in magnitude: the square of a larger one is infinite in 32 bits."""


class Table(NamedTuple):
    """names: of the columns of numbers.  x: (n, V) float32.  labels: what the label column says of each line, or []."""

    names: tuple[str, ...]
    x: np.ndarray
    labels: list[str]


def read(content: bytes, label: str = "") -> Table:
    """The numbers of a CSV, and what one column says of each line. Columns that are the same everywhere are left out.

    label: that column's name; "" for none.
    Raises DataError, with the line, for anything else than numbers, for missing values, and for an empty table.
    """
    header, lines = _lines(content)
    if label and label not in header:
        raise DataError(f"The table has no column {label}; it has {', '.join(header[:20])}.")
    label_column = header.index(label) if label else -1
    rows: list[list[float]] = []
    labels: list[str] = []
    for number, cells in lines:
        if len(cells) != len(header):
            raise DataError(f"Line {number} has {len(cells)} values, the line of names has {len(header)}.")
        if label:
            labels.append(cells[label_column].strip())
        rows.append([_number(cells[k], number, header[k]) for k in range(len(header)) if k != label_column])
    if not rows[0]:
        raise DataError(f"The table has no column of numbers beside {label}.")
    x = np.array(rows, np.float32)
    varies = x.min(0) < x.max(0)
    if not varies.any():
        raise DataError("All lines of the table are alike: there is nothing to learn. Give a table whose values vary.")
    names = [name for k, name in enumerate(header) if k != label_column]
    return Table(tuple(name for name, keep in zip(names, varies, strict=True) if keep), x[:, varies], labels)


def _lines(content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The line of names, and the number and cells of each line below it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("The table is not text in UTF-8. Save it as CSV, UTF-8.") from None
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
    try:
        lines = [(number, cells) for number, cells in enumerate(reader, 1) if any(cells)]
    except csv.Error as error:
        raise DataError(f"The table cannot be read: {error}. Look for a quotation mark that is not closed.") from None
    if len(lines) < 2:
        raise DataError("The table is empty. It needs a line of names, then a line of numbers for each example.")
    return [name.strip() for name in lines[0][1]], lines[1:]


def _number(cell: str, line: int, column: str) -> float:
    """The number in a cell. Raises DataError for anything else, NaN and values beyond LARGEST included."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if abs(value) < LARGEST:
        return value
    problem = "is missing" if not cell.strip() else f"is {cell.strip()[:30]!r}, no number"
    raise DataError(
        f"Line {line}: {column} {problem}. Fill it in, or leave out the line or "
        "the column; one column of words can be named as the label."
    )


def opened(path: str | None) -> bytes:
    """The content of a file. Raises DataError where there is none."""
    try:
        return Path(path or "").expanduser().read_bytes()
    except OSError:
        raise DataError(f"There is no table {path}. Give the path of a CSV file.") from None


def scaled(fit: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """½ + (x − mean) / (8 σ) for each column, with mean and σ of `fit`; all arrays (n, V), float32.

    So the values of `fit` lie around ½, nearly all from 0 to 1, which is the range of a decoder's output. Unusual
    values of the others may lie outside, where no decoder can reconstruct them.
    """
    mean, std = fit.mean(0), fit.std(0)
    # A column that hardly varies must not be blown up: σ is at least a hundredth of the median σ.
    std = np.maximum(std, 0.01 * np.median(std) + 1e-12)
    return tuple((0.5 + (x - mean) / (MARGIN * std)).astype(np.float32) for x in (fit, *others))


def load(path: str | None, label: str = "", held_out: float = HELD_OUT) -> Data:
    """A table as examples to train on, scaled, with a seeded share held out; the label column names the classes.

    held_out: the share; for 0, both splits are the whole table, line by line.
    Raises DataError as `read` does, and for fewer than LEAST lines.
    """
    content = opened(path)
    return _load(content, label, str(path), held_out)


@lru_cache(maxsize=4)
def _load(content: bytes, label: str, path: str, held_out: float) -> Data:
    table = read(content, label)
    if len(table.x) < LEAST:
        raise DataError(f"The table has {len(table.x)} lines; at least {LEAST} are needed to learn from.")
    classes = tuple(sorted(set(table.labels)))
    y = np.array([classes.index(name) for name in table.labels], np.int64) if classes else None
    order = np.random.default_rng(0).permutation(len(table.x))
    count = round(held_out * len(order))
    train_lines = np.sort(order[count:])
    test_lines = np.sort(order[:count]) if count else train_lines
    train_x, test_x = scaled(table.x[train_lines], table.x[test_lines])
    return Data(
        spec=DataSpec(name="table", path=path),
        title=Path(path).stem,
        shape=(table.x.shape[1],),
        train=TensorSplit(train_x, None if y is None else y[train_lines]),
        test=TensorSplit(test_x, None if y is None else y[test_lines]),
        source=f"Read from {path}.",
        attribution="Your own table",
        classes=classes or None,
    )
