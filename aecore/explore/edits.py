"""Attribute edits: a code decoded with an attribute switched, or moved along the direction of an attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32

from .. import inference
from ..data.attributes import switched_in
from ..data.base import Data, Split
from ..errors import DataError
from ..inference import Ids
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
"""The attributes of the first column of the grid."""


def switch(data: Data, attributes: Float[np.ndarray, "*n A"], switches: Switches) -> Float32[np.ndarray, "*n A"]:
    """Attributes (…, A) after these switches, one after the other. Attributes that the data lack are left out."""
    for name, value in switches:
        if name in data.attributes:
            attributes = switched_in(data, attributes, name, value)
    return np.asarray(attributes, np.float32)


def render(
    model: Model,
    z: Float[np.ndarray, "*n D"],
    start: Float[np.ndarray, "*m A"],
    targets: Float[np.ndarray, "*k A"],
    along: Float[np.ndarray, "A D"] | None = None,
) -> Float32[np.ndarray, "n_images C H W"]:
    """Images (n, C, H, W) of a code z (D,), or (n, D), whose attributes go from `start` (A,) to `targets` (n, A).

    Attributes are 0 where absent and 1 where present; values beyond exaggerate. A model that attributes condition
    decodes z with them. For any other model the code itself moves: z + Σ_k (target_k − start_k) along_k.

    along: (A, D), from `directions`, for a model that attributes do not condition; DataError without them.
    """
    targets = np.atleast_2d(np.asarray(targets, np.float32))
    if model.attributes:
        codes = np.array(np.broadcast_to(z, (len(targets), z.shape[-1])))
        return inference.decode(model, codes, torch.tensor(targets))
    if along is None:
        raise DataError(f"{type(model).__name__} is not told attributes: give the directions along which codes move.")
    return inference.decode(model, z + (targets - start) @ along, *model.condition(len(targets)))


def single_edits(data: Data, attributes: Float[np.ndarray, " A"]) -> Float32[np.ndarray, "A+1 A"]:
    """Attributes (A + 1, A): first unchanged, then each of them switched alone."""
    rows = [attributes]
    rows += [switched_in(data, attributes, name, attributes[k] < 0.5) for k, name in enumerate(data.attributes)]
    return np.stack(rows).astype(np.float32)


def directions(model: Model, split: Split, ids: Ids, how: str = "means") -> Float32[np.ndarray, "A D"]:
    """For each attribute the direction in codes along which it appears, (A, D); adding it switches the attribute on.

    how: "means", the mean code with the attribute minus the mean code without it; or "classifier", the normal of a
    linear classifier (logistic regression) of the attribute, as long as the distance of the means along it.
    An attribute that these examples always or never have gets 0. DataError for another `how`.
    Source: Larsen et al. (2016), arXiv:1512.09300, §4.2 (means); Shen et al. (2020), arXiv:1907.10786 (classifier).
    """
    if how not in ("means", "classifier"):
        raise DataError(f"There are directions by 'means' and by 'classifier', not by '{how}'.")
    a, z = inference.attributes_of(split, ids), inference.encode(model, split, ids)
    steps = np.zeros((a.shape[1], z.shape[1]), np.float32)
    spread = z.std(0) + 1e-6
    for k, present in enumerate(a.T > 0.5):
        if present.all() or not present.any():
            continue
        step = z[present].mean(0) - z[~present].mean(0)
        if how == "classifier":
            from sklearn.linear_model import LogisticRegression

            normal = LogisticRegression(C=0.1, max_iter=200).fit(z / spread, present).coef_[0] / spread
            step = normal * (step @ normal) / (normal @ normal)
        steps[k] = step
    return steps


def strengths(
    data: Data, attributes: Float[np.ndarray, " A"], steps: int = 13, low: float = -0.5, high: float = 1.5
) -> Float[np.ndarray, "A {steps} A"]:
    """(A, steps, A): each attribute alone from `low` to `high`, where 0 is absent and 1 present.

    Attributes that contradict it change with it (`data.attributes.switched`).
    """
    share = np.linspace(low, high, steps, dtype=np.float32)[:, None]
    rows = []
    for name in data.attributes:
        off, on = (switched_in(data, attributes, name, value) for value in (False, True))
        rows.append(off + share * (on - off))
    return np.stack(rows)


def differing(data: Data, attributes: Float[np.ndarray, " A"], others: Float[np.ndarray, " A"]) -> list[str]:
    """Names of the attributes in which two vectors (A,) differ."""
    return [name for name, a, b in zip(data.attributes, attributes, others, strict=True) if (a > 0.5) != (b > 0.5)]
