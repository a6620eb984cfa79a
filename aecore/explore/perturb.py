"""One image perturbed in many ways, and how far its code moves."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torch.nn import functional as F

from ..data.base import Split, TensorSplit
from ..inference import autoencode, encode, first
from ..models.base import Model
from .images import to_uint8

KINDS = {
    "shift": (("pixels to the right", -6.0, 6.0), ("pixels up", -6.0, 6.0)),
    "noise": (("standard deviation", 0.0, 1.0), ("draw", 0.0, 8.0)),
    "erasure": (("share erased", 0.0, 0.9), ("draw", 0.0, 8.0)),
}
"""Kind of perturbation → names and ranges of the two coordinates of the pointer."""


def grid_of(kind: str, n: int = 13) -> tuple[Float[np.ndarray, " across"], Float[np.ndarray, " up"]]:
    """The values of both coordinates: n of the first, and n of the second, or one for each draw."""
    (_, x0, x1), (name, y0, y1) = KINDS[kind]
    return np.linspace(x0, x1, n), np.linspace(y0, y1, n if name != "draw" else int(y1 - y0) + 1)


def pushed(x: Float[Tensor, "1 C H W"], kind: str, n: int = 13) -> Float[Tensor, "m C H W"]:
    """x (1, C, H, W) perturbed by every pair of coordinates: (rows · n, C, H, W), one row for each second coordinate.

    shift: bilinear, black from outside.  noise: x + s ξ, the same ξ for all s of one draw; may leave [0, 1].
    erasure: pixels become 0, in the same order for all shares of one draw.
    """
    across, up = grid_of(kind, n)
    images = []
    for v in up:
        noise = torch.Generator().manual_seed(round(v) if kind != "shift" else 0)
        if kind == "noise":
            xi = torch.randn(x.shape, generator=noise)
            images += [x + float(u) * xi for u in across]
        elif kind == "erasure":
            order = torch.rand(x.shape, generator=noise)
            images += [x * (order >= float(u)) for u in across]
        else:
            images += [_shifted(x, float(u), float(v)) for u in across]
    return torch.cat(images)


def _shifted(x: Float[Tensor, "1 C H W"], right: float, up: float) -> Float[Tensor, "1 C H W"]:
    """x moved by so many pixels, with bilinear interpolation."""
    height, width = x.shape[2:]
    theta = torch.tensor([[[1.0, 0.0, -2 * right / width], [0.0, 1.0, 2 * up / height]]])
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def spread_of(model: Model, split: Split, limit: int = 400) -> float:
    """Root mean squared distance between the codes of two different examples."""
    z = encode(model, split, first(split, limit))
    return float(np.sqrt(max(2 * z.var(0, ddof=1).sum(), 1e-24)))


def moved(
    model: Model, x: Float[Tensor, "1 *shape"], images: Float[Tensor, "n *shape"], spread: float
) -> Float[np.ndarray, " n"]:
    """‖A(x̃) − A(x)‖ / spread for each of `images`, (n,): with `spread_of`, 1 is as far as another example's code."""
    z = encode(model, TensorSplit(torch.cat([x, images])), np.arange(1 + len(images)))
    return np.linalg.norm(z[1:] - z[0], axis=1) / spread


def answers(model: Model, images: Float[Tensor, "n *shape"]) -> UInt8[np.ndarray, "n H W *rgb"]:
    """The reconstructions of images, (n, H, W[, 3])."""
    return to_uint8(autoencode(model, TensorSplit(images), np.arange(len(images))))


def input_grid(x: Float[Tensor, "1 C H W"], kind: str) -> UInt8[np.ndarray, "rows n H W *rgb"]:
    """x (1, C, H, W) perturbed by every pair of coordinates: (rows, n, H, W[, 3])."""
    return _as_grid(to_uint8(pushed(x, kind).numpy()), kind)


def answer_grid(
    model: Model, x: Float[Tensor, "1 C H W"], kind: str, spread: float
) -> tuple[UInt8[np.ndarray, "rows n H W *rgb"], Float[np.ndarray, "rows n"]]:
    """The reconstruction of each image of `input_grid`, and how far its code has moved (`moved`), (rows, n)."""
    images = pushed(x, kind)
    return _as_grid(answers(model, images), kind), _as_grid(moved(model, x, images, spread), kind)


def _as_grid(values: Shaped[np.ndarray, "pairs *shape"], kind: str) -> Shaped[np.ndarray, "rows n *shape"]:
    """One value for each pair of coordinates, (rows · n, …) → (rows, n, …)."""
    across, up = grid_of(kind)
    return values.reshape(len(up), len(across), *values.shape[1:])
