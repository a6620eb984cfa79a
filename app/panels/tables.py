"""Tables as CSV text, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes text that begins like this for a formula, and runs it."""


def csv_table(header: Sequence[str], *columns: Iterable[Any]) -> str:
    """A table as CSV: a line with the header, then a line for each row.

    Numbers have six significant digits. Text that a spreadsheet would take for a formula starts with an apostrophe.
    Lines end with CR LF, as RFC 4180 has it.
    ValueError where the columns differ in length.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(map(_cell, header))
    writer.writerows(map(_cell, row) for row in zip(*columns, strict=True))
    return out.getvalue()


def _cell(value: Any) -> str:
    """A value as the text of a cell."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return str(value)
