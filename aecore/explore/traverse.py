"""Moving units of a code: traversals, bases to start from, interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int, Num, UInt8

from ..data.base import Split
from ..errors import DataError
from ..inference import decode, encode, evaluating, generator, require, require_images
from ..measure.latents import Units
from ..models.base import Model
from .images import fit, to_uint8

MOST_UNITS, MOST_BYTES = 16, 4_000_000  # of a sheet

How = Literal["linear", "spherical"]


def has_prior(model: Model) -> bool:
    """Whether the codes have a known prior; those of a plain autoencoder have none."""
    return {"sample", "decode"} <= model.abilities


def spans(
    model: Model, units: Units | None = None, stds: float = 3.0
) -> tuple[Float32[np.ndarray, " D"], Float32[np.ndarray, " D"]]:
    """(low, high), each (D,): between which values to move each unit.

    ± `stds` under the prior N(0, I); the range of 2,000 draws under another prior; without a prior the mean of the
    codes ± `stds` standard deviations.
    units: `aecore.measure.statistics(model, split)`; needed without a prior.
    """
    if not has_prior(model):
        units = _needed(units)
        reach = stds * np.maximum(units.std, 1e-3)
        return (units.mean - reach).astype(np.float32), (units.mean + reach).astype(np.float32)
    if require(model, "decode").has_standard_prior:
        reach = np.full(_size(model), stds, np.float32)
        return -reach, reach
    draws = _draws(model, 2000, 0)
    return draws.min(0), draws.max(0)


def sheet(
    model: Model,
    base: Num[np.ndarray, " D"],
    units: Int[np.ndarray, " U"] | Sequence[int],
    low: Num[np.ndarray, " D"] | float = -3.0,
    high: Num[np.ndarray, " D"] | float = 3.0,
    steps: int = 17,
) -> tuple[UInt8[np.ndarray, "U S H W *rgb"], Float32[np.ndarray, "U S"]]:
    """(tiles (U, S, H, W[, 3]), values (U, S)): tile [u, s] is `base` with unit units[u] at values[u, s].

    base: (D,).  low, high: one number, or (D,) with one for each unit of the code, as from `spans`; the range is
    widened where the base lies outside. Values rise evenly, except that the one nearest to the base's value is
    replaced by it, so that every strip shows the base itself.
    At most 16 units and 4 MB: tiles that would take more are shrunk, see `shrunk`.
    Raises DataError for too many units, and for a unit that the code does not have.
    """
    require_images(model.shape)
    base, units = np.asarray(base, np.float32), np.asarray(units, np.int64)
    size = len(base)
    if not 1 <= len(units) <= MOST_UNITS or units.min() < 0 or units.max() >= size:
        raise DataError(f"A sheet holds 1 to {MOST_UNITS} units, each from 0 to {size - 1}. Page through the others.")
    center = base[units]
    start, stop = (np.broadcast_to(np.asarray(edge, np.float32), size)[units] for edge in (low, high))
    values = np.linspace(np.minimum(start, center), np.maximum(stop, center), steps, axis=1, dtype=np.float32)  # (U, S)
    rows = np.arange(len(units))
    values[rows, np.abs(values - center[:, None]).argmin(1)] = center
    codes = np.tile(base, (len(units), steps, 1))  # (U, S, D)
    codes[rows, :, units] = values
    tiles = to_uint8(decode(model, codes.reshape(-1, size)), _side(model.shape, len(units) * steps))
    return tiles.reshape(len(units), steps, *tiles.shape[1:]), values


def shrunk(model: Model, tiles: UInt8[np.ndarray, "U S H W *rgb"]) -> str:
    """A sentence saying that the tiles of a sheet are smaller than the model's images, or "" where they are not."""
    height, width = model.shape[-2:]
    if tiles.shape[2:4] == (height, width):
        return ""
    return (
        f"While dragging, pictures are shown at {tiles.shape[2]}×{tiles.shape[3]} pixels instead of {height}×{width}, "
        f"to keep the sheet under {MOST_BYTES // 1_000_000} MB."
    )


def prior_mean(model: Model, units: Units | None = None) -> Float32[np.ndarray, " D"]:
    """(D,) zeros for a model with a prior (all priors here are centred), else the mean of the codes (from `units`)."""
    if has_prior(model):
        return np.zeros(_size(model), np.float32)
    return _needed(units).mean.astype(np.float32)


def image_code(model: Model, split: Split, example: int) -> Float32[np.ndarray, " D"]:
    """The code of one example of a split, (D,)."""
    return encode(model, split, np.array([example]))[0]


def random_draw(model: Model, seed: int = 0, units: Units | None = None) -> Float32[np.ndarray, " D"]:
    """A draw from the prior, (D,); without one from a Gaussian with the mean and std of the codes (from `units`)."""
    if has_prior(model):
        return _draws(model, 1, seed)[0]
    units = _needed(units)
    return np.random.default_rng(seed).normal(units.mean, units.std).astype(np.float32)


def picture(model: Model, z: Num[np.ndarray, " D"]) -> UInt8[np.ndarray, "H W *rgb"]:
    """The image (H, W[, 3]) that a code (D,) decodes to."""
    require_images(model.shape)
    return to_uint8(decode(model, np.asarray(z)[None]))[0]


def path(
    z_a: Num[np.ndarray, " D"], z_b: Num[np.ndarray, " D"], steps: int = 16, how: How = "linear"
) -> Float32[np.ndarray, "{steps} D"]:
    """Codes (steps, D) from z_a to z_b, both included.

    "linear": the straight line.  "spherical": both the direction and the length change evenly, so that the path stays
    where the prior has its mass; a straight line where a code is 0, or the codes lie in one or in opposite directions.
    """
    z_a, z_b = np.asarray(z_a, np.float64), np.asarray(z_b, np.float64)
    t = np.linspace(0, 1, steps)[:, None]
    line = (1 - t) * z_a + t * z_b
    length_a, length_b = np.linalg.norm(z_a), np.linalg.norm(z_b)
    if how == "linear" or min(length_a, length_b) < 1e-8:
        return line.astype(np.float32)
    a, b = z_a / length_a, z_b / length_b
    omega = np.arccos(np.clip(a @ b, -1, 1))
    if np.sin(omega) < 1e-4:
        return line.astype(np.float32)
    direction = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    return (direction * ((1 - t) * length_a + t * length_b)).astype(np.float32)


def interpolate(
    model: Model,
    z_a: Num[np.ndarray, " D"],
    z_b: Num[np.ndarray, " D"],
    steps: int = 16,
    how: How = "linear",
) -> UInt8[np.ndarray, "{steps} H W *rgb"]:
    """Frames (steps, H, W[, 3]) along the `path` from z_a to z_b, both ends included."""
    require_images(model.shape)
    return to_uint8(decode(model, path(z_a, z_b, steps, how)))


def _side(shape: tuple[int, ...], tiles: int) -> int | None:
    """The longest side at which so many tiles fit into MOST_BYTES; None where they fit unchanged."""
    side = max(shape[-2:])
    if tiles * int(np.prod(shape)) <= MOST_BYTES:
        return None
    while side > 8 and tiles * shape[0] * int(np.prod(fit(shape, side))) > MOST_BYTES:
        side -= 1
    return side


def _draws(model: Model, n: int, seed: int) -> Float32[np.ndarray, "{n} D"]:
    """n draws of the prior, (n, D)."""
    able = require(model, "sample")
    with evaluating(model) as device:
        like = next(able.parameters())
        return able.prior.sample(n, like, 1.0, generator(device, seed)).float().cpu().numpy()


def _size(model: Model) -> int:
    """How many dimensions the code has."""
    return require(model, "decode").code


def _needed(units: Units | None) -> Units:
    """The statistics; DataError where they are missing."""
    if units is None:
        raise DataError("This model has no prior: give `units`, the statistics of its code over some data.")
    return units
