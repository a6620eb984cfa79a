"""One thread, a fresh seed and a run folder of its own for every test; small data to train on."""

from __future__ import annotations

import tests.typecheck  # noqa: F401  # before the core is imported

# isort: split
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import Tensor

from aecore.data.base import Batch, Data, DataSpec, Images, Split
from aecore.jobs.supervisor import Supervisor
from tests.chromium import PATIENCE, app, chromium

torch.set_num_threads(1)
expect.set_options(timeout=PATIENCE)


SLOWEST = (
    "journey_tasks",
    "before",
    "claims_autoregressive",
    "exhibits_closer",
    "claims_clustering",
    "pretrained",
    "claims_adversarial",
    "journey",
    "claims_variational",
    "drawing",
    "claims_inference",
    "claims_gan",
    "claims_hybrid",
    "claims_perceptual",
    "attributes_page",
    "claims_wasserstein",
    "browser_components",
    "faces",
    "jobs",
    "claims_plain",
    "stability",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, those with a browser beside those that train, so that workers end together."""
    place = {f"test_{name}": k for k, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


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


@pytest.fixture(scope="module")
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
