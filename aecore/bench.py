"""Speed, side by side in one process: our loop against a bare one, and against pythae's trainer where it is installed.

Absolute numbers of a busy machine mean little; the ratios are of blocks of steps that alternate.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from . import data as datasets
from . import device as devices
from .catalog import entry
from .data.base import Data, DataSpec
from .models.base import Model, total
from .runs import seeded_build
from .train import Plan, Training

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae, dense": ("vae", {"code": 16, "width": 512}),
    "vae, conv": ("vae", {"code": 16, "net": "conv", "width": 512}),
    "deep, dense": ("deep", {"code": 16, "width": 512}),
    "aae, dense": ("aae", {"code": 2, "width": 512}),
}
BATCH = 128
ROW = 6  # steps between two rows, a few more rows than usual; blocks are multiples, so that they end with a row
Stepper = Callable[[int], None]


def ours(model: Model, data: Data, precision: str) -> Stepper:
    """n steps of our loop, a multiple of ROW; rows included, held-out evaluations left out."""
    training = Training(model, data, Plan(epochs=10_000, batch=BATCH, precision=precision, decay=False))
    training.marks = []
    training.every = ROW
    rows = iter(training)

    def steps(n: int) -> None:
        while n > 0:
            before = training.step
            next(rows)
            n -= training.step - before

    return steps


def bare(model: Model, data: Data, precision: str) -> Stepper:
    """n steps of the loop that one would write by hand for this model: no rows, no checks, no schedule, no clipping."""
    device = devices.best()
    convolves = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    layout = torch.channels_last if convolves else torch.contiguous_format
    model = model.to(device, memory_format=layout).train()
    data = data.to(device)
    players = model.players(1.0)
    optimisers = {}
    for name, player in players.items():
        own = [p for network in player.networks for p in network.parameters()]
        fused = device.type in ("cpu", "cuda")
        optimisers[name] = (own, torch.optim.Adam(own, lr=1e-3, betas=player.betas, fused=fused))
    order = torch.randperm(len(data.train), device=device)
    position = 0

    def steps(n: int) -> None:
        nonlocal order, position
        for _ in range(n):
            if position + BATCH > len(order):
                order, position = torch.randperm(len(order), device=device), 0
            batch = data.train.batch(order[position : position + BATCH])
            batch = batch._replace(x=batch.x.contiguous(memory_format=layout))
            position += BATCH
            with devices.autocast(device, precision):
                terms = model.terms(batch, tuple(players))
            gradients = {}
            for name, player in players.items():
                gradients[name] = torch.autograd.grad(
                    total(terms, player.weights), optimisers[name][0], retain_graph=True, allow_unused=True
                )
            for name, (own, optimiser) in optimisers.items():
                for parameter, gradient in zip(own, gradients[name], strict=True):
                    parameter.grad = gradient
                optimiser.step()
                optimiser.zero_grad()

    return steps


def race(a: Stepper, b: Stepper, block: int = 60, rounds: int = 7) -> tuple[float, float, float]:
    """Median steps per second of a and b, and the median over rounds of (time of a / time of b)."""

    def clock(steps: Stepper) -> float:
        start = time.perf_counter()
        steps(block)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / block

    if block % ROW:
        raise ValueError(f"a block of {block} steps does not end with a row: give a multiple of {ROW}")
    a(ROW), b(ROW)
    pairs = [(clock(a), clock(b)) if turn % 2 else (clock(b), clock(a))[::-1] for turn in range(rounds)]
    return (
        1 / statistics.median(first for first, _ in pairs),
        1 / statistics.median(second for _, second in pairs),
        statistics.median(first / second for first, second in pairs),
    )


def busy() -> str:
    """A warning when other programs were using the machine, else nothing."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    words = f"The machine was busy (load {load:.1f} on {cores} cores): trust the ratios, not the speeds."
    return words if load > 1 else ""


def main(precision: str = "auto") -> None:
    warning = busy()
    data = datasets.load(DataSpec(name="digits"))
    print(f"{devices.name(devices.best())}, {torch.get_num_threads()} threads, batch {BATCH}, precision {precision}")
    print(f"{'':14}{'ours':>10}{'bare':>10}   time ours/bare (target: at most 1.05)")
    for label, (key, params) in CASES.items():
        models = [seeded_build(entry(key), data.shape, params, 0) for _ in range(2)]
        fast, plain, ratio = race(ours(models[0], data, precision), bare(models[1], data, precision))
        print(f"{label:14}{fast:8.1f}/s{plain:8.1f}/s   {ratio:.3f}")
    if importlib.util.find_spec("pythae"):
        from . import bench_pythae

        bench_pythae.main(data, precision)
    else:
        print("pythae is not installed here: pip install -r requirements-bench.txt to compare with it.")
    if warning:
        print(warning)


__all__ = ["bare", "busy", "main", "ours", "race"]
