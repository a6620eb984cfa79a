"""What the formulas of images generated pixel by pixel say, by second implementations; each test takes milliseconds.

Order and masks by gradients, laws by their definitions, likelihoods by enumeration, sampling by loops over all values.
"""

from __future__ import annotations

import math
import time
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import Batch
from aecore.measure import report
from aecore.models.autoregressive import ORDERS, PixelByPixel, PixelCNNDecoder
from aecore.nn.causal import GatedLayer, RowLSTMLayer
from aecore.nn.pixel_distributions import VALUES, Values, bits
from tests import conftest, naive

KEYS = ("pixelcnn", "pixelrnn", "pixelcnn_decoder")
MANY = ("256 levels", "logistics")
LAWS = ("binary", *MANY)
SMALL = {
    "pixelcnn": {"width": 8, "layers": 3},
    "pixelrnn": {"width": 4, "layers": 3},
    "pixelcnn_decoder": {"maps": 8, "layers": 3, "width": 16, "code": 3},
}


def small(key: str, shape: tuple[int, int, int], std: float = 0.4, seed: int = 0, **params) -> PixelByPixel:
    """A small untrained model with large weights, so that pixels matter to each other."""
    model = aecore.build(key, shape, seed, **{**SMALL[key], **params})
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=std, generator=generator)
    return model.eval().requires_grad_(False)


def condition(model: PixelByPixel, n: int) -> Tensor | None:
    """Maps of codes for a decoder; labels in turn, where there are classes; else nothing."""
    like = next(model.parameters())
    return (
        model.sketch(torch.randn(n, model.code).to(like))
        if isinstance(model, PixelCNNDecoder)
        else model.given(None, n)
    )


def coins(*shape: int) -> Tensor:
    return torch.bernoulli(torch.full(shape, 0.5))


# --- order ----------------------------------------------------------------------------------------------


def touched(model: PixelByPixel, shape: tuple[int, int, int]) -> list[tuple[int, set[int]]]:
    """For every value its number in the order of generation, and the numbers of those its law has a slope by."""
    model.head[0] = model.head[2] = torch.nn.Softplus()  # a ReLU that is off would hide what it is told
    x = coins(1, *shape).double().requires_grad_()
    weights = torch.linspace(1, 2, 512).double()[None, :, None, None]  # or a sum over levels might not move
    laws = model.laws(x, condition(model, 1))
    logits = torch.stack([(law * weights[:, : law.shape[1]]).sum(1) for law in laws], 1).flatten()
    order = torch.empty(shape, dtype=torch.long)
    for number, (row, column) in enumerate(model.sequence().tolist()):
        order[:, row, column] = number * shape[0] + torch.arange(shape[0])
    order = order.flatten()
    slopes = [torch.autograd.grad(a, x, retain_graph=True, allow_unused=True)[0] for a in logits]
    found = [set() if slope is None else set(order[slope.flatten() != 0].tolist()) for slope in slopes]
    return list(zip(order.tolist(), found, strict=True))


def triangle(number: int, height: int, width: int) -> set[int]:
    """What one layer of row LSTM sees of an image from the pixel of this number, by rows."""
    i, j = divmod(number, width)
    rows = {(i - d, j + e) for d in range(1, height) for e in range(-4 - d, 3 + d)} | {(i, j - e) for e in range(1, 5)}
    return {a * width + b for a, b in rows if 0 <= a < height and 0 <= b < width}


def first_only(*axes: tuple) -> list:
    """All combinations of choices; those in which more than one is not the first of its axis are for the long lane."""
    chosen = product(*axes)
    others = [sum(one != axis[0] for one, axis in zip(each, axes, strict=True)) for each in product(*axes)]
    return [
        pytest.param(*each, marks=pytest.mark.slow if count > 1 else ())
        for each, count in zip(chosen, others, strict=True)
    ]


@pytest.mark.parametrize(("order", "values", "shape"), first_only(ORDERS, LAWS, ((3, 5, 3), (1, 6, 4))))
@pytest.mark.parametrize("key", KEYS)
def test_a_value_depends_on_all_earlier_ones_and_on_no_later_one(key, order, values, shape):
    channels, *turned = shape[0], *(shape[:0:-1] if order.startswith("columns") else shape[1:])
    for number, earlier in touched(small(key, shape, order=order, values=values).double(), shape):
        if key == "pixelrnn" and order.startswith("columns"):  # row LSTMs see a triangle, not all of a wide image
            place = number // channels
            least = {channels * k + c for k in triangle(place, *turned) for c in range(channels)}
            assert least | set(range(channels * place, number)) <= earlier <= set(range(number))
        else:
            assert earlier == set(range(number))


def test_the_orders_are_what_they_are_called():
    first = {order: small("pixelcnn", (1, 3, 4), order=order).sequence().tolist() for order in ORDERS}
    assert first["rows"][:5] == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0]]
    assert first["columns"][:4] == [[0, 0], [1, 0], [2, 0], [0, 1]]
    assert first["rows from the end"] == first["rows"][::-1]
    assert first["columns from the end"] == first["columns"][::-1]


def test_two_stacks_leave_no_blind_spot():
    height, width = 8, 11
    for number, earlier in touched(small("pixelcnn", (1, height, width), layers=2).double(), (1, height, width)):
        i, j = divmod(number, width)
        rows = {(i - d, j + e) for d in range(1, 6) for e in range(-4, 5)} | {(i, j - e) for e in range(1, 5)}
        assert earlier == {a * width + b for a, b in rows if 0 <= a < height and 0 <= b < width}


def test_a_row_lstm_sees_a_triangle_up_to_the_first_row():
    height, width = 9, 15
    for number, earlier in touched(small("pixelrnn", (1, height, width), layers=1).double(), (1, height, width)):
        assert earlier == triangle(number, height, width)


# --- likelihood -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 2, 4), (3, 1, 3)])
@pytest.mark.parametrize("key", KEYS)
def test_the_probabilities_of_all_images_sum_to_one(key, shape):
    model, x = small(key, shape).double(), naive.all_binary(shape).double()
    if isinstance(model, PixelCNNDecoder):
        for h in torch.randn(2, model.code).double():
            assert float(model.log_prob_given(x, h.expand(len(x), -1)).exp().sum()) == pytest.approx(1)
        return
    assert float(model.log_prob(x).exp().sum()) == pytest.approx(1)
    model = small(key, shape, classes=3).double()
    each = [model.log_prob(x, torch.full((len(x),), c)).exp() for c in range(3)]
    assert [float(p.sum()) for p in each] == pytest.approx([1] * 3)
    assert float((each[0] - each[1]).abs().max()) > 0.01 * float(each[0].max())  # the label matters
    assert torch.allclose(model.log_prob(x).exp(), sum(each) / 3)


@pytest.mark.parametrize("values", LAWS)
def test_the_chances_of_all_values_of_a_pixel_sum_to_one(values):
    """Of three channels in turn, by the definitions written out; open bins at both ends, and what is drawn is one."""
    law_of, generator = VALUES[values](3), torch.Generator().manual_seed(0)
    told = 2 * torch.randn(50, law_of.outputs, generator=generator).double()
    x = law_of.rounded(torch.rand(50, 3, generator=generator).double())
    x[:6] = x[:6].round()  # both ends, too
    for c, law in enumerate(law_of.laws(told, x)):
        log_p = law_of.log_chances(law)
        assert torch.allclose(log_p.exp().sum(1), torch.ones(50).double())
        assert torch.allclose(log_p.exp(), torch.stack([naive.chances_of(law_of, one) for one in law]), atol=1e-12)
        own = log_p.gather(1, (x[:, c : c + 1] * (law_of.levels - 1)).round().long())[:, 0]
        assert torch.allclose(law_of.log_prob(law, x[:, c]), own)
        cold = law_of.log_chances(law, 0.5).exp()
        assert torch.allclose(cold, (2 * log_p).softmax(1)) and cold.max() > log_p.exp().max()


def test_logistics_of_three_channels_share_their_component():
    """p(x) = Σ_k π_k Π_c p_k(x_c | x_<c), which the chain over channels must give, too."""
    law_of, generator = VALUES["logistics"](3), torch.Generator().manual_seed(0)
    told = 2 * torch.randn(40, law_of.outputs, generator=generator).double()
    x = law_of.rounded(torch.rand(40, 3, generator=generator).double())
    parts, y = told.view(40, -1, law_of.components), 2 * x - 1
    pi, mu, log_s, w = parts[:, 0].softmax(1), parts[:, 1:4], parts[:, 4:7].clamp(min=-7), parts[:, 7:].tanh()
    mu = torch.stack([mu[:, 0], mu[:, 1] + w[:, 0] * y[:, :1], mu[:, 2] + w[:, 1] * y[:, :1] + w[:, 2] * y[:, 1:2]], 1)

    def edge(side):
        return torch.sigmoid((y[..., None] + side / 255 - mu) / log_s.exp())

    above, below = edge(1).where((x < 1)[..., None], 1.0), edge(-1).where((x > 0)[..., None], 0.0)
    expected = (pi * (above - below).prod(1)).sum(1).log()
    assert torch.allclose(law_of.log_probs(told, x).sum(1), expected.float(), atol=1e-4)


@pytest.mark.parametrize(("values", "shape"), first_only(LAWS, ((3, 3, 4), (1, 4, 5))))
@pytest.mark.parametrize("key", ["pixelcnn", "pixelrnn"])
def test_the_likelihood_is_that_of_a_naive_loop_over_the_chain(key, shape, values):
    model = small(key, shape, classes=2, values=values, order=ORDERS[1]).double()
    x, y = model.rounded(torch.rand(4, *shape).double()), torch.tensor([0, 1, 1, 0])
    expected = naive.chain_log_prob(model, x, model.given(y, 4))
    assert torch.allclose(model.log_prob(x, y), expected.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 3, 4)])
@pytest.mark.parametrize("key", ["pixelcnn", "pixelrnn"])
def test_the_network_is_the_papers_written_pixel_by_pixel(key, shape, classes):
    model, x = small(key, shape, classes=classes).double(), coins(1, *shape).double()
    given = model.given(torch.tensor([1]), 1)
    if given is not None:
        given = given + torch.rand(1, classes, *shape[1:])  # not the same everywhere
    found = model.network(x, given)[0]
    oracle = naive.gated_features if key == "pixelcnn" else naive.row_lstm_features
    for (i, j), expected in oracle(model.network, x[0], None if given is None else given[0]).items():
        assert torch.allclose(found[:, i, j], expected), (i, j)


# --- sampling -------------------------------------------------------------------------------------------

CONDITIONAL = [("pixelcnn", 3), ("pixelrnn", 3), ("pixelcnn_decoder", 0)]
UNCONDITIONAL = [
    pytest.param("pixelcnn", 0, marks=pytest.mark.slow),
    pytest.param("pixelrnn", 0, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("shape", [(1, 7, 5), pytest.param((3, 5, 6), marks=pytest.mark.slow), (1, 1, 9), (2, 6, 1)])
@pytest.mark.parametrize(("key", "classes"), [*CONDITIONAL, *UNCONDITIONAL])
def test_cached_sampling_draws_the_same_images_as_plain_sampling(key, classes, shape):
    model = small(key, shape, std=0.6, **({"classes": classes} if classes else {})).double()
    given, noise = condition(model, 5), model.noise(5).double()
    assert torch.equal(model.draw(noise, given), naive.draw(model, noise, given))


@pytest.mark.parametrize(
    ("order", "values"),
    [
        ("columns from the end", "binary"),
        *(pytest.param(order, "binary", marks=pytest.mark.slow) for order in ORDERS[1:3]),
        *((ORDERS[0], values) for values in MANY),
    ],
)
@pytest.mark.parametrize(("key", "classes"), [*CONDITIONAL, *UNCONDITIONAL])
def test_cached_sampling_follows_every_order_and_law(key, classes, order, values):
    std = 0.3 if values == "logistics" else 0.6  # larger means would only draw 0 and 1
    model = small(key, (2, 4, 5), std=std, order=order, values=values, **({"classes": classes} if classes else {}))
    given, noise = condition(model.double(), 4), model.noise(4).double()
    for temperature in (1.0, 0.6):
        plain = naive.draw(model, noise, given, temperature)
        assert torch.equal(model.draw(noise, given, temperature), plain)
    assert len(plain.unique()) > (2 if values != "binary" else 1)


@pytest.mark.parametrize("shape", [(1, 17, 13), (3, 9, 11)])
@pytest.mark.parametrize(("key", "classes"), [*CONDITIONAL, *UNCONDITIONAL])
def test_cached_logits_are_the_plain_ones_on_the_same_prefix(key, classes, shape):
    model = aecore.build(key, shape, layers=4, **({"classes": classes} if classes else {})).requires_grad_(False)
    with torch.no_grad():
        model.head[3].weight.mul_(60)
    x, given = coins(6, *shape), condition(model, 6)
    network_cache = model.network.cache(6, shape[2], given)
    found = []
    for i in range(shape[1]):
        network_cache.next_row()
        for j in range(shape[2]):
            found.append(network_cache.features(j).clone())
            network_cache.pixels[j].copy_(2 * x[:, :, i, j] - 1)
    features = torch.stack(found, -1).unflatten(-1, shape[1:])
    told = model.outputs(x, given)
    assert float(told.std()) > 1
    assert torch.allclose(model.head(features), told, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_cached_sampling_takes_a_fiftieth_of_the_plain_methods_time():
    model, x = aecore.build("pixelcnn", (1, 28, 28)).requires_grad_(False), coins(4, 1, 28, 28)

    def seconds(work, *arguments) -> float:
        start = time.perf_counter()
        work(*arguments)
        return time.perf_counter() - start

    plain = min(seconds(model.outputs, x) for _ in range(3)) * 28 * 28  # a pass for every pixel
    assert min(seconds(model.sample, 4) for _ in range(3)) < plain / 50


@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 3)])
@pytest.mark.parametrize("key", ["pixelcnn", "pixelrnn"])
def test_samples_are_as_frequent_as_their_probabilities_say(key, shape):
    model = small(key, shape, std=0.5)
    surest = model.sample(4, temperature=0.0)  # every value as its logit says
    assert torch.equal(surest, (torch.cat(model.laws(surest), 1) > 0).float())
    model, n = small(key, (1, 2, 3), std=1.0), 20_000
    x = naive.all_binary((1, 2, 3))
    names = 2 ** torch.arange(6)
    drawn = torch.bincount((model.sample(n).flatten(1).long() * names).sum(1), minlength=64)
    p = torch.zeros(64).scatter_(0, (x.flatten(1).long() * names).sum(1), model.log_prob(x).exp())
    assert ((drawn / n - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1 / n).all()
    assert float(p.max()) > 3 / 64  # far from equal chances


def test_samples_can_be_asked_for_by_class_and_come_in_turn_otherwise():
    model = small("pixelcnn", (1, 6, 6), std=0.6, classes=3)

    def draw(y, n=6):
        return model.sample(n, generator=torch.Generator().manual_seed(1), y=y)

    assert torch.equal(draw(None), draw(torch.arange(6) % 3))
    assert not torch.equal(draw(torch.zeros(6, dtype=torch.int64)), draw(torch.ones(6, dtype=torch.int64)))
    assert torch.equal(draw(None, 9)[:6], draw(None))
    slope = torch.zeros(6, 3, 1, 1, requires_grad=True)  # what was drawn can be used in a gradient
    model.outputs(draw(None), slope).sum().backward()
    assert slope.grad is not None


def test_a_code_is_always_decoded_to_the_same_image_whatever_its_neighbours():
    model = small("pixelcnn_decoder", (1, 6, 6), std=0.6)
    h = 2 * torch.randn(8, 3)
    together = model.decode(h)
    assert torch.equal(together, model.decode(h)) and len(together.unique(dim=0)) > 4
    assert all(torch.equal(model.decode(h[k : k + 1])[0], together[k]) for k in range(8))
    assert len(model.variations(h[:1].expand(8, -1)).unique(dim=0)) > 4


# --- orders ---------------------------------------------------------------------------------------------


def places(order: str, height: int, width: int) -> list[tuple[int, int]]:
    """Row and column of each pixel in this order, written out."""
    by_rows = [(i, j) for i in range(height) for j in range(width)]
    by_columns = [(i, j) for j in range(width) for i in range(height)]
    found = by_columns if order.startswith("columns") else by_rows
    return found[::-1] if order.endswith("end") else found


def by_rows(x: Tensor, order: str) -> Tensor:
    """x (…, H, W) laid out anew, so that what came in this order comes by rows."""
    height, width = x.shape[-2:]
    in_turn = torch.stack([x[..., i, j] for i, j in places(order, height, width)], -1)
    return in_turn.unflatten(-1, (width, height) if order.startswith("columns") else (height, width))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("key", KEYS)
def test_another_order_is_the_same_network_on_an_image_laid_out_anew(key, order):
    """Image, condition and noise alike; one of the model's pixels is that of the same place."""
    shape, params = (2, 3, 4), {} if key == "pixelcnn_decoder" else {"classes": 2}
    model, by_row = small(key, shape, order=order, **params).double(), small(key, (2, 4, 3), **params).double()
    for name in ("network", "head"):
        getattr(by_row, name).load_state_dict(getattr(model, name).state_dict())
    x, given = coins(5, *shape).double(), torch.randn(5, 4 if key == "pixelcnn_decoder" else 2, 3, 4).double()
    if not order.startswith("columns"):
        by_row.shape = shape
    assert model.sequence().tolist() == [list(place) for place in places(order, 3, 4)]
    expected = by_row.log_probs(by_rows(x, order), by_rows(given, order))
    assert torch.allclose(by_rows(model.log_probs(x, given), order), expected)
    laws = zip(model.laws(x, given), by_row.laws(by_rows(x, order), by_rows(given, order)), strict=True)
    assert all(torch.allclose(by_rows(law, order), other) for law, other in laws)
    noise = torch.rand(5, *shape).double()
    drawn = by_row.draw(by_rows(noise, order), by_rows(given, order))
    assert torch.equal(by_rows(model.draw(noise, given), order), drawn)


# --- terms ----------------------------------------------------------------------------------------------


def binarised(x: Tensor) -> Tensor:
    return torch.tensor([float(value > 0.5) for value in x.flatten().tolist()]).view_as(x)


def in_levels(x: Tensor) -> Tensor:
    return torch.tensor([int(255 * value + 0.5) / 255 for value in x.flatten().tolist()]).view_as(x)


def test_grey_values_become_values_that_are_modelled():
    grey = torch.tensor([0.0, 0.3, 0.5, 0.5001, 0.7, 1.0]).view(1, 1, 2, 3)
    threshold, drawn = (small("pixelcnn", (1, 2, 3), binary=binary) for binary in ("threshold", "drawn"))
    for model in (threshold, drawn):
        assert model.rounded(grey).flatten().tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(threshold.modelled(grey), threshold.rounded(grey))
    many = drawn.modelled(grey.expand(20_000, -1, -1, -1))
    assert many.unique().tolist() == [0, 1]
    assert many.mean(0).flatten().tolist() == pytest.approx(grey.flatten().tolist(), abs=0.02)
    x = torch.rand(4, 1, 2, 3)
    for values in MANY:  # also where binary values would be drawn
        model = small("pixelcnn", (1, 2, 3), values=values)
        assert torch.allclose(model.modelled(x), in_levels(x)) and torch.equal(model.rounded(x), model.modelled(x))


@pytest.mark.parametrize(("binary", "values"), [("threshold", "binary"), ("drawn", "binary"), ("drawn", "logistics")])
@pytest.mark.parametrize("key", ["pixelcnn", "pixelrnn"])
def test_the_loss_is_minus_the_likelihood_of_what_is_modelled_given_its_own_label(key, binary, values):
    model = small(key, (2, 3, 4), binary=binary, values=values, classes=3)
    x, y = torch.rand(5, 2, 3, 4), torch.tensor([2, 0, 1, 1, 2])
    torch.manual_seed(7)
    found = model.terms(Batch(x, y), ("network",))
    torch.manual_seed(7)
    seen = in_levels(x) if values != "binary" else binarised(x) if binary == "threshold" else torch.bernoulli(x)
    given = torch.tensor([[float(c == label) for c in range(3)] for label in y.tolist()])[..., None, None]
    each = torch.stack([model.log_probs(seen[k : k + 1], given[k : k + 1]).sum() for k in range(5)])
    assert set(found) == {"nll"} and torch.allclose(found["nll"], -each, rtol=1e-4)
    assert (model.log_prob(seen, (y + 1) % 3) - each).abs().min() > 1e-3
    player = model.players(0.3)["network"]
    assert player.networks == (model.network, model.head) and dict(player.weights) == {"nll": 1}


@pytest.mark.parametrize("binary", ["threshold", "drawn"])
def test_the_decoders_loss_is_that_of_black_and_white_given_the_code_of_grey(binary):
    model = small("pixelcnn_decoder", (1, 3, 4), binary=binary).requires_grad_()
    x = torch.rand(5, 1, 3, 4)
    torch.manual_seed(7)
    found = model.terms(Batch(x), ("autoencoder",))["nll"]
    torch.manual_seed(7)
    seen = binarised(x) if binary == "threshold" else torch.bernoulli(x)
    h = model.encoder(x)
    each = torch.stack([model.log_probs(seen[k : k + 1], model.sketch(h[k : k + 1])).sum() for k in range(5)])
    assert torch.allclose(found, -each, rtol=1e-4) and torch.equal(model.encode(x), h)
    of_black_and_white = model.log_prob_given(seen, model.encode(seen))
    assert (of_black_and_white - each).abs().max() > 1e-3
    player = model.players(0.3)["autoencoder"]
    assert player.networks == (model.encoder, model.sketch, model.network, model.head)
    assert dict(player.weights) == {"nll": 1}
    parameters = [p for net in player.networks for p in net.parameters()]
    slopes = torch.autograd.grad(found.sum(), parameters, allow_unused=True)
    assert all(slope is not None and slope.abs().max() > 0 for slope in slopes)  # the code is trained, too


def test_labels_are_one_hot_and_come_in_turn_where_none_are_given():
    model = small("pixelcnn", (1, 2, 2), classes=3)
    given = model.given(torch.tensor([2, 0]), 2)
    assert given.tolist() == [[[[0.0]], [[0.0]], [[1.0]]], [[[1.0]], [[0.0]], [[0.0]]]]
    assert model.given(None, 5)[:, :, 0, 0].argmax(1).tolist() == [0, 1, 2, 0, 1]
    assert small("pixelcnn", (1, 2, 2)).given(torch.tensor([2]), 1) is None


def test_without_a_label_the_likelihood_is_the_mean_over_all_of_them():
    model, x = small("pixelcnn", (1, 2, 2), std=1.0, classes=4), naive.all_binary((1, 2, 2))
    found = model.log_prob(x)
    for k in range(len(x)):
        each = [math.exp(float(model.log_prob(x[k : k + 1], torch.tensor([c])))) for c in range(4)]
        assert float(found[k]) == pytest.approx(math.log(sum(each) / 4), rel=1e-4)
        assert max(each) > 1.2 * min(each)


# --- laws -----------------------------------------------------------------------------------------------


def told(law_of: Values, n: int, spread: float = 1.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """What a network might say of n pixels, and values that they might have: (n, outputs) and (n, C), float64."""
    generator = torch.Generator().manual_seed(seed)
    params = spread * torch.randn(n, law_of.outputs, generator=generator).double()
    return params, law_of.rounded(torch.rand(n, law_of.channels, generator=generator).double())


@pytest.mark.parametrize(("values", "outputs"), [("binary", 6), ("256 levels", 6 * 256), ("logistics", 5 * 10)])
def test_a_network_gives_each_pixel_as_many_numbers_as_its_law_has(values, outputs):
    """A number for each channel and each pair of them, for each level; with logistics also shares and widths."""
    assert VALUES[values](3).outputs == outputs
    model = small("pixelcnn", (3, 4, 5), values=values)
    assert model.head[3].out_channels == outputs and model.output_size == outputs * 20


@pytest.mark.parametrize("values", ["binary", "256 levels"])
def test_a_later_channels_numbers_are_linear_in_the_earlier_ones(values):
    law_of = VALUES[values](3)
    k = {"binary": 1, "256 levels": 256}[values]
    params, x = told(law_of, 4)
    pairs = {(1, 0): 3, (2, 0): 4, (2, 1): 5}  # (channel, earlier channel) → which of the six blocks of numbers
    for n, c in product(range(4), range(3)):
        expected = params[n, c * k : (c + 1) * k]
        for earlier in range(c):
            block = pairs[c, earlier]
            expected = expected + params[n, block * k : (block + 1) * k] * x[n, earlier]
        assert torch.allclose(law_of.law(params, x, c)[n], expected)


def test_logistics_are_no_narrower_than_their_bound():
    law_of = VALUES["logistics"](1)
    params, x = told(law_of, 6)
    params[:, 10:] = -20.0
    law = law_of.law(params, x, 0)
    assert law[:, 10:].unique().tolist() == [-7.0]
    edges = [(2 * float(x[0, 0]) - 1 + side / 255 - law[0, 5:10]) * math.e**7 for side in (1, -1)]
    p = float((law[0, :5].softmax(0) * (edges[0].sigmoid() - edges[1].sigmoid())).sum())
    assert float(law_of.log_prob(law, x[:, 0])[0].exp()) == pytest.approx(p, abs=1e-9)
    assert math.isfinite(float(law_of.log_prob(law, x[:, 0]).sum()))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("values", LAWS)
def test_the_temperature_is_a_power_of_the_chances(values, temperature):
    law_of = VALUES[values](2)
    params, x = told(law_of, 8)
    for law in law_of.laws(params, x):
        p = torch.stack([naive.chances_of(law_of, one) for one in law]) ** (1 / temperature)
        assert torch.allclose(law_of.log_chances(law, temperature).exp(), p / p.sum(1, keepdim=True), atol=1e-9)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("values", LAWS)
def test_evenly_spaced_noise_draws_every_level_as_often_as_its_chance_says(values, temperature):
    law_of, n = VALUES[values](1), 1000
    params, x = told(law_of, 3, spread=1.0)
    if values == "logistics":
        params[:, 10:] -= 3.5  # as narrow as a few levels, so that half a level matters
    noise = (torch.arange(n).double() + 0.5) / n
    for law in law_of.law(params, x, 0).split(1):
        out = torch.empty(n).double()
        for part in range(0, n, 100):  # the chances of all levels of a component need room
            these = slice(part, part + 100)
            thresholds = law_of.thresholds(noise[these], temperature)
            law_of.draw(law.expand(100, -1), thresholds, temperature, out[these])
        drawn = torch.bincount((out * (law_of.levels - 1)).round().long(), minlength=law_of.levels) / n
        p = naive.chances_of(law_of, law[0]) ** (1 / temperature)
        assert torch.allclose(drawn.double(), p / p.sum(), atol=1.01 / n)


def test_noise_at_the_ends_stays_finite():
    law_of = VALUES["binary"](1)
    found = law_of.thresholds(torch.tensor([0.0, 0.25, 1.0]).double(), 2.0)
    end = math.log(1e-7 / (1 - 1e-7))
    assert found.tolist() == pytest.approx([2 * end, 2 * math.log(1 / 3), -2 * end], rel=1e-6)


def test_the_centre_of_a_law_is_what_its_docstring_says():
    law_of = VALUES["binary"](2)
    params, x = told(law_of, 4)
    law = law_of.law(params, x, 1)
    assert torch.equal(law_of.centre(law), law[:, 0])
    law_of = VALUES["256 levels"](1)
    params, x = told(law_of, 4)
    expected = [sum((2 * k / 255 - 1) * float(a) for k, a in enumerate(row)) for row in params]
    assert law_of.centre(law_of.law(params, x, 0)).tolist() == pytest.approx(expected, rel=1e-6)
    law_of = VALUES["logistics"](1)
    params, x = told(law_of, 4)
    for row, found in zip(params, law_of.centre(law_of.law(params, x, 0)).tolist(), strict=True):
        total = sum(math.exp(float(a)) for a in row[:5])
        assert found == pytest.approx(sum(math.exp(float(row[k])) / total * float(row[5 + k]) for k in range(5)))


def test_bits_are_nats_of_a_value_over_the_logarithm_of_two():
    assert bits(28 * 28 * math.log(256), 28 * 28) == pytest.approx(8)  # 256 equally likely levels
    assert bits(12.0, 5) == pytest.approx(12 / 5 / 0.6931471805599453)


def test_the_card_says_bits_per_dimension_of_the_mean_over_held_out_images():
    data = conftest.images((3, 4, 4), n=8)
    model = small("pixelcnn", data.shape, binary="threshold", classes=2)
    x, y, *_ = data.test.batch(torch.arange(8))
    nats = -sum(float(v) for v in model.log_prob(binarised(x), y)) / 8
    found = report(model, aecore.entry("pixelcnn"), data)
    assert found["test/nll"] == pytest.approx(nats, rel=1e-5) and found["test/loss"] == found["test/nll"]
    assert found["bits per dimension"] == pytest.approx(nats / (48 * math.log(2)), rel=1e-5)


# --- noise, temperature, known pixels -------------------------------------------------------------------


def test_noise_is_uniform_and_follows_its_generator_alone():
    model = small("pixelcnn", (2, 3, 4))

    def draw(seed):
        return model.noise(500, torch.Generator().manual_seed(seed))

    noise = draw(3)
    assert noise.shape == (500, 2, 3, 4) and torch.equal(noise, draw(3)) and not torch.equal(noise, draw(4))
    assert noise.min() >= 0 and noise.max() < 1
    assert torch.histc(noise, 10, 0, 1).tolist() == pytest.approx([1200] * 10, rel=0.15)


def test_samples_and_variations_are_drawn_from_noise_of_the_generator_at_the_temperature():
    model = small("pixelcnn", (1, 4, 5), std=0.6, classes=3)

    def generator():
        return torch.Generator().manual_seed(5)

    y = torch.tensor([2, 2, 0, 1])
    one_hot = torch.eye(3)[y][..., None, None]
    noise = torch.rand(4, 1, 4, 5, generator=generator())
    for temperature in (0.3, 3.0):
        expected = naive.draw(model, noise, one_hot, temperature)
        assert torch.equal(model.sample(4, temperature, generator(), y), expected)
    decoder, h = small("pixelcnn_decoder", (1, 4, 5), std=0.6), torch.randn(4, 3)
    for temperature in (0.3, 3.0):
        expected = naive.draw(decoder, noise, decoder.sketch(h), temperature)
        assert torch.equal(decoder.variations(h, temperature, generator()), expected)
    assert not torch.equal(decoder.variations(h, 1.0, generator()), decoder.variations(h, 3.0, generator()))


def test_all_codes_are_decoded_with_the_noise_of_the_seed_that_is_never_to_change():
    decoder, h = small("pixelcnn_decoder", (1, 4, 5), std=0.6), torch.randn(3, 3)
    noise = torch.rand(1, 1, 4, 5, generator=torch.Generator().manual_seed(20160616)).expand(3, -1, -1, -1)
    assert torch.equal(decoder.decode(h), naive.draw(decoder, noise, decoder.sketch(h)))
    other = torch.rand(1, 1, 4, 5, generator=torch.Generator().manual_seed(1)).expand(3, -1, -1, -1)
    assert not torch.equal(decoder.decode(h), decoder.draw(other, decoder.sketch(h)))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_images_at_a_temperature_are_as_frequent_as_tempered_chances_say(temperature):
    """p_t(x) = Π_i p(x_i | x_{<i})^(1/t) / Z_i: each value's chances are tempered, not those of the whole image."""
    model, n = small("pixelcnn", (1, 2, 2), std=1.0), 20_000
    expected = []
    for x in naive.all_binary((1, 2, 2)):
        logits = model.laws(x[None])[0].flatten() / temperature
        p = [float(torch.sigmoid(a if value else -a)) for a, value in zip(logits, x.flatten().tolist(), strict=True)]
        expected.append(math.prod(p))
    drawn = model.sample(n, temperature, torch.Generator().manual_seed(0)).flatten(1).long() @ torch.tensor(
        [8, 4, 2, 1]
    )
    for found, p in zip(torch.bincount(drawn, minlength=16).tolist(), expected, strict=True):
        assert abs(found / n - p) < 5 * math.sqrt(p * (1 - p) / n) + 1 / n


@pytest.mark.parametrize("order", [ORDERS[0], ORDERS[3]])
def test_known_pixels_stay_and_what_comes_later_is_drawn_given_them(order):
    model, shape = small("pixelcnn", (2, 3, 4), std=0.6, order=order).double(), (2, 3, 4)
    image, noise = coins(*shape).double(), torch.rand(6, *shape).double()
    known = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]).bool()
    x = torch.zeros(6, *shape).double()
    for (i, j), c in product(places(order, 3, 4), range(2)):
        logit = model.laws(x)[c][:, 0, i, j]
        u = noise[:, c, i, j]
        x[:, c, i, j] = image[c, i, j] if known[i, j] else (logit > (u / (1 - u)).log()).double()
    assert torch.equal(model.draw(noise, image=image, known=known), x)
    assert not torch.equal(model.draw(noise), x)


# --- networks at the start ------------------------------------------------------------------------------


def spread_of(conv: nn.Conv2d) -> float:
    """Variance of its weights times the number of its inputs: the gain of a signal whose inputs are independent."""
    return float(conv.weight.detach().var()) * conv.weight[0].numel()


def near(gain: float) -> object:
    return pytest.approx(gain, rel=0.2)


def test_gates_lose_of_a_signal_what_the_first_weights_give_back():
    layers = aecore.build("pixelcnn", (3, 8, 8), width=64, layers=2, classes=4).network.layers
    for layer, gain in zip(layers, (1.0, 3.0), strict=True):
        assert isinstance(layer, GatedLayer)
        found = [spread_of(conv) for conv in (layer.vertical, layer.horizontal, layer.link, layer.out)]
        assert found == [near(gain), near(gain / 2), near(0.5), near(3.0)]
        assert all(not b.detach().any() for b in (layer.vertical.bias, layer.link.bias, layer.out.bias))
        assert layer.given.bias is None  # a label of 0 adds nothing
    network = aecore.build("pixelrnn", (3, 8, 8), width=64, layers=1).network
    layer = network.layers[0]
    assert isinstance(layer, RowLSTMLayer)
    found = [spread_of(conv) for conv in (network.above, network.left, layer.input, layer.up)]
    assert found == [near(0.5), near(0.5), near(1.0), near(4.0)]


def test_the_last_layer_stays_exact_in_half_precision():
    model, x = small("pixelcnn", (1, 4, 4)), coins(2, 1, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.outputs(x)
    assert found.dtype == torch.float32
    assert torch.allclose(found, model.outputs(x), rtol=0.1, atol=0.1)
