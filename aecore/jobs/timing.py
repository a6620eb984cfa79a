"""Times a few training steps of one configuration, in a worker process (`worker_main`)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from .. import device as devices
from ..catalog import entry, seeded_build
from ..data.base import Batch, Data, DataSpec, Images
from ..errors import DataError, FieldError
from ..explore.preview import preview_png
from ..training.loop import Training, evaluate
from ..training.plan import Plan

SECONDS, STEPS = 0.6, 200  # what ends the timing, whichever comes first
WARM_UP_STEPS = 3
POOL = 512  # made-up images


class Endless(Images):
    """A few made-up images that stand in for many: only their shape matters for the time."""

    def __len__(self) -> int:
        return 10_000

    def batch(self, index: torch.Tensor) -> Batch:
        return super().batch(index % len(self.pixels))

    def to(self, device: torch.device | str) -> Endless:
        return Endless(self.pixels.to(device), self.labels)


def measure(order: dict[str, Any], threads: int, device: str | None = None) -> dict[str, Any]:
    """Fields of a `speed.Speed`; "trouble" alone where the configuration cannot be trained here.

    order: "model", "params", "shape", "batch", "precision" and "held_out".
    threads: how many torch uses, for the answer's text.  device: by default the best there is.
    """
    try:
        return _measure(order, threads, device)
    except (DataError, FieldError) as error:
        return {"trouble": str(error)}
    except (RuntimeError, MemoryError, ValueError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        return {"trouble": f"could not be measured ({first_line[:120]})"}


def _measure(order: dict[str, Any], threads: int, device: str | None) -> dict[str, Any]:
    """Seconds of a minibatch, and of a held-out evaluation with its preview."""
    model_entry, shape = entry(order["model"]), tuple(order["shape"])
    labels = np.arange(POOL) % max(1, order["params"].get("classes", 0))
    split = Endless(torch.randint(0, 256, (POOL, *shape), dtype=torch.uint8), labels)
    data = Data(DataSpec(), "made up", shape, split, split, "")
    plan = Plan(epochs=10_000, batch=order["batch"], precision=order["precision"])  # so long that no evaluation comes
    training = Training(seeded_build(model_entry, shape, order["params"], 0), data, plan, device)
    training.every = 1
    rows = iter(training)
    for _ in range(WARM_UP_STEPS):
        next(rows)
    draws, start = training.draws, time.perf_counter()
    for step, _ in enumerate(rows, 1):
        if step >= STEPS or time.perf_counter() - start > SECONDS:
            break
    draw = (time.perf_counter() - start) / (training.draws - draws)
    start = time.perf_counter()
    evaluate(training.model, data.test, order["held_out"])
    preview_png(training.model, model_entry, data)
    name = devices.name(training.device)
    where = name if training.device.type != "cpu" else f"{name}, {threads} thread{'s' * (threads > 1)}"
    return {"draw": draw, "evaluation": time.perf_counter() - start, "where": where}
