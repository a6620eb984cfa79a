"""One image on its way through a model, and many images beside their reconstructions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8

from .. import inference
from ..data.base import Images, Split
from ..errors import DataError
from ..inference import Ids
from ..measure import reconstruction
from ..models.base import Model
from ..training.loop import evaluate, losses
from .images import to_uint8


class Reconstructions(NamedTuple):
    """Examples beside their reconstructions.

    originals, reconstructions: (n, C, H, W).  errors: (n,) squared error, summed over pixels.
    """

    originals: Float[np.ndarray, "n *shape"]
    reconstructions: Float[np.ndarray, "n *shape"]
    errors: Float[np.ndarray, " n"]


class Way(NamedTuple):
    """The way of one image: uint8 (H, W[, 3]) `shown`, `seen` by the encoder (damaged or not), and `output`.

    code: (D,).  std: (D,) of the posterior, or None.  mse: per value.  psnr: dB.
    """

    shown: np.ndarray
    seen: np.ndarray
    output: np.ndarray
    code: np.ndarray
    std: np.ndarray | None
    mse: float
    psnr: float


def way(model: Model, image: np.ndarray, damaged: bool = False, seed: int = 0) -> Way:
    """One image, uint8 (H, W[, 3]), through encoder, code and decoder; damaged first in a way that `seed` fixes."""
    parts = passage(model, channels_first(image) / 255, damaged, seed)
    pair = parts["input"][None], parts["output"][None]
    shown, seen, output = (to_uint8(np.asarray(parts[name])[None])[0] for name in ("input", "seen", "output"))
    return Way(
        shown,
        seen,
        output,
        np.asarray(parts["code"]).reshape(-1),
        parts["std"],
        float(reconstruction.mse(*pair)[0]),
        float(reconstruction.psnr(*pair)[0]),
    )


def passage(model: Model, x: Any, corrupted: bool = False, seed: int = 0) -> dict[str, Any]:
    """One image (1, C, H, W) in [0, 1], array or tensor, through encoder, code and decoder (chapter Fig. 1).

    corrupted: damage the image first, as the model does in training; the noise depends on `seed` alone.
    Returns "input", "seen" (by the encoder: damaged or not), "output", "difference" = |input − output|, each float32
    (C, H, W); "code" (D,); "std" (D,) of the posterior, or None; "error" = ‖input − output‖².
    Raises DataError for an image of another shape.
    """
    able = inference.require(model, "encode", "decode", *(["corrupt"] if corrupted else []))
    x = torch.as_tensor(x, dtype=torch.float32)
    if tuple(x.shape) != (1, *model.shape):
        raise DataError(f"The model takes one example of shape {model.shape}, not {tuple(x.shape)}. Bring it to that.")
    with inference.evaluating(model, seed) as device:
        x = x.to(device)
        seen = able.corrupt(x) if corrupted else x
        z = able.encode(seen)
        std = able.posterior(seen).std if "posterior" in model.abilities else None
        x_hat = able.decode(z).float()
        parts = {"input": x, "seen": seen, "output": x_hat, "difference": (x - x_hat).abs(), "code": z, "std": std}
        arrays = {name: None if part is None else part[0].float().cpu().numpy() for name, part in parts.items()}
        return {**arrays, "error": float((x - x_hat).square().sum())}


def terms(model: Model, image: UInt8[np.ndarray, "H W *rgb"], seed: int = 0) -> dict[str, float]:
    """Every term of the loss for one image (H, W[, 3]), and the loss itself, or that of each player."""
    values = evaluate(model, Images(torch.from_numpy(channels_first(image))), 1, seed=seed)
    return values | losses(values, model.players(1.0))


def channels_first(image: UInt8[np.ndarray, "H W *rgb"]) -> UInt8[np.ndarray, "1 C H W"]:
    """(H, W[, 3]) → (1, C, H, W)."""
    return np.array(image[None] if image.ndim == 2 else image.transpose(2, 0, 1), order="C")[None]


def reconstruct(model: Model, split: Split, ids: Ids) -> Reconstructions:
    """These examples beside their reconstructions."""
    ids = inference.checked(split, ids)
    x = inference.examples(split, ids).cpu().numpy()
    x_hat = inference.autoencode(model, split, ids)
    return Reconstructions(x, x_hat, reconstruction.squared_error(x, x_hat))


def worst(
    model: Model, split: Split, k: int = 16, limit: int = 10_000
) -> tuple[Int64[np.ndarray, " k"], Float32[np.ndarray, " k"]]:
    """(ids (k,), errors (k,)) of the examples with the largest errors among the first `limit`, the largest first.

    errors: squared error, summed over pixels.
    """
    able = inference.require(model, "encode", "decode")

    def error(x: torch.Tensor, *y: torch.Tensor) -> torch.Tensor:
        return (x - able.decode(able.encode(x, *y), *y)).float().square().flatten(1).sum(1)

    ids = inference.first(split, limit)
    errors = inference.map_batches(model, split, ids, error, conditioned=True)
    chosen = np.argsort(-errors, kind="stable")[:k]
    return ids[chosen], errors[chosen]
