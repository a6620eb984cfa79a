"""The files of a trained run: its curves, weights and codes, in formats that other programs read."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from aecore import Run
from aecore.runs import export
from app.panels.downloads import download_button


class File(NamedTuple):
    """label: of the button.  make: the content.  name: of the file, behind the run's id.  mime: its type."""

    label: str
    make: Callable[[], bytes | str]
    name: str
    mime: str


def files_of(run: Run) -> list[File]:
    """The files that the model's abilities permit."""
    files = [
        File("Curves (CSV)", lambda: export.rows_csv(run), "curves.csv", "text/csv"),
        File("Weights (safetensors)", lambda: export.weights(run), "weights.safetensors", "application/octet-stream"),
        File(
            "TensorBoard (zip)",
            lambda: zipped(lambda folder: export.tensorboard(run, folder)),
            "tensorboard.zip",
            "application/zip",
        ),
    ]
    if "encode" in run.entry.abilities:
        files.append(File("Codes (CSV)", lambda: export.codes_csv(run), "codes.csv", "text/csv"))
    if _is_autoencoder(run) and not _is_sequential(run):
        files.append(
            File("ONNX (zip)", lambda: zipped(lambda folder: export.onnx(run, folder)), "onnx.zip", "application/zip")
        )
    return files


def buttons(run: Run) -> None:
    """Buttons for all files of a run that has weights, and the experiment as Python."""
    with st.container(horizontal=True, gap="small"):
        for file in files_of(run):
            download_button(file.label, file.make, f"{run.info.id}-{file.name}", file.mime, f"run.{file.name}")
    if _is_autoencoder(run) and _is_sequential(run):
        st.caption("There is no ONNX file: the decoder draws pixel after pixel, and such a graph cannot hold the loop.")
    with st.expander("This experiment as Python", icon=":material/code:"):
        st.code(export.snippet(run), language="python")


def zipped(make: Callable[[Path], object]) -> bytes:
    """The files that `make` writes into a folder, as a zip."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
    return out.getvalue()


def _is_autoencoder(run: Run) -> bool:
    return {"encode", "decode"} <= run.entry.abilities


def _is_sequential(run: Run) -> bool:
    """Whether the decoder draws pixel after pixel."""
    return getattr(run.entry.build, "sequential", False)
