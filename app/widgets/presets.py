"""Presets: settings of a model and its training that go together, by how long a visitor wants to wait."""

from __future__ import annotations

from typing import Any, NamedTuple

from aecore import CATALOG, DataSpec, Plan
from aecore.models.entry import Entry
from app.widgets import params as controls

FIRST = "vae"
"""The model with which the Train page opens."""
FIRST_IMAGES = 10_000
"""How many training images the bundled digits have, with which it opens."""


class Preset(NamedTuple):
    """params, plan: what it sets, as far as the model has it.

    images: how many images are shown to the model in all, from which the number of epochs follows.
    """

    title: str
    meaning: str
    images: int
    params: dict[str, Any]
    plan: dict[str, Any]


PRESETS = (
    Preset(
        "10 seconds on a laptop",
        "a code of two numbers, for a map at once",
        80_000,
        {"code": 2, "net": "dense"},
        {"lr": 2e-3},
    ),
    Preset("Good", "the usual settings", 400_000, {}, {}),
    Preset("Best", "convolutions, and a long training", 1_000_000, {"net": "conv"}, {}),
)


def filled(preset: Preset, entry: Entry, images: int, kind: str = "image") -> tuple[dict[str, Any], Plan]:
    """A preset's parameters and plan for this model.  images: the number of training images.  kind: of the data."""
    params = {name: value for name, value in preset.params.items() if name in entry.params}
    if kind != "image":
        params.pop("net", None)
    epochs = min(1000, max(1, round(preset.images / images)))
    return entry.check(params), Plan(**{**preset.plan, **entry.plan, "epochs": epochs})


def first_link() -> dict[str, str]:
    """The query of the Train page with the first preset filled in: a code of two numbers of the bundled digits."""
    entry = CATALOG[FIRST]
    usual_data = DataSpec.model_validate({})
    return controls.train_query(entry, *filled(PRESETS[0], entry, FIRST_IMAGES), usual_data)
