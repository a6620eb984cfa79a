"""Maps of a run's codes, computed once and stored with the run."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..data.places import cache_dir
from ..errors import RunError
from ..explore import examples as code_of
from ..explore.projection import NAMES, Projection
from .files import write_aside
from .folder import Run


def stored(run: Run, method: str, n: int, split: str = "test") -> np.ndarray | None:
    """Points (n, 2) computed earlier for the run's present weights (seed 0), or None."""
    weights = _digest(run)
    for folder in (run.path / "maps", _cache(run)):
        try:
            with np.load(folder / _file(method, n, split), allow_pickle=False) as file:
                if str(file["weights"]) == weights:
                    return file["points"].astype(np.float32)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            continue
    return None


def store(run: Run, method: str, n: int, split: str, points: np.ndarray, folder: Path | None = None) -> Path:
    """Keep points in the run's folder; in the cache where that cannot be written, or the run is a pretrained one.

    folder: write there and nowhere else (how maps get into pretrained runs).
    """
    choice = [folder] if folder else [_cache(run)] if run.pretrained else [run.path / "maps", _cache(run)]
    problem: Exception | None = None
    for place in choice:
        try:
            place.mkdir(parents=True, exist_ok=True)
            path = place / _file(method, n, split)
            write_aside(path, lambda aside: _write(aside, points.astype(np.float32), _digest(run)))
            return path
        except (OSError, RunError) as error:
            problem = error
    raise RunError(f"The map could not be kept ({problem}). Free some disk space.")


def compute(
    run: Run, method: str, n: int = 5000, split: str = "test", progress: Callable[[float, str], None] | None = None
) -> np.ndarray:
    """Points (n, 2), computed and stored: for a background worker. progress: called with a fraction and a sentence."""
    say = progress or (lambda fraction, sentence: None)
    say(0.0, "Reading the data")
    half = getattr(run.data(), split)
    ids = code_of.choose(half, n)
    say(0.05, f"Encoding {len(ids):,} images")
    codes = code_of.codes(run.model(), half, ids)
    say(0.1, f"{NAMES[method]} of {len(ids):,} codes, about {estimate(method, len(ids)):.0f} seconds")
    points = Projection(method).fit(codes)
    store(run, method, n, split, points)
    say(1.0, "Done")
    return points


def estimate(method: str, n: int) -> float:
    """About how many seconds `compute` takes on one core, UMAP's compiling (40 s, the first time) included."""
    return {"units": 0.5, "pca": 0.5, "umap": 44 + 0.0025 * n, "tsne": 3 + 0.005 * n}[method]


def _write(path: Path, points: np.ndarray, weights: str) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, points=points, weights=np.array(weights))


def _file(method: str, n: int, split: str) -> str:
    return f"{method}-{split}-{n}.npz"


def _cache(run: Run) -> Path:
    return cache_dir() / "maps" / re.sub(r"[^\w-]", "_", run.info.id)


def _digest(run: Run) -> str:
    """Of the weights, so that a map is never shown for a model that was trained on."""
    try:
        return hashlib.sha256((run.path / "weights.safetensors").read_bytes()).hexdigest()[:32]
    except OSError as error:
        raise RunError(f"The weights of {run.path} cannot be read ({error.strerror}). Train the run first.") from None
