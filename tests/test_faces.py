"""Drawn faces, their attributes, tables of attributes, the judge, and edits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from aecore import CATALOG, DataError, DataSpec, Model, inference
from aecore import data as datasets
from aecore.data import attributes
from aecore.data.sets import celeba, faces
from aecore.explore import edits
from aecore.measure import attribute_classifier
from aecore.measure import attribute_edits as measured
from aecore.runs.library import create
from tests import conftest

A = faces.ATTRIBUTES


@pytest.fixture(scope="module")
def data():
    return datasets.load(DataSpec(name="faces"))


# --- attributes -----------------------------------------------------------------------------------------------


def test_drawn_faces_can_be_seen_and_are_as_frequent_as_they_should():
    a, rest = faces.draw(20_000, 3)
    assert faces.possible(a).all()
    assert a.dtype == np.float32 and set(np.unique(a)) == {0, 1} and np.abs(rest).max() <= 1
    share = dict(zip(A, a.mean(0), strict=True))
    assert share["Male"] == pytest.approx(0.5, abs=0.02) and 0.08 < share["Bald"] < 0.2
    assert a[:, A.index("Black_Hair") : A.index("Gray_Hair") + 1].sum(1).min() == 1
    grey = a[:, A.index("Gray_Hair")]
    assert grey[a[:, A.index("Young")] == 0].mean() > 4 * grey[a[:, A.index("Young")] == 1].mean()
    assert np.abs(np.corrcoef(a.T, rest.T)[: len(A), len(A) :]).max() < 0.03  # nuisance tells nothing of attributes


@settings(max_examples=60, deadline=None)
@given(
    some.integers(0, 10_000), some.lists(some.tuples(some.sampled_from(A), some.booleans()), min_size=1, max_size=12)
)
def test_whatever_is_switched_can_still_be_seen(seed, switches):
    a = faces.draw(1, seed)[0][0]
    for name, value in switches:
        a = faces.switched(a, name, value)
        if name not in attributes.HAIR or value:
            assert a[A.index(name)] == value
        assert faces.possible(a)


def test_switching_takes_along_only_what_cannot_stay():
    a = faces.switched(faces.switched(faces.draw(1, 0)[0][0], "Bald", False), "Blond_Hair", True)
    wavy = faces.switched(faces.switched(a, "Wavy_Hair", True), "Bangs", True)
    bald = faces.switched(wavy, "Bald", True)
    changed = {name for name, x, y in zip(A, wavy, bald, strict=True) if x != y}
    assert changed == {"Bald", "Wavy_Hair", "Bangs"} and bald[A.index("Blond_Hair")] == 1
    dark = faces.switched(a, "Black_Hair", True)
    assert {name for name, x, y in zip(A, a, dark, strict=True) if x != y} == {"Blond_Hair", "Black_Hair"}
    with pytest.raises(DataError, match=r"no attribute 'Beard'.*Mustache"):
        faces.switched(a, "Beard", True)
    # Where one may have no hair colour at all, switching one off leaves none.
    bare = attributes.switched(np.array([1.0, 0.0]), ("Black_Hair", "Brown_Hair"), "Black_Hair", False)
    assert bare.tolist() == [0, 0]


# --- the drawing ------------------------------------------------------------------------------------------------


REGIONS = {
    "Eyeglasses": (-0.30, 0.32),
    "Smiling": (-0.05, 0.68),
    "Mouth_Slightly_Open": (0.2, 0.68),
    "Bangs": (-1.0, 0.34),
    "Receding_Hairline": (-1.0, 0.34),
    "Mustache": (0.2, 0.55),
    "Wearing_Hat": (-1.0, 0.05),
    "Young": (-0.75, 1.0),
    "Bald": (-1.0, 1.0),
    "Wavy_Hair": (-1.0, 1.0),
}
"""Between which heights (−1 top, 1 bottom) an attribute may change a face that is held upright."""


@pytest.mark.parametrize("name", A)
def test_an_attribute_changes_its_own_region_and_nothing_else(name):
    a, rest = faces.draw(60, 5)
    rest[:, [faces.NUISANCE.index(n) for n in ("shift x", "shift y", "tilt", "size")]] = 0
    painter = faces.Painter(64)
    on, off = (faces.switched(a, name, value) for value in (True, False))
    alone = ((on != off).sum(1) == 1) | np.isin(name, attributes.HAIR)  # nothing else had to go with it
    before, after = (painter.paint(torch.from_numpy(v[alone]), torch.from_numpy(rest[alone])) for v in (off, on))
    change = (before - after).abs().amax(1)
    seen = change.flatten(1).amax(1)
    # A hat may hide waves, glasses hide nothing: each attribute shows on nearly every face.
    assert (seen > 0.08).float().mean() > 0.97
    height = (torch.arange(64) + 0.5) / 32 - 1
    low, high = REGIONS.get(name, (-1.0, 1.0))
    outside = (height < low) | (height > high)
    assert change[:, outside].max() < 1e-3 if outside.any() else True
    assert change[:, :6, :6].max() < 1e-3 and change[:, :6, -6:].max() < 1e-3  # the background stays


def test_a_face_is_the_same_each_time_alone_or_among_others_and_at_both_sizes():
    a, rest = map(torch.from_numpy, faces.draw(40, 9))
    x = faces.Painter(64).paint(a, rest)
    assert x.shape == (40, 3, 64, 64) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    assert torch.equal(x, faces.Painter(64).paint(a, rest))
    torch.testing.assert_close(x[7:8], faces.Painter(64).paint(a[7:8], rest[7:8]), atol=1e-5, rtol=0)
    small = faces.Painter(32).paint(a, rest)
    averaged = torch.nn.functional.avg_pool2d(x, 2)
    assert (small - averaged).abs().mean() < 0.012
    assert faces.Painter(32).paint(a[:0], rest[:0]).shape == (0, 3, 32, 32)


def test_the_data_set_redraws_a_face(data):
    ids = torch.arange(20)
    batch = data.test.batch(ids)
    assert data.attributes == A and batch.attributes.shape == (20, len(A))
    torch.testing.assert_close(data.test.redrawn(ids, batch.attributes), batch.x)
    assert (data.test.labels[:20] == faces.Faces.of(batch.attributes.numpy())).all()
    assert not (data.train.attributes[:100] == data.test.attributes[:100]).all()
    grey = datasets.load(DataSpec(name="faces", grey=True, limit=50))
    assert grey.shape == (1, 32, 32) and grey.train.batch(torch.arange(2)).x.shape == (2, 1, 32, 32)


# --- tables of attributes ---------------------------------------------------------------------------------------


def pictures(folder, names):
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (178, 218), (k * 7 % 255, 90, 120)).save(folder / name)


def celeba_table(names, marks="Smiling Male Bald", rows=None, count=None):
    rows = rows or [f"{name}  1 -1 {'1' if k % 2 else '-1'}" for k, name in enumerate(names)]
    return "\n".join([str(len(rows) if count is None else count), marks, *rows]) + "\n"


def test_celeba_is_read_as_its_authors_lay_it_out(tmp_path, monkeypatch):
    names = [f"{k:06d}.jpg" for k in range(1, 31)]
    folder = tmp_path / "celeba"
    pictures(folder / "img_align_celeba", names)
    (folder / "list_attr_celeba.txt").write_text(celeba_table(names))
    monkeypatch.setenv("AECORE_DATA", str(tmp_path))
    info = celeba.info()
    assert info.here and (info.train, info.test) == (27, 3)
    data = datasets.load(DataSpec(name="celeba"))
    assert data.title == "CelebA" and data.shape == (3, 64, 64) and data.attributes == ("Smiling", "Male", "Bald")
    assert (len(data.train), len(data.test)) == (27, 3)
    batch = data.train.batch(torch.arange(27))
    assert batch.attributes[:, 0].all() and not batch.attributes[:, 1].any()
    assert 0 < batch.attributes[:, 2].sum() < 27
    assert datasets.has_attributes(DataSpec(name="celeba"))
    monkeypatch.setattr(
        "aecore.data.files.memmap.BIG", 1000
    )  # as for 200,000 pictures: kept in a file, mapped into memory
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path / "cache"))
    again = celeba.load(DataSpec(name="celeba", size=32))
    assert (tmp_path / "cache" / "arrays").exists() and again.train.batch(torch.arange(2)).attributes.shape == (2, 3)


def test_without_celeba_it_is_said_where_it_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("AECORE_DATA", str(tmp_path))
    assert not celeba.info().here and "list_attr_celeba.txt" in celeba.info().place
    with pytest.raises(DataError, match="img_align_celeba"):
        datasets.load(DataSpec(name="celeba"))


def test_any_folder_with_a_csv_of_attributes_works(tmp_path):
    pictures(tmp_path, [f"{k}.png" for k in range(12)])
    lines = [f"{k}.png;{'yes' if k % 3 else 'no'};{k % 2}" for k in range(11)]  # the twelfth has no row
    (tmp_path / "labels.csv").write_text("file;Round;Green\n" + "\n".join(lines))
    spec = DataSpec(name="images", path=str(tmp_path))
    data = datasets.load(spec)
    assert data.attributes == ("Round", "Green") and len(data.train) + len(data.test) == 11
    assert "1 pictures without a row" in data.source and datasets.has_attributes(spec)
    assert attributes.switched_in(data, np.zeros(2), "Green", True).tolist() == [0, 1]


NAMES = ["1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("list_attr_celeba.txt", celeba_table(NAMES, count=7), "says it has 7 rows, but holds 3"),
        ("list_attr_celeba.txt", celeba_table(NAMES, rows=["1.jpg 1 1 1", "2.jpg 1 1"]), "Line 4 .* 2 values for 3"),
        ("list_attr_celeba.txt", "hello\nworld\n", "number of pictures"),
        ("a.csv", "file,Age\n1.jpg,37\n", "'37' for Age.*remove columns"),
        ("a.csv", "file,A,A\n1.jpg,0,1\n", "two columns A"),
        ("a.csv", "file\n1.jpg\n", "no rows of attributes"),
        ("a.csv", "file,A\nother.jpg,1\n", "None of the pictures"),
        ("a.csv", "", "no rows of attributes"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_words(tmp_path, file, text, said):
    pictures(tmp_path, NAMES)
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=said):
        datasets.load(DataSpec(name="images", path=str(tmp_path)))


def test_two_tables_are_one_too_many(tmp_path):
    pictures(tmp_path, NAMES)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("file,A\n1.jpg,1\n")
    with pytest.raises(DataError, match="2 tables"):
        datasets.load(DataSpec(name="images", path=str(tmp_path)))


# --- the judge ----------------------------------------------------------------------------------------------------


def test_the_judge_reads_every_attribute_of_held_out_faces(data):
    found = attribute_classifier.accuracy(attribute_classifier.judge_of(data), data.test, 2000)
    assert found.attributes.min() >= 0.99, dict(zip(A, found.attributes, strict=True))
    read = dict(zip(faces.NUISANCE, found.nuisance, strict=True))
    assert all(read[name] > 0.9 for name in ("tone", "shift x", "tilt", "light", "background", "brightness", "shirt"))


def test_a_judge_can_be_trained_on_any_attributes_and_says_when_there_is_none():
    made = conftest.with_attributes(conftest.images((3, 16, 16), 64), 2)
    found = attribute_classifier.fit(made, steps=3, device="cpu")
    said = attribute_classifier.read(found, made.test.batch(torch.arange(4)).x)
    assert said.attributes.shape == (4, 2) and said.nuisance.shape == (4, 0)
    with pytest.raises(DataError, match="no judge of made"):
        attribute_classifier.judge_of(made)
    with pytest.raises(DataError, match="no attributes"):
        attribute_classifier.fit(conftest.images())


def test_frechet_is_that_of_gaussians():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((4000, 3)), 2 * random.standard_normal((4000, 3)) + [1, 0, 0]
    assert measured.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert measured.frechet(a, b) == pytest.approx(1 + 3, rel=0.1)  # (2 − 1)² for each of three axes, and the shift
    from scipy.linalg import sqrtm

    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    exact = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert measured.frechet(a, b) == pytest.approx(exact, rel=1e-6)


# --- edits --------------------------------------------------------------------------------------------------------


class Perfect(Model):
    """Edits without fault: its code is the number of a held-out face, which it draws as it is told."""

    attributes = len(A)
    abilities = frozenset({"encode", "decode"})

    def __init__(self, data, deaf: bool = False):
        super().__init__(data.shape)
        self.split, self.deaf = data.test, deaf
        self.one = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("known", data.test.batch(torch.arange(300)).x)

    def encode(self, x, y):
        return torch.cdist(x.flatten(1), self.known.flatten(1)).argmin(1, keepdim=True).float()

    def decode(self, z, y):
        ids = z[:, 0].long()
        return self.known[ids] if self.deaf else self.split.redrawn(ids, y)


def test_perfect_edits_score_perfectly_and_deaf_ones_as_not_editing(data):
    marks = attribute_classifier.judge_of(data)
    best = measured.evaluate(Perfect(data), data, marks, 60)
    assert best.recon == 0 and best.error.max() == 0 and best.laid.max() < 1e-9
    assert best.seen.mean() > 0.99 and best.right.mean() > 0.95 and best.stays.min() > 0.98
    assert best.frechet == pytest.approx(best.chance, rel=1e-3)  # faultless edits are as far away as true ones
    deaf = measured.evaluate(Perfect(data, deaf=True), data, marks, 100)
    np.testing.assert_allclose(deaf.error, deaf.standing, rtol=1e-5)
    np.testing.assert_array_equal(deaf.seen, deaf.unedited)
    assert deaf.seen.max() < 0.05 and deaf.frechet > 1.3 * deaf.chance
    with pytest.raises(DataError, match="not told attributes"):
        measured.evaluate(CATALOG["vae"].build(data.shape, width=32), data, marks)
    with pytest.raises(DataError, match="other attributes"):
        measured.evaluate(Perfect(data), data, attribute_classifier.Judge(data.shape, 3))


def test_directions_find_the_axis_of_an_attribute():
    class Axis(Model):
        abilities = frozenset({"encode"})

        def __init__(self):
            super().__init__((3, 8, 8))
            self.one = torch.nn.Parameter(torch.zeros(1))

        def encode(self, x):
            return x.flatten(1)[:, :4] * 10

    made = conftest.with_attributes(conftest.images((3, 8, 8), 200), 1)
    made.train.pixels[:, 0, 0, 2] = torch.from_numpy(100 + 100 * made.train.attributes[:, 0]).to(torch.uint8)
    axis = Axis()
    for how in ("means", "classifier"):
        (found,) = edits.directions(axis, made.train, np.arange(200), how)
        assert np.abs(found).argmax() == 2 and found[2] == pytest.approx(10 * 100 / 255, rel=0.15)
    with pytest.raises(DataError, match="by 'means' and by 'classifier'"):
        edits.directions(axis, made.train, np.arange(10), "guess")


def test_the_grid_is_the_chapters():
    assert [name for name, _ in edits.ROWS] == ["man, young", "man, not young", "woman, young", "woman, not young"]
    assert len(edits.COLUMNS) == 12 and edits.COLUMNS[0][1] == ()
    data = datasets.load(DataSpec(name="faces"))
    a = edits.switch(data, edits.switch(data, data.test.attributes[0], edits.BASE), edits.COLUMNS[-1][1])
    on = {name for name, value in zip(A, a, strict=True) if value}
    assert {"Black_Hair", "Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Wearing_Hat"} <= on
    assert not on & {"Bald", "Bangs", "Wavy_Hair", "Mustache"}


@pytest.mark.parametrize("key", ["attribute_ali", "cvae", "ali", "alice"])
def test_models_are_told_attributes_and_train_on_them(key, data):
    params = {"attributes": len(A), "width": 32, "code": 8}
    params |= {"net": "conv"} if key in ("ali", "alice") else {}
    model = CATALOG[key].build(data.shape, **CATALOG[key].check(params))
    model.check(data)
    from aecore.training.loop import Training
    from aecore.training.plan import Plan

    rows = list(
        Training(model, datasets.load(DataSpec(name="faces", limit=64)), Plan(epochs=1, batch=32, held_out=32), "cpu")
    )
    assert all(np.isfinite(list(row["train"].values())).all() for row in rows)
    model.eval()
    x, y = data.test.batch(torch.arange(4)).x, data.test.batch(torch.arange(4)).attributes
    z = model.encode(x, y)
    assert not torch.equal(model.decode(z, y), model.decode(z, 1 - y))
    assert not torch.equal(model.encode(x, y), model.encode(x))  # without attributes it is another question
    assert model.sample(3).shape == (3, *data.shape)
    assert torch.equal(
        model.seen_attributes[:5],
        torch.from_numpy(datasets.load(DataSpec(name="faces", limit=64)).train.attributes[:5]),
    )


def test_attributes_that_do_not_fit_are_named():
    entry = CATALOG["attribute_ali"]
    data = conftest.images((3, 16, 16))
    with pytest.raises(ValueError, match="made has no attributes: give 0"):
        entry.build(data.shape, **entry.check({"attributes": 3, "width": 16})).check(data)
    with pytest.raises(ValueError, match="labels and attributes at once"):
        CATALOG["cvae"].build(data.shape, **CATALOG["cvae"].check({"attributes": 3, "classes": 2, "width": 16}))


def test_what_is_looked_at_are_averages_of_the_weights():
    model = CATALOG["attribute_ali"].build((3, 16, 16), width=16, code=4)
    before = {name: value.clone() for name, value in model.encoder_mean.named_buffers()}
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight.add_(1.0)
    for _ in range(3):
        model.after_step("generator")
    name = "trunk.0.weight"
    moved = dict(model.encoder_mean.named_buffers())[name] - before[name]
    # Keeping 2/11, 3/12 and 4/13 of what was: a share 1 − (2·3·4)/(11·12·13) of the way.
    torch.testing.assert_close(moved, torch.full_like(moved, 1 - 24 / 1716))
    model.after_step("critic")
    assert int(model.moves) == 3


def test_a_published_model_without_its_raw_weights_looks_the_same(tmp_path, data):
    params = {"attributes": len(A), "width": 16, "code": 4}
    run = create("attribute_ali", DataSpec(name="faces", limit=64), params, path=tmp_path / "run")
    run.save(shape=data.shape)
    full = run.entry.build(data.shape, **run.info.params).eval().requires_grad_(False)
    for weight in full.encoder.parameters():
        weight.add_(0.1)
    full.after_step("generator")  # weights and their averages are not the same
    run.save_model(full, lean=True)
    lean = run.model()
    x, y = data.test.batch(torch.arange(4)).x, data.test.batch(torch.arange(4)).attributes
    assert torch.equal(full.decode(full.encode(x, y), y), lean.decode(lean.encode(x, y), y))
    codes = inference.encode(lean, data.test, np.arange(2), conditioned=True)
    assert not np.array_equal(codes, inference.encode(lean, data.test, np.arange(2)))
    held = inference.autoencode(lean, data.test, np.arange(3))
    assert held.shape == (3, *data.shape)
