"""One image edited by its attributes: its code, the edit, what a classifier reads off it, and the true edit.

Edits of codes themselves, and directions for models that no attributes condition: `edits`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .. import inference
from ..data.base import Split
from ..measure import attribute_classifier, reconstruction
from ..models.base import Model


class Reading(NamedTuple):
    """What a classifier reads off n images.

    present: (n, A) bool, whether it sees each attribute.  shares: (n, A) in [0, 1], how sure it is that it does.
    nuisance: (n, K), about −1 to 1, all else that a drawn example was made from; K is 0 for data that know of none.
    """

    present: np.ndarray
    shares: np.ndarray
    nuisance: np.ndarray


def encode_image(model: Model, image: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Code (D,) float32 of one image (C, H, W) in [0, 1].  attributes: (A,), for a model that they condition."""
    able = inference.require(model, "encode")
    with inference.evaluating(model) as device:
        x, y = (torch.from_numpy(np.asarray(part, np.float32)[None]).to(device) for part in (image, attributes))
        return able.encode(x, *((y,) if model.attributes else ()))[0].float().cpu().numpy()


def encode_example(model: Model, split: Split, example: int) -> tuple[np.ndarray, np.ndarray]:
    """Code (D,) and attributes (A,) of an example; DataError where it has no attributes."""
    attributes = inference.attributes_of(split, [example])[0]
    return encode_image(model, inference.examples(split, [example])[0].cpu().numpy(), attributes), attributes


def interpolate(
    first: tuple[np.ndarray, np.ndarray],
    last: tuple[np.ndarray, np.ndarray],
    steps: int,
    code: bool = True,
    attributes: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (steps, D) and attributes (steps, A) that go evenly from one example's to another's, both ends included.

    first, last: code (D,) and attributes (A,).  code, attributes: whether these go over, or stay those of `first`.
    """
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    z, y = (
        start + (share if moves else 0 * share) * (end - start)
        for start, end, moves in zip(first, last, (code, attributes), strict=True)
    )
    return z, y


def lay_on(image: np.ndarray, edited: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """The change of a decoded edit laid on the image itself: image + edited − decoded, clipped to [0, 1].

    image: (C, H, W).  edited: (…, C, H, W), decoded with other attributes.  decoded: (C, H, W), with its own.
    """
    return np.clip(image + edited - decoded, 0, 1)


def read(judge: attribute_classifier.Judge, images: np.ndarray) -> Reading:
    """What a classifier reads off images (n, C, H, W) in [0, 1]."""
    readings = attribute_classifier.read(judge, torch.from_numpy(np.asarray(images, np.float32)))
    logits = readings.attributes
    return Reading((logits > 0).numpy(), logits.sigmoid().numpy(), readings.nuisance.numpy())


def true_edit(split: Split, example: int, attributes: np.ndarray) -> np.ndarray | None:
    """The same example (C, H, W), drawn with these attributes (A,); None where the data cannot draw it."""
    if split.redrawn is None:
        return None
    wanted = torch.from_numpy(np.asarray(attributes, np.float32)[None])
    return split.redrawn(torch.tensor([example]), wanted)[0].cpu().numpy()


def usual_error(model: Model, split: Split, limit: int = 500, share: float = 0.99) -> float:
    """The squared error per value below which this share of (the first `limit`) examples are reconstructed."""
    ids = inference.first(split, limit)
    x = inference.examples(split, ids).cpu().numpy()
    return float(np.quantile(reconstruction.mse(x, inference.autoencode(model, split, ids)), share))
