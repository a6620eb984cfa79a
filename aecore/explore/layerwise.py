"""A stacked autoencoder, as far as some of its layers: up to one of them and back (chapter §1)."""

from __future__ import annotations

import numpy as np

from ..data.base import Split
from ..errors import DataError
from ..inference import map_batches
from ..models.base import Model
from ..models.stacked import Stacked


def through(model: Model, split: Split, ids: np.ndarray, layers: int) -> np.ndarray:
    """x̂ = B_1(…B_k(A_k(…A_1(x)))) of examples, through the first k = `layers` layers: (n, *shape) float32 in [0, 1]."""
    if not isinstance(model, Stacked):
        raise DataError(f"{type(model).__name__} has no layers of its own. Choose a stacked autoencoder.")
    if not 1 <= layers <= model.layers:
        raise DataError(f"This stack has {model.layers} layers; give 1 to {model.layers}.")
    up = model.encoder[: 2 * layers]  # A_1, sigmoid, …, A_k and its sigmoid, which the code has not
    down = model.decoder[2 * (model.layers - layers) :]
    return map_batches(model, split, ids, lambda x: down(up(x)).float().sigmoid())
