"""What can be taken home from a run; each file is made when it is asked for."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from aecore import Run
from aecore.explore import export


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
    loops = getattr(run.entry.build, "loops", False)
    if coded and not loops:
        offers.append(
            ("ONNX (zip)", lambda: zipped(lambda folder: export.onnx(run, folder)), "onnx.zip", "application/zip")
        )
    with st.container(horizontal=True, gap="small"):
        for label, make, name, mime in offers:
            st.download_button(
                label, make, f"{run.info.id}-{name}", mime, on_click="ignore", icon=":material/download:"
            )
    if coded and loops:
        st.caption("No ONNX: its decoder draws pixel after pixel, in a loop that such a graph cannot hold.")
    with st.expander("This experiment as Python", icon=":material/code:"):
        st.code(export.snippet(run), language="python")
