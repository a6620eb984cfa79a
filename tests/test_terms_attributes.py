"""Oracles of models for attribute edits, of the measure of edits, of its judge, and of what pages compute of edits."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import aecore
from aecore import Batch, DataError, Model
from aecore.data.base import Data, DataSpec, Images
from aecore.explore import edits, single_edit
from aecore.measure import attribute_classifier
from aecore.measure import attribute_edits as measured
from aecore.measure.attribute_classifier import Judge
from aecore.models.attributes import AttributeCritic, MapEncoder, Modulated, ModulatedDecoder, Reader, averaged
from tests.games import agree, kl, log_d, log_not_d, same_table, squares, table

N = 7
SHAPE = (2, 8, 8)
ADAM = (0.5, 0.999)


def small(key: str, **params):
    torch.manual_seed(3)
    return aecore.build(key, SHAPE, seed=3, **{"code": 3, "width": 16, **params})


def batch(attributes: int = 0, labels: int = 4, n: int = N) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, *SHAPE, generator=generator)
    y = torch.randint(labels, (n,), generator=generator)
    marks = torch.randint(2, (n, attributes), generator=generator).float() if attributes else None
    return Batch(x, y, attributes=marks)


def absolute(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([(x - y).abs().sum() for x, y in zip(a, b, strict=True)])


def told(y: Tensor, dropped: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(row) if gone else 2 * row - 1 for row, gone in zip(y, dropped, strict=True)])


# --- attribute ALI --------------------------------------------------------------------------------------------------


def ali_terms(model, batch: Batch, noise: float, given: dict[str, Any]) -> dict[str, Tensor]:
    """The docstring's losses, one example after the other where networks allow it. Draws in the order of the model.

    given: the parameters of the model.
    """
    x, y, n = batch.x, batch.attributes, len(batch.x)
    edited = n // 2 if y is not None and given.get("shuffle", True) else n  # from here on fakes are edits
    c = None if y is None else told(y, torch.rand(n, 1)[:, 0] < model.condition_dropout_rate)
    h = model.encoder(x, c)
    z_hat = h[:, :3] + (h[:, 3:] / 2).exp() * torch.randn(n, 3)
    z = torch.randn(n, 3)
    codes, others = [], []  # of the fakes, and whose attributes they have
    for k in range(n):
        codes.append(z[k] if k < edited else z_hat[k])
        others.append(k if k < edited else (k - 1 if k > edited else n - 1))
    codes = torch.stack(codes)
    c_fake = None if c is None else c[others]
    if given.get("cycle", True):
        both = model.decoder(torch.cat([codes, z_hat]), None if c is None else torch.cat([c_fake, c]))
        x_fake, x_hat = torch.sigmoid(both[:n]), torch.sigmoid(both[n:])
    else:
        x_fake, x_hat = torch.sigmoid(model.decoder(codes, c_fake)), None
    xi = torch.randn(2 * n, *x.shape[1:])
    shown, fakes = x + noise * xi[:n], x_fake + noise * xi[n:]
    seen = None if c is None else torch.cat([c, c_fake])
    logits = model.critic(torch.cat([shown, fakes]), torch.cat([z_hat, codes]), seen)
    real, fake = logits[:n], logits[n:]
    terms = {
        "critic": -log_d(real) - log_not_d(fake),
        "adv": -log_not_d(real) - log_d(fake),
        "cycle": torch.zeros(n) if x_hat is None else absolute(x, x_hat),
        "reading": torch.zeros(n),
        "told": torch.zeros(n),
    }
    if y is not None and given.get("head", True):
        terms["reading"] = entropy(model.reader(2 * shown - 1), y)
        read = entropy(model.reader(2 * fakes - 1), y[others])
        terms["told"] = torch.stack([h * float(bool(row.any())) for h, row in zip(read, c_fake, strict=True)])
    return terms


def entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Σ_a −log p(y_a) of each example."""
    return torch.stack(
        [
            sum(-log_d(logit) if present else -log_not_d(logit) for logit, present in zip(*row, strict=True))
            for row in zip(logits, y, strict=True)
        ]
    )


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize(
    "given",
    [
        {"attributes": 3},
        {"attributes": 3, "cycle": False},
        {"attributes": 3, "head": False},
        {"attributes": 3, "shuffle": False},
        {},
    ],
    ids=str,
)
def test_attribute_alis_terms_and_pulls(given, n):
    model = small("attribute_ali", lam=0.3, read=0.4, **given)
    model.condition_dropout_rate = 0.3
    model.on_step_start(0.3)
    twin, x = deepcopy(model), batch(given.get("attributes", 0), n=n)
    torch.manual_seed(7)
    found = model.terms(x, tuple(model.players()))
    torch.manual_seed(7)
    expected = ali_terms(twin, x, 0.07, given)
    players = {
        "critic": ([twin.critic], {"critic": 1.0}),
        "generator": ([twin.encoder, twin.decoder], {"adv": 1.0, "cycle": 0.3, "told": 0.4}),
    }
    if "attributes" in given and given.get("head", True):
        players["reader"] = ([twin.reader], {"reading": 1.0})
    else:
        players["critic"] = ([twin.critic], {"critic": 1.0, "reading": 1.0})
    agree(model, found, expected, players)


def test_the_players_of_attribute_ali():
    both = ("encoder", "decoder")
    generator = (both, {"adv": 1.0, "cycle": 0.3, "told": 0.4}, 3.0, ADAM)
    same_table(
        table(small("attribute_ali", attributes=3, lam=0.3, read=0.4)),
        {
            "critic": (("critic",), {"critic": 1.0}, 1.0, ADAM),
            "generator": generator,
            "reader": (("reader",), {"reading": 1.0}, 3.0, (0.9, 0.999)),
        },
    )
    for without in ({}, {"attributes": 3, "head": False}):
        same_table(
            table(small("attribute_ali", lam=0.3, read=0.4, **without)),
            {"critic": (("critic",), {"critic": 1.0, "reading": 1.0}, 1.0, ADAM), "generator": generator},
        )


def test_additions_that_need_attributes_are_left_out_without_them():
    assert small("attribute_ali").additions == {"cycle": True, "read": False, "shuffle": False}
    assert small("attribute_ali", attributes=2).additions == {"cycle": True, "read": True, "shuffle": True}
    assert small("attribute_ali", attributes=2, cycle=False, head=False, shuffle=False).additions == {
        "cycle": False,
        "read": False,
        "shuffle": False,
    }


def test_the_noise_fades_with_training_and_is_not_there_later():
    model = small("attribute_ali", attributes=3)
    levels = []
    for progress in (0.0, 0.25, 1.0):
        model.on_step_start(progress)
        levels.append(model.noise)
    assert levels == pytest.approx([0.1, 0.075, 0.0])
    model.on_step_start(0.0)
    model.eval()
    seen = []
    model.critic.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = batch(3)
    with torch.no_grad():
        model.terms(x, ("critic", "generator", "reader"))
    assert torch.equal(seen[0][:N], x.x)


def test_the_training_loop_tells_the_model_how_far_it_is():
    from tests import conftest

    model = small("attribute_ali")
    told_at = []
    model.on_step_start = told_at.append
    data = conftest.images(SHAPE, 32)
    list(aecore.Training(model, data, aecore.Plan(epochs=2, batch=16, precision="fp32", held_out=2), "cpu"))
    assert told_at == [0.0, 0.25, 0.5, 0.75]


def test_averages_follow_the_weights_ever_more_slowly():
    model = small("attribute_ali")
    name = "trunk.0.weight"
    start = dict(model.encoder_mean.named_buffers())[name].clone()
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight.add_(1.0)
        model.encoder.trunk[1].running_mean.fill_(0.5)
    model.moves.fill_(100_000)
    model.after_step("generator")
    moved = dict(model.encoder_mean.named_buffers())[name] - start
    torch.testing.assert_close(moved, torch.full_like(moved, 0.002), rtol=1e-2, atol=1e-6)
    assert torch.equal(model.encoder_mean.trunk[1].running_mean, model.encoder.trunk[1].running_mean)
    assert int(model.moves) == 100_001
    before = deepcopy(model.state_dict())
    for player in ("critic", "reader"):
        model.after_step(player)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_training_uses_the_weights_and_looking_their_averages():
    model, x = small("attribute_ali", attributes=3), batch(3)
    with torch.no_grad():
        for net in (model.encoder, model.decoder):
            for weight in net.parameters():
                weight.mul_(1.3)
    c, z = 2 * x.attributes - 1, torch.randn(N, 3)
    model.train()
    assert torch.equal(model.posterior_given(x.x, c).mu, model.encoder(x.x, c)[:, :3])
    assert torch.equal(model.decode_given(z, c), model.decoder(z, c).sigmoid())
    model.eval()
    assert torch.equal(model.encode(x.x, x.attributes), model.encoder_mean(x.x, c)[:, :3])
    assert torch.equal(model.decode(z, x.attributes), model.decoder_mean(z, c).sigmoid())
    assert not torch.allclose(model.decoder_mean(z, c), model.decoder(z, c))
    assert model.training_only == ("encoder.", "decoder.")


def test_a_network_of_averages_has_no_parameters_and_answers_the_same():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    copied, x = averaged(net), torch.randn(5, 3)
    assert not list(copied.parameters()) and torch.equal(copied(x), net(x))
    with torch.no_grad():
        net[0].weight.zero_()
    assert not torch.equal(copied(x), net(x))


@pytest.mark.parametrize("key", ["attribute_ali", "cvae"])
def test_widths_of_codes_are_bounded_on_both_sides(key):
    model = small(key)
    for value in (400.0, -400.0):
        with torch.no_grad():
            for encoder in (model.encoder, getattr(model, "encoder_mean", model.encoder)):
                encoder.head.weight.zero_()
                encoder.head.bias[3:] = value
        logvar = model.eval().posterior(batch().x).logvar
        assert torch.equal(logvar, torch.full((N, 3), 10.0 if value > 0 else -10.0))


# --- conditional VAE ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"attributes": 3}, {"classes": 4}, {}], ids=str)
def test_a_conditional_vaes_terms_and_pulls(given):
    """Sohn, Lee & Yan (2015), with all conditions known but for those that are dropped."""
    model = small("cvae", beta=0.6, c=7.0, **given)
    model.condition_dropout_rate = 0.4
    twin, x = deepcopy(model), batch(given.get("attributes", 0))
    torch.manual_seed(7)
    found = model.terms(x, ("autoencoder",))
    torch.manual_seed(7)
    c = None
    if given:
        dropped = torch.rand(N, 1)[:, 0] < 0.4
        assert 0 < int(dropped.sum()) < N
        if "attributes" in given:
            c = told(x.attributes, dropped)
        else:
            rows = [[0.25] * 4 if gone else np.eye(4)[int(y)].tolist() for y, gone in zip(x.y, dropped, strict=True)]
            c = torch.tensor(rows)
    h = twin.encoder(x.x, c)
    z = h[:, :3] + (h[:, 3:] / 2).exp() * torch.randn(N, 3)
    x_hat = torch.sigmoid(twin.decoder(z, c))
    expected = {"recon": 7 * squares(x.x, x_hat), "kl": kl(h[:, :3], h[:, 3:])}
    agree(model, found, expected, {"autoencoder": ([twin.encoder, twin.decoder], {"recon": 1.0, "kl": 0.6})})
    same_table(table(model), {"autoencoder": (("encoder", "decoder"), {"recon": 1.0, "kl": 0.6}, 1.0, (0.9, 0.999))})


@pytest.mark.parametrize("key", ["attribute_ali", "cvae"])
def test_encoder_and_decoder_are_both_told(key):
    model = small(key, attributes=2).eval().requires_grad_(False)
    for encoder in (model.encoder, getattr(model, "encoder_mean", model.encoder)):
        encoder.head.weight[:, -2:] = torch.randn(6, 2)
    x, z, y = batch().x, torch.randn(N, 3), torch.zeros(N, 2)
    assert not torch.allclose(model.encode(x, y), model.encode(x, 1 - y))
    assert not torch.allclose(model.decode(z, y), model.decode(z, 1 - y))
    half = torch.full((N, 2), 0.5)  # what is not known lies midway
    assert torch.equal(model.encode(x), model.encode(x, half)) and torch.equal(model.decode(z), model.decode(z, half))


# --- networks -------------------------------------------------------------------------------------------------------


def test_a_condition_scales_and_shifts_what_batch_normalisation_leaves():
    layer, x, c = Modulated(3, 2), torch.randn(5, 3, 4, 4), torch.randn(5, 2)
    assert float(layer.by.weight.detach().std()) == pytest.approx(0.02, rel=0.5) and not layer.by.bias.any()
    with torch.no_grad():
        layer.by.weight.normal_()
        layer.by.bias.normal_()
    found = layer(x, c)
    numbers = c @ layer.by.weight.T + layer.by.bias
    for n in range(5):
        for k in range(3):
            mean, variance = x[:, k].mean(), x[:, k].var(unbiased=False)
            plain = (x[n, k] - mean) / (variance + 1e-5).sqrt()
            torch.testing.assert_close(
                found[n, k], plain * (1 + numbers[n, k]) + numbers[n, 3 + k], rtol=1e-4, atol=1e-5
            )
    assert torch.equal(Modulated(3, 0)(x, None), nn.BatchNorm2d(3)(x))


def test_the_condition_enters_the_encoder_as_maps_and_before_the_last_layer():
    encoder, x, c = MapEncoder(SHAPE, 3, 16, 2).eval(), torch.rand(4, *SHAPE), torch.randn(4, 2)
    maps = c @ encoder.maps.weight.T + encoder.maps.bias
    assert maps.shape == (4, 4)
    planes = torch.stack([torch.stack([torch.full((8, 8), float(value)) for value in row]) for row in maps])
    inside = encoder.trunk(torch.cat([x, planes], 1))
    torch.testing.assert_close(encoder(x, c), encoder.head(torch.cat([inside, c], 1)))
    free = MapEncoder(SHAPE, 3, 16, 0).eval()
    torch.testing.assert_close(free(x, None), free.head(free.trunk(x)))


def test_the_condition_enters_every_layer_of_the_decoder():
    decoder, z, c = ModulatedDecoder(SHAPE, 3, 16, 2).eval(), torch.randn(4, 3), torch.randn(4, 2)
    h = decoder.norms[0](decoder.first(torch.cat([z, c], 1)), c).clamp_min(0)
    for up, norm in zip(decoder.ups, list(decoder.norms)[1:], strict=True):
        h = norm(up(h), c).clamp_min(0)
    torch.testing.assert_close(decoder(z, c), decoder.last(h))
    assert decoder(z, c).shape == (4, *SHAPE)


def test_the_condition_enters_the_critic_beside_the_code_and_by_a_projection():
    critic = AttributeCritic(SHAPE, 3, 16, 2).eval()
    x, z, c = torch.rand(4, *SHAPE), torch.randn(4, 3), torch.randn(4, 2)
    seen = critic.of_x(2 * x - 1)
    plain = critic.joint(torch.cat([seen, critic.of_z(torch.cat([z, c], 1))], 1))[:, 0]
    extra = [sum(float(a * b) for a, b in zip(critic.projection(c)[n], seen[n], strict=True)) for n in range(4)]
    torch.testing.assert_close(critic(x, z, c), plain + torch.tensor(extra))
    free = AttributeCritic(SHAPE, 3, 16, 0).eval()
    assert free.projection is None
    torch.testing.assert_close(free(x, z, None), free.joint(torch.cat([free.of_x(2 * x - 1), free.of_z(z)], 1))[:, 0])


def test_every_layer_of_the_critic_is_spectrally_normalised():
    critic = AttributeCritic(SHAPE, 3, 16, 2)
    for _ in range(30):  # power iterations
        critic(torch.rand(2, *SHAPE), torch.randn(2, 3), torch.randn(2, 2))
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert float(largest) == pytest.approx(1, abs=0.05)
    assert len(layers) == 1 + 1 + 2 + 2 + 1


def test_a_reader_reads_each_image_by_itself():
    reader, x = Reader(SHAPE, 16, 3), torch.randn(6, *SHAPE)
    assert reader(x).shape == (6, 3)
    torch.testing.assert_close(reader(x)[:2], reader(x[:2]), rtol=1e-4, atol=1e-5)


# --- the measure of edits -------------------------------------------------------------------------------------------


class Drawn(Images):
    """Images that can be drawn again with other attributes: each attribute brightens one row."""

    def __init__(self, pixels: Tensor, attributes: np.ndarray, nuisance: np.ndarray):
        super().__init__(pixels, np.arange(len(pixels)) % 2, attributes)
        self.nuisance = nuisance

    def redrawn(self, index: Tensor, attributes: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        x = self.batch(index).x.clone()
        for k in range(attributes.shape[1]):
            x[:, :, k] = (x[:, :, k] * (0.5 + 0.5 * attributes[:, k, None, None])).clamp(0, 1)
        return x


class Linear(Model):
    """Codes are 5 numbers of an image; decoding depends on the attributes."""

    abilities = frozenset({"encode", "decode"})

    def __init__(self, attributes: int):
        super().__init__((3, 8, 8))
        self.attributes = attributes
        self.into, self.out = nn.Linear(192, 5), nn.Linear(5 + attributes, 192)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.into(x.flatten(1)) + (0 if y is None else y.sum(1, keepdim=True))

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        return self.out(torch.cat([z, y], 1)).sigmoid().view(-1, 3, 8, 8)


def drawn(n: int = 9, attributes: int = 3) -> Data:
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (n, 3, 8, 8)).astype(np.uint8))
    marks = random.integers(0, 2, (n, attributes)).astype(np.float32)
    split = Drawn(pixels, marks, random.uniform(-1, 1, (n, 2)).astype(np.float32))
    names = tuple(f"mark {k}" for k in range(attributes))
    return Data(DataSpec(name="digits"), "drawn", (3, 8, 8), split, split, "made", attributes=names)


def judge_with(data: Data) -> Judge:
    torch.manual_seed(1)
    judge = Judge(data.shape, len(data.attributes), 2)
    with torch.no_grad():
        judge.attributes.weight.mul_(5)  # so that edits change what it reads
    return judge.eval().requires_grad_(False)


def edited_by_hand(model, data: Data, judge: Judge, n: int) -> dict[str, Any]:
    """Every figure, one face and one edit after the other."""
    split, A = data.test, len(data.attributes)
    found: dict[str, Any] = {
        name: np.zeros(A) for name in ("seen", "unedited", "stays", "right", "error", "laid", "standing")
    }
    edited_features, true_features, nuisance = {}, {}, [[] for _ in range(A)]
    recon = []
    for example in range(n):
        one = split.batch(torch.tensor([example]))
        x, y = one.x, one.attributes
        z = model.encode(x, y)
        x_hat = model.decode(z, y)
        recon.append(float(((x - x_hat) ** 2).mean()))
        for k in range(A):
            target = y.clone()
            target[0, k] = 1 - target[0, k]
            image = model.decode(z, target)
            truth = split.redrawn(torch.tensor([example]), target)
            said = [bool(v > 0) for v in judge(image).attributes[0]]
            fits = [said[j] == bool(target[0, j] == 1) for j in range(A)]
            found["seen"][k] += fits[k] / n
            found["stays"][k] += sum(fits[j] for j in range(A) if j != k) / (A - 1) / n
            found["right"][k] += all(fits) / n
            found["unedited"][k] += (bool(judge(x).attributes[0, k] > 0) == bool(target[0, k] == 1)) / n
            laid = (x + image - x_hat).clamp(0, 1)
            for name, what in (("error", image), ("laid", laid), ("standing", x)):
                found[name][k] += float(((what - truth) ** 2).mean()) / n
            nuisance[k].append(judge(image).nuisance[0].numpy())
            edited_features[k, example] = judge(image).features[0].numpy()
            true_features[k, example] = judge(truth).features[0].numpy()
    facts = split.nuisance[:n]
    found["before"] = r2(facts, judge(split.batch(torch.arange(n)).x).nuisance.numpy())
    found["after"] = np.mean([r2(facts, np.stack(rows)) for rows in nuisance], 0)
    # Two halves of all edits, in the order attribute by attribute; the last of an odd number is left out.
    in_turn = [(k, example) for k in range(A) for example in range(n)]
    order = np.random.default_rng(0).permutation(len(in_turn))
    half = len(order) // 2
    some, others = ([in_turn[i] for i in ids] for ids in (order[:half], order[half : 2 * half]))
    edited, true = (np.stack([features[pair] for pair in some]) for features in (edited_features, true_features))
    rest = np.stack([true_features[pair] for pair in others])
    found["frechet"], found["chance"] = measured.frechet(edited, rest), measured.frechet(true, rest)
    found["recon"] = sum(recon) / n
    return found


def r2(true: np.ndarray, said: np.ndarray) -> np.ndarray:
    return np.array(
        [
            1 - sum((t - s) ** 2 for t, s in zip(a, b, strict=True)) / sum((t - a.mean()) ** 2 for t in a)
            for a, b in zip(true.T, said.T, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def judged():
    data = drawn()
    torch.manual_seed(0)
    model = Linear(3).eval().requires_grad_(False)
    with torch.no_grad():
        model.out.weight.mul_(3)
    return model, data, judge_with(data)


def test_edits_are_measured_one_by_one(judged):
    model, data, judge = judged
    found = measured.evaluate(model, data, judge, 7)
    expected = edited_by_hand(model, data, judge, 7)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert found.sample_size == 10 and found.names == data.attributes
    assert 0 < found.seen.mean() < 1 and 0 < found.stays.mean() < 1


def test_the_attribute_that_is_edited_is_none_of_the_others(judged, monkeypatch):
    """A judge that never sees the switch, and sees all else as it should be."""
    model, data, judge = judged

    def read(_, x):
        others = 2 * targets[0] - 1
        others[:, edited[0]] *= -1
        return attribute_classifier.Readings(others, torch.zeros(len(x), 2), torch.rand(len(x), 4))

    targets, edited = [torch.from_numpy(data.test.attributes[:6])], [0]
    real = measured.switched_in

    def switched(data, a, name, value):
        edited[0] = data.attributes.index(name)
        targets[0] = torch.from_numpy(a.copy())
        targets[0][:, edited[0]] = 1 - targets[0][:, edited[0]]
        return real(data, a, name, value)

    monkeypatch.setattr(measured, "switched_in", switched)
    monkeypatch.setattr(measured, "read", read)
    found = measured.evaluate(model, data, judge, 6)
    assert found.seen.tolist() == [0, 0, 0] and found.stays.tolist() == [1, 1, 1] and found.right.tolist() == [0, 0, 0]


def test_both_frechet_distances_compare_samples_of_one_size(judged, monkeypatch):
    model, data, judge = judged
    sizes = []
    monkeypatch.setattr(measured, "frechet", lambda a, b: sizes.append((len(a), len(b))) or 1.0)
    found = measured.evaluate(model, data, judge, 8)
    assert sizes == [(12, 12), (12, 12)] and found.sample_size == 12
    assert found.numbers()["edits in each set of a Fréchet distance"] == 12
    with np.errstate(divide="ignore"):
        one = measured.evaluate(model, data, judge, 1)  # of one face there are three edits, too few for two samples
    assert np.isnan(one.frechet) and "Fréchet distance to true edits" not in one.numbers()


def test_a_larger_sample_has_a_smaller_frechet_distance():
    """Which is why a distance must not be set beside one of half the samples."""
    random = np.random.default_rng(0)
    few, many = (measured.frechet(*random.standard_normal((2, n, 20))) for n in (60, 600))
    assert few > 3 * many


def test_frechet_is_that_of_gaussians_in_closed_form():
    """Diagonal covariances: Σ (μ − ν)² + Σ (σ − τ)²."""
    axes = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    a, b = axes * [2.0, 3.0], axes * [1.0, 5.0] + [0.5, -1.0]
    variance = 2 / 3  # of ±1, 0, 0, with one fewer than there are points
    expected = 0.5**2 + 1.0**2 + variance * ((2 - 1) ** 2 + (3 - 5) ** 2)
    assert measured.frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_the_card_says_means_worst_and_each(judged):
    model, data, judge = judged
    found = measured.evaluate(model, data, judge, 7)
    card = found.numbers()
    pairs = {
        "edits seen": found.seen.mean(),
        "edits seen, worst attribute": found.seen.min(),
        "edits seen without editing": found.unedited.mean(),
        "other attributes stay": found.stays.mean(),
        "all attributes right": found.right.mean(),
        "reconstruction, squared error": found.recon,
        "error against the true edit": found.error.mean(),
        "error of the edit laid on the image": found.laid.mean(),
        "error of not editing": found.standing.mean(),
        "attributes nearer to the truth than unedited": (found.error < found.standing).sum(),
        "the same, laid on the image": (found.laid < found.standing).sum(),
        "rest of the face before, R²": found.before.mean(),
        "rest of the face after, R²": found.after.mean(),
        "Fréchet distance to true edits": found.frechet,
        "Fréchet distance by chance": found.chance,
    }
    assert {name: card[name] for name in pairs} == pytest.approx({name: float(value) for name, value in pairs.items()})
    assert card["edits seen · mark 1"] == found.seen[1] and card["other attributes stay · mark 2"] == found.stays[2]
    assert card["error, decoded · mark 0"] == found.error[0]
    assert card["error, laid on the image · mark 1"] == found.laid[1]
    assert card["error, not editing · mark 2"] == found.standing[2]


# --- the judge ------------------------------------------------------------------------------------------------------


def test_a_judge_learns_by_cross_entropy_and_a_third_of_the_squared_error():
    data = drawn(40)
    found = attribute_classifier.fit(data, steps=3, seed=5, device="cpu")
    torch.manual_seed(5)
    judge = Judge(data.shape, 3, 2)
    optimiser = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, 3)
    random = torch.Generator().manual_seed(5)
    for _ in range(3):
        ids = torch.randint(40, (128,), generator=random)
        one = data.train.batch(ids)
        said = judge(one.x + 0.02 * torch.randn_like(one.x))
        p = said.attributes.sigmoid()
        entropy = -(one.attributes * p.log() + (1 - one.attributes) * (1 - p).log()).mean()
        away = (said.nuisance - torch.from_numpy(data.train.nuisance)[ids]).square().mean()
        optimiser.zero_grad()
        (entropy + 0.3 * away).backward()
        optimiser.step()
        schedule.step()
    for name, value in judge.named_parameters():
        if name not in ("trunk.0.bias", "trunk.3.bias"):  # these have no effect before a normalisation over the batch
            torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert not found.training and not any(p.requires_grad for p in found.parameters())


def test_a_judges_accuracy_is_the_share_of_right_readings():
    data = drawn(11)
    judge = judge_with(data)
    found = attribute_classifier.accuracy(judge, data.test, 10)
    batch = data.test.batch(torch.arange(10))
    said = judge(batch.x)
    right = [
        [bool(v > 0) == bool(t == 1) for v, t in zip(*row, strict=True)]
        for row in zip(said.attributes, batch.attributes, strict=True)
    ]
    assert found.attributes.tolist() == pytest.approx(np.mean(right, 0).tolist())
    np.testing.assert_allclose(found.nuisance, r2(data.test.nuisance[:10], said.nuisance.numpy()), rtol=1e-4)
    parts = attribute_classifier.read(judge, batch.x, size=3)
    for whole, pieces in zip(said, parts, strict=True):
        torch.testing.assert_close(whole, pieces, rtol=1e-4, atol=1e-5)


def test_a_judges_readings_come_from_one_layer_of_features():
    judge, x = judge_with(drawn()), torch.rand(4, 3, 8, 8)
    said = judge(x)
    h = F.relu(judge.features[0](judge.trunk(x)))
    torch.testing.assert_close(said.features, h)
    torch.testing.assert_close(said.attributes, judge.attributes(h))
    torch.testing.assert_close(said.nuisance, judge.nuisance(h))


# --- what pages compute ---------------------------------------------------------------------------------------------


def test_directions_are_differences_of_means_and_normals_as_long_as_they():
    data = drawn(60)
    torch.manual_seed(0)
    model = Linear(3).eval().requires_grad_(False)
    model.attributes = 0
    ids = np.arange(50)
    batch = data.train.batch(torch.arange(50))
    z = model.encode(batch.x).numpy()
    means = edits.directions(model, data.train, ids)
    for k in range(3):
        present = batch.attributes[:, k].numpy() == 1
        with_it, without = ([row for row, p in zip(z, present, strict=True) if p == value] for value in (True, False))
        np.testing.assert_allclose(means[k], np.mean(with_it, 0) - np.mean(without, 0), rtol=1e-3, atol=1e-5)
    normals = edits.directions(model, data.train, ids, "classifier")
    for normal, step in zip(normals, means, strict=True):  # the part of the step along the normal
        assert float(normal @ normal) == pytest.approx(float(step @ normal), rel=1e-3)
        assert not np.allclose(normal, step)
    data.train.attributes[:, 1] = 1
    data.train._a[:, 1] = 1
    assert not edits.directions(model, data.train, ids)[1].any()


def test_codes_move_along_directions_where_no_attributes_condition_a_model():
    torch.manual_seed(0)
    model = Linear(3).eval().requires_grad_(False)
    z, along = np.ones(5, np.float32), np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    start, targets = np.array([0, 1, 0], np.float32), np.array([[1, 1, 0], [0, 0, 1.5]], np.float32)
    told = edits.render(model, z, start, targets)
    expected = [model.decode(torch.from_numpy(z)[None], torch.from_numpy(row)[None])[0] for row in targets]
    np.testing.assert_allclose(told, torch.stack(expected).numpy(), rtol=1e-5)

    class Plain(Linear):
        def decode(self, z: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
            return super().decode(z, torch.zeros(len(z), 3))

    plain = Plain(3).eval().requires_grad_(False)
    plain.attributes = 0
    moved = edits.render(plain, z, start, targets, along)
    codes = [z + along[0], z - along[1] + 1.5 * along[2]]
    expected = [plain.decode(torch.from_numpy(code)[None])[0] for code in codes]
    np.testing.assert_allclose(moved, torch.stack(expected).numpy(), rtol=1e-5)
    with pytest.raises(DataError, match="give the directions"):
        edits.render(plain, z, start, targets)


def test_edits_switch_one_attribute_at_a_time():
    data, a = drawn(), np.array([1.0, 0.0, 1.0], np.float32)
    assert edits.single_edits(data, a).tolist() == [[1, 0, 1], [0, 0, 1], [1, 1, 1], [1, 0, 0]]
    rows = edits.strengths(data, a, 5)
    assert rows.shape == (3, 5, 3)
    assert rows[1].tolist() == [[1, value, 1] for value in (-0.5, 0, 0.5, 1, 1.5)]
    assert edits.differing(data, a, np.array([1, 1, 0.4])) == ["mark 1", "mark 2"]
    assert edits.switch(data, a, [("mark 1", True), ("absent", True), ("mark 0", False)]).tolist() == [0, 1, 1]


def test_one_image_is_encoded_with_its_attributes():
    data = drawn()
    torch.manual_seed(0)
    model = Linear(3).eval().requires_grad_(False)
    z, y = single_edit.encode_example(model, data.test, 4)
    batch = data.test.batch(torch.tensor([4]))
    np.testing.assert_allclose(z, model.encode(batch.x, batch.attributes)[0], rtol=1e-5)
    assert y.tolist() == batch.attributes[0].tolist()
    model.attributes = 0
    np.testing.assert_allclose(
        single_edit.encode_image(model, batch.x[0].numpy(), y), model.encode(batch.x)[0], rtol=1e-5
    )


def test_one_goes_over_from_one_example_to_another_in_even_steps():
    first, last = (np.array([0.0, 2.0]), np.array([1.0])), (np.array([4.0, 0.0]), np.array([0.0]))
    z, y = single_edit.interpolate(first, last, 5)
    assert z.tolist() == [[0, 2], [1, 1.5], [2, 1], [3, 0.5], [4, 0]] and y[:, 0].tolist() == [1, 0.75, 0.5, 0.25, 0]
    z, y = single_edit.interpolate(first, last, 3, code=False)
    assert z.tolist() == [[0, 2]] * 3 and y[:, 0].tolist() == [1, 0.5, 0]
    z, y = single_edit.interpolate(first, last, 3, attributes=False)
    assert z.tolist() == [[0, 2], [2, 1], [4, 0]] and y[:, 0].tolist() == [1, 1, 1]


def test_an_edit_is_laid_on_the_image_within_its_range():
    image, edited, plain = (np.full((1, 1, 3), value) for value in (0.5, 0.6, 0.2))
    edited[0, 0] = [0.6, 1.0, 0.0]
    plain[0, 0] = [0.2, 0.2, 0.9]
    np.testing.assert_allclose(single_edit.lay_on(image, edited, plain)[0, 0], [0.9, 1.0, 0.0])


def test_readings_and_true_edits_of_one_image():
    data = drawn()
    judge, x = judge_with(data), data.test.batch(torch.arange(5)).x
    found, said = single_edit.read(judge, x.numpy()), judge(x)
    assert found.present.tolist() == [[bool(v > 0) for v in row] for row in said.attributes]
    np.testing.assert_allclose(found.shares, 1 / (1 + np.exp(-said.attributes.numpy())), rtol=1e-4)
    np.testing.assert_allclose(found.nuisance, said.nuisance.numpy(), rtol=1e-4, atol=1e-5)
    wanted = np.array([1.0, 0.0, 1.0])
    truth = single_edit.true_edit(data.test, 3, wanted)
    expected = data.test.redrawn(torch.tensor([3]), torch.tensor([[1.0, 0.0, 1.0]]))[0]
    np.testing.assert_array_equal(truth, expected.numpy())
    assert single_edit.true_edit(Images(data.test.pixels), 3, wanted) is None


def test_the_usual_error_is_a_quantile_of_reconstruction_errors():
    data = drawn(30)
    torch.manual_seed(0)
    model = Linear(3).eval().requires_grad_(False)
    batch = data.test.batch(torch.arange(20))
    x_hat = model.decode(model.encode(batch.x, batch.attributes), batch.attributes)
    errors = sorted(float((a - b).square().mean()) for a, b in zip(batch.x, x_hat, strict=True))
    assert single_edit.usual_error(model, data.test, 20, 0.5) == pytest.approx((errors[9] + errors[10]) / 2, rel=1e-4)
    assert single_edit.usual_error(model, data.test, 20, 1.0) == pytest.approx(errors[-1], rel=1e-4)
