"""The bundled digits: 10,000 + 2,000 images of MNIST that come with the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aecore.errors import DataError

from ..base import Data, DataSpec
from ..files.transforms import finish
from ..places import Info, Progress

FILE = Path(__file__).with_name("digits.npz")
TITLE = "Digits (bundled part of MNIST)"
CLASSES = tuple("0123456789")
ATTRIBUTION = "MNIST, Yann LeCun and Corinna Cortes, CC BY-SA 3.0; a balanced choice of 12,000 images"
SOURCE = "The 12,000 digits that come with this program."


def info() -> Info:
    return Info(TITLE, 28, 1, 10_000, 2_000, CLASSES, here=True, place=SOURCE, attribution=ATTRIBUTION)


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """28×28 grey digits, 1,000 per class from MNIST's training part and 200 per class from its test part."""
    try:
        with np.load(FILE, allow_pickle=False) as file:
            train = file["train_images"][:, None], file["train_labels"].astype(np.int64)
            test = file["test_images"][:, None], file["test_labels"].astype(np.int64)
    except (OSError, ValueError, KeyError) as e:
        raise DataError("The bundled digits are missing or damaged. Get digits.npz again from the repository.") from e
    return finish(spec, train, test, title=TITLE, classes=CLASSES, attribution=ATTRIBUTION, source=SOURCE)
