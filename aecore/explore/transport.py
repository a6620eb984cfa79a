"""Clouds to move into each other, and a critic that learns what moving them costs (chapter Eq. 19, 20)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..errors import DataError
from ..measure.transport import jensen_shannon

Random = np.random.Generator


def _ring(n: int, random: Random) -> np.ndarray:
    angle = random.uniform(0, 2 * math.pi, n)
    return 0.9 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * random.standard_normal((n, 2))


def _moons(n: int, random: Random) -> np.ndarray:
    angle, upper = random.uniform(0, math.pi, n), random.integers(0, 2, n)
    x = np.where(upper, np.cos(angle) - 0.5, 0.5 - np.cos(angle))
    y = np.where(upper, np.sin(angle) - 0.25, 0.25 - np.sin(angle))
    return 0.75 * np.stack([x, y], 1) + 0.04 * random.standard_normal((n, 2))


def _spiral(n: int, random: Random) -> np.ndarray:
    angle = np.sqrt(random.uniform(0.1, 1, n)) * 3 * math.pi
    return angle[:, None] / 10 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.03 * random.standard_normal((n, 2))


def _blob(n: int, random: Random) -> np.ndarray:
    return 0.35 * random.standard_normal((n, 2))


def _four(n: int, random: Random) -> np.ndarray:
    corner = random.integers(0, 4, n)
    at = 0.8 * np.stack([np.where(corner % 2, 1, -1), np.where(corner // 2, 1, -1)], 1)
    return at + 0.1 * random.standard_normal((n, 2))


SHAPES: dict[str, Callable[[int, Random], np.ndarray]] = {
    "blob": _blob,
    "ring": _ring,
    "two moons": _moons,
    "spiral": _spiral,
    "four blobs": _four,
}


def cloud(shape: str, n: int, seed: int = 0) -> np.ndarray:
    """n points (n, 2) of one of SHAPES, about within ± 1."""
    return SHAPES[shape](n, np.random.default_rng(seed))


def ink(image: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """An image (H, W), bright is ink, as n points (n, 2) within ± 1: drawn in proportion to the ink."""
    share = image.astype(np.float64).ravel()
    if share.sum() <= 0:
        raise DataError("This image is black: it holds nothing that could be moved. Choose another.")
    random = np.random.default_rng(seed)
    at = random.choice(share.size, n, p=share / share.sum())
    row, column = np.divmod(at, image.shape[1])
    x, y = column + random.uniform(0, 1, n), row + random.uniform(0, 1, n)
    side = max(image.shape)
    return np.stack([2 * x / side - image.shape[1] / side, image.shape[0] / side - 2 * y / side], 1)


class Critique(NamedTuple):
    """step: of the training.  estimate: E f(a) − E f(b), of the points.  surface: f on a grid (n, n) of `extent`."""

    step: int
    estimate: float
    surface: np.ndarray


def critic(
    a: np.ndarray,
    b: np.ndarray,
    reach: float = 1.6,
    width: int = 128,
    lr: float = 2e-3,
    weight: float = 10.0,
    every: int = 50,
    seed: int = 0,
    grid: int = 41,
) -> Iterator[Critique]:
    """Trains f to tell the clouds a and b (n, 2) apart without being steep, for ever; yields every `every` steps.

    max E f(a) − E f(b) − weight · E max(0, ‖∇f‖ − 1)²: the dual (Eq. 20), whose supremum over 1-Lipschitz f is W₁. The
    slope is held at points between the clouds and around them. An estimate may be a little above W₁, since f is held
    softly.
    reach: half the side of the square on which f is shown.
    Source: Gulrajani et al. (2017), arXiv:1704.00028. Departures: only slopes above 1 are penalised (Petzka et al.
    2018, arXiv:1709.08894), since Eq. 20 asks for no more; Adam with β₁ = 0.5, all points in each step.
    """
    left, right = (torch.as_tensor(points, dtype=torch.float32) for points in (a, b))
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        f = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
    optimiser = None  # made after the first look: its import takes a second
    line = torch.linspace(-reach, reach, grid)
    places = torch.cartesian_prod(line, line).flip(1)  # rows are y
    step = 0
    while True:
        with torch.inference_mode():
            estimate = float(f(left).mean() - f(right).mean())
            surface = f(places).view(grid, grid).numpy()
        yield Critique(step, estimate, surface)
        optimiser = optimiser or torch.optim.Adam(f.parameters(), lr, betas=(0.5, 0.99))
        for _ in range(every):
            pick = torch.randint(len(right), (len(left),), generator=draws)
            share = torch.rand(len(left), 1, generator=draws)
            around = (2 * torch.rand(len(left), 2, generator=draws) - 1) * reach
            held = torch.cat([share * left + (1 - share) * right[pick], around]).requires_grad_()
            (slope,) = torch.autograd.grad(f(held).sum(), held, create_graph=True)
            penalty = (slope.norm(dim=1) - 1).clamp_min(0).square().mean()
            loss = f(right).mean() - f(left).mean() + weight * penalty
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1


class Bumps(NamedTuple):
    """Distances of two Gaussian bumps of equal width at the offsets `thetas`: js in nats, w1, each (len(thetas),)."""

    thetas: np.ndarray
    js: np.ndarray
    w1: np.ndarray


def two_bumps(width: float, thetas: np.ndarray) -> Bumps:
    """Jensen–Shannon divergence and W₁ between a Gaussian bump at 0 and one at each θ, of standard deviation `width`.

    Both are computed on a grid of 3,201 cells from −4 to 4. W₁ on a line is ∫ |F(x) − G(x)| dx, with F and G the
    distribution functions.
    """
    places = np.linspace(-4, 4, 3201)
    cell = places[1] - places[0]

    def bump(at: float) -> np.ndarray:
        density = np.exp(-0.5 * ((places - at) / width) ** 2)
        return density / density.sum()

    first, others = bump(0.0), [bump(theta) for theta in thetas]
    js = np.array([jensen_shannon(first, other) for other in others])
    w1 = np.array([np.abs(np.cumsum(first - other)).sum() * cell for other in others])
    return Bumps(thetas, js, w1)
