"""The folders that hold runs."""

from __future__ import annotations

import os
from pathlib import Path

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


def root() -> Path:
    """The folder of the user's runs: $AECORE_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("AECORE_RUNS", "runs"))
