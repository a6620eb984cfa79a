"""What pages show is checked against slow and obvious computations, with settings at which right and wrong differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import aecore
from aecore import inference
from aecore.catalog import seeded_build
from aecore.explore import examples, generate, maps, planes, transport, traverse
from aecore.explore import images as pictures
from aecore.inference import evaluating, map_batches
from aecore.measure.latents import Units
from aecore.measure.transport import plan
from tests import conftest

RANDOM = np.random.default_rng(7)


def vae(**params) -> aecore.Model:
    return seeded_build(aecore.entry("vae"), (1, 8, 8), {"code": 3, "width": 16, **params}, 0).eval()


# --- planes and generated images --------------------------------------------------------------------------


def test_the_principal_plane_is_that_of_most_variance():
    codes = RANDOM.standard_normal((400, 4)) * [5, 0.5, 3, 1] + [1, 2, 3, 4]
    found = planes.principal_plane(codes)
    np.testing.assert_allclose(found.centre, codes.mean(0))
    values, vectors = np.linalg.eigh(np.cov(codes.T))
    assert found.kept == pytest.approx(values[-2:].sum() / values.sum())
    np.testing.assert_allclose(np.abs(found.axes @ vectors[:, [-1, -2]]), np.eye(2), atol=1e-6)
    points = found.points(codes)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(points.var(0, ddof=1), values[[-1, -2]])
    std = np.array([[0.5, 2.0, 3.0, 0.1]])
    cloud = found.points(found.centre + std * RANDOM.standard_normal((100_000, 4)))
    np.testing.assert_allclose(found.spreads(std)[0], cloud.std(0), rtol=0.02)


def test_generated_images_follow_their_seed_and_nothing_else():
    model = vae()
    first, again, other = (generate.generate(model, 4, seed=seed)[1] for seed in (3, 3, 4))
    torch.rand(5)
    later = generate.generate(model, 4, seed=3)[1]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, later)
    assert not np.allclose(first, other)


def test_noise_is_decoded_where_it_was_drawn():
    model = seeded_build(aecore.entry("deep"), (1, 8, 8), {"code": 3, "width": 16}, 0).eval()
    images, codes = generate.decode_noise(model, 500, 2.5, 1)
    assert codes.std() == pytest.approx(2.5, rel=0.1)
    np.testing.assert_allclose(images, inference.decode(model, codes), atol=1e-5)
    assert not np.allclose(codes, generate.decode_noise(model, 500, 2.5, 2)[1])


def test_the_typical_distance_is_the_median_of_squared_distances():
    data = conftest.images((1, 8, 8), 20)
    a, b = (split.batch(torch.arange(20)).x.flatten(1).numpy() for split in (data.test, data.train))
    nearest = ((a[:, None] - b[None]) ** 2).sum(-1).min(1)
    assert generate.typical_distance(data.test, data.train, 20, 20) == pytest.approx(np.median(nearest), rel=1e-4)
    assert np.median(nearest) != pytest.approx(nearest.mean(), rel=0.005)


def test_a_map_has_a_margin_on_all_sides_and_follows_its_seed():
    data, model = conftest.images(n=30), vae(code=2)
    view, other = (maps.latent_map(model, data.test, n=12, seed=seed) for seed in (1, 2))
    assert view.ids.tolist() == examples.choose(data.test, 12, 1).tolist() != other.ids.tolist()
    low, high = view.points.min(0), view.points.max(0)
    width, height = high - low
    expected = (
        low[0] - 0.04 * width,
        high[0] + 0.04 * width,
        low[1] - 0.04 * height,
        high[1] + 0.04 * height,
    )
    assert view.extent == pytest.approx(expected, rel=1e-4)


def test_a_draw_without_a_prior_has_the_spread_of_the_codes():
    model = seeded_build(aecore.entry("deep"), (1, 8, 8), {"code": 200, "width": 16}, 0).eval()
    mean, std = np.full(200, 2.0), np.full(200, 0.3)
    units = Units(mean, std, None, np.arange(200), np.ones(200, bool), 10, None)
    draw = traverse.random_draw(model, 1, units)
    assert draw.mean() == pytest.approx(2.0, abs=0.1) and draw.std() == pytest.approx(0.3, rel=0.2)
    assert not np.array_equal(draw, traverse.random_draw(model, 2, units))


def test_values_become_grey_levels_by_rounding():
    levels = np.array([0, 0.001, 0.003, 0.5, 0.999, 1.0, 1.2, -0.1], np.float32).reshape(1, 1, 1, 8)
    assert pictures.to_uint8(levels).ravel().tolist() == [0, 0, 1, 128, 255, 255, 255, 0]


# --- models applied to data ---------------------------------------------------------------------------------


def test_evaluating_changes_neither_the_model_nor_random_numbers():
    for was_training in (True, False):
        model = vae().train(was_training)
        state = torch.get_rng_state()
        draws = []
        for seed in (5, 5, 6):
            with evaluating(model, seed) as device:
                assert not model.training and not torch.is_grad_enabled() and device.type == "cpu"
                draws.append(float(torch.rand(())))
        assert model.training is was_training
        assert torch.equal(state, torch.get_rng_state())
        assert draws[0] == draws[1] != draws[2]


def test_a_code_is_encoded_with_attributes_only_on_request():
    data = conftest.with_attributes(conftest.images(), 2)
    model = seeded_build(aecore.entry("cvae"), (1, 8, 8), {"code": 3, "width": 16, "attributes": 2}, 0).eval()
    ids = np.arange(9)
    batch = data.test.batch(torch.arange(9))
    with torch.no_grad():
        told, untold = model.encode(batch.x, batch.attributes), model.encode(batch.x)
        reconstructed = model.decode(told, batch.attributes)
    assert not torch.allclose(told, untold, atol=1e-3)
    np.testing.assert_allclose(inference.encode(model, data.test, ids), untold, atol=1e-5)
    np.testing.assert_allclose(inference.encode(model, data.test, ids, conditioned=True), told, atol=1e-5)
    np.testing.assert_allclose(inference.autoencode(model, data.test, ids), reconstructed, atol=1e-5)


def test_conditions_go_with_their_codes_through_all_batches(monkeypatch):
    monkeypatch.setattr(inference, "BATCH_VALUES", 1)  # eight at a time
    data = conftest.with_attributes(conftest.images(n=21), 2)
    model = seeded_build(aecore.entry("cvae"), (1, 8, 8), {"code": 3, "width": 16, "attributes": 2}, 0).eval()
    codes = RANDOM.standard_normal((21, 3)).astype(np.float32)
    attributes = data.test.batch(torch.arange(21)).attributes
    with torch.no_grad():
        one_by_one = [
            model.decode(torch.from_numpy(codes[k : k + 1]), attributes[k : k + 1]).numpy() for k in range(21)
        ]
    np.testing.assert_allclose(inference.decode(model, codes, attributes), np.concatenate(one_by_one), atol=1e-5)
    ids = [3, 20, 0, 7, 7, 19, 1, 2, 5]
    found = map_batches(model, data.test, ids, lambda x: x)
    np.testing.assert_array_equal(found, data.test.batch(torch.tensor(ids)).x.numpy())


# --- transport ------------------------------------------------------------------------------------------------


def test_ink_falls_where_the_image_is_bright():
    image = np.zeros((8, 4), np.uint8)
    image[0, 0], image[7, 3] = 60, 180  # above to the left, below to the right
    points = transport.ink(image, 4000, 1)
    above = points[:, 1] > 0
    assert above.mean() == pytest.approx(0.25, abs=0.03)
    assert (points[above, 0] < 0).all() and (points[~above, 0] > 0).all()
    assert points[above].min(0) == pytest.approx([-0.5, 0.75], abs=0.01)
    assert points[above].max(0) == pytest.approx([-0.25, 1.0], abs=0.01)
    assert not np.array_equal(points, transport.ink(image, 4000, 2))


def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Two clouds that lie 1.5 apart along y."""
    return 0.05 * RANDOM.standard_normal((60, 2)) + [0, 0.75], 0.05 * RANDOM.standard_normal((60, 2)) - [0, 0.75]


def test_the_critic_estimates_what_the_transport_costs():
    a, b = clouds()
    turns = transport.critic(a, b, width=64, lr=4e-3, every=150)
    next(turns)
    found = next(turns)
    assert found.step == 150
    exact = plan(a, b, 1).distance
    assert 0.85 * exact < found.estimate < 1.25 * exact  # early in a training the soft penalty lets slopes exceed 1
    assert found.surface[30, 20] > found.surface[10, 20] + 0.5  # rows are y, and a lies above
    assert abs(found.surface[20, 30] - found.surface[20, 10]) < 0.5


def test_the_critic_is_trained_as_its_equation_says():
    """Slopes below 1 cost nothing: nearly equal clouds leave the critic nearly flat."""
    a, b = clouds()
    turns = transport.critic(a, a + 1e-3 * (b - a), width=32, lr=1e-2, every=100)
    next(turns)
    surface = next(turns).surface
    slope = np.hypot(*np.gradient(surface, 3.2 / 40))
    assert np.median(slope) < 0.6  # a penalty on all slopes other than 1 would make it 1


def test_two_bumps_are_as_far_as_they_are_moved():
    found = transport.two_bumps(0.1, np.array([0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_allclose(found.w1, found.thetas, atol=1e-3)
    assert found.js[0] == pytest.approx(0, abs=1e-9)
    assert found.js[2:] == pytest.approx([math.log(2)] * 2, abs=1e-3)
