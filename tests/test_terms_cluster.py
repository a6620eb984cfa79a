"""Clusters and planes: scores by their definitions, which examples are seen, and which seeds count."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from aecore import DataError, DataSpec
from aecore.data.base import Data, TensorSplit
from aecore.measure import clustering
from aecore.tasks import cluster, reduce
from tests import naive


def data_of(n: int = 60, test: int = 45, size: int = 4, seed: int = 0) -> Data:
    """Vectors in three classes; held-out ones lie elsewhere."""
    random = np.random.default_rng(seed)
    train = TensorSplit((random.normal(size=(n, size)) * [3, 2, 1, 0.5]).astype(np.float32), np.arange(n) % 3)
    held = TensorSplit((1 + random.normal(size=(test, size))).astype(np.float32), random.integers(0, 3, test))
    return Data(DataSpec(), "made", (size,), train, held, "", classes=("a", "b", "c"))


# --- scores of clusters ---------------------------------------------------------------------------------------------


def entropy(values: list[int]) -> float:
    return -sum(p * math.log(p) for p in (values.count(v) / len(values) for v in set(values)))


def naive_nmi(a: list[int], b: list[int]) -> float:
    """I(a; b) over the arithmetic mean of the entropies."""
    joint = entropy([100 * x + y for x, y in zip(a, b, strict=True)])
    return (entropy(a) + entropy(b) - joint) / (0.5 * (entropy(a) + entropy(b)))


def naive_ari(a: list[int], b: list[int]) -> float:
    """(agreeing pairs − expected) / (most − expected), over all pairs (Hubert & Arabie, 1985, Eq. 5)."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    same_a, same_b = ([x[i] == x[j] for i, j in pairs] for x in (a, b))
    both = sum(p and q for p, q in zip(same_a, same_b, strict=True))
    expected = sum(same_a) * sum(same_b) / len(pairs)
    return (both - expected) / (0.5 * (sum(same_a) + sum(same_b)) - expected)


@pytest.mark.parametrize("seed", range(4))
def test_clusters_agree_with_labels_by_the_definitions(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 40).tolist()
    assigned = [(y + 1) % 4 if random.random() < 0.6 else int(random.integers(4)) for y in labels]
    h = random.normal(size=(40, 2))
    found = cluster.scores(h, np.array(assigned), np.array(labels))
    assert found["accuracy"] == pytest.approx(naive.clustering_accuracy(assigned, labels, 4))
    assert found["nmi"] == pytest.approx(naive_nmi(assigned, labels))
    assert found["ari"] == pytest.approx(naive_ari(assigned, labels))
    assert clustering.contingency(assigned, labels).tolist() == [
        [sum(a == i and y == j for a, y in zip(assigned, labels, strict=True)) for j in range(4)] for i in range(4)
    ]


def test_clusters_without_a_label_of_their_own_are_wrong():
    """Three clusters of two labels: only two of them can be named."""
    assert clustering.accuracy([0, 0, 1, 1, 1, 2, 2], [0, 0, 1, 1, 1, 0, 0]) == pytest.approx(5 / 7)


def test_a_silhouette_is_a_mean_over_a_seeded_choice_of_examples(monkeypatch):
    random = np.random.default_rng(0)
    h, assigned = random.normal(size=(60, 3)), random.integers(0, 3, 60)
    monkeypatch.setattr(cluster, "SCORED", 25)
    ids = np.random.default_rng(0).permutation(60)[:25]
    each = []
    for i in ids:
        distances: dict[int, list[float]] = {}
        for j in ids:
            if i != j:
                distances.setdefault(int(assigned[j]), []).append(math.dist(h[i], h[j]))
        own = np.mean(distances.pop(int(assigned[i])))
        other = min(np.mean(values) for values in distances.values())
        each.append((other - own) / max(own, other))
    assert cluster.scores(h, assigned)["silhouette"] == pytest.approx(np.mean(each))
    assert set(cluster.scores(h, assigned)) == {"silhouette"}


def test_k_means_is_seeded_and_keeps_the_tightest_of_its_starts(monkeypatch):
    import sklearn.cluster

    asked = []

    class KMeans:
        def __init__(self, k, n_init, random_state):
            asked.append((k, n_init, random_state))

        def fit(self, h):
            self.labels_, self.cluster_centers_ = np.arange(len(h)) % 3, h[:3]

    monkeypatch.setattr(sklearn.cluster, "KMeans", KMeans)
    h = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    found = cluster.fit(h, 3, 7)
    assert asked == [(3, 10, 7)] and found.assigned.tolist() == [k % 3 for k in range(30)]
    assert found.distance.tolist() == pytest.approx([math.dist(h[k], h[k % 3]) for k in range(30)], abs=1e-6)
    monkeypatch.setattr(cluster, "START_VALUES", 60 * 4)
    cluster.fit(h, 3, 1)
    assert asked[-1] == (3, 4, 1)


def test_others_fall_to_the_nearest_centre_that_has_members():
    random = np.random.default_rng(0)
    h, centres = random.normal(size=(20, 3)), random.normal(size=(4, 3))
    centres[1] = np.nan
    found = cluster.predict(cluster.Clusters(np.zeros(0, int), centres, np.zeros(0)), h)
    for k in range(20):
        distances = {c: math.dist(h[k], centres[c]) for c in (0, 2, 3)}
        assert found.assigned[k] == min(distances, key=lambda c: distances[c])
        assert found.distance[k] == pytest.approx(min(distances.values()))


def test_principal_components_are_those_of_the_training_split():
    data = data_of()
    x = data.train.x.numpy().astype(float)
    mean, directions = x.mean(0), np.linalg.eigh(np.cov(x.T))[1][:, ::-1]
    ids = np.array([4, 0, 9])
    for size in (1, 3):
        found = cluster.represent("pca", data, data.test, ids, size=size)
        expected = (data.test.x.numpy()[ids] - mean) @ directions[:, :size]
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)
    np.testing.assert_array_equal(cluster.represent("pixels", data, data.test, ids), data.test.x.numpy()[ids])


def test_the_label_of_a_cluster_is_its_most_frequent_one():
    assigned, labels = np.array([0, 0, 0, 2, 2, 2, 2]), np.array([1, 1, 0, 2, 2, 0, 2])
    label, share = cluster.majority(assigned, labels, 4)
    assert label.tolist() == [1, -1, 2, -1] and share.tolist() == pytest.approx([2 / 3, 0, 3 / 4, 0])


# --- studies of clusters --------------------------------------------------------------------------------------------


def test_examples_are_compared_on_held_out_data_with_every_seed_of_k_means(monkeypatch):
    data, seeds = data_of(), []

    def fit(h, k, seed):
        seeds.append((k, seed, len(h)))
        return SimpleNamespace(assigned=(np.arange(len(h)) + seed * (np.arange(len(h)) % 2)) % 3)

    run = SimpleNamespace(
        info=SimpleNamespace(title="An example", id="one"), model=lambda: SimpleNamespace(abilities={"assign"})
    )
    monkeypatch.setattr(cluster, "load", lambda spec: data)
    monkeypatch.setattr(cluster, "fit", fit)
    monkeypatch.setattr(cluster, "EXAMPLES", ("one",))
    monkeypatch.setattr(cluster, "_example", lambda identity: run)
    monkeypatch.setattr(cluster.inference, "encode", lambda model, split, ids: 2 * split.x.numpy()[ids])
    own = SimpleNamespace(assigned=np.zeros(45, int) + (np.arange(45) > 20))
    monkeypatch.setattr(cluster, "own", lambda model, split, ids: own)
    found = cluster.compare(cluster.Settings(seeds=2), lambda part, doing: None)
    labels, x = data.test.labels, data.test.x.numpy()
    assert found["n"] == 45 and seeds == [(10, 0, 45), (10, 1, 45)] * 3
    assert [(row["name"].split(",")[0], row["how"]) for row in found["rows"]] == [
        ("pixels", "k-means"),
        ("PCA", "k-means"),
        ("An example", "k-means"),
        ("An example", "own"),
    ]
    for row, h in zip(found["rows"], (x, None, 2 * x, 2 * x), strict=True):
        for seed, scores in enumerate(row["scores"]):
            assigned = own.assigned if row["how"] == "own" else fit(x, 10, seed).assigned
            assert scores["accuracy"] == naive.clustering_accuracy(assigned, labels, 3)
            if h is not None:
                assert scores["silhouette"] == cluster.scores(h, assigned)["silhouette"]


@pytest.mark.parametrize(("settings", "k"), [({}, 3), ({"k": 5}, 5)])
def test_all_lines_of_a_table_are_clustered_from_three_kinds_of_values(monkeypatch, settings, k):
    data, begun, loaded = data_of(), [], []
    whole = Data(data.spec, "made", data.shape, data.train, data.train, "", classes=data.classes)
    monkeypatch.setattr(
        cluster.table, "load", lambda path, label, held_out: loaded.append((path, label, held_out)) or whole
    )

    def start(data, seed, epochs, width, code):
        begun.append((seed, epochs, code))
        return "model"

    monkeypatch.setattr(cluster, "start", start)
    monkeypatch.setattr(cluster.inference, "encode", lambda model, split, ids: split.x.numpy()[ids][:, :2])
    chosen = cluster.Settings(look="table", path="a.csv", label="what", seeds=2, code=3, **settings)
    found = cluster.of_table(chosen, lambda part, doing: None)
    epochs = math.ceil(cluster.TABLE_STEPS * 128 / 60)
    assert loaded == [("a.csv", "what", 0)] and begun == [(0, epochs, 3), (1, epochs, 3)]
    assert (found["n"], found["k"]) == (60, k)
    assert [row["size"] for row in found["rows"]] == [4, 3, 2]
    for row in found["rows"]:
        h = {4: data.train.x.numpy(), 3: cluster.represent("pca", whole, whole.train, np.arange(60), size=3)}.get(
            row["size"], data.train.x.numpy()[:, :2]
        )
        assert found["assigned"][row["name"]] == cluster.fit(h, k, 0).assigned.tolist()
        expected = [cluster.scores(h, cluster.fit(h, k, seed).assigned, data.train.labels) for seed in (0, 1)]
        assert row["scores"] == expected
    unlabelled = Data(data.spec, "made", data.shape, TensorSplit(data.train.x), TensorSplit(data.train.x), "")
    monkeypatch.setattr(cluster.table, "load", lambda path, label, held_out: unlabelled)
    assert cluster.of_table(cluster.Settings(look="table", path="a.csv", seeds=1), lambda *_: None)["k"] == 8


def test_rounds_are_watched_with_the_clusters_term_and_without_it_from_one_start(monkeypatch):
    data, calls = data_of(), []
    codes, centres = np.random.default_rng(0).normal(size=(3, 20, 4)), np.random.default_rng(1).normal(size=(3, 5, 4))

    def watch(key, begun, data, seed, weight):
        calls.append((key, begun, seed, weight))
        factor = 1 if weight else 2
        return cluster.Watched([{"accuracy": seed + factor}] * 3, factor * codes + seed, factor * centres + seed)

    monkeypatch.setattr(cluster, "load", lambda spec: data)
    monkeypatch.setattr(cluster, "start", lambda data, seed: f"start {seed}")
    monkeypatch.setattr(cluster, "watch", watch)
    found = cluster.by_rounds(cluster.Settings(look="rounds", model="dcec", seeds=2, weight=0.7), lambda *_: None)
    assert calls == [("dcec", f"start {seed}", seed, weight) for seed in (0, 1) for weight in (0.7, 0.0)]
    assert found["with"] == [[{"accuracy": seed + 1}] * 3 for seed in (0, 1)]
    assert found["without"] == [[{"accuracy": seed + 2}] * 3 for seed in (0, 1)]
    directions = cluster.directions_apart(codes[-1], centres[-1])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(found["points"], codes @ directions.T, atol=1e-3)
    np.testing.assert_allclose(found["centres"], centres @ directions.T, atol=1e-3)


@pytest.mark.parametrize(("key", "weight"), [("centroid", None), ("dcec", 3.5), ("dcec", 0.0)])
def test_a_training_of_rounds_begins_at_the_given_weights_with_the_given_weight(monkeypatch, key, weight):
    from aecore.catalog import entry, seeded_build

    plans: list[Any] = []

    class Training:
        def __init__(self, model, data, plan, device, observe):
            plans.append((model, plan))
            self.observe = observe

        def __iter__(self):
            self.observe(0.0)
            self.observe(1.0)
            return iter(())

    monkeypatch.setattr(cluster, "Training", Training)
    data = data_of()
    begun = seeded_build(entry("deep"), (4,), {"code": 3, "net": "dense", "width": 16}, 9)
    found = cluster.watch(key, begun, data, 6, rounds=8, weight=weight, width=16, code=3)
    ((model, plan),) = plans
    assert (plan.epochs, plan.seed) == (8, 6) and len(found.scores) == 2
    for name, value in begun.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    term = entry(key).cluster_weight
    name = {"centroid": "centre", "dcec": "cluster"}[key]
    wanted = entry(key).params[term].default if weight is None else weight
    for progress in (0.0, 1.0):  # from the first round on
        (player,) = model.players(progress).values()
        assert player.weights == {"recon": 1.0, name: wanted}
    assert found.codes.shape == (2, 45, 3)
    np.testing.assert_array_equal(found.codes[0], cluster.inference.encode(model, data.test, np.arange(45)))


# --- planes ---------------------------------------------------------------------------------------------------------


def ranks(x: np.ndarray) -> list[list[int]]:
    """r(i, j): 1 for the nearest example to i, 2 for the next, …"""
    found = []
    for i in range(len(x)):
        others = sorted((j for j in range(len(x)) if j != i), key=lambda j: math.dist(x[i], x[j]))
        found.append([0 if j == i else others.index(j) + 1 for j in range(len(x))])
    return found


def naive_trust(x: np.ndarray, points: np.ndarray, k: int) -> float:
    """1 − 2 / (n k (2n − 3k − 1)) Σ_i Σ_{j near on the plane, far in x} (r(i, j) − k)."""
    n, r, near = len(x), ranks(x), ranks(points)
    lost = sum(r[i][j] - k for i in range(n) for j in range(n) if 0 < near[i][j] <= k < r[i][j])
    return 1 - 2 * lost / (n * k * (2 * n - 3 * k - 1))


def test_trustworthiness_and_continuity_are_two_sides_of_one_definition():
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 5))
    points = x[:, :2] + 0.5 * random.normal(size=(40, 2))
    found = reduce.scores(x, points, np.arange(40) % 2)
    trust, continuity = naive_trust(x, points, 12), naive_trust(points, x, 12)
    assert abs(trust - continuity) > 1e-3
    assert (found["trustworthiness"], found["continuity"]) == pytest.approx((trust, continuity))
    assert set(reduce.scores(x, points)) == {"trustworthiness", "continuity"}


def vote(point: np.ndarray, points: list[np.ndarray], labels: list[int], k: int) -> int:
    near = sorted(range(len(points)), key=lambda j: math.dist(point, points[j]))[:k]
    votes = [labels[j] for j in near]
    return min(set(votes), key=lambda label: (-votes.count(label), label))


def test_nearest_neighbours_vote_without_the_asked_example_or_for_new_ones():
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(50, 2)), random.integers(0, 3, 50)
    right = sum(
        vote(points[i], [*points[:i], *points[i + 1 :]], [*labels[:i], *labels[i + 1 :]], 12) == labels[i]
        for i in range(50)
    )
    assert reduce.k_nn(points, labels) == pytest.approx(right / 50) == reduce.scores(points, points, labels)["k_nn"]
    new, truth = random.normal(size=(20, 2)), random.integers(0, 3, 20)
    right = sum(vote(point, list(points), list(labels), 12) == y for point, y in zip(new, truth, strict=True))
    assert reduce.k_nn(points, labels, new, truth) == pytest.approx(right / 20)


def test_a_row_of_the_study_has_errors_and_neighbours_of_placed_and_new_examples():
    random = np.random.default_rng(0)
    placed = reduce.Placed(random.random((40, 3)), np.arange(40) % 2, random.random((9, 3)), np.arange(9) % 2)
    points = placed.x[:, :2].astype(np.float32)
    made = reduce.Reduced(points, 1.5, lambda x: x[:, :2] * 1.1, lambda p: np.c_[p, p[:, :1]])
    row = reduce._row("m", "M", made, placed)
    new = (placed.new[:, :2] * 1.1).astype(np.float32)
    errors = [np.mean((x - np.c_[p, p[:, :1]]) ** 2) for x, p in ((placed.x, points), (placed.new, new))]
    assert row["restored"] == pytest.approx(errors, rel=1e-5)
    assert row["k_nn"] == reduce.k_nn(points, placed.labels)
    assert row["new_k_nn"] == reduce.k_nn(points, placed.labels, new, placed.new_labels)
    np.testing.assert_allclose(np.array(row["projected"]).T, new, atol=2e-3)
    np.testing.assert_allclose(np.array(row["points"]).T, points, atol=2e-3)
    stays = reduce._row("t", "T", reduce.Reduced(points, 1.5, None, None), placed)
    assert stays["projected"] is stays["new_k_nn"] is stays["restored"] is None


@pytest.mark.parametrize("method", ["pca", "lda", "isomap", "tsne"])
def test_every_method_is_made_with_its_seed_and_neighbours(method):
    made = reduce._made(method, 5, 40)
    if method in ("pca", "tsne"):
        assert made.random_state == 5
    if method == "tsne":
        assert made.perplexity == 13 and reduce._made(method, 5, 4000).perplexity == 30 and made.init == "pca"
    if method == "isomap":
        assert made.n_neighbors == 12
    assert made.n_components == 2


def test_pca_and_its_way_back_are_the_two_first_principal_components():
    x = data_of().train.x.numpy()
    found = reduce.fit("pca", x)
    mean, directions = x.mean(0), np.linalg.eigh(np.cov(x.T))[1][:, :-3:-1]
    np.testing.assert_allclose(np.abs(found.points), np.abs((x - mean) @ directions), atol=1e-3)
    assert found.restore and found.project
    np.testing.assert_allclose(found.restore(found.points), mean + (x - mean) @ directions @ directions.T, atol=1e-3)
    np.testing.assert_allclose(np.abs(found.project(x[:4] + 1)), np.abs((x[:4] + 1 - mean) @ directions), atol=1e-3)


def test_the_autoencoder_of_a_plane_is_trained_on_the_placed_examples_alone(monkeypatch):
    begun = []
    monkeypatch.setattr(reduce, "Training", lambda model, data, plan, device: begun.append((model, data, plan)) or ())
    data, ids = data_of(), np.array([5, 2, 30])
    for seed in (3, 4):
        reduce.trained(data, ids, 17, seed, 16)
    (model, few, plan), (other, _, _) = begun
    assert torch.equal(few.train.x, data.train.x[ids]) and (plan.epochs, plan.seed, plan.batch) == (17, 3, 3)
    assert not torch.equal(next(model.parameters()), next(other.parameters()))


def test_a_study_places_training_examples_and_projects_held_out_ones(monkeypatch):
    data, fits, choices = data_of(), [], []
    monkeypatch.setattr(reduce.table, "load", lambda path, label: data)
    monkeypatch.setattr(
        reduce, "_row", lambda method, name, reduced, placed, run="": {"method": method, "placed": placed}
    )
    model = SimpleNamespace(state_dict=dict)
    monkeypatch.setattr(
        reduce, "trained", lambda data, ids, epochs, seed: choices.append((ids, epochs, seed)) or (model, 1.0)
    )
    monkeypatch.setattr(reduce, "_by_model", lambda *_: None)
    monkeypatch.setattr(reduce, "fit", lambda *said: fits.append(said))
    placed_by_seed = []
    for seed in (0, 8):
        settings = reduce.Settings(data="table", path="a.csv", n=30, new=20, epochs=4, seed=seed)
        found = reduce.study(settings, lambda *_: None)
        placed = found["rows"][0]["placed"]
        np.testing.assert_array_equal(placed.x, data.train.x[found["images"]])
        np.testing.assert_array_equal(placed.labels, data.train.labels[found["images"]])
        np.testing.assert_array_equal(placed.new, data.test.x[found["new_images"]])
        np.testing.assert_array_equal(placed.new_labels, data.test.labels[found["new_images"]])
        assert (found["n"], found["new"], len(set(found["images"]))) == (30, 20, 30)
        ids, epochs, trained_seed = choices[-1]
        assert ids.tolist() == found["images"] and (epochs, trained_seed) == (4, seed)
        for (method, x, labels, given), name in zip(fits[-5:], reduce.METHODS, strict=True):
            assert method == name and given == seed and labels is placed.labels and x is placed.x
        placed_by_seed.append((found["images"], found["new_images"]))
    assert placed_by_seed[0][0] != placed_by_seed[1][0] and placed_by_seed[0][1] != placed_by_seed[1][1]
    with pytest.raises(DataError, match="are too few"):
        reduce.enough(np.zeros((25, 3)))
    assert len(reduce.enough(np.zeros((26, 3)))) == 26
