"""A table of the user's: a CSV with a line of names, then one example a line.

>>> from aecore.data.files import table
>>> table.read(b"a,b,what\\n1,2,cat\\n3,4,dog\\n", "what").said
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
import torch

from aecore.errors import DataError

from ..base import Data, DataSpec, TensorSplit

MARGIN = 8.0  # standard deviations that stand for the range from 0 to 1
HELD_OUT = 0.25
LEAST = 20  # lines
LARGEST = 1e18  # the square of a larger one is none in 32 bits


class Table(NamedTuple):
    """names: of the columns of numbers.  x: (n, V) float32.  said: what the label column says; [] without one."""

    names: tuple[str, ...]
    x: np.ndarray
    said: list[str]


def read(content: bytes, label: str = "") -> Table:
    """Numbers, and what one column says of each line; columns that are the same everywhere are left out.

    label: that column's name.
    Raises DataError, with the line, for anything else than numbers, for missing values, and for an empty table.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("The table is not text in UTF-8. Save it as CSV, UTF-8.") from None
    first_line = text.lstrip().partition("\n")[0]
    mark = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=mark)
    try:
        lines = [(number, row) for number, row in enumerate(reader, 1) if any(row)]
    except csv.Error as error:
        raise DataError(f"The table cannot be read: {error}. Look for a quotation mark that is not closed.") from None
    if len(lines) < 2:
        raise DataError("The table is empty. It needs a line of names, then a line of numbers for each example.")
    header = [name.strip() for name in lines[0][1]]
    if label and label not in header:
        raise DataError(f"The table has no column {label}; it has {', '.join(header[:20])}.")
    at = header.index(label) if label else -1
    rows, said = [], []
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise DataError(f"Line {number} has {len(row)} values, the line of names has {len(header)}.")
        values = []
        for place, (name, word) in enumerate(zip(header, row, strict=True)):
            if place == at:
                said.append(word.strip())
                continue
            try:
                value = float(word)
            except ValueError:
                value = math.nan
            if not abs(value) < LARGEST:  # nor NaN
                what = "is missing" if not word.strip() else f"is {word.strip()[:30]!r}, no number"
                raise DataError(
                    f"Line {number}: {name} {what}. Fill it in, or leave out the line or "
                    "the column; one column of words can be named as the label."
                )
            values.append(value)
        rows.append(values)
    if not rows[0]:
        raise DataError(f"The table has no column of numbers beside {label}.")
    x = np.array(rows, np.float32)
    varied = x.min(0) < x.max(0)
    if not varied.any():
        raise DataError("All lines of the table are alike: there is nothing to learn. Give a table whose values vary.")
    names = [name for place, name in enumerate(header) if place != at]
    return Table(tuple(name for name, keep in zip(names, varied, strict=True) if keep), x[:, varied], said)


def opened(path: str | None) -> bytes:
    """What a file holds; DataError where there is none."""
    try:
        return Path(path or "").expanduser().read_bytes()
    except OSError:
        raise DataError(f"There is no table {path}. Give the path of a CSV file.") from None


def scaled(fit: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Values so that those of `fit` lie around ½ within 0 and 1, which is what a decoder can say; all (n, V).

    Stranger values of others stay outside, where nothing can reconstruct them.
    """
    mean, std = fit.mean(0), fit.std(0)
    # A value that hardly varies must not blow up: it is measured by at least a hundredth of the usual spread.
    std = np.maximum(std, 0.01 * np.median(std) + 1e-12)
    return tuple((0.5 + (x - mean) / (MARGIN * std)).astype(np.float32) for x in (fit, *others))


def load(path: str | None, label: str = "", held_out: float = HELD_OUT) -> Data:
    """A table as examples to train on, scaled, with a seeded share held out; the label column names the classes.

    held_out: 0: both halves are the whole table, line by line.
    Raises DataError as `read` does, and for fewer than LEAST lines.
    """
    content = opened(path)
    return _load(content, label, str(path), held_out)


@lru_cache(maxsize=4)
def _load(content: bytes, label: str, path: str, held_out: float) -> Data:
    found = read(content, label)
    if len(found.x) < LEAST:
        raise DataError(f"The table has {len(found.x)} lines; at least {LEAST} are needed to learn from.")
    classes = tuple(sorted(set(found.said)))
    y = np.array([classes.index(word) for word in found.said], np.int64) if classes else None
    order = np.random.default_rng(0).permutation(len(found.x))
    count = round(held_out * len(order))
    kept = np.sort(order[count:])
    held = np.sort(order[:count]) if count else kept
    halves = scaled(found.x[kept], found.x[held])
    train, test = (
        TensorSplit(torch.from_numpy(x), None if y is None else y[ids])
        for x, ids in zip(halves, (kept, held), strict=True)
    )
    return Data(
        DataSpec(name="table", path=path),
        Path(path).stem,
        (found.x.shape[1],),
        train,
        test,
        f"Read from {path}.",
        "Your own table",
        classes or None,
    )
