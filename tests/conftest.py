"""One thread, a fresh seed and a run folder of its own for every test; small data to train on."""

from __future__ import annotations

import tests.typecheck  # noqa: F401  # before the core is imported

# isort: split
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _pytest.mark.expression import Expression
from playwright.sync_api import expect
from torch import Tensor

from aecore.data.base import Batch, Data, DataSpec, Images, Split
from aecore.jobs.supervisor import Supervisor
from tests.chromium import CHROMIUM, PATIENCE, app, chromium

torch.set_num_threads(1)
expect.set_options(timeout=PATIENCE)


DURATIONS = Path(__file__).parent / "durations.json"  # seconds of each test that takes half a second or more
NOTABLE, USUAL = 0.5, 0.05  # seconds: which durations are recorded, and what is assumed of other tests

# No test sees this computer's data, caches or settings, nor do the processes that tests start.
OWN = tempfile.mkdtemp(prefix="tests-")
FOLDERS = {
    name: f"{OWN}/{name.lower()}"
    for name in (
        "HOME",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "TORCH_HOME",
        "AECORE_CACHE",
        "AECORE_DATA",
        "AECORE_RUNS",
    )
}
os.environ |= FOLDERS | {"AECORE_ISOLATED": "1", "AECORE_PRECISION": "fp32"}
for folder in FOLDERS.values():
    os.makedirs(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help=f"write {DURATIONS.name} anew from these tests")


def pytest_unconfigure() -> None:
    shutil.rmtree(OWN, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and put files first that took long, so that all workers end at about the same time."""
    seconds = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
    of_file: dict[Path, float] = defaultdict(float)
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
        if CHROMIUM is None and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no chromium found: install Debian's chromium to run this"))
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))
    chosen = [item for item in items if selected(item)]
    for item in chosen:
        of_file[item.path] += seconds.get(item.nodeid, USUAL)
    items.sort(key=lambda item: -of_file[item.path])


def selected(item: pytest.Item) -> bool:
    """Whether the lane that was asked for by -m includes this test."""
    expression = item.config.getoption("-m")
    names = {marker.name for marker in item.iter_markers()}
    return not expression or Expression.compile(expression).evaluate(lambda name, **_: name in names)


class Recorder:
    """Adds up the time that set-up, call and tear-down of each test take."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        found = {name: round(spent, 1) for name, spent in sorted(self.seconds.items()) if spent >= NOTABLE}
        DURATIONS.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder())


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """What a test draws, and the runs it makes, are its own."""
    monkeypatch.setenv("AECORE_RUNS", str(tmp_path / "runs"))
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """Pages that are opened in a test's own process start no workers: each would live as long as that process."""
    monkeypatch.setattr(Supervisor, "start", lambda self: self)


@pytest.fixture
def no_downloads(monkeypatch):
    """torchvision's nets with random weights: their files are not part of the project."""
    from torchvision import models

    layers = {
        "mobilenet_v2": lambda: models.mobilenet_v2(weights=None).features,
        "vgg19": lambda: models.vgg.make_layers(models.vgg.cfgs["E"]),
        "vgg19_bn": lambda: models.vgg.make_layers(models.vgg.cfgs["E"], batch_norm=True),
    }
    monkeypatch.setattr(models, "get_model", lambda name, weights: SimpleNamespace(features=layers[name]()))


@pytest.fixture(scope="session")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of an app that runs for one module's tests, with a folder of runs of its own."""
    folder = tmp_path_factory.mktemp("app") / "runs"
    folder.mkdir()
    with app(folder) as found:
        yield found


@pytest.fixture
def tab(browser):
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    yield page
    context.close()


class Table(Split):
    """A split of vectors, with a mask where not everything was observed."""

    def __init__(self, x: Tensor, mask: Tensor | None = None):
        self.x, self.mask = x, mask

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self.x.device)
        return Batch(self.x[index], None, None if self.mask is None else self.mask[index])

    def to(self, device: torch.device | str) -> Table:
        there = copy(self)
        there.x, there.mask = self.x.to(device), None if self.mask is None else self.mask.to(device)
        return there


def images(shape: tuple[int, int, int] = (1, 8, 8), n: int = 32) -> Data:
    """Smooth random images, n to train on and n held out."""
    coarse = torch.rand(2 * n, shape[0], 4, 4, generator=torch.Generator().manual_seed(1))
    pixels = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear").mul(255).to(torch.uint8)
    labels = np.arange(n) % 2
    return Data(
        DataSpec(name="digits"),
        "made",
        shape,
        Images(pixels[:n], labels),
        Images(pixels[n:], labels),
        "made",
        classes=("even", "odd"),
    )


def vectors(size: int = 12, n: int = 32) -> Data:
    x = torch.rand(2 * n, size, generator=torch.Generator().manual_seed(1))
    return Data(DataSpec(name="digits"), "made", (size,), Table(x[:n]), Table(x[n:]), "made")


def ratings(items: int = 12, n: int = 32) -> Data:
    """Ratings from 1 to 5, a third of them observed."""
    generator = torch.Generator().manual_seed(1)
    r = torch.randint(1, 6, (2 * n, items), generator=generator).float()
    mask = (torch.rand(2 * n, items, generator=generator) < 1 / 3).float()
    r = r * mask
    return Data(DataSpec(name="digits"), "made", (items,), Table(r[:n], mask[:n]), Table(r[n:], mask[n:]), "made")


def with_attributes(data: Data, count: int) -> Data:
    """Images that also have so many random attributes."""
    random = np.random.default_rng(0)
    halves = (
        Images(half.pixels, half.labels, random.integers(0, 2, (len(half), count)).astype(np.float32))
        for half in (data.train, data.test)
    )
    train, test = halves
    return replace(data, train=train, test=test, attributes=tuple(f"has {k}" for k in range(count)))


MADE: dict[str, Callable[[], Data]] = {"image": images, "vector": vectors, "ratings": ratings}
