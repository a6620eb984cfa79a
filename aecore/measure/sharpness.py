"""How sharp images are: a blur has small differences between neighbouring pixels."""

from __future__ import annotations

from torch import Tensor


def gradient_energy(images: Tensor) -> float:
    """Mean squared difference of neighbouring pixels, over images (N, C, H, W) in [0, 1]: a number in [0, 1].

    ½ [mean (x_{i+1,j} − x_{i,j})² + mean (x_{i,j+1} − x_{i,j})²]. A blur lowers it and noise raises it, so that the
    figure says something only beside that of real images: nearer to theirs is better.

    Raises ValueError where there are no neighbours: not (N, C, H, W), or a side of one pixel.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 2:
        raise ValueError(
            f"gradient_energy looks at images (N, C, H, W) of 2×2 pixels or more, not {tuple(images.shape)}"
        )
    images = images.float()
    down, across = images.diff(dim=2).square().mean(), images.diff(dim=3).square().mean()
    return float((down + across) / 2)
