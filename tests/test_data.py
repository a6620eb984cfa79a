"""Data sets: a spec gets what it asks for, from the place that is named, or a sentence says why not."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import logging
import os
import pickle
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as tv
from hypothesis import given, settings
from hypothesis import strategies as st

import aecore.data as D
from aecore.data import DataError, DataSpec, base, places
from aecore.data.files import download, idx, memmap, transforms
from aecore.data.sets import digits, digits8, pack_digits, sprites
from aecore.data.sets import torchvision_sets as sets
from aecore.data.sets.heart import LOWER, UPPER

SYSTEM = dict(places.SYSTEM_PLACES)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """No test sees data of this computer, or what another test has loaded."""
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AECORE_DATA", raising=False)
    monkeypatch.delenv("AECORE_ISOLATED", raising=False)
    monkeypatch.setattr(places, "SYSTEM_PLACES", {})
    D._load.cache_clear()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


# --- bundled digits --------------------------------------------------------


def test_bundled_digits_are_balanced_small_and_real():
    data = D.load("digits")
    assert data.shape == (1, 28, 28) and data.kind == "image"
    assert np.bincount(data.train.labels).tolist() == [1000] * 10
    assert np.bincount(data.test.labels).tolist() == [200] * 10
    assert digits.FILE.stat().st_size < 3_000_000
    batch = data.train.batch(torch.arange(10_000))
    assert batch.x.dtype == torch.float32 and batch.y.dtype == torch.int64
    assert batch.x.min() == 0 and batch.x.max() == 1
    assert 0.12 < batch.x.mean() < 0.14  # MNIST's mean is 0.1307
    # Ones have the least ink and zeros the most, in both parts, or labels and images have come apart.
    for split in (data.train, data.test):
        ink = [split.batch(torch.from_numpy(np.flatnonzero(split.labels == c))).x.mean() for c in range(10)]
        assert np.argmin(ink) == 1 and np.argmax(ink) == 0
    assert "LeCun" in data.attribution and "CC BY-SA 3.0" in data.attribution
    assert "CC BY-SA 3.0" in digits.FILE.with_name("digits.LICENSE.txt").read_text()


def test_no_digit_is_both_trained_on_and_held_out():
    data = D.load("digits")
    rows = {split.pixels[i].numpy().tobytes() for split in (data.train,) for i in range(len(split))}
    assert not any(data.test.pixels[i].numpy().tobytes() in rows for i in range(len(data.test)))


def test_packing_chooses_balanced_images_and_repeats_itself(tmp_path, monkeypatch):
    parts = write_idx(tmp_path / "MNIST" / "raw", n=400)
    monkeypatch.setattr(idx, "MNIST", {})
    monkeypatch.setattr(pack_digits, "TRAIN_PER_CLASS", 20)
    monkeypatch.setattr(pack_digits, "TEST_PER_CLASS", 5)
    for name in ("a.npz", "b.npz"):
        pack_digits.pack(tmp_path, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as file:
        for part, per_class, (x, y) in (("train", 20, parts[0]), ("test", 5, parts[1])):
            at = file[f"{part}_index"]
            assert np.bincount(file[f"{part}_labels"]).tolist() == [per_class] * 10
            assert len(np.unique(at)) == len(at)
            np.testing.assert_array_equal(file[f"{part}_images"], x[at])
            np.testing.assert_array_equal(file[f"{part}_labels"], y[at])


# --- specs -----------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 13, 28, 64, 128])
def test_any_size_comes_back(size):
    data = D.load(DataSpec(name="digits8", size=size, limit=10))
    assert data.shape == (1, size, size)
    assert data.train.batch(torch.tensor([0, 9])).x.shape == (2, 1, size, size)
    assert data.test.batch(torch.tensor([0])).x.shape == (1, 1, size, size)


def test_a_limit_is_a_seeded_choice_and_smaller_ones_are_nested():
    few, more = (D.load(DataSpec(name="digits", limit=n)).train for n in (50, 200))
    everything = D.load("digits").train
    rows = {p.numpy().tobytes(): int(y) for p, y in zip(everything.pixels, everything.labels, strict=True)}
    inside = {p.numpy().tobytes() for p in more.pixels}
    assert len(few) == 50 and len(more) == 200
    for pixels, label in zip(few.pixels, few.labels, strict=True):
        assert rows[pixels.numpy().tobytes()] == label
        assert pixels.numpy().tobytes() in inside
    assert len(np.unique(few.labels)) > 5  # a choice, not the first ones of a sorted set
    assert len(D.load(DataSpec(name="digits", limit=50)).test) == 2000
    assert len(D.load(DataSpec(name="digits8", limit=10**6)).train) == 1437


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(2, 400), st.integers(2, 400))
def test_choices_are_nested_for_every_limit(n, a, b):
    small, large = (base.choose(n, limit) for limit in sorted((a, b)))
    assert set(small) <= set(large) <= set(range(n))
    assert len(small) == min(n, a, b) and (np.diff(small) > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 70), st.integers(8, 70), st.integers(8, 128), st.sampled_from([1, 3]), st.integers(0, 255))
def test_resizing_keeps_a_flat_image_flat_and_makes_it_square(h, w, size, channels, value):
    flat = torch.full((2, channels, h, w), value, dtype=torch.uint8)
    out = transforms.resize(flat, size)
    assert out.shape == (2, channels, size, size) and (out == value).all()


def test_shrinking_averages_instead_of_dropping_pixels():
    board = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    board[..., ::2, ::2] = board[..., 1::2, 1::2] = 255
    small = transforms.resize(board, 16)
    assert (small.int() - 127).abs().max() <= 2  # dropping pixels would give 0 or 255


def test_an_oblong_is_cropped_at_its_centre():
    wide = torch.zeros(1, 1, 8, 20, dtype=torch.uint8)
    wide[..., 6:14] = 200
    assert (transforms.resize(wide, 8) == 200).all()
    assert (transforms.resize(wide.transpose(2, 3), 8) == 200).all()


def test_grey_is_pillows():
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint8)
    pillow = [Image.new("RGB", (1, 1), tuple(map(int, c))).convert("L").getpixel((0, 0)) for c in colours]
    ours = transforms.to_grey(torch.from_numpy(colours)[:, :, None, None]).flatten().tolist()
    assert max(abs(a - b) for a, b in zip(ours, pillow, strict=True)) <= 1


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match=r"nothing.*digits, digits8, sprites, faces, gaussians, celeba, mnist.*images"):
        D.load("nothing")
    with pytest.raises(DataError, match="path"):
        D.load("images")


def test_the_same_spec_gives_the_same_object_even_to_many_at_once(monkeypatch):
    calls = []
    load = digits8.load
    monkeypatch.setattr(digits8, "load", lambda *a: calls.append(1) or load(*a))
    results = []
    threads = [threading.Thread(target=lambda: results.append(D.load("digits8"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and len(set(map(id, results))) == 1
    assert D.load(DataSpec(name="digits8", size=9)) is not results[0]


def test_a_failed_load_is_tried_again_and_keeps_nobody_waiting(monkeypatch):
    load = digits8.load

    def fails(*_):
        monkeypatch.setattr(digits8, "load", load)
        raise DataError("not this time")

    monkeypatch.setattr(digits8, "load", fails)
    with pytest.raises(DataError, match="not this time"):
        D.load("digits8")
    assert len(D.load("digits8").train) == 1437


def test_what_is_kept_is_bounded_by_number_and_by_bytes():
    limits = range(2, 6)
    data = {limit: D.load(DataSpec(name="digits8", limit=limit)) for limit in limits}
    few = D.Loaded(number=2, nbytes=2**30)
    few[2], few[3] = data[2], data[3]
    assert few[2] is data[2]  # asked for, so that 3 is now the one unused longest
    few[4] = data[4]
    assert set(few) == {2, 4}
    two = D.Loaded(number=100, nbytes=64 * (3 + 360) + 64 * (4 + 360))  # bytes of the training and the test images
    for limit in limits[:3]:
        two[limit] = data[limit]
    assert set(two) == {3, 4}
    tiny = D.Loaded(number=100, nbytes=1)
    for limit in limits:
        tiny[limit] = data[limit]
        assert set(tiny) == {limit}  # a data set beyond the limit is kept, alone


def test_the_store_of_load_is_bounded():
    for limit in range(2, 30):
        D.load(DataSpec(name="digits8", limit=limit))
    assert len(D._load.cache) == D._load.cache.number == 16


def test_large_results_live_in_a_file_that_is_filled_once(tmp_path, monkeypatch):
    plain = D.load(DataSpec(name="digits8", size=16)).train.pixels.clone()
    monkeypatch.setattr(memmap, "BIG", 1000)
    D._load.cache_clear()
    mapped = D.load(DataSpec(name="digits8", size=16)).train
    assert torch.equal(mapped.pixels, plain)
    files = sorted((tmp_path / "cache" / "arrays").glob("*.npy"))
    assert len(files) == 2 and not list(files[0].parent.glob("*.part"))
    before = [f.stat().st_mtime_ns for f in files]
    D._load.cache_clear()
    D.load(DataSpec(name="digits8", size=16))
    assert [f.stat().st_mtime_ns for f in files] == before
    for size in range(17, 22):
        D.load(DataSpec(name="digits8", size=size))
    assert len(list(files[0].parent.glob("*.npy"))) <= memmap.KEEP + 1


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(memmap, "BIG", 1000)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises(DataError, match=r"No space left on device.*AECORE_CACHE"):
        D.load(DataSpec(name="digits8", size=16))
    assert not list((tmp_path / "cache" / "arrays").iterdir())


def test_names_say_what_load_gives():
    for name, info in D.names().items():
        assert info.title and info.place.endswith(".") and info.attribution
        if info.here:
            data = D.load(name)
            assert data.title == info.title and data.classes == info.classes
            assert data.kind == info.kind
            assert data.shape == ((info.channels, info.size, info.size) if data.kind == "image" else (info.size,))
            assert (len(data.train), len(data.test)) == (info.train, info.test)
            assert data.attribution == info.attribution and data.source
    assert [n for n, i in D.names().items() if i.here] == [
        "digits",
        "digits8",
        "sprites",
        "faces",
        "gaussians",
        "ratings",
        "ratings-items",
    ]


def test_a_data_set_is_one_object_with_info_and_load_and_one_row(monkeypatch):
    class Dots:
        def info(self):
            return D.Info("Dots", 2, 1, 3, 3, None, here=True, place="Here.", has_attributes=True)

        def load(self, spec, download=False, progress=None):
            split = base.TensorSplit(np.zeros((3, 2), np.float32))
            return D.Data(spec, "Dots", (2,), split, split, "Here.")

    monkeypatch.setitem(D.SETS, "dots", Dots())
    assert D.info("dots").title == D.names()["dots"].title == D.load("dots").title == "Dots"
    assert D.has_attributes(DataSpec(name="dots")) and not D.has_attributes(DataSpec(name="unknown"))
    for data_set in D.SETS.values():
        assert list(inspect.signature(data_set.load).parameters) == ["spec", "download", "progress"]


def test_every_split_says_what_it_knows():
    known = {name: set() for name in ("digits", "sprites", "faces", "gaussians", "ratings")}
    for name, members in known.items():
        split = D.load(DataSpec(name=name, limit=10)).train
        members |= {
            member
            for member in ("labels", "attributes", "nuisance", "factors", "redrawn")
            if getattr(split, member) is not None
        }
    assert known == {
        "digits": {"labels"},
        "sprites": {"labels", "factors"},
        "faces": {"labels", "attributes", "nuisance", "redrawn"},
        "gaussians": {"labels"},
        "ratings": set(),
    }
    modes = D.load("gaussians").modes
    assert modes is not None and modes.centres.shape == (25, 2) and D.load("digits").modes is None


def test_a_changed_file_of_ratings_is_read_again(tmp_path):
    file = tmp_path / "ratings.csv"
    spec = DataSpec(name="ratings", path=str(file))
    for rows in (3, 4):
        lines = [f"{user},{item},{1 + (user + item) % 5}" for user in range(rows) for item in range(2)]
        file.write_text("\n".join(["user,item,rating", *lines]))
        data = D.load(spec)
        assert len(data.train) + len(data.test) == rows
    assert D.load_ratings(spec).matrix.nnz == 8
    with pytest.raises(DataError, match="holds no ratings"):
        D.load_ratings(DataSpec(name="digits"))


# --- MNIST and its relatives -----------------------------------------------


def write_idx(folder: Path, n: int = 60, side: int = 28, gz: bool = False, seed: int = 0):
    """Stand-in IDX files; returns ((x, y), (x, y))."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, parts = np.random.default_rng(seed), []
    for images, labels in idx.FILES.values():
        x, y = rng.integers(0, 256, (n, side, side), np.uint8), (np.arange(n) % 10).astype(np.uint8)
        parts.append((x, y))
        for name, array in ((images, x), (labels, y)):
            head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            raw = head + array.tobytes()
            (folder / (name + ".gz" if gz else name)).write_bytes(gzip.compress(raw, mtime=0) if gz else raw)
        n //= 2
    return parts


def md5s(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.md5(f.read_bytes()).hexdigest() for f in folder.iterdir()}


@pytest.fixture
def lax(monkeypatch):
    """Stand-in files have other sums than the official ones."""
    for table in (idx.MNIST, idx.FASHION):
        for name in list(table):
            monkeypatch.delitem(table, name)
    for source in (tv.MNIST, tv.FashionMNIST, tv.KMNIST):
        monkeypatch.setattr(source, "resources", [])


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_idx_sets_are_read_as_they_were_written(tmp_path, monkeypatch, lax, name, folder, gz):
    (x, y), (x_test, y_test) = write_idx(tmp_path / "root" / folder / "raw", gz=gz)
    monkeypatch.setenv("AECORE_DATA", str(tmp_path / "root"))
    data = D.load(name)
    np.testing.assert_array_equal(data.train.pixels[:, 0], x)
    np.testing.assert_array_equal(data.test.pixels[:, 0], x_test)
    assert data.train.labels.tolist() == y.tolist() and data.test.labels.tolist() == y_test.tolist()
    assert data.classes is not None and len(data.classes) == 10
    assert "AECORE_DATA" in data.source and str(tmp_path / "root") in data.source


def test_places_are_asked_in_order_and_named(tmp_path, monkeypatch, lax):
    roots = {
        "AECORE_DATA": tmp_path / "named",
        "the app's cache": places.cache_dir() / "data",
        "./data": tmp_path / "data",
    }
    monkeypatch.setenv("AECORE_DATA", str(roots["AECORE_DATA"]))
    for seed, (words, root) in reversed(list(enumerate(roots.items()))):
        parts = write_idx(root / "MNIST" / "raw", seed=seed)
        D._load.cache_clear()
        data = D.load("mnist")
        assert words in data.source and words in D.names()["mnist"].place
        np.testing.assert_array_equal(data.train.pixels[:, 0], parts[0][0])


def test_places_of_other_programs_are_asked_last_and_isolation_hides_them(tmp_path, monkeypatch, lax):
    assert [str(place.folder) for place in SYSTEM["FashionMNIST/raw"]] == [
        "/usr/share/datasets/fashion-mnist",
        "~/.keras/datasets/fashion-mnist",
    ]
    for name, seed in (("debian", 0), ("home/keras", 1)):
        write_idx(tmp_path / name, gz=True, seed=seed)
    system = (places.Place(tmp_path / "debian", "Debian's package"), places.Place(Path("~/keras"), "Keras"))
    monkeypatch.setattr(places, "SYSTEM_PLACES", {"FashionMNIST/raw": system})
    assert D.info("fashion").place == "From Debian's package."
    assert "Debian's package" in sets.FASHION.load(DataSpec(name="fashion")).source
    (tmp_path / "debian" / "train-images-idx3-ubyte.gz").unlink()
    assert D.info("fashion").place == "From Keras."
    assert f"Keras ({tmp_path / 'home' / 'keras'})" in sets.FASHION.load(DataSpec(name="fashion")).source
    write_idx(tmp_path / "data" / "FashionMNIST" / "raw")
    assert D.info("fashion").place == "From the folder ./data."
    monkeypatch.setenv("AECORE_ISOLATED", "1")
    assert not D.info("fashion").here
    with pytest.raises(DataError, match="not on this computer"):
        D.load("fashion")


def test_a_missing_set_names_the_remedy():
    for name in ("mnist", "kmnist", "cifar10", "svhn"):
        info = D.names()[name]
        assert not info.here and info.download_mb > 0 and "download" in info.place
        with pytest.raises(DataError, match="AECORE_DATA"):
            D.load(name)


def test_official_sums_are_demanded(tmp_path, monkeypatch):
    """Well-formed files that are not MNIST must not pass as MNIST."""
    monkeypatch.setenv("AECORE_DATA", str(tmp_path / "root"))
    for name, folder in (("mnist", "MNIST"), ("fashion", "FashionMNIST")):
        for gz in (False, True):
            raw = tmp_path / "root" / folder / "raw"
            for old in raw.glob("*"):
                old.unlink()
            write_idx(raw, gz=gz)
            with pytest.raises(DataError, match=r"damaged.*download"):
                D.load(name)


@pytest.mark.parametrize("harm", ["cut", "longer", "flipped", "header", "gzip", "empty", "fewer labels"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, monkeypatch, harm):
    raw = tmp_path / "root" / "MNIST" / "raw"
    write_idx(raw, gz=harm == "gzip")
    sums = md5s(raw)
    name = "train-labels-idx1-ubyte" + (".gz" if harm == "gzip" else "")
    good = (raw / name).read_bytes()
    bad = {
        "cut": good[:-1],
        "longer": good + b"x",
        "flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "header": b"\x00\x00\x0d\x01" + good[4:],
        "gzip": good[:-9] + b"garbage!!",
        "empty": b"",
        "fewer labels": bytes((0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3)),
    }[harm]
    (raw / name).write_bytes(bad)
    monkeypatch.setattr(idx, "MNIST", sums)
    with pytest.raises(DataError, match=r"train-labels.*(Delete|delete)"):
        idx.read(raw, sums if harm == "flipped" else {})


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.sampled_from([1, 3]))
def test_no_bytes_make_the_idx_reader_fall(raw, ndim):
    array = idx.parse(bytes((0, 0, 8, ndim)) + raw, ndim)
    assert array is None or array.size + 4 * ndim == len(raw)


def damage(folder: Path, kind: str) -> str:
    """Damage a copy of MNIST. Returns a word of the sentence that must say so."""
    file = folder / "t10k-images-idx3-ubyte"
    if kind == "incomplete":
        file.unlink()
        return "is missing in"
    raw = file.read_bytes()
    file.write_bytes(b"no" if kind == "cut" else raw[:-1] + bytes([raw[-1] ^ 1]))
    return "is damaged. Delete it"


@pytest.mark.parametrize("kind", ["cut", "wrong sum", "incomplete"])
def test_a_damaged_copy_is_passed_over_with_a_warning(tmp_path, monkeypatch, lax, caplog, kind):
    monkeypatch.setenv("AECORE_DATA", str(tmp_path / "root"))
    named = tmp_path / "root" / "MNIST" / "raw"
    write_idx(named)
    if kind == "wrong sum":
        for file, md5 in md5s(named).items():
            monkeypatch.setitem(idx.MNIST, file, md5)
    words = damage(named, kind)
    with pytest.raises(DataError) as alone:
        D.load("mnist")
    assert not caplog.messages
    for text in ("MNIST cannot be loaded", "the folder named by AECORE_DATA", "t10k-images", words):
        assert text in str(alone.value)
    parts = write_idx(tmp_path / "data" / "MNIST" / "raw")  # the same files, with the same sums
    data = D.load("mnist")
    np.testing.assert_array_equal(data.test.pixels[:, 0], parts[1][0])
    assert caplog.messages == [data.damaged] and data.source.endswith(data.damaged)
    for text in ("MNIST was read from the folder ./data instead", "The copy in the folder named by AECORE_DATA", words):
        assert text in data.damaged
    write_idx(named)
    D._load.cache_clear()
    data = D.load("mnist")
    assert data.damaged == "" and "AECORE_DATA" in data.source and len(caplog.messages) == 1


def test_every_damaged_copy_is_named_where_no_other_is_left(tmp_path, monkeypatch, lax):
    monkeypatch.setenv("AECORE_DATA", str(tmp_path / "root"))
    for root in ("root", "cache/data", "data"):
        write_idx(tmp_path / root / "MNIST" / "raw")
        damage(tmp_path / root / "MNIST" / "raw", "cut")
    with pytest.raises(DataError) as error:
        D.load("mnist")
    for name in ("the folder named by AECORE_DATA", "the app's cache", "the folder ./data"):
        assert f"The copy in {name} cannot be used" in str(error.value)


def test_damaged_ratings_and_photographs_are_passed_over_with_a_warning(tmp_path, monkeypatch, caplog):
    from PIL import Image

    monkeypatch.setenv("AECORE_DATA", str(tmp_path / "root"))
    for root in (tmp_path / "root", tmp_path / "data"):
        (root / "celeba").mkdir(parents=True)
        for k in range(4):
            Image.new("RGB", (20, 20), (60 * k, 0, 0)).save(root / "celeba" / f"{k}.png")
        rows = "".join(f"{k}.png {2 * (k % 2) - 1}\n" for k in range(4))
        (root / "celeba" / "list_attr_celeba.txt").write_text(f"4\nSmiling\n{rows}")
        with zipfile.ZipFile(root / "ml-100k.zip", "w") as archive:
            archive.writestr("ml-100k/u.data", "1\t2\t3\t0\n1\t5\t4\t0\n2\t2\t1\t0\n7\t5\t1\t0\n")
    assert (
        D.load("celeba").damaged == D.load("ml-100k").damaged == D.load_ratings(DataSpec(name="ml-100k")).damaged == ""
    )
    (tmp_path / "root" / "celeba" / "list_attr_celeba.txt").write_text("5\nSmiling\n")
    archive = tmp_path / "root" / "ml-100k.zip"
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace(b"1\t2\t3", b"1\t2\t5"))  # its check sum is wrong now
    os.utime(archive, (1, 1))
    D._load.cache_clear()
    for data in (D.load("celeba"), D.load("ml-100k-items")):
        assert "was read from the folder ./data instead. The copy in the folder named by AECORE_DATA" in data.damaged
        assert data.damaged in data.source and data.damaged in caplog.messages
    assert "Copy it again" in D.load("celeba").damaged and "ml-100k.zip could not be read" in D.load("ml-100k").damaged
    shutil.rmtree(tmp_path / "data")
    D._load.cache_clear()
    for name in ("celeba", "ml-100k"):
        with pytest.raises(DataError, match=r"cannot be loaded\. The copy in the folder named by AECORE_DATA"):
            D.load(name)


def test_a_warning_of_damage_is_a_plain_sentence_on_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own; the command line has none

    def read(folder: Path) -> str:
        if folder.name == "bad":
            raise DataError("It is cut. Delete it.")
        return folder.name

    both = [places.Place(Path("bad"), "the cache"), places.Place(Path("good"), "the folder ./data")]
    found = places.first_undamaged("MNIST", both, read)
    assert (found.value, found.place) == ("good", both[1])
    assert capsys.readouterr().err == (
        "MNIST was read from the folder ./data instead. The copy in the cache cannot be used: It is cut. Delete it.\n"
    )
    assert places.first_undamaged("MNIST", [], read) is None
    assert places.first_undamaged("MNIST", both[1:], read).damaged == "" == capsys.readouterr().err


# --- CIFAR-10 and SVHN -----------------------------------------------------


def test_cifar_keeps_colours_and_checks_sums_before_it_unpickles(tmp_path, monkeypatch):
    folder = tmp_path / "root" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng, sums, all_x = np.random.default_rng(0), {}, []
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        x = rng.integers(0, 256, (4, 3072), np.uint8)
        all_x.append(x.reshape(4, 3, 32, 32))
        (folder / name).write_bytes(pickle.dumps({"data": x, "labels": [1, 2, 3, 4]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(sets.THINGS)}))
    monkeypatch.setenv("AECORE_DATA", str(tmp_path / "root"))
    with pytest.raises(DataError, match=r"CIFAR-10.*damaged"):
        D.load("cifar10")
    sums = md5s(folder)
    monkeypatch.setattr(tv.CIFAR10, "train_list", [[n, s] for n, s in sorted(sums.items()) if "data_" in n])
    monkeypatch.setattr(tv.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(tv.CIFAR10, "meta", {**tv.CIFAR10.meta, "md5": sums["batches.meta"]})
    data = D.load("cifar10")
    np.testing.assert_array_equal(data.train.pixels, np.concatenate(all_x[:5]))
    np.testing.assert_array_equal(data.test.pixels, all_x[5])
    assert data.shape == (3, 32, 32) and data.train.labels.tolist() == [1, 2, 3, 4] * 5
    grey = D.load(DataSpec(name="cifar10", grey=True, size=16))
    assert grey.shape == (1, 16, 16)
    (folder / "data_batch_3").unlink()
    D._load.cache_clear()
    with pytest.raises(DataError, match="damaged"):
        D.load("cifar10")


def test_svhn_turns_its_tens_into_zeros(tmp_path, monkeypatch):
    root, expected = tmp_path / "root", {}
    root.mkdir()
    for i, (part, file) in enumerate(sets.SVHN_FILES.items()):
        x = np.random.default_rng(i).integers(0, 256, (32, 32, 3, 5), np.uint8)
        scipy.io.savemat(root / file, {"X": x, "y": np.array([[10], [1], [2], [3], [10]])})
        expected[part] = x.transpose(3, 2, 0, 1)
    monkeypatch.setenv("AECORE_DATA", str(root))
    with pytest.raises(DataError, match=r"SVHN.*damaged"):
        D.load("svhn")
    table = {p: [tv.SVHN.split_list[p][0], f, md5s(root)[f]] for p, f in sets.SVHN_FILES.items()}
    monkeypatch.setattr(tv.SVHN, "split_list", table)
    data = D.load("svhn")
    np.testing.assert_array_equal(data.train.pixels, expected["train"])
    np.testing.assert_array_equal(data.test.pixels, expected["test"])
    assert data.train.labels.tolist() == [0, 1, 2, 3, 0]


# --- downloads -------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch, lax):
    """file:// addresses stand for the official ones: the same code runs, and nothing leaves the computer."""
    folder = tmp_path / "server"
    write_idx(folder, gz=True)
    mirrors = [(tmp_path / "gone").as_uri() + "/", folder.as_uri() + "/"]
    monkeypatch.setattr(tv.MNIST, "mirrors", mirrors)
    monkeypatch.setattr(tv.MNIST, "resources", [(n, s) for n, s in sorted(md5s(folder).items())])
    return folder


def test_a_download_happens_only_when_asked_and_is_kept(server):
    with pytest.raises(DataError, match="Download it"):
        D.load("mnist")
    seen = []
    data = D.load("mnist", download=True, progress=lambda part, words: seen.append((part, words)))
    assert "download" in data.source and len(data.train) == 60
    parts = [part for part, _ in seen]
    assert parts == sorted(parts) and parts[-1] == 1 and all("MB" in words for _, words in seen)
    D._load.cache_clear()
    assert "the app's cache" in D.load("mnist").source
    assert D.names()["mnist"].here


def test_a_download_repairs_a_damaged_cache(server, monkeypatch):
    raw = places.cache_dir() / "data" / "MNIST" / "raw"
    write_idx(raw)
    (raw / "train-labels-idx1-ubyte").write_bytes(b"cut")
    with pytest.raises(DataError, match="damaged"):
        D.load("mnist")
    assert len(D.load("mnist", download=True).train) == 60


def test_a_file_that_is_not_the_official_one_is_not_kept(server):
    (server / "t10k-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"not the official one.*AECORE_DATA"):
        D.load("mnist", download=True)
    raw = places.cache_dir() / "data" / "MNIST" / "raw"
    assert not list(raw.glob("t10k-images*")) and not D.names()["mnist"].here


def test_no_internet_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"does not answer.*Check the internet"):
        download.fetch([(tmp_path / "nowhere").as_uri()], "0", tmp_path / "out" / "file")
    (tmp_path / "flat").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="AECORE_CACHE"):
        download.fetch([(tmp_path / "flat").as_uri()], "0", tmp_path / "flat" / "file")


# --- sprites ---------------------------------------------------------------


def naive_sprite(shape: int, scale: int, orientation: int, i: int, j: int) -> np.ndarray:
    """One sprite, pixel by pixel, with the heart as a polygon crossed by a ray: slow and obvious."""
    s, theta = np.linspace(0.5, 1, 6)[scale], np.linspace(0, 2 * np.pi, 40)[orientation]
    cx, cy = 16 + 32 * np.linspace(0, 1, 32)[i], 16 + 32 * np.linspace(0, 1, 32)[j]
    half = [*UPPER, *LOWER[::-1][1:]]
    polygon = half + [(-x, y) for x, y in half[::-1]]
    image = np.zeros((64, 64))
    for row in range(64):
        for column in range(64):
            dx, dy = column + 0.5 - cx, row + 0.5 - cy
            # Undo a counter-clockwise turn by theta on a screen whose y points down.
            u = (np.cos(theta) * dx - np.sin(theta) * dy) / s
            v = (np.sin(theta) * dx + np.cos(theta) * dy) / s
            if shape == 0:
                on = max(abs(u), abs(v)) <= 9.6
            elif shape == 1:
                on = (u / 12.76) ** 2 + (v / 7.22) ** 2 <= 1
            else:
                on = False
                for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
                    if (y0 > v) != (y1 > v) and u < x0 + (v - y0) * (x1 - x0) / (y1 - y0):
                        on = not on
            image[row, column] = on
    return image


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_sprites_equal_a_naive_drawing(shape):
    rng = np.random.default_rng(shape)
    factors = np.stack([np.full(5, shape), *(rng.integers(0, n, 5) for n in sprites.SIZES[1:])], 1)
    factors[0, 1:], factors[1, 1:] = (5, 0, 0, 31), (5, 5, 31, 0)  # corners, largest
    drawn = sprites.Canvas(64).render(torch.from_numpy(factors))[:, 0].numpy()
    for image, row in zip(drawn, factors, strict=True):
        np.testing.assert_array_equal(image, naive_sprite(*row))


def test_the_heart_leans_to_the_left_when_turned_counter_clockwise():
    upright, turned = sprites.Canvas(64).render(torch.tensor([[2, 5, 0, 15, 15], [2, 5, 5, 15, 15]]))[:, 0]
    assert upright.nonzero()[-1, 1] in (31, 32)  # the tip is below the centre ...
    assert turned.nonzero()[-1, 1] > 34  # ... and swings to the right


@settings(deadline=None)
@given(st.integers(0, sprites.N - 1))
def test_factors_and_indices_are_inverse_with_the_last_fastest(index):
    factors = sprites.to_factors(torch.tensor([index]))
    assert factors.tolist()[0] == [int(i) for i in np.unravel_index(index, sprites.SIZES)]
    assert sprites.to_index(factors).item() == index


def test_sprites_cover_the_whole_set_once():
    data = D.load("sprites")
    members = torch.cat([data.train.members, data.test.members])
    assert len(data.train) == 727_280 and len(data.test) == 10_000
    assert torch.equal(members.sort().values, torch.arange(737_280))
    assert data.factors == ("shape", "scale", "orientation", "x", "y")
    batch, index = data.test.batch(torch.arange(64)), torch.arange(64)
    assert batch.x.shape == (64, 1, 64, 64) and set(batch.x.unique().tolist()) == {0.0, 1.0}
    assert batch.y.tolist() == data.test.labels[:64].tolist() == data.test.factors(index)[:, 0].tolist()
    assert torch.equal(data.test.render(data.test.factors(index)), batch.x)
    assert all(data.train.factors(torch.arange(20_000)).amax(0) == torch.tensor(sprites.SIZES) - 1)


def sprites_of_size(size: int) -> torch.Tensor:
    return D.load(DataSpec(name="sprites", size=size, limit=30)).train.batch(torch.arange(30)).x


@pytest.mark.parametrize("size", [8, 28, 32, 48])
def test_small_sprites_are_averages_over_areas(size):
    full, small = (sprites_of_size(s)[:6] for s in (64, size))
    fine = full.repeat_interleave(size, 2).repeat_interleave(size, 3)
    expected = fine.view(6, 1, size, 64, size, 64).mean((3, 5))
    torch.testing.assert_close(small, expected, atol=1e-5, rtol=0)


def test_large_sprites_are_drawn_finer():
    coarse, fine = (sprites_of_size(s) for s in (64, 128))
    assert fine.shape == (30, 1, 128, 128) and set(fine.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(fine.mean((1, 2, 3)), coarse.mean((1, 2, 3)), atol=0.003, rtol=0)


def test_the_heart_is_two_chains_that_meet():
    for chain in (UPPER, LOWER):
        assert (np.diff([x for x, _ in chain]) > 0).all()
    assert UPPER[-1] == LOWER[-1] and UPPER[0][0] == LOWER[0][0] == 0
