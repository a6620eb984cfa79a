"""A table of the user's, and the tasks that take one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aecore import DataError, inference, tasks
from aecore.__main__ import main
from aecore.data.files import table
from aecore.tasks import cluster, reduce


@pytest.fixture(scope="module")
def heaps(tmp_path_factory) -> str:
    """90 lines of five numbers about three centres, and what they are."""
    random = np.random.default_rng(0)
    kind = np.arange(90) % 3
    x = 3.0 * random.normal(size=(3, 5))[kind] + 0.3 * random.normal(size=(90, 5))
    lines = ["a,b,c,d,e,always,kind"]
    lines += [",".join(f"{v:.4f}" for v in row) + f",7,{'xyz'[k]}" for row, k in zip(x, kind, strict=True)]
    path = tmp_path_factory.mktemp("table") / "heaps.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_a_table_becomes_data_with_a_quarter_held_out(heaps):
    data = table.load(heaps, "kind")
    assert (data.shape, data.classes, len(data.train), len(data.test)) == ((5,), ("x", "y", "z"), 68, 22)
    x = inference.examples(data.train, inference.first(data.train)).numpy()
    assert np.allclose(x.mean(0), 0.5, atol=1e-5) and np.allclose(x.std(0), 1 / table.MARGIN, atol=1e-4)
    assert data.train.labels is not None and set(data.train.labels) == {0, 1, 2}
    whole = table.load(heaps, "kind", held_out=0)
    assert len(whole.train) == len(whole.test) == 90
    assert whole.train.labels is not None and whole.train.labels.tolist() == (np.arange(90) % 3).tolist()
    assert table.load(heaps, "kind") is data


@pytest.mark.slow
def test_clusters_of_a_table_are_found_and_every_line_gets_one(heaps):
    found = tasks.compute("cluster", {"look": "table", "path": heaps, "label": "kind", "seeds": 2})
    assert found["k"] == 3 and found["n"] == 90
    for row in found["rows"]:
        assert len(row["scores"]) == 2 and min(s["accuracy"] for s in row["scores"]) > 0.95, row["name"]
        lines = np.array(found["assigned"][row["name"]])
        assert len(lines) == 90 and all(len(set(lines[k::3])) == 1 for k in range(3))
    assert tasks.rows("cluster", found)[2]["what"] == "codes of an autoencoder"


@pytest.mark.slow
def test_a_table_is_classified_by_a_few_of_its_lines(heaps):
    found = tasks.compute(
        "classify", {"data": "table", "path": heaps, "label": "kind", "labels_per_class": 3, "seeds": 1}
    )
    assert found["classes"] == ["x", "y", "z"] and found["labels"] == 9 and "mixture encoder" not in found["methods"]
    assert min(m["accuracy"][0] for m in found["methods"].values()) > 0.9


@pytest.mark.parametrize(
    ("lines", "label", "words"),
    [
        (["a,b,kind", *["1,2,x", "2,1,x"] * 20], "kind", "with two classes or more"),
        (["a,b", *["1,2", "2,1"] * 20], "", "give label=COLUMN"),
        (["a,b,kind", *["1,2,x", "2,1,y"] * 20, "3,3,z"], "kind", "The class z has too few lines"),
        (["a,b,kind", "1,2,x", "2,1,y"], "kind", "2 lines; at least 20"),
    ],
)
def test_tables_that_cannot_be_classified_are_refused_in_a_sentence(tmp_path, lines, label, words):
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=words):
        tasks.compute("classify", {"data": "table", "path": str(path), "label": label, "seeds": 1})


@pytest.mark.parametrize("left_out", [("umap", "tsne"), pytest.param((), marks=pytest.mark.slow)])
def test_a_table_is_placed_on_a_plane_with_and_without_classes(heaps, tmp_path, monkeypatch, left_out):
    for method in left_out:  # the slow ones
        monkeypatch.delitem(reduce.METHODS, method)
    said = {"data": "table", "path": heaps, "epochs": 30, "n": 60}
    named = tasks.compute("reduce", {**said, "label": "kind"})
    names = [row["name"] for row in named["rows"]]
    assert names == ["autoencoder", *reduce.METHODS.values()] and named["sizes"] == []
    assert named["classes"] == ["x", "y", "z"] and all(row["k_nn"] > 0.9 for row in named["rows"][1:])
    unnamed = tmp_path / "unnamed.csv"
    unnamed.write_text("\n".join(line.rpartition(",")[0] for line in Path(heaps).read_text("utf-8").splitlines()))
    plain = tasks.compute("reduce", {**said, "path": str(unnamed)})
    assert [row["name"] for row in plain["rows"]] == [name for name in names if name != "LDA"]
    assert plain["labels"] is None and "k_nn" not in plain["rows"][0]


@pytest.fixture
def few_steps(monkeypatch):
    """What the command line does with a table does not depend on how well the autoencoder learns it."""
    monkeypatch.setattr(cluster, "TABLE_STEPS", 20)


def test_the_command_line_takes_a_table(heaps, capsys, few_steps):
    assert main(["cluster", "look=table", f"path={heaps}", "label=kind", "seeds=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["k"] == 3
    assert main(["cluster", "look=table", f"path={heaps}"]) != 0
    assert "one column of words can be named as the label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('a,b\n1,"2\n3,4\n', "no number"),
        (b"a,b\n1,1e39\n2,3\n", "no number"),
        ('a,b\n1,"' + "2" * 140_000, "quotation mark"),
        ("a,b\n" + "0.1,0.7\n" * 30, "All lines of the table are alike"),
    ],
)
def test_odd_tables_are_refused_in_a_sentence(content, words):
    with pytest.raises(DataError, match=words):
        table.read(content if isinstance(content, bytes) else content.encode())


def test_old_line_ends_are_line_ends():
    assert table.read(b"a,b\r1,2\r3,4\r").x.tolist() == [[1, 2], [3, 4]]


def test_a_small_table_is_reduced_or_refused_in_a_sentence(tmp_path):
    random = np.random.default_rng(0)
    for lines, columns, words in ((30, 3, "too few"), (60, 1, "one number in each example")):
        path = tmp_path / f"{lines}-{columns}.csv"
        rows = [",".join("abc"[:columns]), *(",".join(map(str, row)) for row in random.normal(size=(lines, columns)))]
        path.write_text("\n".join(rows), encoding="utf-8")
        with pytest.raises(DataError, match=words):
            tasks.compute("reduce", {"data": "table", "path": str(path), "epochs": 1})


def test_a_path_with_a_comma_is_a_path_and_one_without_its_setting_is_refused(heaps, tmp_path, capsys, few_steps):
    odd = tmp_path / "mine, odd.csv"
    odd.write_bytes(Path(heaps).read_bytes())
    assert main(["cluster", "look=table", f"path={odd}", "label=kind", "seeds=1", "--json"]) == 0
    capsys.readouterr()
    for said, words in (
        (["cluster", f"path={heaps}"], "look=table"),
        (["reduce", f"path={heaps}"], "data=table"),
        (["detect", f"path={heaps}"], "data=table or data=images"),
    ):
        assert main(said) == 2 and words in capsys.readouterr().err


def test_a_changed_table_is_another_question(heaps, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("a,b\n1,2\n", encoding="utf-8")
    settings = {"look": "table", "path": str(mine)}
    before = tasks.file_of("cluster", settings)
    assert tasks.file_of("cluster", settings) == before
    mine.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    assert tasks.file_of("cluster", settings) != before
