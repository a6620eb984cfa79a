"""The 8×8 digits that come with scikit-learn: small images for tests and fast demonstrations."""

from __future__ import annotations

import numpy as np

from ..base import Data, DataSpec
from ..files.transforms import finish
from ..places import Info, Progress

TITLE = "Digits 8×8 (scikit-learn)"
CLASSES = tuple("0123456789")
N, TEST = 1797, 360
ATTRIBUTION = "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI, CC BY 4.0"
SOURCE = "The 8×8 digits that come with scikit-learn."


def info() -> Info:
    return Info(TITLE, 8, 1, N - TEST, TEST, CLASSES, here=True, place=SOURCE, attribution=ATTRIBUTION)


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """8×8 digits with 17 grey levels; a seeded fifth is held out."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    labels = np.asarray(targets, dtype=np.int64)
    pixels = np.round(np.asarray(images).reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(pixels))
    train, test = np.sort(order[TEST:]), np.sort(order[:TEST])
    return finish(
        spec,
        (pixels[train], labels[train]),
        (pixels[test], labels[test]),
        title=TITLE,
        classes=CLASSES,
        attribution=ATTRIBUTION,
        source=SOURCE,
    )
