"""The one table of all autoencoders: it only joins the families' lists."""

from __future__ import annotations

from .entry import Entry, FieldError
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

FAMILIES = (
    plain, stacked, regularised, variational, quantised, adversarial, inference, attributes, gan, hybrid, wasserstein,
    perceptual, autoregressive, clustering, recommender,
)  # fmt: skip
CATALOG: dict[str, Entry] = {entry.key: entry for family in FAMILIES for entry in family.ENTRIES}


def entry(key: str) -> Entry:
    """The entry of this key; FieldError lists the keys there are."""
    if key not in CATALOG:
        raise FieldError("model", f"there is no {key!r}; choose one of {', '.join(CATALOG)}")
    return CATALOG[key]
