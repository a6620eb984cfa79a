"""Attribute edits: one code, decoded with an attribute switched; and directions in codes that were never told any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .. import inference
from ..data.attributes import switched_in
from ..data.base import Data, Split
from ..errors import DataError
from ..models.base import Model

Switches = Sequence[tuple[str, bool]]
"""Attributes in the order in which they are switched."""

ROWS: tuple[tuple[str, Switches], ...] = (
    ("man, young", (("Male", True), ("Young", True))),
    ("man, not young", (("Male", True), ("Young", False))),
    ("woman, young", (("Male", False), ("Young", True))),
    ("woman, not young", (("Male", False), ("Young", False))),
)
COLUMNS: tuple[tuple[str, Switches], ...] = (
    ("as it is", ()),
    ("black hair", (("Black_Hair", True),)),
    ("brown hair", (("Brown_Hair", True),)),
    ("blond hair", (("Blond_Hair", True),)),
    ("black, wavy", (("Black_Hair", True), ("Wavy_Hair", True))),
    ("blond, bangs", (("Blond_Hair", True), ("Bangs", True))),
    ("blond, receding", (("Blond_Hair", True), ("Receding_Hairline", True))),
    ("blond, bald", (("Blond_Hair", True), ("Bald", True))),
    ("black, smiling", (("Black_Hair", True), ("Smiling", True))),
    ("+ mouth open", (("Black_Hair", True), ("Smiling", True), ("Mouth_Slightly_Open", True))),
    ("+ eyeglasses", (("Black_Hair", True), ("Smiling", True), ("Mouth_Slightly_Open", True), ("Eyeglasses", True))),
    (
        "+ hat",
        (
            ("Black_Hair", True),
            ("Smiling", True),
            ("Mouth_Slightly_Open", True),
            ("Eyeglasses", True),
            ("Wearing_Hat", True),
        ),
    ),
)
"""Fig. 6 of the chapter: rows hold male and young, columns vary hair, smile, mouth, glasses and hat."""
BASE: Switches = (
    ("Bald", False),
    ("Bangs", False),
    ("Receding_Hairline", False),
    ("Wavy_Hair", False),
    ("Wearing_Hat", False),
    ("Eyeglasses", False),
    ("Smiling", False),
    ("Mouth_Slightly_Open", False),
    ("Mustache", False),
)
"""What the grid's first column starts from."""


def switch(data: Data, attributes: np.ndarray, switches: Switches) -> np.ndarray:
    """Several, one after the other. Attributes that the data lack are passed over."""
    for name, value in switches:
        if name in data.attributes:
            attributes = switched_in(data, attributes, name, value)
    return np.asarray(attributes, np.float32)


def render(
    model: Model, z: np.ndarray, start: np.ndarray, targets: np.ndarray, along: np.ndarray | None = None
) -> np.ndarray:
    """Images (n, C, H, W) of a code z (D,), or (n, D), whose attributes go from `start` (A,) to `targets` (n, A).

    Attributes lie from 0 to 1, and beyond for more than the data have. A model that is told attributes decodes z with
    them; of another the code itself moves: z + Σ_k (target_k − start_k) along_k.

    along: (A, D), of `directions`, for a model that is told none.
    """
    targets = np.atleast_2d(np.asarray(targets, np.float32))
    if model.attributes:
        codes = np.array(np.broadcast_to(z, (len(targets), z.shape[-1])))
        return inference.decode(model, codes, torch.tensor(targets))
    if along is None:
        raise DataError(f"{type(model).__name__} is not told attributes: give the directions along which codes move.")
    return inference.decode(model, z + (targets - start) @ along, *model.condition(len(targets)))


def single_edits(data: Data, attributes: np.ndarray) -> np.ndarray:
    """Attributes (A + 1, A): first as they are (A,), then each of them switched alone."""
    rows = [attributes]
    rows += [switched_in(data, attributes, name, attributes[k] < 0.5) for k, name in enumerate(data.attributes)]
    return np.stack(rows).astype(np.float32)


def directions(model: Model, split: Split, ids, how: str = "means") -> np.ndarray:
    """For each attribute the direction (A, D) in codes along which it appears, as long as the step between its sides.

    how: "means", the difference of the mean codes with and without it; or "classifier", the normal of a linear
    classifier (logistic regression) that tells the two, as long as the means lie apart along it.
    An attribute that these examples always or never have gets 0.
    Source: Larsen et al. (2016), arXiv:1512.09300, §4.2 (means); Shen et al. (2020), arXiv:1907.10786 (classifier).
    """
    if how not in ("means", "classifier"):
        raise DataError(f"There are directions by 'means' and by 'classifier', not by '{how}'.")
    a, z = inference.attributes_of(split, ids), inference.encode(model, split, ids)
    found = np.zeros((a.shape[1], z.shape[1]), np.float32)
    spread = z.std(0) + 1e-6
    for k, present in enumerate(a.T > 0.5):
        if present.all() or not present.any():
            continue
        apart = z[present].mean(0) - z[~present].mean(0)
        if how == "classifier":
            from sklearn.linear_model import LogisticRegression

            normal = LogisticRegression(C=0.1, max_iter=200).fit(z / spread, present).coef_[0] / spread
            apart = normal * (apart @ normal) / (normal @ normal)
        found[k] = apart
    return found


def strengths(data: Data, attributes: np.ndarray, steps: int = 13, low: float = -0.5, high: float = 1.5) -> np.ndarray:
    """(A, steps, A): each attribute alone from absent (0) to present (1) and beyond, and what cannot stay with it."""
    share = np.linspace(low, high, steps, dtype=np.float32)[:, None]
    found = []
    for name in data.attributes:
        off, on = (switched_in(data, attributes, name, value) for value in (False, True))
        found.append(off + share * (on - off))
    return np.stack(found)


def differing(data: Data, attributes: np.ndarray, others: np.ndarray) -> list[str]:
    """Names of the attributes in which two vectors (A,) differ."""
    return [name for name, a, b in zip(data.attributes, attributes, others, strict=True) if (a > 0.5) != (b > 0.5)]
