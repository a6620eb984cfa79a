"""Damaged images, restored by denoising autoencoders and by classical filters (chapter Fig. 2, Eq. 4, 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy import ndimage
from torch import Tensor

from ..data.base import Split, TensorSplit
from ..inference import autoencode, encode, examples, first
from ..measure.reconstruction import psnr
from ..models.base import Model
from ..models.regularised import erasures, gaussian_noise

NOISES = ("gaussian", "erasures")
TUNED = 100  # training images on which the best filter is chosen

Filter = Callable[[np.ndarray, float], np.ndarray]


def damaged(x: Float[Tensor, "B *shape"], noise: str, strength: float, seed: int = 0) -> Float[Tensor, "B *shape"]:
    """x̃, a damaged copy of x (B, C, H, W).

    noise: one of NOISES.  strength: σ of "gaussian"; of "erasures" 1 − p, the share of pixels that are erased.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return gaussian_noise(x, strength) if noise == "gaussian" else erasures(x, 1 - strength)


def restored(model: Model, x_tilde: Float[Tensor, "B *shape"]) -> Float32[np.ndarray, "B *shape"]:
    """B(A(x̃)), the model's reconstruction of damaged images (B, C, H, W)."""
    return autoencode(model, TensorSplit(x_tilde), np.arange(len(x_tilde)))


def _blur(sigma: float) -> Filter:
    return lambda x, kept: ndimage.gaussian_filter(x, (0, 0, sigma, sigma)) / kept


FILTERS: dict[str, Filter] = {
    "none": lambda x, kept: x,
    **{f"Gaussian blur, σ = {sigma}": _blur(sigma) for sigma in (0.5, 0.7, 1.0, 1.5)},
    **{
        f"median of {size}×{size}": lambda x, kept, size=size: ndimage.median_filter(x, (1, 1, size, size))
        for size in (3, 5)
    },
    **{
        f"Gaussian blur, σ = {sigma}, then median of 3×3": lambda x, kept, sigma=sigma: ndimage.median_filter(
            _blur(sigma)(x, kept), (1, 1, 3, 3)
        )
        for sigma in (0.5, 1.0)
    },
}
"""Classical filters of images (B, C, H, W).  kept: the share of pixels that is not erased; a blur is divided by it."""


def filtered(
    x_tilde: Float[np.ndarray, "B C H W"], name: str, noise: str, strength: float
) -> Float[np.ndarray, "B C H W"]:
    """x̃ after one of FILTERS, clipped to [0, 1]."""
    kept = 1 - strength if noise == "erasures" else 1.0
    return np.clip(FILTERS[name](x_tilde, max(kept, 1e-3)), 0, 1)


def best_filter(split: Split, noise: str, strength: float) -> str:
    """The filter of FILTERS with the highest mean PSNR on the first TUNED examples of a split, damaged like this."""
    x = examples(split, first(split, TUNED)).cpu()
    x_tilde = damaged(x, noise, strength, seed=1).numpy()
    scores = {name: psnr(x, filtered(x_tilde, name, noise, strength)).mean() for name in FILTERS}
    return max(scores, key=scores.__getitem__)


class Comparison(NamedTuple):
    """The same damaged images restored in three ways, each (n, C, H, W); the images of a network may leave [0, 1].

    code: (n, D), the code of the denoising network for the damaged image.
    """

    original: Float[np.ndarray, "n C H W"]
    damaged: Float[np.ndarray, "n C H W"]
    denoising: Float[np.ndarray, "n C H W"]
    deep: Float[np.ndarray, "n C H W"]
    filter: Float[np.ndarray, "n C H W"]
    code: Float[np.ndarray, "n D"]


def compare(
    denoising: Model,
    plain: Model,
    filter_name: str,
    x: Float[Tensor, "n C H W"],
    noise: str,
    strength: float,
    seed: int,
) -> Comparison:
    """Images x (n, C, H, W), damaged, and restored by a denoising network, by a plain one and by one of FILTERS."""
    x_tilde = damaged(x, noise, strength, seed)
    return Comparison(
        x.numpy(),
        x_tilde.numpy(),
        restored(denoising, x_tilde),
        restored(plain, x_tilde),
        filtered(x_tilde.numpy(), filter_name, noise, strength),
        encode(denoising, TensorSplit(x_tilde), np.arange(len(x_tilde))),
    )


def psnr_of_model(
    model: Model, split: Split, noise: str, strengths: Sequence[float], limit: int
) -> Float[np.ndarray, " S"]:
    """(S,) mean PSNR in dB of the first `limit` examples, damaged with each strength and restored by a model."""
    x = examples(split, first(split, limit))
    return np.array([float(psnr(x, restored(model, damaged(x, noise, s))).mean()) for s in strengths])


def psnr_of_filters(
    filter_names: Sequence[str], split: Split, noise: str, strengths: Sequence[float], limit: int
) -> Float[np.ndarray, " S"]:
    """(S,) as `psnr_of_model`, restored by one of FILTERS at each strength."""
    x = examples(split, first(split, limit))
    levels = []
    for name, strength in zip(filter_names, strengths, strict=True):
        x_tilde = damaged(x, noise, strength).numpy()
        levels.append(float(psnr(x, filtered(x_tilde, name, noise, strength)).mean()))
    return np.array(levels)


def bits_restored(
    x: Float[np.ndarray, "B *shape"], x_tilde: Float[np.ndarray, "B *shape"], x_hat: Float[np.ndarray, "B *shape"]
) -> tuple[float, float]:
    """Erasures seen as bit errors: shares of wrong bits before and after restoring, each from 0 to 1.

    A bit says whether a value is above ½. The whole image counts, since a decoder may also damage correct bits.
    """
    bit = x > 0.5
    return float(((x_tilde > 0.5) != bit).mean()), float(((x_hat > 0.5) != bit).mean())
