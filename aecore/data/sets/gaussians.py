"""25 Gaussians on a grid in the plane, on which one sees which modes a generator has forgotten (chapter §5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import Data, DataSpec, Modes, TensorSplit, choose
from ..places import Info, Progress

TITLE = "25 Gaussians in the plane"
SIDE, STD = 5, 0.01
"""Number of centres a side, and σ of each Gaussian: a twentieth of the distance between two neighbouring centres."""
CLASSES = tuple(map(str, range(SIDE**2)))
N = 10_000
SOURCE = "Drawn on this computer."
ATTRIBUTION = "Made by this program, as in Dumoulin et al. (2016), arXiv:1606.00704"


def centres(side: int = SIDE) -> Tensor:
    """The centres (side², 2), from 0.1 to 0.9, because the outputs of decoders lie from 0 to 1."""
    line = torch.linspace(0.1, 0.9, side)
    return torch.cartesian_prod(line, line)


def info() -> Info:
    return Info(
        TITLE,
        2,
        1,
        N,
        N,
        CLASSES,
        here=True,
        place=SOURCE,
        attribution=ATTRIBUTION,
        kind="vector",
    )


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """N points to train on and N held out; each Gaussian has the same probability."""
    generator = torch.Generator().manual_seed(5)
    which = torch.randint(SIDE**2, (2 * N,), generator=generator)
    points = centres()[which] + STD * torch.randn(2 * N, 2, generator=generator)
    chosen = torch.from_numpy(choose(N, spec.limit))
    train = TensorSplit(points[:N][chosen], which[:N][chosen].numpy())
    test = TensorSplit(points[N:], which[N:].numpy())
    return Data(
        spec=spec,
        title=TITLE,
        shape=(2,),
        train=train,
        test=test,
        source=SOURCE,
        attribution=ATTRIBUTION,
        classes=CLASSES,
        modes=Modes(centres(), STD),
    )
