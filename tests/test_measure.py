"""Measures: values known beforehand, and slow and obvious versions to compare with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import inference
from aecore.data import load
from aecore.data.base import Data, DataSpec, Images, Split
from aecore.errors import DataError
from aecore.measure import latents, likelihood, pca, reconstruction, report, statistics
from aecore.models.base import Autoencoder
from aecore.nn.distributions import LOG_2PI, Normal, sum_dims

torch.set_num_threads(1)


class Vectors(Split):
    """A split of vectors."""

    def __init__(self, x: Tensor, labels: np.ndarray | None = None):
        self.x, self.labels = x, labels

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor):
        return aecore.Batch(self.x[index])

    def to(self, device):
        return self


class Isotropic:
    """N(mean, variance I)."""

    def __init__(self, mean: Tensor, variance: float):
        self.mean, self.variance = mean, variance

    def log_prob(self, x: Tensor) -> Tensor:
        lead = self.mean.ndim - x.ndim + 1
        return -0.5 * sum_dims((x - self.mean) ** 2 / self.variance + LOG_2PI + math.log(self.variance), lead)


class LinearGaussian(Autoencoder):
    """x = W z + noise with orthogonal columns: the posterior is diagonal and log p(x) is known.

    stretch: of the posterior's standard deviation away from the true one.
    """

    abilities = Autoencoder.abilities | {"posterior", "likelihood"}

    def __init__(self, size: int = 6, code: int = 3, variance: float = 0.3, stretch: float = 1.0):
        super().__init__((size,), code)
        torch.manual_seed(0)
        W = torch.linalg.qr(torch.randn(size, code))[0] * torch.tensor([2.0, 1.0, 0.5])
        self.W, self.variance, self.stretch = nn.Parameter(W), variance, stretch

    def posterior(self, x: Tensor) -> Normal:
        precision = 1 + self.W.square().sum(0) / self.variance
        return Normal(x @ self.W / self.variance / precision, (self.stretch**2 / precision).log().expand(len(x), -1))

    def p_x(self, z: Tensor) -> Isotropic:
        return Isotropic(self.decode(z), self.variance)

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).mu

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.W.T

    def evidence(self, x: Tensor) -> np.ndarray:
        covariance = self.W @ self.W.T + self.variance * torch.eye(len(self.W))
        return torch.distributions.MultivariateNormal(torch.zeros(len(self.W)), covariance).log_prob(x).detach().numpy()


class Given(Autoencoder):
    """Its code is the input; posterior of given standard deviations per unit, constant means where `idle`."""

    abilities = Autoencoder.abilities | {"posterior"}

    def __init__(self, idle: Tensor, std: Tensor):
        super().__init__((len(idle),), len(idle))
        self.idle, self.std = idle, std
        self.weight = nn.Parameter(torch.ones(1))

    def posterior(self, x: Tensor) -> Normal:
        return Normal(torch.where(self.idle, torch.zeros_like(x), x), 2 * self.std.log().expand_as(x))

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).mu


@pytest.fixture(scope="module")
def digits() -> Data:
    return load(DataSpec(name="digits8"))


# --- reconstruction -----------------------------------------------------------------------------------------


def naive_ssim(x: np.ndarray, y: np.ndarray, window: int) -> float:
    """One grey pair, window by window, from the definition."""
    at = np.arange(window) - window // 2
    weight = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    values = []
    for i in range(x.shape[0] - window + 1):
        for j in range(x.shape[1] - window + 1):
            a, b = x[i : i + window, j : j + window], y[i : i + window, j : j + window]
            ma, mb = (weight * a).sum(), (weight * b).sum()
            va, vb = (weight * (a - ma) ** 2).sum(), (weight * (b - mb) ** 2).sum()
            cov = (weight * (a - ma) * (b - mb)).sum()
            values.append((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    return float(np.mean(values))


@pytest.mark.parametrize(("side", "window"), [(28, 11), (12, 11), (11, 11), (10, 9), (8, 7)])
def test_ssim_equals_its_definition_window_by_window(side, window):
    rng = np.random.default_rng(side)
    x = rng.random((2, 3, side, side))
    y = np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1)
    expected = [np.mean([naive_ssim(x[n, c], y[n, c], window) for c in range(3)]) for n in range(2)]
    np.testing.assert_allclose(reconstruction.ssim(x, y), expected, atol=2e-4)  # variances as differences, in float32


def test_ssim_is_one_for_a_copy_and_falls_with_noise():
    rng = np.random.default_rng(0)
    x = rng.random((4, 1, 28, 28))
    assert reconstruction.ssim(x, x) == pytest.approx(np.ones(4), abs=1e-5)
    little, much = (reconstruction.ssim(x, x + s * rng.normal(size=x.shape)) for s in (0.05, 0.5))
    assert (little < 1).all() and (little > much).all()


def test_errors_have_the_values_of_their_formulas():
    x = np.zeros((2, 1, 2, 2), np.float32)
    x_hat = np.stack([np.full((1, 2, 2), 0.1), np.full((1, 2, 2), 0.5)])
    np.testing.assert_allclose(reconstruction.mse(x, x_hat), [0.01, 0.25], rtol=1e-5)
    np.testing.assert_allclose(reconstruction.squared_error(x, x_hat), [0.04, 1.0], rtol=1e-5)
    np.testing.assert_allclose(reconstruction.psnr(x, x_hat), [20.0, 6.0206], rtol=1e-4)
    np.testing.assert_allclose(reconstruction.bce(x, x_hat), [-4 * math.log(0.9), 4 * math.log(2)], rtol=1e-4)
    assert np.isinf(reconstruction.psnr(x, x)).all()


# --- likelihood ---------------------------------------------------------------------------------------------


def test_with_the_true_posterior_bound_and_estimate_are_the_evidence():
    model, x = LinearGaussian(), torch.randn(40, 6) * 1.5
    exact = model.evidence(x)
    np.testing.assert_allclose(likelihood.log_likelihood(model, x, samples=3), exact, atol=1e-3)
    # The bound's recon is a mean over draws, so only its expectation is exact.
    assert likelihood.bound(model, x, samples=500)["elbo"].mean() == pytest.approx(exact.mean(), abs=0.02)


def test_importance_sampling_closes_the_gap_of_the_bound():
    model, x = LinearGaussian(stretch=1.5), torch.randn(40, 6) * 1.5
    exact = model.evidence(x).mean()
    elbo = likelihood.bound(model, x, samples=300)["elbo"].mean()
    estimates = [likelihood.log_likelihood(model, x, samples=k).mean() for k in (1, 10, 2000)]
    gap = 3 * (math.log(1 / 1.5) + (1.5**2 - 1) / 2)  # KL between two Gaussians with the same mean, three units
    assert exact - elbo == pytest.approx(gap, abs=0.05)
    assert elbo < estimates[1] < exact + 0.02
    assert estimates[2] == pytest.approx(exact, abs=0.02)


def test_the_bound_ignores_beta_and_repeats_with_its_seed():
    x = torch.rand(20, 1, 8, 8)
    one, four = (aecore.build("beta_vae", (1, 8, 8), beta=beta, width=16).eval() for beta in (1.0, 4.0))
    terms = likelihood.bound(one, x)
    np.testing.assert_array_equal(terms["elbo"], likelihood.bound(four, x)["elbo"])
    np.testing.assert_allclose(terms["elbo"], -(terms["recon"] + terms["kl"]), rtol=1e-6)
    a, b, c = (likelihood.log_likelihood(one, x, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


# --- units --------------------------------------------------------------------------------------------------


def test_perfect_collapsed_and_mixed_codes_are_told_apart():
    torch.manual_seed(0)
    split = Vectors(torch.randn(3000, 4))
    std = torch.full((4,), 0.1)

    perfect = statistics(Given(torch.zeros(4, dtype=torch.bool), std), split)
    assert perfect.active.all() and perfect.collapsed is None
    # KL per unit: ½(E μ² + σ² − 1 − log σ²), E μ² = 1.
    np.testing.assert_allclose(perfect.kl, 0.5 * (0.01 - math.log(0.01)), rtol=0.05)
    np.testing.assert_allclose(perfect.std, 1, rtol=0.05)

    dead = statistics(Given(torch.ones(4, dtype=torch.bool), torch.ones(4)), split)
    np.testing.assert_allclose(dead.kl, 0, atol=1e-6)
    assert not dead.active.any() and "no unit" in dead.collapsed and "β" in dead.collapsed

    idle = torch.tensor([True, True, False, True])
    mixed = statistics(Given(idle, torch.where(idle, 1.0, 0.1)), split)
    assert mixed.order[0] == 2 and mixed.active.tolist() == [False, False, True, False]
    assert mixed.collapsed.startswith("3 of 4 units")


def test_units_go_by_variance_where_there_is_no_kl():
    assert latents.order(None, np.array([0.1, 3.0, 1.0])).tolist() == [1, 2, 0]
    assert latents.order(np.array([5.0, 0.0, 1.0]), np.array([0.1, 3.0, 1.0])).tolist() == [0, 2, 1]
    assert latents.collapse_warning(None, np.zeros(3, bool)) is None


def test_a_unit_is_active_above_a_variance_of_one_hundredth():
    codes = np.random.default_rng(0).normal(size=(20_000, 2)) * np.sqrt([0.009, 0.011])
    assert latents.active_of(codes).tolist() == [False, True]


# --- baseline -----------------------------------------------------------------------------------------------


def test_the_baseline_is_the_error_off_the_principal_subspace(digits):
    x, test = (s.batch(torch.arange(len(s))).x.flatten(1).numpy() for s in (digits.train, digits.test))
    mean = x.mean(0)
    _, _, v = np.linalg.svd(x - mean, full_matrices=False)
    for code in (2, 10):
        off = (test - mean) - (test - mean) @ v[:code].T @ v[:code]
        assert pca.pca_mse(digits, code) == pytest.approx(float((off**2).mean()), rel=2e-3)
    assert pca.pca_mse(digits, 256) == pytest.approx(0, abs=1e-6)  # more than there are pixels


# --- the report ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [key for key, entry in aecore.CATALOG.items() if "image" in entry.kinds])
def test_the_report_measures_every_model_and_leaves_it_as_it_was(key, digits):
    which = aecore.entry(key)
    params = {"width": 32} if "width" in which.params else {}
    model = aecore.build(key, digits.shape, **params).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    found = report(model, which, digits, limit=100)
    assert model.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    assert found == report(model, which, digits, limit=100)
    last = {term for player in model.players().values() for term in player.weights}  # of the last stage, if there are
    assert {f"test/{term}" for term in last} <= set(found)
    if {"encode", "decode"} <= which.abilities:
        assert {"mse", "psnr", "ssim", "pca mse", "active units"} <= set(found)
    if "likelihood" in which.abilities:  # of Bernoulli pixels, by default
        assert found["elbo, thresholded"] <= found["log p(x), thresholded, K=64"] + 1  # estimated on different draws
        assert "elbo" not in found and found["cross-entropy + kl"] > 0


def test_the_report_reads_vectors_too():
    x = torch.rand(200, 12)
    data = Data(DataSpec(name="vectors"), "Vectors", (12,), Vectors(x[:100]), Vectors(x[100:]), "made here")
    found = report(aecore.build("vae", (12,), width=16, code=3), aecore.entry("vae"), data)
    assert "ssim" not in found and found["code units"] == 3 and found["pca mse"] > 0


def test_examples_that_do_not_exist_are_refused_in_a_sentence(digits):
    model = aecore.build("linear", digits.shape)
    with pytest.raises(aecore.DataError, match="There is no example"):
        inference.encode(model, digits.test, np.array([len(digits.test)]))
    with pytest.raises(aecore.DataError, match="cannot sample"):
        inference.require(model, "sample")


def test_batches_join_in_the_order_of_the_ids():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(4)[:, None, None, None].expand(1024, 1, 8, 8).contiguous()
    model = aecore.build("linear", (1, 8, 8), code=1)
    model.encoder[1].weight.data.fill_(255 / 64), model.encoder[1].bias.data.zero_()
    ids = np.random.default_rng(0).permutation(1024)
    codes = inference.encode(model, Images(pixels), ids)[:, 0]
    np.testing.assert_allclose(codes, ids % 256, atol=1e-2)


def test_known_factors_are_told_or_it_is_said_that_there_are_none():
    sprites = load(DataSpec(name="sprites", limit=50)).test
    assert inference.factors_of(sprites, [3, 1]).tolist() == sprites.factors(torch.tensor([3, 1])).tolist()
    with pytest.raises(DataError, match="Choose sprites"):
        inference.factors_of(load(DataSpec(name="digits8")).test, [0])
