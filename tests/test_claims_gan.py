"""What the chapter claims of GANs and of the Wasserstein critic (Eq. 19, 20), measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance
from torch import Tensor

import aecore
from aecore import Data, DataSpec, Plan, Training
from aecore.data.sets.gaussians import STD, centres
from aecore.measure.coverage import modes
from aecore.measure.transport import wasserstein
from aecore.models.gan import WGAN, Critic, critic_loss, fooling_loss, slope_at
from tests import naive
from tests.claims import gaussians
from tests.conftest import Table


def drawn(key: str, seed: int, **params) -> Tensor:
    """2,500 draws of a generator that was trained on 25 Gaussians."""
    data = gaussians()
    plan = Plan(epochs=120, batch=128, lr=5e-3, seed=seed, precision="fp32", held_out=1)
    model = aecore.build(key, data.shape, seed, code=2, width=128, **params)
    for _ in Training(model, data, plan, "cpu"):
        pass
    return model.eval().requires_grad_(False).sample(2500, generator=torch.Generator().manual_seed(0))


def test_a_wgan_covers_most_of_25_gaussians():
    """Of uniform draws 0.09 are near a centre, and no mode is covered."""
    uniform = modes(torch.rand(2500, 2), centres(), STD)
    assert uniform.covered <= 1 and uniform.near < 0.12
    for seed in (0, 1):
        found = modes(drawn("wgan", seed, lam=0.01, critic_steps=2), centres(), STD)
        assert found.covered >= 13 and found.near > 0.25  # 19 and 17; 0.43 and 0.48


def test_a_gan_covers_some_of_25_gaussians():
    """How many depends on the seed: 8 to 19 were seen."""
    found = modes(drawn("gan", 0, gamma=3e-4), centres(), STD)
    assert found.covered >= 5 and found.near > 0.15  # 11, 0.21


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


def test_primal_equals_dual_on_small_problems():
    """Eq. 19 against Eq. 20: the supremum over all f with f(x) − f(y) ≤ ‖x − y‖, as a linear programme."""
    for n, dims in ((5, 1), (8, 2), (12, 3)):
        a, b = torch.randn(n, dims).double(), torch.randn(n, dims).double() + 1
        points = torch.cat([a, b])
        distance = torch.cdist(points, points).numpy()
        pairs = [(i, j) for i in range(2 * n) for j in range(2 * n) if i != j]
        constraints = np.zeros((len(pairs), 2 * n))
        for row, (i, j) in enumerate(pairs):
            constraints[row, i], constraints[row, j] = 1, -1
        gain = np.repeat([1 / n, -1 / n], n)
        dual = linprog(-gain, constraints, [distance[pair] for pair in pairs], bounds=[(0, None)] * (2 * n))
        assert wasserstein(a, b) == pytest.approx(-dual.fun, rel=1e-6)


def test_the_exact_distance_is_that_of_sorted_points_in_one_dimension():
    a, b = torch.randn(50, 1), 2 * torch.randn(50, 1) + 1
    assert wasserstein(a, b) == pytest.approx(wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy()), rel=1e-5)
    assert wasserstein(a, a) == 0
    assert wasserstein(a, a + 3) == pytest.approx(3, rel=1e-5)
    with pytest.raises(ValueError, match="one shape"):
        wasserstein(a, b[:10])


def test_the_slope_at_data_is_the_critics():
    torch.manual_seed(0)
    critic, x = Critic((4,), width=8).double(), torch.rand(3, 4).double()
    (logits, features), slope = slope_at(critic.judge, x)
    assert torch.equal(logits, critic(x)) and features.shape == (3, 8)
    expected = [naive.slope(lambda point: critic(point[None])[0], point) ** 2 for point in x]
    assert slope.tolist() == pytest.approx(expected, rel=1e-4)
    (second,) = torch.autograd.grad(slope.sum(), critic.head.weight)
    assert second.abs().max() > 0
    with torch.no_grad():  # as held-out terms are taken
        (logits, _), again = slope_at(critic.judge, x)
    assert not logits.requires_grad and again.tolist() == pytest.approx(expected, rel=1e-4)


def test_the_losses_are_the_cross_entropies_of_goodfellow():
    real, fake = torch.randn(5), torch.randn(5)
    expected = -torch.sigmoid(real).log() - (1 - torch.sigmoid(fake)).log()
    assert torch.allclose(critic_loss(real, fake), expected, atol=1e-5)
    assert torch.allclose(fooling_loss(fake), -torch.sigmoid(fake).log(), atol=1e-5)
