"""Oracles of ALI, HALI and ALICE: every term, every player, and which label each network is told."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

import aecore
from aecore import Batch
from aecore.data.sets.gaussians import STD, centres
from aecore.measure.coverage import modes
from aecore.models.inference import ALI, Conditional, Encoder, append_condition, slope_penalty
from tests import naive
from tests.games import agree, log_d, log_not_d, same_table, squared_slope, table

KEYS = ("ali", "hali", "alice")
N = 12
ADAM = (0.5, 0.999)


def small(key: str, shape=(6,), **params):
    torch.manual_seed(3)
    return aecore.build(key, shape, seed=3, **{"code": 3, "width": 16, **params})


def batch(labels: int = 4, attributes: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(N, 6, generator=generator)
    y = torch.randint(labels, (N,), generator=generator)
    marks = torch.randint(2, (N, attributes), generator=generator).float() if attributes else None
    return Batch(x, y, attributes=marks)


# --- terms --------------------------------------------------------------------------------------------------------


def told(model, batch: Batch, dropped: torch.Tensor):
    """What each example's networks are told: a label as one of C numbers, attributes as −1 and 1, or nothing of use."""
    rows = []
    for k in range(len(batch.x)):
        if model.classes:
            row = [1 / model.classes] * model.classes
            if not dropped[k]:
                row = [float(label == int(batch.y[k])) for label in range(model.classes)]
        else:
            row = [0.0] * model.attributes if dropped[k] else [2 * float(a) - 1 for a in batch.attributes[k]]
        rows.append(row)
    return torch.tensor(rows)


def game(judge, encoded, decoded):
    """Dumoulin et al. (2016), Algorithm 1 and Eq. 4, with both slopes: judge(image, code, row) → logits."""
    n = range(len(encoded[0]))
    first, second = (
        torch.cat([judge(pair[0][k : k + 1], pair[1][k : k + 1], k) for k in n]) for pair in (encoded, decoded)
    )
    slopes = [
        torch.stack(
            [squared_slope(lambda a, b, k=k: judge(a, b, k), pair[0][k : k + 1], pair[1][k : k + 1])[0] for k in n]
        )
        for pair in (encoded, decoded)
    ]
    return {
        "critic": -log_d(first) - log_not_d(second),
        "adv": -log_not_d(first) - log_d(second),
        "slope": (0.5 * slopes[0] + 0.5 * slopes[1]) / 2,
    }


def joined(v, c):
    return v if c is None else torch.cat([v, c], 1)


def ali_terms(model, batch: Batch, lam: bool):
    """ALI, or ALICE with its cycle: draws are those of the model, in the order of its equations."""
    x, n = batch.x, len(batch.x)
    c = None
    if model.classes or model.attributes:
        c = told(model, batch, torch.rand(n, 1)[:, 0] < model.condition_dropout_rate)
    h = model.encoder.head(joined(model.encoder.trunk(x), c))
    z_hat = h[:, :3] + (h[:, 3:] / 2).exp() * torch.randn(n, 3)
    z = torch.randn(n, 3)
    if lam:
        both = torch.sigmoid(model.decoder(joined(torch.cat([z, z_hat]), None if c is None else torch.cat([c, c]))))
        x_tilde, x_hat = both[:n], both[n:]
    else:
        x_tilde, x_hat = torch.sigmoid(model.decoder(joined(z, c))), None
    critic = model.critic

    def judge(image, code, row):
        label = None if c is None else c[row : row + 1]
        return critic.head(torch.cat([critic.of_x(2 * image - 1), critic.of_z(joined(code, label))], 1))[:, 0]

    terms = game(judge, (x, z_hat), (x_tilde, z))
    if x_hat is not None:
        terms["cycle"] = torch.stack([(a - b).abs().sum() for a, b in zip(x, x_hat, strict=True)])
    return terms


@pytest.mark.parametrize("key", ["ali", "alice"])
@pytest.mark.parametrize("given", [{}, {"classes": 4}, {"attributes": 2}])
def test_terms_and_pulls_of_ali_and_alice(key, given):
    extra = {"lam": 0.3} if key == "alice" else {}
    model = small(key, gamma=0.7, **given, **extra)
    model.condition_dropout_rate = 0.4
    twin, x = deepcopy(model), batch(attributes=given.get("attributes", 0))
    torch.manual_seed(7)
    found = model.terms(x, ("critic", "generator"))
    torch.manual_seed(7)
    expected = ali_terms(twin, x, bool(extra))
    generator = {"adv": 1.0} | ({"cycle": 0.3} if extra else {})
    players = {
        "critic": ([twin.critic], {"critic": 1.0, "slope": 0.7}),
        "generator": ([twin.encoder, twin.decoder], generator),
    }
    agree(model, found, expected, players)


def hali_terms(model, x):
    """Belghazi et al. (2018), two levels."""
    n = len(x)

    def split(numbers, size):
        return numbers[:, :size] + (numbers[:, size:] / 2).exp() * torch.randn(n, size)

    z1_hat = split(model.encoder.head(model.encoder.trunk(x)), 3)
    z2_hat = split(model.above.net(z1_hat), 2)
    z2 = torch.randn(n, 2)
    z1 = split(model.prior.given.net(z2), 3)
    critic = model.critic

    def judge(image, code, _):
        return critic.head(torch.cat([critic.of_x(2 * image - 1), critic.of_z(code)], 1))[:, 0]

    x_tilde = torch.sigmoid(model.decoder(z1))
    return game(judge, (x, torch.cat([z1_hat, z2_hat], 1)), (x_tilde, torch.cat([z1, z2], 1)))


def test_halis_terms_and_pulls():
    model = small("hali", top=2, gamma=0.7)
    twin, x = deepcopy(model), batch()
    torch.manual_seed(7)
    found = model.terms(x, ("critic", "generator"))
    torch.manual_seed(7)
    expected = hali_terms(twin, x.x)
    players = {
        "critic": ([twin.critic], {"critic": 1.0, "slope": 0.7}),
        "generator": ([twin.encoder, twin.above, twin.prior, twin.decoder], {"adv": 1.0}),
    }
    agree(model, found, expected, players)


def test_the_players_of_inference():
    critic = (("critic",), {"critic": 1.0, "slope": 0.7}, 1.0, ADAM)
    both = ("encoder", "decoder")
    same_table(table(small("ali", gamma=0.7)), {"critic": critic, "generator": (both, {"adv": 1.0}, 1.0, ADAM)})
    same_table(
        table(small("alice", gamma=0.7, lam=0.3)),
        {"critic": critic, "generator": (both, {"adv": 1.0, "cycle": 0.3}, 1.0, ADAM)},
    )
    levels = ("encoder", "above", "prior", "decoder")
    same_table(table(small("hali", gamma=0.7)), {"critic": critic, "generator": (levels, {"adv": 1.0}, 1.0, ADAM)})
    for key in KEYS:
        assert small(key).update_schedule() == (("critic", "generator"),)


def test_held_out_terms_are_those_of_the_same_draws():
    model = small("alice").eval()
    torch.manual_seed(7)
    found = model.terms(batch(), ("critic", "generator"))
    torch.manual_seed(7)
    with torch.no_grad():
        again = model.terms(batch(), ("critic", "generator"))
    for name, value in found.items():
        assert not again[name].requires_grad
        torch.testing.assert_close(again[name], value.detach())


def test_the_slope_is_that_of_each_logit_by_image_and_code():
    critic = small("ali", (5,)).critic.double()
    x, z = torch.rand(4, 5).double().requires_grad_(), torch.randn(4, 3).double().requires_grad_()
    found = slope_penalty(critic(x, z), (x, z))
    pairs = [torch.cat([a, b]) for a, b in zip(x, z, strict=True)]
    whole = [naive.slope(lambda pair: critic(pair[None, :5], pair[None, 5:]), pair) for pair in pairs]
    assert found.tolist() == pytest.approx([0.5 * slope**2 for slope in whole], rel=1e-5)
    assert found.requires_grad
    (second,) = torch.autograd.grad(found.sum(), critic.head[0].weight)
    assert second.abs().max() > 0
    assert not slope_penalty(critic(x, z), (x, z), learning=False).requires_grad


@pytest.mark.parametrize("key", KEYS)
def test_encoder_and_decoder_want_what_the_critic_does_not(key):
    """The generator's networks are pulled to where the critic errs: the signs, and that nothing is detached."""
    model = small(key)
    terms = model.terms(Batch(torch.rand(32, 6)), tuple(model.players()))
    for network in model.players()["generator"].networks:
        weight = next(network.parameters())
        for_adv, for_critic = (
            torch.autograd.grad(terms[name].mean(), weight, retain_graph=True)[0] for name in ("adv", "critic")
        )
        assert float((for_adv * for_critic).sum()) < 0
        assert for_adv.abs().max() > 0


def test_alices_cycle_is_the_distance_to_the_decoded_draw():
    model = small("alice", code=2).eval()
    x = torch.rand(64, 6)
    model.encoder.head.weight.data[2:], model.encoder.head.bias.data[2:] = 0, -50  # σ = 0: the draw is the mean
    found = model.terms(Batch(x), ("critic", "generator"))["cycle"]
    assert torch.allclose(found, (x - model.decode(model.encode(x))).abs().sum(1), atol=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_codes_stay_numbers_however_wide_an_encoder_would_have_them(key):
    """HALI ended on coloured digits after six steps: a variance of e¹⁶ below made one of e³⁰⁰ above."""
    model = small(key, code=4)
    with torch.no_grad():
        model.encoder.head.bias[4:] = 400.0
        model.encoder.head.bias[:4] = 0
    terms = model.terms(Batch(torch.rand(8, 6)), ("critic", "generator"))
    assert all(torch.isfinite(value).all() for value in terms.values())
    assert torch.equal(model.posterior(torch.rand(8, 6)).logvar, torch.full((8, 4), 10.0))
    level = Conditional(3, 4, 16)
    with torch.no_grad():
        level.net[-1].bias[4:] = 400.0
    assert torch.equal(level(torch.randn(8, 3)).logvar, torch.full((8, 4), 10.0))
    with torch.no_grad():
        level.net[-1].bias[4:] = -30.0  # a small variance is no danger
    assert level(torch.randn(8, 3)).logvar.max() < -15


# --- labels and attributes ------------------------------------------------------------------------------------------


def test_a_critic_is_told_the_labels_of_its_own_images():
    """Each row of the critic's two halves carries the label of the example that it came from."""
    for key in ("ali", "alice"):
        model, x, seen = small(key, classes=4), batch(), []
        model.condition_dropout_rate = 0.0
        model.critic.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given))
        model.terms(x, ("critic", "generator"))
        images, _, c = seen[0]
        assert torch.equal(images[:N], x.x) and not torch.equal(images[N:], x.x)
        assert c[:N].argmax(1).tolist() == x.y.tolist() and c[N:].argmax(1).tolist() == x.y.tolist()


def test_without_a_label_every_class_is_told_in_equal_parts():
    model = small("ali", code=2, classes=4).eval().requires_grad_(False)
    z = torch.randn(8, 2)
    assert torch.equal(model.decode(z), model.decode(z, torch.full((8, 4), 0.25)))
    assert torch.equal(model.decode(z, torch.arange(8) % 4), model.decode(z, torch.eye(4).repeat(2, 1)))
    assert not torch.equal(model.decode(z, torch.zeros(8).long()), model.decode(z, torch.ones(8).long()))
    draws = model.sample(8, 0.0)  # the prior's mean under each class in turn
    assert torch.allclose(draws[:4], draws[4:]) and not torch.allclose(draws[0], draws[1])
    x = torch.rand(8, 6)
    assert not torch.equal(model.encode(x), model.encode(x, torch.zeros(8).long()))


def test_attributes_are_told_as_minus_one_and_one():
    model = small("ali", attributes=2).eval().requires_grad_(False)
    y, x = torch.tensor([[0.0, 1.0], [1.5, 0.5]]), torch.rand(2, 6)
    assert model.condition_vector(y, 2).tolist() == [[-1, 1], [2, 0]]
    assert model.condition_vector(None, 3).tolist() == [[0, 0]] * 3
    c = torch.tensor([[-1.0, 1.0], [2.0, 0.0]])
    z = torch.randn(2, 3)
    torch.testing.assert_close(model.decode(z, y), model.decoder(torch.cat([z, c], 1)).sigmoid())
    h = model.encoder.head(torch.cat([model.encoder.trunk(x), c], 1))
    torch.testing.assert_close(model.encode(x, y), h[:, :3])
    assert small("ali").condition_vector(None, 3) is None
    seen = batch(attributes=2)
    assert torch.equal(model.condition_of(seen), seen.attributes)
    assert torch.equal(small("ali", classes=4).condition_of(seen), seen.y)


@pytest.mark.parametrize(("key", "share"), [("ali", 0.1), ("alice", 0.1), ("attribute_ali", 0.05), ("cvae", 0.05)])
def test_so_many_conditions_are_dropped_in_training_and_none_later(key, share):
    model = small(key, (1, 8, 8), attributes=2)
    c = torch.ones(20_000, 2)
    found = model.condition_dropout(c)
    assert set(found.flatten().tolist()) == {0.0, 1.0} and torch.equal(found[:, 0], found[:, 1])
    assert float((found[:, 0] == 0).float().mean()) == pytest.approx(share, abs=0.008)
    assert model.eval().condition_dropout(c) is c
    assert model.train().condition_dropout(None) is None


def test_the_condition_follows_the_numbers_it_is_joined_to():
    v, c = torch.rand(2, 3), torch.rand(2, 2)
    assert torch.equal(append_condition(v, c), torch.cat([v, c], 1)) and append_condition(v, None) is v


# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("net", "shape"), [("dense", (6,)), ("conv", (2, 16, 16))])
def test_each_relu_of_ali_is_normalised_over_the_batch(net, shape):
    model = small("ali", shape, net=net, width=64)
    for network in (model.encoder.trunk, model.decoder):
        layers = [layer for layer in network.modules() if not isinstance(layer, nn.Sequential)]
        assert not any(isinstance(layer, nn.GroupNorm) for layer in layers)
        relus = [k for k, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
        assert relus
        assert all(isinstance(layers[k - 1], nn.BatchNorm1d | nn.BatchNorm2d) for k in relus)
        assert len(relus) == sum(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in layers)
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in model.critic.modules())
    x = torch.rand(5, *shape)
    assert model.decode(model.encode(x)).shape == x.shape


def test_alis_encoder_is_its_trunk_with_a_head():
    encoder, x, c = Encoder("dense", (6,), 3, 16, 2), torch.rand(4, 6), torch.rand(4, 2)
    assert torch.allclose(encoder(x, c), encoder.head(torch.cat([encoder.trunk(x), c], 1)))
    assert encoder.head.out_features == 6


# --- levels ---------------------------------------------------------------------------------------------------------


def test_halis_draws_go_down_both_levels():
    model = small("hali", code=4, top=2).eval().requires_grad_(False)
    z2 = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    z1 = model.prior.sample(5, z2, 0.0, torch.Generator().manual_seed(1))  # no noise: the mean at z₂ = 0
    assert torch.allclose(z1, model.prior.given(torch.zeros(5, 2)).mu)
    drawn = model.sample(5, 1.0, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    level = model.prior.given(torch.empty(5, 2).normal_(generator=generator))
    below = level.mu + level.std * torch.empty(5, 4).normal_(generator=generator)
    assert torch.allclose(drawn, model.decode(below))
    cool = model.prior.sample(5, z2, 0.5, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    level = model.prior.given(0.5 * torch.empty(5, 2).normal_(generator=generator))
    assert torch.allclose(cool, level.mu + 0.5 * level.std * torch.empty(5, 4).normal_(generator=generator))


def test_halis_critic_sees_both_levels_and_its_images_only_the_lower():
    model = small("hali", code=4, top=2)
    assert model.seen == 6 and small("ali", code=4).seen == 4
    assert not model.has_standard_prior and "posterior" not in model.abilities
    assert ALI.abilities - model.abilities == {"posterior"}
    assert math.isclose(model.prior.size, 4) and model.prior.top.size == 2


# --- coverage of modes ----------------------------------------------------------------------------------------------


def test_true_draws_cover_every_mode_and_collapsed_ones_a_single_mode():
    std, points = STD, centres()
    true = points.repeat(400, 1) + std * torch.randn(10_000, 2)
    found = modes(true, points, std)
    assert found.covered == found.assigned == 25
    assert found.near == pytest.approx(1 - math.exp(-4.5), abs=0.005)  # within 3 σ, in the plane
    assert modes(points[:1].repeat(10_000, 1), points, std) == (1, 1.0, 1)
    spread = modes(torch.rand(10_000, 2), points, std)  # anywhere in the plane: next to all modes, near none of them
    assert spread.covered == 0 and spread.assigned == 25 and spread.near < 0.1
    half = torch.cat([true[:5000], torch.full((5000, 2), 0.2)])  # midway between four centres
    assert modes(half, points, std).near == pytest.approx(0.5, abs=0.02)


def test_a_mode_counts_from_a_fifth_of_its_share():
    points = torch.eye(4)
    draws = torch.cat([points[:3].repeat_interleave(320, 0), points[3:].repeat(40, 1)])  # 1,000; a fair share is 250
    assert modes(draws, points, 0.01).covered == 3
    draws[:10] = points[3]
    assert modes(draws, points, 0.01).covered == 4
    with pytest.raises(ValueError, match="must be"):
        modes(draws, points[:, :2], 0.01)
