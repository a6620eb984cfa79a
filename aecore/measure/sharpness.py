"""How sharp images are, by differences of neighbouring pixels and by their power at high frequencies."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

Images = Num[Tensor, "..."] | Num[np.ndarray, "..."]


def gradient_energy(images: Images) -> float:
    """Mean squared difference of neighbouring pixels, over images (N, C, H, W) in [0, 1]: a number in [0, 1].

    ½ [mean (x_{i+1,j} − x_{i,j})² + mean (x_{i,j+1} − x_{i,j})²]. A blur lowers it and noise raises it, so
    compare it with the energy of real images: the nearer, the better.

    Raises ValueError where images are not (N, C, H, W), or a side has one pixel.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 2:
        raise ValueError(
            f"gradient_energy looks at images (N, C, H, W) of 2×2 pixels or more, not {tuple(images.shape)}"
        )
    images = torch.as_tensor(images).float()
    down, across = images.diff(dim=2).square().mean(), images.diff(dim=3).square().mean()
    return float((down + across) / 2)


def spectrum(images: Images) -> Float[Tensor, " frequencies"]:
    """Power of images (N, C, H, W) by frequency: (min(H, W) // 2 + 1,), from 0 (the mean) to half a cycle a pixel.

    The |FFT|² of each image divided by its number of pixels, averaged over images, channels, and all directions of one
    frequency. A blur lowers the power of high frequencies.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 2:
        raise ValueError(f"spectrum looks at images (N, C, H, W) of 2×2 pixels or more, not {tuple(images.shape)}")
    height, width = images.shape[2:]
    power = torch.fft.fft2(torch.as_tensor(images).float()).abs().square().mean((0, 1)) / (height * width)
    down, across = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    count = min(height, width) // 2
    ring = (2 * count * (down[:, None] ** 2 + across[None] ** 2).sqrt()).round().long()
    inside = ring <= count
    total = torch.zeros(count + 1).index_add_(0, ring[inside], power[inside])
    return total / torch.bincount(ring[inside], minlength=count + 1).clamp_min(1)
