"""Autoencoder Explorer's core: build, train and look into autoencoders.

import aecore
model = aecore.build("vae", code=2)
for row in aecore.train(model, "digits", epochs=5):
    print(row)
run = aecore.load("pretrained/vae-2d")
"""

from __future__ import annotations

from typing import Any

from . import data as datasets
from .catalog import CATALOG, entry, seeded_build
from .data.base import Batch, Data, DataSpec
from .errors import DataError, Diverged, FieldError, RunError
from .models.base import Model, freeze_encoder_from
from .runs.folder import Run
from .training.loop import Training
from .training.plan import Plan

__all__ = [
    "CATALOG",
    "Batch",
    "Data",
    "DataError",
    "DataSpec",
    "Diverged",
    "FieldError",
    "Model",
    "Plan",
    "Run",
    "RunError",
    "Training",
    "build",
    "entry",
    "freeze_encoder_from",
    "load",
    "train",
]


def build(key: str, shape: tuple[int, ...] = (1, 28, 28), seed: int = 0, **params: Any) -> Model:
    """A new model of the catalog for examples of `shape`; FieldError names a wrong key or parameter."""
    return seeded_build(entry(key), shape, params, seed)


def train(
    model: Model, data: str | DataSpec | Data = datasets.DEFAULT, device: str | None = None, **plan: Any
) -> Training:
    """Train `model` in place: iterate what comes back for its rows. plan: fields of `Plan`."""

    loaded = data if isinstance(data, Data) else datasets.load(data)
    return Training(model, loaded, Plan(**plan), device)


def load(path: str) -> Run:
    """Open a run folder: `.model()`, `.data()`, `.rows()`, `.info`."""
    return Run.open(path)
