"""Point clouds to move into each other, and a critic that estimates what this costs (chapter Eq. 19, 20)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import nn

from ..errors import DataError
from ..measure.transport import jensen_shannon

Random = np.random.Generator
Points = Float[np.ndarray, "n 2"]


def _ring(n: int, random: Random) -> Points:
    angle = random.uniform(0, 2 * math.pi, n)
    return 0.9 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * random.standard_normal((n, 2))


def _moons(n: int, random: Random) -> Points:
    angle, upper = random.uniform(0, math.pi, n), random.integers(0, 2, n)
    x = np.where(upper, np.cos(angle) - 0.5, 0.5 - np.cos(angle))
    y = np.where(upper, np.sin(angle) - 0.25, 0.25 - np.sin(angle))
    return 0.75 * np.stack([x, y], 1) + 0.04 * random.standard_normal((n, 2))


def _spiral(n: int, random: Random) -> Points:
    angle = np.sqrt(random.uniform(0.1, 1, n)) * 3 * math.pi
    return angle[:, None] / 10 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.03 * random.standard_normal((n, 2))


def _blob(n: int, random: Random) -> Points:
    return 0.35 * random.standard_normal((n, 2))


def _four(n: int, random: Random) -> Points:
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


def cloud(shape: str, n: int, seed: int = 0) -> Points:
    """n points (n, 2) of one of SHAPES, about within ± 1."""
    return SHAPES[shape](n, np.random.default_rng(seed))


def ink(image: Num[np.ndarray, "H W"], n: int, seed: int = 0) -> Points:
    """n points (n, 2) within ± 1, drawn from an image (H, W) in proportion to its brightness.

    DataError for a black image.
    """
    share = image.astype(np.float64).ravel()
    if share.sum() <= 0:
        raise DataError("This image is black: it holds nothing that could be moved. Choose another.")
    random = np.random.default_rng(seed)
    pixels = random.choice(share.size, n, p=share / share.sum())
    row, column = np.divmod(pixels, image.shape[1])
    x, y = column + random.uniform(0, 1, n), row + random.uniform(0, 1, n)
    side = max(image.shape)
    return np.stack([2 * x / side - image.shape[1] / side, image.shape[0] / side - 2 * y / side], 1)


class Critique(NamedTuple):
    """The state of the critic f after so many steps of training.

    estimate: E f(a) − E f(b) over the points.  surface: (grid, grid), f on the square from −reach to reach; rows are y.
    """

    step: int
    estimate: float
    surface: Float[np.ndarray, "grid grid"]


def critic(
    a: Float[np.ndarray, "n 2"],
    b: Float[np.ndarray, "m 2"],
    reach: float = 1.6,
    width: int = 128,
    lr: float = 2e-3,
    weight: float = 10.0,
    every: int = 50,
    seed: int = 0,
    grid: int = 41,
) -> Iterator[Critique]:
    """Train f, without end, to tell the clouds a (n, 2) and b (m, 2) apart with slopes of at most 1.

    Yields before the first step and after each `every` steps.

    max E f(a) − E f(b) − weight · E max(0, ‖∇f‖ − 1)²: the dual (Eq. 20), whose supremum over 1-Lipschitz f is W₁. The
    slope is penalised at points between the clouds and around them. An estimate may be a little above W₁, since the
    penalty is soft.
    reach: half the side of the square on which f is shown.
    Source: Gulrajani et al. (2017), arXiv:1704.00028. Departures: only slopes above 1 are penalised (Petzka et al.
    2018, arXiv:1709.08894), since Eq. 20 asks for no more; Adam with β₁ = 0.5, all points in each step.
    """
    a_points, b_points = (torch.as_tensor(points, dtype=torch.float32) for points in (a, b))
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        f = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
    optimiser = None  # made after the first yield: its import takes a second
    line = torch.linspace(-reach, reach, grid)
    square = torch.cartesian_prod(line, line).flip(1)  # rows are y
    step = 0
    while True:
        with torch.inference_mode():
            estimate = float(f(a_points).mean() - f(b_points).mean())
            surface = f(square).view(grid, grid).numpy()
        yield Critique(step, estimate, surface)
        optimiser = optimiser or torch.optim.Adam(f.parameters(), lr, betas=(0.5, 0.99))
        for _ in range(every):
            pick = torch.randint(len(b_points), (len(a_points),), generator=draws)
            share = torch.rand(len(a_points), 1, generator=draws)
            around = (2 * torch.rand(len(a_points), 2, generator=draws) - 1) * reach
            between = share * a_points + (1 - share) * b_points[pick]
            x = torch.cat([between, around]).requires_grad_()
            (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
            penalty = (slope.norm(dim=1) - 1).clamp_min(0).square().mean()
            loss = f(b_points).mean() - f(a_points).mean() + weight * penalty
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1


class Bumps(NamedTuple):
    """Distances of two Gaussian bumps of equal width at the offsets `thetas`: js in nats, w1, each (len(thetas),)."""

    thetas: Num[np.ndarray, " n"]
    js: Float[np.ndarray, " n"]
    w1: Float[np.ndarray, " n"]


def two_bumps(width: float, thetas: Num[np.ndarray, " n"]) -> Bumps:
    """Jensen–Shannon divergence and W₁ between a Gaussian bump at 0 and one at each θ, of standard deviation `width`.

    Both are computed on a grid of 3,201 cells from −4 to 4. W₁ on a line is ∫ |F(x) − G(x)| dx, with F and G the
    distribution functions.
    """
    grid = np.linspace(-4, 4, 3201)
    cell = grid[1] - grid[0]

    def bump(centre: float) -> Float[np.ndarray, " cells"]:
        density = np.exp(-0.5 * ((grid - centre) / width) ** 2)
        return density / density.sum()

    first, others = bump(0.0), [bump(theta) for theta in thetas]
    js = np.array([jensen_shannon(first, other) for other in others])
    w1 = np.array([np.abs(np.cumsum(first - other)).sum() * cell for other in others])
    return Bumps(thetas, js, w1)
