"""How close a reconstruction is to its input: one number an example. Arrays or tensors (N, …) in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

Values = Shaped[np.ndarray, "N *shape"] | Shaped[Tensor, "N *shape"]
PerExample = Float[np.ndarray, " N"]


def _tensor(values: Values) -> Float[Tensor, "N *shape"]:
    return torch.as_tensor(values).detach().cpu().float()


def squared_error(x: Values, x_hat: Values) -> PerExample:
    """‖x − x̂‖², summed over the values of an example: (N,)."""
    return (_tensor(x) - _tensor(x_hat)).square().flatten(1).sum(1).numpy()


def mse(x: Values, x_hat: Values) -> PerExample:
    """Mean squared error per value of an example, (N,)."""
    return (_tensor(x) - _tensor(x_hat)).square().flatten(1).mean(1).numpy()


def psnr(x: Values, x_hat: Values) -> PerExample:
    """Peak signal-to-noise ratio −10 log₁₀ MSE, (N,) decibels, for values in [0, 1]; infinite for a perfect copy."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(x, x_hat))


def bce(x: Values, x_hat: Values) -> PerExample:
    """−Σ x log x̂ + (1 − x) log(1 − x̂), (N,) nats; x̂ is kept 1e-6 away from 0 and 1."""
    x_hat = _tensor(x_hat).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(x_hat, _tensor(x), reduction="none").flatten(1).sum(1).numpy()


def ssim(x: Values, x_hat: Values, window: int = 11, sigma: float = 1.5) -> PerExample:
    """Structural similarity of images (N, C, H, W) in [0, 1]: (N,), 1 for equal images.

    SSIM = (2 μ_x μ_y + c₁)(2 σ_xy + c₂) / ((μ_x² + μ_y² + c₁)(σ_x² + σ_y² + c₂)), c₁ = 0.01², c₂ = 0.03²,
    under a Gaussian window, averaged over all windows that lie inside the image, and over channels.
    For an image smaller than the window, the largest odd window that fits is used.
    Raises ValueError for anything but images.

    Source: Wang et al. (2004), doi:10.1109/TIP.2003.819861. Departures: none (window 11, σ 1.5 as there).
    """
    x, y = _tensor(x), _tensor(x_hat)
    if x.ndim != 4:
        raise ValueError(f"ssim compares images (N, C, H, W), not {tuple(x.shape)}")
    n, channels, height, width = x.shape
    window = min(window, height - 1 + height % 2, width - 1 + width % 2)
    offset = torch.arange(window) - window // 2
    weights = torch.exp(-offset.double().square() / (2 * sigma**2)).float()
    weights = weights / weights.sum()

    def blur(images: Tensor) -> Tensor:
        rows = F.conv2d(images.reshape(n * channels, 1, *images.shape[2:]), weights.view(1, 1, 1, -1))
        return F.conv2d(rows, weights.view(1, 1, -1, 1))

    mu_x, mu_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mu_x**2, blur(y * y) - mu_y**2, blur(x * y) - mu_x * mu_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mu_x * mu_y + c1) * (2 * cov + c2) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
    return similarity.reshape(n, -1).mean(1).numpy()
