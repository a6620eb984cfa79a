"""Attribute edits: one code, decoded with an attribute switched; and directions in codes that were never told any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..data import attributes as rules
from ..data.base import Data, DataError, Split
from ..measure.passing import checked, device_of, examples, still
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
    ("+ hat", (("Black_Hair", True), ("Smiling", True), ("Mouth_Slightly_Open", True), ("Eyeglasses", True),
               ("Wearing_Hat", True))),
)  # fmt: skip
"""Fig. 6 of the chapter: rows hold male and young, columns vary hair, smile, mouth, glasses and hat."""
BASE: Switches = (("Bald", False), ("Bangs", False), ("Receding_Hairline", False), ("Wavy_Hair", False),
                  ("Wearing_Hat", False), ("Eyeglasses", False), ("Smiling", False), ("Mouth_Slightly_Open", False),
                  ("Mustache", False))  # fmt: skip
"""What the grid's first column starts from."""


def switched(data: Data, attributes: np.ndarray, name: str, value: bool) -> np.ndarray:
    """Attributes (…, A) of these data with one switched, and with it what cannot stay (`data.attributes.switched`).

    Raises DataError for an attribute that the data do not have.
    """
    return rules.switched(attributes, data.attributes, name, value, always_hair=data.spec.name == "faces")


def switch(data: Data, attributes: np.ndarray, switches: Switches) -> np.ndarray:
    """Several, one after the other. Attributes that the data lack are passed over."""
    for name, value in switches:
        if name in data.attributes:
            attributes = switched(data, attributes, name, value)
    return np.asarray(attributes, np.float32)


def attributes_of(split: Split, ids) -> np.ndarray:
    """(n, A) of 0 and 1; DataError for data without attributes."""
    found = split.batch(torch.from_numpy(checked(split, ids))).attributes
    if found is None:
        raise DataError("These data know of no attributes. Choose faces, or pictures with a table of attributes.")
    return found.cpu().numpy()


def encode(model: Model, x: torch.Tensor, attributes: np.ndarray) -> np.ndarray:
    """Codes (n, D) of images (n, C, H, W) with attributes (n, A); a model that is told none gets none."""
    with still(model) as device:
        y = (torch.from_numpy(np.asarray(attributes, np.float32)).to(device),) if model.attributes else ()
        return model.encode(x.to(device), *y).float().cpu().numpy()


def decode(model: Model, codes: np.ndarray, attributes: np.ndarray, size: int = 128) -> np.ndarray:
    """Images (n, C, H, W) of codes (n, D) with attributes (n, A), which may lie between 0 and 1 and beyond."""
    z, y = (torch.from_numpy(np.ascontiguousarray(values, np.float32)) for values in (codes, attributes))
    parts = []
    with still(model) as device:
        for a, b in zip(z.split(size), y.split(size), strict=True):
            parts.append(model.decode(a.to(device), *((b.to(device),) if model.attributes else ())).float().cpu())
    return torch.cat(parts).numpy()


def single_edits(data: Data, attributes: np.ndarray) -> np.ndarray:
    """Attributes (A + 1, A): first as they are (A,), then each of them switched alone."""
    rows = [attributes] + [
        switched(data, attributes, name, attributes[k] < 0.5) for k, name in enumerate(data.attributes)
    ]
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
    a = attributes_of(split, ids)
    z = np.concatenate([encode(model, examples(split, part), a[start : start + 250])
                        for start, part in zip(range(0, len(a), 250), _parts(ids, 250), strict=True)])  # fmt: skip
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


def _parts(ids, size: int) -> list[np.ndarray]:
    ids = np.asarray(ids)
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def along(z: np.ndarray, direction: np.ndarray, present: bool, strength: float = 1.0) -> np.ndarray:
    """z (D,) moved along a direction (D,) to the other side of its attribute; at strength 0 it stays."""
    return (z + (-strength if present else strength) * direction).astype(np.float32)


__all__ = [
    "BASE", "COLUMNS", "ROWS", "along", "attributes_of", "decode", "device_of", "directions", "encode", "single_edits",
    "switch", "switched",
]  # fmt: skip
