"""What all sections of the page PixelCNN share: the model that they show, and how they colour pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from aecore import Run, inference
from app import library
from app.library import class_names

GREEN, BLUE, RED = np.array([20, 170, 90]), np.array([47, 125, 225]), np.array([225, 90, 60])
GREY, WHITE = np.array([226, 229, 233]), np.array([255, 255, 255])


class Subject(NamedTuple):
    """The run that the page shows.

    model: has a density of images, and draws them pixel by pixel.
    labels: the names of the labels that condition it, empty where none do or they have no names.
    binary: whether each value is 0 or 1.
    """

    run: Run
    model: Any
    labels: list[str]
    binary: bool

    def name_of(self, label: int) -> str:
        return self.labels[label] if self.labels else str(label)


def subject_of(run: Run) -> Subject:
    """What the sections need to know of a run."""
    model = inference.require(library.model(run), "density", "pixelwise")
    labels = class_names(run)[: model.classes] if model.classes else []
    return Subject(run, model, labels, model.values.levels == 2)


def blend(strength: np.ndarray, colour: np.ndarray, ground: np.ndarray = GREY) -> np.ndarray:
    """Strengths (H, W) from 0, the colour of the ground, to 1, the other colour: uint8 (H, W, 3)."""
    return (ground * (1 - strength[..., None]) + colour * strength[..., None]).astype(np.uint8)
