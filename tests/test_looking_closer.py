"""What the exhibits compute: one image's posterior, pushes, filters, Jacobians, stages, features, restored damage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F

import aecore
from aecore import DataError, DataSpec, inference
from aecore.data import load
from aecore.data.base import Images, TensorSplit
from aecore.data.sets import gaussians
from aecore.explore import denoise, filters, perturb, posterior
from aecore.explore.features import feature_maps
from aecore.explore.layerwise import through
from aecore.explore.planes import principal_plane
from aecore.explore.vae_algorithm import LINES, algorithm_1
from aecore.measure import jacobian, likelihood, pca, sharpness
from aecore.measure.latents import activity
from aecore.measure.reconstruction import psnr
from aecore.models.regularised import sigmoid_jacobian

SHAPE = (1, 12, 12)


@pytest.fixture(scope="module")
def split() -> Images:
    pixels = torch.randint(0, 256, (40, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, np.arange(40) % 4)


def built(key: str, **params):
    return aecore.build(key, SHAPE, 0, **params).eval().requires_grad_(False)


# --- inside a VAE ---------------------------------------------------------------------------------------------


def test_draws_of_a_posterior_are_the_reparameterisation_and_their_bound_is_the_bound(split):
    model = built("vae", code=3, width=32)
    found = posterior.inside(model, split, 5, 4000, seed=2)
    assert np.allclose(found.z, found.mu + found.std * found.xi, atol=1e-6)
    assert np.abs(found.xi.mean(0)).max() < 0.06 and np.abs(found.xi.std(0) - 1).max() < 0.05
    few = posterior.inside(model, split, 5, 10, seed=2)
    assert np.allclose(few.xi, found.xi[:10]) and np.array_equal(few.tiles, found.tiles[:10])
    bound = likelihood.bound(model, likelihood.modelled(model, split.batch(torch.tensor([5])).x), 4000, seed=9)
    assert found.kl.sum() == pytest.approx(bound["kl"][0], rel=1e-5)
    assert found.recon.mean() == pytest.approx(bound["recon"][0], abs=4 * float(found.recon.std()) / 44)
    assert found.elbo == pytest.approx(-(found.recon.mean() + found.kl.sum()), rel=1e-6)
    assert posterior.evidence(model, split, 5, 500, 4).value > found.elbo
    with pytest.raises(DataError, match="cannot posterior"):
        posterior.inside(built("deep", code=3, width=32), split, 0, 1)


def test_algorithm_1_does_its_lines_in_order_and_learns(split):
    lines = algorithm_1(split, SHAPE, M=20, width=32)
    first = next(lines)
    model = first.made["model"]
    start = [p.detach().clone() for p in model.parameters()]
    losses, order = [], []
    for line in itertools.islice(lines, 6 * 60):
        order.append(line.line)
        same = all(torch.equal(a, b) for a, b in zip(start, model.parameters(), strict=True))
        assert same == (line.step == 0)  # the weights move with the update, and with nothing else
        if line.line == 4:
            losses.append(line.made["recon"] + line.made["kl"])
            assert line.made["gradient"] > 0
        if line.line == 3:
            assert line.made["z"].shape == line.made["xi"].shape == (1, 20, 2)
        if line.line == 5:
            assert line.made["moved"] > 0
    assert first.line == 0 and order[:6] == [1, 2, 3, 4, 5, 6] and len(LINES) == 7
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 1


# --- pushes, filters, Jacobians ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(perturb.KINDS))
def test_a_push_of_nothing_changes_nothing_and_a_larger_one_moves_the_code_further(kind, split):
    x = split.batch(torch.tensor([3])).x
    across, up = perturb.grid_of(kind)
    images = perturb.pushed(x, kind)
    assert images.shape == (len(across) * len(up), *SHAPE)
    none = int(np.abs(up).argmin()) * len(across) + int(np.abs(across).argmin())
    assert torch.allclose(images[none], x[0], atol=1e-5)
    model = built("deep", code=4, width=32)
    moved = perturb.moved(model, x, images, perturb.spread_of(model, split)).reshape(len(up), len(across))
    assert moved.flat[none] < 1e-4 and moved.min() >= 0
    row = int(np.abs(up).argmin())
    assert moved[row, -1] > moved[row, (len(across) + int(np.abs(across).argmin())) // 2] * 0.8 > 0
    assert perturb.answers(model, images).shape == (len(images), *SHAPE[1:])


def test_a_shift_to_the_right_and_up_goes_to_the_right_and_up():
    x = torch.zeros(1, 1, 16, 16)
    x[0, 0, 8, 8] = 1
    across, up = perturb.grid_of("shift")
    images = perturb.pushed(x, "shift").reshape(len(up), len(across), 16, 16)
    there = images[int(np.where(up == 3)[0][0]), int(np.where(across == 2)[0][0])]
    assert there[8 - 3, 8 + 2] == pytest.approx(1, abs=1e-4) and float(there.sum()) == pytest.approx(1, abs=1e-3)


def test_erasures_grow_and_noise_keeps_its_direction():
    x = torch.rand(1, 1, 8, 8) + 0.1
    across, up = perturb.grid_of("erasure")
    erased = perturb.pushed(x, "erasure").reshape(len(up), len(across), 8, 8) == 0
    assert (erased[:, :-1] <= erased[:, 1:]).all() and erased[0, -1].float().mean() > 0.7
    assert not torch.equal(erased[0, 5], erased[1, 5])
    noisy = perturb.pushed(x, "noise").reshape(*map(len, perturb.grid_of("noise")[::-1]), 8, 8) - x[0, 0]
    assert torch.allclose(noisy[2, -1] / 2, noisy[2, 6], atol=1e-5)


def test_singular_values_are_those_of_the_full_jacobian(split):
    model = built("contractive", code=6)
    x = split.batch(torch.tensor([1])).x
    full = torch.autograd.functional.jacobian(lambda x: model.encode(x)[0], x).reshape(6, -1)
    found = jacobian.singular_values(model, split, 1)
    assert np.allclose(found, np.linalg.svd(full.numpy(), compute_uv=False), atol=1e-5)
    exact = sigmoid_jacobian(model.encoder[1].weight, model.encode(x))
    assert np.square(found).sum() == pytest.approx(float(exact[0]), rel=1e-4)
    assert all(p.grad is None for p in model.parameters())


def test_filters_are_the_weights_as_pictures():
    sparse = built("sparse_l1", code=5, width=32)
    painted = filters.dictionary(sparse)
    assert painted is not None and painted.shape == (5, *SHAPE) and np.abs(painted).max() == pytest.approx(1)
    column = sparse.decoder[0].weight[:, 2].numpy()
    assert np.allclose(painted[2].ravel(), column / np.abs(column).max(), atol=1e-6)
    seen = filters.first_layer(sparse)
    weights = sparse.encoder[0][1].weight[4].numpy()
    assert seen.shape == (32, *SHAPE) and np.allclose(seen[4].ravel(), weights / np.abs(weights).max(), atol=1e-6)
    spread = np.zeros(SHAPE, np.float32)
    spread[0, :6] = 1
    assert (filters.first_layer(sparse, spread)[:, :, 6:] == 0).all()
    assert filters.dictionary(built("deep", code=5, width=32)) is None
    with pytest.raises(DataError, match="choose a dense one"):
        filters.first_layer(built("deep", code=5, net="conv", width=64))


def test_activity_counts_how_often_a_unit_is_off_its_rest():
    random = np.random.default_rng(0)
    rare = np.where(random.random(4000) < 0.1, 5.0, 0.0) + 0.01 * random.standard_normal(4000)
    codes = np.stack([rare, np.full(4000, 3.0), 100 * random.standard_normal(4000), 1e-3 * rare + 7], 1)
    found = activity(codes)
    assert found[0] == pytest.approx(0.1, abs=0.02) and found[1] == 0 and found[2] > 0.7
    assert found[3] == pytest.approx(found[0], abs=0.01)  # the scale does not count


# --- damage -----------------------------------------------------------------------------------------------------


def test_filters_remove_noise_and_the_best_is_found_on_training_images():
    digits = load(DataSpec(name="digits", limit=200))
    x = digits.test.batch(torch.arange(40)).x
    for noise, strength in (("gaussian", 0.5), ("erasures", 0.5)):
        x_tilde = denoise.damaged(x, noise, strength, seed=3)
        assert torch.equal(x_tilde, denoise.damaged(x, noise, strength, seed=3))
        assert not torch.equal(x_tilde, denoise.damaged(x, noise, strength, seed=4))
        name = denoise.best_filter(digits.train, noise, strength)
        scores = {
            key: psnr(x, denoise.filtered(x_tilde.numpy(), key, noise, strength)).mean() for key in denoise.FILTERS
        }
        assert name != "none" and scores[name] > scores["none"] + 1 and scores[name] > max(scores.values()) - 0.3
    assert denoise.best_filter(digits.train, "gaussian", 0.0) == "none"


def test_erasures_are_counted_as_wrong_bits(split):
    x = (split.batch(torch.arange(10)).x > 0.5).float()
    kept = denoise.damaged(x, "erasures", 0.3)
    before, after = denoise.bits_restored(x.numpy(), kept.numpy(), x.numpy())
    assert before == pytest.approx(float(((kept == 0) & (x == 1)).float().mean())) and after == 0
    model = built("deep", code=4, width=32)
    assert np.allclose(denoise.restored(model, kept), model.decode(model.encode(kept)).numpy(), atol=1e-6)


def test_given_examples_may_leave_the_range():
    given = TensorSplit(torch.tensor([[-2.0], [3.0]]))
    assert given.batch(torch.tensor([1, 0])).x.flatten().tolist() == [3, -2] and len(given) == 2


# --- stages, features, spectra ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["denoising", "convolutional"])
def test_a_stack_through_all_layers_is_the_whole_and_through_one_its_first_pair(flavour, split):
    model = built("stacked", code=4, flavour=flavour, layers=2, width=32)
    ids = np.arange(6)
    assert np.allclose(through(model, split, ids, 2), inference.autoencode(model, split, ids), atol=1e-6)
    A1, B1 = model.layer(1)
    x = split.batch(torch.from_numpy(ids)).x
    assert np.allclose(through(model, split, ids, 1), B1(A1(x).sigmoid()).sigmoid().numpy(), atol=1e-6)
    with pytest.raises(DataError, match="give 1 to 2"):
        through(model, split, ids, 3)
    with pytest.raises(DataError, match="stacked"):
        through(built("deep", width=32), split, ids, 1)


def test_feature_maps_are_those_of_the_network_the_most_different_first(split):
    eye, model = built("dfc_vae", code=4, width=32), built("deep", code=4, width=32)
    found = feature_maps(eye, model, split, 7, 2)
    x = split.batch(torch.tensor([7])).x
    seen = eye.eye.features(x, 2, 2)[0][0].numpy()
    assert found.x.shape == seen.shape == found.x_hat.shape
    assert np.allclose(np.sort(found.x.mean((1, 2))), np.sort(seen.mean((1, 2))), atol=1e-5)
    assert (np.diff(found.distance) <= 1e-9).all() and found.distance[0] > 0
    assert found.distance.mean() == pytest.approx(np.square(found.x - found.x_hat).mean() / seen.var(), rel=1e-4)
    with pytest.raises(DataError, match="no network that compares"):
        feature_maps(model, model, split, 0, 1)


def test_a_spectrum_is_flat_for_noise_and_falls_with_a_blur():
    noise = torch.randn(200, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    white = sharpness.spectrum(noise)
    assert white.shape == (13,) and (white[1:] - 1).abs().max() < 0.1
    blurred = sharpness.spectrum(F.avg_pool2d(noise, 3, 1, 1))
    assert blurred[-1] < 0.1 * white[-1] and blurred[1] > 0.08 and blurred[1] > 5 * blurred[8]
    flat = sharpness.spectrum(torch.full((2, 1, 8, 8), 0.5))
    assert float(flat[0]) == pytest.approx(64 * 0.25) and float(flat[1:].sum()) < 1e-6
    with pytest.raises(ValueError, match="2×2"):
        sharpness.spectrum(torch.zeros(3, 8))


# --- planes, PCA, data --------------------------------------------------------------------------------------------


def test_the_principal_plane_is_found_and_clouds_are_projected_onto_it():
    random = np.random.default_rng(1)
    turn = np.linalg.qr(random.standard_normal((6, 6)))[0]
    z = (random.standard_normal((3000, 6)) * [5, 3, 0.3, 0.2, 0.1, 0.1]) @ turn.T + 2
    found = principal_plane(z)
    assert np.allclose(found.axes @ found.axes.T, np.eye(2), atol=1e-6) and found.kept > 0.98
    assert np.linalg.svd(found.axes @ turn[:, :2], compute_uv=False).min() > 0.99
    points = found.points(z)
    assert points.std(0) == pytest.approx([5, 3], rel=0.05)
    draws = random.standard_normal((40000, 6)) * [1, 2, 3, 1, 2, 3]
    assert found.spreads(np.array([[1, 2, 3, 1, 2, 3]]))[0] == pytest.approx((draws @ found.axes.T).std(0), rel=0.03)


def test_pca_with_fewer_numbers_is_the_projection_and_the_error_that_is_reported():
    digits = load(DataSpec(name="digits", size=8, limit=500))
    found = pca.principal(digits, 20)
    x = digits.test.batch(torch.arange(100)).x.numpy()
    assert np.allclose(found.directions @ found.directions.T, np.eye(20), atol=1e-4)
    rows = digits.train.batch(torch.arange(500)).x.flatten(1).numpy()
    reference = PCA(5).fit(rows)
    assert np.allclose(np.abs(reference.components_ @ found.directions[:5].T), np.eye(5), atol=1e-2)
    errors = [float(np.square(x - found.reconstruct(x, code)).mean()) for code in (1, 5, 20)]
    assert errors[0] > errors[1] > errors[2] and found.reconstruct(x, 5).shape == x.shape
    assert errors[1] == pytest.approx(pca.pca_mse(digits, 5, 100), rel=0.02)


def test_the_25_gaussians_are_where_their_centres_are():
    data = load("gaussians")
    batch = data.test.batch(torch.arange(10_000))
    away = batch.x - gaussians.centres()[batch.y]
    assert data.kind == "vector" and data.shape == (2,) and len(data.classes or ()) == 25
    assert away.std(0).tolist() == pytest.approx([gaussians.STD] * 2, rel=0.05) and away.abs().max() < 0.06
    assert len(load(DataSpec(name="gaussians", limit=100)).train) == 100
