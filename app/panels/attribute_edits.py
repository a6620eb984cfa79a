"""What the page Attributes computes, remembered: codes with their attributes, edits, and readings of a classifier."""

from __future__ import annotations

from typing import Literal

import numpy as np

from aecore import DataError, Run, inference
from aecore.data import DataSpec
from aecore.explore import edits, single_edit, traverse
from aecore.explore.images import to_uint8
from aecore.measure import attribute_classifier
from app import cached, library
from app.caching import share

Directions = Literal["means", "classifier"]
DIRECTION_IMAGES = 1000
"""Training images from which directions are computed."""
SAMPLED = "drawn from the prior"
"""How a code is called, on the page and in its link, that is no image's."""


def attribute_title(name: str) -> str:
    """The name of an attribute as a reader would write it: "Blond_Hair" is "blond hair"."""
    return name.replace("_", " ").lower()


def switch_title(name: str, on: bool) -> str:
    """ "smiling" or "not smiling" """
    return ("" if on else "not ") + attribute_title(name)


def is_conditional(run: Run) -> bool:
    """Whether the decoder is given attributes. Otherwise codes move along directions."""
    return bool(library.model(run).attributes)


def pictures_of(images: np.ndarray) -> np.ndarray:
    """Images (…, C, H, W) in [0, 1] as uint8 (…, H, W[, 3])."""
    flat = to_uint8(images.reshape(-1, *images.shape[-3:]))
    return flat.reshape(*images.shape[:-3], *flat.shape[1:])


@cached.remember(max_entries=64)
def coded(run: Run, example: int) -> tuple[np.ndarray, np.ndarray]:
    """Code (D,) and attributes (A,) of a held-out image."""
    return single_edit.encode_example(library.model(run), library.data(run).test, example)


@cached.remember(max_entries=64)
def sampled(run: Run, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A code (D,) from the prior, and the attributes (A,) of some training image."""
    train = library.data(run).train
    return traverse.random_draw(library.model(run), seed), inference.attributes_of(train, [seed * 7919 % len(train)])[0]


@cached.remember(max_entries=16)
def coded_image(run: Run, image: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Code (D,) of an image (C, H, W) with these attributes (A,)."""
    return single_edit.encode_image(library.model(run), image, attributes)


@cached.remember(max_entries=8, show_spinner="Finding the direction of each attribute …")
def directions(run: Run, how: Directions) -> np.ndarray:
    """(A, D), the directions along which codes of a model move that no attributes condition."""
    train = library.data(run).train
    return edits.directions(library.model(run), train, inference.first(train, DIRECTION_IMAGES), how)


@cached.remember(max_entries=256)
def rendered(run: Run, z: np.ndarray, start: np.ndarray, targets: np.ndarray, how: Directions) -> np.ndarray:
    """Images (n, C, H, W) of codes whose attributes go from `start` to `targets` (n, A); see `edits.render`."""
    model = library.model(run)
    return edits.render(model, z, start, targets, None if model.attributes else directions(run, how))


@cached.remember(max_entries=16)
def usual_error(run: Run) -> float:
    """The squared error per value below which 99 of 100 held-out images are reconstructed."""
    return single_edit.usual_error(library.model(run), library.data(run).test)


def read(run: Run, images: np.ndarray) -> single_edit.Reading | None:
    """What the attribute classifier of a run's data reads off images (n, C, H, W); None where there is none."""
    judge = _judge((run.info.shown or run.info.data).model_dump_json())
    return None if judge is None else single_edit.read(judge, images)


@share(max_entries=4)
def _judge(spec: str) -> attribute_classifier.Judge | None:
    """spec: a DataSpec as JSON."""
    try:
        return attribute_classifier.judge_of(library.load(DataSpec.model_validate_json(spec)))
    except DataError:
        return None
