"""What the formulas of reconstructions that a trained network compares say, by second implementations, in milliseconds.

Terms, weights, stages and gradients first, then the classifier, then torchvision's nets (with random weights).
"""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import aecore
from aecore import Batch, Data, FieldError, Plan, Run, Training
from aecore.data.base import DataSpec, Images, TensorSplit
from aecore.models import perceptual
from aecore.models.perceptual import DFCVAE, TAPS, Classifier, Frozen, turned
from aecore.runs.library import create
from aecore.runs.session import Session
from tests import conftest

pytestmark = pytest.mark.usefixtures("no_downloads")


def small(shape: tuple[int, ...] = (1, 8, 8), seed: int = 0, **params) -> DFCVAE:
    model = aecore.build("dfc_vae", shape, seed, **{"code": 3, "width": 16, **params})
    assert isinstance(model, DFCVAE)
    return model


def rows(model: DFCVAE, data: Data, **plan) -> list[dict]:
    plan = {"epochs": 4, "batch": 16, "held_out": 16, "precision": "fp32", **plan}
    return list(Training(model, data, Plan(**plan), "cpu"))


# --- terms, weights, stages -------------------------------------------------------------------------------


def test_who_lowers_what_at_which_stage():
    model = small(alpha=0.7, beta=30.0, pretraining=0.4)
    for progress in (0.0, 0.39):
        players = model.players(progress)
        assert {name: dict(player.weights) for name, player in players.items()} == {"classifier": {"label": 1.0}}
        assert players["classifier"].networks == (model.eye,)
    for progress in (0.4, 1.0):
        players = model.players(progress)
        weights = {name: dict(player.weights) for name, player in players.items()}
        assert weights == {"autoencoder": {"features": 30.0, "kl": 0.7}}
        assert players["autoencoder"].networks == (model.encoder, model.decoder)  # and not the frozen network
    for untrained in (small(pretraining=0.0), small(features="mobilenet_v2", pretraining=0.4)):
        assert set(untrained.players(0.0)) == {"autoencoder"}  # nothing is to be learnt first


def compared(model: DFCVAE, x: Tensor, x_hat: Tensor) -> list[Tensor]:
    """Σ_l ‖Φ_l(x) − Φ_l(x̂)‖² / (2 C_l H_l W_l s_l) of each example, block after block through the layers."""
    found = [torch.zeros(())] * len(x)
    for at, block in enumerate(model.eye.blocks[: model.last], 1):
        x, x_hat = block(x).detach(), block(x_hat)
        if at >= model.first:
            for i in range(len(x)):
                squares = sum((a - b) ** 2 for a, b in zip(x[i], x_hat[i], strict=True)).sum()
                found[i] = found[i] + squares / (2 * x[i].numel() * float(model.scale[at - model.first]))
    return found


def test_the_terms_are_those_of_a_draw_of_the_posterior():
    model, x = small(first=2, last=3, net="dense"), torch.rand(5, 1, 8, 8)
    model.scale.copy_(torch.tensor([0.3, 2.5]))
    out = model.encoder(x)
    torch.manual_seed(4)
    found = model.terms(Batch(x), ("autoencoder",))
    torch.manual_seed(4)
    z = out[:, :3] + (out[:, 3:] / 2).exp() * torch.empty(5, 3).normal_()
    x_hat = model.decoder(z).sigmoid()
    assert found["features"].tolist() == pytest.approx(
        [float(one.detach()) for one in compared(model, x, x_hat)], rel=1e-4
    )
    kl = [
        sum(0.5 * (m * m + math.exp(v) - 1 - v) for m, v in zip(*row.tolist(), strict=True))
        for row in out.detach().view(5, 2, 3)
    ]
    assert found["kl"].tolist() == pytest.approx(kl, rel=1e-4) and set(found) == {"features", "kl"}
    of_the_mean = compared(model, x, model.decoder(out[:, :3]).sigmoid())
    assert (found["features"] - torch.stack(of_the_mean)).abs().min() > 1e-4


def test_the_classifiers_loss_is_the_cross_entropy_on_labels_or_on_turns():
    model, x, y = small(), torch.rand(6, 1, 8, 8), torch.tensor([3, 63, 0, 64, 70, 5])

    def cross_entropy(x: Tensor, y: Tensor) -> list[float]:
        logits = model.eye(x).tolist()
        return [math.log(sum(map(math.exp, row))) - row[k] for row, k in zip(logits, y.tolist(), strict=True)]

    found = model.terms(Batch(x, y), ("classifier",))
    assert set(found) == {"label"}
    assert found["label"].tolist() == pytest.approx(cross_entropy(x, torch.tensor([3, 63, 0, 0, 6, 5])), rel=1e-4)
    torch.manual_seed(8)
    found = model.terms(Batch(x), ("classifier",))["label"].tolist()
    torch.manual_seed(8)
    quarters = torch.randint(4, (6,))
    images = torch.stack([one.rot90(int(k), (1, 2)) for one, k in zip(x, quarters, strict=True)])
    assert len(quarters.unique()) > 2 and found == pytest.approx(cross_entropy(images, quarters), rel=1e-4)


def test_gradients_pass_through_the_frozen_network_to_the_reconstruction_alone():
    torch.manual_seed(0)
    model = small(first=1, last=2)
    model.scale.copy_(torch.tensor([0.5, 3.0]))
    x, x_hat = (torch.rand(2, 1, 8, 8).requires_grad_() for _ in range(2))
    of_x, slope = torch.autograd.grad(model.distance(x, x_hat).sum(), (x, x_hat), allow_unused=True)
    assert of_x is None or not of_x.any()
    (expected,) = torch.autograd.grad(torch.stack(compared(model, x, x_hat)).sum(), x_hat)
    assert torch.allclose(slope, expected, rtol=1e-3, atol=1e-6) and slope.abs().max() > 1e-3
    net = small(features="mobilenet_v2", last=1)
    y = torch.rand(2, 1, 8, 8).requires_grad_()
    net.distance(torch.rand(2, 1, 8, 8), y).sum().backward()
    assert y.grad.abs().max() > 0 and not any(buffer.requires_grad for buffer in net.eye.buffers())


def test_the_scale_is_the_variance_of_features_over_the_data_as_a_mean_over_channels_and_places():
    data = conftest.images(n=24)
    model = small(data.shape, first=2, last=4, pretraining=0.5)
    with torch.no_grad():
        model.on_epoch_start(data.train, 0.4)
        assert model.scale.tolist() == [1, 1, 1]  # the classifier still learns
        model.on_epoch_start(data.train, 0.5)
        features = model.eye.features(data.train.batch(torch.arange(24)).x)[1:4]
    for found, f in zip(model.scale.tolist(), features, strict=True):
        values = f.flatten(1).double().numpy()
        assert found == pytest.approx(float(np.mean(np.mean(values**2, 0) - np.mean(values, 0) ** 2)), rel=1e-4)
    with torch.no_grad():
        model.on_epoch_start(Images(torch.full((24, 1, 8, 8), 7, dtype=torch.uint8)), 1.0)
    assert model.scale.tolist() == pytest.approx([1e-12] * 3)  # nothing varies; and nothing is divided by 0


@pytest.mark.parametrize(
    ("n", "numbers", "looked_at"), [(700, 10**9, 512), (700, 64 * 30, 30), (700, 1, 16), (9, 1, 9)]
)
def test_the_scale_is_estimated_from_images_spread_over_all_of_them(n, numbers, looked_at, monkeypatch):
    monkeypatch.setattr(perceptual, "SEEN", numbers)
    model, asked = small(pretraining=0.0), []
    split = TensorSplit(torch.rand(n, 1, 8, 8))
    take = split.batch
    monkeypatch.setattr(split, "batch", lambda index: asked.append(index.tolist()) or take(index))
    with torch.no_grad():
        model.on_epoch_start(split, 0.0)
    (index,) = asked
    assert len(index) == looked_at and index[0] == 0 and index[-1] == n - 1
    steps = np.diff(index)
    assert steps.min() >= 1 and steps.max() - steps.min() <= 1


def test_a_blocks_features_are_named_from_one():
    model, x = small(first=2, last=3), torch.rand(2, 1, 8, 8)
    h = x
    for block in range(1, 6):
        h = model.eye.blocks[block - 1](h)
        assert torch.equal(model.features(x, block), h)


def test_the_classifier_pools_before_each_block_but_the_first_until_four_pixels_and_reads_the_mean():
    eye = Classifier((3, 9, 12))
    kinds = [[type(layer).__name__ for layer in block] for block in eye.blocks]
    convolutions = ["Conv2d", "ReLU", "Conv2d", "ReLU"]
    assert kinds == [convolutions, *[["AvgPool2d", *convolutions]] * 2, *[convolutions] * 2]  # 9, 5, 3
    x = torch.rand(2, 3, 9, 12)
    h = x
    for block in eye.blocks:
        for layer in block:
            h = F.avg_pool2d(h, 2, ceil_mode=True) if isinstance(layer, nn.AvgPool2d) else layer(h)
    mean = torch.stack([h[..., i, j] for i in range(3) for j in range(3)]).mean(0)
    assert torch.allclose(eye(x), mean @ eye.head.weight.T + eye.head.bias, atol=1e-5)
    convolution = Classifier((64, 8, 8)).blocks[4][-2]
    assert float(convolution.weight.detach().var()) * 9 * 64 == pytest.approx(2, rel=0.1)  # He's
    assert not convolution.bias.detach().any()


# --- the classifier ---------------------------------------------------------------------------------------


def test_first_the_classifier_learns_then_it_is_held():
    data = conftest.images()
    model = small(data.shape, pretraining=0.5)
    began = {name: value.clone() for name, value in model.state_dict().items()}
    training = Training(model, data, Plan(epochs=4, batch=16, precision="fp32"), "cpu")
    terms, states = [], []
    for row in training:
        terms.append(set(row["train"]))
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    assert terms == [{"label", "loss"}] * 4 + [{"features", "kl", "loss"}] * 4

    def moved(a: dict[str, Tensor], b: dict[str, Tensor], part: str) -> list[bool]:
        return [not torch.equal(a[name], b[name]) for name in a if name.startswith(part)]

    assert all(moved(began, states[3], "eye")) and not any(moved(began, states[3], "encoder"))
    assert not any(moved(states[3], states[-1], "eye")) and all(moved(states[3], states[-1], "encoder"))


def test_the_classifier_is_saved_with_the_model():
    data = conftest.images()
    model = small(data.shape)
    rows(model, data)
    run = create("dfc_vae", DataSpec(name="digits"), {"code": 3, "width": 16})
    run.save(shape=data.shape)
    run.save_model(model)
    loaded = Run.open(run.path).model()
    for name, value in model.eye.state_dict().items():
        assert torch.equal(loaded.eye.state_dict()[name], value.contiguous()), name
    assert torch.equal(loaded.scale, model.scale) and (model.scale != 1).all()


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6, 4)])
def test_images_are_turned_by_what_is_said(shape):
    torch.manual_seed(0)
    x = torch.rand(40, *shape)
    found, way = turned(x)
    assert set(way.tolist()) == {0, 1, 2, 3}
    for before, after, k in zip(x, found, way.tolist(), strict=True):
        square = shape[1] == shape[2]
        expected = before.rot90(k, (1, 2)) if square else before.flip([dim for dim in (2, 1) if k >> (2 - dim) & 1])
        assert torch.equal(after, expected), k


def test_more_labels_than_the_classifier_has_do_no_harm():
    y = torch.tensor([3, 67, 300])
    model = small()
    x = torch.rand(3, 1, 8, 8)
    found = model.terms(Batch(x, y), ("classifier",))["label"]
    assert torch.allclose(found, F.cross_entropy(model.eye(x), torch.tensor([3, 3, 44]), reduction="none"))


def test_blocks_halve_the_image_and_are_counted_from_one():
    eye = Classifier((1, 28, 28))
    x = torch.rand(2, 1, 28, 28)
    assert [tuple(f.shape[1:]) for f in eye.features(x)] == [
        (32, 28, 28),
        (32, 14, 14),
        (64, 7, 7),
        (64, 4, 4),
        (64, 4, 4),
    ]
    assert torch.equal(eye.features(x, 2, 3)[0], eye.features(x)[1]) and len(eye.features(x, 2, 3)) == 2


def test_the_distance_is_the_equations():
    torch.manual_seed(0)
    model = small(first=3, last=2)  # in either order
    model.on_epoch_start(conftest.images().train, 1.0)
    x, x_hat = torch.rand(2, 4, 1, 8, 8)
    with torch.no_grad():
        found = model.distance(x, x_hat)
        blocks = list(zip(model.eye.features(x)[1:3], model.eye.features(x_hat)[1:3], strict=True))
    for i in range(4):
        naive = sum(
            float((a[i] - b[i]).square().sum()) / (2 * a[i].numel() * float(s))
            for (a, b), s in zip(blocks, model.scale, strict=True)
        )
        assert float(found[i]) == pytest.approx(naive, rel=1e-4)
    assert model.distance(x, x).abs().max() == 0


def test_a_lost_image_costs_half_a_unit_for_each_block():
    data = conftest.images()
    model = small(data.shape)
    model.on_epoch_start(data.train, 1.0)
    x = data.train.batch(torch.arange(32)).x
    features = model.eye.features(x, 1, 3)
    mean = sum((f - f.mean(0)).square().mean() / (2 * s) for f, s in zip(features, model.scale, strict=True))
    assert float(mean.detach()) == pytest.approx(1.5, rel=1e-4)


# --- torchvision's nets -----------------------------------------------------------------------------------


def test_a_frozen_net_moves_along_but_is_neither_trained_nor_saved():
    data = conftest.images()
    model = small(data.shape, features="mobilenet_v2")
    model.eye.load()
    before = {name: value.clone() for name, value in model.eye.named_buffers()}
    found = rows(model, data, epochs=1, lr=0.1)
    assert all("label" not in row["train"] for row in found)  # nothing to learn first
    assert before and all(torch.equal(value, before[name]) for name, value in model.eye.named_buffers())
    assert list(model.eye.parameters()) == []
    assert not any(name.startswith("eye") for name in model.state_dict())
    assert {value.dtype for value in model.double().eye.buffers() if value.is_floating_point()} == {torch.float64}
    assert {value.device.type for value in model.to("meta").eye.buffers()} == {"meta"}


VGG = [(64, 64), (128, 32), (256, 16), (512, 8), (512, 4)]
SHAPES = {"mobilenet_v2": [(16, 32), (24, 16), (32, 8), (96, 4), (320, 2)], "vgg19": VGG, "vgg19_bn": VGG}


@pytest.mark.parametrize("name", list(TAPS))
def test_a_torchvision_net_freezes_the_same_way(name):
    net = Frozen(name)
    net.load()
    net.train()
    assert not any(module.training for module in net.modules())
    assert not net.state_dict() and not list(net.parameters())
    x = torch.rand(2, 1, 64, 64)
    features = net.features(x)
    assert [(f.shape[1], f.shape[2]) for f in features] == SHAPES[name]
    assert len(Frozen(name, 3).features(x, 2, 3)) == 2
    if name.startswith("vgg"):  # relu1_1 … relu5_1: the first ReLU, and the first after each pooling
        kinds = [type(layer).__name__ for layer in net.layers]
        pools = [0, *(index for index, kind in enumerate(kinds) if kind == "MaxPool2d")]
        assert TAPS[name] == tuple(kinds.index("ReLU", start) for start in pools)
        assert all(f.min() == 0 for f in features)


def test_imagenets_normalisation_is_applied():
    net = Frozen("vgg19", 1)
    net.load()
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    bias = net.layers[0].bias.relu().view(1, 64, 1, 1).expand(1, 64, 8, 8)
    assert torch.allclose(net.features(grey)[0], bias, atol=1e-6)  # the mean colour is 0 to the net
    one = grey + torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)  # and a standard deviation more is 1
    expected = net.layers[0](torch.ones(1, 3, 8, 8)).relu()
    assert torch.allclose(net.features(one)[0], expected, atol=1e-5)


def test_a_net_that_cannot_be_had_is_refused_with_the_remedy_and_needed_by_the_loss_alone(monkeypatch):
    data = conftest.images()
    params = {"features": "vgg19", "last": 2, "code": 3, "width": 16}
    trained = small(data.shape, **params)
    rows(trained, data, epochs=1)

    def offline(name, weights):
        raise OSError("no route to host")

    from torchvision import models

    monkeypatch.setattr(models, "get_model", offline)
    run = create("dfc_vae", DataSpec(name="digits", size=8, limit=100), params, Plan(epochs=1))
    assert Session(run).train("cpu") == "failed"
    assert re.search("features: vgg19 could not be downloaded.*choose classifier", run.info.reason)
    run.save_model(trained)  # by another computer, which had it
    loaded, z = run.model(), torch.zeros(2, 3)
    assert torch.equal(loaded.decode(z), trained.eval().decode(z))
    with pytest.raises(FieldError, match="features: vgg19 could not be downloaded"):
        loaded.terms(Batch(torch.rand(2, 1, 8, 8)), ("autoencoder",))


@pytest.mark.parametrize("looking", [torch.inference_mode, torch.no_grad])
def test_who_looks_first_need_not_be_who_trains(looking):
    torch.manual_seed(0)
    model, x = small(features="mobilenet_v2").double(), torch.rand(2, 1, 8, 8).double()  # converted, as for a GPU
    state = torch.get_rng_state()
    with looking():
        model.distance(x, x)
    assert torch.equal(torch.get_rng_state(), state)
    x.requires_grad_()
    model.distance(torch.rand(2, 1, 8, 8).double(), x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_images_too_small_for_a_block_are_refused_with_the_remedy():
    with pytest.raises(FieldError, match=r"last: block 5 of vgg19 .*16×16"):
        small(features="vgg19", last=5)
    small((1, 16, 16), features="vgg19", last=5).terms(Batch(torch.rand(2, 1, 16, 16)), ("autoencoder",))
