"""Sprites with known factors: an image is drawn from its factors when it is asked for; none is stored.

A shape (square, ellipse, heart) at 6 scales, 40 orientations and 32 × 32 positions: 737,280 binary images
of 64 × 64 pixels, with the structure of dSprites.

Source: Matthey, Higgins, Hassabis, Lerchner (2017), dSprites: Disentanglement testing Sprites dataset,
https://github.com/deepmind/dsprites-dataset.
Departures: the images are drawn anew from geometry (a pixel is on when its centre lies inside the outline), so that
single pixels at outlines may differ from the published file. Above 64 pixels, outlines are drawn finer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..base import Batch, Data, DataSpec, Split, choose
from ..places import Info, Progress
from .heart import LOWER, UPPER

FACTORS = ("shape", "scale", "orientation", "x", "y")
SIZES = (3, 6, 40, 32, 32)
"""How many values each factor has. The last factor changes fastest along the indices."""

N = math.prod(SIZES)
TEST = 10_000
SIDE = 64
SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1, 6)
ANGLES = np.linspace(0, 2 * np.pi, 40)  # the last equals the first, as in dSprites
POSITIONS = np.linspace(0, 1, 32)
HALF_SIDE, LONG, SHORT = 9.6, 12.76, 7.22
REACH = 14
"""No shape reaches further than this from its centre, in pixels of a 64 × 64 image: a corner of the square has 13.6."""

TITLE = "Sprites (drawn, known factors)"
SOURCE = "Drawn on this computer while they are used."
ATTRIBUTION = "After dSprites, Matthey, Higgins, Hassabis and Lerchner (2017), Apache License 2.0; drawn anew"


def to_factors(index: Tensor) -> Tensor:
    """The factors of images of the whole set, in the order of FACTORS.

    index: (B,) long in [0, 737280). Returns (B, 5) long.
    """
    columns = []
    for size in reversed(SIZES):
        columns.append(index % size)
        index = index // size
    return torch.stack(columns[::-1], dim=1)


def to_index(factors: Tensor) -> Tensor:
    """The inverse of `to_factors`: (B, 5) long -> (B,) long."""
    index = torch.zeros_like(factors[:, 0])
    for column, size in zip(factors.unbind(1), SIZES, strict=True):
        index = index * size + column
    return index


class Canvas:
    """Draws sprites of size × size pixels on one device.

    A pixel p of the window around a sprite's centre c is on when R(-θ)(p - c) / scale lies inside the outline. y points
    down, and θ turns counter-clockwise on the screen. Images of fewer than 64 pixels are drawn with 64 pixels, then
    averaged over areas, so that they hold grey values.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu"):
        self.size = size
        self.grid = max(size, SIDE)
        self.pixel = SIDE / self.grid
        reach = math.ceil(REACH / self.pixel)

        def table(values: np.ndarray) -> Tensor:
            return torch.tensor(np.asarray(values), dtype=torch.float32, device=device)

        self.scale, self.cos, self.sin = table(SCALES), table(np.cos(ANGLES)), table(np.sin(ANGLES))
        centres = (SIDE / 4 + SIDE / 2 * POSITIONS) / self.pixel  # in pixels of the grid
        self.first = torch.tensor(np.floor(centres).astype(np.int64) - reach, device=device)
        self.offset = table(self.first.cpu().numpy() + 0.5 - centres)  # centre -> first pixel of the window
        self.window = torch.arange(2 * reach, device=device)
        self.upper, self.lower = _chain(UPPER, table), _chain(LOWER, table)
        self.average = table(_overlap(self.grid, size)) if size < self.grid else None

    def render(self, factors: Tensor) -> Tensor:
        """Images (B, 1, size, size) float32 of these factors (B, 5) long: in [0, 1], from 64 pixels up 0 or 1."""
        shape, scale, angle, x, y = factors.unbind(1)
        B = len(factors)
        dx = (self.offset[x][:, None] + self.window) * self.pixel  # (B, W)
        dy = (self.offset[y][:, None] + self.window) * self.pixel
        s = self.scale[scale][:, None]
        c, n = self.cos[angle][:, None] / s, self.sin[angle][:, None] / s
        u = (c * dx)[:, None, :] - (n * dy)[:, :, None]  # (B, W, W), rows are y
        v = (n * dx)[:, None, :] + (c * dy)[:, :, None]
        inside = self._inside(shape, u.abs(), v)
        rows, columns = self.first[y][:, None] + self.window, self.first[x][:, None] + self.window
        at = rows[:, :, None] * self.grid + columns[:, None, :]
        image = torch.zeros(B, self.grid * self.grid, device=factors.device)
        image.scatter_(1, at.flatten(1), inside.flatten(1).to(torch.float32))
        image = image.view(B, self.grid, self.grid)
        if self.average is not None:
            image = self.average @ image @ self.average.T
        return image[:, None]

    def _inside(self, shape: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Whether points lie inside their shape, (B, W, W) bool. u ≥ 0 is the distance from its axis of symmetry."""
        inside = (u <= HALF_SIDE) & (v.abs() <= HALF_SIDE)
        ellipse, heart = (shape == 1).nonzero()[:, 0], (shape == 2).nonzero()[:, 0]
        inside[ellipse] = (u[ellipse] / LONG).square() + (v[ellipse] / SHORT).square() <= 1
        a, b = u[heart], v[heart]
        inside[heart] = (a <= UPPER[-1][0]) & (b >= _height(self.upper, a)) & (b <= _height(self.lower, a))
        return inside


Chain = tuple[Tensor, Tensor, Tensor]
"""An outline y(x) made of straight pieces: inner breaks, slopes, intercepts."""


def _chain(points: tuple[tuple[float, float], ...], table: Callable[[np.ndarray], Tensor]) -> Chain:
    """The outline through points whose x grows.  table: makes a tensor of an array."""
    x, y = np.array(points).T
    slope = np.diff(y) / np.diff(x)
    return table(x[1:-1]), table(slope), table(y[:-1] - slope * x[:-1])


def _height(chain: Chain, x: Tensor) -> Tensor:
    """y(x) of an outline, in the shape of x."""
    breaks, slope, intercept = chain
    k = torch.bucketize(x, breaks)
    return slope[k] * x + intercept[k]


def _overlap(n: int, m: int) -> np.ndarray:
    """Weights (m, n) that average n pixels over m equal areas: the overlap of each pair. Each row sums to one."""
    lo, hi = np.arange(m)[:, None] * n / m, np.arange(1, m + 1)[:, None] * n / m
    pixel = np.arange(n)[None]
    return np.clip(np.minimum(hi, pixel + 1) - np.maximum(lo, pixel), 0, None) * m / n


class Sprites(Split):
    """One split: the indices of its images in the whole set, and a canvas that draws them.

    members: (N,) int64 indices into the whole set.  size: pixels a side.  `labels` holds the shape of each.
    """

    def __init__(self, members: np.ndarray, size: int = SIDE, device: torch.device | str = "cpu"):
        self.members = torch.as_tensor(members, dtype=torch.int64, device=device)
        self.labels = (np.asarray(members) // (N // SIZES[0])).astype(np.int64)
        self.canvas = Canvas(size, device)

    def __len__(self) -> int:
        return len(self.members)

    def factors(self, index: Tensor) -> Tensor:
        """The factors of examples, index (B,) → (B, 5) long, in the order of FACTORS, each from 0."""
        return to_factors(self.members[index.to(self.members.device)])

    def render(self, factors: Tensor) -> Tensor:
        """Images (B, 1, size, size) float32 of any factors (B, 5) long."""
        return self.canvas.render(factors.to(self.members.device))

    def batch(self, index: Tensor) -> Batch:
        factors = self.factors(index)
        return Batch(self.render(factors), factors[:, 0])

    def to(self, device: torch.device | str) -> Sprites:
        if torch.device(device) == self.members.device:
            return self
        return Sprites(self.members.cpu().numpy(), self.canvas.size, device)


def info() -> Info:
    return Info(TITLE, SIDE, 1, N - TEST, TEST, SHAPES, here=True, place=SOURCE, attribution=ATTRIBUTION)


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """All sprites, of which a fixed choice of 10,000 is held out."""
    order = np.random.default_rng(0).permutation(N)
    train = order[TEST:][choose(N - TEST, spec.limit)]
    size = spec.size or SIDE
    return Data(
        spec=spec,
        title=TITLE,
        shape=(1, size, size),
        train=Sprites(train, size),
        test=Sprites(order[:TEST], size),
        source=SOURCE,
        attribution=ATTRIBUTION,
        classes=SHAPES,
        factors=FACTORS,
    )
