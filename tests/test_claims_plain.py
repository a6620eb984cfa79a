"""What the chapter claims of the plain autoencoders, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

import pytest
import torch

import aecore
from aecore import Data, DataSpec, Plan, Training
from aecore.data import load
from aecore.data.base import Images
from aecore.training.loop import evaluate
from tests import naive
from tests.claims import DIGITS, error, pca_error, pixels, spread, trained
from tests.conftest import Table

pytestmark = pytest.mark.claim

SMALL = DataSpec(name="digits", limit=4000, size=8)


@pytest.mark.parametrize(("k", "epochs"), [(1, 40), (2, 40), (5, 40), (8, 40), (12, 60), (16, 40)])
def test_a_linear_autoencoder_is_pca(k, epochs):
    """LINEARNUMBERS

    12: its eigenvalue is only 3 % above the 13th's, and takes longer to tell apart.
    """
    model = trained("linear", epochs=epochs, code=k)
    assert error(model, pixels(DIGITS, "test")) < 1.01 * pca_error(k)
    _, directions, _ = naive.pca(pixels(DIGITS, "train").flatten(1), k)
    assert naive.largest_angle(model.decoder[0].weight, directions) < 5


@pytest.mark.parametrize(("net", "spec", "epochs"), [("dense", DIGITS, 12), ("conv", SMALL, 20)])
def test_a_deep_autoencoder_beats_pca_at_the_same_code_size(net, spec, epochs):
    """DEEPNUMBERS"""
    model = trained("deep", spec, epochs=epochs, code=8, net=net, width=256 if net == "dense" else 512)
    assert error(model, pixels(spec, "test")) < 0.9 * pca_error(8, spec)


def test_a_big_network_memorises_a_few_images_in_one_number():
    """32 digits. MEMNUMBERS"""
    digits = load(DIGITS)
    few = Data(DIGITS, "32 digits", digits.shape, Images(digits.train.pixels[:32]), digits.test, "a few of them")
    model = trained("deep", few, epochs=700, lr=3e-3, code=1, width=256, distance="bernoulli")
    seen, unseen = few.train.batch(torch.arange(32)).x, pixels(DIGITS, "test")
    assert error(model, seen) < 0.35 * spread(seen)
    assert error(model, unseen) > 3 * error(model, seen)
    assert error(model, unseen) > 0.9 * spread(unseen)  # what it has learnt says nothing of other digits


def test_an_overcomplete_network_learns_the_identity_on_the_data_but_not_everywhere():
    """128 units for 64 pixels, no regulariser; of the digits' spread widths 16, 64 and 256 leave 78, 24 and 4 %.

    On noise the error is 15.8, 14.5 and 12.1: more than the 5.3 of answering grey. Other seeds: 97, 21 and 4 %, with
    16.8, 15.8 and 11.9; 71, 19 and 4 %, with 17.3, 14.6 and 11.7. With a regulariser (not compared here, 15 epochs) it
    is 12.7 (denoising), 9.9 (L1, λ = 0.03) and 13.8 (contractive, λ = 1).
    """
    x, noise = pixels(SMALL, "test"), torch.rand(1000, 1, 8, 8)
    models = [trained("deep", SMALL, epochs=10, batch=64, code=128, width=width) for width in (16, 64, 256)]
    shares = [error(model, x) / spread(x) for model in models]
    assert shares[1] < 0.5 * shares[0] and shares[2] < 0.5 * shares[1] and shares[2] < 0.08
    assert error(models[-1], noise) > spread(noise) > 20 * error(models[-1], x)


@pytest.mark.parametrize(("code", "identity"), [(32, True), (16, True), (12, False)])
def test_a_linear_network_learns_the_identity_where_the_data_fill_the_space(code, identity):
    """Uniform in 16 dimensions, from random weights; ‖J − I‖ is 6.7 to 8.4 at first and 1e-4 at the end.

    With fewer units than dimensions J has rank 12, and at least 4 directions are lost: ‖J − I‖ ≥ 2.
    """
    x = torch.rand(4000, 16)
    cube = Data(DataSpec(name="digits"), "cube", (16,), Table(x[:3000]), Table(x[3000:]), "made")
    model = aecore.build("linear", (16,), code=code)
    encoder, decoder = model.encoder[1], model.decoder[0]
    for layer in (encoder, decoder):
        torch.nn.init.normal_(layer.weight, std=0.3)
    before = (decoder.weight @ encoder.weight - torch.eye(16)).norm()
    for _ in Training(model, cube, Plan(epochs=20, lr=2e-2, precision="fp32", held_out=1), "cpu"):
        pass
    after = (decoder.weight @ encoder.weight - torch.eye(16)).norm()
    assert before > 3
    assert after < 0.01 if identity else after >= 1.99


def by_stages(flavour: str, epochs: int, seed: int = 0) -> list[tuple[dict, dict]]:
    """Held-out terms of a stacked autoencoder just before and after each of its stages, trained on digits."""
    data = load(DIGITS)
    plan = aecore.entry("stacked").plan
    model = aecore.build("stacked", data.shape, seed, flavour=flavour, width=256)
    training = Training(model, data, Plan(epochs=epochs, lr=plan["lr"], seed=seed, precision="fp32"), "cpu")
    moment, before, found = 0.0, evaluate(model, data.test, 1000, progress=0.0), []
    for _ in training:
        if tuple(model.players(training.progress)) != tuple(model.players(moment)) or training.progress == 1:
            found.append((before, evaluate(model, data.test, 1000, progress=moment)))
            moment, before = training.progress, evaluate(model, data.test, 1000, progress=training.progress)
    return found


@pytest.mark.parametrize("flavour", ["denoising", "convolutional"])
def test_each_stage_of_a_stacked_autoencoder_lowers_its_own_loss_and_fine_tuning_the_whole_ones(flavour):
    """The errors at the ends of the three stages and of the fine-tuning, over those where they began:

    STACKNUMBERS
    """
    found = by_stages(flavour, epochs=8)
    assert [next(iter(before)) for before, _ in found] == ["stage", "stage", "stage", "recon"]
    for before, after in found[:-1]:
        assert after["stage"] < 0.4 * before["stage"]
    before, after = found[-1]
    assert after["recon"] < 0.8 * before["recon"]
