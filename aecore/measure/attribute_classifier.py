"""A judge of faces: a classifier that reads every attribute off an image, and everything else about a drawn face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
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
    """attributes: logits (B, A), positive where present.  nuisance: (B, N), about −1 to 1.  features: (B, FEATURES)."""

    attributes: Tensor
    nuisance: Tensor
    features: Tensor


class Judge(nn.Module):
    """x (B, C, H, W) in [0, 1] → `Readings`: four convolutions with batch normalisation, about 0.5 million weights.

    attributes: how many it reads.  nuisance: how many numbers besides, 0 for data that know of none.
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

    def forward(self, x: Tensor) -> Readings:
        h = self.features(self.trunk(x))
        return Readings(self.attributes(h), self.nuisance(h), h)


def fit(
    data: Data,
    steps: int = STEPS,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Judge:
    """A judge of these data's attributes, trained by cross-entropy; of drawn faces also on the rest.

    Some minutes on a CPU for images of 32 × 32. Raises DataError for data without attributes.
    """
    if not data.attributes:
        raise DataError(f"{data.title} has no attributes to judge by. Choose faces, or pictures with a table of them.")
    device = torch.device(device) if device else devices.best()
    rest = data.train.nuisance
    torch.manual_seed(seed)
    judge = Judge(data.shape, len(data.attributes), 0 if rest is None else rest.shape[1]).to(device)
    optimiser = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps)
    random = torch.Generator().manual_seed(seed)
    for step in range(steps):
        index = torch.randint(len(data.train), (BATCH,), generator=random)
        batch = data.train.batch(index)
        seen = judge((batch.x + 0.02 * torch.randn_like(batch.x)).to(device))
        loss = F.binary_cross_entropy_with_logits(seen.attributes, batch.attributes.to(device))
        if rest is not None:
            loss = loss + 0.3 * F.mse_loss(seen.nuisance, torch.from_numpy(rest[index.numpy()]).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress and step % 50 == 0:
            progress(step / steps, "A judge learns to read the attributes")
    return judge.cpu().eval().requires_grad_(False)


def read(judge: Judge, x: Tensor, size: int = 250) -> Readings:
    """Readings of images (n, C, H, W)."""
    with torch.no_grad():
        parts = [judge(part) for part in x.split(size)]
    return Readings(*(torch.cat(values) for values in zip(*parts, strict=True)))


class Accuracy(NamedTuple):
    """attributes: (A,) share read rightly.  nuisance: (N,) R² of the readings, 1 at best, 0 by chance."""

    attributes: np.ndarray
    nuisance: np.ndarray


def accuracy(judge: Judge, split: Split, limit: int = 5000) -> Accuracy:
    """How well it reads held-out examples."""
    ids = first(split, limit)
    rights, said, known = [], [], []
    for part in np.array_split(ids, max(1, len(ids) // 250)):
        batch = split.batch(torch.from_numpy(part))
        seen = read(judge, batch.x)
        rights.append(((seen.attributes > 0) == (batch.attributes > 0.5)).numpy())
        said.append(seen.nuisance.numpy())
        if split.nuisance is not None:
            known.append(split.nuisance[part])
    rest = r2(np.concatenate(known), np.concatenate(said)) if known else np.zeros(0)
    return Accuracy(np.concatenate(rights).mean(0), rest)


def r2(true: np.ndarray, said: np.ndarray) -> np.ndarray:
    """R² of each column: 1 − Σ(true − said)² / Σ(true − mean)²."""
    return 1 - np.square(true - said).sum(0) / np.square(true - true.mean(0)).sum(0)


def path_of(data: Data) -> Path:
    """Where the judge of these data lies."""
    from .. import paths

    grey = "-grey" if data.shape[0] == 1 else ""
    return paths.PRETRAINED / "judges" / f"{data.spec.name}-{data.shape[1]}{grey}.safetensors"


def save(judge: Judge, path: Path) -> None:
    """In 12 bits a weight (`packing`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(pack({name: value.contiguous() for name, value in judge.state_dict().items()}), path)


def judge_of(data: Data) -> Judge:
    """The judge of these data that comes with the program; DataError, with the remedy, where there is none."""
    path = path_of(data)
    rest = data.test.nuisance
    judge = Judge(data.shape, len(data.attributes), 0 if rest is None else rest.shape[1])
    try:
        judge.load_state_dict(unpack(load_file(path), {k: v.shape for k, v in judge.state_dict().items()}))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(
            f"There is no judge of {data.title} at {data.shape[1]} × {data.shape[2]} pixels. "
            "Train one with aecore.measure.attribute_classifier.fit and keep it with aecore.measure.attribute_classifier.save: some minutes."
        ) from error
    return judge.eval().requires_grad_(False)
