"""What p(x|z) says of pixels: densities against integrals, terms against loops, and which numbers bound what."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import aecore
from aecore.data.base import Data, DataSpec, TensorSplit
from aecore.explore import importance, pixel_likelihoods, posterior
from aecore.explore.vae_algorithm import algorithm_1
from aecore.measure import likelihood, report
from aecore.models.variational import Variational
from aecore.nn.distributions import LIKELIHOODS, Bernoulli, ContinuousBernoulli, Gaussian, Normal
from aecore.nn.distributions import likelihood as by_name

LOGITS = torch.tensor([-40.0, -7.3, -1.2, -0.51, -0.49, -1e-3, 0.0, 2e-4, 0.3, 0.4999, 0.5001, 1.7, 9.0, 60.0])
STEPS = 20_001
SHAPE = (1, 3, 4)
WITH_CHOICE = [key for key, entry in aecore.CATALOG.items() if "likelihood" in entry.params]


def integrals(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log ∫ e^{ℓx} dx, ∫ x p(x) dx and ∫ x² p(x) dx over [0, 1] for each logit, by Simpson's rule in float64."""
    x = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    weights = torch.ones(STEPS, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    weights /= 3 * (STEPS - 1)
    top = logits.double().clamp_min(0)[:, None]  # keeps the exponential finite
    values = (logits.double()[:, None] * x - top).exp() * weights
    total = values.sum(1)
    return total.log() + top[:, 0], (values * x).sum(1) / total, (values * x**2).sum(1) / total


def log_density(name: str, x: float, logit: float, c: float) -> float:
    """log p(x) of one value, from the definitions, in float64."""
    lam = 1 / (1 + math.exp(-logit))
    if name == "gaussian":
        variance = 1 / (2 * c)
        return -0.5 * math.log(2 * math.pi * variance) - (x - lam) ** 2 / (2 * variance)
    log_p = x * math.log(lam) + (1 - x) * math.log(1 - lam)
    if name == "bernoulli":
        return log_p
    return log_p + math.log(2 if abs(1 - 2 * lam) < 1e-9 else 2 * math.atanh(1 - 2 * lam) / (1 - 2 * lam))


def log_densities(name: str, x: Tensor, logits: Tensor, c: float) -> Tensor:
    """Σ over values of log p(x): logits (L, B, *shape), x (B, *shape) → (L, B), value by value."""
    found = torch.zeros(logits.shape[:2], dtype=torch.float64)
    for draw, b in itertools.product(range(logits.shape[0]), range(logits.shape[1])):
        values = zip(x[b].flatten().tolist(), logits[draw, b].flatten().tolist(), strict=True)
        found[draw, b] = sum(log_density(name, value, logit, c) for value, logit in values)
    return found


def log_normal(z: Tensor, mu: Tensor, std: Tensor) -> Tensor:
    """Σ over the last dimension of log N(z; μ, σ²), by torch.distributions in float64."""
    return torch.distributions.Normal(mu.double(), std.double()).log_prob(z.double()).sum(-1)


def grey(n: int = 6, seed: int = 3, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def vae(name: str = "bernoulli", key: str = "vae", **params):
    """A small model whose decoder's logits are neither small nor alike."""
    model = aecore.build(key, SHAPE, 1, **{"code": 2, "width": 16, "likelihood": name, "c": 7.0, **params})
    last = [layer for layer in model.decoder.modules() if isinstance(layer, torch.nn.Linear)][-1]
    last.bias.data = 4 * torch.rand(last.bias.shape, generator=torch.Generator().manual_seed(5)) - 2
    return model.eval().requires_grad_(False)


# --- the continuous Bernoulli -----------------------------------------------------------------------------------------


def test_the_normaliser_makes_the_integral_one():
    log_area, _, _ = integrals(LOGITS)
    found = ContinuousBernoulli(LOGITS).log_normaliser.double()
    expected = torch.nn.functional.softplus(LOGITS.double()) - log_area  # λˣ(1 − λ)¹⁻ˣ = e^{ℓx} / (1 + e^ℓ)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=3e-7)
    x = torch.linspace(0, 1, 2001)
    for logit in (-3.0, 0.0, 0.4, 5.0):
        density = ContinuousBernoulli(torch.full((2001, 1), logit)).log_prob(x[:, None]).exp()
        assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-5)


def test_the_mean_and_its_slope_are_the_integrals():
    _, mean, square = integrals(LOGITS)
    logits = LOGITS.clone().requires_grad_()
    found = ContinuousBernoulli(logits).mean
    torch.testing.assert_close(found.double(), mean, rtol=1e-6, atol=3e-7)
    (slope,) = torch.autograd.grad(found.sum(), logits)  # of an exponential family: the variance
    torch.testing.assert_close(slope.double(), square - mean**2, rtol=2e-4, atol=2e-6)


def test_the_gradient_of_the_log_density_is_x_minus_the_mean():
    _, mean, _ = integrals(LOGITS)
    for x in (0.0, 0.3, 1.0):
        logits = LOGITS[:, None].clone().requires_grad_()
        log_p = ContinuousBernoulli(logits).log_prob(torch.full_like(logits, x))
        (found,) = torch.autograd.grad(log_p.sum(), logits)
        torch.testing.assert_close(found[:, 0].double(), x - mean, rtol=1e-5, atol=2e-6)


def test_it_is_that_of_torch_distributions_and_sums_over_values_alone():
    logits = 4 * torch.randn(3, 5, *SHAPE, generator=torch.Generator().manual_seed(0))
    x = grey(5)
    reference = torch.distributions.ContinuousBernoulli(logits=logits.double())
    found = ContinuousBernoulli(logits)
    torch.testing.assert_close(
        found.log_prob(x).double(), reference.log_prob(x.double()).flatten(2).sum(-1), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(found.mean.double(), reference.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ContinuousBernoulli(logits[0]).log_prob(x), found.log_prob(x)[0])


@pytest.mark.parametrize("size", [50.0, 1e4, 1e30])
def test_it_stays_finite_at_extreme_logits(size):
    for logit, x in itertools.product((-size, size), (0.0, 0.4, 1.0)):
        logits = torch.tensor([[logit]], requires_grad=True)
        found = ContinuousBernoulli(logits)
        log_p = found.log_prob(torch.tensor([[x]])).sum()
        slopes = [torch.autograd.grad(value.sum(), logits)[0] for value in (log_p, found.mean, found.log_normaliser)]
        assert all(torch.isfinite(value).all() for value in (log_p, *slopes))
        if x == float(logit > 0):  # the value that is favoured
            assert log_p.item() == pytest.approx(math.log(size), rel=1e-5)
        assert 0 <= found.mean.item() <= 1


def test_half_precision_logits_are_computed_in_full():
    logits = torch.tensor([[3.0], [-0.1], [0.0]])
    found, half = ContinuousBernoulli(logits), ContinuousBernoulli(logits.half())
    torch.testing.assert_close(half.mean, found.mean, rtol=1e-3, atol=1e-4)
    assert half.log_normaliser.dtype == half.mean.dtype == torch.float32


@pytest.mark.parametrize("logit", [-6.0, -0.8, 0.0, 1e-7, 2.5])
def test_samples_follow_the_distribution_function(logit):
    n = 20_000
    logits = torch.full((n, 1), logit)
    x = ContinuousBernoulli(logits).sample(torch.Generator().manual_seed(1))[:, 0].double().sort().values
    assert float(x[0]) >= 0 and float(x[-1]) <= 1
    share = x if abs(logit) < 1e-5 else torch.expm1(logit * x) / math.expm1(logit)
    assert float((share - (torch.arange(n) + 0.5) / n).abs().max()) < 1.6 / math.sqrt(n)  # Kolmogorov–Smirnov, 1 %


def test_extreme_samples_stay_within_the_range():
    x = ContinuousBernoulli(torch.tensor([-1e30, -30.0, 30.0, 1e30]).repeat(1000, 1)).sample()
    assert torch.isfinite(x).all() and float(x.min()) >= 0 and float(x.max()) <= 1
    assert x[:, :2].mean() < 0.1 and x[:, 2:].mean() > 0.9


def test_a_gaussian_pixel_has_the_variance_one_over_2c():
    logits = torch.full((20_000, 1), 0.7)
    x = Gaussian(logits, 3.0).sample(torch.Generator().manual_seed(0))
    mean = 1 / (1 + math.exp(-0.7))
    assert float(x.mean()) == pytest.approx(mean, abs=0.01) and float(x.var()) == pytest.approx(1 / 6, rel=0.03)
    one = Gaussian(torch.full((1, 1), 0.7), 3.0).log_prob(torch.tensor([[0.2]]))
    assert float(one) == pytest.approx(log_density("gaussian", 0.2, 0.7, 3.0), rel=1e-5)


def test_bernoulli_samples_are_zeros_and_ones_with_the_mean():
    x = Bernoulli(torch.full((20_000, 1), -1.0)).sample(torch.Generator().manual_seed(0))
    assert set(x.unique().tolist()) == {0.0, 1.0} and float(x.mean()) == pytest.approx(1 / (1 + math.e), abs=0.01)


# --- in the models ----------------------------------------------------------------------------------------------------


def test_every_choice_names_its_distribution():
    logits = torch.randn(2, *SHAPE)
    assert [type(by_name(name, logits, 3.0)) for name in LIKELIHOODS] == [Bernoulli, ContinuousBernoulli, Gaussian]
    assert by_name("gaussian", logits, 3.0).c == 3.0
    assert len(WITH_CHOICE) >= 7 and "gmvae" in WITH_CHOICE
    for key in WITH_CHOICE:
        assert aecore.CATALOG[key].params["likelihood"].choices == LIKELIHOODS


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("key", WITH_CHOICE)
def test_what_is_decoded_is_the_mean_of_the_likelihood(key, name):
    """And `recon` is minus its logarithm, value by value."""
    model, x = vae(name, key), grey(5)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    logits = model.decoder(z)
    lam = logits.sigmoid()
    direct = lam if name != "continuous_bernoulli" else integrals(logits.flatten())[1].view_as(lam).float()
    torch.testing.assert_close(model.decode(z), direct, rtol=1e-5, atol=1e-6)
    found = model.p_x(z).log_prob(x).double()
    torch.testing.assert_close(found, log_densities(name, x, logits[None], 7.0)[0], rtol=1e-5, atol=1e-4)
    qz_x = model.posteriors(x)[0] if key == "gmvae" else model.posterior(x)
    torch.manual_seed(4)
    recon = model.terms(aecore.data.base.Batch(x), tuple(model.players()))["recon"].double()
    torch.manual_seed(4)
    many = () if key == "gmvae" else (5 if key == "iwae" else 1,)
    z = qz_x.rsample(*many)
    logits = model.decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
    logits = logits if many else logits[None]
    torch.testing.assert_close(recon, -log_densities(name, x, logits, 7.0).mean(0), rtol=1e-5, atol=1e-4)


# --- which number bounds what -----------------------------------------------------------------------------------------


def test_binarised_images_are_split_at_a_half_or_drawn_once():
    x = torch.tensor([[0.0, 0.49, 0.5, 0.51, 1.0]])
    assert likelihood.binarised(x).tolist() == [[0, 0, 0, 1, 1]]
    chances = torch.linspace(0, 1, 11).repeat(2000, 1)
    drawn = likelihood.binarised(chances, "drawn", 5)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), chances[0], atol=0.05)
    assert torch.equal(drawn, likelihood.binarised(chances, "drawn", 5))
    assert not torch.equal(drawn, likelihood.binarised(chances, "drawn", 6))
    assert likelihood.binarised(torch.tensor([[-0.2, 1.3]]), "drawn").tolist() == [[0, 1]]
    with pytest.raises(aecore.DataError, match="thresholded, drawn"):
        likelihood.binarised(x, "grey")


def test_only_grey_values_under_bernoulli_pixels_are_a_cross_entropy():
    x = grey()
    binary, one_grey = (x > 0.5).float(), (x > 0.5).float()
    one_grey[0, 0, 0, 0] = 0.999
    for name in LIKELIHOODS:
        model, bernoulli = vae(name), name == "bernoulli"
        assert likelihood.has_bernoulli_pixels(model) == bernoulli
        assert likelihood.is_cross_entropy(model, x) == likelihood.is_cross_entropy(model, one_grey) == bernoulli
        assert not likelihood.is_cross_entropy(model, binary)
        assert torch.equal(likelihood.modelled(model, x), binary if bernoulli else x)


def test_old_metrics_of_bernoulli_pixels_are_named_a_cross_entropy():
    old = {"mse": 0.1, "elbo": -99.0, "log p(x), K=64": -93.0, "log p(x) examples": 200.0}
    assert likelihood.current_names(old, {"likelihood": "bernoulli"}) == {"mse": 0.1, "cross-entropy + kl": 99.0}
    new = {"mse": 0.1, "elbo, thresholded": -80.0, "log p(x), thresholded, K=64": -78.0}
    assert likelihood.current_names(new, {"likelihood": "bernoulli"}) == new
    for params in ({"likelihood": "gaussian"}, {"likelihood": "continuous_bernoulli"}, {}):
        assert likelihood.current_names(old, params) == old


def data_of(x: Tensor) -> Data:
    return Data(DataSpec(name="made"), "Made", tuple(x.shape[1:]), TensorSplit(x), TensorSplit(x), "made here")


def test_the_report_names_each_number_by_its_meaning():
    x = grey(40, shape=(1, 8, 8))
    binary = (x > 0.5).float()
    names = ("elbo", "cross-entropy + kl", "elbo, thresholded", "elbo, drawn")
    expected = {
        ("bernoulli", "grey"): names[1:],
        ("bernoulli", "binary"): names[2:3],
        ("continuous_bernoulli", "grey"): names[:1],
        ("gaussian", "binary"): names[:1],
    }
    for (name, values), shown in expected.items():
        model = aecore.build("vae", (1, 8, 8), 1, code=2, width=16, likelihood=name, c=7.0).eval()
        found = report(model, aecore.entry("vae"), data_of(x if values == "grey" else binary), limit=30)
        assert [key for key in names if key in found] == list(shown)
        seen = {
            "elbo": x if values == "grey" else binary,
            "cross-entropy + kl": x,
            "elbo, thresholded": binary,
            "elbo, drawn": torch.bernoulli(x[:30], generator=torch.Generator().manual_seed(0)),
        }
        for key in shown:
            elbo = likelihood.bound(model, seen[key][:30])["elbo"].mean()
            assert found[key] == pytest.approx(-elbo if key == "cross-entropy + kl" else elbo, rel=1e-5)
        for key in shown:
            if key != "cross-entropy + kl":
                estimate = likelihood.log_likelihood(model, seen[key][:30], 64).mean()
                assert found[key.replace("elbo", "log p(x)") + ", K=64"] == pytest.approx(estimate, rel=1e-5)
        assert found["log p(x) examples"] == 30
        assert not any(key.startswith("log p(x), K") for key in found) or "elbo" in shown


# --- bounds and estimates against loops -------------------------------------------------------------------------------


def draws_of(model: Variational, x: Tensor, samples: int, seed: int) -> tuple[Normal, Tensor]:
    qz_x = model.posterior(x)
    return qz_x, qz_x.rsample(samples, torch.Generator().manual_seed(seed))


def naive_log_weights(model: Variational, name: str, x: Tensor, qz_x: Normal, z: Tensor) -> Tensor:
    logits = model.decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
    log_p = log_densities(name, x, logits, 7.0) + log_normal(z, torch.zeros_like(z), torch.ones_like(z))
    return log_p - log_normal(z, qz_x.mu, (0.5 * qz_x.logvar).exp())


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_bound_is_its_terms_one_draw_at_a_time(name):
    model, x = vae(name), grey(4)
    found = likelihood.bound(model, x, samples=3, seed=8)
    qz_x, z = draws_of(model, x, 3, 8)
    logits = model.decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
    recon = -log_densities(name, x, logits, 7.0).mean(0)
    var = qz_x.logvar.exp()
    kl = 0.5 * (qz_x.mu**2 + var - 1 - var.log()).sum(1)
    np.testing.assert_allclose(found["recon"], recon, rtol=1e-4)
    np.testing.assert_allclose(found["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(found["elbo"], -(recon + kl), rtol=1e-4)
    assert not np.allclose(found["recon"], likelihood.bound(model, x, samples=3, seed=9)["recon"], rtol=1e-5)


def test_without_a_standard_prior_the_kl_is_estimated_from_the_draws(monkeypatch):
    model, x = vae(), grey(4)

    class Shifted:
        @staticmethod
        def log_prob(z: Tensor) -> Tensor:
            return torch.distributions.Normal(0.5, 1.7).log_prob(z).sum(-1)

    model.prior = Shifted()
    qz_x, z = draws_of(model, x, 3, 8)
    expected = (log_normal(z, qz_x.mu, qz_x.std) - Shifted.log_prob(z)).mean(0)
    np.testing.assert_allclose(likelihood.bound(model, x, samples=3, seed=8)["kl"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1000, 5])
def test_the_estimate_is_the_mean_of_weights_also_in_chunks(size, monkeypatch):
    monkeypatch.setattr(likelihood, "batch_size", lambda shape: size)
    model, x = vae("continuous_bernoulli"), grey(2)
    found = likelihood.log_likelihood(model, x[:1], samples=12, seed=8)
    noise, qz_x = torch.Generator().manual_seed(8), model.posterior(x[:1])
    z = torch.cat([qz_x.rsample(min(size, 12 - start), noise) for start in range(0, 12, min(12, size))])
    log_w = naive_log_weights(model, "continuous_bernoulli", x[:1], qz_x, z)
    weights = [math.exp(float(value - log_w.max())) for value in log_w[:, 0]]
    assert found[0] == pytest.approx(math.log(sum(weights) / 12) + float(log_w.max()), rel=1e-5)
    both = likelihood.log_likelihood(model, x, samples=12, seed=8)
    assert both.shape == (2,) and abs(both[1] - found[0]) > 1e-3
    assert likelihood.log_likelihood(model, x[:0]).shape == (0,)


def test_draws_are_weighed_and_sorted_with_their_error():
    model, x = vae("gaussian"), grey()
    split = TensorSplit(x)
    found = importance.draws(model, split, 4, 7, seed=2)
    qz_x, z = draws_of(model, x[4:5], 7, 2)
    log_w = naive_log_weights(model, "gaussian", x[4:5], qz_x, z)[:, 0]
    order = log_w.argsort(descending=True)
    np.testing.assert_allclose(found.log_w, log_w[order], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.z, z[order, 0], rtol=1e-5)
    w = (log_w[order] - log_w.max()).exp().numpy()
    np.testing.assert_allclose(found.weights, w / w.sum(), rtol=2e-3, atol=1e-6)
    assert found.bound == pytest.approx(math.log(w.mean()) + float(log_w.max()), rel=1e-4)
    assert found.effective == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=2e-3)
    deviation = math.sqrt(sum((value - w.mean()) ** 2 for value in w) / 6)
    assert found.error == pytest.approx(deviation / math.sqrt(7) / w.mean(), rel=5e-3)
    assert math.isnan(importance.draws(model, split, 4, 1).error)
    np.testing.assert_array_equal(found.image, np.round(255 * x[4, 0].numpy()).astype(np.uint8))
    binary = importance.draws(vae(), split, 4, 3).image
    np.testing.assert_array_equal(binary, 255 * (x[4, 0].numpy() > 0.5))


def test_bounds_are_means_over_groups_with_their_standard_errors():
    model, x = vae("continuous_bernoulli"), grey()
    split, ids = TensorSplit(x), [5, 1]
    found = importance.bounds(model, split, ids, (1, 3, 4), seed=2, total=13)
    qz_x, z = draws_of(model, x[ids], 13, 2)
    log_w = naive_log_weights(model, "continuous_bernoulli", x[ids], qz_x, z).numpy()
    assert found.groups.tolist() == [13, 4, 3] and found.ks == (1, 3, 4)
    for column, (k, groups) in enumerate(((1, 13), (3, 4), (4, 3))):
        for example in range(2):
            each = [
                math.log(sum(math.exp(value) for value in log_w[g * k : g * k + k, example]) / k) for g in range(groups)
            ]
            mean = sum(each) / groups
            deviation = math.sqrt(sum((value - mean) ** 2 for value in each) / (groups - 1))
            assert found.mean[example, column] == pytest.approx(mean, rel=1e-4, abs=1e-4)
            assert found.error[example, column] == pytest.approx(deviation / math.sqrt(groups), rel=5e-3, abs=1e-4)
    assert importance.bounds(model, split, ids, (1, 5)).groups.tolist() == [10, 2]
    again = importance.bounds(model, split, ids, (1, 3, 4), seed=3, total=13)
    assert not np.allclose(found.mean, again.mean, atol=1e-4)
    with pytest.raises(aecore.DataError, match="at least 8 draws"):
        importance.bounds(model, split, ids, (1, 4), total=7)
    with pytest.raises(aecore.DataError, match="at least 1"):
        importance.bounds(model, split, ids, (0, 4))


def test_bounds_of_bernoulli_pixels_are_of_the_split_image():
    model, x = vae(), grey()
    grey_split, binary_split = TensorSplit(x), TensorSplit((x > 0.5).float())
    for split in (grey_split, binary_split):
        found = importance.bounds(model, split, [2], (2,), seed=1, total=6).mean
        expected = importance.bounds(model, binary_split, [2], (2,), seed=1, total=6).mean
        np.testing.assert_array_equal(found, expected)


# --- inside a VAE -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_inside_has_the_terms_of_the_image_that_is_modelled(name):
    model, x = vae(name), grey()
    found = posterior.inside(model, TensorSplit(x), 3, 5, seed=6)
    seen = (x[3:4] > 0.5).float() if name == "bernoulli" else x[3:4]
    qz_x = model.posterior(seen)
    np.testing.assert_array_equal(found.image, np.round(255 * seen[0, 0].numpy()).astype(np.uint8))
    np.testing.assert_allclose(found.mu, qz_x.mu[0], rtol=1e-5)
    np.testing.assert_allclose(found.std, (0.5 * qz_x.logvar[0]).exp(), rtol=1e-5)
    np.testing.assert_allclose(found.z, found.mu + found.std * found.xi, rtol=1e-5, atol=1e-6)
    logits = model.decoder(torch.from_numpy(found.z))
    recon = -log_densities(name, seen, logits[:, None], 7.0)[:, 0]
    np.testing.assert_allclose(found.recon, recon, rtol=1e-4)
    np.testing.assert_allclose(
        found.kl, 0.5 * (found.mu**2 + found.std**2 - 1 - 2 * np.log(found.std)), rtol=1e-3, atol=1e-6
    )
    assert found.elbo == pytest.approx(-float(recon.mean()) - float(found.kl.sum()), rel=1e-5)
    tiles = model.decode(torch.from_numpy(found.z))[:, 0].numpy()
    assert np.abs(found.tiles - 255 * tiles).max() <= 0.51 and len(found.tiles) == 5
    assert np.abs(found.mean - 255 * model.decode(qz_x.mu)[0, 0].numpy()).max() <= 0.51


def test_shown_terms_add_up_to_the_shown_bound():
    """Numbers whose exact sums round differently: 0.004 three times, and 1.004 + 2.004."""
    empty = np.zeros((1, 1), np.uint8)
    one = np.zeros(1, np.float32)
    found = posterior.Inside(
        *(one,) * 2,
        *(one[None],) * 2,
        empty,
        empty[None],
        empty,
        np.array([1.004, 2.003, 1.006], np.float32),
        np.array([0.004, 0.004, 0.004, 1.2561], np.float32),
    )
    shown = found.rounded()
    assert shown.recon == (1.0, 2.0, 1.01) and shown.mean == 1.34
    assert shown.kl == (0.0, 0.0, 0.0, 1.26) and shown.kl_sum == 1.26 and shown.elbo == -2.6
    exact = found.rounded(6)
    assert exact.elbo == pytest.approx(found.elbo, abs=5e-6)
    model, split = vae("gaussian"), TensorSplit(grey(20))
    for example in range(20):
        shown = posterior.inside(model, split, example, 7).rounded()
        text = [f"{value:.2f}" for value in (shown.mean, *shown.kl, shown.kl_sum, shown.elbo)]
        mean, *kl, kl_sum, elbo = (round(100 * float(value)) for value in text)  # hundredths
        assert kl_sum == sum(kl) and elbo == -(mean + kl_sum)
        assert abs(mean - sum(round(100 * value) for value in shown.recon) / 7) <= 0.5 + 1e-6


def test_the_evidence_is_a_mean_over_groups_of_weighted_draws():
    model, split = vae("gaussian"), TensorSplit(grey())
    found = posterior.evidence(model, split, 2, k=6, groups=4, seed=3)
    bounds = importance.bounds(model, split, [2], (6,), 3, 24)
    assert found == (float(bounds.mean[0, 0]), float(bounds.error[0, 0]), 6, 4) and found.error > 0


def test_algorithm_1_computes_the_terms_of_its_minibatch():
    split = TensorSplit(grey(30, shape=(1, 12, 12)))
    lines = algorithm_1(split, (1, 12, 12), M=7, L=3, width=16, lr=0.01, seed=2)
    seen = {}
    for line in itertools.islice(lines, 12):  # the second round, whose weights differ from the first ones
        model = line.made["model"]
        if line.line == 4 and line.step == 1:
            assert seen["recon"] == pytest.approx(line.made["recon"], rel=1e-4)
            assert seen["kl"] == pytest.approx(line.made["kl"], rel=1e-4)
        if line.line == 3:
            x, z, xi = seen["x"], torch.from_numpy(line.made["z"]), torch.from_numpy(line.made["xi"])
            assert z.shape == xi.shape == (3, 7, 2)
            q = model.posterior(x)
            torch.testing.assert_close(z, (q.mu + q.std * xi).detach(), rtol=1e-4, atol=1e-4)
            logits = model.decoder(z.flatten(0, 1)).unflatten(0, (3, 7)).detach()
            seen["recon"] = -float(log_densities("bernoulli", x, logits, 1.0).mean())
            var = q.logvar.exp()
            seen["kl"] = float(0.5 * (q.mu**2 + var - 1 - var.log()).sum(1).mean())
        if line.line == 2:
            shown = torch.from_numpy(line.made["x"]).float() / 255  # bytes of floats: which examples they are
            nearest = [int((split.x[:, 0] - image).abs().sum((1, 2)).argmin()) for image in shown]
            seen["x"] = split.x[nearest]
    assert "recon" in seen


# --- what the exhibit shows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.05, 0.5, 0.8])
def test_one_pixel_has_the_densities_it_says(lam):
    found = pixel_likelihoods.pixel(lam, 6.0)
    inside = (found.x >= 0) & (found.x <= 1)
    assert found.x[0] == pytest.approx(-0.25) and found.x[-1] == pytest.approx(1.25)
    assert np.isnan(found.formula[~inside]).all() and np.isnan(found.continuous[~inside]).all()
    area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
    assert area(found.continuous[inside], found.x[inside]) == pytest.approx(1, abs=1e-4)
    assert area(found.formula[inside], found.x[inside]) == pytest.approx(found.area, abs=1e-4)
    assert found.area * found.normaliser == pytest.approx(1) and found.area <= 0.5 + 1e-6
    assert area((found.continuous * found.x)[inside], found.x[inside]) == pytest.approx(found.mean, abs=1e-4)
    np.testing.assert_allclose(found.formula[inside][[0, -1]], [1 - lam, lam], rtol=1e-5)
    logit = math.log(lam / (1 - lam))
    for index in (0, 100, 300):
        assert found.gaussian[index] == pytest.approx(
            math.exp(log_density("gaussian", found.x[index], logit, 6.0)), rel=1e-4
        )
    assert found.within == pytest.approx(area(found.gaussian[inside], found.x[inside]), abs=1e-3)


def test_scores_say_whether_they_bound_anything():
    x = grey(9)
    for name in LIKELIHOODS:
        model = vae(name)
        found, terms = pixel_likelihoods.score(model, x, samples=2, seed=5), likelihood.bound(model, x, 2, 5)
        assert found.cross_entropy == (name == "bernoulli")
        for term in ("recon", "kl", "elbo"):
            assert getattr(found, term) == pytest.approx(float(terms[term].mean()), rel=1e-6)
        assert found.error == pytest.approx(float(np.std(terms["elbo"], ddof=1)) / 3, rel=1e-5)
    assert not pixel_likelihoods.score(vae(), (x > 0.5).float()).cross_entropy


def test_samples_are_decoded_codes_with_and_without_the_noise_of_pixels():
    for name in LIKELIHOODS:
        model = vae(name)
        found = pixel_likelihoods.sampled(model, 400, seed=3)
        z = torch.randn(400, 2, generator=torch.Generator().manual_seed(3))
        assert np.abs(found.means - 255 * model.decode(z)[:, 0].numpy()).max() <= 0.51
        assert not np.array_equal(found.means, pixel_likelihoods.sampled(model, 400, seed=4).means)
        assert found.drawn.shape == found.means.shape
        assert (set(np.unique(found.drawn)) == {0, 255}) == (name == "bernoulli")
        if name != "gaussian":  # whose values beyond the range are cut off
            np.testing.assert_allclose(found.drawn.mean(0), found.means.mean(0), atol=25)


def test_a_bound_and_an_exact_likelihood_are_of_the_same_images():
    coded = vae()
    exact = aecore.build("pixelcnn", SHAPE, 0, width=16, layers=2).eval().requires_grad_(False)
    x = grey(8)
    for how in likelihood.BINARISED:
        found = pixel_likelihoods.beside(coded, exact, TensorSplit(x), [1, 4, 6], how, k=5, seed=2)
        seen = likelihood.binarised(x[[1, 4, 6]], how, 2)
        np.testing.assert_allclose(found.bound, likelihood.bound(coded, seen, seed=2)["elbo"], rtol=1e-5)
        np.testing.assert_allclose(found.estimate, likelihood.log_likelihood(coded, seen, 5, 2), rtol=1e-5)
        np.testing.assert_allclose(found.exact, exact.log_prob(seen), rtol=1e-4)
        assert found.k == 5
    with pytest.raises(aecore.DataError, match="pixel by pixel"):
        pixel_likelihoods.beside(coded, coded, TensorSplit(x), [1], "drawn")
