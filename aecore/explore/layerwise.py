"""Reconstructions by the first layers of a stacked autoencoder (chapter §1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.base import Split
from ..errors import DataError
from ..inference import map_batches
from ..models.base import Model


def through(model: Model, split: Split, ids: np.ndarray, layers: int) -> np.ndarray:
    """x̂ = B_1(…B_k(A_k(…A_1(x)))) of examples, through the first k = `layers` layers: (n, *shape) float32 in [0, 1].

    Raises DataError for a model that is no stack, and a number of layers that it does not have.
    """
    if "layers" not in model.abilities:
        raise DataError(f"{type(model).__name__} has no layers of its own. Choose a stacked autoencoder.")
    able: Any = model
    if not 1 <= layers <= able.layers:
        raise DataError(f"This stack has {able.layers} layers; give 1 to {able.layers}.")
    return map_batches(model, split, ids, lambda x: able.through(x, layers))
