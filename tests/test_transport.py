"""Optimal transport: exact on small problems, and a critic that comes near."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from aecore import DataError
from aecore.explore import transport
from aecore.measure.transport import jensen_shannon, plan, sorted_quantiles, wasserstein

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("p", [1, 2])
def test_a_plan_is_the_cheapest_of_all_matchings(p):
    for _ in range(5):
        a, b = RANDOM.standard_normal((6, 2)), RANDOM.standard_normal((6, 2))
        found = plan(a, b, p)
        cost = np.linalg.norm(a[:, None] - b[None], axis=2) ** p
        best = min(cost[range(6), order].mean() for order in map(list, itertools.permutations(range(6))))
        assert found.distance**p == pytest.approx(best, rel=1e-9)
        assert np.allclose(found.plan.sum(0), 1 / 6) and np.allclose(found.plan.sum(1), 1 / 6)
        assert (np.sort(found.plan, 1)[:, :-1] < 1e-12).all()  # no point is split


def test_a_plan_moves_weights_as_they_are_and_agrees_with_the_other_solver():
    a, b = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0], [5.0]])
    found = plan(a, b, 1, np.array([0.5, 0.5]), np.array([0.25, 0.25, 0.5]))
    assert found.distance == pytest.approx(0.25 * 0 + 0.25 * 2 + 0.5 * 4)  # 0 → 0 and 2, 1 → 5
    u, v = RANDOM.standard_normal((80, 3)), RANDOM.standard_normal((80, 3)) + 1
    assert plan(u, v).distance == pytest.approx(wasserstein(torch.tensor(u), torch.tensor(v)), rel=1e-9)
    with pytest.raises(ValueError, match="points must be"):
        plan(u, RANDOM.standard_normal((80, 2)))


def test_on_a_line_sorting_is_enough():
    u, v = RANDOM.standard_normal(60), 2 * RANDOM.standard_normal(60) - 1
    assert sorted_quantiles(u, v) == pytest.approx(plan(u[:, None], v[:, None]).distance, rel=1e-9)
    with pytest.raises(ValueError, match="one size"):
        sorted_quantiles(u, v[:5])


def test_jensen_shannon_is_bounded_and_blind_to_distance():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.25, 0.75])
    assert jensen_shannon(p, q) == pytest.approx(math.log(2)) == jensen_shannon(p, q[[0, 1, 3, 2]])
    assert jensen_shannon(p, p) == 0
    mixed = np.array([0.25, 0.25, 0.25, 0.25])
    by_hand = 0.5 * (math.log(0.5 / 0.375)) + 0.5 * (0.5 * math.log(0.25 / 0.375) + 0.5 * math.log(2))
    assert jensen_shannon(p, mixed) == pytest.approx(by_hand)
    assert np.isfinite(jensen_shannon(np.array([1.0, 5e-324]), np.array([1.0, 0])))


def test_a_critic_learns_the_dual_from_below():
    """Two blobs 1.2 apart: W₁ is about 1.2, and the direction of f is the shift's."""
    a = transport.cloud("blob", 100, 0) * 0.3 + [0.6, 0]
    b = transport.cloud("blob", 100, 1) * 0.3 - [0.6, 0]
    exact = plan(a, b).distance
    found = [next(turns) for turns in [transport.critic(a, b)] for _ in range(13)]
    assert [c.step for c in found[:3]] == [0, 50, 100]
    assert abs(found[0].estimate) < 0.3 * exact
    assert 0.85 * exact < found[-1].estimate < 1.15 * exact
    surface = found[-1].surface
    assert surface[20, -10] > surface[20, 10]  # high where a is, to the right
    slope = np.hypot(*np.gradient(surface, 3.2 / 40))
    assert np.quantile(slope, 0.95) < 1.25


def test_clouds_are_seeded_and_ink_lies_where_the_ink_is():
    for shape in transport.SHAPES:
        points = transport.cloud(shape, 300, 4)
        assert points.shape == (300, 2) and np.array_equal(points, transport.cloud(shape, 300, 4))
        assert np.abs(points).max() < 1.8
    image = np.zeros((10, 10), np.uint8)
    image[1, 8] = 200  # near the top, to the right
    points = transport.ink(image, 50)
    assert (points[:, 0] > 0.59).all() and (points[:, 0] < 0.81).all() and (points[:, 1] > 0.59).all()
    with pytest.raises(DataError, match="black"):
        transport.ink(np.zeros((4, 4), np.uint8), 5)
