"""Digits on a plane by several methods: what each can do, how well neighbours stay; the page Reduce."""

from __future__ import annotations

import numpy as np
import pytest

from aecore import DataError, FieldError, inference, tasks
from aecore.data import load
from aecore.data.base import DataSpec
from aecore.tasks import reduce
from tests.test_exhibits import opened

pytestmark = pytest.mark.timeout(300)


def heaps(n: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Four heaps in eight dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), n)
    return (12 * np.eye(4, 8)[labels] + rng.normal(size=(4 * n, 8))).astype(np.float32), labels


@pytest.mark.parametrize("method", ["pca", "lda", "isomap", "tsne"])
def test_each_method_keeps_heaps_and_projects_where_it_can(method):
    x, labels = heaps()
    found = reduce.fit(method, x, labels)
    assert found.points.shape == (120, 2) and found.seconds > 0
    assert reduce.k_nn(found.points, labels) > (0.6 if method == "isomap" else 0.8)
    assert (found.project is None) == (method == "tsne") and (found.restore is None) == (method != "pca")
    if found.project:
        np.testing.assert_allclose(found.project(x), found.points, atol=0.05 * np.abs(found.points).max())


def test_trustworthiness_and_continuity_are_as_one_would_count_them():
    x, _ = heaps(10)
    points = x[:, [0, 1]]  # two heaps fall onto one another
    n, k = len(x), reduce.NEIGHBOURS
    far, near = (np.linalg.norm(v[:, None] - v[None], axis=2) for v in (x, points))
    rank = np.argsort(np.argsort(far, 1), 1)  # 0 is the example itself
    on_plane = np.argsort(near, 1)[:, 1 : k + 1]
    lost = sum(max(0, rank[i, j] - k) for i in range(n) for j in on_plane[i])
    by_hand = 1 - 2 * lost / (n * k * (2 * n - 3 * k - 1))
    assert reduce.trustworthiness(x, points) == pytest.approx(by_hand, abs=1e-6) and by_hand < 0.99
    assert reduce.trustworthiness(x, x) == reduce.continuity(x, x) == 1
    assert reduce.continuity(x, points) == reduce.trustworthiness(points, x)


def test_nearest_neighbours_leave_the_asked_one_out():
    x = np.random.default_rng(0).normal(size=(400, 2))
    labels = np.arange(400) % 2
    assert reduce.k_nn(x, labels) < 0.65  # by chance: an example does not vote for itself
    assert reduce.k_nn(x, (x[:, 0] > 0).astype(int)) > 0.9


def test_an_autoencoder_sees_only_the_images_it_is_given():
    data = load(DataSpec(name="digits8", limit=200))
    ids = np.arange(40)
    model, seconds = reduce.trained(data, ids, 150, width=16)
    assert seconds > 0
    errors = []
    for some in (ids, np.arange(40, 200)):
        x = inference.examples(data.train, some).numpy()
        errors.append(float(np.square(x - inference.autoencode(model, data.train, some)).mean()))
    seen, unseen = errors
    assert seen < unseen


def test_what_cannot_be_reduced_is_said_in_words():
    x, labels = heaps()
    with pytest.raises(DataError, match="no method 'som'"):
        reduce.fit("som", x)
    with pytest.raises(DataError, match="LDA needs labels"):
        reduce.fit("lda", x)
    with pytest.raises(DataError, match="too few"):
        reduce.fit("pca", x[:5], labels[:5])
    with pytest.raises(FieldError, match="n"):
        tasks.checked("reduce", {"n": 5})


def test_the_stored_study_says_what_the_chapter_says():
    found = tasks.stored("reduce", {})
    assert found is not None and tasks.file_of("reduce", {}).stat().st_size < 600_000  # with weights
    rows = {row["name"]: row for row in found["rows"]}
    assert {"PCA", "LDA", "Isomap", "UMAP", "t-SNE", "autoencoder"} <= set(rows)
    assert rows["autoencoder"]["trustworthiness"] > rows["PCA"]["trustworthiness"]
    assert rows["autoencoder"]["restored"][1] < rows["PCA"]["restored"][1]
    assert rows["t-SNE"]["projected"] is None and rows["UMAP"]["restored"] is None
    for row in rows.values():  # figures belong to the points, up to their rounding
        assert reduce.k_nn(np.array(row["points"]).T, np.array(found["labels"])) == pytest.approx(row["k_nn"], abs=0.02)
    assert all(one["deep"] < one["pca"] for one in found["sizes"])


def test_stored_places_have_the_way_back_that_their_figures_were_taken_on():
    found, data = tasks.stored("reduce", {}), load(DataSpec())
    assert found is not None
    x = inference.examples(data.train, np.array(found["images"])).numpy()
    for row in found["rows"]:
        back = reduce.restore(found, row, data, np.array(row["points"], np.float32).T)
        assert (back is None) == (row["restored"] is None), row["name"]
        if back is not None:
            assert np.square(x - back).mean() == pytest.approx(row["restored"][0], rel=0.02), row["name"]


def test_the_page_opens_on_the_stored_study():
    at = opened("reduce")
    table = at.dataframe[0].value.set_index("method")
    assert table.loc["t-SNE", "of new images"] == "–" and float(table.loc["PCA", "error per pixel"]) < 0.1
    at = opened("reduce", reduce__images="new ones", reduce__methods=["t-SNE", "PCA"])
    assert "no way to project" in at.info[0].value
