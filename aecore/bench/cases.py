"""What is timed, and how: configurations, a bare training loop to compare with, and races in alternating blocks."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from .. import device as devices
from ..data.base import Data
from ..models.base import Model, total
from ..training.loop import Training
from ..training.plan import Plan, Precision

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "deep, dense": ("deep", {"code": 16}),
    "stacked": ("stacked", {}),
    "contractive": ("contractive", {}),
    "vae, dense": ("vae", {"code": 16, "width": 512}),
    "vae, conv": ("vae", {"code": 16, "net": "conv", "width": 512}),
    "beta_vae, dense": ("beta_vae", {"code": 16, "width": 512}),
    "iwae, dense": ("iwae", {"code": 16, "width": 512, "K": 5}),
    "aae, dense": ("aae", {"code": 2, "width": 512, "gamma": 0.0}),  # pythae's critic has no slope held down
    "wae_mmd, dense": ("wae_mmd", {"code": 16, "width": 512, "net": "dense"}),
    "wae_gan": ("wae_gan", {}),
    "ali": ("ali", {}),
    "gan": ("gan", {}),
    "wgan": ("wgan", {}),
    "vae_gan, dense": ("vae_gan", {"code": 16, "width": 512, "net": "dense"}),
    "gmm_gan": ("gmm_gan", {}),
    "dfc_vae": ("dfc_vae", {}),
    "pixelcnn": ("pixelcnn", {}),
    "dcec": ("dcec", {}),
    "vq_vae": ("vq_vae", {}),
    "attribute_ali": ("attribute_ali", {}),
}
"""One or more models of each family. Those named "dense" or "conv" have networks that pythae can use, too."""

BATCH = 128
PROGRESS = 0.9  # of a training by stages: in the last one
SECONDS = 0.3  # about how long one block of steps takes
ROUNDS = 3, 7  # pairs of blocks in a race, at least and at most
RACE_SECONDS = 3.0  # about how long a race takes, if the fewest rounds allow it
ROW = 6  # steps between two rows, somewhat fewer than usual; blocks are multiples, so that they end with a row

Stepper = Callable[[int], None]


def chosen(model: Model, data: Data, precision: Precision) -> devices.Chosen:
    """In what our loop trains this model here, for "auto" too."""
    return Training(model, data, Plan(batch=BATCH, precision=precision)).precision


def ours(model: Model, data: Data, precision: devices.Chosen) -> Stepper:
    """A function that does n steps of our loop, a multiple of ROW, with rows and without held-out evaluations."""
    training = Training(model, data, Plan(epochs=10_000, batch=BATCH, precision=precision, decay=False))
    training.eval_steps = []
    training.every = ROW
    training.draws = int(PROGRESS * training.plan.epochs) * training.per_epoch
    rows = iter(training)

    def steps(n: int) -> None:
        while n > 0:
            before = training.step
            next(rows)
            n -= training.step - before

    return steps


def bare(model: Model, data: Data, precision: devices.Chosen) -> Stepper:
    """A function that does n steps of a hand-written loop: no rows, no checks, no schedule, no clipping."""
    device = devices.best()
    convolves = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    layout = torch.channels_last if convolves else torch.contiguous_format
    module: Any = model  # the type of `to` in torch knows no memory_format
    model = module.to(device, memory_format=layout).train()
    data = data.to(device)
    model.on_step_start(PROGRESS)
    players, schedule = model.players(PROGRESS), model.update_schedule(PROGRESS)
    optimisers = {}
    for name, player in players.items():
        parameters = [p for network in player.networks for p in network.parameters()]
        fused = device.type in ("cpu", "cuda")
        optimisers[name] = (parameters, torch.optim.Adam(parameters, lr=1e-3, betas=player.betas, fused=fused))
    order = torch.randperm(len(data.train), device=device)
    position = 0

    def steps(n: int) -> None:
        nonlocal order, position
        for names in schedule * n:
            if position + BATCH > len(order):
                order, position = torch.randperm(len(order), device=device), 0
            batch = data.train.batch(order[position : position + BATCH])
            batch = batch._replace(x=batch.x.contiguous(memory_format=layout))
            position += BATCH
            with devices.autocast(device, precision):
                terms = model.terms(batch, names)
            gradients = {
                name: torch.autograd.grad(
                    total(terms, players[name].weights), optimisers[name][0], retain_graph=True, allow_unused=True
                )
                for name in names
            }
            for name in names:
                parameters, optimiser = optimisers[name]
                for parameter, gradient in zip(parameters, gradients[name], strict=True):
                    parameter.grad = gradient
                optimiser.step()
                optimiser.zero_grad()
                model.after_step(name)

    return steps


def block_of(steps: Stepper) -> int:
    """How many steps take about SECONDS, as a multiple of ROW. The first steps are slow, and not counted."""
    steps(ROW)
    start = time.perf_counter()
    steps(ROW)
    return ROW * max(1, min(10, round(SECONDS / (time.perf_counter() - start))))


def race(a: Stepper, b: Stepper, block: int = 60) -> tuple[float, float, float]:
    """Median steps per second of a and b, and the median over rounds of (time of a / time of b)."""

    def clock(steps: Stepper) -> float:
        start = time.perf_counter()
        steps(block)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / block

    if block % ROW:
        raise ValueError(f"a block of {block} steps does not end with a row: give a multiple of {ROW}")
    a(block)
    b(block)
    pairs: list[tuple[float, float]] = []
    least, most = ROUNDS
    start = time.perf_counter()
    while len(pairs) < least or (len(pairs) < most and time.perf_counter() - start < RACE_SECONDS):
        pairs.append((clock(a), clock(b)) if len(pairs) % 2 else (clock(b), clock(a))[::-1])
    return (
        1 / statistics.median(first for first, _ in pairs),
        1 / statistics.median(second for _, second in pairs),
        statistics.median(first / second for first, second in pairs),
    )


def busy() -> str:
    """A sentence of warning where other programs used the machine, else ""."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    warning = f"The machine was busy (load {load:.1f} on {cores} cores): trust the ratios, not the speeds."
    return warning if load > 1 else ""
