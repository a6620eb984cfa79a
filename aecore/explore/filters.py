"""What single units look for, or paint, as pictures."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from ..data.base import Split
from ..errors import DataError
from ..inference import examples, first, require_images
from ..models.base import Model


def first_layer(model: Model, spread: np.ndarray | None = None) -> np.ndarray:
    """The weights with which each unit of an encoder's first layer sees the image: (units, C, H, W), ± its largest.

    spread: (C, H, W), standard deviations of the pixels by which weights are multiplied: those of pixels that never
    change are left as they were drawn at first, and would cover the others with noise.
    DataError where that is a convolution, whose weights are no picture of the image's size.
    """
    require_images(model.shape)
    for layer in getattr(model, "encoder", nn.Identity()).modules():
        if isinstance(layer, nn.Linear) and layer.in_features == math.prod(model.shape):
            weights = layer.weight.detach().cpu().numpy().reshape(-1, *model.shape)
            return _scaled(weights if spread is None else weights * spread)
    raise DataError("Its encoder does not begin with a layer that sees all pixels: choose a dense one.")


def pixel_spread(split: Split, limit: int) -> np.ndarray:
    """(C, H, W) standard deviation of each pixel over the first `limit` examples."""
    return examples(split, first(split, limit)).std(0).numpy()


def dictionary(model: Model) -> np.ndarray | None:
    """What each unit of the code adds to the image, (D, C, H, W), ± its largest; None without a linear decoder."""
    layers = [layer for layer in getattr(model, "decoder", nn.Identity()).modules() if not list(layer.children())]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if len(linear) == 1 and linear[0].out_features == math.prod(model.shape):
        return _scaled(linear[0].weight.detach().cpu().numpy().T.reshape(-1, *model.shape))
    return None


def _scaled(weights: np.ndarray) -> np.ndarray:
    """Each to at most ± 1."""
    most = np.abs(weights).max((1, 2, 3), keepdims=True)
    return weights / np.maximum(most, 1e-12)
