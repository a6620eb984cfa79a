"""A stack of layers that were trained one after the other: reconstructions through its first layers (chapter §1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from ..data.base import Split
from ..errors import DataError
from ..inference import Ids, first, map_batches, require
from ..measure import pixel_error
from ..models.base import Model


def through(model: Model, split: Split, ids: Ids, layers: int) -> Float32[np.ndarray, "n *shape"]:
    """x̂ = B_1(…B_k(A_k(…A_1(x)))) of examples, through the first k = `layers` layers: (n, *shape) float32 in [0, 1].

    DataError for a model that is no stack, and for a layer that it does not have.
    """
    count = layers_of(model)
    if not 1 <= layers <= count:
        raise DataError(f"This stack has {count} layers; give 1 to {count}.")
    stack = require(model, "layers")
    return map_batches(model, split, ids, lambda x: stack.through(x, layers))


def error(model: Model, split: Split, layers: int, limit: int) -> float:
    """Squared error per value of the first `limit` examples, through the first `layers` layers."""
    return pixel_error.of_answers(split, through(model, split, first(split, limit), layers))


def layers_of(model: Model) -> int:
    """How many layers a stack has; DataError for a model that is none."""
    if "layers" not in model.abilities:
        raise DataError(f"{type(model).__name__} has no layers of its own. Choose a stacked autoencoder.")
    return require(model, "layers").layers


def layer_in_training(model: Model, progress: float) -> int | None:
    """Which layer of a stack learns, from 1, at a share of the training from 0 to below 1; None where all learn."""
    players = model.players(progress)
    return next((k for k in range(1, layers_of(model) + 1) if f"stage {k}" in players), None)
