"""What the server prepares before anyone asks: imports, and the map that the gallery shows first.

Every visitor's page is run by a thread of its own. Where one thread imports a package, and another at the same time
imports a module inside it, each waits for the other: Python then lets one of them go on with half a package, and its
page fails with “cannot import name … from partially initialized module”. So packages of which pages import several
modules are imported here first.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aecore import Run
    from aecore.explore.maps import MapView

OURS = ("aecore", "aecore.data", "aecore.measure")
"""Ours, as far as they import no Streamlit, which another thread imports at that time."""
SKLEARN = (
    "sklearn.cluster",
    "sklearn.datasets",
    "sklearn.decomposition",
    "sklearn.discriminant_analysis",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.metrics",
    "sklearn.mixture",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
)
"""All modules of sklearn that pages import. That takes more than a second, for which every page but the first waits."""
_locks = {OURS: Lock(), SKLEARN: Lock()}


def imported(names: tuple[str, ...]) -> None:
    """Import these modules, or wait until another thread has imported them.

    names: `OURS` or `SKLEARN`.
    """
    with _locks[names]:
        for name in names:
            importlib.import_module(name)


# --- the map of the gallery -----------------------------------------------------------------------------------------

POINTS = 1500


def first_run(runs: list[Run]) -> Run | None:
    """The run whose map the gallery shows: an autoencoder of images whose code has two numbers; None without any.

    Pretrained runs come first, then those with a posterior, then those that were trained to their end.
    """
    suitable = [
        run
        for run in runs
        if run.info.params.get("code") == 2
        and {"encode", "decode"} <= run.entry.abilities
        and len(run.info.shape) == 3
        and (run.path / "weights.safetensors").exists()
    ]

    def rank(run: Run) -> tuple[bool, bool, bool]:
        return not run.pretrained, "posterior" not in run.entry.abilities, run.info.status != "done"

    return min(suitable, key=rank, default=None)


def first_map(run: Run) -> MapView:
    """The map of a run. While the run trains, this stays the map that was made first."""
    weights = run.path / "weights.safetensors"
    return _first_map(run.path, 0 if run.info.status == "running" else weights.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _first_map(path: Path, stamp: int) -> MapView:
    """stamp: when the weights were written."""
    from aecore import Run
    from aecore.explore import maps
    from aecore.explore.projection import Projection

    run = Run.open(path)
    data = run.data()
    return maps.latent_map(run.model(), data.test, Projection("units"), POINTS, class_names=data.classes)
