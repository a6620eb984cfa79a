"""What the chapter claims of the regularised autoencoders, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import torch

import aecore
from aecore import Batch, Model
from aecore.data import load
from aecore.models.regularised import sigmoid_jacobian
from aecore.training.loop import evaluate
from tests import naive
from tests.claims import DIGITS, error, pixels, trained


@pytest.mark.parametrize("seed", [0, 1])
def test_the_share_of_active_units_falls_as_the_l1_penalty_grows(seed):
    """A unit is active for an image where its activation is above 0: 0.62, 0.25 and 0.11 of 128 units.

    Of those above 1 % of the largest activation, the shares fall alike: no unit hides just above 0.
    """
    x, shares, strong = pixels(DIGITS, "test"), [], []
    for lam in (0.01, 0.1, 0.3):
        model = trained("sparse_l1", epochs=7, seed=seed, width=256, lam=lam)
        a = model.encode(x)
        shares.append(float((a > 0).float().mean()))
        strong.append(float((a > 0.01 * a.max()).float().mean()))
        lengths = model.decoder[0].weight.norm(dim=0)
        assert torch.allclose(lengths, torch.ones(128), atol=1e-5)  # the penalty was not evaded
    for found in (shares, strong):
        assert found[1] < 0.6 * found[0] and found[2] < 0.6 * found[1] and found[2] > 0.01


@cache
def mean_activations(p: float, lam: float) -> torch.Tensor:
    """(D,) over held-out digits."""
    return trained("sparse_kl", width=256, p=p, lam=lam).encode(pixels(DIGITS, "test")).mean(0)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.3])
def test_mean_activations_come_close_to_p(p):
    """Of 64 units over held-out digits: mean |p̂_j − p| is 0.0007, 0.001 and 0.004; without the penalty 0.3 to 0.6."""
    p_hat, free = mean_activations(p, lam=10.0), mean_activations(0.05, lam=0.0)
    assert float(p_hat.mean()) == pytest.approx(p, rel=0.1)
    assert float((p_hat - p).abs().mean()) < 0.1 * p
    assert float((free - p).abs().mean()) > 3 * float((p_hat - p).abs().mean())


@pytest.mark.parametrize("noise", ["gaussian", "erasures"])
def test_a_denoising_autoencoder_cleans_better_than_a_plain_one(noise):
    x = pixels(DIGITS, "test")
    for seed in (0, 1):
        denoising = trained("denoising", seed=seed, width=256, noise=noise)
        deep = trained("deep", seed=seed, width=256, code=32)
        torch.manual_seed(seed)
        damaged = denoising.corrupt(x)
        assert error(denoising, x, damaged) < 0.7 * error(deep, x, damaged)
        assert error(denoising, x, damaged) < 0.7 * float((damaged - x).square().flatten(1).sum(1).mean())


def contractive(net: str, code: int = 5) -> Model:
    return aecore.build("contractive", (1, 8, 8), net=net, code=code, width=16).double()


def test_the_closed_form_of_the_jacobians_norm_is_autograds():
    model, x = contractive("sigmoid"), torch.rand(6, 1, 8, 8).double()
    expected = naive.jacobian_norms(model.encoder, x)
    assert torch.allclose(sigmoid_jacobian(model.encoder[1].weight, model.encoder(x)).double(), expected, rtol=1e-5)
    with torch.no_grad():
        assert torch.allclose(model.terms(Batch(x), ("autoencoder",))["jacobian"].double(), expected, rtol=1e-5)


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_the_estimate_of_the_jacobians_norm_is_unbiased(net):
    model, x = contractive(net), torch.rand(3, 1, 8, 8).double()
    expected = naive.jacobian_norms(model.encoder, x)
    with torch.no_grad():  # as held-out terms are taken
        _, found = model.encode_with_jacobian(x.repeat(3000, 1, 1, 1))
    found = found.view(3000, 3).double()
    assert ((found.mean(0) - expected).abs() < 5 * found.std(0) / 3000**0.5).all()


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_with_one_unit_the_estimate_and_its_gradient_are_exact(net):
    model, x = contractive(net, code=1), torch.rand(3, 1, 8, 8).double()
    _, found = model.encode_with_jacobian(x)
    assert torch.allclose(found.double(), naive.jacobian_norms(model.encoder, x), rtol=1e-5)
    weight = next(model.encoder.parameters())
    (slope,) = torch.autograd.grad(found.sum(), weight)
    step = 1e-4 * torch.randn_like(weight)
    with torch.no_grad():
        weight += step
        up = naive.jacobian_norms(model.encoder, x).sum()
        weight -= 2 * step
        down = naive.jacobian_norms(model.encoder, x).sum()
    assert float((slope * step).sum() * 2) == pytest.approx(float(up - down), rel=0.05)


@pytest.mark.parametrize(("net", "seed"), [("sigmoid", 0), ("sigmoid", 1), ("dense", 0)])
def test_the_jacobians_norm_falls_as_its_weight_grows_while_the_error_rises(net, seed):
    """λ = 0, 0.1, 1: norms 17, 11.5, 2.8 and errors 4.3, 4.6, 6.9 of one layer; 344, 12, 4.3 and 2.7, 3.3, 4.6 deep."""
    models = [trained("contractive", epochs=8, seed=seed, net=net, width=256, code=64, lam=lam) for lam in (0, 0.1, 1)]
    for less, more in pairwise(evaluate(model, load(DIGITS).test, 1000) for model in models):
        assert more["jacobian"] < 0.8 * less["jacobian"]
        assert more["recon"] > 1.05 * less["recon"]
