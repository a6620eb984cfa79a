"""Images drawn pixel by pixel (§5.5): how one comes to be, how one is completed, what each pixel looks back on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..data.base import DataError
from ..measure.passing import device_of, generator, still
from ..models.autoregressive import ImageDensity, PixelByPixel

BARS = 32  # in which the chances of 256 levels are shown


class Drawing(NamedTuple):
    """Images as they were drawn.

    images: (n, C, H, W) in [0, 1].  nats: as images, −log p of each value, given those before it.
    chances: (n, C, K, H, W), of each value being one of K levels, or of BARS ranges of levels, given those before it.
    order: (H W, 2), row and column of each pixel as they follow each other.
    known: (H, W) bool, pixels that were given and not drawn.
    """

    images: np.ndarray
    nats: np.ndarray
    chances: np.ndarray
    order: np.ndarray
    known: np.ndarray


def able(model: nn.Module) -> PixelByPixel:
    """The model, once it is known to draw pixel by pixel."""
    if not isinstance(model, PixelByPixel):
        raise DataError(f"{type(model).__name__} does not draw pixel by pixel. Choose a PixelCNN or a PixelRNN.")
    return model


def conditions(model: PixelByPixel, n: int, label: int | None, code: np.ndarray | None) -> Tensor | None:
    """What the network is told beside the pixels: a label for all, the labels in turn, or a code (D,)."""
    if isinstance(model, ImageDensity):
        return model.given(None if label is None else torch.full((n,), label), n)
    if code is None:
        raise DataError("This model draws from a code: give that of an image.")
    like = next(model.parameters())
    return model.sketch(torch.as_tensor(code).to(like).expand(n, -1))  # type: ignore[union-attr, operator]


def draw(
    model: nn.Module, n: int, seed: int = 0, temperature: float = 1.0, label: int | None = None,
    code: np.ndarray | None = None, image: np.ndarray | None = None, known: np.ndarray | None = None,
) -> Drawing:  # fmt: skip
    """n images drawn pixel by pixel; from one that is partly known, n completions of it.

    temperature: log p of each value is divided by it.  label: of all images, for a model that was told labels.
    code: (D,), for a decoder.  image: (C, H, W) of values that are modelled (`rounded`).  known: (H, W) bool, which of
    its pixels stay.

    A pixel that is known is not foreseen by those drawn before it: completions are draws of p(x | known) only where
    all known pixels come first in the model's order.
    Raises DataError for a model of another kind, or an image of another size.
    """
    model = able(model)
    keep = np.zeros(model.shape[1:], bool) if known is None else np.asarray(known, bool)
    if keep.shape != tuple(model.shape[1:]) or (image is not None and np.shape(image) != tuple(model.shape)):
        raise DataError(
            f"The image must be {' × '.join(map(str, model.shape))} and known as large as one channel of it."
        )
    with still(model, seed) as device:
        given = conditions(model, n, label, code)
        forced = None if image is None else torch.as_tensor(image, device=device, dtype=torch.float32)
        noise = model.noise(n, generator(device, seed))
        x = model.draw(noise, given, temperature, forced, torch.as_tensor(keep, device=device))
        nats, chances = [], []
        for part in range(0, n, 16):  # 256 chances a value need room
            these = slice(part, part + 16)
            laws = model.laws(x[these], given if given is None or len(given) == 1 else given[these])
            log_p = torch.stack([model.values.log_chances(law, max(temperature, 1e-6)) for law in laws], 1).float()
            level = (x[these] * (model.values.levels - 1)).round().long()
            nats.append(-log_p.gather(2, level.unsqueeze(2)).squeeze(2))
            chances.append(log_p.exp().unflatten(2, (min(BARS, log_p.shape[2]), -1)).sum(3))
    order = model.sequence().numpy()
    return Drawing(x.cpu().numpy(), torch.cat(nats).cpu().numpy(), torch.cat(chances).cpu().numpy(), order, keep)


def surprise(model: nn.Module, x: np.ndarray, label: int | None = None, code: np.ndarray | None = None) -> np.ndarray:
    """−log p of each value of images (n, C, H, W), rounded to what is modelled, given those before it, in nats: as x.

    Summed over an image it is −log p(x).
    """
    model = able(model)
    with still(model) as device:
        values = model.rounded(torch.as_tensor(x, dtype=torch.float32, device=device))
        return -model.log_probs(values, conditions(model, len(values), label, code)).cpu().numpy()


def rounded(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Images (…, C, H, W) in [0, 1] with the nearest values that the model knows."""
    return able(model).rounded(torch.as_tensor(np.asarray(images, np.float32))).numpy()


def looked_at(model: nn.Module, row: int, column: int, x: np.ndarray, label: int | None = None,
              code: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """How much each pixel moves one's law: the mean |∂a / ∂x| over images x (n, C, H, W), (H, W), by gradients.

    a is the sum of the numbers that the law is made of: of a binary pixel its logit.

    Zero, exactly, for what it cannot see: itself, and all that come after it.
    Raises DataError for a place outside the image.
    """
    model = able(model)
    height, width = model.shape[1:]
    if not (0 <= row < height and 0 <= column < width):
        raise DataError(f"There is no pixel {row}, {column} in {height} × {width}, counted from 0.")
    was_training = model.training
    model.eval()
    device = device_of(model)
    try:
        with torch.enable_grad():
            values = torch.as_tensor(x, dtype=torch.float32, device=device).requires_grad_()
            laws = model.laws(values, conditions(model, len(values), label, code))
            total = torch.stack([law[:, :, row, column].sum() for law in laws]).sum()
            (slope,) = torch.autograd.grad(total, values)
        # Of several channels a later one also looks at the pixel's own earlier ones, which is no matter of place.
        found = slope.abs().mean(0).sum(0)
        found[row, column] = 0
        return found.cpu().numpy()
    finally:
        model.train(was_training)


def blind_spot(shape: tuple[int, ...], layers: int, row: int, column: int) -> np.ndarray:
    """What one pixel would see by masked convolutions alone: (H, W) bool.

    One 7×7 filter whose present pixel is masked, then 3×3 filters that see it (masks A and B), `layers` in all. Above
    to the right a wedge stays unseen however many layers there are: no path of allowed steps leads there.
    Source: van den Oord et al. (2016), arXiv:1606.05328, §2.2, Fig. 1.
    """
    height, width = shape[1:]
    seen = np.zeros((height, width), bool)
    reach = {(row, column)}
    for layer in range(layers, 0, -1):
        size = 3 if layer == 1 else 1
        steps = [(di, dj) for di in range(-size, 1) for dj in range(-size, size + 1)
                 if di < 0 or dj < 0 or (dj == 0 and layer > 1)]  # fmt: skip
        reach = {(i + di, j + dj) for i, j in reach for di, dj in steps}
    for i, j in reach:
        if 0 <= i < height and 0 <= j < width:
            seen[i, j] = True
    return seen
