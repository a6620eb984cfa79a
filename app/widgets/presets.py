"""Settings that go together: what a class can wait for, what is usual, and what patience gives."""

from __future__ import annotations

from typing import Any, NamedTuple

from aecore import CATALOG, DataSpec, Plan
from aecore.models.entry import Entry
from app.widgets import params as controls

FIRST = "vae"  # what the Train page opens with


class Preset(NamedTuple):
    """params, plan: what it sets where the model has it.  images: how many are shown in all; the epochs follow."""

    title: str
    words: str
    images: int
    params: dict[str, Any]
    plan: dict[str, Any]


PRESETS = (
    Preset(
        "10 seconds on a laptop", "two numbers a code: a map at once", 80_000, {"code": 2, "net": "dense"}, {"lr": 2e-3}
    ),
    Preset("Good", "the usual settings", 400_000, {}, {}),
    Preset("Best", "convolutions, and patience", 1_000_000, {"net": "conv"}, {}),
)


def filled(preset: Preset, entry: Entry, images: int, kind: str = "image") -> tuple[dict[str, Any], Plan]:
    """A preset's parameters and plan for this model and so many training images."""
    possible = {name: value for name, value in preset.params.items() if name in entry.params}
    if kind != "image":
        possible.pop("net", None)
    epochs = min(1000, max(1, round(preset.images / images)))
    return entry.check(possible), Plan(**{**preset.plan, **entry.plan, "epochs": epochs})


def first_link() -> dict[str, str]:
    """The Train page with the first preset filled in: a two-unit code of the bundled digits."""
    entry = CATALOG[FIRST]
    return controls.train_query(entry, *filled(PRESETS[0], entry, 10_000), DataSpec())
