"""Buttons that download what a page shows: its numbers, its pictures, and the Python that computes them.

Each file is made when the visitor asks for it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from aecore import Run, paths
from app.panels.tables import csv_table


def download_button(label: str, make: Callable[[], bytes | str] | bytes | str, file: str, mime: str, key: str) -> None:
    """A button for one file. The page is not run again when it is pressed.

    make: the content, or a function that makes it when the button is pressed.  mime: the type of the content.
    """
    st.download_button(label, make, file, mime, key=key, on_click="ignore", icon=":material/download:")


def download_row(
    name: str,
    table: Mapping[str, Iterable],
    snippet: str,
    key: str,
    picture: Callable[[], bytes] | None = None,
) -> None:
    """A row of buttons: the numbers as CSV, the picture as PNG, and the lines of Python that compute them.

    name: of the files, without their endings.  table: columns by their headings.  picture: makes the PNG.
    """
    with st.container(horizontal=True):
        download_button(
            "Numbers as CSV",
            lambda: csv_table(list(table), *table.values()),
            f"{name}.csv",
            "text/csv",
            f"{key}.csv",
        )
        if picture:
            download_button("Picture as PNG", picture, f"{name}.png", "image/png", f"{key}.png")
        download_button(
            "Python",
            f'"""{name}: made by Autoencoder Explorer."""\n\n{snippet.strip()}\n',
            f"{name}.py",
            "text/x-python",
            f"{key}.py",
        )


def python_button(run: Run, lines: str, key: str) -> None:
    """The lines of Python that compute what a page shows, as a file. The file opens `run` first."""
    text = f'import numpy as np\n\nimport aecore\n\nrun = aecore.load("{run_location(run)}")\n{lines.strip()}\n'
    download_button("Python", text, f"{run.info.id}.py", "text/x-python", key)


def run_location(run: Run) -> str:
    """The folder of a run, for Python that is run in the project's folder."""
    return str(run.path.resolve().relative_to(paths.PRETRAINED.parent)) if run.pretrained else f"runs/{run.info.id}"


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """Named arrays as the content of an NPZ file."""
    out, members = io.BytesIO(), dict[str, Any](arrays)
    np.savez_compressed(out, **members)  # without allow_pickle, for which numpy 1.26 stores an array of that name
    return out.getvalue()
