"""What a deep-feature-consistent VAE compares: feature maps of an image and of its reconstruction."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..data.base import Split
from ..errors import DataError
from ..inference import evaluating, examples, require
from ..models.base import Model


class Maps(NamedTuple):
    """The feature maps of one block, the channels that differ most first.

    x, x_hat: (C, H, W) float32, of the image and of its reconstruction.
    distance: (C,) mean squared difference of a channel, relative to the block's variance over the data.
    """

    x: Float[np.ndarray, "C H W"]
    x_hat: Float[np.ndarray, "C H W"]
    distance: Float[np.ndarray, " C"]


def feature_maps(eye: Model, model: Model, split: Split, example: int, block: int) -> Maps:
    """The features of an example in block `block` (from 1), and those of `model`'s reconstruction of it.

    eye: the model whose network computes the features.  model: any autoencoder of the same images.
    Raises DataError where `eye` has no such network.
    """
    if "features" not in eye.abilities:
        raise DataError(f"{type(eye).__name__} has no network that compares. Choose a deep-feature-consistent VAE.")
    able: Any = eye
    autoencoder = require(model, "encode", "decode")
    x = examples(split, [example])
    with evaluating(model) as device, evaluating(eye):
        x = x.to(device)
        x_hat = autoencoder.decode(autoencoder.encode(x))
        of_x, of_x_hat = (able.features(image, block)[0].float().cpu().numpy() for image in (x, x_hat))
    distance = np.square(of_x - of_x_hat).mean((1, 2)) / max(float(of_x.var()), 1e-12)
    order = np.argsort(-distance, kind="stable")
    return Maps(of_x[order], of_x_hat[order], distance[order])
