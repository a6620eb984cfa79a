"""`python -m aecore.jobs.speed THREADS`: times configurations, a line of JSON each in and out, until its input ends."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from .. import DataError, FieldError, Plan, Training, device, entry
from ..catalog import seeded_build
from ..data.base import Batch, Data, DataSpec, Images
from ..explore.preview import preview_png
from ..training.loop import evaluate

SECONDS, STEPS, WARM, POOL = 0.6, 200, 3, 512


class Endless(Images):
    """A few made-up images that stand in for many: only the shape matters for the time."""

    def __len__(self) -> int:
        return 10_000

    def batch(self, index: torch.Tensor) -> Batch:
        return super().batch(index % len(self.pixels))

    def to(self, device: torch.device | str) -> Endless:
        return Endless(self.pixels.to(device), self.labels)


def measure(order: dict[str, Any], threads: int) -> dict[str, Any]:
    """Seconds of a minibatch, and of a held-out evaluation with its preview and weights."""
    which, shape = entry(order["model"]), tuple(order["shape"])
    labels = np.arange(POOL) % max(1, order["params"].get("classes", 0))
    split = Endless(torch.randint(0, 256, (POOL, *shape), dtype=torch.uint8), labels)
    data = Data(DataSpec(), "made up", shape, split, split, "")
    plan = Plan(epochs=10_000, batch=order["batch"], precision=order["precision"])  # so long that no evaluation comes
    training = Training(seeded_build(which, shape, order["params"], 0), data, plan)
    training.every = 1
    rows = iter(training)
    for _ in range(WARM):
        next(rows)
    draws, start = training.draws, time.perf_counter()
    for step, _ in enumerate(rows, 1):
        if step >= STEPS or time.perf_counter() - start > SECONDS:
            break
    draw = (time.perf_counter() - start) / (training.draws - draws)
    start = time.perf_counter()
    evaluate(training.model, data.test, order["held_out"])
    preview_png(training.model, which, data)
    name = device.name(training.device)
    where = name if training.device.type != "cpu" else f"{name}, {threads} thread{'s' * (threads > 1)}"
    return {"draw": draw, "evaluation": time.perf_counter() - start, "where": where}


def main() -> None:
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    with suppress(OSError, AttributeError):
        os.nice(5)  # as a training worker
    for line in sys.stdin:
        try:
            answer = measure(json.loads(line), threads)
        except (DataError, FieldError) as error:
            answer = {"trouble": str(error)}
        except (RuntimeError, MemoryError, ValueError) as error:
            answer = {"trouble": f"could not be measured ({str(error).splitlines()[0][:120]})"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
