"""Data sets: which examples are trained on and held out, how they are prepared, and what they were drawn from."""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import aecore.data as D
from aecore.data import DataError, DataSpec, attributes, base
from aecore.data.files import memmap, pictures, table, transforms, uploads
from aecore.data.files.image import fit
from aecore.data.sets import beats, digits8, faces, gaussians, pack_digits, sprites
from aecore.data.sets.face_painter import AT, ATTRIBUTES, NUISANCE


@pytest.fixture(autouse=True)
def fresh():
    D._load.cache_clear()


def rows_of(split: D.Split, n: int | None = None) -> list[bytes]:
    return [row.tobytes() for row in split.batch(torch.arange(n or len(split))).x.numpy()]


# --- choices and splits ---------------------------------------------------------------------------------------------


def test_a_limit_is_a_choice_from_everywhere_by_its_seed():
    chosen = {seed: base.choose(1000, 50, seed) for seed in (0, 1)}
    for ids in chosen.values():
        assert len(set(ids)) == 50 and (np.diff(ids) > 0).all() and ids.min() < 150 and ids.max() > 850
    assert not np.array_equal(chosen[0], chosen[1])
    assert base.choose(5, None).tolist() == base.choose(5, 5).tolist() == base.choose(5, 9).tolist() == [0, 1, 2, 3, 4]


def test_a_fifth_of_the_small_digits_is_held_out_and_none_is_lost():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = D.load("digits8")
    assert (len(data.train), len(data.test)) == (1437, 360)
    every = sorted(zip((np.round(images * 255 / 16).astype(np.uint8).tolist()), labels, strict=True))
    found = [
        (pixels.flatten().tolist(), int(y))
        for split in (data.train, data.test)
        for pixels, y in zip(split.pixels, split.labels, strict=True)
    ]
    assert sorted(found) == every
    assert np.bincount(data.test.labels, minlength=10).min() > 20  # a choice from everywhere
    assert digits8.info().train == 1437


def test_a_limit_takes_training_images_with_their_labels_and_no_held_out_one():
    whole, few = D.load("digits8"), D.load(DataSpec(name="digits8", limit=30))
    ids = base.choose(1437, 30)
    assert torch.equal(few.train.pixels, whole.train.pixels[ids])
    assert few.train.labels.tolist() == whole.train.labels[ids].tolist()
    assert torch.equal(few.test.pixels, whole.test.pixels) and few.test.labels.tolist() == whole.test.labels.tolist()


def test_packed_digits_are_a_seeded_balanced_choice():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), 40))
    for seed in (0, 1):
        ids = pack_digits.balanced(labels, 5, seed)
        assert np.bincount(labels[ids]).tolist() == [5, 5, 5] and (np.diff(ids) > 0).all()
        assert set(ids) != {i for c in range(3) for i in np.flatnonzero(labels == c)[:5]}
    assert set(pack_digits.balanced(labels, 5, 0)) != set(pack_digits.balanced(labels, 5, 1))


def test_sprites_are_held_out_by_a_shuffle_of_the_whole_set():
    data = D.load(DataSpec(name="sprites", limit=2000, size=16))
    train, test = set(data.train.members.tolist()), set(data.test.members.tolist())
    assert not train & test and (len(train), len(test)) == (2000, 10_000)
    for split in (data.train, data.test):  # every value of every factor is about equally frequent in both
        factors = split.factors(torch.arange(2000)).numpy()
        for column, size in enumerate(sprites.SIZES):
            counts = np.bincount(factors[:, column], minlength=size)
            assert counts.min() > 0.4 * 2000 / size and counts.max() < 1.8 * 2000 / size
    numbers = data.train.factors(torch.arange(2000)).numpy()
    assert [np.ravel_multi_index(row, sprites.SIZES) for row in numbers] == data.train.members.tolist()
    assert data.train.labels.tolist() == numbers[:, 0].tolist() == data.train.batch(torch.arange(2000)).y.tolist()


@pytest.mark.parametrize("factor", range(5))
def test_each_factor_of_a_sprite_moves_what_its_name_says(factor):
    base_row = torch.tensor([[1, 5, 3, 10, 12]])
    other = base_row.clone()
    other[0, factor] = {0: 0, 1: 2, 2: 12, 3: 20, 4: 24}[factor]
    one, two = sprites.Canvas(64).render(torch.cat([base_row, other]))[:, 0].numpy()
    middle = [[float(np.mean(axis)) for axis in np.nonzero(image)] for image in (one, two)]  # (row, column)
    moved = [b - a for a, b in zip(*middle, strict=True)]
    step = 32 / 31  # pixels from one position to the next
    expected = {3: [0, 10 * step], 4: [12 * step, 0]}.get(factor, [0, 0])
    assert moved == pytest.approx(expected, abs=0.6)
    area = two.sum() / one.sum()
    assert area == pytest.approx(
        {0: 4 * 9.6**2 / (math.pi * 12.76 * 7.22), 1: (0.7 / 1.0) ** 2}.get(factor, 1), rel=0.06
    )
    if factor == 2:
        assert (one != two).sum() > 50


def test_faces_of_the_two_splits_are_drawn_from_different_seeds():
    data = D.load(DataSpec(name="faces", limit=300, size=32))
    train, test = faces.draw(faces.N, 0), faces.draw(faces.TEST, 1)
    ids = base.choose(faces.N, 300)
    np.testing.assert_array_equal(data.train.attributes, train[0][ids])
    np.testing.assert_array_equal(data.train.nuisance, train[1][ids])
    np.testing.assert_array_equal(data.test.attributes, test[0])
    np.testing.assert_array_equal(data.test.nuisance, test[1])
    assert not {row.tobytes() for row in train[1]} & {row.tobytes() for row in test[1]}
    a = data.test.attributes
    assert data.test.labels.tolist() == [int(row[AT["Young"]] + 2 * row[AT["Male"]]) for row in a]
    batch = data.test.batch(torch.tensor([4, 2]))
    assert batch.y.tolist() == data.test.labels[[4, 2]].tolist()
    np.testing.assert_array_equal(batch.attributes, a[[4, 2]])


def test_a_face_drawn_again_is_the_same_face_with_other_attributes():
    data = D.load(DataSpec(name="faces", limit=40, size=32))
    ids, other = torch.tensor([3, 7]), torch.from_numpy(data.train.attributes[[3, 7]])
    assert torch.equal(data.train.redrawn(ids, other), data.train.batch(ids).x)
    changed = other.clone()
    changed[:, AT["Eyeglasses"]] = 1 - changed[:, AT["Eyeglasses"]]
    again = data.train.redrawn(ids, changed)
    both = faces.Faces(changed.numpy(), data.train.nuisance[[3, 7]], 32).batch(torch.arange(2)).x
    assert torch.equal(again, both) and not torch.equal(again, data.train.batch(ids).x)
    grey = D.load(DataSpec(name="faces", limit=40, size=32, grey=True)).train.batch(ids).x
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    torch.testing.assert_close(grey, (data.train.batch(ids).x * weights).sum(1, keepdim=True))


def test_attributes_of_drawn_faces_have_their_shares_and_exclude_each_other():
    a, rest = faces.draw(20_000, 3)
    assert faces.possible(a).all() and rest.shape == (20_000, len(NUISANCE)) and np.abs(rest).max() <= 1
    assert abs(rest.mean()) < 0.01 and abs(rest.std() - 1 / math.sqrt(3)) < 0.01
    has = {name: a[:, AT[name]] > 0 for name in ATTRIBUTES}
    young, male = has["Young"], has["Male"]
    shares = {
        "Male": (male, 0.5),
        "Young": (young, 0.55),
        "Smiling": (has["Smiling"], 0.5),
        "grey and young": (has["Gray_Hair"][young], 0.06),
        "grey and old": (has["Gray_Hair"][~young], 0.34),
        "black and young": (has["Black_Hair"][young], 0.36),
        "brown and young": (has["Brown_Hair"][young], 0.30),
        "bald young men": (has["Bald"][male & young], 0.12),
        "bald old men": (has["Bald"][male & ~young], 0.24),
        "bald women": (has["Bald"][~male], 0.07),
        "hats": (has["Wearing_Hat"][~has["Bald"]], 0.16),
        "waves": (has["Wavy_Hair"][~has["Bald"]], 0.4),
        "mustaches": (has["Mustache"][male], 0.25),
        "glasses of the young": (has["Eyeglasses"][young], 0.22),
        "glasses of the old": (has["Eyeglasses"][~young], 0.34),
    }
    for name, (values, share) in shares.items():
        assert values.mean() == pytest.approx(share, abs=0.025), name
    assert not has["Mustache"][~male].any()


def test_gaussians_are_drawn_around_their_centres_and_no_point_is_in_both_splits():
    data = D.load(DataSpec(name="gaussians", limit=4000))
    line = [0.1, 0.3, 0.5, 0.7, 0.9]
    centres = [(a, b) for a in line for b in line]
    assert np.allclose(gaussians.centres(), centres) and np.allclose(data.modes.centres, centres)
    assert data.modes.std == 0.01
    for split in (data.train, data.test):
        away = split.x - torch.tensor(centres)[torch.from_numpy(split.labels)]
        assert float(away.std()) == pytest.approx(0.01, rel=0.03) and float(away.mean()) == pytest.approx(0, abs=5e-4)
        assert np.bincount(split.labels, minlength=25).min() > 0.7 * len(split) / 25
    assert not set(rows_of(data.train)) & set(rows_of(data.test)) and len(data.test) == 10_000


def test_heartbeats_have_their_share_of_abnormal_ones_in_equal_parts():
    x, kinds = beats.draw(20_000, 2, 0.3)
    counts = np.bincount(kinds, minlength=6) / 20_000
    assert counts[0] == pytest.approx(0.7, abs=0.015) and counts[1:] == pytest.approx([0.06] * 5, abs=0.008)
    assert not beats.draw(50, 2)[1].any()
    assert not np.array_equal(x[:50], beats.draw(20_000, 3, 0.3)[0][:50])
    t = np.linspace(0, 1, 140)
    mean = {name: x[kinds == k].mean(0) for k, name in enumerate(beats.KINDS)}

    def wave(name, low, high):
        return mean[name][(t > low) & (t < high)]

    assert mean["flat"].max() / mean["normal"].max() == pytest.approx(0.4, abs=0.05)
    assert (wave("raised ST segment", 0.5, 0.58) - wave("normal", 0.5, 0.58)).mean() == pytest.approx(0.2, abs=0.02)
    assert wave("inverted T wave", 0.66, 0.7).min() < -0.15 < 0.2 < wave("normal", 0.66, 0.7).max()
    assert np.abs(wave("no P wave", 0.2, 0.24)).max() < 0.01 < wave("normal", 0.2, 0.24).min()


# --- images ---------------------------------------------------------------------------------------------------------


def test_grey_size_and_colour_are_those_of_the_spec():
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (5, 3, 10, 10), np.uint8)
    for spec in (DataSpec(name="a", grey=True), DataSpec(name="b"), DataSpec(name="c", grey=True, size=8)):
        found = transforms.shaped(x, spec, "train", chunk=2)
        assert found.shape == (5, 1 if spec.grey else 3, spec.size or 10, spec.size or 10)
        if not spec.grey:
            assert torch.equal(found, torch.from_numpy(x))
        elif not spec.size:
            grey = 0.299 * x[:, 0].astype(float) + 0.587 * x[:, 1] + 0.114 * x[:, 2]
            assert np.abs(found[:, 0].numpy() - grey).max() <= 0.51
        else:
            again = transforms.resize(transforms.to_grey(torch.from_numpy(x)), 8)
            assert torch.equal(found, again)
    batch = base.Images(torch.from_numpy(x), np.arange(5)).batch(torch.tensor([4, 1]))
    np.testing.assert_allclose(batch.x, x[[4, 1]] / np.float32(255), rtol=1e-6)
    assert batch.y.tolist() == [4, 1] and batch.x.max() <= 1


def test_shrinking_weighs_neighbours_by_their_distance():
    """Each axis by itself: weights 1 − |d| / s of the pixels within s, where s is the factor of shrinking."""
    x = np.random.default_rng(0).integers(0, 256, (1, 1, 20, 20), np.uint8)
    scale, W = 20 / 8, np.zeros((8, 20))
    for i in range(8):
        for j in range(20):
            W[i, j] = max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * scale) / scale)
    W /= W.sum(1, keepdims=True)
    found = transforms.resize(torch.from_numpy(x), 8)[0, 0].numpy()
    assert np.abs(found - W @ x[0, 0] @ W.T).max() < 0.6


def test_a_picture_is_cropped_to_its_centre_before_it_is_resized():
    random = np.random.default_rng(0)
    raw = random.integers(0, 256, (30, 50, 3), np.uint8)
    found = fit(Image.fromarray(raw), 3, 30, 30)
    np.testing.assert_array_equal(found, raw[:, 10:40].transpose(2, 0, 1))
    tall = fit(Image.fromarray(raw.transpose(1, 0, 2)), 3, 30, 30)
    np.testing.assert_array_equal(tall, raw.transpose(1, 0, 2)[10:40].transpose(2, 0, 1))
    wide = fit(Image.fromarray(raw), 3, 10, 50)
    np.testing.assert_array_equal(wide, raw[10:20].transpose(2, 0, 1))


def test_pictures_are_held_out_by_a_hash_of_their_names_alone(tmp_path):
    for k in range(25):
        Image.new("RGB", (9, 9), (10 * k, 0, 0)).save(tmp_path / f"{k}.png")
    data = pictures.from_path(tmp_path, DataSpec(name="images", path=str(tmp_path), size=8))
    order = sorted(range(25), key=lambda k: hashlib.sha256(f"{k}.png".encode()).digest())

    def red(split):
        return [int(v) // 10 for v in split.pixels[:, 0, 0, 0]]

    assert red(data.test) == order[:2] and red(data.train) == order[2:]  # a tenth of 25, to the nearest even number
    few = pictures.from_path(tmp_path, DataSpec(name="images", path=str(tmp_path), size=8, limit=4))
    assert red(few.test) == order[:2] and red(few.train) == order[2:6]


def test_damaged_pictures_shift_neither_labels_nor_attributes_nor_the_split(tmp_path):
    names = [f"{'ab'[k % 2]}/{k}.png" for k in range(30)]
    for k, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if k % 5 == 3:
            (tmp_path / name).write_bytes(b"no picture")
        else:
            Image.new("RGB", (9, 9), (8 * k, 0, 0)).save(tmp_path / name)
    (tmp_path / "table.csv").write_text(
        "file,odd,third\n" + "".join(f"{n},{k % 2},{int(k % 3 == 0)}\n" for k, n in enumerate(names))
    )
    data = pictures.from_path(tmp_path, DataSpec(name="images", path=str(tmp_path), size=8))
    order = sorted(range(30), key=lambda k: hashlib.sha256(names[k].encode()).digest())
    held = [k for k in order[:3] if k % 5 != 3]
    learnt = [k for k in order if k % 5 != 3 and k not in held]
    for split, ids in ((data.test, held), (data.train, learnt)):
        assert [round(int(v) / 8) for v in split.pixels[:, 0, 0, 0]] == ids
        assert split.labels.tolist() == [k % 2 for k in ids]
        assert split.attributes.tolist() == [[k % 2, int(k % 3 == 0)] for k in ids]


def test_uploaded_pictures_keep_their_order_labels_and_names(tmp_path):
    from io import BytesIO

    def png(red: int) -> bytes:
        out = BytesIO()
        Image.new("RGB", (600, 300), (red, 0, 0)).save(out, "PNG")
        return out.getvalue()

    names = ["b/one.png", "a/two.png", "b/three.png", "a/one.png"]
    report = uploads.ingest([(name, png(20 * k)) for k, name in enumerate(names)], tmp_path / "mine")
    assert report.taken == 4 and report.classes == ("a", "b")
    for k, name in enumerate(names):
        with Image.open(tmp_path / "mine" / name) as image:
            assert image.getpixel((0, 0)) == (20 * k, 0, 0) and image.size == (512, 256)


# --- tables ---------------------------------------------------------------------------------------------------------


def test_a_table_is_split_by_a_shuffle_and_scaled_by_its_training_lines(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 2)) * [1, 20] + [3, -7]
    words = ["xyz"[k % 3] for k in range(40)]
    path = tmp_path / "a.csv"
    path.write_text("p,q,what\n" + "".join(f"{a!r},{b!r},{w}\n" for (a, b), w in zip(x.tolist(), words, strict=True)))
    data = table.load(str(path), "what")
    assert (len(data.train), len(data.test), data.classes) == (30, 10, ("x", "y", "z"))
    order = np.random.default_rng(0).permutation(40)
    held, learnt = np.sort(order[:10]), np.sort(order[10:])
    mean, std = x[learnt].mean(0), x[learnt].std(0)
    for split, ids in ((data.train, learnt), (data.test, held)):
        np.testing.assert_allclose(split.x, 0.5 + (x[ids] - mean) / (8 * std), atol=1e-5)
        assert split.labels.tolist() == [k % 3 for k in ids]


def test_a_column_that_hardly_varies_is_not_blown_up():
    x = np.column_stack([np.linspace(0, 10, 30), np.linspace(0, 20, 30), np.linspace(0, 1e-6, 30)])
    deviations = x.std(0)
    least = 0.01 * sorted(deviations)[1]
    found, other = table.scaled(x, x + 1)
    for j, deviation in enumerate(deviations):
        expected = 0.5 + (x[:, j] - x[:, j].mean()) / (8 * max(deviation, least))
        np.testing.assert_allclose(found[:, j], expected, atol=1e-5)
        np.testing.assert_allclose(other[:, j], expected + 1 / (8 * max(deviation, least)), rtol=1e-4)


# --- attributes -----------------------------------------------------------------------------------------------------

NAMES = (
    "Male",
    "Mustache",
    "Bald",
    "Wavy_Hair",
    "Straight_Hair",
    "Bangs",
    "Receding_Hairline",
    "Wearing_Hat",
    "Smiling",
)
HAIR = attributes.HAIR


EXCLUDED = {
    frozenset(pair)
    for pair in (
        ("Bald", "Wavy_Hair"),
        ("Bald", "Straight_Hair"),
        ("Bald", "Bangs"),
        ("Bald", "Receding_Hairline"),
        ("Bald", "Wearing_Hat"),
        ("Bangs", "Receding_Hairline"),
        ("Bangs", "Wearing_Hat"),
        ("Receding_Hairline", "Wearing_Hat"),
        ("Wavy_Hair", "Straight_Hair"),
    )
}


def naive_switch(on: set[str], name: str, value: bool, always_hair: bool) -> set[str]:
    """What is present afterwards, rule by rule."""
    after = on | {name} if value else on - {name}
    if name in HAIR and value:
        after = {other for other in after if other not in HAIR or other == name}
    if name in HAIR and not value and always_hair and not after & set(HAIR):
        after = after | {"Black_Hair" if name == "Brown_Hair" else "Brown_Hair"}
    if value:
        after = {other for other in after if frozenset((other, name)) not in EXCLUDED}
        if name == "Mustache":
            after = after | {"Male"}
    elif name == "Male":
        after = after - {"Mustache"}
    return after


@pytest.mark.parametrize("always_hair", [False, True])
def test_a_switch_changes_what_its_rules_say_and_nothing_else(always_hair):
    names = (*NAMES, *HAIR)
    random = np.random.default_rng(0)
    seen = 0
    for bits in random.integers(0, 2, (3000, len(names))):
        if not attributes.possible(bits, names):
            continue
        on = {name for name, bit in zip(names, bits, strict=True) if bit}
        if always_hair and not on & set(HAIR):
            continue
        seen += 1
        for name, value in itertools.product(names, (True, False)):
            after = attributes.switched(bits, names, name, value, always_hair)
            expected = naive_switch(on, name, value, always_hair) if (name in on) != value else None
            if expected is not None:
                assert {n for n, bit in zip(names, after, strict=True) if bit} == expected, (on, name, value)
                assert attributes.possible(after, names)
        if seen == 60:
            break
    assert seen > 15
    with pytest.raises(DataError, match="no attribute"):
        attributes.switched(np.zeros(2), ("a", "b"), "c", True)


def test_what_can_be_present_together_is_told_pair_by_pair():
    names = (*NAMES, *HAIR)
    for a, b in itertools.combinations(names, 2):
        bits = np.array([float(name in (a, b)) for name in names])
        clash = frozenset((a, b)) in EXCLUDED or (a in HAIR and b in HAIR)
        alone = "Mustache" in (a, b) and "Male" not in (a, b)
        assert bool(attributes.possible(bits, names)) == (not clash and not alone), (a, b)


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_arrays_of_different_questions_have_different_names(tmp_path, monkeypatch):
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path))
    monkeypatch.setattr(memmap, "BIG", 10)
    x = np.random.default_rng(0).integers(0, 256, (4, 1, 12, 12), np.uint8)
    specs = [DataSpec(name="a", size=8), DataSpec(name="a", size=9), DataSpec(name="a", size=8)]
    found = [
        transforms.shaped(pixels, spec, name)
        for pixels, spec, name in zip((x, x, 255 - x), specs, ("s", "s", "t"), strict=True)
    ]
    for pixels, spec, kept in zip((x, x, 255 - x), specs, found, strict=True):
        assert torch.equal(kept, transforms.resize(torch.from_numpy(pixels), spec.size or 12))
    assert len(list(Path(tmp_path / "arrays").glob("*.npy"))) == 3
