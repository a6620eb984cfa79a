"""Generated images, and the training images nearest to them."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from ..data.base import Images, Split
from ..errors import DataError
from ..inference import decode, encode, evaluating, first, generator, inputs, require
from ..measure.aggregate_posterior import holes
from ..models.base import Model
from . import examples
from .images import to_uint8


def generate(
    model: Model, n: int, temperature: float = 1.0, seed: int = 0, label: int | None = None
) -> tuple[Float32[np.ndarray, "n *shape"], Float32[np.ndarray, "n D"] | None]:
    """n draws: images (n, C, H, W) in [0, 1], and their codes (n, D); None for codes where the model has none.

    temperature: factor of the prior's standard deviation; 0 gives its mean n times.
    label: of all images, for a model that labels condition; by default the classes in turn.
    The first k of n images need not be those of k draws with the same seed.
    DataError for a label that the model does not know.
    """
    able = require(model, "sample")
    if label is not None and not 0 <= label < model.classes:
        known = f"give one from 0 to {model.classes - 1}" if model.classes else "draw without one"
        raise DataError(f"This model was not told of label {label}: {known}.")
    labels = model.condition(n, None if label is None else torch.full((n,), label))
    with evaluating(model, seed) as device:
        draws = generator(device, seed)
        if "decode" not in model.abilities:
            return able.sample(n, temperature, draws, *labels).float().clamp(0, 1).cpu().numpy(), None
        codes = able.prior.sample(n, next(model.parameters()), temperature, draws).float().cpu().numpy()
    return decode(model, codes, *labels).clip(0, 1), codes


def decode_noise(model: Model, n: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What a model without a prior decodes N(0, T²I) to: (images float32 (n, C, H, W), codes (n, D))."""
    z = temperature * np.random.default_rng(seed).standard_normal((n, require(model, "decode").code))
    return decode(model, z), z.astype(np.float32)


def in_holes(model: Model, split: Split, n: int, limit: int) -> np.ndarray:
    """uint8 (n, H, W[, 3]), decoded in the n largest holes between the codes of the first `limit` examples."""
    codes = encode(model, split, first(split, limit))
    samples = np.random.default_rng(0).standard_normal((4000, codes.shape[1]))
    return to_uint8(decode(model, holes(codes, samples, n)))


KEPT = 64_000_000  # bytes of images that `kept` makes


def kept(split: Split, limit: int = 10_000) -> Split:
    """The first `limit` examples of a split with their images made once, for searching them several times.

    Returns the split itself where its images are stored anyway, need more than 64 MB, or are no images.
    """
    ids = first(split, limit)
    shape = tuple(split.batch(torch.zeros(1, dtype=torch.int64)).x.shape[1:])
    if isinstance(split, Images) or len(shape) != 3 or len(ids) * math.prod(shape) > KEPT:
        return split
    parts = [x.mul(255).round().to(torch.uint8).cpu() for x in inputs(split, ids, shape)]
    return Images(torch.cat(parts))


def nearest(
    images: Float[np.ndarray, "n *shape"], split: Split, limit: int = 10_000
) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """The closest of the first `limit` examples of a split to each image: their ids (n,) and distances (n,).

    images: (n, C, H, W) in [0, 1], as from `generate`.  distances: ‖a − b‖², summed over pixels.
    DataError where the images have another shape than the data.
    """
    ids = first(split, limit)
    shape = tuple(images.shape[1:])
    expected = tuple(split.batch(torch.zeros(1, dtype=torch.int64)).x.shape[1:])
    if shape != expected:
        raise DataError(f"These images are {shape}, the data {expected}. Compare with the data of the same run.")
    a = torch.as_tensor(np.ascontiguousarray(images, dtype=np.float32)).flatten(1)
    best, ids_of_best, done = torch.full((len(a),), torch.inf), torch.zeros(len(a), dtype=torch.int64), 0
    for x in inputs(split, ids, shape):
        b = x.flatten(1).cpu()
        distance, at = (b.square().sum(1) - 2 * a @ b.T).min(1)  # ‖a − b‖² − ‖a‖²: (n,)
        closer = distance < best
        best, ids_of_best = torch.where(closer, distance, best), torch.where(closer, at + done, ids_of_best)
        done += len(b)
    # Computed again: the difference of large numbers above is too inexact to recognise a copy.
    exact = (a - split.batch(ids_of_best).x.flatten(1).cpu()).square().sum(1)
    return ids_of_best.numpy(), exact.numpy()


def typical_distance(split: Split, among: Split, n: int, limit: int) -> float:
    """Median of the squared distances (`nearest`) from n examples of a split to the nearest of another split."""
    pictures = examples.images(split, examples.choose(split, n)).astype(np.float32) / 255
    x = pictures[:, None] if pictures.ndim == 3 else pictures.transpose(0, 3, 1, 2)
    return float(np.median(nearest(x, among, limit)[1]))
