"""Does an autoencoder copy whatever it is shown? Its answers to images that are nothing but noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

from ..data.base import TensorSplit
from ..inference import autoencode
from ..measure import pixel_error
from ..models.base import Model
from .images import to_uint8

SHOWN = 8


class NoiseAnswers(NamedTuple):
    """How a model reconstructs noise.

    error: mean squared error per value.  variance: of the noise, per value.
    noises, answers: (8, H, W[, 3]), the first of them.
    """

    error: float
    variance: float
    noises: UInt8[np.ndarray, "n H W *rgb"]
    answers: UInt8[np.ndarray, "n H W *rgb"]


def noise_answers(model: Model, seed: int, n: int = 500) -> NoiseAnswers:
    """n images of independent values, uniform on [0, 1], and their reconstructions."""
    noise = torch.rand(n, *model.shape, generator=torch.Generator().manual_seed(seed))
    split = TensorSplit(noise)
    x_hat = autoencode(model, split, np.arange(n))
    return NoiseAnswers(
        float(np.square(noise.numpy() - x_hat).mean()),
        pixel_error.of_the_mean(split, n),
        to_uint8(noise[:SHOWN].numpy()),
        to_uint8(x_hat[:SHOWN]),
    )
