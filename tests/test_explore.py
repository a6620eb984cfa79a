"""What is shown of a model is what the model gives, tile by tile and example by example."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

import aecore
from aecore import inference, paths
from aecore.data import load
from aecore.data.base import Data, DataSpec, Images
from aecore.explore import examples, generate, importance, maps, planes, reconstruct, traverse
from aecore.explore import images as pictures
from aecore.explore.preview import preview_png
from aecore.explore.projection import Projection
from aecore.measure import likelihood, statistics
from aecore.runs.library import create
from aecore.runs.maps import compute, store, stored
from tests import conftest

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load(DataSpec(name="digits8"))


def numbered(n: int = 300, channels: int = 1, side: int = 8) -> Data:
    """Images that spell their own id: two pixels hold it, the others are random."""
    pixels = torch.randint(0, 256, (n, channels, side, side), generator=torch.Generator().manual_seed(0))
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = torch.arange(n) // 256, torch.arange(n) % 256
    split = Images(pixels.to(torch.uint8), np.arange(n) % 7)
    return Data(DataSpec(name="images"), "Numbered", (channels, side, side), split, split, "made here")


def number(images: np.ndarray) -> np.ndarray:
    return images[:, 0, 0].reshape(len(images), -1)[:, 0] * 256 + images[:, 0, 1].reshape(len(images), -1)[:, 0]


def vae(shape=(1, 8, 8), key: str = "vae", **params):
    model = aecore.build(key, shape, **({"code": 2, "width": 32} | params)).eval()
    with torch.no_grad():  # untrained decoders hardly react to their code
        for weight in model.decoder.parameters():
            weight.mul_(2)
    return model


def decoded(model, z) -> np.ndarray:
    """One code, decoded alone: the oracle."""
    with torch.no_grad():
        x = model.decode(torch.as_tensor(np.asarray(z), dtype=torch.float32)[None])[0].clamp(0, 1)
    x = (255 * x).round().to(torch.uint8).numpy()
    return x[0] if len(x) == 1 else x.transpose(1, 2, 0)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to one grey level: a batch is computed in another order than a single example."""
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


# --- identity -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_row_k_is_example_k_in_images_codes_and_reconstructions(channels):
    data = numbered(channels=channels)
    ids = np.random.default_rng(1).permutation(300)[:70]
    images = examples.images(data.test, ids)
    if channels == 1:
        assert (number(images.astype(int)) == ids).all()
    for k in (0, 33, 69):
        one = data.test.batch(torch.tensor([ids[k]])).x
        np.testing.assert_array_equal(images[k], np.rint(255 * one[0].permute(1, 2, 0).numpy()).squeeze())
    model = vae((channels, 8, 8))
    found, pictured = examples.codes(model, data.test, ids), examples.reconstructions(model, data.test, ids)
    assert found.dtype == np.float32 and found.shape == (70, 2)
    for k in (0, 33, 69):
        with torch.no_grad():
            z = model.encode(data.test.batch(torch.tensor([ids[k]])).x)[0]
        np.testing.assert_allclose(found[k], z, atol=1e-5)
        assert close(pictured[k], decoded(model, z))


def test_a_choice_is_sorted_without_repeats_and_fixed_by_its_seed(digits):
    a, b, c = (examples.choose(digits.test, 50, seed) for seed in (0, 0, 1))
    assert (np.diff(a) > 0).all() and a.dtype == np.int64 and len(a) == 50
    assert (a == b).all() and not (a == c).all()
    assert (examples.choose(digits.test, 10**6) == np.arange(len(digits.test))).all()


def test_shrinking_averages_areas():
    image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8) / 64
    expected = image[0, 0].reshape(4, 2, 4, 2).mean((1, 3))
    np.testing.assert_array_equal(pictures.to_uint8(image, 4)[0], np.rint(255 * expected))
    assert pictures.to_uint8(np.zeros((2, 3, 40, 20)), 10).shape == (2, 10, 5, 3)
    assert pictures.to_uint8(np.array([[[[np.nan, -1.0, 2.0]]]])).tolist() == [[[0, 0, 255]]]


# --- maps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "method"), [(2, "auto"), (5, "auto"), (5, "units"), (1, "auto")])
def test_tile_i_j_is_decoded_at_row_i_column_j_of_the_plane(digits, code, method):
    model = vae(code=code)
    projection = None if method == "auto" else Projection(method, (0, 3))
    view = maps.latent_map(model, digits.test, projection, 100, class_names=digits.classes)
    g = len(view.plane)
    x = np.linspace(view.extent[0], view.extent[1], g)
    y = np.linspace(view.extent[2], view.extent[3], g)
    z = examples.codes(model, digits.test, view.ids)
    for i, j in ((0, 0), (0, g - 1), (g - 1, 0), (7, 40)):
        if view.method == "pca":
            pca = PCA(2, svd_solver="full").fit(z)
            at = pca.inverse_transform(np.array([[x[j], y[i]]]))[0]
        else:
            at = z.mean(0)
            at[[0, 3] if code == 5 else [0, 1][:code]] = [x[j], y[i]][: 1 if code == 1 else 2]
        assert close(view.plane[i, j], decoded(model, at))
    assert view.plane.nbytes <= 4_000_000 and view.points.dtype == np.float32
    assert (view.labels == digits.test.labels[view.ids]).all() and view.class_names == digits.classes
    assert (view.points[:, 0] > view.extent[0]).all() and (view.points[:, 1] < view.extent[3]).all()
    assert view.caption == f"100 of {len(digits.test):,} test images"


def test_the_map_belongs_together_by_identity():
    data = numbered()
    view = maps.latent_map(vae(code=3), data.test, n=120)
    assert (number(view.images.astype(int)) == view.ids).all()
    assert (view.labels == view.ids % 7).all()
    assert close(view.reconstructions, examples.reconstructions(vae(code=3), data.test, view.ids))


def test_the_pca_map_is_that_of_sklearn(digits):
    model = vae(code=6)
    view = maps.latent_map(model, digits.test, Projection("pca"), 200)
    np.testing.assert_allclose(
        view.points, PCA(2, svd_solver="full").fit_transform(examples.codes(model, digits.test, view.ids)), atol=1e-4
    )
    assert "%" in view.note and view.axes == ("PC 1", "PC 2")


def test_linear_projections_lead_back_and_forth():
    z = np.random.default_rng(0).normal(size=(500, 6)) * [5, 4, 1, 1, 0.1, 0.1]
    for projection in (Projection("pca"), Projection("units", (4, 1))):
        points = projection.fit(z)
        back = projection.inverse(points)
        # To the plane and back changes nothing on the plane, and only what lies off it is lost.
        again = Projection("units", (4, 1)) if projection.method == "units" else None
        if again:
            np.testing.assert_allclose(back[:, [4, 1]], points, atol=1e-5)
            np.testing.assert_allclose(back[:, 0], z[:, 0].mean(), atol=1e-5)
        else:
            assert ((back - z) ** 2).mean() < 0.4


def test_without_an_exact_way_back_near_codes_are_averaged_by_distance():
    rng = np.random.default_rng(0)
    z, points = rng.normal(size=(200, 4)).astype(np.float32), rng.normal(size=(200, 2)).astype(np.float32)
    projection = Projection("umap", points=points)
    projection.fit(z)
    np.testing.assert_allclose(projection.inverse(points), z, atol=1e-4)  # at a point: its own code
    at = np.array([0.3, -0.2])
    distance = np.linalg.norm(points - at, axis=1)
    near = np.argsort(distance)[:5]
    weight = 1 / distance[near] ** 2
    np.testing.assert_allclose(
        projection.inverse(at[None])[0], (weight[:, None] * z[near]).sum(0) / weight.sum(), rtol=1e-4, atol=1e-5
    )
    assert "5 nearest" in projection.note


def test_tsne_repeats_with_its_seed_and_keeps_clusters_apart():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(40, 5)), rng.normal(size=(40, 5)) + 20]).astype(np.float32)
    a, b = Projection("tsne").fit(z), Projection("tsne").fit(z)
    np.testing.assert_array_equal(a, b)
    gap = np.linalg.norm(a[:40].mean(0) - a[40:].mean(0))
    assert gap > 2 * max(a[:40].std(), a[40:].std())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 128, 128), (1, 128, 20)])
def test_the_plane_is_small_enough_to_send_and_fine_enough_to_follow(shape):
    g, tile = maps.grid_of(shape)
    assert 24 <= g <= 64 and tile <= 64
    assert g * g * shape[0] * np.prod(pictures.fit(shape, tile)) <= 4_000_000


@pytest.fixture
def run(tmp_path, monkeypatch, digits) -> aecore.Run:
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path / "cache"))
    made = create("vae", digits.spec, {"code": 3, "width": 16}, path=tmp_path / "a-run")
    made.save(shape=digits.shape, status="done")
    made.save_model(vae(code=3, width=16))
    return made


def test_a_slow_map_is_computed_once_and_dropped_with_the_weights_it_was_made_for(run, digits):
    assert stored(run, "tsne", 60) is None
    seen: list[float] = []
    points = compute(run, "tsne", 60, progress=lambda fraction, sentence: seen.append(fraction))
    assert seen[0] == 0 and seen[-1] == 1 and seen == sorted(seen)
    np.testing.assert_array_equal(stored(run, "tsne", 60), points)
    assert (run.path / "maps/tsne-test-60.npz").exists() and stored(run, "tsne", 61) is None
    view = maps.latent_map(run.model(), digits.test, Projection("tsne", points=points), 60)
    np.testing.assert_array_equal(view.points, points)
    run.save_model(vae(code=3, width=16, key="beta_vae", beta=2.0))
    assert stored(run, "tsne", 60) is not None  # the same weights, written again
    run.save_model(aecore.build("vae", (1, 8, 8), seed=1, code=3, width=16))
    assert stored(run, "tsne", 60) is None


def test_maps_of_pretrained_and_unwritable_runs_go_to_the_cache(run, tmp_path, monkeypatch):
    points = np.ones((60, 2), np.float32)
    (run.path / "maps").write_text("a file where the folder should be")
    assert tmp_path / "cache" in store(run, "umap", 60, "test", points).parents
    np.testing.assert_array_equal(stored(run, "umap", 60), points)
    monkeypatch.setattr(paths, "PRETRAINED", run.path.parent)
    (run.path / "maps").unlink()
    store(run, "umap", 60, "train", points)
    assert not (run.path / "maps").exists()
    np.testing.assert_array_equal(stored(run, "umap", 60, "train"), points)


def test_a_damaged_map_file_counts_as_none(run):
    path = store(run, "umap", 60, "test", np.ones((60, 2), np.float32))
    path.write_bytes(path.read_bytes()[:50])
    assert stored(run, "umap", 60) is None


# --- traversals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 10)])
def test_a_strip_moves_one_unit_and_passes_through_the_code_as_it_is(shape):
    model = vae(shape, code=5)
    base = np.array([0.31, -0.7, 1.2, 0.05, 4.5], np.float32)
    tiles, values = traverse.sheet(model, base, [2, 0, 4], steps=9)
    assert tiles.shape[:2] == (3, 9) and values.shape == (3, 9) and (np.diff(values) > 0).all()
    for row, unit in enumerate((2, 0, 4)):
        at = int(np.flatnonzero(values[row] == base[unit])[0])
        assert close(tiles[row, at], decoded(model, base))
        moved = base.copy()
        moved[unit] = values[row, 3]
        assert close(tiles[row, 3], decoded(model, moved))
    assert values[0, 0] == -3 and values[0, -1] == 3
    assert values[2, -1] == np.float32(4.5)  # beyond the span: widened


def test_spans_follow_the_prior_else_the_codes_of_the_data(digits):
    low, high = traverse.spans(vae(code=4))
    assert (low == -3).all() and (high == 3).all()
    ring_low, ring_high = traverse.spans(vae(key="aae", prior="mixture"))
    assert (ring_high > 3).all() and (ring_low < -3).all() and (ring_high < 6).all()
    plain = vae(key="deep", code=3)
    units = statistics(plain, digits.test)
    low, high = traverse.spans(plain, units)
    np.testing.assert_allclose((low + high) / 2, units.mean, atol=1e-4)
    np.testing.assert_allclose(high - low, 6 * units.std, rtol=1e-3)
    with pytest.raises(aecore.DataError, match="no prior"):
        traverse.spans(plain)


def test_a_sheet_keeps_under_four_megabytes_and_says_when_it_shrank():
    model = vae((3, 96, 96), code=20)
    tiles, _ = traverse.sheet(model, np.zeros(20), range(16), steps=17)
    assert tiles.nbytes <= 4_000_000 and tiles.shape[2] > 60 and "96×96" in traverse.shrunk(model, tiles)
    small = vae()
    assert traverse.shrunk(small, traverse.sheet(small, np.zeros(2), [0, 1])[0]) == ""
    with pytest.raises(aecore.DataError, match="1 to 16 units"):
        traverse.sheet(model, np.zeros(20), range(17))


def test_bases_are_the_priors_mean_an_images_code_and_a_repeatable_draw(digits):
    model = vae(code=3)
    assert (traverse.prior_mean(model) == 0).all()
    np.testing.assert_allclose(
        traverse.image_code(model, digits.test, 17), examples.codes(model, digits.test, np.array([17]))[0]
    )
    np.testing.assert_array_equal(traverse.random_draw(model, 5), traverse.random_draw(model, 5))
    draws = np.stack([traverse.random_draw(model, seed) for seed in range(400)])
    assert np.abs(draws.mean(0)).max() < 0.2 and np.abs(draws.std(0) - 1).max() < 0.15


def test_interpolation_ends_at_both_codes_and_keeps_its_length_on_the_sphere():
    model, (a, b) = vae(code=4), np.random.default_rng(0).normal(size=(2, 4))
    for how in ("linear", "spherical"):
        frames = traverse.interpolate(model, a, b, 9, how)
        assert len(frames) == 9 and close(frames[0], decoded(model, a)) and close(frames[-1], decoded(model, b))
    np.testing.assert_allclose(traverse.path(a, b, 3)[1], (a + b) / 2, rtol=1e-5)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    round_way = traverse.path(a, b, 11, "spherical")
    np.testing.assert_allclose(np.linalg.norm(round_way, axis=1), 1, rtol=1e-5)
    turns = np.arccos(np.clip((round_way[1:] * round_way[:-1]).sum(1), -1, 1))
    np.testing.assert_allclose(turns, turns[0], rtol=1e-2)
    for other in (-a, np.zeros(4), a):
        assert np.isfinite(traverse.path(a, other, 5, "spherical")).all()


# --- planes ---------------------------------------------------------------------------------------------------


def test_a_planes_tiles_are_decoded_where_they_lie():
    model = vae(code=3)
    origin, across, up = np.array([-1, 0, 0.5]), np.array([2, 0, 0]), np.array([0, 1, 1])
    tiles = planes.plane(model, origin, across, up, grid=5)
    assert tiles.shape == (5, 5, 8, 8)
    for i, j in ((0, 0), (4, 1), (2, 3)):
        code = origin + across * j / 4 + up * i / 4
        assert close(tiles[i, j], decoded(model, code))
    np.testing.assert_array_equal(planes.plane(model, origin, across, grid=5)[0], tiles[0])


def test_a_plane_through_three_codes_shows_each_where_it_says():
    model, codes = vae(code=3), np.random.default_rng(0).normal(size=(3, 3))
    origin, across, up, places = planes.through(codes)
    for code, (s, t) in zip(codes, places, strict=True):
        np.testing.assert_allclose(origin + s * across + t * up, code, atol=1e-5)
    tiles = planes.plane(model, origin, across, up, grid=9)
    shown = [tiles[round(8 * t), round(8 * s)].astype(int) for s, t in places]
    for tile, code in zip(shown, codes, strict=True):
        assert np.abs(tile - traverse.picture(model, code)).max() <= 1
    with pytest.raises(aecore.DataError, match="three different"):
        planes.through(codes[[0, 1, 1]])


# --- importance weights ---------------------------------------------------------------------------------------


def test_draws_are_weighed_as_their_definition_says(digits):
    model, x = vae(code=3), (digits.test.batch(torch.tensor([4])).x[0] > 0.5).float()  # as its pixels can be
    found = importance.draws(model, digits.test, 4, 30, seed=2)
    assert (np.diff(found.log_w) <= 0).all() and found.weights.sum() == pytest.approx(1)
    z = torch.from_numpy(found.z)
    qz_x, one = model.posterior(x[None]), torch.distributions.Normal(0.0, 1.0)
    log_p = model.p_x(z).log_prob(x.expand(30, *x.shape)) + one.log_prob(z).sum(1)
    log_q = torch.distributions.Normal(qz_x.mu, qz_x.std).log_prob(z).sum(1)
    np.testing.assert_allclose(found.log_w, (log_p - log_q).detach().numpy(), rtol=1e-4)
    assert close(found.tiles[0], decoded(model, found.z[0]))
    assert 1 <= found.effective <= 30
    expected = float(torch.tensor(found.log_w).logsumexp(0)) - np.log(30)
    assert found.bound == pytest.approx(expected)


def test_the_bound_grows_with_the_draws_from_the_elbo_towards_the_likelihood(digits):
    model, data = vae(code=3), digits
    ks, ids = (1, 4, 16, 64), np.arange(20)
    found = importance.bounds(model, data.test, ids, ks).mean.mean(0)
    assert (np.diff(found) > 0).all()
    x = likelihood.modelled(model, data.test.batch(torch.from_numpy(ids)).x)
    assert found[0] == pytest.approx(likelihood.bound(model, x, 64)["elbo"].mean(), rel=0.03)
    assert found[-1] == pytest.approx(likelihood.log_likelihood(model, x, 64).mean(), rel=0.03)
    with pytest.raises(aecore.DataError, match="at least 1"):
        importance.bounds(model, data.test, ids, (0, 1))
    with pytest.raises(aecore.DataError, match="no likelihood"):
        importance.draws(aecore.build("ali", (1, 8, 8), code=2, width=16).eval(), data.test, 0, 3)


# --- generated and reconstructed images ---------------------------------------------------------------------


def test_generated_images_are_their_decoded_codes_and_widen_with_temperature():
    model = vae(code=3)
    images, z = generate.generate(model, 300, seed=4)
    assert images.shape == (300, 1, 8, 8) and images.dtype == np.float32
    np.testing.assert_allclose(images, inference.decode(model, z), atol=1e-6)
    again, other = generate.generate(model, 300, seed=4)[1], generate.generate(model, 300, seed=5)[1]
    np.testing.assert_array_equal(z, again)
    assert not np.array_equal(z, other)
    assert generate.generate(model, 300, temperature=2.0)[1].std() == pytest.approx(2, rel=0.1)
    assert (generate.generate(model, 3, temperature=0.0)[1] == 0).all()
    with pytest.raises(aecore.DataError, match="cannot sample"):
        generate.generate(vae(key="deep"), 3)


@pytest.mark.parametrize(
    ("key", "params"), [("ali", {"code": 3, "width": 16}), ("pixelcnn", {"width": 8, "layers": 1})]
)
def test_a_model_of_labels_draws_them_in_turn_or_one_alone(key, params):
    model = aecore.build(key, (1, 8, 8), classes=3, **params).eval().requires_grad_(False)
    in_turn, codes = generate.generate(model, 6, seed=1)
    assert (codes is None) == (key == "pixelcnn")
    for label in range(3):
        alone, same = generate.generate(model, 6, seed=1, label=label)
        np.testing.assert_allclose(alone[label::3], in_turn[label::3], atol=1e-6)  # the same noise, the same label
        assert np.abs(alone - in_turn).max() > 1e-3
        if codes is not None:
            np.testing.assert_array_equal(codes, same)
    with pytest.raises(aecore.DataError, match="from 0 to 2"):
        generate.generate(model, 2, label=3)
    with pytest.raises(aecore.DataError, match="draw without"):
        generate.generate(vae(), 2, label=0)


def test_nearest_finds_planted_copies_and_agrees_with_all_pairs():
    data = numbered(1500, 3, 10)  # more than go through at once
    x = data.train.batch(torch.arange(1500)).x.numpy()
    rng = np.random.default_rng(0)
    queries = np.concatenate([x[[3, 1450, 255]], rng.random((5, 3, 10, 10), np.float32)])
    ids, distances = generate.nearest(queries, data.train)
    assert ids[:3].tolist() == [3, 1450, 255] and (distances[:3] == 0).all()
    pairs = ((queries[:, None] - x[None]) ** 2).reshape(8, 1500, -1).sum(-1)
    assert (ids == pairs.argmin(1)).all()
    np.testing.assert_allclose(distances, pairs.min(1), rtol=1e-4, atol=1e-6)
    assert (generate.nearest(queries, data.train, limit=100)[0] < 100).all()
    with pytest.raises(aecore.DataError, match="same run"):
        generate.nearest(queries[:, :1], data.train)


def test_painted_images_are_kept_as_pixels_to_be_searched_again(digits):
    painted = load(DataSpec(name="faces", size=16, limit=60)).train
    pixels = generate.kept(painted, 40)
    assert isinstance(pixels, Images) and len(pixels) == 40
    x = painted.batch(torch.arange(60)).x
    torch.testing.assert_close(pixels.batch(torch.arange(40)).x, x[:40], atol=1 / 255, rtol=0)
    ids, distances = generate.nearest(x[[3, 39, 55]].numpy(), pixels)
    assert ids[:2].tolist() == [3, 39] and distances[:2].max() < 0.02 < distances[2]
    assert generate.kept(digits.train) is digits.train  # they are pixels
    vectors = conftest.vectors().train
    assert generate.kept(vectors) is vectors


def test_a_map_of_what_is_drawn_pixel_by_pixel_stays_small():
    model = aecore.build("pixelcnn_decoder", (1, 8, 8), width=16, layers=1, code=3)
    view = maps.latent_map(model, load(DataSpec(name="digits8", limit=80)).test, n=20)
    assert view.plane.shape[:2] == (maps.DRAWN_GRID, maps.DRAWN_GRID)


def test_the_passage_shows_input_code_and_output_of_one_image(digits):
    model, x = vae(code=3), digits.test.batch(torch.tensor([8])).x
    way = reconstruct.passage(model, x.numpy())
    np.testing.assert_array_equal(way["input"], x[0])
    np.testing.assert_array_equal(way["seen"], x[0])
    with torch.no_grad():
        q = model.posterior(x)
        np.testing.assert_allclose(way["code"], q.mu[0], atol=1e-6)
        np.testing.assert_allclose(way["std"], q.std[0], atol=1e-6)
        np.testing.assert_allclose(way["output"], model.decode(q.mu)[0], atol=1e-6)
    assert way["error"] == pytest.approx(float((way["difference"] ** 2).sum()), rel=1e-5)
    assert reconstruct.passage(vae(key="deep"), x)["std"] is None
    with pytest.raises(aecore.DataError, match="one example of shape"):
        reconstruct.passage(model, torch.zeros(1, 1, 9, 9))


def test_damage_is_repeatable_and_only_on_request(digits):
    model, x = vae(key="denoising"), digits.test.batch(torch.tensor([8])).x
    clean, damaged, again, other = (reconstruct.passage(model, x, *how) for how in ((), (True,), (True,), (True, 1)))
    np.testing.assert_array_equal(clean["seen"], clean["input"])
    np.testing.assert_array_equal(damaged["seen"], again["seen"])
    assert np.abs(damaged["seen"] - x[0].numpy()).std() > 0.1 and not np.array_equal(damaged["seen"], other["seen"])
    with pytest.raises(aecore.DataError, match="cannot corrupt"):
        reconstruct.passage(vae(), x, True)


def test_the_worst_are_those_with_the_largest_errors(digits):
    model = vae()
    every = reconstruct.reconstruct(model, digits.test, np.arange(200))
    ids, errors = reconstruct.worst(model, digits.test, 5, limit=200)
    assert ids.tolist() == np.argsort(-every.errors, kind="stable")[:5].tolist()
    np.testing.assert_allclose(errors, every.errors[ids], rtol=1e-5)
    np.testing.assert_allclose(every.errors, ((every.originals - every.reconstructions) ** 2).sum((1, 2, 3)), rtol=1e-5)


# --- preview ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "rows"), [("linear", 2), ("denoising", 3), ("vae", 4), ("aae", 4)])
def test_a_preview_has_its_rows_and_is_the_same_at_every_call(digits, key, rows):
    model, which = aecore.build(key, digits.shape, code=3).train(), aecore.entry(key)
    state = torch.get_rng_state()
    png = preview_png(model, which, digits)
    assert model.training and torch.equal(state, torch.get_rng_state()) and png == preview_png(model, which, digits)
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    assert sheet.shape == (rows * 10 - 2, 10 * 10 - 2)
    first = examples.images(digits.test, np.arange(10))
    for k in range(10):
        np.testing.assert_array_equal(sheet[:8, 10 * k : 10 * k + 8], first[k])


def test_a_preview_takes_less_than_fifty_milliseconds():
    digits, model, times = load("digits"), aecore.build("vae", net="conv"), []
    for _ in range(4):
        begin = time.process_time()  # not the wall's: the machine may be busy
        preview_png(model, aecore.entry("vae"), digits)
        times.append(time.process_time() - begin)
    assert min(times) < 0.05


def test_a_preview_needs_images_and_takes_few_or_large_ones(digits):
    few = Data(
        digits.spec,
        "Few",
        (3, 128, 96),
        Images(torch.zeros(4, 3, 128, 96, dtype=torch.uint8)),
        Images(torch.zeros(3, 3, 128, 96, dtype=torch.uint8)),
        "made here",
    )
    png = preview_png(aecore.build("linear", few.shape), aecore.entry("linear"), few)
    assert Image.open(io.BytesIO(png)).size == (10 * 50 - 2, 2 * 66 - 2)
    vectors = Data(digits.spec, "Vectors", (12,), digits.train, digits.test, "made here")
    assert preview_png(aecore.build("linear", (12,)), aecore.entry("linear"), vectors) is None


def test_vectors_are_refused_where_only_images_make_sense(digits):
    model = vae((12,))
    for look in (
        lambda: traverse.sheet(model, np.zeros(2), [0]),
        lambda: traverse.interpolate(model, np.zeros(2), np.ones(2)),
        lambda: examples.reconstructions(model, digits.test, np.arange(2)),
    ):
        with pytest.raises(aecore.DataError, match="shows images"):
            look()
