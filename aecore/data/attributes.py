"""Attributes of pictures: which of them can stand together, and tables that say which picture has which.

A vector of attributes has 1 where one is present and 0 where not. Names and meanings are those of CelebA.
Source: Liu et al. (2015), arXiv:1411.7766.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError

HAIR = ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair")
"""One head has one of these at most."""
EXCLUDES = {
    "Bald": ("Wavy_Hair", "Straight_Hair", "Bangs", "Receding_Hairline", "Wearing_Hat"),
    "Bangs": ("Receding_Hairline", "Wearing_Hat"),
    "Receding_Hairline": ("Wearing_Hat",),
    "Wavy_Hair": ("Straight_Hair",),
}
"""What is not seen together: under a hat there is no telling how far up the hair begins."""


# --- which can stand together -----------------------------------------------------------------------------------


def switched(
    attributes: np.ndarray, names: Sequence[str], name: str, value: bool, always_hair: bool = False
) -> np.ndarray:
    """Attributes (…, A) of these names with one switched, and with it what cannot stay: all edits go through here.

    A hair colour that is switched on replaces the one there was. Bald heads lose waves, bangs and hats, and the other
    way round; a mustache makes a man, and a woman loses it.
    always_hair: there is always a colour: one that is switched off leaves brown hair, brown leaves black.
    Raises DataError for a name that is not among `names`.
    """
    names = tuple(names)
    if name not in names:
        raise DataError(f"There is no attribute '{name}'. There are: {', '.join(names)}.")
    new = np.array(attributes, dtype=np.float32)

    def put(other: str, to: float) -> None:
        if other in names:
            new[..., names.index(other)] = to

    put(name, float(value))
    if name in HAIR and value:
        for other in HAIR:
            put(other, float(other == name))
    elif name in HAIR and always_hair:
        bare = new[..., [names.index(h) for h in HAIR if h in names]].sum(-1) == 0
        new[..., names.index("Brown_Hair" if name != "Brown_Hair" else "Black_Hair")] += bare
    if value:
        for one, others in EXCLUDES.items():
            for other in others:
                if name == one:
                    put(other, 0.0)
                elif name == other:
                    put(one, 0.0)
        if name == "Mustache":
            put("Male", 1.0)
    elif name == "Male":
        put("Mustache", 0.0)
    return new


def possible(attributes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(…,) bool: whether these attributes (…, A) can be seen together."""
    names, a = tuple(names), np.asarray(attributes) > 0.5
    nothing = np.zeros(a.shape[:-1], bool)

    def has(name: str) -> np.ndarray:
        return a[..., names.index(name)] if name in names else nothing

    fine = sum(has(name).astype(int) for name in HAIR) <= 1
    for one, others in EXCLUDES.items():
        for other in others:
            fine = fine & ~(has(one) & has(other))
    return fine & ~(has("Mustache") & ~has("Male")) if "Male" in names else fine


# --- tables -------------------------------------------------------------------------------------------------
