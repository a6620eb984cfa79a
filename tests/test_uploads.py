"""The user's own pictures: good ones are kept, the rest gets a sentence, nothing crashes."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import aecore.data as D
from aecore.data import DataError, DataSpec
from aecore.data.files import archive, image, memmap, pictures


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path / "cache"))
    D._load.cache_clear()


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def coloured(colour="red", size=(40, 30), mode="RGB") -> Image.Image:
    return Image.new(mode, size, colour)


PNG = encoded(coloured())


def zipped(files: dict[str, bytes] | list[tuple[str, bytes]], method=zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, raw in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, raw)
    return out.getvalue()


def folder(root: Path, names, raw: bytes = PNG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    return root


def huge_png(side: int) -> bytes:
    """A PNG whose header promises side × side pixels and which holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def load(path: Path, **spec) -> D.Data:
    return D.load(DataSpec(name="images", path=str(path), **spec))


def is_sentence(words: str) -> bool:
    return words.endswith(".") and "Traceback" not in words and "Error" not in words and "\n" not in words


# --- a folder or a zip as data ----------------------------------------------------------


def test_a_folder_becomes_data(tmp_path):
    data = load(folder(tmp_path / "pets", [f"{i}.png" for i in range(30)]))
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.test)) == (27, 3)
    assert data.classes is None and data.train.labels is None and data.test.labels is None
    x = data.train.batch(torch.arange(27)).x
    assert torch.equal(x[:, 0], torch.ones(27, 32, 32)) and x[:, 1:].max() == 0
    assert "30 pictures" in data.source and "pets" in data.source
    grey = load(tmp_path / "pets", grey=True, size=8)
    assert grey.shape == (1, 8, 8) and grey.train.pixels.unique().tolist() == [76]  # 0.299 · 255


def test_one_level_of_folders_gives_labels_that_fit_the_pictures(tmp_path):
    colours = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
    for name, colour in colours.items():
        folder(tmp_path / "set", [f"{name}/{i}.png" for i in range(12)], encoded(coloured(colour)))
    (tmp_path / "set.zip").write_bytes(
        zipped({f"top/{p.relative_to(tmp_path / 'set')}": p.read_bytes() for p in (tmp_path / "set").rglob("*.png")})
    )
    for path in (tmp_path / "set", tmp_path / "set.zip"):
        data = load(path)
        assert data.classes == ("blue", "green", "red")
        assert len(data.train) + len(data.test) == 36
        for split in (data.train, data.test):
            channel = split.pixels.amax((2, 3)).argmax(1)  # blue has its light in the last channel
            assert torch.equal(2 - channel, torch.from_numpy(split.labels))


@pytest.mark.parametrize(
    "names",
    [["a/1.png", "a/2.png"], ["a/1.png", "b/2.png", "3.png"], ["a/x/1.png", "b/x/2.png"], ["1.png", "2.png"]],
)
def test_other_layouts_have_no_labels_and_lose_no_picture(tmp_path, names):
    data = load(folder(tmp_path / "set", names))
    assert data.classes is None and len(data.train) + len(data.test) == len(names)


def test_the_split_is_seeded_by_names_and_survives_new_pictures(tmp_path):
    names = [f"{i}.png" for i in range(20)]
    for i, name in enumerate(names):
        folder(tmp_path / "set", [name], encoded(coloured((i, 0, 0))))

    def which(split):
        return {int(v) for v in split.pixels[:, 0, 0, 0]}

    first = load(tmp_path / "set")
    assert which(first.train) | which(first.test) == set(range(20)) and not which(first.train) & which(first.test)
    D._load.cache_clear()
    assert torch.equal(load(tmp_path / "set").train.pixels, first.train.pixels)
    folder(tmp_path / "set", ["new.png"], encoded(coloured((99, 0, 0))))
    again = load(tmp_path / "set")
    assert len(again.train) + len(again.test) == 21  # the cache has noticed
    assert len(which(again.test) - which(first.test)) <= 1


@pytest.mark.parametrize(("n", "train", "test"), [(2, 1, 1), (3, 2, 1), (14, 13, 1), (16, 14, 2), (40, 36, 4)])
def test_a_tenth_and_at_least_one_is_held_out(tmp_path, n, train, test):
    data = load(folder(tmp_path / "set", [f"{i}.png" for i in range(n)]))
    assert (len(data.train), len(data.test)) == (train, test)


def test_a_limit_bounds_the_training_pictures_only(tmp_path):
    path = folder(tmp_path / "set", [f"{i}.png" for i in range(40)])
    data = load(path, limit=5)
    assert (len(data.train), len(data.test)) == (5, 4)


def test_pictures_of_any_size_are_cropped_at_the_centre(tmp_path):
    for i, size in enumerate([(90, 30), (30, 90), (31, 17), (8, 8), (300, 200)]):
        image = Image.new("RGB", size, "black")
        side = min(size)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        image.paste((0, 255, 0), (left - 1, top - 1, left + side + 1, top + side + 1))
        folder(tmp_path / "set", [f"{i}.png"], encoded(image))
    data = load(tmp_path / "set", size=16)
    pixels = torch.cat([data.train.pixels, data.test.pixels])
    assert pixels.shape == (5, 3, 16, 16) and (pixels[:, 1] == 255).all()


def test_big_folders_are_decoded_once_into_a_file(tmp_path, monkeypatch):
    path = folder(tmp_path / "set", [f"{i}.png" for i in range(12)])
    folder(path, ["bad.png"], b"no")
    plain = load(path)
    D._load.cache_clear()
    monkeypatch.setattr(memmap, "BIG", 1000)
    mapped = load(path)
    assert torch.equal(mapped.train.pixels, plain.train.pixels) and "bad.png" in mapped.source
    D._load.cache_clear()
    monkeypatch.setattr(pictures, "decode", None)  # decoding again would fail
    again = load(path)
    assert torch.equal(again.test.pixels, plain.test.pixels) and "bad.png" in again.source


def test_damaged_pictures_are_left_out_and_said(tmp_path):
    path = folder(tmp_path / "set", [f"{i}.png" for i in range(10)])
    folder(path, ["cut.png"], encoded(Image.effect_noise((64, 64), 50))[:900])
    folder(path, ["text.png"], b"I am not a picture")
    data = load(path)
    assert len(data.train) + len(data.test) == 10
    assert "2 left out" in data.source and "cut.png is damaged" in data.source and "text.png is not" in data.source


# --- what cannot be loaded ----------------------------------------------------------


def broken_sources(root: Path) -> dict[str, tuple[Path, str]]:
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("hello")
    (root / "broken.zip").write_bytes(zipped({"a.png": PNG, "b.png": PNG})[:-30])
    (root / "garbage.zip").write_bytes(b"garbage" * 100)
    (root / "one.zip").write_bytes(zipped({"a.png": PNG}))
    (root / "texts.zip").write_bytes(zipped({"a.txt": b"1", "b.txt": b"2"}))
    (root / "bomb.zip").write_bytes(zipped({"a.png": bytes(20_000_000)}, zipfile.ZIP_DEFLATED))
    os.mkfifo(root / "pipe")
    return {
        "missing": (root / "nowhere", "Check the path"),
        "null": (Path(str(root) + "/a\0b"), "Check the path"),
        "long": (root / ("x" * 5000), "Choose another"),
        "empty": (root / "empty", "at least 2"),
        "text": (root / "notes.txt", "not a zip"),
        "broken zip": (root / "broken.zip", "Pack the pictures again"),
        "garbage zip": (root / "garbage.zip", "Pack the pictures again"),
        "one in a zip": (root / "one.zip", "only one picture"),
        "texts in a zip": (root / "texts.zip", "a.txt is not a PNG"),
        "bomb": (root / "bomb.zip", "times its size"),
        "one picture": (folder(root, ["single.png"]) / "single.png", "at least 2"),
        "one of two damaged": (
            folder(folder(root / "half", ["a.png"]), ["b.png"], b"x").absolute(),
            "only one picture",
        ),
        "pipe": (root / "pipe", "neither a folder"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "missing",
        "null",
        "long",
        "empty",
        "text",
        "broken zip",
        "garbage zip",
        "one in a zip",
        "texts in a zip",
        "bomb",
        "one picture",
        "one of two damaged",
        "pipe",
    ],
)
def test_a_source_that_cannot_be_used_gets_a_sentence_with_the_remedy(tmp_path, case):
    path, remedy = broken_sources(tmp_path)[case]
    with pytest.raises(DataError, match=remedy) as e:
        load(path)
    assert is_sentence(str(e.value))


def test_a_folder_without_permission_gets_a_sentence(tmp_path, monkeypatch):
    """Refusals are simulated, because tests may run as a user whom nothing is refused."""
    path = folder(tmp_path / "set", ["a.png", "b.png", "c.png"])

    def refuse(name, *_):
        raise PermissionError(13, "Permission denied", str(name))

    with monkeypatch.context() as m:
        m.setattr(os, "scandir", refuse)
        with pytest.raises(DataError, match=r"may not be read\. Change its permissions"):
            pictures.from_path(path, DataSpec())
    opened = Path.open
    with monkeypatch.context() as m:
        m.setattr(Path, "open", lambda p, *a, **k: refuse(p) if p.name == "a.png" else opened(p, *a, **k))
        data = pictures.from_path(path, DataSpec())
    assert len(data.train) + len(data.test) == 2 and "a.png cannot be read (Permission denied)" in data.source


def test_caps_on_zips(tmp_path, monkeypatch):
    path = tmp_path / "set.zip"
    path.write_bytes(zipped({f"{i}.png": PNG for i in range(5)}))
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    with pytest.raises(DataError, match="more than 4 files"):
        load(path)
    with pytest.raises(DataError, match="more than 4 files"):
        load(folder(tmp_path / "set", [f"{i}.png" for i in range(5)]))
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)
    monkeypatch.setattr(archive, "MAX_UNPACKED", 4 * len(PNG))
    with pytest.raises(DataError, match="would unpack to"):
        load(path)
    monkeypatch.setattr(archive, "MAX_UNPACKED", 5 * len(PNG))
    assert len(load(path).train) == 4


def test_a_zip_that_lies_about_its_sizes_is_not_believed(tmp_path):
    """The directory promises 100 bytes where 50 million come: reading stops at the promise."""
    raw = zipped({"a.png": bytes(50_000_000), "b.png": PNG, "c.png": PNG}, zipfile.ZIP_DEFLATED)
    lying = raw.replace(struct.pack("<I", 50_000_000), struct.pack("<I", 100))
    assert lying != raw
    report = D.ingest([("lying.zip", lying)], tmp_path / "out")
    assert report.taken == 2 and [n for n, _ in report.left_out] == ["a.png"]


def evil_zip() -> bytes:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    outside = ["../up.png", "/abs.png", "C:\\win.png", "a/../../b.png", "..\\w.png"]
    passed_over = ["__MACOSX/._1.png", ".hidden.png", "ok/.DS_Store", "Thumbs.db"]
    good = ["ok/1.png", "ok/2.png"]
    inner = ("inner.zip", zipped({"x.png": PNG}))
    out = io.BytesIO(zipped([*((name, PNG) for name in outside + passed_over + good), inner]))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


def test_names_that_point_outside_are_left_out_and_nothing_is_written_there(tmp_path):
    report = D.ingest([("evil.zip", evil_zip())], tmp_path / "a" / "b" / "out")
    assert report.taken == 2
    assert {n for n, _ in report.left_out} == {
        "../up.png",
        "/abs.png",
        "C:/win.png",
        "a/../../b.png",
        "../w.png",
        "link.png",
        "inner.zip",
    }
    assert all(is_sentence(why) for _, why in report.left_out)
    assert sorted(p.name for p in tmp_path.rglob("*.png")) == ["1.png", "2.png"]
    (tmp_path / "evil.zip").write_bytes(evil_zip())
    assert len(load(tmp_path / "evil.zip").train) == 1


# --- kinds of pictures ----------------------------------------------------------


def test_kinds_of_pictures_come_out_as_they_look():
    shape = (3, 16, 16)
    half = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    deep = Image.fromarray(np.full((20, 20), 0x8080, np.uint16))
    dark = Image.fromarray(np.full((20, 20), 200, np.uint16))
    two = [Image.new("RGB", (20, 20), c) for c in ("red", "blue")]
    cases = {
        "rgb": (encoded(coloured()), (255, 0, 0)),
        "grey": (encoded(coloured(99, mode="L")), (99, 99, 99)),
        "bits": (encoded(coloured(1, mode="1")), (255, 255, 255)),
        "cmyk": (encoded(coloured((0, 255, 255, 0), mode="CMYK"), "JPEG", quality=100), (255, 0, 0)),
        "webp": (encoded(coloured(), "WEBP", lossless=True), (255, 0, 0)),
        "16 bits": (encoded(deep), (128, 128, 128)),
        "16 bits, dark": (encoded(dark), (1, 1, 1)),
        "palette": (encoded(palette), (0, 255, 0)),
        "transparent palette": (encoded(palette, transparency=1), (255, 255, 255)),
        "transparent": (encoded(half), (255, 255, 255)),
        "grey and alpha": (encoded(coloured((50, 255), mode="LA")), (50, 50, 50)),
        "animated": (encoded(two[0], "GIF", save_all=True, append_images=two[1:]), (255, 0, 0)),
        "animated webp": (
            encoded(two[0], "WEBP", save_all=True, append_images=two[1:], lossless=True),
            (255, 0, 0),
        ),
        "animated png": (encoded(two[0], save_all=True, append_images=two[1:]), (255, 0, 0)),
    }
    for name, (raw, colour) in cases.items():
        array = D.image(raw, shape)
        assert array.shape == shape and array.dtype == np.uint8, name
        assert np.abs(array.reshape(3, -1).mean(1) - colour).max() <= 3, (name, array[:, 0, 0])
        assert bool(image.decode(raw, name).note) == name.startswith("animated"), name


def test_a_turned_photo_stands_upright():
    image = Image.new("RGB", (20, 20), "black")
    image.paste("white", (0, 0, 20, 10))  # light above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: light to the right
    array = D.image(encoded(image, "JPEG", exif=exif, quality=100), (1, 20, 20))[0]
    assert array[:, 12:].mean() > 240 and array[:, :8].mean() < 15


def test_one_picture_takes_the_models_shape():
    assert D.image(PNG, (1, 28, 28)).shape == (1, 28, 28)
    assert D.image(PNG, (3, 24, 48)).shape == (3, 24, 48)
    with pytest.raises(DataError, match="wants 5"):
        D.image(PNG, (5, 8, 8))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not a picture"),
        (b"plain text, called .png", "not a picture"),
        (PNG[:40], "damaged|not a picture"),
        (encoded(Image.effect_noise((64, 64), 50))[:2000], "damaged"),
        (encoded(coloured(), "BMP"), "not a picture.*PNG, JPEG"),
        (huge_png(20_000), "million pixels. Make the picture smaller"),
        (huge_png(9_000), "million pixels. Make the picture smaller"),
        (huge_png(2**31 - 1), "million pixels|damaged"),
        (huge_png(0), "damaged|not a picture"),
    ],
)
def test_bad_pictures_get_a_sentence(raw, words):
    with pytest.raises(DataError, match=words) as e:
        D.image(raw, (3, 32, 32))
    assert is_sentence(str(e.value))


def test_huge_files_are_not_even_opened(monkeypatch):
    monkeypatch.setattr(image, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="larger than"):
        D.image(PNG + bytes(1000), (3, 8, 8))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_make_the_reader_fall(data):
    """Good pictures with bytes changed, cut or put in: a picture or a sentence comes out, nothing else."""
    raw = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    raw = bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        array = D.image(raw, (3, 8, 8))
        assert array.shape == (3, 8, 8) and array.dtype == np.uint8
    except DataError as e:
        assert is_sentence(str(e))


SEEDS = [
    PNG,
    encoded(Image.effect_noise((24, 24), 60), "JPEG"),
    encoded(coloured(), "WEBP"),
    encoded(coloured("red").quantize(4), "GIF"),
]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 128), st.sampled_from([1, 3]), st.integers(0, 255))
def test_flat_pictures_stay_flat_at_every_size(w, h, size, channels, value):
    array = D.image(encoded(Image.new("RGB", (w, h), (value,) * 3)), (channels, size, size))
    assert array.shape == (channels, size, size) and (array == value).all()


# --- uploads ----------------------------------------------------------


def test_an_upload_becomes_a_folder_that_loads_the_same_again(tmp_path):
    files = [(f"{i}.png", encoded(coloured((i, 2 * i, 0), (40, 40)))) for i in range(12)]
    files += [
        ("notes.txt", b"hello"),
        ("fake.png", b"text"),
        ("photo.heic", b"x"),
        ("huge.png", huge_png(20_000)),
    ]
    files += [("moving.gif", encoded(coloured(), "GIF", save_all=True, append_images=[coloured("blue")]))]
    report = D.ingest(files, tmp_path / "mine")
    assert report.taken == 13 and report.path == tmp_path / "mine" and report.classes is None
    assert {n for n, _ in report.left_out} == {"notes.txt", "fake.png", "photo.heic", "huge.png"}
    assert all(is_sentence(why) and name in why for name, why in report.left_out)
    assert report.notes == ("moving.gif: only the first frame is used.",)
    data = load(report.path)
    reds = torch.cat([data.train.pixels, data.test.pixels])[:, 0, 0, 0]
    assert sorted(reds.tolist()) == [*range(12), 255]


def test_uploaded_folders_become_labels_and_equal_names_stay_apart(tmp_path):
    one = zipped({"pets/cats/1.png": PNG, "pets/dogs/1.png": PNG, "pets/dogs/1.jpg": encoded(coloured(), "JPEG")})
    report = D.ingest([("pets.zip", one)], tmp_path / "mine")
    assert report.taken == 3 and report.classes == ("cats", "dogs")
    assert sorted(p.relative_to(report.path).as_posix() for p in report.path.rglob("*.png")) == [
        "cats/1.png",
        "dogs/1-2.png",
        "dogs/1.png",
    ]
    assert load(report.path).classes == ("cats", "dogs")
    same = D.ingest([("a.png", PNG), ("a.png", PNG), ("A.PNG", PNG), ("a-2.png", PNG)], tmp_path / "same")
    assert same.taken == 4 and len(list(same.path.iterdir())) == 4


def test_photos_lose_their_secrets(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    raw = encoded(coloured(size=(900, 600)), "JPEG", exif=exif)
    assert b"taken at home" in raw
    report = D.ingest([("a.jpg", raw), ("b.jpg", raw)], tmp_path / "mine")
    for file in report.path.iterdir():
        assert b"taken at home" not in file.read_bytes()
        with Image.open(file) as image:
            assert image.size == (384, 256)


@pytest.mark.parametrize(
    "files",
    [
        [],
        [("a.png", PNG)],
        [("a.png", PNG), ("b.png", b"no")],
        [("a.zip", b"no")],
        [("a.txt", b""), ("b.txt", b"")],
    ],
)
def test_too_few_pictures_get_a_sentence_and_leave_nothing(tmp_path, files):
    with pytest.raises(DataError, match="at least 2 are needed") as e:
        D.ingest(files, tmp_path / "mine")
    assert is_sentence(str(e.value)) and not list(tmp_path.iterdir())
    for name, raw in files:
        assert raw == PNG or name in str(e.value)


def test_a_broken_zip_does_not_cost_the_good_files(tmp_path):
    files = [("a.png", PNG), ("bad.zip", b"garbage"), ("b.png", PNG)]
    report = D.ingest(files, tmp_path / "mine")
    assert report.taken == 2 and report.left_out[0].name == "bad.zip"


def test_nothing_that_exists_is_overwritten(tmp_path):
    folder(tmp_path / "mine", ["precious.png"])
    with pytest.raises(DataError, match="exists already"):
        D.ingest([("a.png", PNG), ("b.png", PNG)], tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["precious.png"]
    (tmp_path / "empty").mkdir()
    assert D.ingest([("a.png", PNG), ("b.png", PNG)], tmp_path / "empty").taken == 2


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    saved, save = [], Image.Image.save

    def full(self, file, *args, **kwargs):
        if saved:
            raise OSError(28, "No space left on device")
        saved.append(file)
        save(self, file, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match=r"No space left on device.*Free some space"):
        D.ingest([("a.png", PNG), ("b.png", PNG)], tmp_path / "mine")
    assert saved and not list(tmp_path.iterdir())


NAMES = st.text(
    st.one_of(st.sampled_from("ab/\\.:-~*?<>|\"'\n\0 "), st.characters(codec="utf-8")),
    min_size=1,
    max_size=30,
).map(lambda s: s + ".png")


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=5))
def test_no_name_leads_out_of_the_folder_or_loses_a_picture(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("names")
    report = D.ingest([("x.png", PNG), ("y.png", PNG), *((n, PNG) for n in names)], root / "mine")
    written = [p for p in root.rglob("*") if p.is_file()]
    assert report.taken == len(written) == 2 + len(names) - len(report.left_out)
    assert all(p.parent in (root / "mine", *(root / "mine").iterdir()) for p in written)
    assert all(p.suffix == ".png" and len(p.name) < 80 for p in written)
    assert all(is_sentence(why) for _, why in report.left_out)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_zip_makes_the_reader_fall(tmp_path_factory, data):
    raw = bytearray(zipped({"a/1.png": PNG, "b/2.png": PNG, "b/3.png": PNG}, data.draw(st.sampled_from([0, 8]))))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.mktemp("zip")
    try:
        report = D.ingest([("x.png", PNG), ("y.png", PNG), ("z.zip", bytes(raw))], root / "mine")
        assert 2 <= report.taken <= 5 and all(is_sentence(why) for _, why in report.left_out)
    except DataError as e:
        assert is_sentence(str(e))
