"""Images drawn pixel by pixel (§5.5): drawing, completion, likelihood, and what each pixel depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from ..errors import DataError
from ..inference import device_of, evaluating, generator
from ..models.base import Model

BARS = 32  # ranges in which the probabilities of 256 levels are shown
NUMBERS = 4_000_000  # probabilities that are computed at once

Labels = int | Sequence[int] | Int[np.ndarray, "*n"] | None
"""One label for all images, or one for each; None for the labels in turn."""


class Drawing(NamedTuple):
    """Images, and how they were drawn.

    images: (n, C, H, W) in [0, 1].  nats: (n, C, H, W), −log p of each value given those before it, at temperature 1.
    chances: (n, C, K, H, W), the probability of each of K levels, or of each of BARS ranges of levels, given the values
    before, at the temperature of the drawing.
    order: (H W, 2), row and column of each pixel in the order of drawing.
    known: (H, W), pixels that were given and not drawn.
    """

    images: Float[np.ndarray, "n C H W"]
    nats: Float[np.ndarray, "n C H W"]
    chances: Float[np.ndarray, "n C K H W"]
    order: Int[np.ndarray, "pixels 2"]
    known: Bool[np.ndarray, "H W"]


def require_pixelwise(model: Model) -> Any:
    """The model, once it is known to draw pixel by pixel; DataError where it does not."""
    if "pixelwise" not in model.abilities:
        raise DataError(f"{type(model).__name__} does not draw pixel by pixel. Choose a PixelCNN or a PixelRNN.")
    return model


def conditions(model: Any, n: int, label: Labels, code: Float[np.ndarray, "..."] | None) -> Tensor | None:
    """What conditions the network, for n images: a label for all or one for each, the labels in turn, or a code (D,).

    Raises DataError for a label or a code that the model does not know.
    """
    if "density" in model.abilities:
        if code is not None:
            raise DataError("This model has no code: it draws from noise alone. Leave the code out.")
        if label is None:
            return model.given(None, n)
        y = np.broadcast_to(label, n) if np.ndim(label) == 0 else np.asarray(label)
        if y.shape != (n,):
            raise DataError(f"There are {len(y)} labels for {n} images: give one, or one for each.")
        wrong = [c for c in y.tolist() if not 0 <= c < model.classes]
        if wrong:
            known = f"labels from 0 to {model.classes - 1}" if model.classes else "no labels"
            raise DataError(f"There is no label {wrong[0]}: this model knows {known}.")
        return model.given(torch.from_numpy(y.copy()), n)
    if code is None:
        raise DataError("This model draws from a code: give that of an image.")
    if label is not None or np.shape(code) != (model.code,):
        raise DataError(
            f"This model draws from a code of {model.code} numbers and no label; the code has the shape "
            f"{np.shape(code)}."
        )
    like = next(model.parameters())
    return model.sketch(torch.as_tensor(code).to(like).expand(n, -1))


def draw(
    model: Model,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    label: Labels = None,
    code: Float[np.ndarray, "..."] | None = None,
    image: Num[np.ndarray, "..."] | None = None,
    known: Bool[np.ndarray, "..."] | None = None,
) -> Drawing:
    """n images drawn pixel by pixel; with a partly known image, n completions of it.

    temperature: log p of each value is divided by it; 0 for the likeliest value.
    label: of all images or of each, for a model that labels condition; by default the labels in turn.
    code: (D,), for a decoder.  image: (C, H, W) in [0, 1]; it is rounded to values that are modelled.
    known: (H, W) bool, which of its pixels stay.

    Pixels that are drawn before a known pixel do not depend on it, so completions are draws of p(x | known) only where
    all known pixels come first in the model's order.
    Raises DataError for a model that cannot, an image of another size or range, and a temperature below 0.
    """
    able = require_pixelwise(model)
    if not 0 <= temperature < math.inf:
        raise DataError(f"The temperature is {temperature}: it must be a number from 0 up.")
    if n < 1:
        raise DataError(f"{n} images cannot be drawn: ask for 1 or more.")
    if known is not None and image is None:
        raise DataError("Known pixels need an image that they are of.")
    keep = np.zeros(able.shape[1:], bool) if known is None else np.asarray(known, bool)
    if keep.shape != tuple(able.shape[1:]) or (image is not None and np.shape(image) != tuple(able.shape)):
        raise DataError(
            f"The image must be {' × '.join(map(str, able.shape))} and known as large as one channel of it."
        )
    with evaluating(model, seed) as device:
        condition = conditions(able, n, label, code)
        forced = (
            None
            if image is None
            else torch.as_tensor(quantize(model, fitting(model, np.asarray(image)[None])[0]), device=device)
        )
        noise = able.noise(n, generator(device, seed))
        x = able.draw(noise, condition, temperature, forced, torch.as_tensor(keep, device=device))
        nats, chances = [], []
        at_once = max(1, min(16, NUMBERS // (able.values.levels * x[0].numel())))  # chances of 256 levels need room
        for start in range(0, n, at_once):
            these = slice(start, start + at_once)
            laws = able.laws(x[these], _part(condition, these))
            nats.append(-torch.stack([able.values.log_prob(law, x[these, c]) for c, law in enumerate(laws)], 1).float())
            log_p = torch.stack([able.values.log_chances(law, max(temperature, 1e-6)) for law in laws], 1).float()
            chances.append(log_p.exp().unflatten(2, (min(BARS, log_p.shape[2]), -1)).sum(3))
    order = able.sequence().numpy()
    return Drawing(x.cpu().numpy(), torch.cat(nats).cpu().numpy(), torch.cat(chances).cpu().numpy(), order, keep)


def surprise(
    model: Model, x: Num[np.ndarray, "..."], label: Labels = None, code: Float[np.ndarray, "..."] | None = None
) -> np.ndarray:
    """−log p of each value of images x (n, C, H, W), given the values before it, in nats: (n, C, H, W).

    x is rounded to values that are modelled. Summed over an image the result is −log p(x); for a model that labels
    condition −log p(x|y), for a decoder −log p(x|h).
    label: of all images or of each.
    Raises DataError for images of another size, and without a label where labels condition the model.
    """
    able = require_pixelwise(model)
    x = fitting(model, x)
    if "density" in able.abilities and able.classes and label is None:
        raise DataError("This model's likelihoods are given a label: say which. `unlikely` has log p(x) over all.")
    at_once = max(1, 8 * NUMBERS // able.output_size)
    with evaluating(model) as device:
        condition, nats = conditions(model, len(x), label, code), []
        for start in range(0, len(x), at_once):
            these = slice(start, start + at_once)
            values = able.rounded(torch.as_tensor(x[these], dtype=torch.float32, device=device))
            nats.append(-able.log_probs(values, _part(condition, these)).cpu().numpy())
    return np.concatenate(nats)


def _part(condition: Tensor | None, these: slice) -> Tensor | None:
    """The conditions of some of the images; one condition may be that of all."""
    return condition if condition is None or len(condition) == 1 else condition[these]


def unlikely(model: Model, x: Num[np.ndarray, "..."]) -> Float[np.ndarray, " n"]:
    """−log p(x) of images (n, C, H, W), (n,) in nats.

    Where one of C labels conditions the model it is −log (1/C) Σ_y p(x|y), as if all labels were equally likely.
    Raises DataError for images of another size, and for a decoder, which needs a code.
    """
    able = require_pixelwise(model)
    labels = range(able.classes) if "density" in able.abilities else ()
    costs = np.stack([surprise(model, x, label).sum((1, 2, 3)) for label in labels or (None,)])
    return math.log(len(costs)) - np.logaddexp.reduce(-costs.astype(np.float64), 0)


def class_posterior(
    model: Model, image: Num[np.ndarray, "C H W"], known: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, " classes"]:
    """The probability p(y | known) of each of C labels given a part of an image, (C,).

    p(y | known) ∝ p(known | y) by Bayes, where all labels are equally likely a priori. All known pixels must come
    first in the model's order. image: (C, H, W) in [0, 1].  known: (H, W) bool.
    Raises DataError for a model without labels, and an image of another size.
    """
    able = require_pixelwise(model)
    classes = able.classes if "density" in able.abilities else 0
    if not classes:
        raise DataError("This model was told no labels, so it has no probabilities of labels.")
    costs = [surprise(model, np.asarray(image)[None], c)[0][:, np.asarray(known, bool)].sum() for c in range(classes)]
    odds = np.exp(min(costs) - np.array(costs, np.float64))
    return odds / odds.sum()


def first_pixels(model: Model, n: int) -> Bool[np.ndarray, "H W"]:
    """Which pixels are drawn among the first n, in the model's order: (H, W)."""
    able = require_pixelwise(model)
    first = np.zeros(able.shape[1:], bool)
    rows, columns = able.sequence().numpy()[:n].T
    first[rows, columns] = True
    return first


def variations(
    model: Model, z: Float[np.ndarray, "n D"], seed: int = 0, temperature: float = 1.0
) -> Float[np.ndarray, "n C H W"]:
    """Images (n, C, H, W) in [0, 1] that a decoder draws pixel by pixel from codes (n, D), with noise of `seed`.

    Raises DataError for a model that draws from no code.
    """
    if "variations" not in model.abilities:
        raise DataError(f"{type(model).__name__} does not draw from a code. Choose a PixelCNN decoder.")
    able: Any = model
    with evaluating(model, seed) as device:
        codes = torch.as_tensor(z, dtype=torch.float32, device=device)
        return able.variations(codes, temperature, generator(device, seed)).cpu().numpy()


def fitting(model: Model, x: Num[np.ndarray, "..."]) -> Num[np.ndarray, "n C H W"]:
    """The images (n, C, H, W); DataError where their size is not the model's, or values are not in [0, 1]."""
    if np.ndim(x) != 4 or np.shape(x)[1:] != tuple(model.shape) or not len(x):
        size = " × ".join(map(str, model.shape))
        raise DataError(f"Images of this model are {size}, at least one of them; these have the shape {np.shape(x)}.")
    x = np.asarray(x)
    if not (x.min() >= 0 and x.max() <= 1):  # not true for NaN either
        raise DataError(f"Values must lie from 0 to 1; these go from {x.min()} to {x.max()}.")
    return x


def quantize(model: Model, images: Num[np.ndarray, "*n C H W"]) -> Float[np.ndarray, "*n C H W"]:
    """Images (…, C, H, W) in [0, 1], rounded to the nearest values that are modelled."""
    return require_pixelwise(model).rounded(torch.as_tensor(np.asarray(images, np.float32))).numpy()


def saliency(
    model: Model,
    row: int,
    column: int,
    x: Num[np.ndarray, "..."],
    label: Labels = None,
    code: Float[np.ndarray, "..."] | None = None,
) -> np.ndarray:
    """How much each pixel influences the distribution of one pixel: mean |∂a / ∂x| over images x (n, C, H, W), (H, W).

    a is the centre of that distribution (`pixel_distributions.Values.centre`); for a binary pixel its logit.
    Exactly zero for the pixel itself and for all pixels after it.
    Raises DataError for a pixel outside the image.
    """
    able = require_pixelwise(model)
    x = fitting(model, x)
    height, width = able.shape[1:]
    if not (0 <= row < height and 0 <= column < width):
        raise DataError(f"There is no pixel {row}, {column} in {height} × {width}, counted from 0.")
    was_training = able.training
    able.eval()
    device = device_of(model)
    try:
        with torch.enable_grad():
            values = torch.as_tensor(x, dtype=torch.float32, device=device).requires_grad_()
            laws = able.laws(values, conditions(model, len(values), label, code))
            total = torch.stack([able.values.centre(law)[:, row, column].sum() for law in laws]).sum()
            (slope,) = torch.autograd.grad(total, values)
        influence = slope.abs().mean(0).sum(0)
        if able.channels > 1:  # later channels depend on earlier ones of the same pixel, which is left out here
            influence[row, column] = 0
        return influence.cpu().numpy()
    finally:
        able.train(was_training)


def receptive_field(model: Model, x: Num[np.ndarray, "..."], label: Labels = None) -> Float[np.ndarray, "height width"]:
    """Mean absolute gradient of one pixel with respect to another at each offset: (2H − 1, 2W − 1), 0 in the middle.

    It is the maximum of `saliency` over nine pixels from corner to corner, each shifted to the middle.
    """
    height, width = require_pixelwise(model).shape[1:]
    field = np.zeros((2 * height - 1, 2 * width - 1), np.float32)
    for row in (0, height // 2, height - 1):
        for column in (0, width // 2, width - 1):
            view = field[height - 1 - row : 2 * height - 1 - row, width - 1 - column : 2 * width - 1 - column]
            np.maximum(view, saliency(model, row, column, x, label), out=view)
    return field


def beside_masks(
    model: Model, layers: int, row: int, column: int
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """What a pixel would see by masked convolutions alone, in the model's order, and their blind spot: both (H, W).

    The second is what they miss of the lines that they reach, before the pixel and after it.
    Source: as `blind_spot`.
    """
    able = require_pixelwise(model)
    places = torch.arange(math.prod(able.shape[1:])).view(able.shape[1:])
    turned = able.turned(places)
    turned_row, turned_column = (turned == places[row, column]).nonzero()[0].tolist()
    seen = torch.from_numpy(blind_spot((1, *turned.shape), layers, turned_row, turned_column))
    missed = ~seen & seen.any(1, keepdim=True)  # in lines further away no masked filter sees anything
    return able.restored(seen).numpy(), able.restored(missed).numpy()


def blind_spot(shape: tuple[int, ...], layers: int, row: int, column: int) -> Bool[np.ndarray, "H W"]:
    """What one pixel would see by masked convolutions alone, where pixels are ordered by rows: (H, W).

    `layers` layers: one 7×7 filter that excludes the present pixel (mask A), then 3×3 filters that include it (mask B).
    Above to the right a wedge stays unseen, however many layers there are, since no path of allowed steps leads there.
    Source: van den Oord et al. (2016), arXiv:1606.05328, §2.2, Fig. 1.
    """
    height, width = shape[1:]
    seen = np.zeros((height, width), bool)
    reach = {(row, column)}
    for layer in range(layers, 0, -1):
        size = 3 if layer == 1 else 1
        steps = [
            (di, dj)
            for di in range(-size, 1)
            for dj in range(-size, size + 1)
            if di < 0 or dj < 0 or (dj == 0 and layer > 1)
        ]
        reach = {(i + di, j + dj) for i, j in reach for di, dj in steps}
    for i, j in reach:
        if 0 <= i < height and 0 <= j < width:
            seen[i, j] = True
    return seen
