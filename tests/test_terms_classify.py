"""Classifying with few labels: which labels are seen, what each network is trained for, and what is counted."""

from __future__ import annotations

import base64
import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import aecore
from aecore import DataSpec
from aecore.data.base import Data, TensorSplit
from aecore.tasks import classify


def data_of(n: int = 40, test: int = 12, seed: int = 0) -> Data:
    """Images of 2 × 2 pixels in three classes; the held-out ones lie elsewhere."""
    random = np.random.default_rng(seed)
    labels, test_labels = np.arange(n) % 3, np.arange(test) % 3
    x, x_test = random.random((n, 1, 2, 2)).astype(np.float32), 5 + random.random((test, 1, 2, 2)).astype(np.float32)
    return Data(
        DataSpec(),
        "made",
        (1, 2, 2),
        TensorSplit(x, labels),
        TensorSplit(x_test, test_labels),
        "",
        classes=("a", "b", "c"),
    )


class Tiny(nn.Module):
    """An autoencoder of four numbers with a code of two, all linear; R is the squared error of half the image."""

    code = 2

    def __init__(self, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x.flatten(1))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z).view(-1, 1, 2, 2)

    def terms(self, batch: Any, players: Any) -> dict[str, torch.Tensor]:
        return {"recon": (self.decode(self.encode(batch.x)) - 0.5 * batch.x).square().flatten(1).sum(1)}

    def players(self, progress: float = 1.0) -> dict[str, Any]:
        return {"autoencoder": SimpleNamespace(weights={"recon": 0.7})}


def tiny(seed: int = 0) -> Any:
    """The network of Fig. 5 around `Tiny`."""
    network: Any = classify.Fig5.__new__(classify.Fig5)
    nn.Module.__init__(network)
    network.autoencoder, network.head = Tiny(seed), nn.Linear(2, 3)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network


def by_hand(
    network: Any,
    x: torch.Tensor,
    y: torch.Tensor,
    parts: list[str],
    unlabelled: torch.Tensor | None,
    lam: float,
    steps: int,
    lr: float,
) -> list[tuple[float, float]]:
    """Adam on L + λ R as in Kingma & Ba (2015), at a rate that falls along half a cosine; (L, R) of each step.

    All labelled examples make one batch, and `unlabelled` is a single example, so that no order matters.
    """
    modules = {"head": network.head, "encoder": network.autoencoder.encoder, "decoder": network.autoencoder.decoder}
    weights = [p for name in parts for p in modules[name].parameters()]
    m, v = [torch.zeros_like(p) for p in weights], [torch.zeros_like(p) for p in weights]
    losses = []
    for t in range(1, steps + 1):
        p = torch.softmax(network.head(network.autoencoder.encode(x)), 1)
        L = torch.stack([-p[k, y[k]].log() for k in range(len(x))]).mean()
        R = torch.zeros(())
        if unlabelled is not None:
            R = (
                0.7
                * (network.autoencoder.decode(network.autoencoder.encode(unlabelled)) - 0.5 * unlabelled).square().sum()
            )
        gradients = torch.autograd.grad(L + lam * R, weights, allow_unused=True)
        losses.append((float(L.detach()), float(R.detach())))
        rate = lr * 0.5 * (1 + math.cos(math.pi * (t - 1) / steps))
        with torch.no_grad():
            for k, g in enumerate(gradients):
                assert g is not None
                m[k], v[k] = 0.9 * m[k] + 0.1 * g, 0.999 * v[k] + 0.001 * g**2
                weights[k] -= rate * (m[k] / (1 - 0.9**t)) / ((v[k] / (1 - 0.999**t)).sqrt() + 1e-8)
    return losses


@pytest.mark.parametrize(
    ("parts", "frozen", "lam"),
    [(["head"], True, 0.0), (["head", "encoder"], False, 0.0), (["head", "encoder", "decoder"], False, 0.4)],
)
def test_the_network_is_trained_by_adam_on_l_plus_lambda_r(parts, frozen, lam):
    data = data_of(9)
    x, y = data.train.batch(torch.arange(9))[:2]
    x = x.double()  # Adam divides by small gradients, which rounding changes
    one = x[:1] if lam else None
    expected, found, told = tiny().double(), tiny().double(), []
    losses = by_hand(expected, x, y, parts, one, lam, 6, 0.05)
    classify.fit(
        found, x, y, unlabelled=one, lam=lam, frozen=frozen, steps=6, lr=0.05, watch=lambda *row: told.append(row)
    )
    for a, b in zip(expected.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert [row[0] for row in told] == [1, 2, 3, 4, 5, 6]
    assert [row[1] for row in told] == pytest.approx([L for L, _ in losses], rel=1e-4)
    assert [row[2] for row in told] == pytest.approx([R for _, R in losses], rel=1e-4)
    assert not found.training


def test_the_seed_chooses_the_order_of_labels_and_the_unlabelled_images(monkeypatch):
    monkeypatch.setattr(classify, "BATCH", 4)
    monkeypatch.setattr(classify, "UNLABELLED", 3)
    data = data_of()
    x, y = data.train.batch(torch.arange(40))[:2]
    rows: dict[int, list[list[tuple]]] = {}
    for seed in (0, 0, 1):
        told: list[tuple] = []
        classify.fit(tiny(), x, y, unlabelled=x, lam=0.1, steps=5, seed=seed, watch=lambda *row: told.append(row))  # noqa: B023
        rows.setdefault(seed, []).append(told)
    assert rows[0][0] == rows[0][1] != rows[1][0]
    assert [row[2] for row in rows[0][0]] != [row[2] for row in rows[1][0]]
    network, before = tiny(), torch.random.get_rng_state()
    classify.fit(network, x, y, steps=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_minibatches_pass_over_all_examples_in_new_orders():
    generator = torch.Generator().manual_seed(0)
    batches = classify.minibatches(11, 4, generator)
    passes = [[next(batches) for _ in range(2)] for _ in range(6)]  # two whole batches of four; three wait
    for each in passes:
        ids = torch.cat(each).tolist()
        assert [len(part) for part in each] == [4, 4] and len(set(ids)) == 8 and set(ids) <= set(range(11))
    assert len({tuple(torch.cat(each).tolist()) for each in passes}) == 6
    few = classify.minibatches(3, 64, generator)
    assert all(sorted(next(few).tolist()) == [0, 1, 2] for _ in range(3))


def test_labels_are_a_seeded_choice_in_every_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [50, 40, 3]))
    for seed in (1, 2):
        ids = classify.labelled_ids(labels, 4, seed)
        assert np.bincount(labels[ids]).tolist() == [4, 4, 3] and (np.diff(ids) > 0).all()
        assert set(ids) != set(np.concatenate([np.flatnonzero(labels == c)[:4] for c in range(3)]))
    assert set(classify.labelled_ids(labels, 4, 1)) != set(classify.labelled_ids(labels, 4, 2))


class Learner:
    """A classifier that remembers what it was fitted to and predicts the largest column."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Learner:
        self.x, self.y = x, y
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.asked = x
        return x.argmax(1)


@pytest.fixture
def learners(monkeypatch):
    made: list[tuple[str, Learner]] = []

    def classifier(kind: str) -> Learner:
        made.append((kind, Learner()))
        return made[-1][1]

    monkeypatch.setattr(classify, "classifier", classifier)
    return made


def test_features_are_centred_and_scaled_by_one_number_of_the_training_split(learners):
    random = np.random.default_rng(0)
    features, test = random.normal(size=(30, 4)) * [1, 2, 3, 4] + 5, random.normal(size=(7, 4))
    ids, y = np.array([3, 8, 20]), np.array([0, 1, 2])
    mean = [sum(features[:, j]) / 30 for j in range(4)]
    variance = [sum((features[:, j] - mean[j]) ** 2) / 30 for j in range(4)]
    scale = math.sqrt(sum(variance) / 4)
    for scaled in (True, False):
        classify.predict_from(features, test, ids, y, "svm", scaled)
        kind, learner = learners[-1]
        expected = [(part - mean) / scale if scaled else part for part in (features, test)]
        np.testing.assert_allclose(learner.x, expected[0][ids])
        np.testing.assert_allclose(learner.asked, expected[1])
        assert kind == "svm" and learner.y.tolist() == [0, 1, 2]


@pytest.fixture
def shared(monkeypatch):
    """Codes and critic features that name themselves, in place of trained ones."""
    codes = SimpleNamespace(codes=np.full((40, 2), 10.0) + np.eye(40, 2), codes_test=np.full((12, 2), 11.0))
    monkeypatch.setattr(classify, "unsupervised", lambda data, seed: codes)
    critic = (np.full((40, 3), 20.0) + np.eye(40, 3), np.full((12, 3), 21.0))
    monkeypatch.setattr(classify, "critic_features", lambda data: critic)
    return codes, critic


@pytest.mark.parametrize("name", [n for n, (group, _) in classify.METHODS.items() if group != "network"])
def test_a_method_learns_from_the_labelled_examples_alone_with_its_own_features(learners, shared, name):
    data = data_of()
    images, ids = classify.examples_of(data), np.array([1, 5, 9, 30])
    seen: list = []
    classify.predict_with(name, data, images, ids, 0)
    kind, learner = learners[-1]
    group = classify.METHODS[name][0]
    assert kind == {"svm": "svm", "closed": "least squares"}.get(group, "logistic")
    np.testing.assert_array_equal(learner.y, images.y[ids])
    x, x_test = images.rows()
    if name == classify.CLOSED_FORM:
        layers = classify.Marginalised().fit(x)
        np.testing.assert_allclose(learner.x, layers.transform(x[ids]), atol=1e-5)
        np.testing.assert_allclose(learner.asked, layers.transform(x_test), atol=1e-5)
        return
    codes, critic = shared
    if name.endswith("pixels"):
        np.testing.assert_array_equal(learner.x, x[ids])
        np.testing.assert_array_equal(learner.asked, x_test)
        return
    if name.endswith("PCA"):
        mean = x.mean(0)
        directions = np.linalg.eigh(np.cov(x.T))[1][:, ::-1]
        seen = [np.abs((part - mean) @ directions) for part in (x, x_test)]  # signs are arbitrary
    else:
        seen = list(critic if name == classify.MIXTURE else (codes.codes, codes.codes_test))
        seen = [part - seen[0].mean(0) for part in seen]
    scale = math.sqrt(
        (seen[0] if name.endswith("codes") or name == classify.MIXTURE else (x - x.mean(0)) @ directions).var(0).mean()
    )
    for found, expected in ((learner.x, seen[0][ids]), (learner.asked, seen[1])):
        np.testing.assert_allclose(np.abs(found), np.abs(expected) / scale, atol=1e-3)


def test_each_network_starts_and_learns_as_its_name_says(monkeypatch):
    data = data_of()
    images, ids = classify.examples_of(data), np.array([1, 5, 9, 30])
    trained, fits = Tiny(7), []
    monkeypatch.setattr(classify, "unsupervised", lambda data, seed: SimpleNamespace(autoencoder=trained))
    monkeypatch.setattr(classify, "untrained", lambda data, seed: Tiny(seed))
    monkeypatch.setattr(classify, "fit", lambda network, x, y, **how: fits.append((network, x, y, how)))
    settings = classify.Settings(lam=0.35)
    for name in (classify.ALONE, classify.FROZEN, classify.TUNED, classify.JOINT):
        classify.train_network(name, data, images, ids, settings, 103)
    for name, (network, x, y, how) in zip(
        (classify.ALONE, classify.FROZEN, classify.TUNED, classify.JOINT), fits, strict=True
    ):
        pretrained, joint = name in (classify.FROZEN, classify.TUNED), name == classify.JOINT
        begin = trained if pretrained else Tiny(103)
        for a, b in zip(begin.parameters(), network.autoencoder.parameters(), strict=True):
            assert torch.equal(a, b)
        assert network.autoencoder is not trained and network.head.out_features == 3
        assert torch.equal(x, images.x[ids]) and y.tolist() == images.y[ids].tolist()
        assert how["lam"] == (0.35 if joint else 0.0) and how["frozen"] == (name == classify.FROZEN)
        assert (how["unlabelled"] is images.x) == joint and (how["seed"], how["steps"]) == (103, classify.STEPS)


def test_the_encoder_learns_from_all_training_images_by_its_seed(monkeypatch):
    begun = []
    monkeypatch.setattr(classify, "Training", lambda model, data, plan, device: begun.append((data, plan)) or ())
    monkeypatch.setattr(classify, "untrained", lambda data, seed: Tiny(seed))
    taken = []
    monkeypatch.setattr(
        classify.inference, "encode", lambda model, split, ids: taken.append((split, ids)) or np.zeros(1)
    )
    data = data_of()
    found = classify.unsupervised.__wrapped__(data, 104)
    ((trained_on, plan),) = begun
    assert trained_on is data and (plan.seed, plan.epochs, plan.batch) == (104, classify.EPOCHS, classify.UNLABELLED)
    assert [split is half for (split, _), half in zip(taken, (data.train, data.test), strict=True)] == [True, True]
    assert [len(ids) for _, ids in taken] == [40, 12] and not found.autoencoder.training


def test_two_seeds_start_from_different_weights():
    data = data_of()
    one, same, other = (next(classify.untrained(data, seed).parameters()) for seed in (100, 100, 101))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_study_counts_the_held_out_examples_that_each_seed_gets_wrong(monkeypatch):
    data = data_of()
    truth, asked = np.arange(12) % 3, []

    def predict(name, data, images, ids, seed):
        asked.append((name, seed, tuple(ids)))
        found = truth.copy()
        wrong = [2, 5, 11][: 1 + seed % 3]
        found[wrong] = (found[wrong] + 1) % 3
        return found

    monkeypatch.setattr(classify, "data_of", lambda settings: data)
    monkeypatch.setattr(classify, "methods_for", lambda data: ["logistic, pixels", "SVM, pixels"])
    monkeypatch.setattr(classify, "predict_with", predict)
    monkeypatch.setattr(classify, "unsupervised", lambda data, seed: SimpleNamespace(seconds=1.5))
    found = classify.study(classify.Settings(labels_per_class=2, seeds=3), lambda part, doing: None)
    assert found["seeds"] == [100, 101, 102] and found["labels"] == 6
    labels = classify.examples_of(data).y
    for name, seed, ids in asked:
        assert ids == tuple(classify.labelled_ids(labels, 2, seed)) and name in found["methods"]
    counts = [1 + seed % 3 for seed in found["seeds"]]
    for row in found["methods"].values():
        assert row["accuracy"] == pytest.approx([1 - count / 12 for count in counts])
        assert row["wrong"] == [2, 5, 11][: counts[0]] and row["taken_for"] == [
            (truth[k] + 1) % 3 for k in row["wrong"]
        ]


def test_the_numbers_of_fig_5_are_those_of_one_image_of_each_class():
    data = data_of()
    images, network = classify.examples_of(data), tiny()
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[0.2, -0.1], [0.1, 0.3], [-0.2, 0.1]]))
    losses = [(k + 1, float(k), float(10 * k)) for k in range(10)]
    found = classify.joint_figures(network, images, losses, moments=5)
    assert found["step"] == [2, 4, 6, 8, 10] and found["L"] == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert found["R"] == [5, 25, 45, 65, 85]
    assert [row["id"] for row in found["images"]] == [0, 1, 2] == [row["label"] for row in found["images"]]
    for row in found["images"]:
        x = images.x_test[row["id"] : row["id"] + 1]
        logits = network(x)[0].tolist()
        p = [math.exp(v) / sum(math.exp(w) for w in logits) for v in logits]
        assert row["y_hat"] == pytest.approx(p, abs=1e-4) and row["L"] == pytest.approx(
            -math.log(p[row["label"]]), rel=1e-3
        )
        x_hat = network.autoencoder.decode(network.autoencoder.encode(x)).detach()
        assert row["R"] == pytest.approx(float((x - x_hat).square().sum()), rel=1e-4)
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["x_hat"]))))
        np.testing.assert_allclose(shown, x_hat[0, 0].clamp(0, 1) * 255, atol=0.51)


def test_gains_are_paired_by_seed():
    study = {"methods": {"m": {"accuracy": [0.5, 0.9]}, classify.ALONE: {"accuracy": [0.4, 0.95]}}}
    assert classify.paired(study, "m").tolist() == pytest.approx([0.1, -0.05])


def test_marginalised_noise_keeps_a_share_p_of_the_values():
    """Against the mean over drawn damages, at a share that is not one half."""
    random = np.random.default_rng(0)
    x = random.random((30, 3))
    p, ridge, n = 0.7, 0.02, 20_000
    kept = random.random((n, 30, 3)) < p
    damaged = np.concatenate([x * kept, np.ones((n, 30, 1))], 2)
    Q = np.einsum("nbi,nbj->ij", damaged, damaged) / (30 * n) + ridge * np.eye(4)
    P = np.einsum("bi,nbj->ij", x, damaged) / (30 * n)
    np.testing.assert_allclose(classify.layer(x, p, ridge), P @ np.linalg.inv(Q), atol=0.01)


def test_a_network_of_the_catalog_is_what_is_trained():
    made = classify.untrained(data_of(), 0)
    assert type(made) is type(aecore.build("denoising", (1, 2, 2))) and made.code == classify.CODE
