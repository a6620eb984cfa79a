"""What the browser components promise: pictures stay with their identity, a drag needs no server, keys work."""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from aecore import CATALOG
from app.browser.pack import DTYPES, LARGEST_SIDE, Memo, atlas, digest, fit_atlas, pack, unpack
from app.browser.pad import rasterise
from app.figures import plots
from tests.chromium import free_port, pixels

ROOT = Path(__file__).parent.parent

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
)
names = st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True).filter(lambda name: name != "meta")


# ---- packing -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.one_of(arrays, st.binary(max_size=23)), max_size=5), st.text(max_size=20))
def test_unpack_gives_back_what_was_packed_and_every_section_is_aligned(sections, text):
    value = pack({"text": text}, **sections)
    meta, parts = unpack(value)
    assert meta == {"text": text}
    assert list(parts) == list(sections)
    for name, part in sections.items():
        if isinstance(part, bytes):
            assert parts[name] == part
        else:
            assert parts[name].dtype == part.dtype
            np.testing.assert_array_equal(parts[name], part)
    length = int.from_bytes(value[:4], "little")
    offsets = [int(n) for n in re.findall(rb'"offset":(\d+)', value[4 : 4 + length])]
    assert all(offset % 8 == 0 for offset in offsets)
    assert (len(value)) % 8 == 0


def test_pack_refuses_types_without_a_typed_array_and_numbers_json_lacks():
    with pytest.raises(TypeError, match=r"ids.*int64"):
        pack({}, ids=np.arange(3))
    with pytest.raises(ValueError):
        pack({"x": math.nan})


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([(), (3,)]),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_tile_k_of_the_atlas_is_image_k(n, h, w, channels, columns, seed):
    images = np.random.default_rng(seed).integers(0, 256, (n, h, w, *channels), np.uint8)
    file, meta = atlas(images, columns or None)
    sheet = np.asarray(Image.open(io.BytesIO(file)))
    assert (meta["n"], meta["height"], meta["width"], meta["channels"]) == (n, h, w, 3 if channels else 1)
    for k in range(n):
        top, left = k // meta["columns"] * h, k % meta["columns"] * w
        np.testing.assert_array_equal(sheet[top : top + h, left : left + w], images[k])


def test_an_atlas_never_passes_what_browsers_draw():
    wide = np.zeros((900, 2, 300), np.uint8)
    _, meta = atlas(wide)
    assert meta["columns"] * 300 <= LARGEST_SIDE and meta["rows"] * 2 <= LARGEST_SIDE
    with pytest.raises(ValueError, match="fewer or smaller"):
        atlas(np.zeros((2, 5000, 5000), np.uint8))
    small = fit_atlas(np.full((400, 128, 128, 3), 77, np.uint8), budget=1_000_000)
    assert small.size <= 1_000_000 and (small == 77).all()


def test_5000_digits_are_encoded_in_well_under_a_second():
    """Of the processor: a busy computer may take longer."""
    images = np.random.default_rng(0).integers(0, 256, (5000, 28, 28), np.uint8)  # noise: harder than digits
    times = []
    for _ in range(3):
        start = time.process_time()
        atlas(images)
        times.append(time.process_time() - start)
    assert min(times) < 0.8


def test_equal_contents_have_equal_names_and_memory_stays_bounded():
    a = np.arange(6, dtype=np.uint8)
    assert digest(a, "x") == digest(a.copy(), "x") != digest(a.reshape(2, 3), "x")
    assert digest([b"a", b"b"]) != digest([b"ab", b""])
    memo, made = Memo(limit=100), []
    for k in range(20):
        memo.get(str(k), lambda k=k: made.append(k) or bytes(30))
    assert memo.store.currsize <= 100 and len(memo.store) == 3
    assert memo.get("large", lambda: bytes(101)) == bytes(101) and len(memo.store) == 3  # more than there is room for
    memo.get("19", lambda: made.append("again") or b"")
    assert "again" not in made


def test_a_drawing_is_centred_by_mass_and_fills_twenty_of_28_pixels():
    digit = rasterise([[0.1, 0.1, 0.15, 0.5], [0.3, 0.1, 0.3, 0.5]])
    ys, xs = np.mgrid[:28, :28]
    centre = [(grid * digit.astype(float)).sum() / digit.sum() for grid in (ys, xs)]
    assert digit.shape == (28, 28) and digit.dtype == np.uint8 and digit.max() > 200
    assert np.abs(np.array(centre) - 13.5).max() <= 0.75
    rows = np.flatnonzero(digit.any(1))
    assert 18 <= rows[-1] - rows[0] + 1 <= 20
    assert len(np.unique(digit)) > 8  # antialiased
    assert rasterise([], (32, 20)).shape == (32, 20)


# ---- pictures and figures ----------------------------------------------------------------------------------


def contrast(colour: str, other: str) -> float:
    def light(text: str) -> float:
        parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    a, b = light(colour), light(other)
    return max(a, b) / min(a, b)


def theme() -> dict:
    return tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]


def test_every_term_colour_reads_on_both_backgrounds_and_is_its_own():
    colours = [*plots.TERM_COLOURS.values()]
    assert len(set(colours)) == len(colours)
    for term in [*plots.TERM_COLOURS, "autoencoder/recon", "something_new", "another", "z"]:
        colour = plots.term_colour(term)
        assert contrast(colour, theme()["light"]["backgroundColor"]) >= 3, term
        assert contrast(colour, theme()["dark"]["backgroundColor"]) >= 3, term
    for entry in CATALOG.values():  # two terms of one equation must be told apart
        for one, other in itertools.combinations(entry.terms, 2):
            parts = [np.array(Image.new("RGB", (1, 1), plots.term_colour(term))) / 255 for term in (one, other)]
            assert np.abs(parts[0] - parts[1]).max() > 0.15, (entry.key, one, other)
    assert plots.term_colour("autoencoder/recon") == plots.TERM_COLOURS["recon"]
    assert plots.term_colour("critic/loss") == plots.TERM_COLOURS["critic"]
    assert plots.term_colour("something_new") == plots.term_colour("something_new")


def test_the_theme_holds_the_class_colours_of_the_plots():
    assert tuple(theme()["light"]["chartCategoricalColors"]) == plots.CLASS_COLOURS
    assert tuple(theme()["dark"]["chartCategoricalColors"]) == plots.CLASS_COLOURS_DARK
    assert len(set(plots.CLASS_COLOURS)) >= 10


def test_curves_draw_train_solid_and_held_out_dashed_in_the_colour_of_the_term():
    rows = [{"step": s, "recon": 90.0 - s, "kl": 5.0 + s} for s in range(5)]
    rows += [{"step": 4, "test/recon": 88.0, "test/kl": math.nan}]
    figure = plots.curves(rows, units={"recon": "nats", "kl": "nats"})
    train, held = [t for t in figure.data if t.name.startswith("recon")]
    assert train.line.color == held.line.color == plots.TERM_COLOURS["recon"]
    assert train.line.dash is None and held.line.dash == "dash" and held.mode == "lines+markers"
    assert list(train.x) == [0, 1, 2, 3, 4] and list(held.y) == [88.0]
    assert not any(t.name == "kl, held-out" for t in figure.data)
    assert figure.layout.font.size >= 16 and figure.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_terms_of_different_scales_get_small_multiples_and_no_rows_a_sentence():
    rows = [{"step": s, "recon": 900.0, "kl": 0.5} for s in range(3)]
    assert len({t.yaxis for t in plots.curves(rows).data}) == 2
    assert len({t.yaxis for t in plots.curves(rows, columns=1, terms=["kl"]).data}) == 1
    assert "No numbers" in plots.curves([]).layout.annotations[0].text


def test_the_sheet_places_image_k_and_scales_without_smoothing():
    images = np.zeros((5, 1, 2, 2), np.float32)
    images[:, 0] = np.linspace(0, 1, 5)[:, None, None]
    sheet = plots.grid(images, columns=3, gap=1, scale=2, background=9)
    assert sheet.shape == ((2 * 2 + 1) * 2, (3 * 2 + 2) * 2, 3)
    for k in range(5):
        assert (sheet[(k // 3) * 6 : (k // 3) * 6 + 4, (k % 3) * 6 : (k % 3) * 6 + 4] == round(k / 4 * 255)).all()
    assert (sheet[4:6] == 9).all()
    assert plots.grid(images)[..., 3].min() == 0  # gaps are transparent without a background


def test_a_difference_is_red_where_b_is_brighter_blue_where_darker_on_a_fixed_scale():
    a = np.full((1, 1, 1, 3), 0.5, np.float32)
    b = np.array([[[[1.0, 0.5, 0.0]]]], np.float32)
    red, none, blue = plots.difference(a, b)[0, 0].astype(int)
    assert red[0] > red[2] + 100 and blue[2] > blue[0] + 100 and (none == 242).all()


def test_an_equation_keeps_its_braces_and_colours_nested_terms():
    out = plots.equation(r"L = \term{recon}{\frac{1}{2} x\}} + \term{kl}{a \term{tc}{b}}")
    recon, kl, tc = (plots.TERM_COLOURS[t] for t in ("recon", "kl", "tc"))
    assert (
        out == rf"L = \textcolor{{{recon}}}{{\frac{{1}}{{2}} x\}}}} + \textcolor{{{kl}}}{{a \textcolor{{{tc}}}{{b}}}}"
    )
    with pytest.raises(ValueError, match="never closed"):
        plots.equation(r"\term{kl}{x")


def test_png_and_gif_open_again():
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(plots.png(picture)))), picture)
    film = Image.open(io.BytesIO(plots.gif([picture, picture[::-1], picture // 2], there_and_back=True)))
    assert film.n_frames == 4


# ---- scripts -----------------------------------------------------------------------------------------------


def test_no_script_of_a_component_is_left_out_of_what_the_browser_gets():
    from app.browser import mount

    for script in mount.SHARED.parent.glob("*/*.js"):
        if script.parent == mount.SHARED:
            assert script.name in mount.SHARED_SCRIPTS
            continue
        listed = re.findall(r'"(\w+\.js)"', (script.parent / "__init__.py").read_text("utf-8"))
        assert script.name in (listed or [f"{script.parent.name}.js"]), script


# ---- whose state counts ------------------------------------------------------------------------------------


def test_an_echo_is_not_an_order_and_news_is(monkeypatch):
    from app.browser import mount

    session: dict = {}
    monkeypatch.setattr(mount.st, "session_state", session)

    def settle(wanted):
        return mount.settle("map", "view", wanted)["nonce"]

    assert settle({"cursor": [0, 0]}) == 1  # from the link
    assert settle({"cursor": [0, 0]}) == 1  # the page passes it again
    session["map"] = {"view": {"cursor": [1, 1], "hidden": []}}
    assert settle({"cursor": [0, 0]}) == 1  # the hand moved: the old link does not pull it back
    assert settle({"cursor": [1, 1]}) == 1  # an echo of what the browser said
    session["map"] = {"view": {"cursor": [2, 2], "hidden": []}}
    assert settle({"cursor": [1, 1]}) == 1  # an echo one run late
    assert settle({"cursor": [9, 9]}) == 2  # news: an order
    assert settle(None) == 2
    session["map"] = {"view": {"cursor": [9, 9], "hidden": [3]}}
    settle(None)
    session["map"] = None  # the visitor was on another page
    assert mount.settle("map", "view", None) == {"state": {"cursor": [9, 9], "hidden": [3]}, "nonce": 3}


# ---- in the browser ----------------------------------------------------------------------------------------


APP = """
import sys
sys.path.insert(0, ROOT)
import numpy as np, streamlit as st
from app.browser.film import film
from app.browser.identity import identity
from app.browser.latent_map import latent_map
from app.browser.pad import pad
from app.browser.planes import Pane, planes
from app.browser.scrubber import scrubber
from app.browser.swarm import Dots, Field, swarm

N, S = 300, 21
page = st.query_params.get("page")
if page == "map":
    # A lattice of points; image k has one bright pixel that spells k, so a picture tells whose it is.
    xs, ys = np.meshgrid(np.linspace(-2, 2, 20), np.linspace(-1.4, 1.4, 15))
    points = np.stack([xs.ravel(), ys.ravel()], 1).astype(np.float32)
    images = np.zeros((N, 20, 20), np.uint8)
    images.reshape(N, -1)[np.arange(N), np.arange(N)] = 255
    plane = np.zeros((9, 9, 20, 20), np.uint8)
    plane.reshape(81, -1)[np.arange(81), np.arange(81)] = 255
    view = latent_map(points, np.arange(N) + 1000, np.arange(N) % 3, images=images, reconstructions=images // 2,
        plane=plane, extent=(-2, 2, -2, 2), key="map", height=420, class_names=["a", "b", "<i>c</i>"],
        caption="300 of 300 images", alt="A lattice.", state={"hidden": [2]} if "hide" in st.query_params else None)
    st.text("view " + repr(dict(view)))
if page == "scrub":
    z = st.session_state.setdefault("z", np.zeros(3, np.float32))
    values = np.tile(np.linspace(-2, 2, S, dtype=np.float32), (3, 1))
    sheet = np.zeros((3, S, 8, 8), np.uint8)
    sheet[:] = (np.arange(3 * S) * 4).reshape(3, S, 1, 1)
    weight, home = np.array([3, 2, 1.0]), np.zeros(3)
    move = scrubber(sheet, ["z1", "z2", "z3"], values, z, key="scrub", importance=weight, home=home)
    if move:
        st.session_state.moves = st.session_state.get("moves", 0) + 1
        st.session_state.z = z.copy()
        st.session_state.z[move["unit"]] = move["value"]
        st.rerun()
    st.text(f"moves {st.session_state.get('moves', 0)} z {[round(float(v), 2) for v in st.session_state.z]}")
if page == "planes":
    # Pane p at step s: tile k of a 5 x 5 plane is all of one grey that spells p, s and k.
    greys = (np.arange(4)[:, None, None] * 60 + np.arange(2)[:, None] * 30 + np.arange(25)).astype(np.uint8)
    tiles = np.tile(greys.reshape(4, 2, 5, 5, 1, 1), (1, 1, 1, 1, 6, 6))
    points = np.array([[-1, -1], [0, 0], [1, 1]], np.float32)
    made = [Pane(f"model {p}", tiles[p] if p else tiles[p, :1], (-1 - p, 1 + p, -1, 1), points, np.arange(3),
                 rings=(1,), marks=[(0, 0, "A")]) for p in range(3)]
    made.append(Pane("<i>strip</i>", tiles[3, :, :1], (-1, 1, 0, 0)))
    view = planes(made, key="planes", steps=["epoch 1", "epoch 2"], alt="Four models.",
        state={"at": [1, 0]} if "corner" in st.query_params else None)
    st.text(f"at {[round(float(v), 2) for v in view['at']]} step {view['step']}")
if page == "swarm":
    # One red dot in a row of 5 places: step s shows it at the s-th.
    path = np.stack([np.linspace(-0.8, 0.8, 5), np.zeros(5)], 1)[:, None]
    k = swarm([Field("<i>one</i>", [Dots(path, "#ff0000", size=20, name="walker")], (-1, 1, -1, 1),
                     notes=[f"note {s}" for s in range(5)]),
               Field("still", [Dots(path[0], "#ff0000", size=20)], (-1, 1, -1, 1))],
              key="swarm", steps=[f"step {s}" for s in range(5)], step=3 if "three" in st.query_params else None)
    st.text(f"at {k}")
if page == "rest":
    st.text(f"who {identity()}")
    drawn = pad("pad")
    st.text(f"drawn {None if drawn is None else (drawn.shape, int(drawn.max()))}")
    k = st.session_state.setdefault("k", 3)
    if st.button("more"):
        st.session_state.k += 1
        st.rerun()
    frames = np.full((k, 6, 6), 9, np.uint8) * np.arange(k, dtype=np.uint8)[:, None, None]
    film(frames, [f"epoch {i}" for i in range(k)], key="film", follow=True)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "demo.py").write_text(APP.replace("ROOT", repr(str(ROOT)), 1))
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "demo.py"), "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false"]
    server = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail("the demo app did not start in 30 s")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab = context.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors


def open_page(page, address, name, more=""):
    page.goto(f"{address}/?page={name}{more}")
    page.wait_for_selector("[data-ready]", timeout=30_000)


def pixels_of(canvas) -> np.ndarray:
    """The first channel of what a canvas holds."""
    return pixels(canvas)[..., 0]


def place(page, x, y):
    """Where (x, y) of the map's plane lies on the screen: one scale on both axes, the middle in the middle."""
    box = page.locator(".field").bounding_box()
    scale = min((box["width"] - 2 - 28) / 4, (box["height"] - 2 - 28) / 4)
    return box["x"] + box["width"] / 2 + x * scale, box["y"] + box["height"] / 2 - y * scale


def spot(k):
    """Where point k of the lattice lies on the plane."""
    return np.linspace(-2, 2, 20)[k % 20], np.linspace(-1.4, 1.4, 15)[k // 20]


@pytest.mark.slow
@pytest.mark.browser
def test_a_hovered_point_shows_its_own_image_by_identity_also_after_hiding_a_class(address, page):
    open_page(page, address, "map")
    truth, again = page.get_by_role("img", name="True image"), page.get_by_role("img", name="Reconstruction")

    def image_at(k):
        page.mouse.move(*place(page, *spot(k)))
        assert truth.get_attribute("data-id") == str(1000 + k)
        assert pixels_of(truth).argmax() == k and pixels_of(truth).max() == 255
        assert pixels_of(again).argmax() == k

    for k in (0, 19, 157, 299):
        image_at(k)
    page.get_by_role("button", name="b", exact=True).click()
    page.get_by_text(re.compile(r"'hidden': \[1\]")).wait_for(timeout=10_000)
    for k in (0, 20, 158, 299):  # none of class 1
        image_at(k)
    page.mouse.move(*place(page, *spot(157)))  # class 1: hidden, so the neighbours do not step in for it
    assert truth.get_attribute("data-id") != str(1157)
    page.get_by_role("button", name="Thumbnails").click()
    page.get_by_text(re.compile(r"'thumbnails': True")).wait_for(timeout=10_000)
    image_at(158)


@pytest.mark.slow
@pytest.mark.browser
def test_the_decoded_picture_follows_the_pointer_from_low_to_high_y(address, page):
    open_page(page, address, "map")
    decoded = page.get_by_role("img", name="Picture decoded")
    for x, y, tile in ((-2, -2, 0), (2, -2, 8), (-2, 2, 72), (0, 0, 40), (1, 0.5, 5 * 9 + 6)):
        page.mouse.move(*place(page, x, y))
        assert pixels_of(decoded).argmax() == tile, (x, y)


@pytest.mark.slow
@pytest.mark.browser
def test_keys_move_the_cursor_and_a_reported_view_keeps_it(address, page):
    open_page(page, address, "map", "&hide=1")
    page.get_by_text(re.compile(r"'hidden': \[2\]")).wait_for()
    assert page.get_by_role("button", name="<i>c</i>").get_attribute("aria-pressed") == "false"  # text, never markup
    field = page.get_by_role("application")
    field.focus()
    page.keyboard.press("End")
    page.keyboard.press("PageUp")
    page.get_by_text(re.compile(r"'cursor': \[2, 2\]")).wait_for(timeout=10_000)
    assert pixels_of(page.get_by_role("img", name="Picture decoded")).argmax() == 80
    assert field.evaluate("f => f.getRootNode().activeElement === f")  # the rerun did not take the focus
    page.keyboard.press("+")
    page.get_by_text(re.compile(r"'zoom': \[")).wait_for(timeout=10_000)
    page.get_by_role("button", name="Reset view").click()
    page.get_by_text(re.compile(r"'zoom': None")).wait_for(timeout=10_000)


@pytest.mark.slow
@pytest.mark.browser
def test_the_lasso_reports_the_ids_inside_it(address, page):
    open_page(page, address, "map")
    page.keyboard.down("Shift")
    corners = [(-2.1, -1.5), (-2.1, -1.1), (-1.5, -1.1), (-1.5, -1.5)]
    page.mouse.move(*place(page, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*place(page, *corner), steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    wanted = [1000 + k for k in range(300) if spot(k)[0] < -1.5 and spot(k)[1] < -1.1]
    page.get_by_text(re.compile(re.escape(f"'selected': {wanted}"))).wait_for(timeout=10_000)


@pytest.mark.slow
@pytest.mark.browser
def test_a_drag_moves_the_picture_before_release_and_python_hears_after_it(address, page):
    open_page(page, address, "scrub")
    picture = page.locator(".scrub figure canvas")
    track = page.get_by_role("slider", name="z2")
    box = track.bounding_box()
    before = pixels_of(picture)[0, 0]
    page.evaluate(
        """() => { window.spent = []; let at = 0;
        addEventListener('pointermove', () => { at = performance.now(); }, true);
        addEventListener('pointermove', () => spent.push(performance.now() - at)); }"""
    )
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    page.mouse.down()
    seen = set()
    for k in range(11, 20):
        page.mouse.move(box["x"] + box["width"] * k / 20, box["y"] + 10)
        seen.add(int(pixels_of(picture)[0, 0]))
    assert seen == {(21 + k) * 4 for k in range(11, 20)} and before not in seen
    assert page.get_by_text("moves 0").is_visible()
    spent = page.evaluate("() => spent")
    assert sorted(spent)[len(spent) // 2] < 16
    page.mouse.up()
    page.get_by_text("moves 1 z [0.0, 1.8, 0.0]").wait_for(timeout=10_000)
    assert track.get_attribute("aria-valuenow") == "1.800"
    track.dblclick(position={"x": 10, "y": 10})
    page.get_by_text(re.compile(r"moves \d z \[0.0, 0.0, 0.0\]")).wait_for(timeout=10_000)


def greys_of(page) -> list[int]:
    return [int(pixels_of(canvas)[0, 0]) for canvas in page.locator(".planes figure canvas").all()]


@pytest.mark.slow
@pytest.mark.browser
def test_one_pointer_drives_all_decoders_in_a_frame(address, page):
    open_page(page, address, "planes")
    assert greys_of(page) == [
        12,
        102,
        162,
        212,
    ]  # the middle tile; the first pane has one step
    field = page.get_by_role("application").nth(1)
    box = field.bounding_box()
    page.evaluate(
        """() => { window.spent = []; let at = 0;
        addEventListener('pointermove', () => { at = performance.now(); }, true);
        addEventListener('pointermove', () => spent.push(performance.now() - at)); }"""
    )
    page.mouse.move(box["x"] + 4, box["y"] + box["height"] - 4)
    page.mouse.down()
    for j in range(5):
        page.mouse.move(box["x"] + 4 + (box["width"] - 8) * j / 4, box["y"] + box["height"] - 4)
        assert greys_of(page) == [j, 90 + j, 150 + j, 210 + j]  # before the hand lets go
    assert page.get_by_text("at [0.5, 0.5] step 1").is_visible()
    spent = page.evaluate("() => spent")
    assert sorted(spent)[len(spent) // 2] < 16
    page.mouse.up()
    page.get_by_text(re.compile(r"at \[(0.99|1.0), 0.0\d?\] step 1")).wait_for(timeout=10_000)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 3)
    assert greys_of(page) == [22, 112, 172, 212]  # the strip has one row: it follows across alone
    page.mouse.move(5, 5)
    assert greys_of(page) == [4, 94, 154, 214]  # back to where it was pinned
    captions = page.locator(".planes figcaption").all_inner_texts()
    assert captions[0].startswith(("z1 = 0.9", "z1 = 1.0")) and captions[2].startswith("z1 = 2.9")  # each its own


@pytest.mark.slow
@pytest.mark.browser
def test_the_track_steps_through_a_training_and_keys_move_the_pointer(address, page):
    open_page(page, address, "planes", "&corner=1")
    assert greys_of(page) == [4, 94, 154, 214]
    assert page.locator(".planes .title").nth(3).inner_text() == "<i>strip</i>"  # text, never markup
    track = page.get_by_role("slider", name="Step")
    track.focus()
    page.keyboard.press("Home")
    assert greys_of(page) == [4, 64, 124, 184] and track.get_attribute("aria-valuetext") == "epoch 1"
    page.get_by_text("at [1.0, 0.0] step 0").wait_for(timeout=10_000)
    page.get_by_role("application").first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert greys_of(page) == [8, 68, 128, 183]
    page.get_by_text("at [0.75, 0.25] step 0").wait_for(timeout=10_000)
    page.get_by_role("button", name="Play").click()
    page.get_by_text("at [0.75, 0.25] step 1").wait_for(timeout=10_000)
    assert greys_of(page) == [8, 98, 158, 213]


@pytest.mark.slow
@pytest.mark.browser
def test_a_swarm_moves_under_its_track(address, page):
    def where(k: int) -> int:  # in which fifth of the picture the dot is
        red = pixels_of(page.locator(".swarm canvas").nth(k))
        return int(5 * np.nonzero(red > 200)[1].mean() / red.shape[1])

    open_page(page, address, "swarm", "&three=1")
    assert page.get_by_text("at 3").is_visible() and where(0) == 3 and where(1) == 0
    assert page.locator(".swarm .title").first.inner_text() == "<i>one</i>"
    track = page.get_by_role("slider", name="Step")
    track.focus()
    page.keyboard.press("Home")
    assert where(0) == 0 and page.get_by_text("note 0").is_visible()
    page.get_by_text("at 0").wait_for(timeout=10_000)
    page.get_by_role("button", name="Play").click()
    page.get_by_text("at 4").wait_for(timeout=10_000)
    assert where(0) == 4 and where(1) == 0


@pytest.mark.slow
@pytest.mark.browser
def test_the_scrubber_answers_keys_and_keeps_the_focus_when_a_new_sheet_arrives(address, page):
    open_page(page, address, "scrub")
    track = page.get_by_role("slider", name="z1")
    track.focus()
    page.keyboard.press("ArrowRight")
    assert track.get_attribute("aria-valuenow") == "0.200"
    assert pixels_of(page.locator(".scrub figure canvas"))[0, 0] == 44
    page.get_by_text("moves 1 z [0.2, 0.0, 0.0]").wait_for(timeout=60_000)
    assert track.evaluate("t => t.getRootNode().activeElement === t")
    page.keyboard.press("End")
    page.get_by_text("moves 2 z [2.0, 0.0, 0.0]").wait_for(timeout=60_000)
    page.keyboard.press("Home")
    page.get_by_text("moves 3 z [-2.0, 0.0, 0.0]").wait_for(timeout=60_000)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", ["map", "scrub", "planes", "swarm", "rest"])
def test_nothing_is_wider_than_a_phone(address, page, name):
    page.set_viewport_size({"width": 360, "height": 780})
    open_page(page, address, name)
    for root in page.locator(".ae").all():
        wide, room = root.evaluate(
            """r => [
                Math.max(r.scrollWidth, ...[...r.querySelectorAll('*')].map(
                    n => n.getBoundingClientRect().right - r.getBoundingClientRect().left)),
                window.innerWidth,
            ]"""
        )
        assert wide <= room


@pytest.mark.slow
@pytest.mark.browser
def test_identity_is_kept_the_pad_draws_and_the_film_follows(address, page):
    open_page(page, address, "rest")
    page.get_by_text(re.compile("who [0-9a-f]{32}")).wait_for(timeout=10_000)
    who = page.get_by_text("who ").inner_text()
    pad = page.get_by_role("img", name="Draw here")
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 200, steps=5)
    page.mouse.up()
    page.get_by_text(re.compile(r"drawn \(\(28, 28\), 2\d\d\)")).wait_for(timeout=10_000)
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("drawn None").wait_for(timeout=10_000)
    pad.focus()
    for key in (" ", "ArrowRight", "ArrowDown", " "):
        page.keyboard.press(key)
    page.get_by_text(re.compile(r"drawn \(\(28, 28\)")).wait_for(timeout=10_000)

    film = page.get_by_role("img", name="Film")
    slider = page.get_by_role("slider", name="Frame")
    assert slider.get_attribute("aria-valuetext") == "epoch 2" and pixels_of(film)[0, 0] == 18
    page.get_by_role("button", name="more").click()
    slider.and_(page.locator("[aria-valuetext='epoch 3']")).wait_for(timeout=10_000)
    slider.focus()
    page.keyboard.press("Home")
    assert pixels_of(film)[0, 0] == 0
    page.get_by_role("button", name="more").click()
    slider.and_(page.locator("[aria-valuemax='5']")).wait_for(timeout=10_000)
    assert slider.get_attribute("aria-valuetext") == "epoch 0"  # the hand chose: it no longer follows

    page.reload()
    page.get_by_text(who).wait_for(timeout=15_000)
