"""Squared errors per pixel over the first examples of a split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..data.base import Split
from ..inference import autoencode, examples, first
from ..models.base import Model


def of_model(model: Model, split: Split, limit: int) -> float:
    """Mean squared error per value of the reconstructions of the first `limit` examples."""
    ids = first(split, limit)
    return of_answers(split, autoencode(model, split, ids))


def of_answers(split: Split, answers: Float[np.ndarray, "n *shape"]) -> float:
    """Mean squared error per value between the first n examples and `answers` (n, *shape)."""
    x = examples(split, first(split, len(answers))).numpy()
    return float(np.square(x - answers).mean())


def of_the_mean(split: Split, limit: int) -> float:
    """Mean squared error per value of the first `limit` examples where every answer is their mean: their variance."""
    x = examples(split, first(split, limit))
    return float((x - x.mean(0)).square().mean())
