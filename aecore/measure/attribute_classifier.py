"""A judge of faces: a classifier of every attribute, and a regression of everything else about a drawn face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from .. import device as devices
from ..data.base import Data, Split
from ..errors import DataError
from ..inference import first
from ..nn.quantize import pack, unpack

FEATURES = 128
STEPS, BATCH, RATE = 2000, 128, 2e-3


class Readings(NamedTuple):
    """What a judge reads from images.

    attributes: logits (B, A), positive where present.  nuisance: (B, N), about −1 to 1.  features: (B, FEATURES).
    """

    attributes: Float[Tensor, "B A"]
    nuisance: Float[Tensor, "B N"]
    features: Float[Tensor, "B F"]


class Judge(nn.Module):
    """x (B, C, H, W) in [0, 1] → `Readings`: four convolutions with batch normalisation, about 0.5 million weights.

    attributes: how many it reads.  nuisance: how many other numbers it reads, 0 where the data do not know them.
    """

    def __init__(self, shape: tuple[int, ...], attributes: int, nuisance: int = 0):
        super().__init__()
        self.shape = tuple(shape)
        layers: list[nn.Module] = []
        channels, side, width = shape[0], min(shape[1:]), 32
        while side > 4 or not layers:
            # The first convolution of small images keeps their size: a mustache is three pixels wide.
            stride = 1 if not layers and side <= 32 else 2
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
            channels, side, width = width, -(-side // stride), min(128, 2 * width)
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            size = self.trunk.eval()(torch.zeros(1, *shape)).shape[1]
        self.train()
        self.features = nn.Sequential(nn.Linear(size, FEATURES), nn.ReLU())
        self.attributes = nn.Linear(FEATURES, attributes)
        self.nuisance = nn.Linear(FEATURES, nuisance)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Readings:
        h = self.features(self.trunk(x))
        return Readings(self.attributes(h), self.nuisance(h), h)


def fit(
    data: Data,
    steps: int = STEPS,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Judge:
    """A judge of these data's attributes, trained by cross-entropy; for drawn faces also on the nuisance.

    Some minutes on a CPU for images of 32 × 32. Raises DataError for data without attributes.
    """
    if not data.attributes:
        raise DataError(f"{data.title} has no attributes to judge by. Choose faces, or pictures with a table of them.")
    device = torch.device(device) if device else devices.best()
    nuisance = data.train.nuisance
    torch.manual_seed(seed)
    judge = Judge(data.shape, len(data.attributes), 0 if nuisance is None else nuisance.shape[1]).to(device)
    optimiser = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps)
    random = torch.Generator().manual_seed(seed)
    for step in range(steps):
        index = torch.randint(len(data.train), (BATCH,), generator=random)
        batch = data.train.batch(index)
        assert batch.attributes is not None
        readings = judge((batch.x + 0.02 * torch.randn_like(batch.x)).to(device))
        loss = F.binary_cross_entropy_with_logits(readings.attributes, batch.attributes.to(device))
        if nuisance is not None:
            loss = loss + 0.3 * F.mse_loss(readings.nuisance, torch.from_numpy(nuisance[index.numpy()]).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress and step % 50 == 0:
            progress(step / steps, "A judge learns to read the attributes")
    return judge.cpu().eval().requires_grad_(False)


def read(judge: Judge, x: Float[Tensor, "n C H W"], size: int = 250) -> Readings:
    """Readings of images (n, C, H, W), `size` of them at once."""
    with torch.no_grad():
        parts = [judge(part) for part in x.split(size)]
    return Readings(*(torch.cat(values) for values in zip(*parts, strict=True)))


class Accuracy(NamedTuple):
    """How well a judge reads.

    attributes: (A,) the share of correct readings.  nuisance: (N,) R² of the readings: 1 at best, 0 by chance.
    """

    attributes: Float[np.ndarray, " A"]
    nuisance: Float[np.ndarray, " N"]


def accuracy(judge: Judge, split: Split, limit: int = 5000) -> Accuracy:
    """How well a judge reads the first `limit` examples of a split with attributes."""
    ids = first(split, limit)
    correct: list[Bool[np.ndarray, "b A"]] = []
    nuisance = []
    for part in np.array_split(ids, max(1, len(ids) // 250)):
        batch = split.batch(torch.from_numpy(part))
        assert batch.attributes is not None
        readings = read(judge, batch.x)
        correct.append(((readings.attributes > 0) == (batch.attributes > 0.5)).numpy())
        nuisance.append(readings.nuisance.numpy())
    r2_nuisance = np.zeros(0) if split.nuisance is None else r2(split.nuisance[ids], np.concatenate(nuisance))
    return Accuracy(np.concatenate(correct).mean(0), r2_nuisance)


def r2(true: Float[np.ndarray, "n N"], predicted: Float[np.ndarray, "n N"]) -> Float[np.ndarray, " N"]:
    """R² of each column: 1 − Σ(true − predicted)² / Σ(true − mean)²."""
    return 1 - np.square(true - predicted).sum(0) / np.square(true - true.mean(0)).sum(0)


def path_of(data: Data) -> Path:
    """The file with the weights of the judge of these data."""
    from .. import paths

    grey = "-grey" if data.shape[0] == 1 else ""
    return paths.PRETRAINED / "judges" / f"{data.spec.name}-{data.shape[1]}{grey}.safetensors"


def save(judge: Judge, path: Path) -> None:
    """Write the judge's weights, in 12 bits each (`nn.quantize`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(pack({name: value.contiguous() for name, value in judge.state_dict().items()}), path)


def judge_of(data: Data) -> Judge:
    """The judge of these data that comes with the program; DataError, with the remedy, where there is none."""
    path = path_of(data)
    nuisance = data.test.nuisance
    judge = Judge(data.shape, len(data.attributes), 0 if nuisance is None else nuisance.shape[1])
    try:
        judge.load_state_dict(unpack(load_file(path), {k: v.shape for k, v in judge.state_dict().items()}))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(
            f"There is no judge of {data.title} at {data.shape[1]} × {data.shape[2]} pixels. "
            "Train one with aecore.measure.attribute_classifier.fit and keep it with its `save`: some minutes."
        ) from error
    return judge.eval().requires_grad_(False)
