"""Imports that one thread does while the others wait.

Every visitor's page is run by a thread of its own. Where one thread imports a package that imports its own modules, and
another comes in by one of those modules, each waits for the other: Python lets one go on with half a package, and the
page fails with “cannot import name … from partially initialized module”. So packages that are entered by several doors
are imported here first.
"""

from __future__ import annotations

import importlib
from threading import Lock

OURS = ("aecore", "aecore.data", "aecore.measure")  # without Streamlit, which another thread imports just then
SKLEARN = (  # more than a second: every page but the first waits for it
    "sklearn.cluster", "sklearn.datasets", "sklearn.decomposition", "sklearn.discriminant_analysis",
    "sklearn.ensemble", "sklearn.linear_model", "sklearn.manifold", "sklearn.metrics", "sklearn.mixture",
    "sklearn.neighbors", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.svm",
)  # fmt: skip
_turns = {OURS: Lock(), SKLEARN: Lock()}


def imported(names: tuple[str, ...]) -> None:
    """Import these modules, or wait until another thread has; at once if they are there.

    names: `OURS` or `SKLEARN`.
    """
    with _turns[names]:
        for name in names:
            importlib.import_module(name)
