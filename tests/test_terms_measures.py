"""Measures of codes, and planes and strips of codes, against loops with the same random numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import DataError, inference
from aecore.data.base import Data, DataSpec
from aecore.explore import code_planes, examples, transport
from aecore.explore.images import to_uint8
from aecore.measure import aggregate_posterior, disentanglement, latents, report
from aecore.measure.transport import binned_jensen_shannon, jensen_shannon, plan, sorted_quantiles, wasserstein
from aecore.models.base import Autoencoder
from aecore.nn.distributions import Normal
from tests import conftest, naive

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- scores of disentanglement -----------------------------------------------------------------------------------

SIZES = (2, 4, 3)
V = np.stack([random(1).integers(size, size=400) for size in SIZES], 1)
MIXED = np.array([[1.5, 0.2, 0.0, 0.4], [0.1, 1.0, 0.2, 0.4], [0.0, 0.1, 1.0, 0.4]])
Z = V @ MIXED + 0.5 * random(3).normal(size=(400, 4)) * [0.5, 1, 1.2, 1]


def shares(v: np.ndarray) -> list[list[list[int]]]:
    """For each factor that changes, the examples of each of its values that two or more have, in rising order."""
    found = []
    for factor in v.T.tolist():
        parts = [[n for n, value in enumerate(factor) if value == wanted] for wanted in sorted(set(factor))]
        if len(parts) > 1:
            found.append([part for part in parts if len(part) > 1])
    return found


def test_factor_vaes_score_is_that_of_its_definition(monkeypatch):
    """Batches share a value of one factor; the unit of the least relative variance votes; the majority is learned."""
    monkeypatch.setattr(disentanglement, "VOTES", 60)
    monkeypatch.setattr(disentanglement, "BATCH", 9)
    v = np.concatenate([V, np.ones((400, 1), int)], 1)
    z = np.concatenate([Z, 1e-4 * random(4).normal(size=(400, 1))], 1)  # the last unit hardly varies: no vote
    groups, draws = shares(v), random(7)
    assert len(groups) == 3
    votes = [[0] * 3 for _ in range(4)]
    right = 0
    for turn in range(90):
        k = int(draws.integers(3))
        part = groups[k][int(draws.integers(len(groups[k])))]
        batch = draws.choice(part, 9)
        ratios = []
        for j in range(4):
            values, everyone = z[batch, j].tolist(), z[:, j].tolist()
            mean, whole = sum(values) / 9, sum(everyone) / 400
            ratios.append((sum((x - mean) ** 2 for x in values) / 9) / (sum((x - whole) ** 2 for x in everyone) / 400))
        unit = ratios.index(min(ratios))
        if turn < 60:
            votes[unit][k] += 1
        else:
            right += votes[unit].index(max(votes[unit])) == k
    found = disentanglement.factor_vae(z, v, seed=7)
    assert found == right / 30
    assert 0.4 < found < 1


def test_beta_vaes_score_is_that_of_its_definition(monkeypatch):
    """A linear classifier names the factor that pairs share, from the mean |z − z′| of units of deviation 1."""
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(disentanglement, "VOTES", 60)
    monkeypatch.setattr(disentanglement, "BATCH", 5)
    z = np.concatenate([Z, np.full((400, 1), 2.0)], 1)
    groups, draws = shares(V), random(7)
    rows, named = [], []
    for _ in range(90):
        k = int(draws.integers(3))
        values = draws.integers(len(groups[k]), size=5)
        pairs = [draws.choice(groups[k][value], 2, replace=False) for value in values]
        row = []
        for j in range(5):
            spread = float(np.sqrt(np.mean((z[:, j] - z[:, j].mean()) ** 2)))
            row.append(sum(abs(z[a, j] - z[b, j]) for a, b in pairs) / 5 / spread if j < 4 else 0.0)
        rows.append(row), named.append(k)
    classifier = LogisticRegression(C=100.0, max_iter=2000).fit(rows[:60], named[:60])
    right = sum(int(guess) == k for guess, k in zip(classifier.predict(rows[60:]), named[60:], strict=True))
    found = disentanglement.beta_vae(z, V, seed=7)
    assert found == right / 30
    assert 0.4 < found < 1


def test_importances_are_those_of_forests_on_the_first_half_and_informativeness_is_their_gain_on_the_second():
    from sklearn.ensemble import RandomForestClassifier

    table, gain = disentanglement.importances(Z, V, seed=5)
    gains = []
    for k in range(3):
        forest = RandomForestClassifier(40, min_samples_leaf=3, max_features=None, random_state=5)
        forest.fit(Z[:200], V[:200, k])
        assert table[:, k] == pytest.approx(forest.feature_importances_)
        truth = V[200:, k].tolist()
        accuracy = sum(a == b for a, b in zip(forest.predict(Z[200:]).tolist(), truth, strict=True)) / 200
        chance = max(truth.count(value) for value in set(truth)) / 200
        gains.append((accuracy - chance) / (1 - chance))
    assert gain == pytest.approx(sum(gains) / 3)
    assert 0.1 < sorted(gains)[0] < sorted(gains)[1] < 0.99


def test_sap_of_factors_without_an_order_is_the_gap_of_balanced_accuracies_above_chance():
    from sklearn.svm import LinearSVC

    for k, values in enumerate(SIZES):
        found = []
        for unit in Z.T:
            u = (unit - unit.mean()) / unit.std()
            svm = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(u[:200, None], V[:200, k])
            guesses, truth = svm.predict(u[200:, None]), V[200:, k]
            recalls = [float((guesses[truth == value] == value).mean()) for value in range(values)]
            found.append(max(0.0, (sum(recalls) / values - 1 / values) / (1 - 1 / values)))
        ranked = sorted(found)
        assert disentanglement.sap(Z, V[:, [k]], (0,)) == pytest.approx(ranked[-1] - ranked[-2])
        assert ranked[-1] - ranked[-2] != pytest.approx(disentanglement.sap(Z, V[:, [k]]), abs=1e-3)


def test_scores_are_those_of_their_functions(monkeypatch):
    monkeypatch.setattr(disentanglement, "VOTES", 40)
    monkeypatch.setattr(disentanglement, "BATCH", 9)
    found = disentanglement.scores(Z, V, (1,), seed=5)
    importance, gain = disentanglement.importances(Z, V, 5)
    d, c = disentanglement.dci(importance)
    information = disentanglement.mutual_information(Z, V)
    assert found.numbers() == {
        "mig": disentanglement.mig(information),
        "sap": disentanglement.sap(Z, V, (1,)),
        "d": d,
        "c": c,
        "i": gain,
        "beta": disentanglement.beta_vae(Z, V, 5),
        "factor": disentanglement.factor_vae(Z, V, 5),
    }
    assert len({round(value, 6) for value in found.numbers().values()}) == 7
    assert disentanglement.categorical(V, V[:, 1]) == (1,)


# --- latent dimensions -------------------------------------------------------------------------------------------


class Given(Autoencoder):
    """Its code is the input times `scale`, with a posterior of these standard deviations."""

    abilities = Autoencoder.abilities | {"posterior", "sample", "likelihood"}

    def __init__(self, std: Tensor, scale: float = 1.0):
        super().__init__((len(std),), len(std))
        self.std, self.scale = std, scale
        self.weight = nn.Parameter(torch.ones(1))

    def posterior(self, x: Tensor) -> Normal:
        return Normal(self.scale * x, 2 * self.std.log().expand_as(x))

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).mu


def table(n: int, units: int, seed: int = 0) -> conftest.Table:
    return conftest.Table(torch.randn(n, units, generator=torch.Generator().manual_seed(seed)))


def test_statistics_are_those_of_the_first_examples():
    std, split = torch.tensor([0.5, 0.2, 1.5]), table(60, 3)
    found = latents.statistics(Given(std, 0.3), split, limit=40)
    mu = (0.3 * split.x[:40].double()).numpy()
    for j, sigma in enumerate(std.tolist()):
        mean = sum(mu[:, j]) / 40
        variance = sum((mu[:, j] - mean) ** 2) / 40
        kl = sum(0.5 * (m * m + sigma**2 - 1) - math.log(sigma) for m in mu[:, j]) / 40
        assert found.mean[j] == pytest.approx(mean, abs=1e-5)
        assert found.std[j] == pytest.approx(math.sqrt(variance), rel=1e-4)
        assert found.kl is not None and found.kl[j] == pytest.approx(kl, rel=1e-4)
        assert found.active[j] == (variance > 0.01)
    assert found.order.tolist() == [1, 0, 2] and found.examples == 40


def test_a_collapse_is_told_where_more_than_half_are_idle_or_nothing_is_said():
    kl, on = np.array([2.0, 1.0, 0.0, 0.0]), np.array([True, True, False, False])
    assert latents.collapse_warning(kl, on) is None  # exactly half
    some = latents.collapse_warning(kl, np.array([True, False, False, False]))
    assert some is not None and some.startswith("3 of 4 units") and "1 units" in some
    for silent in (
        latents.collapse_warning(kl, np.zeros(4, bool)),
        latents.collapse_warning(np.array([0.05, 0.049, 0.0, 0.0]), np.ones(4, bool)),
    ):
        assert silent is not None and "no unit" in silent
    assert latents.collapse_warning(np.array([0.06, 0.05, 0.0, 0.0]), np.ones(4, bool)) is None


def test_a_unit_rests_where_it_is_near_its_median():
    codes = random().normal(size=(200, 3)) * [1, 5, 0] + [0, 2, 7]
    codes[:150, 1] = 2.0
    expected = []
    for unit in codes.T:
        low, high = np.quantile(unit, 0.005), np.quantile(unit, 0.995)
        middle = float(np.median(unit))
        moved = sum(abs(value - middle) > 0.1 * (high - low) for value in unit.tolist())
        expected.append(moved / 200 if high > low else 0.0)
    assert latents.activity(codes, 0.1) == pytest.approx(np.array(expected))
    assert expected[2] == 0 < expected[1] < expected[0]


def test_units_that_stand_still_have_noise_in_place_of_a_correlation():
    codes = random().normal(size=(500, 2))
    codes = np.concatenate([codes, codes[:, :1] + codes[:, 1:], np.full((500, 1), 3.0)], 1)
    found = latents.correlation(codes, seed=3)
    mean = codes.mean(0)
    for i, j in itertools.product(range(3), range(3)):
        a, b = codes[:, i] - mean[i], codes[:, j] - mean[j]
        assert found[i, j] == pytest.approx(sum(a * b) / math.sqrt(sum(a * a) * sum(b * b)))
    noise = random(3).standard_normal(codes.shape)[:, 3]
    assert found[3, 0] == pytest.approx(np.corrcoef(noise, codes[:, 0])[0, 1])


# --- the aggregate posterior ---------------------------------------------------------------------------------------


def test_codes_are_compared_with_the_prior_by_their_definitions():
    std, split = torch.tensor([0.5, 0.2]), table(40, 2)
    found = aggregate_posterior.aggregate(Given(std), split, 30, seed=3)
    mu = split.x[:30].numpy()
    z = mu + std.numpy() * random(3).standard_normal((30, 2)).astype(np.float32)
    prior = torch.empty(30, 2).normal_(generator=torch.Generator().manual_seed(3))
    assert found.n == 30
    assert found.mmd2 == pytest.approx(naive.mmd2(torch.from_numpy(z), prior, SCALES), abs=1e-5)
    assert found.kl == pytest.approx(aggregate_posterior.kl_of_neighbours(z, prior.numpy()), abs=1e-5)
    pairs = []
    for i, j in itertools.permutations(range(30), 2):
        each = 1.0
        for m, n, s in zip(mu[i].tolist(), mu[j].tolist(), std.tolist(), strict=True):
            each *= math.exp(-((m - n) ** 2) / (8 * s * s))  # equal variances
        pairs.append(each)
    assert found.overlap == pytest.approx(sum(pairs) / len(pairs), rel=1e-4)
    draws = torch.Generator().manual_seed(0)
    values = sorted(
        naive.mmd2(torch.randn(8, 2, generator=draws), torch.randn(8, 2, generator=draws), SCALES) for _ in range(40)
    )
    assert aggregate_posterior.by_chance(2, 8) == pytest.approx(values[37] + 0.05 * (values[38] - values[37]), abs=1e-5)


def test_too_few_examples_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="too few") as refusal:
        aggregate_posterior.aggregate(Given(torch.ones(2)), table(5, 2))
    assert isinstance(refusal.value, DataError)
    assert aggregate_posterior.aggregate(Given(torch.ones(2)), table(6, 2)).n == 6
    with pytest.raises(DataError, match="at least 2 examples"):
        aggregate_posterior.total_correlation(Given(torch.ones(2)), table(1, 2))


def test_overlaps_of_unequal_posteriors_are_their_integrals():
    mu, std = random().normal(size=(3, 2)).astype(np.float32), np.exp(random(1).normal(size=(3, 2))).astype(np.float32)
    total = 0.0
    for i, j in itertools.permutations(range(3), 2):
        each = 1.0
        for m, n, s, t in zip(mu[i], mu[j], std[i], std[j], strict=True):
            p, q = (
                Normal(torch.tensor([[a]]).double(), 2 * torch.tensor([[b]]).double().log())
                for a, b in ((m, s), (n, t))
            )
            each *= naive.overlap(p, q, -30, 30, 20_001)
        total += each
    assert aggregate_posterior.overlap(mu, std) == pytest.approx(total / 6, rel=1e-4)


def test_holes_are_the_inner_draws_that_are_farthest_from_everything():
    codes, draws = random().normal(size=(30, 2)), random(1).normal(size=(50, 2))
    lengths = [math.hypot(*point) for point in draws]
    inner = [point for point, length in zip(draws, lengths, strict=True) if length <= np.median(lengths)]
    taken = list(codes)
    for found in aggregate_posterior.holes(codes, draws, 3):
        gaps = [min(math.dist(point, other) for other in taken) for point in inner]
        assert found == pytest.approx(inner[gaps.index(max(gaps))])
        taken.append(found)


def test_bounds_of_the_total_correlation_are_those_of_their_definition(monkeypatch):
    """With its own example log q̂ is too large, without it too small: joint and marginals take opposite sides."""
    monkeypatch.setattr(aggregate_posterior, "ROWS", 3)
    M, n, D = 9, 7, 3
    mu, std = random().normal(size=(M, D)), np.exp(random(1).normal(size=(M, D)) - 1)
    z = mu[:n] + std[:n] * random(2).normal(size=(n, D))
    low = high = 0.0
    for i in range(n):
        density = [
            [
                math.exp(-0.5 * ((z[i, j] - mu[m, j]) / std[m, j]) ** 2) / std[m, j] / math.sqrt(2 * math.pi)
                for j in range(D)
            ]
            for m in range(M)
        ]
        others = [row for m, row in enumerate(density) if m != i]
        joint, joint_of_others = (math.log(sum(map(math.prod, rows)) / len(rows)) for rows in (density, others))
        units, units_of_others = (
            sum(math.log(sum(row[j] for row in rows) / len(rows)) for j in range(D)) for rows in (density, others)
        )
        low += (joint_of_others - units) / n
        high += (joint - units_of_others) / n
    assert aggregate_posterior.total_correlation_bounds(mu, std, z) == pytest.approx((low, high), rel=1e-9)


def test_the_bounds_enclose_the_total_correlation_of_gaussians_and_meet_with_more_examples():
    """x ~ N(0, Σ), z|x ~ N(x, s² I): z ~ N(0, Σ + s² I), TC = ½ Σ_j log variance_j − ½ log det."""
    covariance = torch.tensor([[1.0, 0.8, 0.0], [0.8, 1.5, 0.0], [0.0, 0.0, 0.7]])
    std = torch.tensor([0.6, 0.5, 0.4])
    whole = covariance + torch.diag(std**2)
    exact = 0.5 * float(whole.diagonal().log().sum() - torch.logdet(whole))
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(1)) @ torch.linalg.cholesky(covariance).T
    model, widths = Given(std), []
    for examples_ in (300, 4000):
        found = aggregate_posterior.total_correlation(model, conftest.Table(x), examples_, seed=2)
        assert found.examples == examples_
        assert found.at_least - 0.04 < exact < found.at_most + 0.04  # two standard errors of 1,000 draws
        widths.append(found.at_most - found.at_least)
    assert widths[1] < 0.04 < 2 * widths[1] + 0.04 < widths[0]
    alone = aggregate_posterior.total_correlation(Given(std[:1]), conftest.Table(x[:500, :1]))
    assert alone.at_least == 0 and alone.at_most < 0.05  # one unit depends on no other
    first, again, other = (
        aggregate_posterior.total_correlation(model, conftest.Table(x[:200]), seed=s) for s in (1, 1, 2)
    )
    assert first == again != other


def test_the_cards_total_correlation_does_not_depend_on_the_minibatch_and_its_term_does():
    x = torch.rand(260, 6, generator=torch.Generator().manual_seed(1))
    data = Data(DataSpec(name="digits"), "made", (6,), conftest.Table(x), conftest.Table(x[:250]), "made")
    model = aecore.build("beta_tcvae", (6,), code=3, width=16).eval()
    last = model.encoder[-1]
    with torch.no_grad():
        last.weight[:3] *= 10
        last.bias[3:] = -4.0
    model.examples.fill_(260)
    found = [report(model, aecore.entry("beta_tcvae"), data, batch=batch) for batch in (16, 64, 250, 1000)]
    bounds = aggregate_posterior.total_correlation(model, data.test)
    for figures in found:
        assert figures["total correlation, at least"] == bounds.at_least
        assert figures["total correlation, at most"] == bounds.at_most > 0
        assert figures["total correlation examples"] == 250
    terms = [figures["test/tc"] for figures in found]
    assert abs(terms[0] - terms[1]) > 0.1 and abs(terms[1] - terms[2]) > 0.1 and terms[2] == terms[3]
    assert "total correlation, at most" not in report(
        aecore.build("vae", (6,), code=3, width=16), aecore.entry("vae"), data
    )


@pytest.mark.slow
def test_a_trained_beta_tcvaes_total_correlation_is_the_same_at_every_minibatch():
    """Of sprites: its term tc goes from −4.1 in minibatches of 64 to −2.0 at 1,000; the bounds stay."""
    from aecore import paths
    from aecore.runs.folder import Run
    from aecore.training.loop import evaluate

    run = Run.open(paths.PRETRAINED / "beta-tcvae-sprites")
    model, data = run.model(), run.data()
    terms = [evaluate(model, data.test, 1000, batch)["tc"] for batch in (64, 500, 1000)]
    assert terms[0] < terms[1] - 1 < terms[2] - 1.5
    found = [report(model, run.entry, data, 300, batch)["total correlation, at most"] for batch in (64, 300)]
    assert found[0] == found[1] == pytest.approx(run.info.metrics["total correlation, at most"], rel=0.02)
    assert run.info.metrics["test/tc"] == pytest.approx(evaluate(model, data.test, 1953, 128)["tc"], rel=0.05)


# --- transport -------------------------------------------------------------------------------------------------------


def test_the_distance_of_two_samples_is_that_of_the_cheapest_matching():
    a, b = random().normal(size=(5, 2, 2)), random(1).normal(size=(5, 2, 2))
    cost = [[math.sqrt(((x - y) ** 2).sum()) for y in b] for x in a]
    best = min(sum(cost[i][j] for i, j in enumerate(order)) / 5 for order in itertools.permutations(range(5)))
    assert wasserstein(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(best, rel=1e-9)
    with pytest.raises(ValueError, match="one shape"):
        wasserstein(torch.zeros(3, 2), torch.zeros(4, 2))


@pytest.mark.parametrize("p", [1, 2])
def test_a_plan_of_unequal_weights_is_the_cheapest(p):
    """Two points to two: one number is free, and the cost is least at one of its ends."""
    a, b = random().normal(size=(2, 3)), random(1).normal(size=(2, 3))
    u, v = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    cost = [[math.dist(x, y) ** p for y in b] for x in a]
    ends = []
    for moved in (max(0.0, u[0] - v[1]), min(u[0], v[0])):
        gamma = [[moved, u[0] - moved], [v[0] - moved, v[1] - u[0] + moved]]
        ends.append((sum(gamma[i][j] * cost[i][j] for i in (0, 1) for j in (0, 1)), gamma))
    least, gamma = min(ends)
    found = plan(a, b, p, u, v)
    assert found.distance == pytest.approx(least ** (1 / p)) and found.plan == pytest.approx(np.array(gamma))


def test_divergences_of_histograms_are_their_sums():
    p, q = (x / x.sum() for x in (random().random(6), random(1).random(6)))
    expected = sum(
        0.5 * a * math.log(2 * a / (a + b)) + 0.5 * b * math.log(2 * b / (a + b)) for a, b in zip(p, q, strict=True)
    )
    assert jensen_shannon(p, q) == pytest.approx(expected)
    a, b = random().uniform(-1, 1, (40, 2)), random(1).uniform(-1, 1, (50, 2)) * 0.7

    def counts(points: np.ndarray) -> np.ndarray:
        cells = np.zeros((3, 3))
        for x, y in points:
            cells[min(2, int((x + 1) / (2 / 3))), min(2, int((y + 1) / (2 / 3)))] += 1 / len(points)
        return cells.ravel()

    assert binned_jensen_shannon(a, b, 1.0, 3) == pytest.approx(jensen_shannon(counts(a), counts(b)))
    u, v = random().normal(size=5), random(1).normal(size=5)
    best = min(np.abs(u - v[list(order)]).mean() for order in itertools.permutations(range(5)))
    assert sorted_quantiles(u, v) == pytest.approx(best)


def test_two_bumps_are_as_far_apart_as_their_means_while_their_divergence_levels_off():
    thetas = np.array([0.0, 0.3, -0.8, 2.0])
    found = transport.two_bumps(0.1, thetas)
    assert found.w1 == pytest.approx(np.abs(thetas), abs=1e-3)
    assert found.js[0] == 0 and found.js[3] == pytest.approx(math.log(2), abs=1e-4)
    grid = np.arange(-2, 2, 0.001)
    f, g = (np.exp(-0.5 * ((grid - m) / 0.1) ** 2) / 0.1 / math.sqrt(2 * math.pi) for m in (0.0, 0.3))
    integral = sum(
        0.5 * x * math.log(2 * x / (x + y)) + 0.5 * y * math.log(2 * y / (x + y))
        for x, y in zip(f.tolist(), g.tolist(), strict=True)
        if min(x, y) > 1e-200
    )
    assert found.js[1] == pytest.approx(integral * 0.001, rel=1e-3)


# --- strips and planes of codes ------------------------------------------------------------------------------------


def images() -> tuple[Any, Any]:
    """An autoencoder of images with a code of three numbers, and held-out images with labels."""
    return aecore.build("deep", (1, 8, 8), code=3, width=16).eval(), conftest.images().test


def decoded(model: Any, codes: np.ndarray) -> np.ndarray:
    return to_uint8(inference.decode(model, np.asarray(codes, np.float32)))


def test_each_strip_moves_one_dimension_and_leaves_the_others():
    model, _ = images()
    z = np.array([0.5, -1.0, 2.0], np.float32)
    found = code_planes.strips(model, z, (2, 0), 1.5, 4)
    for row, dimension in zip(found, (2, 0), strict=True):
        for tile, value in zip(row, (-1.5, -0.5, 0.5, 1.5), strict=True):
            code = z.copy()
            code[dimension] = value
            assert np.array_equal(tile, decoded(model, code[None])[0])
    assert not np.array_equal(found[0], found[1])


def test_a_line_goes_from_the_smallest_code_to_the_largest():
    model = aecore.build("deep", (1, 8, 8), code=1, width=16).eval()
    split = conftest.images().test
    codes = inference.encode(model, split, np.arange(len(split)))[:, 0]
    found = code_planes.line(model, split, 5)
    assert (found.low, found.high) == (float(codes.min()), float(codes.max()))
    assert np.array_equal(found.tiles, decoded(model, np.linspace(found.low, found.high, 5)[:, None]))
    many = conftest.images(n=120).test
    codes = inference.encode(model, many, np.arange(120))[:, 0]
    found = code_planes.line(model, many, 5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(codes, [0.005, 0.995])))


def test_a_squares_tile_i_j_is_decoded_at_its_place():
    model = aecore.build("deep", (1, 8, 8), code=2, width=16).eval()
    split = conftest.images().test
    found = code_planes.square(model, split, 1.5, 3, 20)
    assert found.extent == (-1.5, 1.5, -1.5, 1.5) and found.tiles.shape[:3] == (1, 3, 3)
    for i, j in itertools.product(range(3), range(3)):
        assert np.array_equal(found.tiles[0, i, j], decoded(model, np.array([[1.5 * (j - 1), 1.5 * (i - 1)]]))[0])
    ids = examples.choose(split, 20)
    codes = inference.encode(model, split, ids)
    assert np.array_equal(found.codes, codes) and np.array_equal(found.labels, split.labels[ids])
    low, high = np.quantile(codes, 0.005, 0), np.quantile(codes, 0.995, 0)
    around = code_planes.square(model, split, None, 3, 20).extent
    assert around == pytest.approx((low[0], high[0], low[1], high[1]))
    other = aecore.build("deep", (1, 8, 8), 1, code=2, width=16).eval()
    both = code_planes.squares((model, other), split, (-1.0, 2.0, 0.0, 4.0), 3, 20)
    for s, each in enumerate((model, other)):
        assert np.array_equal(both.codes[s], inference.encode(each, split, ids))
        assert np.array_equal(both.tiles[s, 2, 1], decoded(each, np.array([[0.5, 4.0]]))[0])


def test_a_larger_code_is_shown_in_its_principal_plane():
    model, split = images()
    found = code_planes.projected(model, split, 3, 20)
    codes = inference.encode(model, split, examples.choose(split, 20))
    centred = codes - codes.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    for k in (0, 1):
        axis = found.plane.axes[k]
        assert abs(float(axis @ vectors[:, -1 - k])) == pytest.approx(1, abs=1e-4)
        assert found.codes[:, k] == pytest.approx(centred @ axis, abs=1e-4)
    assert found.plane.kept == pytest.approx(values[-2:].sum() / values.sum(), rel=1e-4)
    reach = np.quantile(np.abs(found.codes), 0.998)
    assert found.extent == pytest.approx((-reach, reach, -reach, reach))
    corner = codes.mean(0) + reach * (found.plane.axes[0] - found.plane.axes[1])
    difference = found.tiles[0, 0, 2].astype(int) - decoded(model, corner[None])[0]
    assert np.abs(difference).max() <= 1
    std = np.exp(random().normal(size=(4, 3)))
    expected = [
        [math.sqrt(sum((s * a) ** 2 for s, a in zip(row, axis, strict=True))) for axis in found.plane.axes]
        for row in std
    ]
    assert found.plane.spreads(std) == pytest.approx(np.array(expected), rel=1e-5)


def test_three_examples_lie_where_their_plane_says():
    model, split = images()
    found = code_planes.corners((model,), split, (3, 8, 5), 5)
    codes = inference.encode(model, split, np.array([3, 8, 5]))
    assert found.places == [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75)]
    for code, (u, v) in zip(codes, found.places, strict=True):
        tile = found.tiles[0, round(4 * v), round(4 * u)].astype(int)
        assert np.abs(tile - decoded(model, code[None])[0]).max() <= 1
