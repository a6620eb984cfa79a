"""Speed, side by side in one process: our loop against a bare one, and against pythae's trainer where it is installed.

Absolute numbers of a busy machine mean little; the ratios are of blocks of steps that alternate.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from . import data as datasets
from . import device as devices
from .catalog import entry
from .data import faces
from .data.base import Data, DataSpec
from .models.base import Model, total
from .runs import seeded_build
from .train import Plan, Training

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
"""One or more of each family; those named "dense" or "conv" with networks that pythae can be given too."""
BATCH = 128
PROGRESS = 0.9  # of a training by stages: the last one
SECONDS = 1.0  # about, that one block of steps takes
ROW = 6  # steps between two rows, a few more rows than usual; blocks are multiples, so that they end with a row
Stepper = Callable[[int], None]


def ours(model: Model, data: Data, precision: str) -> Stepper:
    """n steps of our loop, a multiple of ROW; rows included, held-out evaluations left out."""
    training = Training(model, data, Plan(epochs=10_000, batch=BATCH, precision=precision, decay=False))
    training.marks = []
    training.every = ROW
    training.draws = int(PROGRESS * training.plan.epochs) * training.per_epoch
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
    players, turns = model.players(PROGRESS), model.turns(PROGRESS)
    optimisers = {}
    for name, player in players.items():
        own = [p for network in player.networks for p in network.parameters()]
        fused = device.type in ("cpu", "cuda")
        optimisers[name] = (own, torch.optim.Adam(own, lr=1e-3, betas=player.betas, fused=fused))
    order = torch.randperm(len(data.train), device=device)
    position = 0

    def steps(n: int) -> None:
        nonlocal order, position
        for turn in turns * n:
            if position + BATCH > len(order):
                order, position = torch.randperm(len(order), device=device), 0
            batch = data.train.batch(order[position : position + BATCH])
            batch = batch._replace(x=batch.x.contiguous(memory_format=layout))
            position += BATCH
            with devices.autocast(device, precision):
                terms = model.terms(batch, turn)
            gradients = {
                name: torch.autograd.grad(
                    total(terms, players[name].weights), optimisers[name][0], retain_graph=True, allow_unused=True
                )
                for name in turn
            }
            for name in turn:
                own, optimiser = optimisers[name]
                for parameter, gradient in zip(own, gradients[name], strict=True):
                    parameter.grad = gradient
                optimiser.step()
                optimiser.zero_grad()
                model.project(name)

    return steps


def block_of(steps: Stepper) -> int:
    """How many steps take about SECONDS, as a multiple of ROW; the first steps, which are slow, are not counted."""
    steps(ROW)
    start = time.perf_counter()
    steps(ROW)
    return ROW * max(1, min(10, round(SECONDS / (time.perf_counter() - start))))


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


def refreshed(model: Model, data: Data) -> Model:
    """A model that has looked at all examples once and does not again: how long that takes varies with its state."""
    with torch.no_grad():
        model.refresh(data.train, PROGRESS)
    model.refresh = lambda split, progress: None
    return model


def busy() -> str:
    """A warning when other programs were using the machine, else nothing."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    words = f"The machine was busy (load {load:.1f} on {cores} cores): trust the ratios, not the speeds."
    return words if load > 1 else ""


def drawn(side: int, n: int = 1024) -> float:
    """Faces a second, on the CPU."""
    painter, (attributes, rest) = faces.Painter(side), map(torch.from_numpy, faces.draw(n, 0))
    painter.paint(attributes[:64], rest[:64])
    start = time.perf_counter()
    painter.paint(attributes, rest)
    return n / (time.perf_counter() - start)


def train_on() -> None:
    """A training that does not end, as the worker runs it beside the pages."""
    torch.set_num_threads(1)
    model = seeded_build(entry("vae"), (1, 28, 28), {}, 0)
    for _ in Training(model, datasets.load(DataSpec(name="digits")), Plan(epochs=10_000), "cpu"):
        pass


def pixel_by_pixel() -> str:
    """Drawing digits with a PixelCNN of default size: what is kept and what is computed anew, side by side."""
    model = seeded_build(entry("pixelcnn"), (1, 28, 28), {}, 0).eval()
    x = torch.bernoulli(torch.full((16, 1, 28, 28), 0.5))

    def seconds(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            work()
        return time.perf_counter() - start

    ratios, many = [], []
    for _ in range(3):
        plain = 28 * 28 * statistics.median(seconds(lambda: model.outputs(x)) for _ in range(5))
        ratios.append(plain / seconds(lambda: model.sample(16)))
        many.append(seconds(lambda: model.sample(64)))
    training = multiprocessing.get_context("spawn").Process(target=train_on, daemon=True)
    training.start()
    time.sleep(15)  # it imports, and loads its data
    beside = [seconds(lambda: model.sample(64)) for _ in range(5)]
    alive = training.is_alive()
    training.terminate()
    if not alive:
        raise RuntimeError("The training beside which 64 digits were drawn has ended: its time says nothing.")
    ratio, slow, disturbed = (statistics.median(values) for values in (ratios, many, beside))
    return (
        f"16 digits drawn pixel by pixel: {ratio:.0f} times as fast as with a pass for each pixel (target: 100); "
        f"64 digits in {slow:.2f} s, beside a training in {disturbed:.2f} s (target: 1.5 s)"
    )


def from_a_graph() -> str:
    """64 digits by a PixelCNN of default size on the CUDA device: kernel by kernel, and from the captured graph."""
    other, model = (seeded_build(entry("pixelcnn"), (1, 28, 28), {}, 0).eval().cuda() for _ in range(2))

    def seconds(number: int) -> float:
        start = time.perf_counter()
        model.sample(64, generator=torch.Generator("cuda").manual_seed(number)).cpu()
        return time.perf_counter() - start

    other.sample(64)  # the libraries load
    first, capturing, *later = (seconds(number) for number in range(7))
    return (
        f"64 digits drawn on {devices.name(devices.best())}: {first:.2f} s at first, {capturing:.2f} s while captured "
        f"as a graph, {statistics.median(later):.3f} s from it (target: 0.5 s)"
    )


def main(precision: str = "auto") -> None:
    warning = busy()
    data = datasets.load(DataSpec(name="digits"))
    print(f"{devices.name(devices.best())}, {torch.get_num_threads()} threads, batch {BATCH}, precision {precision}")
    print(f"{'':18}{'ours':>10}{'bare':>10}   time ours/bare (target: at most 1.05)")
    for label, (key, params) in CASES.items():
        models = [refreshed(seeded_build(entry(key), data.shape, params, 0), data) for _ in range(2)]
        loop = ours(models[0], data, precision)
        fast, plain, ratio = race(loop, bare(models[1], data, precision), block_of(loop))
        print(f"{label:18}{fast:8.1f}/s{plain:8.1f}/s   {ratio:.3f}", flush=True)
    print(f"faces drawn: {drawn(64):,.0f}/s at 64 × 64 (target: 1,500), {drawn(32):,.0f}/s at 32 × 32 (target: 5,000)")
    print(pixel_by_pixel())
    if torch.cuda.is_available():
        print(from_a_graph())
    if importlib.util.find_spec("pythae"):
        from . import bench_pythae

        bench_pythae.main(data, precision)
    else:
        print("pythae is not installed here: pip install -r requirements-bench.txt to compare with it.")
    if warning:
        print(warning)


__all__ = ["bare", "busy", "main", "ours", "race"]
