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
    """Store points in the run's folder; in the cache where that cannot be written, or the run is pretrained.

    folder: store them there and nowhere else (for the maps of pretrained runs).  Returns the file.
    Raises RunError where no folder can be written.
    """
    folders = [folder] if folder else [_cache(run)] if run.pretrained else [run.path / "maps", _cache(run)]
    problem: Exception | None = None
    for candidate in folders:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            path = candidate / _file(method, n, split)
            write_aside(path, lambda aside: _write(aside, points.astype(np.float32), _digest(run)))
            return path
        except (OSError, RunError) as error:
            problem = error
    raise RunError(f"The map could not be kept ({problem}). Free some disk space.")


def compute(
    run: Run, method: str, n: int = 5000, split: str = "test", progress: Callable[[float, str], None] | None = None
) -> np.ndarray:
    """Points (n, 2), computed and stored; for a background worker.

    progress: called with the fraction done and a sentence.
    """
    report = progress or (lambda fraction, sentence: None)
    report(0.0, "Reading the data")
    data = run.data()
    examples = data.train if split == "train" else data.test
    ids = code_of.choose(examples, n)
    report(0.05, f"Encoding {len(ids):,} images")
    codes = code_of.codes(run.model(), examples, ids)
    report(0.1, f"{NAMES[method]} of {len(ids):,} codes, about {estimate(method, len(ids)):.0f} seconds")
    points = Projection(method).fit(codes)
    store(run, method, n, split, points)
    report(1.0, "Done")
    return points


def estimate(method: str, n: int) -> float:
    """About how many seconds `compute` takes on one core, including UMAP's compilation (40 s, the first time)."""
    return {"units": 0.5, "pca": 0.5, "umap": 44 + 0.0025 * n, "tsne": 3 + 0.005 * n}[method]


def _write(path: Path, points: np.ndarray, weights: str) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, points=points, weights=np.array(weights))


def _file(method: str, n: int, split: str) -> str:
    return f"{method}-{split}-{n}.npz"


def _cache(run: Run) -> Path:
    return cache_dir() / "maps" / re.sub(r"[^\w-]", "_", run.info.id)


def _digest(run: Run) -> str:
    """Digest of the weights, so that a map is not shown after the model was trained further."""
    try:
        return hashlib.sha256((run.path / "weights.safetensors").read_bytes()).hexdigest()[:32]
    except OSError as error:
        raise RunError(f"The weights of {run.path} cannot be read ({error.strerror}). Train the run first.") from None
