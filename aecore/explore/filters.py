"""Weights of single units as images: what the first layer looks for, and what the decoder paints."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from torch import nn

from ..data.base import Split
from ..errors import DataError
from ..inference import examples, first, require_images
from ..models.base import Model


def first_layer(model: Model, spread: Float[np.ndarray, "C H W"] | None = None) -> Float[np.ndarray, "units C H W"]:
    """The weights of each unit of an encoder's first layer, (units, C, H, W), scaled to at most ± 1.

    spread: (C, H, W), standard deviations of the pixels, by which weights are multiplied. Weights of pixels that never
    change keep their random initial values, and would cover the others with noise.
    DataError where the first layer is a convolution, whose weights do not have the size of the image.
    """
    require_images(model.shape)
    for layer in getattr(model, "encoder", nn.Identity()).modules():
        if isinstance(layer, nn.Conv2d):
            break  # a later layer may have as many inputs as there are pixels
        if isinstance(layer, nn.Linear) and layer.in_features == math.prod(model.shape):
            weights = layer.weight.detach().cpu().numpy().reshape(-1, *model.shape)
            return _scaled(weights if spread is None else weights * spread)
    raise DataError("Its encoder does not begin with a layer that sees all pixels: choose a dense one.")


def pixel_spread(split: Split, limit: int) -> Float[np.ndarray, "C H W"]:
    """(C, H, W) standard deviation of each pixel over the first `limit` examples."""
    return examples(split, first(split, limit)).std(0).numpy()


def dictionary(model: Model) -> Float[np.ndarray, "D C H W"] | None:
    """What each latent dimension adds to the image, (D, C, H, W), at most ± 1; None without a linear decoder."""
    layers = [layer for layer in getattr(model, "decoder", nn.Identity()).modules() if not list(layer.children())]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if len(linear) == 1 and linear[0].out_features == math.prod(model.shape):
        return _scaled(linear[0].weight.detach().cpu().numpy().T.reshape(-1, *model.shape))
    return None


def _scaled(weights: Float[np.ndarray, "n C H W"]) -> Float[np.ndarray, "n C H W"]:
    """Each image divided by its largest absolute value."""
    largest = np.abs(weights).max((1, 2, 3), keepdims=True)
    return weights / np.maximum(largest, 1e-12)
