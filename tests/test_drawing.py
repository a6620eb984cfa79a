"""Drawing pixel by pixel: completions, surprise, receptive fields, and the page PixelCNN."""

from __future__ import annotations

import io
import math
import re
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

import aecore
from aecore import DataError, DataSpec, Plan
from aecore.explore import autoregressive
from aecore.explore.completions import certainty
from aecore.models.autoregressive import ORDERS
from aecore.paths import root
from aecore.runs.library import create, find
from aecore.runs.session import Session
from tests import naive
from tests.chromium import pixels, settled
from tests.test_exhibits import opened
from tests.test_exhibits_closer import canvases, drag, numbers, seen
from tests.test_terms_autoregressive import MANY, coins, small

pytestmark = pytest.mark.timeout(300)
browser_only = pytest.mark.browser


def masked(channels: int, layers: int, width: int = 4) -> torch.nn.Sequential:
    """The network of `autoregressive.blind_spot`, untrained: x (B, C, H, W) → (B, C, H, W), checked by gradients."""
    stack: list[torch.nn.Module] = []
    for layer in range(layers):
        kernel = 7 if layer == 0 else 3
        conv = torch.nn.Conv2d(channels if layer == 0 else width, width, kernel, padding=kernel // 2)
        mask = torch.zeros(kernel, kernel)
        mask[: kernel // 2] = 1
        mask[kernel // 2, : kernel // 2 + (layer > 0)] = 1
        conv.weight.data *= mask
        stack += [conv, torch.nn.Softplus()]
    return torch.nn.Sequential(*stack, torch.nn.Conv2d(width, channels, 1))


# --- the core -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_completions_agree_with_what_is_given_and_with_the_chain(order):
    model = small("pixelcnn", (1, 6, 5), std=0.6, order=order)
    image = coins(1, 6, 5).numpy()
    known = np.zeros((6, 5), bool)
    known[tuple(model.sequence().numpy()[:17].T)] = True
    found = autoregressive.draw(model, 40, 3, image=image, known=known)
    assert (found.images[:, :, known] == image[:, known]).all()
    assert found.images[:, :, ~known].std(0).max() > 0.3  # the rest is drawn anew each time
    with torch.no_grad():
        chances = model.laws(torch.from_numpy(found.images))[0].sigmoid().numpy()
    np.testing.assert_allclose(found.chances[:, :, 1], chances, atol=1e-6)
    np.testing.assert_allclose(found.chances.sum(2), 1, atol=1e-6)
    assert (found.order == model.sequence().numpy()).all() and (found.known == known).all()
    again = autoregressive.draw(model, 40, 3, image=image, known=known)
    assert np.array_equal(found.images, again.images)


def test_completions_are_draws_of_the_conditional():
    model = small("pixelcnn", (1, 2, 3), std=0.8)
    image, known = coins(1, 2, 3).numpy(), np.array([[True, True, True], [False, False, False]])
    found = autoregressive.draw(model, 4000, 1, image=image, known=known)
    rest = found.images[:, 0, 1].astype(int) @ [4, 2, 1]
    every = np.repeat(image[None], 8, 0)
    every[:, 0, 1] = [[k >> 2 & 1, k >> 1 & 1, k & 1] for k in range(8)]
    log_p = -autoregressive.surprise(model, every).sum((1, 2, 3))
    expected = np.exp(log_p) / np.exp(log_p).sum()
    np.testing.assert_allclose(np.bincount(rest, minlength=8) / 4000, expected, atol=0.03)


def test_surprise_is_the_likelihood_pixel_by_pixel():
    model, x = small("pixelcnn", (3, 4, 4), classes=2), coins(5, 3, 4, 4)
    cost = autoregressive.surprise(model, x.numpy(), 1)
    assert cost.shape == x.shape and cost.min() >= 0
    np.testing.assert_allclose(cost.sum((1, 2, 3)), -model.log_prob(x, torch.ones(5, dtype=torch.long)), rtol=1e-4)


def test_images_are_counted_given_their_labels_and_over_all_of_them():
    model, x = small("pixelcnn", (1, 4, 4), std=0.6, classes=3), coins(7, 1, 4, 4)
    y = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    np.testing.assert_allclose(
        autoregressive.surprise(model, x.numpy(), y.numpy()).sum((1, 2, 3)), -model.log_prob(x, y).detach(), rtol=1e-4
    )
    each = np.stack([-autoregressive.surprise(model, x.numpy(), c).sum((1, 2, 3)) for c in range(3)])
    np.testing.assert_allclose(autoregressive.unlikely(model, x.numpy()), -np.log(np.exp(each).mean(0)), rtol=1e-4)
    plain = small("pixelcnn", (1, 4, 4), std=0.6)
    np.testing.assert_allclose(autoregressive.unlikely(plain, x.numpy()), -plain.log_prob(x).detach(), rtol=1e-4)
    with pytest.raises(DataError, match="one for each"):
        autoregressive.surprise(model, x.numpy(), [0, 1])


def test_codes_come_back_as_images_of_their_own():
    decoder = small("pixelcnn_decoder", (1, 4, 4), std=0.6)
    z = np.repeat(np.random.default_rng(0).standard_normal((1, decoder.code)), 5, 0)
    drawn = autoregressive.variations(decoder, z, 1)
    assert drawn.shape == (5, 1, 4, 4) and np.ptp(drawn, axis=0).any()  # one code, many images
    assert np.array_equal(drawn, autoregressive.variations(decoder, z, 1))
    assert not np.array_equal(drawn, autoregressive.variations(decoder, z, 2))
    with pytest.raises(DataError, match="PixelCNN decoder"):
        autoregressive.variations(small("pixelcnn", (1, 4, 4)), z)


@pytest.mark.parametrize("order", ORDERS)
def test_where_pixels_look_is_the_same_from_anywhere_and_never_ahead(order):
    model = small("pixelcnn", (1, 5, 7), std=0.4, layers=2, order=order)
    x = coins(3, 1, 5, 7).numpy()
    field = autoregressive.receptive_field(model, x)
    assert field.shape == (9, 13) and field[4, 6] == 0
    middle = autoregressive.saliency(model, 2, 3, x)
    assert (field[2:7, 3:10] >= middle).all()
    assert not np.any((field > 0) & (field[::-1, ::-1] > 0))  # of two pixels only one comes before the other
    first = autoregressive.first_pixels(model, 9)
    assert first.sum() == 9 and all(first[tuple(place)] for place in model.sequence()[:9].tolist())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("values", MANY)
def test_images_of_256_levels_are_drawn_completed_and_counted(values, channels):
    model = small("pixelcnn", (channels, 4, 5), std=0.2, values=values)
    image = autoregressive.quantize(model, np.random.default_rng(0).random((channels, 4, 5)))
    np.testing.assert_allclose(image * 255, np.rint(image * 255), atol=1e-4)
    known = np.zeros((4, 5), bool)
    known[:2] = True
    found = autoregressive.draw(model, 20, 1, image=image, known=known)
    assert (found.images[:, :, known] == image[:, known]).all()
    assert found.images[:, :, ~known].std(0).min() > 0.02 and len(np.unique(found.images)) > 30
    log_p = model.log_prob(torch.from_numpy(found.images)).numpy()
    np.testing.assert_allclose(found.nats.sum((1, 2, 3)), -log_p, rtol=1e-4)
    np.testing.assert_allclose(autoregressive.surprise(model, found.images), found.nats, atol=1e-3)
    assert found.chances.shape == (20, channels, autoregressive.BARS, 4, 5)
    np.testing.assert_allclose(found.chances.sum(2), 1, atol=1e-3)
    assert autoregressive.draw(model, 20, 1, temperature=0.3).nats.mean() < found.nats[:, :, ~known].mean()
    assert (autoregressive.saliency(model, 2, 2, image[None]) > 0)[:2].all()


def test_a_temperature_near_zero_draws_the_likelier_value():
    model = small("pixelcnn", (1, 5, 5), std=0.6)
    cold = autoregressive.draw(model, 6, 0, temperature=1e-4)
    assert all(np.array_equal(cold.images[0], image) for image in cold.images)


@pytest.mark.parametrize("order", ORDERS)
def test_a_pixel_looks_at_those_before_it_alone(order):
    model = small("pixelcnn", (1, 6, 7), layers=4, order=order)
    rank = np.empty((6, 7), int)
    rank[tuple(model.sequence().numpy().T)] = np.arange(42)
    seen = autoregressive.saliency(model, 3, 4, coins(8, 1, 6, 7).numpy()) > 0
    assert seen[rank < rank[3, 4]].all() and not seen[rank >= rank[3, 4]].any()
    with pytest.raises(DataError, match="no pixel 6, 0"):
        autoregressive.saliency(model, 6, 0, coins(1, 1, 6, 7).numpy())


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_masked_filters_have_a_blind_spot_that_two_stacks_have_not(layers):
    net, x = masked(1, layers).double(), torch.rand(1, 1, 13, 15).double().requires_grad_()
    (slope,) = torch.autograd.grad(net(x)[0, 0, 8, 7], x)
    by_masks = autoregressive.blind_spot((1, 13, 15), layers, 8, 7)
    assert np.array_equal(slope[0, 0].numpy() != 0, by_masks)
    gated = (
        autoregressive.saliency(small("pixelcnn", (1, 13, 15), layers=layers), 8, 7, coins(6, 1, 13, 15).numpy()) > 0
    )
    assert not (by_masks & ~gated)[:8].any()
    if layers > 1:
        assert (gated & ~by_masks)[7, 11]  # above to the right


@pytest.mark.parametrize("order", ORDERS)
def test_masks_are_blind_in_every_order(order):
    """By columns what they see and miss is that by rows of the transposed image; from the end, of the turned one."""
    model = small("pixelcnn", (1, 13, 16), layers=4, order=order)
    seen, missed = autoregressive.beside_masks(model, 4, 6, 7)
    gated = autoregressive.saliency(model, 6, 7, coins(6, 1, 13, 16).numpy()) > 0
    assert not (seen & missed).any() and (seen & gated).any()
    shape, at = (13, 16), (6, 8 if "end" in order else 7)
    if "columns" in order:
        shape, at = shape[::-1], at[::-1]
    by_rows = autoregressive.blind_spot((1, *shape), 4, *at)
    back = by_rows.T if "columns" in order else by_rows
    assert np.array_equal(seen, back[::-1, ::-1] if "end" in order else back)
    assert (missed & gated).any()  # which two stacks see


@pytest.mark.parametrize("values", ["256 levels", "logistics"])
def test_slopes_are_of_what_the_law_depends_on(values):
    model = small("pixelcnn", (1, 5, 5), values=values)
    x = np.random.default_rng(0).random((3, 1, 5, 5)).astype(np.float32)
    before, cost = autoregressive.saliency(model, 3, 3, x), autoregressive.surprise(model, x)
    last, shared = model.head[3], torch.randn(model.head[3].in_channels)
    with torch.no_grad():  # the same added to all logits, or to all logarithms of shares, changes no law
        rows = slice(None) if values == "256 levels" else slice(0, model.values.components)
        last.weight[rows, :, 0, 0] += shared
    np.testing.assert_allclose(autoregressive.surprise(model, x), cost, atol=2e-4)
    np.testing.assert_allclose(autoregressive.saliency(model, 3, 3, x), before, rtol=1e-2, atol=1e-4)


def test_a_temperature_changes_the_drawing_and_not_what_it_costs():
    model = small("pixelcnn", (1, 6, 5), std=0.6)
    cold = autoregressive.draw(model, 4, 0, temperature=0.2)
    np.testing.assert_allclose(cold.nats, autoregressive.surprise(model, cold.images), atol=1e-4)
    assert cold.chances.max() > autoregressive.draw(model, 4, 0).chances.max()


def test_another_seed_draws_other_images():
    model = small("pixelcnn", (1, 4, 5), std=0.6)
    drawn = [autoregressive.draw(model, 6, seed).images for seed in (1, 2, 1)]
    assert np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], drawn[1])
    noise = torch.rand(6, 1, 4, 5, generator=torch.Generator().manual_seed(2))
    assert np.array_equal(drawn[1], naive.draw(model, noise))


def test_saliency_is_the_mean_size_of_the_slope():
    """Image by image and channel by channel, by finite differences of the logits of one pixel."""
    model, x = small("pixelcnn", (2, 3, 4)).double(), coins(3, 2, 3, 4).double()
    found = autoregressive.saliency(model.float(), 1, 2, x.float().numpy())
    model = model.double()
    expected = torch.zeros(3, 4)
    for k, c, i, j in product(range(3), range(2), range(3), range(4)):
        logit = []
        for side in (1e-5, -1e-5):
            moved = x[k : k + 1].clone()
            moved[0, c, i, j] += side
            logit.append(float(sum(law[0, 0, 1, 2] for law in model.laws(moved))))
        expected[i, j] += abs(logit[0] - logit[1]) / 2e-5 / 3
    expected[1, 2] = 0  # what a later channel knows of an earlier one of the same pixel is left out
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_many_images_of_many_levels_are_looked_at_a_few_at_a_time(monkeypatch):
    model = small("pixelcnn", (3, 4, 4), values="256 levels")
    x = np.random.default_rng(0).random((7, 3, 4, 4)).astype(np.float32)
    whole, drawn = autoregressive.surprise(model, x), autoregressive.draw(model, 7, 1)
    monkeypatch.setattr(autoregressive, "NUMBERS", 3 * 3 * 256 * 16)
    np.testing.assert_allclose(autoregressive.surprise(model, x), whole, atol=1e-4)
    np.testing.assert_allclose(autoregressive.draw(model, 7, 1).chances, drawn.chances, atol=1e-5)


def test_what_is_known_says_what_the_label_may_be():
    """p(y | known) by Bayes, against a sum over all images that agree with what is known."""
    model = small("pixelcnn", (1, 2, 3), std=0.8, classes=3)
    image, known = coins(1, 2, 3).numpy(), np.array([[True, True, False], [False, False, False]])
    every = np.array([[k >> i & 1 for i in range(6)] for k in range(64)], np.float32).reshape(64, 1, 2, 3)
    agreeing = every[(every[:, :, known] == image[:, known]).all((1, 2))]
    joint = [np.exp(-autoregressive.surprise(model, agreeing, c).sum((1, 2, 3))).sum() for c in range(3)]
    found = autoregressive.class_posterior(model, image, known)
    np.testing.assert_allclose(found, np.array(joint) / sum(joint), atol=1e-5)
    assert found.max() > 1.1 * found.min()
    np.testing.assert_allclose(autoregressive.class_posterior(model, image, ~np.ones((2, 3), bool)), 1 / 3)
    each = autoregressive.draw(model, 4, 1, label=[2, 0, 2, 1])
    for c, k in ((2, 0), (0, 1), (1, 3)):
        assert np.array_equal(autoregressive.draw(model, 4, 1, label=c).images[k], each.images[k])


def test_certainty_of_completions_is_1_where_they_agree_and_0_where_half_of_them_differ():
    images = np.zeros((4, 1, 2, 2), np.float32)
    images[:2, 0, 0, 1] = 1  # half of them
    images[:, 0, 1, 0] = 1
    chances = np.full((4, 1, 2, 2, 2), 0.5, np.float32)
    chances[:, :, 0, 1, :], chances[:, :, 1, 1, :] = 1, 0
    places = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    drawing = autoregressive.Drawing(images, np.zeros_like(images), chances, places, np.zeros((2, 2), bool))
    sure = certainty(drawing)
    np.testing.assert_allclose(sure.agreement, [[1, 0], [1, 1]])
    np.testing.assert_allclose(sure.entropy, [[math.log(2)] * 2, [0, 0]], atol=1e-6)


def test_what_cannot_be_drawn_is_said_in_words():
    told, decoder = small("pixelcnn", (1, 6, 5), classes=3), small("pixelcnn_decoder", (1, 6, 5))
    for words, wrong in {
        "no label 3": lambda: autoregressive.draw(told, 2, label=3),
        "no label 0: this model knows no labels": lambda: autoregressive.draw(small("pixelcnn", (1, 6, 5)), 2, label=0),
        "Leave the code out": lambda: autoregressive.draw(told, 2, code=np.zeros(3)),
        "a code of": lambda: autoregressive.draw(decoder, 2, code=np.zeros(99)),
        "no label 5": lambda: autoregressive.draw(told, 2, label=[0, 5]),
        "3 labels for 2 images": lambda: autoregressive.draw(told, 2, label=[0, 1, 2]),
        "temperature is nan": lambda: autoregressive.draw(told, 2, temperature=math.nan),
        "temperature is -1": lambda: autoregressive.draw(told, 2, temperature=-1),
        "from 0 to 1": lambda: autoregressive.surprise(told, np.full((1, 1, 6, 5), 255), 0),
        "must lie from 0 to 1": lambda: autoregressive.draw(told, 1, image=np.full((1, 6, 5), np.nan)),
        "told no labels": lambda: autoregressive.class_posterior(decoder, np.zeros((1, 6, 5)), np.ones((6, 5), bool)),
        "ask for 1 or more": lambda: autoregressive.draw(told, 0),
        "need an image": lambda: autoregressive.draw(told, 2, known=np.ones((6, 5), bool)),
        "say which": lambda: autoregressive.surprise(told, np.zeros((1, 1, 6, 5))),
        "1 × 6 × 5, at least one": lambda: autoregressive.surprise(told, np.zeros((1, 1, 9, 9)), 0),
        "1 × 6 × 5": lambda: autoregressive.saliency(told, 0, 0, np.zeros((2, 3, 6, 5)), 0),
    }.items():
        with pytest.raises(DataError, match=words):
            wrong()
    with pytest.raises(DataError, match="does not draw pixel by pixel"):
        autoregressive.draw(aecore.build("vae", (1, 8, 8), width=16), 1)
    model = small("pixelcnn", (1, 6, 5))
    with pytest.raises(DataError, match="1 × 6 × 5"):
        autoregressive.draw(model, 1, image=np.zeros((1, 5, 5)), known=np.zeros((6, 5), bool))
    with pytest.raises(DataError, match="draws from a code"):
        autoregressive.draw(small("pixelcnn_decoder", (1, 6, 5)), 1)
    assert autoregressive.draw(small("pixelcnn_decoder", (1, 6, 5)), 3, code=np.zeros(3, np.float32)).images.shape == (
        3,
        1,
        6,
        5,
    )


def test_more_of_an_image_leaves_less_to_draw():
    run = find("pixelcnn-classes")
    model, data = run.model(), run.data()
    x = autoregressive.quantize(model, data.test.batch(torch.tensor([0])).x[0].numpy())
    spread = []
    for rows in (7, 14, 21):
        known = np.zeros((28, 28), bool)
        known[:rows] = True
        made = autoregressive.draw(model, 12, 0, image=x, known=known, label=int(data.test.labels[0]))
        spread.append(made.images[:, 0, 21:].std(0).mean())
    assert spread[0] > spread[2]
    empty = autoregressive.surprise(model, np.zeros_like(x[None]), 1).sum()
    assert (
        empty < autoregressive.surprise(model, x[None], int(data.test.labels[0])).sum()
    )  # the surprise that the page tells


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_opens_and_counts_the_nats_of_what_is_drawn():
    at = opened("pixelcnn", run="pixelcnn-classes", pixelcnn__at="784", pixelcnn__n="1")
    so_far, whole = re.findall(r">([0-9.]+) nats<", numbers(at))[:2]
    assert so_far == whole and float(whole) > 5
    table = at.dataframe[-1].value.set_index("images")
    assert float(table["−log p, nats"]["an empty image"]) < float(table["−log p, nats"]["held-out images"])
    assert float(table["−log p, nats"]["coin tosses"]) > 3 * float(table["−log p, nats"]["held-out images"])
    opened("pixelcnn", run="pixelrnn-classes", pixelcnn__n="4", pixelcnn__class="3")


@pytest.mark.parametrize("content", [b"nothing", None])
def test_an_upload_is_completed_or_refused_in_a_sentence(content):
    out = io.BytesIO()
    Image.new("L", (90, 120), 200).save(out, "PNG")
    at = opened("pixelcnn", run="pixelcnn-classes", pixelcnn__from="upload")
    at.file_uploader(key="pixelcnn.upload").set_value(("mine.png", content or out.getvalue(), "image/png")).run()
    assert not at.exception
    assert ("is not a picture" in " ".join(e.value for e in at.error)) == (content is not None)
    assert ("drawn anew" in numbers(at)) == (content is None)


@pytest.mark.parametrize(
    ("data", "params"),
    [
        (DataSpec(name="digits8", limit=60), {"classes": 10, "order": "columns from the end", "binary": "threshold"}),
        (DataSpec(name="faces", size=16, limit=60), {"values": "logistics", "order": "columns"}),
        (DataSpec(name="sprites", size=16, limit=60), {"values": "256 levels"}),
    ],
)
def test_the_page_shows_every_law_order_and_number_of_channels(data, params):
    run = create(
        "pixelcnn",
        data,
        {"width": 8, "layers": 2, **params},
        Plan(epochs=1, batch=20, held_out=20),
        path=root() / "tiny",
    )
    Session(run).train("cpu")
    at = opened("pixelcnn", run="tiny", pixelcnn__n="1", pixelcnn__heat="3", pixelcnn__keep="30")
    assert "nats" in numbers(at) and "drawn anew" in numbers(at)
    words = " ".join(caption.value for caption in at.caption)
    assert ("p(label | what is kept)" in words) == ("classes" in params)
    if "classes" in params:
        at.selectbox(key="pixelcnn.as").set_value("each label in turn").run()
        assert not at.exception and "another label" in " ".join(caption.value for caption in at.caption)


def test_the_map_of_a_model_that_draws_pixel_by_pixel_begins_small():
    at = opened("map", run="pixelcnn-decoder-16")
    assert at.segmented_control(key="map.n").value == 250
    assert opened("map", run="vae-2d").segmented_control(key="map.n").value > 1000


@browser_only
def test_play_pause_scrub_click_and_complete(address, tab):
    tab.goto(f"{address}/pixelcnn?run=pixelcnn-classes")
    tab.get_by_text("Why", exact=True).last.wait_for()
    settled(tab)
    big = tab.locator(".drawer .big")
    assert big.get_attribute("data-pixel") == "431"  # begun, so that there is something to see
    tab.get_by_role("button", name="Play", exact=True).first.click()
    big.evaluate(
        "c => new Promise(done => { const look = () => c.dataset.pixel > 440 ? done() : setTimeout(look); look(); })"
    )
    tab.get_by_role("button", name="Pause", exact=True).click()
    at = int(big.get_attribute("data-pixel"))
    tab.get_by_role("button", name="One pixel").click()
    assert int(big.get_attribute("data-pixel")) == at + 1
    tab.get_by_role("button", name="One line").click()
    assert int(big.get_attribute("data-pixel")) == at + 29
    before = pixels(big)
    drag(tab, tab.get_by_label("Pixels drawn"), (0.1, 0.5), (0.9, 0.5))
    assert int(big.get_attribute("data-pixel")) > 600
    assert np.abs(pixels(big).astype(int) - before.astype(int)).mean() > 5
    tab.wait_for_url("**pixelcnn.at=**")
    box = big.bounding_box()
    tab.mouse.click(box["x"] + box["width"] * 10.5 / 28, box["y"] + box["height"] * 5.5 / 28)
    assert big.get_attribute("data-pixel") == str(5 * 28 + 10)  # the moment before that pixel is drawn
    canvases(tab, ".drawer .many canvas", 16).nth(3).click()
    tab.wait_for_url("**pixelcnn.image=3**")
    settled(tab)
    chosen = tab.get_by_role("button", name="Image 4", exact=True)
    assert chosen.get_attribute("aria-pressed") == "true"
    big.focus()
    tab.keyboard.press("ArrowDown")  # the pixel below, whatever the order
    assert big.get_attribute("data-pixel") == str(6 * 28 + 10)

    # What is shown and what is counted stay the same thing, also where the server draws other images meanwhile.
    tab.get_by_role("button", name="Play", exact=True).first.click()
    seed = tab.get_by_role("spinbutton", name="Seed", exact=True)
    seed.fill("7")
    seed.press("Enter")
    tab.wait_for_url("**pixelcnn.seed=7**")
    settled(tab)
    tab.get_by_role("button", name="Play", exact=True).first.wait_for()
    tab.wait_for_url(f"**pixelcnn.at={big.get_attribute('data-pixel')}&**")
    settled(tab)
    tab.get_by_text(f"of {int(big.get_attribute('data-pixel')):,} pixels").wait_for()
    tab.get_by_role("radio", name="1", exact=True).click()
    expect(tab.locator(".drawer .many button")).to_have_count(0)
    expect(tab).not_to_have_url(re.compile("pixelcnn.image="))
    sheet = tab.locator(".contact").first.locator("canvas")
    first = seen(sheet)
    tab.get_by_role("spinbutton", name="Seed of the completions").fill("5")
    tab.keyboard.press("Enter")
    for _ in range(100):  # the sheet is laid anew
        tab.wait_for_timeout(100)
        now = seen(sheet)
        if len(now) == len(first) and np.mean([np.abs(a - b).mean() for a, b in zip(first, now, strict=True)]) > 3:
            for image in now:  # the given half is that of the first one
                assert np.abs(image[: len(image) // 3] - now[0][: len(image) // 3]).mean() < 3
            return
    raise AssertionError("another seed gave the same completions")
