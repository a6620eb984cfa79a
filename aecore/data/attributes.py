"""Attributes of pictures: which of them can be present together, and what changes when one is switched.

A vector of attributes has 1 where one is present and 0 where not. Names and meanings are those of CelebA.
Source: Liu et al. (2015), arXiv:1411.7766.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .base import Data

HAIR = ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair")
"""Hair colours. At most one of them is present."""
EXCLUDES = {
    "Bald": ("Wavy_Hair", "Straight_Hair", "Bangs", "Receding_Hairline", "Wearing_Hat"),
    "Bangs": ("Receding_Hairline", "Wearing_Hat"),
    "Receding_Hairline": ("Wearing_Hat",),
    "Wavy_Hair": ("Straight_Hair",),
}
"""Attributes that are not present together. A hat, for example, hides where the hairline is."""


def switched(
    attributes: np.ndarray, names: Sequence[str], name: str, value: bool, always_hair: bool = False
) -> np.ndarray:
    """Attributes (…, A) with one switched, and with it those that cannot stay as they were.

    All edits go through this function.

    A hair colour that is switched on replaces the other one. A head that becomes bald loses waves, bangs and hats, and
    one that gets any of these is no longer bald. A face that gets a mustache becomes a man's; one that becomes a
    woman's loses it.

    names: of the A attributes. name: which one is switched. value: whether it is present afterwards.
    always_hair: a hair colour is always present: switching one off leaves brown hair, switching brown off leaves black.
    Raises DataError for a name that is not among `names`.
    """
    names = tuple(names)
    if name not in names:
        raise DataError(f"There is no attribute '{name}'. There are: {', '.join(names)}.")
    new = np.array(attributes, dtype=np.float32)

    def put(other: str, presence: float) -> None:
        if other in names:
            new[..., names.index(other)] = presence

    put(name, float(value))
    if name in HAIR and value:
        for other in HAIR:
            put(other, float(other == name))
    elif name in HAIR and always_hair:
        bare = new[..., [names.index(h) for h in HAIR if h in names]].sum(-1) == 0
        new[..., names.index("Brown_Hair" if name != "Brown_Hair" else "Black_Hair")] += bare
    if value:
        for attribute, excluded in EXCLUDES.items():
            for other in excluded:
                if name == attribute:
                    put(other, 0.0)
                elif name == other:
                    put(attribute, 0.0)
        if name == "Mustache":
            put("Male", 1.0)
    elif name == "Male":
        put("Mustache", 0.0)
    return new


def switched_in(data: Data, attributes: np.ndarray, name: str, value: bool) -> np.ndarray:
    """`switched` for attributes (…, A) of these data, by the names and rules that the data declare."""
    return switched(attributes, data.attributes, name, value, data.always_hair)


def possible(attributes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Whether these attributes (…, A) can be present together. Returns (…,) bool."""
    names, a = tuple(names), np.asarray(attributes) > 0.5
    nothing = np.zeros(a.shape[:-1], bool)

    def has(name: str) -> np.ndarray:
        return a[..., names.index(name)] if name in names else nothing

    fine = np.sum([has(name) for name in HAIR], axis=0) <= 1
    for attribute, excluded in EXCLUDES.items():
        for other in excluded:
            fine = fine & ~(has(attribute) & has(other))
    return fine & ~(has("Mustache") & ~has("Male")) if "Male" in names else fine
