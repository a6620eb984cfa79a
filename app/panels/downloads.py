"""What can be taken home from a run; each file is made when it is asked for."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from aecore import Run, paths
from aecore.runs import export


def zipped(make: Callable[[Path], object]) -> bytes:
    """What `make` leaves in a folder, as a zip."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
    return out.getvalue()


def downloads(run: Run) -> None:
    """Buttons for all files of a run that has weights."""
    coded = {"encode", "decode"} <= run.entry.abilities
    offers: list[tuple[str, Callable[[], bytes], str, str]] = [
        ("Curves (CSV)", lambda: export.rows_csv(run), "curves.csv", "text/csv"),
        (
            "Weights (safetensors)",
            lambda: export.weights(run),
            "weights.safetensors",
            "application/octet-stream",
        ),
        (
            "TensorBoard (zip)",
            lambda: zipped(lambda folder: export.tensorboard(run, folder)),
            "tensorboard.zip",
            "application/zip",
        ),
    ]
    if "encode" in run.entry.abilities:
        offers.append(("Codes (CSV)", lambda: export.codes_csv(run), "codes.csv", "text/csv"))
    sequential = getattr(run.entry.build, "sequential", False)
    if coded and not sequential:
        offers.append(
            ("ONNX (zip)", lambda: zipped(lambda folder: export.onnx(run, folder)), "onnx.zip", "application/zip")
        )
    with st.container(horizontal=True, gap="small"):
        for label, make, name, mime in offers:
            st.download_button(
                label, make, f"{run.info.id}-{name}", mime, on_click="ignore", icon=":material/download:"
            )
    if coded and sequential:
        st.caption("No ONNX: its decoder draws pixel after pixel, in a loop that such a graph cannot hold.")
    with st.expander("This experiment as Python", icon=":material/code:"):
        st.code(export.snippet(run), language="python")


def download_row(
    name: str, table: Mapping[str, Iterable], snippet: str, key: str, picture: Callable[[], bytes] | None = None
) -> None:
    """What a view can be taken away as: its numbers, its picture, and the lines that compute them."""
    with st.container(horizontal=True):
        download_button(
            "Numbers as CSV", lambda: csv_table(list(table), *table.values()), f"{name}.csv", "text/csv", f"{key}.csv"
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


def npz_bytes(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def download_button(label: str, make: Callable[[], bytes | str] | bytes | str, file: str, mime: str, key: str) -> None:
    """A file that is made when it is asked for, without a rerun."""
    st.download_button(label, make, file, mime, key=key, on_click="ignore", icon=":material/download:")


def run_location(run: Run) -> str:
    """Where a run lies, for lines that open it from the project's folder."""
    return str(run.path.resolve().relative_to(paths.PRETRAINED.parent)) if run.pretrained else f"runs/{run.info.id}"


def python_button(run: Run, lines: str, key: str) -> None:
    """The lines that compute a view, with `run` opened first, as a file to take home."""
    place = run_location(run)
    text = f'import numpy as np\n\nimport aecore\n\nrun = aecore.load("{place}")\n{lines.strip()}\n'
    download_button("Python", text, f"{run.info.id}.py", "text/x-python", key)


def csv_table(header: Sequence[str], *columns: Iterable) -> str:
    """CSV text; a text cell that a spreadsheet would take for a formula starts with an apostrophe."""
    lines = [",".join(header)]
    for row in zip(*columns, strict=True):
        lines.append(",".join(_csv_cell(value) for value in row))
    return "\n".join(lines) + "\n"


def _csv_cell(value) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    text = str(value)
    if isinstance(value, str) and text[:1] in tuple("=+-@"):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n\r') else text
