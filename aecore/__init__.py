"""Autoencoder Explorer's core: build, train and look into autoencoders.

import aecore
model = aecore.build("vae", code=2)
for row in aecore.train(model, "digits", epochs=5):
    print(row)
run = aecore.load("pretrained/vae-2d")
"""

from __future__ import annotations

from typing import Any

from .catalog import CATALOG, entry
from .data.base import Batch, Data, DataError, DataSpec
from .entry import FieldError
from .models.base import Model, take_encoder
from .runs import Run, RunError, seeded_build
from .train import Diverged, Plan, Training

__all__ = [
    "CATALOG", "Batch", "Data", "DataError", "DataSpec", "Diverged", "FieldError", "Model", "Plan", "Run", "RunError",
    "Training", "build", "entry", "load", "take_encoder", "train",
]  # fmt: skip


def build(key: str, shape: tuple[int, ...] = (1, 28, 28), seed: int = 0, **params: Any) -> Model:
    """A new model of the catalog for examples of `shape`; FieldError names a wrong key or parameter."""
    return seeded_build(entry(key), shape, params, seed)


def train(model: Model, data: str | DataSpec | Data = "digits", device: str | None = None, **plan: Any) -> Training:
    """Train `model` in place: iterate what comes back for its rows. plan: fields of `Plan`."""
    from . import data as datasets

    loaded = data if isinstance(data, Data) else datasets.load(data)
    return Training(model, loaded, Plan(**plan), device)


def load(path: str) -> Run:
    """Open a run folder: `.model()`, `.data()`, `.rows()`, `.info`."""
    return Run.open(path)
