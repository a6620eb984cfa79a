"""What pages show of plain codes: damage, pushes, reconstructions, layers, filters, PCA; against obvious versions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import aecore
from aecore import DataError
from aecore.data.base import Data, DataSpec, Images, TensorSplit
from aecore.explore import copying, denoise, filters, layerwise, perturb, reconstruct
from aecore.measure import jacobian, latents, pca, pixel_error, reconstruction, sharpness
from tests import naive

SHAPE = (1, 6, 8)


def some(n: int, shape: tuple[int, ...] = SHAPE, seed: int = 5) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def some_images(n: int, shape: tuple[int, ...] = SHAPE, seed: int = 5) -> Images:
    generator = torch.Generator().manual_seed(seed)
    return Images(torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator))


def built(key: str = "deep", shape=SHAPE, **params):
    width = {"width": 16} if "width" in aecore.entry(key).params else {}
    return aecore.build(key, shape, 0, **{"code": 4, **width, **params}).eval().requires_grad_(False)


# --- damage -------------------------------------------------------------------------------------------------------


def test_damage_is_that_of_the_models_with_a_seed_of_its_own():
    x = some(5)
    state = torch.get_rng_state()
    noisy, erased = denoise.damaged(x, "gaussian", 0.3, seed=7), denoise.damaged(x, "erasures", 0.8, seed=7)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(7)
    assert torch.allclose(noisy, x + 0.3 * torch.empty_like(x).normal_())
    torch.manual_seed(7)
    assert torch.equal(erased, x * torch.empty_like(x).bernoulli_(0.2))  # 0.8 is the share that is lost
    assert not torch.equal(denoise.damaged(x, "gaussian", 0.3, seed=8), noisy)
    torch.manual_seed(0)
    assert torch.allclose(denoise.damaged(x, "gaussian", 0.3), x + 0.3 * torch.empty_like(x).normal_())


def blurred(x: np.ndarray, sigma: float) -> np.ndarray:
    """An image under a Gaussian of this σ, cut at 4 σ, beyond whose edges the image is mirrored."""
    reach = int(4 * sigma + 0.5)
    weights = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-reach, reach + 1)]
    height, width = x.shape
    out = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        for (a, u), (b, v) in itertools.product(enumerate(weights, -reach), repeat=2):
            out[i, j] += u * v / sum(weights) ** 2 * x[mirrored(i + a, height), mirrored(j + b, width)]
    return out


def middle(x: np.ndarray, size: int) -> np.ndarray:
    """The median of size × size pixels around each pixel, beyond whose edges the image is mirrored."""
    reach, (height, width) = size // 2, x.shape
    around = list(itertools.product(range(-reach, reach + 1), repeat=2))
    out = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        out[i, j] = sorted(x[mirrored(i + a, height), mirrored(j + b, width)] for a, b in around)[len(around) // 2]
    return out


def mirrored(i: int, n: int) -> int:
    i = i % (2 * n)
    return i if i < n else 2 * n - 1 - i


def test_classical_filters_do_what_their_names_say():
    x = some(2, (2, 8, 9)).numpy() * 1.4 - 0.2
    for name in denoise.FILTERS:
        for noise, strength, kept in (("gaussian", 0.4, 1.0), ("erasures", 0.4, 0.6)):
            found = denoise.filtered(x, name, noise, strength)
            for n, c in np.ndindex(2, 2):
                image = x[n, c].astype(float)
                if "σ" in name:
                    image = blurred(image, float(name.split("σ = ")[1].split(",")[0])) / kept
                if "median of " in name:
                    image = middle(image, int(name.split("median of ")[1][0]))
                assert np.allclose(found[n, c], image.clip(0, 1), atol=1e-5), name
    assert set(denoise.FILTERS) == {
        "none",
        *(f"Gaussian blur, σ = {sigma}" for sigma in (0.5, 0.7, 1.0, 1.5)),
        "median of 3×3",
        "median of 5×5",
        *(f"Gaussian blur, σ = {sigma}, then median of 3×3" for sigma in (0.5, 1.0)),
    }
    assert np.isfinite(denoise.filtered(x, "Gaussian blur, σ = 0.5", "erasures", 1.0)).all()


@pytest.mark.parametrize(("noise", "strength"), [("gaussian", 0.3), ("erasures", 0.5)])
def test_the_best_filter_has_the_highest_mean_psnr_on_the_first_hundred_damaged_by_a_seed_of_their_own(
    noise, strength, monkeypatch
):
    """The examples after the first hundred, which would choose otherwise, are not looked at."""
    smooth = torch.nn.functional.interpolate(some(100, (1, 2, 2)), (8, 8), mode="bilinear")
    split = TensorSplit(torch.cat([smooth, some(400, (1, 8, 8)).round()]))
    x_tilde = denoise.damaged(smooth, noise, strength, seed=1).numpy()
    scores = {}
    for name in denoise.FILTERS:
        answers = denoise.filtered(x_tilde, name, noise, strength)
        errors = [((a - b) ** 2).mean() for a, b in zip(smooth.numpy(), answers, strict=True)]
        scores[name] = sum(-10 * math.log10(error) for error in errors) / 100
    assert denoise.best_filter(split, noise, strength) == max(scores, key=lambda name: scores[name]) != "none"
    seeds = []
    damaged = denoise.damaged
    monkeypatch.setattr(denoise, "damaged", lambda *given, seed: seeds.append(seed) or damaged(*given, seed=seed))
    denoise.best_filter(split, noise, strength)
    assert seeds == [1]  # other noise than that of the comparison, whose seed is 0


def test_images_side_by_side_are_all_made_from_the_same_damage():
    x, denoising = some(3), built("denoising")
    plain = aecore.build("deep", SHAPE, 1, code=4, width=16).eval().requires_grad_(False)
    found = denoise.compare(denoising, plain, "median of 3×3", x, "gaussian", 0.4, 6)
    x_tilde = denoise.damaged(x, "gaussian", 0.4, seed=6)
    assert np.array_equal(found.original, x.numpy()) and np.array_equal(found.damaged, x_tilde.numpy())
    assert np.allclose(found.denoising, denoising.decode(denoising.encode(x_tilde)), atol=1e-6)
    assert np.allclose(found.deep, plain.decode(plain.encode(x_tilde)), atol=1e-6)
    assert np.allclose(found.filter, denoise.filtered(x_tilde.numpy(), "median of 3×3", "gaussian", 0.4))
    assert np.allclose(found.code, denoising.encode(x_tilde), atol=1e-6)


def test_curves_over_the_noise_are_mean_psnrs_of_the_first_examples():
    split, model = some_images(9), built("denoising")
    x = split.batch(torch.arange(5)).x
    names, strengths = ["none", "median of 3×3"], [0.2, 0.6]
    wanted, of_filters = [], []
    for name, strength in zip(names, strengths, strict=True):
        x_tilde = denoise.damaged(x, "erasures", strength, seed=0)
        for answers, found in (
            (model.decode(model.encode(x_tilde)).numpy(), wanted),
            (denoise.filtered(x_tilde.numpy(), name, "erasures", strength), of_filters),
        ):
            levels = [-10 * math.log10(((a - b) ** 2).mean()) for a, b in zip(x.numpy(), answers, strict=True)]
            found.append(sum(levels) / 5)
    assert denoise.psnr_of_model(model, split, "erasures", strengths, 5) == pytest.approx(wanted, rel=1e-4)
    assert denoise.psnr_of_filters(names, split, "erasures", strengths, 5) == pytest.approx(of_filters, rel=1e-4)


def test_bits_are_wrong_before_and_after_and_a_half_counts_as_zero():
    x, x_tilde = np.array([[0.9, 0.1, 0.8, 0.5]]), np.array([[0.0, 0.1, 0.8, 0.0]])
    x_hat = np.array([[0.51, 0.7, 0.8, 0.6]])
    assert denoise.bits_restored(x, x_tilde, x_hat) == (0.25, 0.5)


# --- pushes -------------------------------------------------------------------------------------------------------


def test_a_shift_by_parts_of_a_pixel_mixes_four_neighbours_and_lets_in_black():
    x = some(1, (2, 6, 8))
    for right, up in ((1.3, -0.6), (-2.5, 1.75), (0.0, 0.25)):
        moved = perturb._shifted(x, right, up)
        for c, i, j in np.ndindex(2, 6, 8):
            row, column = i + up, j - right
            value = 0.0
            for a, b in itertools.product(
                (math.floor(row), math.floor(row) + 1), (math.floor(column), math.floor(column) + 1)
            ):
                if 0 <= a < 6 and 0 <= b < 8:
                    value += (1 - abs(row - a)) * (1 - abs(column - b)) * float(x[0, c, a, b])
            assert float(moved[0, c, i, j]) == pytest.approx(value, abs=1e-5)


def test_grids_of_pushes_go_through_both_coordinates():
    x = some(1) + 0.1
    assert perturb.grid_of("shift", 5)[0].tolist() == perturb.grid_of("shift", 5)[1].tolist() == [-6, -3, 0, 3, 6]
    assert perturb.grid_of("noise", 5)[0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert perturb.grid_of("erasure", 4)[0].tolist() == pytest.approx([0, 0.3, 0.6, 0.9])
    assert perturb.grid_of("noise", 5)[1].tolist() == perturb.grid_of("erasure")[1].tolist() == list(range(9))
    assert len(perturb.grid_of("shift")[0]) == 13
    shifted = perturb.pushed(x, "shift", 3)
    for k, (up, right) in enumerate(itertools.product((-6, 0, 6), repeat=2)):
        assert torch.equal(shifted[k], perturb._shifted(x, right, up)[0])
    noisy, erased = perturb.pushed(x, "noise", 3), perturb.pushed(x, "erasure", 4)
    for draw in range(9):
        xi = torch.randn(x.shape, generator=torch.Generator().manual_seed(draw))
        order = torch.rand(x.shape, generator=torch.Generator().manual_seed(draw))
        for k, strength in enumerate((0, 0.5, 1)):
            assert torch.allclose(noisy[3 * draw + k], x[0] + strength * xi[0])
        for k, share in enumerate((0, 0.3, 0.6, 0.9)):
            assert torch.equal(erased[4 * draw + k], torch.where(order >= share, x, 0)[0])


def test_a_code_has_moved_by_its_distance_over_that_of_two_examples():
    model, split = built("linear"), some_images(9)
    z = model.encode(split.batch(torch.arange(7)).x)
    pairs = [float((a - b).square().sum()) for a, b in itertools.permutations(z, 2)]
    spread = perturb.spread_of(model, split, 7)
    assert spread == pytest.approx(math.sqrt(sum(pairs) / len(pairs)), rel=1e-5)
    x, others = some(1, seed=1), some(3, seed=2)
    wanted = [float((model.encode(other[None]) - model.encode(x)).norm()) / 0.7 for other in others]
    assert perturb.moved(model, x, others, 0.7) == pytest.approx(wanted, rel=1e-5)


def test_answers_to_pushes_lie_where_their_pushes_do():
    model, x = built(), some(1)
    images = perturb.pushed(x, "erasure")
    pushes, (answers, moved) = perturb.input_grid(x, "erasure"), perturb.answer_grid(model, x, "erasure", 0.7)
    assert pushes.shape == answers.shape == (9, 13, 6, 8) and moved.shape == (9, 13)
    for row, column in ((0, 12), (3, 5), (8, 1)):
        image = images[13 * row + column]
        assert np.array_equal(pushes[row, column], (image[0] * 255 + 0.5).to(torch.uint8).numpy())
        answer = model.decode(model.encode(image[None]))[0, 0]
        assert np.abs(answers[row, column].astype(int) - (answer * 255).numpy()).max() <= 0.51
        assert moved[row, column] == pytest.approx(
            float((model.encode(image[None]) - model.encode(x)).norm()) / 0.7, rel=1e-4
        )


# --- reconstructions ----------------------------------------------------------------------------------------------


def test_a_passage_holds_every_part_of_the_way():
    model, x = built("denoising", sigma=0.3), some(1)
    for damaged in (False, True):
        found = reconstruct.passage(model, x, damaged, seed=3)
        torch.manual_seed(3)
        seen = model.corrupt(x) if damaged else x
        x_hat = model.decode(model.encode(seen))
        assert np.array_equal(found["input"], x[0]) and np.allclose(found["seen"], seen[0])
        assert np.allclose(found["output"], x_hat[0], atol=1e-6) and found["std"] is None
        assert np.allclose(found["difference"], (x - x_hat).abs()[0], atol=1e-6)
        assert np.allclose(found["code"], model.encode(seen)[0], atol=1e-6)
        assert found["error"] == pytest.approx(naive.distances("squared", x, x_hat)[0], rel=1e-4)
    vae = built("vae")
    assert np.allclose(reconstruct.passage(vae, x)["std"], (vae.encoder(x)[0, 4:] / 2).exp(), atol=1e-6)
    with pytest.raises(DataError, match=r"shape \(1, 6, 8\), not \(2, 1, 6, 8\)"):
        reconstruct.passage(model, some(2))


def test_the_way_of_an_image_of_bytes_is_its_passage_with_its_errors():
    model = built("denoising", sigma=0.3)
    image = (some(1)[0, 0] * 255).to(torch.uint8).numpy()
    found, parts = reconstruct.way(model, image, True, 4), reconstruct.passage(model, image[None, None] / 255, True, 4)
    assert np.array_equal(found.shown, image)
    assert np.array_equal(found.seen, np.clip(parts["seen"][0] * 255 + 0.5, 0, 255.5).astype(np.uint8))
    assert np.abs(found.output - parts["output"][0] * 255).max() <= 0.51
    mse = float(((parts["input"] - parts["output"]) ** 2).mean())
    assert found.mse == pytest.approx(mse, rel=1e-4) and found.psnr == pytest.approx(-10 * math.log10(mse), rel=1e-4)
    assert np.allclose(found.code, parts["code"]) and found.std is None
    assert not np.array_equal(found.seen, image) and np.array_equal(reconstruct.way(model, image).seen, image)
    colours = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    first = reconstruct.channels_first(colours)
    assert first.shape == (1, 3, 6, 8) and all(np.array_equal(first[0, c], colours[..., c]) for c in range(3))
    assert reconstruct.channels_first(image).shape == (1, 1, 6, 8)


def test_the_terms_of_one_image_come_with_their_loss():
    model = built("rae", beta=0.3, lam=0.2, smooth="weights")
    image = (some(1)[0, 0] * 255).to(torch.uint8).numpy()
    found = reconstruct.terms(model, image)
    x = torch.from_numpy(image[None, None].astype(np.float32) / 255)
    size = float(0.5 * model.encode(x).square().sum())
    assert found["recon"] == pytest.approx(naive.distances("squared", x, model.decode(model.encode(x)))[0], rel=1e-4)
    assert found["size"] == pytest.approx(size, rel=1e-4)
    (loss,) = [value for name, value in found.items() if name not in ("recon", "size", "slope")]
    assert loss == pytest.approx(found["recon"] + 0.3 * found["size"] + 0.2 * found["slope"], rel=1e-5)


def test_the_terms_of_one_image_are_weighed_as_at_the_end_of_training():
    model = built("beta_vae", beta=4.0, warmup=0.5)
    found = reconstruct.terms(model, (some(1)[0, 0] * 255).to(torch.uint8).numpy())
    (loss,) = [value for name, value in found.items() if name not in ("recon", "kl")]
    assert found["kl"] > 0.01 and loss == pytest.approx(found["recon"] + 4 * found["kl"], rel=1e-5)


def test_examples_lie_beside_their_reconstructions_and_the_worst_come_first():
    model, split = built(), some_images(12)
    found = reconstruct.reconstruct(model, split, [7, 2])
    x = split.batch(torch.tensor([7, 2])).x
    assert np.array_equal(found.originals, x.numpy())
    assert np.allclose(found.reconstructions, model.decode(model.encode(x)), atol=1e-6)
    assert found.errors == pytest.approx(naive.distances("squared", x, model.decode(model.encode(x))), rel=1e-4)
    every = reconstruct.reconstruct(model, split, range(10)).errors
    ids, errors = reconstruct.worst(model, split, 3, 10)
    assert ids.tolist() == sorted(range(10), key=lambda k: -every[k])[:3] and errors == pytest.approx(every[ids])


# --- stacks, filters, copying -------------------------------------------------------------------------------------


def test_reconstructions_through_the_first_layers_of_a_stack():
    model, split = built("stacked", layers=3, stages=0.6), some_images(9)
    x = split.batch(torch.arange(6)).x
    (A1, B1), (A2, B2) = model.layer(1), model.layer(2)
    answers = B1(B2(A2(A1(x).sigmoid()).sigmoid()).sigmoid()).sigmoid()
    assert np.allclose(layerwise.through(model, split, [4, 1], 2), answers[[4, 1]], atol=1e-6)
    assert layerwise.error(model, split, 2, 6) == pytest.approx(float((x - answers).square().mean()), rel=1e-4)
    assert layerwise.layers_of(model) == 3
    assert [layerwise.layer_in_training(model, share) for share in (0.0, 0.3, 0.5, 0.6, 0.9)] == [1, 2, 3, None, None]
    for number in (0, 4):
        with pytest.raises(DataError, match="has 3 layers; give 1 to 3"):
            layerwise.through(model, split, [0], number)


def test_filters_are_weights_over_their_largest():
    model, split = built("sparse_l1", shape=(2, 3, 4), code=5), some_images(9, (2, 3, 4))
    weights, spread = model.encoder[0][1].weight.view(-1, 2, 3, 4), filters.pixel_spread(split, 6)
    assert np.allclose(spread, split.batch(torch.arange(6)).x.numpy().std(0, ddof=1), atol=1e-6)
    for factor, found in ((1.0, filters.first_layer(model)), (spread, filters.first_layer(model, spread))):
        assert found.shape == (16, 2, 3, 4)
        for image, unit in zip(found, weights, strict=True):
            wanted = unit.numpy() * factor
            assert np.allclose(image, wanted / max(abs(float(v)) for v in wanted.flatten()), atol=1e-6)
    painted = filters.dictionary(model)
    for j in range(5):
        column = model.decoder[0].weight[:, j].view(2, 3, 4)
        assert np.allclose(painted[j], column / column.abs().max(), atol=1e-6)
    assert filters.dictionary(built("linear")) is not None and filters.dictionary(built()) is None


def test_answers_to_noise_are_compared_with_the_noise():
    model = built()
    found = copying.noise_answers(model, 3, n=20)
    noise = torch.rand(20, *SHAPE, generator=torch.Generator().manual_seed(3))
    answers = model.decode(model.encode(noise))
    assert found.error == pytest.approx(float(((noise - answers) ** 2).mean()), rel=1e-5)
    assert found.variance == pytest.approx(float(noise.var(0, correction=0).mean()), rel=1e-5)
    assert found.noises.shape == found.answers.shape == (8, 6, 8)
    assert np.array_equal(found.noises[7], (noise[7, 0] * 255 + 0.5).to(torch.uint8).numpy())
    assert np.array_equal(found.answers[7], (answers[7, 0] * 255 + 0.5).to(torch.uint8).numpy())
    assert copying.noise_answers(model, 4, n=20).error != found.error


# --- PCA ----------------------------------------------------------------------------------------------------------


def skewed(n: int = 40, size: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(9)))[0]
    spread = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.3, 0.1])[:size]
    return (torch.randn(n, size, generator=generator) * spread) @ turn + 2


def table(name: str, train: Tensor, test: Tensor) -> Data:
    return Data(DataSpec(name=name), name, tuple(train.shape[1:]), TensorSplit(train), TensorSplit(test), "made")


@pytest.mark.parametrize("exact", [True, False])
def test_principal_components_are_those_of_the_training_examples_and_tested_on_others(exact, monkeypatch):
    """Eigenvectors of the covariance, from numpy's other solver; both ways to find them agree."""
    monkeypatch.setattr(pca, "EXACT", 2000 if exact else 1)
    train, test = skewed(seed=0), skewed(20, seed=1) * 1.5 - 1
    data = table("digits", train, test)
    mean = train.numpy().mean(0)
    _, _, v = np.linalg.svd(train.numpy() - mean)
    found = pca._fitted(train.numpy(), 4)
    assert np.allclose(found.mean, mean, atol=1e-5) and found.directions.shape == (4, 6)
    assert np.allclose(np.abs((found.directions * v[:4]).sum(1)), 1, atol=1e-4)  # up to the sign, the largest first
    x = test.numpy()[:7]
    for code in (1, 3):
        codes = found.codes(x, code)
        assert np.allclose(np.abs(codes), np.abs((x - mean) @ v[:code].T), atol=1e-3)
        wanted = mean + (x - mean) @ v[:code].T @ v[:code]
        assert np.allclose(found.reconstruct(x, code), wanted, atol=1e-3)
        error = float(((test.numpy()[:15] - (mean + (test.numpy()[:15] - mean) @ v[:code].T @ v[:code])) ** 2).mean())
        assert pca.pca_mse(data, code, 15) == pytest.approx(error, rel=1e-3)
        assert pca.errors(data, [code, 4], 15)[0] == pytest.approx(error, rel=1e-3)
        shown = pca.reconstructions(data, [3, 1], [code, 4])
        assert shown.shape == (2, 2, 6)
        wanted = mean + (test.numpy()[[3, 1]] - mean) @ v[:code].T @ v[:code]
        assert np.allclose(shown[0], wanted, atol=1e-3) and not np.allclose(shown[1], wanted, atol=1e-2)


def test_the_fit_is_to_the_first_training_examples_and_kept_for_these_alone(monkeypatch):
    monkeypatch.setattr(pca, "FIT_VALUES", 60)  # ten examples of six numbers
    train, test = skewed(seed=2), skewed(20, seed=1)
    data = table("digits", train, test)
    fit = pca.principal(data, 3)
    assert np.allclose(fit.mean, train[:10].mean(0), atol=1e-5)
    assert pca.principal(data, 3) is fit and pca.principal(data, 2) is not fit
    others = table("digits", skewed(seed=3), test)  # the same name, other numbers
    assert not np.allclose(pca.principal(others, 3).mean, fit.mean)
    assert pca.pca_mse(others, 2) != pca.pca_mse(data, 2) and pca.pca_mse(data, 2) != pca.pca_mse(data, 2, 5)
    assert (
        len(pca.principal(data, 50).directions) == 6
        and len(pca.principal(table("digits", train[:4], test), 50)[1]) == 3
    )
    assert pca.pca_mse(data, 50) == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(pca, "FIT_VALUES", 1)
    assert np.allclose(pca.principal(data, 1).mean, train[:2].mean(0), atol=1e-5)  # never fewer than two


def test_components_of_images_keep_their_shape():
    x = skewed(30).view(30, 1, 2, 3).numpy()
    fit = pca._fitted(x.reshape(30, 6), 2)
    assert fit.codes(x, 2).shape == (30, 2) and fit.reconstruct(x, 2).shape == x.shape
    assert np.allclose(fit.directions @ fit.directions.T, np.eye(2), atol=1e-5)


# --- errors and codes ---------------------------------------------------------------------------------------------


def test_errors_per_pixel_are_means_over_the_first_examples():
    model, split = built(), some_images(9)
    x = split.batch(torch.arange(6)).x
    answers = model.decode(model.encode(x))
    total = sum(naive.distances("squared", x, answers))
    assert pixel_error.of_model(model, split, 6) == pytest.approx(total / 6 / 48, rel=1e-4)
    assert pixel_error.of_answers(split, answers.numpy()) == pytest.approx(total / 6 / 48, rel=1e-4)
    assert pixel_error.of_the_mean(split, 6) == pytest.approx(float(x.var(0, correction=0).mean()), rel=1e-5)


def test_reconstruction_errors_are_sums_means_and_decibels_of_each_example():
    x, x_hat = some(3), some(3, seed=6)
    squares = naive.distances("squared", x, x_hat)
    assert reconstruction.squared_error(x, x_hat) == pytest.approx(squares, rel=1e-5)
    assert reconstruction.mse(x.numpy(), x_hat) == pytest.approx([value / 48 for value in squares], rel=1e-5)
    wanted = [-10 * math.log10(value / 48) for value in squares]
    assert reconstruction.psnr(x, x_hat.numpy()) == pytest.approx(wanted, rel=1e-5)
    assert reconstruction.bce(x, x_hat) == pytest.approx(naive.distances("bernoulli", x, x_hat), rel=1e-4)
    ends = reconstruction.bce(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    assert ends == pytest.approx([-math.log(1e-6)], rel=1e-3)


def test_singular_values_are_those_of_a_linear_encoders_matrix_and_of_a_posteriors_mean():
    linear, split = built("linear"), some_images(4)
    wanted = np.linalg.svd(linear.encoder[1].weight.numpy(), compute_uv=False)
    assert np.allclose(jacobian.singular_values(linear, split, 2), wanted, atol=1e-5)
    vae = built("vae")
    x = split.batch(torch.tensor([2])).x
    full = torch.autograd.functional.jacobian(lambda x: vae.encoder(x)[0, :4], x).reshape(4, -1)
    found = jacobian.singular_values(vae, split, 2)
    assert np.allclose(found, np.linalg.svd(full.numpy(), compute_uv=False), atol=1e-5)
    assert not np.allclose(found, jacobian.singular_values(vae, split, 1), atol=1e-3)
    vae.train()
    jacobian.singular_values(vae, split, 1)
    assert vae.training


def test_a_unit_is_off_its_rest_where_it_is_a_twentieth_of_its_range_from_its_median():
    random = np.random.default_rng(0)
    codes = np.stack([np.arange(201) / 20.0, np.where(random.random(201) < 0.2, 3.0, 1.0), np.full(201, 2.0)], 1)
    found = latents.activity(codes)
    for j in (0, 1):
        column = sorted(codes[:, j])
        span = column[199] - column[1]  # the quantiles 0.5 % and 99.5 % of 201 values
        off = sum(abs(v - column[100]) > 0.05 * span for v in column) / 201
        assert found[j] == pytest.approx(off)
    assert found[2] == 0 and 0.85 < found[0] < 0.95


def test_correlations_are_those_of_the_units_and_near_zero_for_one_that_does_not_vary():
    random = np.random.default_rng(1)
    a = random.standard_normal(3000)
    codes = np.stack([a, -2 * a + random.standard_normal(3000), np.full(3000, 4.0)], 1)
    found = latents.correlation(codes)
    wanted = ((codes[:, 0] - a.mean()) * (codes[:, 1] - codes[:, 1].mean())).mean() / (a.std() * codes[:, 1].std())
    assert found[0, 1] == pytest.approx(wanted) and abs(found[0, 2]) < 0.1
    assert np.array_equal(found, latents.correlation(codes)) and not np.array_equal(
        found, latents.correlation(codes, 1)
    )


def test_sharpness_is_the_mean_squared_difference_of_neighbours():
    x = some(3, (2, 4, 5)).numpy()
    down = [(x[n, c, i + 1, j] - x[n, c, i, j]) ** 2 for n, c, i, j in np.ndindex(3, 2, 3, 5)]
    across = [(x[n, c, i, j + 1] - x[n, c, i, j]) ** 2 for n, c, i, j in np.ndindex(3, 2, 4, 4)]
    wanted = (sum(down) / len(down) + sum(across) / len(across)) / 2
    assert sharpness.gradient_energy(x) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="2×2"):
        sharpness.gradient_energy(x[:, :, :1])


def test_a_spectrum_is_the_mean_power_of_each_ring_of_frequencies():
    x = some(3, (2, 6, 8)).numpy()
    power = (np.abs(np.fft.fft2(x)) ** 2).mean((0, 1)) / 48
    rings: dict[int, list[float]] = {}
    for i, j in np.ndindex(6, 8):
        u, v = min(i, 6 - i) / 6, min(j, 8 - j) / 8
        rings.setdefault(round(6 * math.sqrt(u**2 + v**2)), []).append(power[i, j])
    wanted = [sum(rings[k]) / len(rings[k]) for k in range(4)]
    assert sharpness.spectrum(x).tolist() == pytest.approx(wanted, rel=1e-4)


def test_a_dictionary_needs_a_linear_decoder_and_filters_a_layer_that_sees_all_pixels():
    for width in (16, 64):  # with 16, four channels of 4 × 4 are as many numbers as there are pixels
        with pytest.raises(DataError, match="choose a dense one"):
            filters.first_layer(built(net="conv", shape=(1, 8, 8), width=width))
    assert filters.dictionary(built("contractive")) is None
