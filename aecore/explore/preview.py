"""The preview image that a run writes at every held-out evaluation."""

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
SEED = 20130612  # of the corruption and of the draws, the same for all previews


def preview_png(model: Model, entry: Entry, data: Data) -> bytes | None:
    """A PNG of ten columns of images, always of the same size for the same run; None for data that are no images.

    First row: fixed held-out images. Then, as far as the model is able to: a row of damaged images; a row of
    reconstructions; two rows of samples from fixed draws (one row for a model without decoder, where an image takes
    long).
    """
    if data.kind != "image":
        return None
    ids = np.resize(first(data.test, COLUMNS), COLUMNS)
    rows, able = [], cast(Any, model)
    with evaluating(model, SEED) as device:
        batch = data.test.batch(torch.from_numpy(ids))
        x = batch.x.to(device)
        conditions = (batch.attributes.to(device),) if model.attributes and batch.attributes is not None else ()
        rows.append(x)
        if {"encode", "decode"} <= entry.abilities:
            inputs = x
            if "corrupt" in entry.abilities:
                inputs = able.corrupt(x)
                rows.append(inputs)
            rows.append(able.decode(able.encode(inputs, *conditions), *conditions))
        if "sample" in entry.abilities:
            count = 2 * COLUMNS if "decode" in entry.abilities else COLUMNS  # pixel by pixel, each is expensive
            rows.append(able.sample(count, generator=generator(device, SEED)))
        sheet = torch.cat([row.float().cpu() for row in rows]).numpy()
    return png(grid(to_uint8(sheet, SIDE), COLUMNS), level=3)
