"""What the server prepares before anyone asks: imports, and the first picture that a visitor sees.

Every visitor's page is run by a thread of its own. Where one thread imports a package that imports its own modules, and
another comes in by one of those modules, each waits for the other: Python lets one go on with half a package, and the
page fails with “cannot import name … from partially initialized module”. So packages that are entered by several doors
are imported here first.
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

OURS = ("aecore", "aecore.data", "aecore.measure")  # without Streamlit, which another thread imports just then
SKLEARN = (  # more than a second: every page but the first waits for it
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
_turns = {OURS: Lock(), SKLEARN: Lock()}


def imported(names: tuple[str, ...]) -> None:
    """Import these modules, or wait until another thread has; at once if they are there.

    names: `OURS` or `SKLEARN`.
    """
    with _turns[names]:
        for name in names:
            importlib.import_module(name)


# --- the first picture ------------------------------------------------------------------------------------------

POINTS = 1500  # of the first map


def first_run(runs: list[Run]) -> Run | None:
    """A run whose code is a plane of images: a pretrained one first, one with a prior before others."""
    found = [
        run
        for run in runs
        if run.info.params.get("code") == 2
        and {"encode", "decode"} <= run.entry.abilities
        and len(run.info.shape) == 3
        and (run.path / "weights.safetensors").exists()
    ]
    found.sort(key=lambda run: (not run.pretrained, "posterior" not in run.entry.abilities, run.info.status != "done"))
    return found[0] if found else None


def first_map(run: Run) -> MapView:
    """Its map. Of a run that still trains, the one first made."""
    file = run.path / "weights.safetensors"
    return _first_map(run.path, 0 if run.info.status == "running" else file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _first_map(path: Path, stamp: int) -> MapView:
    from aecore import Run
    from aecore.explore import maps
    from aecore.explore.projection import Projection

    run = Run.open(path)
    data = run.data()
    return maps.latent_map(run.model(), data.test, Projection("units"), POINTS, class_names=data.classes)
