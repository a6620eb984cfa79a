"""Chooses and packs the bundled digits: `python -m aecore.data.sets.pack_digits --root ROOT`.

ROOT holds MNIST in torchvision's layout (ROOT/MNIST/raw). The choice is seeded and balanced: 1,000 images of each class
from MNIST's training part, 200 of each from its test part, in MNIST's order and with their positions there. The same
input always gives the same file, byte by byte.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from aecore.errors import DataError

from ..files import idx
from .digits import FILE

TRAIN_PER_CLASS, TEST_PER_CLASS, SEED = 1000, 200, 0


def balanced(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Positions of `per_class` examples of every class of labels (N,), in ascending order."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def pack(root: Path, file: Path = FILE) -> None:
    """Write `file` (numpy's compressed npz, uint8) from the MNIST in `root`. Raises DataError for damaged files."""
    (x, y), (x_test, y_test) = idx.read(root / "MNIST" / "raw", idx.MNIST)
    train, test = balanced(y, TRAIN_PER_CLASS, SEED), balanced(y_test, TEST_PER_CLASS, SEED + 1)
    np.savez_compressed(
        file,
        train_images=x[train],
        train_labels=y[train].astype(np.uint8),
        train_index=train.astype(np.uint16),
        test_images=x_test[test],
        test_labels=y_test[test].astype(np.uint8),
        test_index=test.astype(np.uint16),
    )


def main(
    root: Annotated[Path, typer.Option(help="folder that holds MNIST/raw")],
    out: Annotated[Path, typer.Option(help="file to write")] = FILE,
) -> None:
    """Pack the bundled digits from a full MNIST."""
    try:
        pack(root, out)
    except DataError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"{out.name}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
