"""The first picture anyone sees: which run it is of, and its map, made once.

Without Streamlit, so that the server can make it while it starts.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from aecore import Run
from aecore.explore import maps

POINTS = 1500


def choose(everything: list[Run]) -> Run | None:
    """A run whose code is a plane of images: a pretrained one first, one with a prior before others."""
    found = [
        run for run in everything
        if run.info.params.get("code") == 2 and {"encode", "decode"} <= run.entry.abilities
        and len(run.info.shape) == 3 and (run.path / "weights.safetensors").exists()
    ]  # fmt: skip
    found.sort(key=lambda run: (not run.pretrained, "posterior" not in run.entry.abilities, run.info.status != "done"))
    return found[0] if found else None


def view(run: Run) -> maps.MapView:
    """Its map. Of a run that still trains, the one first made."""
    file = run.path / "weights.safetensors"
    return _view(run.path, 0 if run.info.status == "running" else file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _view(path: Path, stamp: int) -> maps.MapView:
    run = Run.open(path)
    return maps.latent_map(run.model(), run.data(), POINTS, "units")
