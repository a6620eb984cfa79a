"""The picture a run leaves at every held-out evaluation."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from ..data.base import Data
from ..inference import evaluating, first, generator
from ..models.base import Model
from ..models.entry import Entry
from .images import grid, png, to_uint8

COLUMNS = 10
SIDE = 64
SEED = 20130612  # of the corruption and of the draws: the same at every call of every run


def preview_png(model: Model, entry: Entry, data: Data) -> bytes | None:
    """A sheet of ten columns as PNG, always of the same size for the same run; None for what is no image.

    First row: fixed held-out images; then, where the model damages its input, the damaged ones; then the
    reconstructions; then two rows of samples from fixed draws, where it samples (one row of what has no decoder).
    Gaps are 2 pixels.
    """
    if data.kind != "image":
        return None
    ids = np.resize(first(data.test, COLUMNS), COLUMNS)
    rows, able = [], cast(Any, model)  # what it can do, its entry says
    with evaluating(model, SEED) as device:
        batch = data.test.batch(torch.from_numpy(ids))
        x, told = batch.x.to(device), (batch.attributes.to(device),) if model.attributes else ()
        rows.append(x)
        if {"encode", "decode"} <= entry.abilities:
            seen = x
            if "corrupt" in entry.abilities:
                seen = able.corrupt(x)
                rows.append(seen)
            rows.append(able.decode(able.encode(seen, *told), *told))
        if "sample" in entry.abilities:
            count = 2 * COLUMNS if "decode" in entry.abilities else COLUMNS  # pixel by pixel, each is expensive
            rows.append(able.sample(count, generator=generator(device, SEED)))
        sheet = torch.cat([row.float().cpu() for row in rows]).numpy()
    return png(grid(to_uint8(sheet, SIDE), COLUMNS), level=3)
