"""Speed of our loop against a bare one, and against pythae's trainer where it is installed, in one process.

Absolute numbers from a busy machine mean little. The ratios compare blocks of steps that alternate.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .. import data as datasets
from .. import device as devices
from ..catalog import entry, seeded_build
from ..data.base import Data, DataSpec
from ..data.sets import faces
from ..models.base import Model
from ..training.loop import Training
from ..training.plan import Plan, Precision
from .cases import BATCH, CASES, PROGRESS, bare, block_of, busy, chosen, ours, race


def refreshed(model: Model, data: Data) -> Model:
    """The model after one `on_epoch_start`, which then does nothing more: its time varies with the model's state."""
    with torch.no_grad():
        model.on_epoch_start(data.train, PROGRESS)
    model.on_epoch_start = lambda split, progress: None
    return model


def drawn(side: int, n: int = 1024) -> float:
    """How many faces are drawn in a second, on the CPU."""
    painter, (attributes, nuisance) = faces.Painter(side), map(torch.from_numpy, faces.draw(n, 0))
    painter.paint(attributes[:64], nuisance[:64])
    start = time.perf_counter()
    painter.paint(attributes, nuisance)
    return n / (time.perf_counter() - start)


def train_on() -> None:
    """A training that does not end, as the worker runs it beside the pages."""
    torch.set_num_threads(1)
    model = seeded_build(entry("vae"), (1, 28, 28), {}, 0)
    for _ in Training(model, datasets.load(DataSpec(name="digits")), Plan(epochs=10_000), "cpu"):
        pass


def pixel_by_pixel() -> dict[str, float]:
    """Drawing digits with a PixelCNN of default size, with cached features and with a whole pass for each pixel.

    "times": how many times as fast 16 digits are drawn with cached features.  "seconds", "beside": for 64 digits, alone
    and beside a training.
    """
    model: Any = seeded_build(entry("pixelcnn"), (1, 28, 28), {}, 0).eval()
    x = torch.bernoulli(torch.full((16, 1, 28, 28), 0.5))

    def seconds(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            work()
        return time.perf_counter() - start

    ratios, seconds_of_64 = [], []
    for _ in range(3):
        plain = 28 * 28 * statistics.median(seconds(lambda: model.outputs(x)) for _ in range(5))
        ratios.append(plain / seconds(lambda: model.sample(16)))
        seconds_of_64.append(seconds(lambda: model.sample(64)))
    training = multiprocessing.get_context("spawn").Process(target=train_on, daemon=True)
    training.start()
    time.sleep(15)  # it imports, and loads its data
    beside = [seconds(lambda: model.sample(64)) for _ in range(5)]
    alive = training.is_alive()
    training.terminate()
    if not alive:
        raise RuntimeError("The training beside which 64 digits were drawn has ended: its time says nothing.")
    ratio, slow, disturbed = (statistics.median(values) for values in (ratios, seconds_of_64, beside))
    return {"times": ratio, "seconds": slow, "beside": disturbed}


def from_a_graph() -> dict[str, float]:
    """Seconds for 64 digits by a PixelCNN of default size on the CUDA device.

    "first": kernel by kernel.  "capturing": while they are captured as a graph.  "replayed": from the graph.
    """
    models: list[Any] = [seeded_build(entry("pixelcnn"), (1, 28, 28), {}, 0).eval().cuda() for _ in range(2)]
    other, model = models

    def seconds(number: int) -> float:
        start = time.perf_counter()
        model.sample(64, generator=torch.Generator("cuda").manual_seed(number)).cpu()
        return time.perf_counter() - start

    other.sample(64)  # the libraries load
    first, capturing, *later = (seconds(number) for number in range(7))
    return {"first": first, "capturing": capturing, "replayed": statistics.median(later)}


def loops(data: Data, precision: Precision) -> Iterator[dict[str, Any]]:
    """Our loop beside a bare one, case by case: steps per second of both, and the ratio of their times."""
    for label, (key, params) in CASES.items():
        models = [refreshed(seeded_build(entry(key), data.shape, params, 0), data) for _ in range(2)]
        found = chosen(models[0], data, precision)
        loop = ours(models[0], data, found)
        fast, plain, ratio = race(loop, bare(models[1], data, found), block_of(loop))
        yield {"case": label, "precision": found, "ours": fast, "bare": plain, "ratio": ratio}


def main(as_json: bool = False, precision: Precision = "auto") -> None:
    """Print all speeds, as tables while they are measured, or at the end as one JSON object."""
    found: dict[str, Any] = {
        "device": devices.name(devices.best()),
        "processor": devices.processor(devices.best()),
        "threads": torch.get_num_threads(),
        "batch": BATCH,
        "warning": busy(),
    }

    def say(line: str) -> None:
        if not as_json:
            print(line, flush=True)

    data = datasets.load(DataSpec(name="digits"))
    say(f"{found['processor']}, {found['threads']} threads, batch {BATCH}, precision {precision}")
    say(f"{'':18}{'ours':>10}{'bare':>10}   time ours/bare (target: at most 1.05)")
    found["loops"] = []
    for row in loops(data, precision):
        found["loops"].append(row)
        say(f"{row['case']:18}{row['ours']:8.1f}/s{row['bare']:8.1f}/s   {row['ratio']:.3f}   {row['precision']}")
    found["faces"] = {"64": drawn(64), "32": drawn(32)}
    faces_drawn = found["faces"]
    say(
        f"faces drawn: {faces_drawn['64']:,.0f}/s at 64 × 64 (target: 1,500), "
        f"{faces_drawn['32']:,.0f}/s at 32 × 32 (target: 5,000)"
    )
    found["pixels"] = pixel_by_pixel()
    say(
        "16 digits drawn pixel by pixel: {times:.0f} times as fast as with a pass for each pixel (target: 100); "
        "64 digits in {seconds:.2f} s, beside a training in {beside:.2f} s (target: 1.5 s)".format_map(found["pixels"])
    )
    if torch.cuda.is_available():
        found["graph"] = from_a_graph()
        say(
            "64 digits drawn on the GPU: {first:.2f} s at first, {capturing:.2f} s while captured as a graph, "
            "{replayed:.3f} s from it (target: 0.5 s)".format_map(found["graph"])
        )
    if importlib.util.find_spec("pythae"):
        from . import pythae

        found["pythae"] = []
        say(f"{'':18}{'ours':>10}{'pythae':>10}   times as fast (target on a CPU: dense 1.9, convolutional 1.5)")
        for row in pythae.compare(data, precision):
            found["pythae"].append(row)
            say(f"{row['case']:18}{row['ours']:8.1f}/s{row['pythae']:8.1f}/s   {row['times']:.2f}   {row['precision']}")
    else:
        say("pythae is not installed here: pip install -r requirements-bench.txt to compare with it.")
    if found["warning"]:
        say(found["warning"])
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))


__all__ = ["bare", "busy", "main", "ours", "race"]
