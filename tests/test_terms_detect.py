"""Detecting anomalies: what is learnt from, what sets the threshold and what is tested; scores by their definitions."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest
import torch

from aecore import DataError, DataSpec
from aecore.data.base import Data, TensorSplit
from aecore.data.sets import beats
from aecore.tasks import detect


def numbered(n: int, start: int = 0) -> np.ndarray:
    """Examples (n, 2) that name themselves: the first value is a number of its own."""
    return np.column_stack([np.arange(start, start + n), np.ones(n)]).astype(np.float32)


# --- splits ---------------------------------------------------------------------------------------------------------


def test_a_part_of_the_normal_examples_sets_the_threshold_and_is_not_learnt_from():
    test, bad = numbered(30, 1000), np.arange(30) % 3 == 0
    chosen = []
    for seed in (0, 1):
        task = detect._split("made", numbered(200), test, bad, bad.astype(int), ("fine", "bad"), seed)
        fitted, held = set(task.fitted[:, 0]), set(task.held[:, 0])
        assert not fitted & held and fitted | held == set(range(200)) and len(held) == 30
        np.testing.assert_array_equal(task.test, test)
        np.testing.assert_array_equal(task.anomalous, bad)
        assert max(held) - min(held) > 150  # from everywhere
        chosen.append(held)
    assert chosen[0] != chosen[1]
    assert len(detect._split("made", numbered(20), test, None, np.zeros(30, int), ("unknown",), 0).held) == 3


def test_at_most_a_thousand_normal_and_three_hundred_anomalous_examples_are_tested():
    bad = np.arange(3000) % 3 == 0
    kind = np.arange(3000) % 3
    chosen = []
    for seed in (0, 1):
        task = detect._split("made", numbered(50), numbered(3000), bad, kind, ("a", "b", "c"), seed)
        assert (int(task.anomalous.sum()), int((~task.anomalous).sum())) == (300, 1000)
        ids = task.test[:, 0].astype(int)
        assert (np.diff(ids) > 0).all()
        np.testing.assert_array_equal(task.kind, kind[ids])
        np.testing.assert_array_equal(task.anomalous, bad[ids])
        chosen.append(set(ids))
    assert chosen[0] != chosen[1]
    with pytest.raises(DataError, match="There are 19 normal examples"):
        detect._split("made", numbered(19), numbered(5), None, np.zeros(5, int), ("unknown",), 0)


@pytest.mark.parametrize("label", [0, 2])
def test_images_of_the_class_that_is_left_out_are_never_learnt_from(monkeypatch, label):
    labels, tested = np.arange(90) % 3, np.arange(60) % 3
    train, test = TensorSplit(numbered(90), labels), TensorSplit(numbered(60, 500), tested)
    made = Data(DataSpec(), "made", (2,), train, test, "", classes=("x", "y", "z"))
    monkeypatch.setattr(detect, "load", lambda spec: made)
    task = detect.left_out(DataSpec(), label, 1)
    learnt = np.concatenate([task.fitted, task.held])[:, 0].astype(int)
    assert sorted(learnt) == [k for k in range(90) if k % 3 != label]
    assert task.test[:, 0].tolist() == list(range(500, 560))
    np.testing.assert_array_equal(task.anomalous, tested == label)
    np.testing.assert_array_equal(task.kind, tested)
    assert task.title == f"made: {'xyz'[label]} left out"


def test_heartbeats_to_learn_from_are_normal_and_others_than_those_of_the_test():
    for seed in (0, 3):
        task = detect.beats(seed)
        x, kinds = beats.draw(3000, seed)
        test, kind = beats.draw(2000, seed + 1, 0.2)
        assert not kinds.any() and 0.17 < (kind > 0).mean() < 0.23
        learnt = {row.tobytes() for row in np.concatenate([task.fitted, task.held])}
        assert learnt == {row.tobytes() for row in ((x + 0.6) / 2.2).astype(np.float32)}
        every = {row.tobytes(): k for row, k in zip(((test + 0.6) / 2.2).astype(np.float32), kind, strict=True)}
        assert [every.get(row.tobytes()) for row in task.test] == task.kind.tolist()
        np.testing.assert_array_equal(task.anomalous, task.kind > 0)
        assert (len(task.fitted), len(task.held)) == (2550, 450)


def test_tumours_are_benign_where_they_are_learnt_from():
    from sklearn.datasets import load_breast_cancer

    tumours: Any = load_breast_cancer()
    raw = tumours.data.astype(np.float32)
    chosen = []
    for seed in (0, 1):
        task = detect.cancer(seed)
        normal = len(task.fitted) + len(task.held)
        assert int(task.anomalous.sum()) == 212 and len(task.test) + normal == 569
        assert 60 < int((~task.anomalous).sum()) < 170
        # Undo the scale: each column of the fitted examples has mean ½ and deviation ⅛.
        rest = np.array([row for row, malignant in zip(raw, tumours.target == 0, strict=True) if not malignant])
        assert np.allclose(task.fitted.mean(0), 0.5, atol=1e-4) and np.allclose(task.fitted.std(0), 1 / 8, atol=1e-4)
        assert len(rest) == normal + int((~task.anomalous).sum())
        chosen.append(task.fitted)
    assert chosen[0].shape != chosen[1].shape or not np.allclose(chosen[0], chosen[1])


def test_lines_of_a_table_are_normal_by_the_word_that_is_named_or_by_the_most_frequent_one():
    random = np.random.default_rng(0)
    words = ["often"] * 60 + ["seldom"] * 30
    lines = [f"{k},{random.normal():.3f},{word}" for k, word in enumerate(words)]
    content = "\n".join(["number,noise,what", *lines]).encode()
    for normal, usual in (("", "often"), ("seldom", "seldom")):
        task = detect.table(content, "what", normal, 2)
        good = [k for k, word in enumerate(words) if word == usual]
        bad = [k for k, word in enumerate(words) if word != usual]
        assert len(task.fitted) + len(task.held) == len(good) - len(good) // 3
        assert len(task.test) == len(bad) + len(good) // 3 and int(task.anomalous.sum()) == len(bad)
        assert [task.kinds[k] for k in task.kind[task.anomalous]] == [word for word in words if word != usual]
    tested = []
    for seed in (2, 3):
        task = detect.table(content, "what", "", seed)
        scaled, bad = task.test[:, 0], task.anomalous  # the number of a line, scaled: the last 30 lines are anomalies
        slope, start = np.polyfit(scaled[bad], np.arange(60, 90), 1)
        tested.append(np.rint(start + slope * scaled[~bad]).astype(int).tolist())
        assert len(set(tested[-1])) == 20 and set(tested[-1]) <= set(range(60)) and max(tested[-1]) > 30
    assert tested[0] != tested[1]
    with pytest.raises(DataError, match="No line of the column what says never"):
        detect.table(content, "what", "never")


# --- detectors ------------------------------------------------------------------------------------------------------


def test_the_score_of_a_detector_is_the_squared_error_summed_over_all_values(monkeypatch):
    detector = detect.Reconstruction("deep", {"code": 2})
    x = np.random.default_rng(0).random((4, 1, 3, 3)).astype(np.float32)
    monkeypatch.setattr(detector, "reconstruct", lambda x: 0.5 * x**2)
    expected = [sum((v - 0.5 * v**2) ** 2 for v in example.flatten().tolist()) for example in x]
    assert detector.score(x).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_detector_is_trained_on_what_it_is_given_for_so_many_steps_and_from_its_seed(monkeypatch):
    begun = []
    monkeypatch.setattr(detect, "Training", lambda model, data, plan, device: begun.append((model, data, plan)) or ())
    x = np.random.default_rng(0).random((500, 6)).astype(np.float32)
    for seed, batch in ((0, 128), (0, 128), (5, 64)):
        detector = detect.Reconstruction("deep", {"code": 2, "width": 16}, 40, seed, batch).fit(x)
        assert detector.model is begun[-1][0] and not detector.model.training
    (model, data, plan), (same, _, _), (other, _, last) = begun
    np.testing.assert_array_equal(data.train.batch(torch.arange(500)).x, x)
    assert (plan.epochs, plan.batch, plan.seed) == (math.ceil(40 / 3), 128, 0)
    assert (last.epochs, last.batch, last.seed) == (math.ceil(40 / 7), 64, 5)
    weights = [next(each.parameters()) for each in (model, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_pca_scores_by_what_its_components_leave():
    random = np.random.default_rng(0)
    x = (random.normal(size=(80, 5)) * [5, 3, 1, 0.5, 0.2]).astype(np.float32) + 2
    new = (random.normal(size=(9, 5)) + 1).astype(np.float32)
    mean = x.mean(0)
    _, vectors = np.linalg.eigh(np.cov(x.T))
    for code in (1, 3):
        kept = vectors[:, -code:]
        expected = [float(((e - mean - kept @ (kept.T @ (e - mean))) ** 2).sum()) for e in new]
        np.testing.assert_allclose(detect.Principal(code).fit(x).score(new), expected, rtol=1e-3)


@pytest.mark.parametrize("name", [detect.FOREST, detect.ONE_CLASS])
def test_stranger_examples_have_larger_scores_in_every_library(name):
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4)).astype(np.float32)
    task = detect.Problem("made", x, x, x, None, np.zeros(200, int), ("unknown",))
    detector = detect.detectors(task, 2, 10, 0)[name].fit(x)
    usual, odd = detector.score(0.3 * random.normal(size=(30, 4))), detector.score(9 + random.normal(size=(30, 4)))
    assert usual.max() < odd.min()


def test_a_library_sees_at_most_its_number_of_examples(monkeypatch):
    class Sees:
        def fit(self, x, y=None):
            self.seen = x
            return self

    monkeypatch.setattr(detect.Library, "MOST", 30)
    monkeypatch.setattr(detect.Library, "COMPONENTS", 2)
    made = Sees()
    detect.Library(lambda: made).fit(np.random.default_rng(0).random((50, 4)))
    assert made.seen.shape == (30, 2)


@pytest.mark.parametrize("shape", [(1, 8, 8), (12,)])
def test_the_detectors_that_are_compared(shape):
    task = detect.Problem("made", np.zeros((2, *shape)), np.zeros(0), np.zeros(0), None, np.zeros(0), ())
    every: dict[str, Any] = detect.detectors(task, 7, 33, 4)
    images = len(shape) == 3
    names = [detect.DENSE, detect.CONVOLUTIONAL, detect.VAE, detect.PRINCIPAL, detect.FOREST, detect.ONE_CLASS]
    assert list(every) == [name for name in names if images or name != detect.CONVOLUTIONAL]
    nets = {detect.DENSE: "dense", detect.CONVOLUTIONAL: "conv"}
    for name, detector in every.items():
        if isinstance(detector, detect.Reconstruction):
            assert (detector.steps, detector.seed, detector.params["code"]) == (33, 4, 7)
            assert detector.params["width"] == (128 if images else 64)
            assert detector.key == ("vae" if name == detect.VAE else "deep")
            assert detector.params.get("net") == nets.get(name)
    assert every[detect.PRINCIPAL].code == 7 and every[detect.FOREST].make().random_state == 4


# --- judging --------------------------------------------------------------------------------------------------------


def test_the_threshold_is_a_quantile_and_only_scores_above_it_are_anomalies():
    normal = np.array([5.0, 1.0, 2.0, 4.0, 3.0])
    assert [detect.threshold(normal, q) for q in (0.0, 0.25, 0.9, 1.0)] == pytest.approx([1, 2, 4.6, 5])
    scores, bad = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.5]), np.array([0, 1, 0, 1, 0, 1, 1, 0], bool)
    found = detect.rates(scores, bad, 2.0)
    assert found == (2, 2, 1, 3)  # hits, misses, false alarms, passed: a score at the threshold is not above it
    assert (found.recall, found.precision, found.false_alarms) == (2 / 4, 2 / 3, 1 / 4)
    nothing = detect.rates(scores, bad, 9.0)
    assert (nothing.recall, nothing.precision, nothing.false_alarms) == (0, 0, 0)


def naive_areas(scores: list[float], bad: list[bool]) -> dict[str, float]:
    """AUROC over all pairs, and Σ_n (R_n − R_{n−1}) P_n over all thresholds from the largest score downwards."""
    good = [s for s, b in zip(scores, bad, strict=True) if not b]
    strange = [s for s, b in zip(scores, bad, strict=True) if b]
    auroc = sum((a > b) + 0.5 * (a == b) for a in strange for b in good) / (len(good) * len(strange))
    ap = before = 0.0
    for at in sorted(set(scores), reverse=True):
        hits = sum(s >= at for s in strange)
        precision, recall = hits / (hits + sum(s >= at for s in good)), hits / len(strange)
        ap, before = ap + (recall - before) * precision, recall
    return {"auroc": auroc, "ap": ap}


def test_areas_are_those_of_all_pairs_and_all_thresholds():
    random = np.random.default_rng(0)
    bad = random.random(50) < 0.3
    scores = np.round(random.normal(size=50) + bad, 1)  # with ties
    assert detect.areas(scores, bad) == pytest.approx(naive_areas(scores.tolist(), bad.tolist()))


def test_errors_of_pixels_are_means_over_channels_as_shares_of_the_largest_ones():
    random = np.random.default_rng(0)
    x, x_hat = random.random((3, 2, 4, 4)), random.random((3, 2, 4, 4))
    error = np.array(
        [
            [[sum((x[n, c, i, j] - x_hat[n, c, i, j]) ** 2 for c in (0, 1)) / 2 for j in range(4)] for i in range(4)]
            for n in range(3)
        ]
    )
    np.testing.assert_allclose(detect.error_map(x, x_hat), np.minimum(error / np.quantile(error, 0.995), 1))


# --- the study ------------------------------------------------------------------------------------------------------


class Stub(detect.Reconstruction):
    """A detector whose score is the first value, and whose reconstruction is half of it."""

    def __init__(self, seed: int):
        self.seed, self.seen = seed, np.zeros(0)

    def fit(self, x: np.ndarray) -> Stub:
        self.seen = x
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0].astype(float)

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        return x / 2


@pytest.fixture
def stubbed(monkeypatch):
    """A problem for each seed, with scores that tell fitted (0 to 1), held (2 to 3) and tested ones (4 to 5) apart."""
    made: dict[int, detect.Problem] = {}
    stubs: list[Stub] = []

    def problem(settings, seed):
        random = np.random.default_rng(seed)
        x = [np.column_stack([low + random.random(n), random.random(n)]) for low, n in ((0, 60), (2, 40), (4, 50))]
        bad = random.random(50) < 0.3
        made[seed] = detect.Problem("made", *x, bad, bad.astype(int), ("fine", "bad"))
        return made[seed]

    def detectors(task, code, steps, seed):
        stubs.append(Stub(seed))
        return {detect.DENSE: stubs[-1]}

    monkeypatch.setattr(detect, "problem", problem)
    monkeypatch.setattr(detect, "detectors", detectors)
    return made, stubs


def test_a_study_sets_thresholds_by_the_held_normal_examples_and_areas_by_the_test(stubbed):
    made, stubs = stubbed
    found = detect.study(detect.Settings(seeds=2), lambda part, doing: None)
    assert sorted(made) == [0, 1] == [stub.seed for stub in stubs]
    for seed, stub in enumerate(stubs):
        np.testing.assert_array_equal(stub.seen, made[seed].fitted)
    method, task = found["methods"][detect.DENSE], made[0]
    np.testing.assert_allclose(method["scores"], task.test[:, 0], rtol=1e-3)
    assert len(method["held"]) == detect.QUANTILES
    np.testing.assert_allclose(method["held"][::50], np.quantile(task.held[:, 0], [0, 0.25, 0.5, 0.75, 1]))
    for seed in (0, 1):
        areas = naive_areas(made[seed].test[:, 0].tolist(), made[seed].anomalous.tolist())
        assert (method["auroc"][seed], method["ap"][seed]) == pytest.approx((areas["auroc"], areas["ap"]))
    assert (found["fitted"], found["held"], found["anomalous"]) == (60, 40, task.anomalous.astype(int).tolist())


def test_a_study_shows_the_strangest_and_those_that_a_threshold_gets_wrong(stubbed, monkeypatch):
    made, _ = stubbed
    monkeypatch.setattr(detect, "SHOWN", 4)
    found = detect.study(detect.Settings(seeds=1), lambda part, doing: None)
    scores, bad = made[0].test[:, 0].tolist(), made[0].anomalous.tolist()
    order = sorted(range(50), key=lambda k: -scores[k])
    assert found["shown"] == {
        "strangest": order[:4],
        "anomalies found": [k for k in order if bad[k]][:4],
        "anomalies that come back well": [k for k in order[::-1] if bad[k]][:4],
        "normal, but come back badly": [k for k in order if not bad[k]][:4],
    }
    raw = np.frombuffer(base64.b64decode(found["reconstructions"]), np.uint8).reshape(16, 2)
    first = made[0].test[order[0]]
    assert raw[0].tolist() == [min(255, round(255 * v / 2)) for v in first]
    assert detect.reconstructions(found)[order[0]].tolist() == pytest.approx([v / 255 for v in raw[0]], rel=1e-6)


def test_sizes_of_the_code_are_compared_on_the_test_alone(stubbed):
    made, stubs = stubbed
    found = detect.study(detect.Settings(seeds=2, codes=(2, 4)), lambda part, doing: None)
    assert [row["code"] for row in found["codes"]] == [2, 4] and len(stubs) == 4
    for row in found["codes"]:
        expected = [naive_areas(made[s].test[:, 0].tolist(), made[s].anomalous.tolist())["auroc"] for s in (0, 1)]
        assert row["auroc"] == pytest.approx(expected)
