"""What the chapter claims of GANs and of the Wasserstein critic (Eq. 20), measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written. Every term by itself: tests/test_terms_gan.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from aecore import Data, DataSpec, Plan, Training
from aecore.data.sets.gaussians import STD, centres
from aecore.measure.coverage import modes
from aecore.measure.transport import wasserstein
from aecore.models.gan import WGAN
from tests.claims import gaussians, trained
from tests.conftest import Table
from tests.games import modes_found

pytestmark = pytest.mark.claim


def test_a_wgan_covers_most_of_nine_gaussians():
    """Three seeds: 8, 8 and 8 of 9, with 0.52, 0.42 and 0.64 of the draws near one. Uniform noise: 0, and 0.10.

    On the 25 Gaussians five longer trainings cover 18 to 21 (docs/study.md).
    """
    plan = Plan(epochs=80, batch=128, lr=5e-3, seed=0, precision="fp32", held_out=1)
    found = modes_found("wgan", plan, width=64, lam=0.01, critic_steps=2)
    assert found.covered >= 6 and found.near > 0.3


def test_a_gan_covers_some_of_25_gaussians():
    """How many depends on the seed. Five seeds: 10, 17, 17, 7 and 15, with 0.15 to 0.31 of the draws near one.

    Uniform noise covers none, and 0.07 of it are near one.
    """
    model = trained("gan", gaussians(), epochs=120, batch=128, lr=5e-3, code=2, width=128, gamma=3e-4)
    found = modes(model.sample(2500, generator=torch.Generator().manual_seed(0)), centres(), STD)
    assert found.covered >= 5 and found.near > 0.12
    uniform = modes(torch.rand(2500, 2), centres(), STD)
    assert uniform.covered <= 1 and uniform.near < 0.1


class Still(WGAN):
    """A WGAN whose generator is a cloud of points that stays where it is."""

    def __init__(self, points: Tensor):
        super().__init__((2,), width=64)
        self.points = points

    def update_schedule(self, progress=1.0):
        return (("critic",),)

    def fakes(self, n, players):
        return torch.zeros(n, self.code), self.points[torch.randint(len(self.points), (n,))]


def estimate(a: Tensor, b: Tensor) -> float:
    """W₁ of two clouds as a critic learns it."""
    torch.manual_seed(0)
    model, data = Still(b), Data(DataSpec(name="digits"), "a cloud", (2,), Table(a), Table(a), "made")
    for _ in Training(model, data, Plan(epochs=500, batch=len(a), precision="fp32", held_out=2), "cpu"):
        pass
    with torch.no_grad():
        return float(model.critic(a).mean() - model.critic(b).mean())


def test_the_critics_estimate_follows_the_exact_distance():
    """A critic's slope exceeds 1 by W₁/2λ, where the gain from a steeper one equals the penalty: here by 3 to 11 %."""
    a = torch.randn(256, 2)
    exact, found = [], []
    for shift in (0.25, 0.5, 1.0, 1.5):
        b = torch.randn(256, 2) * torch.tensor([1.5, 0.5]) + shift
        exact.append(wasserstein(a, b))
        found.append(estimate(a, b))
    assert np.corrcoef(exact, found)[0, 1] > 0.99
    assert found == pytest.approx(exact, rel=0.25)  # 0.62 : 0.75, 0.83 : 0.92, 1.61 : 1.49, 2.41 : 2.17
