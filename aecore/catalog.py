"""The table of all autoencoders: the families' lists joined, and how a model is built from its entry."""

from __future__ import annotations

from typing import Any

import torch

from .errors import FieldError
from .models import (
    adversarial,
    attributes,
    autoregressive,
    clustering,
    gan,
    hybrid,
    inference,
    perceptual,
    plain,
    quantised,
    recommender,
    regularised,
    stacked,
    variational,
    wasserstein,
)
from .models.base import Model
from .models.entry import Entry

FAMILIES = (
    plain,
    stacked,
    regularised,
    variational,
    quantised,
    adversarial,
    inference,
    attributes,
    gan,
    hybrid,
    wasserstein,
    perceptual,
    autoregressive,
    clustering,
    recommender,
)
CATALOG: dict[str, Entry] = {entry.key: entry for family in FAMILIES for entry in family.ENTRIES}


def entry(key: str) -> Entry:
    """The entry with this key. Raises FieldError, which lists all keys."""
    if key not in CATALOG:
        raise FieldError("model", f"there is no {key!r}; choose one of {', '.join(CATALOG)}")
    return CATALOG[key]


def seeded_build(which: Entry, shape: tuple[int, ...], params: dict[str, Any], seed: int) -> Model:
    """A new model whose weights depend only on the seed. The random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return which.build(tuple(shape), **which.check(params))
