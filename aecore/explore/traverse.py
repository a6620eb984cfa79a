"""Moving units of a code: traversals, bases to start from, interpolation."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..data.base import Split
from ..errors import DataError
from ..inference import decode, encode, evaluating, generator, require, require_images
from ..measure.latents import Units
from ..models.base import Model
from ..nn.distributions import StandardNormal
from .images import fit, to_uint8

MOST_UNITS, MOST_BYTES = 16, 4_000_000


def has_prior(model: Model) -> bool:
    """Whether codes were pulled to a known distribution: a plain autoencoder's were not."""
    return {"sample", "decode"} <= model.abilities


def spans(model: Model, units: Units | None = None, stds: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each (D,): how far to move each unit.

    ± `stds` under the prior N(0, I), the range of 2,000 draws of another prior, and without a prior the aggregated
    code's mean ± `stds` standard deviations.
    units: `aecore.measure.statistics(model, split)`; needed without a prior.
    """
    if not has_prior(model):
        units = _needed(units)
        reach = stds * np.maximum(units.std, 1e-3)
        return (units.mean - reach).astype(np.float32), (units.mean + reach).astype(np.float32)
    if isinstance(model.prior, StandardNormal):
        reach = np.full(_size(model), stds, np.float32)
        return -reach, reach
    draws = _draws(model, 2000, 0)
    return draws.min(0), draws.max(0)


def sheet(
    model: Model,
    base: np.ndarray,
    units: np.ndarray | list[int],
    low: np.ndarray | float = -3.0,
    high: np.ndarray | float = 3.0,
    steps: int = 17,
) -> tuple[np.ndarray, np.ndarray]:
    """(tiles uint8 (U, S, H, W[, 3]), values float32 (U, S)): tile [u, s] is `base` with unit units[u] at values[u, s].

    base: (D,).  low, high: one number, or (D,) per unit of the code, as from `spans`; widened where the base lies
    beyond. Values rise evenly, but the nearest to the base's own is moved onto it: every strip shows the code as it is.
    At most 16 units and 4 MB; tiles are shrunk where they would pass it: `shrunk` says so.
    """
    require_images(model.shape)
    base, units = np.asarray(base, np.float32), np.asarray(units, np.int64)
    size = len(base)
    if not 1 <= len(units) <= MOST_UNITS or units.min() < 0 or units.max() >= size:
        raise DataError(f"A sheet holds 1 to {MOST_UNITS} units, each from 0 to {size - 1}. Page through the others.")
    home = base[units]
    start, stop = (np.broadcast_to(np.asarray(edge, np.float32), size)[units] for edge in (low, high))
    values = np.linspace(np.minimum(start, home), np.maximum(stop, home), steps, axis=1, dtype=np.float32)  # (U, S)
    rows = np.arange(len(units))
    values[rows, np.abs(values - home[:, None]).argmin(1)] = home
    codes = np.tile(base, (len(units), steps, 1))  # (U, S, D)
    codes[rows, :, units] = values
    tiles = to_uint8(decode(model, codes.reshape(-1, size)), _side(model.shape, len(units) * steps))
    return tiles.reshape(len(units), steps, *tiles.shape[1:]), values


def shrunk(model: Model, tiles: np.ndarray) -> str:
    """A sentence where the frames of a sheet are smaller than the model's images, else ""."""
    height, width = model.shape[-2:]
    if tiles.shape[2:4] == (height, width):
        return ""
    return (
        f"While dragging, pictures are shown at {tiles.shape[2]}×{tiles.shape[3]} pixels instead of {height}×{width}, "
        f"to keep the sheet under {MOST_BYTES // 1_000_000} MB."
    )


def prior_mean(model: Model, units: Units | None = None) -> np.ndarray:
    """(D,) zeros for a model with a prior (all of ours are centred), else the aggregated code's mean (from `units`)."""
    if has_prior(model):
        return np.zeros(_size(model), np.float32)
    return _needed(units).mean.astype(np.float32)


def image_code(model: Model, split: Split, example: int) -> np.ndarray:
    """(D,) the code of one example of a split."""
    return encode(model, split, np.array([example]))[0]


def random_draw(model: Model, seed: int = 0, units: Units | None = None) -> np.ndarray:
    """(D,) a draw from the prior, else from a Gaussian with the aggregated code's mean and std (from `units`)."""
    if has_prior(model):
        return _draws(model, 1, seed)[0]
    units = _needed(units)
    return np.random.default_rng(seed).normal(units.mean, units.std).astype(np.float32)


def picture(model: Model, z: np.ndarray) -> np.ndarray:
    """uint8 (H, W[, 3]): one code (D,), decoded."""
    require_images(model.shape)
    return to_uint8(decode(model, np.asarray(z)[None]))[0]


def path(
    z_a: np.ndarray, z_b: np.ndarray, steps: int = 16, how: Literal["linear", "spherical"] = "linear"
) -> np.ndarray:
    """Codes (steps, D) from z_a to z_b, both included.

    "linear": the straight line.  "spherical": the direction turns evenly and the length changes evenly, so that the way
    stays where the prior's mass is; the line where a code is 0 or the two are opposite.
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
    model: Model, z_a: np.ndarray, z_b: np.ndarray, steps: int = 16, how: Literal["linear", "spherical"] = "linear"
) -> np.ndarray:
    """Frames uint8 (steps, H, W[, 3]) along the `path` from z_a to z_b, both ends included."""
    require_images(model.shape)
    return to_uint8(decode(model, path(z_a, z_b, steps, how)))


def _side(shape: tuple[int, ...], tiles: int) -> int | None:
    """The longest side at which that many tiles keep to MOST_BYTES; None where they do as they are."""
    side = max(shape[-2:])
    if tiles * int(np.prod(shape)) <= MOST_BYTES:
        return None
    while side > 8 and tiles * shape[0] * int(np.prod(fit(shape, side))) > MOST_BYTES:
        side -= 1
    return side


def _draws(model: Model, n: int, seed: int) -> np.ndarray:
    able = require(model, "sample")
    with evaluating(model) as device:
        like = next(able.parameters())
        return able.prior.sample(n, like, 1.0, generator(device, seed)).float().cpu().numpy()


def _size(model: Any) -> int:
    return model.code


def _needed(units: Units | None) -> Units:
    if units is None:
        raise DataError("This model has no prior: give `units`, the statistics of its code over some data.")
    return units
