"""Terms, players and stages of the plain autoencoders, and what all models share, against obvious second versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import Batch
from aecore.catalog import CATALOG
from aecore.data.base import Data, DataSpec, Images
from aecore.errors import FieldError
from aecore.models import base
from aecore.models.base import Conditioned, GaussianCode, Mirrored, PlainCode, Player, freeze_encoder_from, total
from aecore.models.entry import Param
from aecore.models.regularised import erasures
from aecore.nn import networks
from aecore.nn.distributions import RingMixture, StandardNormal
from tests import naive
from tests.conftest import images, with_attributes

SHAPE = (1, 4, 6)


def some(n: int = 5, shape: tuple[int, ...] = SHAPE, seed: int = 5) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def recon(model, x: Tensor, players=("autoencoder",)) -> list[float]:
    return model.terms(Batch(x), players)["recon"].tolist()


# --- linear and deep ----------------------------------------------------------------------------------------------


def test_the_linear_model_is_two_matrices_and_its_loss_the_squared_error_of_each_example():
    model, x = aecore.build("linear", SHAPE, code=3), some()
    A, B = model.encoder[1], model.decoder[0]
    for parameter in model.requires_grad_(False).parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    expected = []
    for image in x.flatten(1):
        h = [float((A.weight[j] * image).sum() + A.bias[j]) for j in range(3)]
        x_hat = [sum(float(B.weight[i, j]) * h[j] for j in range(3)) + float(B.bias[i]) for i in range(24)]
        expected.append(sum((float(u) - v) ** 2 for u, v in zip(image, x_hat, strict=True)))
    assert recon(model, x) == pytest.approx(expected, rel=1e-4)
    answers = model.decode(10 * model.encode(x))
    assert answers.shape == x.shape and (answers.min() < 0 or answers.max() > 1)  # not squashed


def test_the_linear_model_starts_from_orthonormal_columns_and_their_transpose():
    model = aecore.build("linear", SHAPE, 3, code=7)
    A, B = model.encoder[1].weight, model.decoder[0].weight
    assert torch.allclose(B.T @ B, torch.eye(7), atol=1e-5) and torch.equal(A, B.T)
    assert not model.encoder[1].bias.any() and not model.decoder[0].bias.any()
    assert not torch.equal(B, aecore.build("linear", SHAPE, 4, code=7).decoder[0].weight)  # the seed counts
    assert torch.equal(B, aecore.build("linear", SHAPE, 3, code=7).decoder[0].weight)
    (player,) = model.players().values()
    assert player.betas == (0.9, 0.95) and player.lr == 1 and dict(player.weights) == {"recon": 1.0}
    assert set(player.networks) == {model.encoder, model.decoder}


@pytest.mark.parametrize("distance", ["squared", "bernoulli"])
@pytest.mark.parametrize("key", ["deep", "denoising", "sparse_l1", "sparse_kl", "contractive", "rae"])
def test_the_reconstruction_term_is_the_chosen_distance_between_the_input_and_its_answer(key, distance):
    model, x = aecore.build(key, SHAPE, code=3, width=16, distance=distance), some()
    seen = x
    if key == "denoising":  # the clean image is the target, whatever was seen
        torch.manual_seed(3)
        seen = x + 0.5 * torch.empty_like(x).normal_()
    torch.manual_seed(3)
    found = recon(model, x)
    assert found == pytest.approx(naive.distances(distance, x, model.decode(model.encode(seen))), rel=1e-4)
    if key == "denoising":
        assert found != pytest.approx(naive.distances(distance, seen.clamp(0, 1), model.decode(model.encode(seen))))


@pytest.mark.parametrize("key", ["linear", "deep", "denoising", "sparse_l1", "sparse_kl", "contractive", "rae"])
def test_the_reconstruction_term_reaches_every_weight(key):
    model = aecore.build(key, SHAPE, code=3)
    term = model.terms(Batch(some()), ("autoencoder",))["recon"]
    reached = torch.autograd.grad(term.sum(), [*model.parameters()], allow_unused=True)
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in reached)


def test_a_plain_code_is_a_point_and_its_error_that_of_the_decoded_code():
    class Plain(PlainCode):
        pass

    x, h = some(), torch.randn(5, 3)
    for distance in ("squared", "bernoulli"):
        model = Plain(SHAPE, 3, distance, width=16)
        expected = naive.distances(distance, x, model.decode(h))
        assert model.reconstruction_error(x, h).tolist() == pytest.approx(expected, rel=1e-4)
    assert Plain(SHAPE, 3).distance == "squared"
    assert torch.equal(model.encode(x), model.encoder(x)) and torch.equal(model.decode(h), model.decoder(h).sigmoid())


# --- stacked ------------------------------------------------------------------------------------------------------


def test_the_layers_of_a_stack_halve_their_width_and_those_of_convolutions_double_their_channels():
    dense = aecore.build("stacked", SHAPE, code=3, layers=4, width=16)
    sizes = [[part.weight.shape for part in (dense.layer(k)[0][1], dense.layer(k)[1][0])] for k in range(1, 5)]
    assert sizes == [[(16, 24), (24, 16)], [(8, 16), (16, 8)], [(4, 8), (8, 4)], [(3, 4), (4, 3)]]
    assert dense.layers == 4 and len(dense.encoder) == len(dense.decoder) == 7
    narrow = aecore.build("stacked", SHAPE, code=3, layers=5, width=16)
    assert narrow.layer(4)[0][1].weight.shape == (4, 4)  # never fewer than four units
    conv = aecore.build("stacked", (3, 16, 18), code=3, flavour="convolutional", layers=6, width=128)
    shapes = [conv.layer(k)[0].weight.shape for k in (1, 2)]
    assert shapes == [(8, 3, 4, 4), (16, 8, 4, 4)]
    assert conv.layers == 3 and conv.layer(3)[0][1].weight.shape == (3, 16 * 4 * 4)  # from 16 and 18 to 4 and 4
    assert conv.decode(torch.randn(2, 3)).shape == (2, 3, 16, 18)
    activations = [type(module) for module in dense.encoder]
    assert activations[1::2] == [nn.Sigmoid] * 3 and nn.Sigmoid not in activations[::2]
    with pytest.raises(FieldError, match="give denoising"):
        aecore.build("stacked", (12,), flavour="convolutional")


def test_a_stack_trains_each_layer_in_turn_and_then_the_whole():
    model = aecore.build("stacked", SHAPE, code=3, layers=3, width=16, stages=0.6)
    moments = {0.0: 1, 0.19: 1, 0.21: 2, 0.39: 2, 0.41: 3, 0.599: 3}
    for progress, k in moments.items():
        ((name, player),) = model.players(progress).items()
        assert name == f"stage {k}" and dict(player.weights) == {"stage": 1.0}
        assert set(player.networks) == set(model.layer(k)) and player.lr == 1
    for progress in (0.6, 0.61, 1.0):
        ((name, player),) = model.players(progress).items()
        assert name == "whole" and dict(player.weights) == {"recon": 1.0}
        assert set(player.networks) == {model.encoder, model.decoder}
    assert tuple(aecore.build("stacked", SHAPE, stages=0.0).players(0.0)) == ("whole",)


@pytest.mark.parametrize("distance", ["squared", "bernoulli"])
@pytest.mark.parametrize("flavour", ["denoising", "convolutional"])
def test_a_stage_gives_back_the_clean_layer_below_from_a_part_of_it(flavour, distance):
    shape = (1, 8, 12)
    model, x = aecore.build("stacked", shape, p=0.5, code=3, layers=2, width=64, flavour=flavour), some(4, shape)
    model.distance = distance
    (A1, B1), (A2, B2) = (model.layer(k) for k in (1, 2))
    h1 = A1(x).sigmoid()
    for stage, h, A, B in (("stage 1", x, lambda v: A1(v).sigmoid(), B1), ("stage 2", h1, A2, B2)):
        torch.manual_seed(3)
        damaged = h * torch.empty_like(h).bernoulli_(0.5) if flavour == "denoising" else h
        torch.manual_seed(3)
        found = model.terms(Batch(x), (stage,))
        assert set(found) == {"stage"}
        assert found["stage"].tolist() == pytest.approx(naive.distances(distance, h, B(A(damaged)).sigmoid()), rel=1e-3)
    whole = model.terms(Batch(x), ("whole",))
    answer = B1(B2(A2(A1(x).sigmoid())).sigmoid()).sigmoid()
    assert set(whole) == {"recon"}
    assert whole["recon"].tolist() == pytest.approx(naive.distances(distance, x, answer), rel=1e-3)


def test_a_stage_of_a_stack_of_three_gives_back_the_clean_layer_below():
    x = torch.rand(6, 1, 8, 8)
    model = aecore.build("stacked", (1, 8, 8), p=1.0, layers=3, width=16, code=3)
    (A1, B1), (A2, B2), (A3, B3) = (model.layer(k) for k in (1, 2, 3))
    h1 = A1(x).sigmoid()
    h2 = A2(h1).sigmoid()
    wanted = {"stage 1": x - B1(h1).sigmoid(), "stage 2": h1 - B2(h2).sigmoid(), "stage 3": h2 - B3(A3(h2)).sigmoid()}
    for stage, difference in wanted.items():
        found = model.terms(Batch(x), (stage,))["stage"]
        assert torch.allclose(found, difference.square().flatten(1).sum(1), atol=1e-5)
    assert torch.allclose(model.encode(x), A3(h2))
    assert torch.allclose(model.decode(A3(h2)), B1(B2(B3(A3(h2)).sigmoid()).sigmoid()).sigmoid())
    answers = [B1(h1).sigmoid(), B1(B2(h2).sigmoid()).sigmoid(), model.decode(model.encode(x))]
    for k, answer in enumerate(answers, 1):
        assert torch.allclose(model.through(x, k), answer, atol=1e-6)
    below = torch.autograd.grad(model.terms(Batch(x), ("stage 2",))["stage"].sum(), A1.parameters(), allow_unused=True)
    assert all(gradient is None for gradient in below)  # the layers below are fixed
    own = torch.autograd.grad(model.terms(Batch(x), ("stage 2",))["stage"].sum(), [A2[1].weight, B2[0].weight])
    assert all(gradient.abs().sum() > 0 for gradient in own)
    model.p = 0.5  # part of the layer below is erased, and must still be given back
    torch.manual_seed(3)
    found = model.terms(Batch(x), ("stage 2",))["stage"]
    torch.manual_seed(3)
    repaired = B2(A2(erasures(h1, 0.5)).sigmoid()).sigmoid()
    assert torch.allclose(found, (h1 - repaired).square().flatten(1).sum(1), atol=1e-5)


# --- what all models share ----------------------------------------------------------------------------------------


def test_the_loss_of_a_player_is_the_weighted_sum_of_the_means_of_its_terms():
    terms = {"a": torch.tensor([1.0, 2.0, 6.0]), "b": torch.tensor(5.0), "unused": torch.tensor([100.0])}
    assert float(total(terms, {"a": 0.5, "b": -2.0})) == pytest.approx(0.5 * 3 - 2 * 5)
    assert Player((nn.Identity(),), {}).betas == (0.9, 0.999) and Player((nn.Identity(),), {}).lr == 1


class Coded(Mirrored):
    abilities = Mirrored.abilities | {"sample"}


def test_draws_are_decoded_codes_of_the_prior_whose_spread_is_the_temperature():
    model = Coded(SHAPE, 3, width=16)
    assert isinstance(model.prior, StandardNormal) and model.prior.size == 3 and model.has_standard_prior
    z = torch.empty(4, 3).normal_(generator=torch.Generator().manual_seed(2))
    found = model.sample(4, 0.3, torch.Generator().manual_seed(2))
    assert torch.allclose(found, torch.sigmoid(model.decoder(0.3 * z)), atol=1e-6)
    ring = Coded(SHAPE, 2, width=16, prior=RingMixture(2))
    assert not ring.has_standard_prior and ring.prior.components == 10
    first = ring.sample(3, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(
        first, ring.decode(RingMixture(2).sample(3, torch.zeros(1), 1.0, torch.Generator().manual_seed(1)))
    )
    assert model.output_size == 24
    assert aecore.build("deep", SHAPE, 5, width=16).decoder[0][0].weight.shape == (16, 16)


def test_a_gaussian_code_is_the_first_half_of_its_encoders_answer_and_its_log_variance_the_second():
    class Stochastic(GaussianCode):
        pass

    model, x = Stochastic(SHAPE, 3, width=16), some()
    answer = model.encoder(x)
    assert answer.shape == (5, 6)
    q = model.posterior(x)
    assert torch.equal(q.mu, answer[:, :3]) and torch.equal(q.logvar, answer[:, 3:])
    assert torch.equal(model.encode(x), answer[:, :3])
    assert model.decode(q.mu).shape == (5, *SHAPE)


def test_the_schedule_of_a_step_is_one_turn_of_all_players():
    model = aecore.build("deep", SHAPE, width=16)
    assert model.update_schedule() == (("autoencoder",),)
    assert aecore.build("stacked", SHAPE, stages=0.5).update_schedule(0.0) == (("stage 1",),)


class Conditional(Conditioned, Mirrored):
    def __init__(self, classes: int = 0, attributes: int = 0):
        size = self.__dict__.setdefault("size", 0)
        super().__init__(SHAPE, 2, width=16)
        self.size = self.condition_on(classes, attributes) + size


def test_conditions_are_one_hot_labels_or_attributes_from_minus_one_to_one():
    labels, traits, free = Conditional(classes=4), Conditional(attributes=3), Conditional()
    assert (labels.size, traits.size, free.size) == (4, 3, 0) and free.condition_vector(None, 3) is None
    assert labels.condition_vector(torch.tensor([2, 0]), 2).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert labels.condition_vector(None, 2).tolist() == [[0.25] * 4] * 2
    shares = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    assert torch.equal(labels.condition_vector(shares, 1), shares)
    assert traits.condition_vector(torch.tensor([[0.0, 1.0, 1.5]]), 1).tolist() == [[-1, 1, 2]]
    assert traits.condition_vector(None, 2).tolist() == [[0, 0, 0]] * 2
    batch = Batch(some(2), torch.tensor([1, 3]), None, torch.tensor([[1.0, 0.0, 1.0]] * 2))
    assert labels.condition_of(batch) is batch.y and traits.condition_of(batch) is batch.attributes
    with pytest.raises(FieldError, match="at once"):
        Conditional(classes=2, attributes=2)


def test_a_tenth_of_the_conditions_is_unknown_while_a_model_trains_and_none_otherwise():
    model = Conditional(classes=4)
    c = model.condition_vector(torch.arange(4).repeat(5000), 20_000)
    dropped = model.train().condition_dropout(c)
    unknown = (dropped == 0.25).all(1)
    assert float(unknown.float().mean()) == pytest.approx(0.1, abs=0.01)  # five standard deviations
    assert torch.equal(dropped[~unknown], c[~unknown])
    assert model.eval().condition_dropout(c) is c and model.train().condition_dropout(None) is None


def test_attributes_of_training_examples_are_kept_to_draw_with():
    data, model = with_attributes(images(n=40), 3), Conditional(attributes=3)
    model.on_epoch_start(data.train, 0.0)
    real = data.train.batch(torch.arange(40)).attributes
    assert torch.equal(model.seen_attributes, torch.cat([real, real[:24]]))
    (found,) = model.condition(70)
    assert torch.equal(found, torch.cat([model.seen_attributes, model.seen_attributes[:6]]))
    assert model.condition(1, torch.ones(1, 3))[0].tolist() == [[1, 1, 1]]
    labels = Conditional(classes=3)
    assert labels.condition(5)[0].tolist() == [0, 1, 2, 0, 1] and labels.condition(2, torch.tensor([2, 2]))[
        0
    ].tolist() == [2, 2]
    assert Conditional().condition(4) == ()


def test_data_that_lack_what_a_model_needs_are_refused():
    data = images()
    unlabelled = Data(DataSpec(name="digits"), "made", (1, 8, 8), Images(data.train.pixels), data.test, "made")
    Conditional(classes=2).check(data), Conditional().check(unlabelled)
    for model, given, words in (
        (Conditional(classes=2), unlabelled, "no labels"),
        (Conditional(classes=1), data, "2 classes, more than 1: give 2"),
        (Conditional(attributes=2), data, "no attributes: give 0"),
        (Conditional(), with_attributes(data, 3), None),
        (Conditional(attributes=2), with_attributes(data, 3), "3 attributes: give 3"),
    ):
        if words is None:
            model.check(given)
            continue
        with pytest.raises(FieldError, match=words):
            model.check(given)


def test_a_frozen_encoder_gives_the_codes_of_the_other_and_does_not_learn():
    x = some()
    deep, vae = aecore.build("deep", SHAPE, 1, code=3, width=16), aecore.build("vae", SHAPE, 2, code=3, width=16)
    vae.encoder[-1].bias.data.normal_()
    for other in (aecore.build("deep", SHAPE, 3, code=3, width=16), vae):
        assert not torch.allclose(deep.encode(x), other.encode(x))
        freeze_encoder_from(deep, other)
        assert torch.allclose(deep.encode(x), other.encode(x), atol=1e-5)  # of the posterior its mean
        assert not any(parameter.requires_grad for parameter in deep.encoder.parameters())
        assert all(parameter.requires_grad for parameter in deep.decoder.parameters())
    second = aecore.build("vae", SHAPE, 5, code=3, width=16)
    freeze_encoder_from(second, vae)
    assert torch.allclose(second.posterior(x).logvar, vae.posterior(x).logvar, atol=1e-5)
    for model, other in (
        (aecore.build("deep", SHAPE, code=6, width=16), vae),  # the whole answer of a posterior is not a code
        (aecore.build("deep", SHAPE, code=2, width=16), aecore.build("deep", SHAPE, code=4, width=16)),
        (aecore.build("deep", SHAPE, code=3, width=32), deep),
        (aecore.build("vae", SHAPE, code=3, width=16), deep),
        (aecore.build("linear", SHAPE, code=3), deep),
        (aecore.build("deep", SHAPE, code=3, width=16), aecore.build("linear", SHAPE, code=3)),
    ):
        with pytest.raises(FieldError, match="networks differ"):
            freeze_encoder_from(model, other)
    with pytest.raises(FieldError, match="no encoder"):
        freeze_encoder_from(deep, aecore.build("pixelcnn", (1, 8, 8), width=8, layers=1))


def test_abilities_are_those_that_a_class_adds():
    assert base.Autoencoder.abilities == {"encode", "decode"} and base.Decoding.abilities == {"decode", "sample"}
    assert base.Stochastic.abilities == {"encode", "decode", "sample", "posterior"}
    assert CATALOG["stacked"].abilities == {"encode", "decode", "layers"}
    assert CATALOG["denoising"].abilities == CATALOG["mae"].abilities == {"encode", "decode", "corrupt"}


# --- hyperparameters ----------------------------------------------------------------------------------------------


def test_a_parameter_takes_its_range_with_both_ends_and_nothing_else():
    whole, number = Param(3, 1, 6), Param(0.5, -1.0, 2.0)
    choice, switch = Param("a", choices=("a", "b")), Param(True)
    good = [(whole, 1, 1), (whole, "6", 6), (whole, 2.0, 2), (number, "-1", -1.0), (number, 2, 2.0), (choice, "b", "b")]
    good += [(switch, "False", False), (switch, "1", True), (switch, False, False), (switch, 0, False)]
    for param, value, wanted in good:
        try:
            found = param.check("it", value)
        except FieldError as refused:
            found = refused
        assert found == wanted and type(found) is param.type
    bad = [(whole, 0), (whole, 7), (whole, 2.5), (whole, True), (whole, "x"), (whole, None), (number, -1.01)]
    bad += [(number, 2.01), (number, math.nan), (number, math.inf), (choice, "c"), (switch, 2), (switch, "yes")]
    for param, value in bad:
        with pytest.raises(FieldError, match="is not allowed; give ") as caught:
            param.check("it", value)
        assert caught.value.field == "it" and param.allowed in str(caught.value)
    assert whole.allowed == "a whole number from 1 to 6" and number.allowed == "a number from -1 to 2"
    assert choice.allowed == "one of a, b" and switch.allowed == "true or false"


def test_an_entry_fills_in_defaults_and_refuses_unknown_names():
    stacked = CATALOG["stacked"]
    assert stacked.check({"p": "0.5"}) == {name: p.default for name, p in stacked.params.items()} | {"p": 0.5}
    with pytest.raises(FieldError, match="has no such parameter; it has code, flavour"):
        stacked.check({"lam": 1})
    assert stacked.sequential is False and stacked.recommends is None


# --- networks -----------------------------------------------------------------------------------------------------


def test_weights_start_as_he_says_and_those_of_a_decoders_first_layer_with_unit_variance():
    hidden = networks.linear(50, 4000).requires_grad_(False)
    assert float(hidden.weight.std()) == pytest.approx(math.sqrt(2 / 50), rel=0.02) and not hidden.bias.any()
    assert abs(float(hidden.weight.mean())) < 0.005
    first = networks.of_codes(9, 20_000).requires_grad_(False)
    assert float(first.weight.std()) == pytest.approx(1 / 3, rel=0.02)
    assert float(first.bias.std()) == pytest.approx(1, rel=0.03) and abs(float(first.bias.mean())) < 0.04
    answers = first(torch.randn(500, 9))
    assert float(answers.var()) == pytest.approx(2, rel=0.1)  # half of it does not depend on the code


def test_dense_networks_have_relus_between_their_layers_and_none_after_the_last():
    x, z = some() - 0.3, torch.randn(5, 3)
    encoder, decoder = networks.encoder("dense", SHAPE, 2, 16), networks.decoder("dense", 3, SHAPE, 16)
    critic, size = networks.critic_trunk("dense", SHAPE, 16)
    trunk, same = networks.trunk("dense", SHAPE, 16)
    assert size == same == 16
    for net, given, ends, slope in (
        (encoder, x.flatten(1), False, 0.0),
        (decoder, z, False, 0.0),
        (critic, x.flatten(1), True, 0.2),
        (trunk, x.flatten(1), True, 0.0),
    ):
        layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
        assert len(layers) == (3 if not ends else 2)
        for layer in layers:
            layer.bias.data.normal_()
        h = given
        for k, layer in enumerate(layers):
            h = h @ layer.weight.T + layer.bias
            if ends or k < len(layers) - 1:
                h = torch.where(h > 0, h, slope * h)
        assert torch.allclose(net(given if net is decoder else x).flatten(1), h, atol=1e-5)
    assert decoder(z).shape == (5, *SHAPE)
    sizes = [layer.weight.shape for layer in decoder.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(16, 3), (16, 16), (24, 16)]


def test_a_dense_decoder_begins_with_the_layer_that_was_asked_for():
    made = []

    def first(inputs: int, outputs: int) -> nn.Linear:
        made.append(nn.Linear(inputs, outputs))
        return made[0]

    decoder = networks.decoder("dense", 3, SHAPE, 16, first)
    assert made == [next(layer for layer in decoder.modules() if isinstance(layer, nn.Linear))]
    default = networks.decoder("dense", 3, SHAPE, 256)
    biases = [layer.bias.detach().std() for layer in default.modules() if isinstance(layer, nn.Linear)]
    assert float(biases[0]) == pytest.approx(1, abs=0.2) and float(biases[1]) == float(biases[2]) == 0


def test_a_mirrored_autoencoder_has_the_networks_and_the_first_layer_that_were_asked_for():
    model = Mirrored(SHAPE, 3, width=32, outputs=5, first=networks.linear)
    first = next(layer for layer in model.decoder.modules() if isinstance(layer, nn.Linear))
    assert model.encoder(some()).shape == (5, 5) and not first.bias.any() and first.weight.shape == (32, 3)
    usual = next(layer for layer in Mirrored(SHAPE, 3).decoder.modules() if isinstance(layer, nn.Linear))
    assert usual.bias.all() and usual.weight.shape == (512, 3)
    conv = Mirrored((1, 8, 8), 3, "conv", 64)
    assert conv.encoder[0].weight.shape == (4, 1, 4, 4) and conv.decoder(torch.randn(2, 3)).shape == (2, 1, 8, 8)


def test_images_are_halved_until_the_shorter_side_is_at_most_four():
    assert networks.halvings((1, 28, 28)) == [(28, 28), (14, 14), (7, 7), (3, 3)]
    assert networks.halvings((3, 8, 17)) == [(8, 17), (4, 8)] and networks.halvings((3, 4, 9)) == [(4, 9)]
    assert networks.halvings((3, 17, 10)) == [(17, 10), (8, 5), (4, 2)]
    assert networks.channels(512, 4) == [32, 64, 128, 128] and networks.channels(16, 3) == [4, 8, 16]


def grouped(x: Tensor, layer: nn.GroupNorm) -> Tensor:
    """Each example minus its mean, over its standard deviation, all channels and pixels together."""
    done = []
    for image in x:
        mean, variance = image.mean(), ((image - image.mean()) ** 2).mean()
        done.append((image - mean) / (variance + 1e-5).sqrt() * layer.weight[:, None, None] + layer.bias[:, None, None])
    return torch.stack(done)


@pytest.mark.parametrize("critic", [False, True])
def test_a_convolutional_trunk_is_strided_convolutions_normalised_for_each_example(critic):
    shape, x = (2, 11, 14), some(3, (2, 11, 14))
    net, size = (networks.critic_trunk if critic else networks.trunk)("conv", shape, 96)
    convolutions = [layer for layer in net if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in net if isinstance(layer, nn.GroupNorm)]
    assert [layer.weight.shape for layer in convolutions] == [(6, 2, 4, 4), (12, 6, 4, 4)]
    assert len(norms) == (0 if critic else len(convolutions))
    h = x
    for k, layer in enumerate(convolutions):
        h = naive.strided(h, layer.weight, layer.bias)
        if critic:
            h = torch.where(h > 0, h, 0.2 * h)
        else:
            norms[k].weight.data.uniform_(0.5, 1.5), norms[k].bias.data.normal_()
            h = grouped(h, norms[k]).clamp_min(0)
    assert torch.allclose(net(x), h.flatten(1), atol=1e-4) and size == h[0].numel()


def test_a_convolutional_decoder_is_the_encoder_backwards_to_the_exact_size():
    shape, z = (2, 18, 22), torch.randn(3, 4)
    decoder = networks.decoder("conv", 4, shape, 96)
    transposed = [layer for layer in decoder if isinstance(layer, nn.ConvTranspose2d)]
    norms = [layer for layer in decoder if isinstance(layer, nn.GroupNorm)]
    assert [layer.weight.shape[:2] for layer in transposed] == [(12, 6), (6, 2)] and len(norms) == 1
    first = decoder[0]
    h = (z @ first.weight.T + first.bias).view(3, 12, 4, 5).clamp_min(0)
    for k, (layer, size) in enumerate(zip(transposed, ((9, 11), (18, 22)), strict=True)):
        h = naive.strided_backwards(h, layer.weight, layer.bias, size)
        if k < len(norms):
            norms[k].weight.data.uniform_(0.5, 1.5), norms[k].bias.data.normal_()
            h = grouped(h, norms[k]).clamp_min(0)
    assert torch.allclose(decoder(z), h, atol=1e-4)


@pytest.mark.parametrize("make", [networks.trunk, networks.critic_trunk])
def test_convolutions_of_vectors_are_refused(make):
    with pytest.raises(FieldError, match="give dense"):
        make("conv", (12,), 16)
    with pytest.raises(FieldError, match="give dense"):
        networks.decoder("conv", 3, (12,), 16)


def test_the_code_of_an_image_does_not_depend_on_its_neighbours():
    model, x = aecore.build("deep", (1, 8, 8), code=3, net="conv", width=64).train(), some(4, (1, 8, 8))
    together = model.encode(x)
    assert torch.allclose(together[1:2], model.encode(x[1:2]), atol=1e-5)
    assert np.allclose(networks.Reshape((2, 3))(torch.arange(12.0).view(2, 6)).flatten(1), np.arange(12).reshape(2, 6))
