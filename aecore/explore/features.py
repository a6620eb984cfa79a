"""What a deep-feature-consistent VAE compares: the maps of a trained network, of an image and its reconstruction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..data.base import Split
from ..errors import DataError
from ..inference import evaluating, examples
from ..models.base import Model
from ..models.perceptual import DFCVAE


class Maps(NamedTuple):
    """Of one block, for each of its channels: x, x_hat (C, H, W) float32, the channels that differ most first.

    distance: (C,) mean squared difference of a channel, relative to the block's variance over the data.
    """

    x: np.ndarray
    x_hat: np.ndarray
    distance: np.ndarray


def feature_maps(eye: Model, model: Model, split: Split, example: int, block: int) -> Maps:
    """What block `block` (from 1) of a DFC-VAE's network sees of an example, and of `model`'s reconstruction of it.

    eye: the DFC-VAE whose network looks.  model: any autoencoder of the same images.
    """
    if not isinstance(eye, DFCVAE):
        raise DataError(f"{type(eye).__name__} has no network that compares. Choose a deep-feature-consistent VAE.")
    x = examples(split, [example])
    with evaluating(model) as device, evaluating(eye):
        x = x.to(device)
        x_hat = model.decode(model.encode(x))
        seen, again = (eye.eye.features(image, block, block)[0][0].float().cpu().numpy() for image in (x, x_hat))
    distance = np.square(seen - again).mean((1, 2)) / max(float(seen.var()), 1e-12)
    order = np.argsort(-distance, kind="stable")
    return Maps(seen[order], again[order], distance[order])
