"""The pages that look inside: every view with every kind of model, bad links and bad pictures; never a traceback."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from aecore import DataSpec, FieldError, Plan, Run
from aecore.explore import reconstruct
from aecore.jobs.analyses import Analyses, Analysis
from aecore.paths import root
from aecore.runs.library import create, find
from aecore.runs.session import Session
from app import cached
from app.library import held_out
from app.panels import downloads
from app.panels.tables import csv_table
from app.state import MapState, Numbered
from app.text import escape_markdown
from tests.naive import few

VIEWS = ("reconstruct", "traverse", "map", "generate")
DIGITS = DataSpec(name="digits", size=8, limit=256)
KINDS = {
    "vae-2": ("vae", {"code": 2}, DIGITS),
    "vae-conv": ("vae", {"code": 16, "net": "conv"}, DIGITS),
    "deep-40": ("deep", {"code": 40}, DIGITS),
    "linear-1": ("linear", {"code": 1}, DIGITS),
    "denoising": ("denoising", {"code": 8, "noise": "erasures"}, DIGITS),
    "aae": ("aae", {"code": 2, "prior": "mixture"}, DIGITS),
    "beta": ("beta_vae", {"code": 6}, DataSpec(name="sprites", size=16, limit=256)),
    "stacked": ("stacked", {}, DIGITS),
    "iwae": ("iwae", {"code": 4}, DIGITS),
    "quantised": ("vq_vae", {}, DIGITS),
    "ali": ("ali", {"code": 4, "classes": 10}, DIGITS),
    "hali": ("hali", {"code": 4}, DIGITS),
    "wae": ("wae_gan", {"code": 2}, DIGITS),
    "vae-gan": ("vae_gan", {"code": 4}, DIGITS),
    "gmm-gan": ("gmm_gan", {"code": 4}, DIGITS),
    "dfc": ("dfc_vae", {"code": 4}, DIGITS),
    "pixels-of-a-code": ("pixelcnn_decoder", {"code": 2, "maps": 8, "layers": 2}, DIGITS),
    "gmvae": ("gmvae", {"code": 4}, DIGITS),
    "dcec": ("dcec", {"code": 4}, DIGITS),
}


ONLY_DRAWS = {
    "gan": ("wgan", {"code": 4, "critic_steps": 1}, DIGITS),
    "pixels": ("pixelcnn", {"layers": 2, "classes": 10}, DIGITS),
}


def made(name: str) -> Path:
    """The folder of a run of this kind, barely trained; it is trained when it is first asked for."""
    model, params, data = {**KINDS, **ONLY_DRAWS}[name]
    if not (root() / name).exists():
        width = {} if model == "linear" else {"width": 32}
        plan = Plan(epochs=1, batch=64, held_out=64)
        run = create(model, data, {**params, **width}, plan, path=root() / name, title=f"Run {name}")
        assert Session(run).train("cpu") == "done", run.info.reason
    return root() / name


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder of runs: two that are always there, and others as tests ask for them."""
    folder = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AECORE_RUNS", str(folder))
        for name in ("vae-2", "deep-40"):
            made(name)
    return folder


@pytest.fixture(autouse=True)
def shown(trained, monkeypatch) -> None:
    """The pages see these runs."""
    monkeypatch.setenv("AECORE_RUNS", str(trained))


def opened(view: str, /, **link: str) -> AppTest:
    def page(view: str) -> None:
        from app import pages
        from app.session import plain_errors

        with plain_errors():
            pages.show(view)

    if link.get("run") in {**KINDS, **ONLY_DRAWS}:
        made(link["run"])
    at = AppTest.from_function(page, kwargs={"view": view}, default_timeout=60)
    for name, value in link.items():
        at.query_params[name.replace("__", ".")] = value
    return at.run()


def sound(at: AppTest) -> AppTest:
    assert not at.exception, at.exception[0].value
    assert not at.error, at.error[0].value
    return at


def texts(at: AppTest) -> str:
    return " ".join(e.value for kind in (at.info, at.warning, at.error, at.markdown, at.caption) for e in kind)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", few(list(KINDS), ("vae-2", "linear-1", "quantised", "ali")))
def test_every_view_opens_with_every_kind_of_model(view, name):
    at = sound(opened(view, run=name))
    assert at.title[0].value == view.capitalize()
    assert not at.warning
    assert at.session_state["run"] == name


def test_reconstruct_shows_the_worst_first_and_one_class_only():
    at = sound(opened("reconstruct", run="vae-2", reconstruct__class="7", reconstruct__n="6"))
    run = find("vae-2")
    ids = cached.choice(run, 6, 0, 7)
    assert (held_out(run).labels[ids] == 7).all()
    assert "6 of" in texts(at)
    at = sound(opened("reconstruct", run="vae-2", reconstruct__worst="true"))
    errors = [
        cached.way(run, image).mse for image in cached.images(run, tuple(cached.choice(run, 8, 0, worst=True).tolist()))
    ]
    assert errors == sorted(errors, reverse=True)


def test_a_denoising_model_shows_what_the_encoder_sees_and_others_have_no_such_switch():
    assert "reconstruct.damage" in [toggle.key for toggle in sound(opened("reconstruct", run="denoising")).toggle]
    assert "reconstruct.damage" not in [toggle.key for toggle in sound(opened("reconstruct", run="vae-2")).toggle]


def test_the_terms_of_one_image_stand_below_it_with_their_values():
    at = sound(opened("reconstruct", run="beta"))
    shown = " ".join(html.proto.body for html in at.get("html"))
    assert all(word in shown for word in ("MSE", "PSNR", "recon", "kl", "loss", "nats"))


def test_where_the_loss_cannot_be_taken_all_else_is_there_and_the_remedy(monkeypatch):
    missing = FieldError("features", "vgg19 could not be downloaded; go online once")

    def offline(*_):
        raise missing

    monkeypatch.setattr(reconstruct, "terms", offline)
    at = opened("reconstruct", run="vae-2", reconstruct__image="7")
    assert not at.exception and [error.value for error in at.error] == [str(missing)]
    assert any("PSNR" in html.proto.body for html in at.get("html"))


def file(image: Image.Image, format: str, **more) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **more)
    return out.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
GREY = Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64))
GOOD = {
    "grey.png": file(GREY, "PNG"),
    "cmyk.jpg": file(GREY.convert("CMYK"), "JPEG"),
    "deep.png": file(Image.fromarray((np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64)), "PNG"),
    "film.webp": file(GREY, "WEBP", save_all=True, append_images=[GREY.rotate(90)]),
    "wide.png": file(GREY.resize((300, 20)), "PNG"),
}
BAD = {
    "text.png": b"this is no picture",
    "empty.png": b"",
    "cut.png": file(NOISE, "PNG")[:2000],
    "huge.png": file(Image.new("1", (20_000, 20_000)), "PNG"),
    "*bold* [link](x).png": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_an_uploaded_picture_passes_through_or_is_refused_in_a_sentence(name):
    at = sound(opened("reconstruct", run="beta", reconstruct__from="upload"))
    at.file_uploader(key="reconstruct.upload").set_value((name, {**GOOD, **BAD}[name], "image/png")).run()
    assert not at.exception, at.exception[0].value
    if name in GOOD:
        assert not at.error
    else:
        assert len(at.error) == 1 and at.error[0].value.endswith(".")


def test_a_link_reopens_a_traversal_with_the_same_code():
    at = sound(opened("traverse", run="deep-40", traverse__from="image", traverse__image="3", z="2:1.25_17:-0.5"))
    assert at.query_params["z"] == "2:1.25_17:-0.5"
    again = sound(at.run())
    assert again.query_params["z"] == "2:1.25_17:-0.5"
    sound(at.button(key="traverse.reset").click().run())
    assert "z" not in at.query_params


def test_another_start_forgets_the_moved_units():
    at = sound(opened("traverse", run="vae-2", z="1:2"))
    sound(at.number_input(key="traverse.image").set_value(5).run())
    assert "z" not in at.query_params


def test_a_code_in_a_link_survives_writing_and_reading_and_nonsense_is_left_out():
    moved = {0: -0.5, 2: 1.25, 39: 3.0}
    code = Numbered("z", size=40)
    assert code.read(code.write(moved)) == moved
    assert code.read("1:2_x_99:1_3:nan_4:1e9_:_2:-1_0:5") == {0: 2.0, 1: -1.0}


def test_a_map_in_a_link_survives_writing_and_reading_and_nonsense_is_left_out():
    shown = {"cursor": [1.25, -0.5], "zoom": [0.0, 1.0, 2.0], "hidden": [0, 3], "thumbnails": True}
    view = MapState("view")
    assert view.read(view.write(shown)) == shown
    assert view.read("c1_z1,2,inf_hx_q_t9_cnan,1__h-1") == {"hidden": []}
    assert view.write({"cursor": None, "hidden": [], "thumbnails": False}) == ""


@pytest.mark.parametrize("view", few(list(VIEWS), ("traverse",)))
@pytest.mark.parametrize(
    "link",
    [
        {"run": "no-such-run"},
        {"run": "../../etc"},
        {"run": "vae-conv", "z": "%%%", "view": "c,,_z_h", "v": "0"},
        {"run": "deep-40", "reconstruct.image": "999999", "reconstruct.class": "eleven", "reconstruct.n": "-3"},
        {
            "run": "deep-40",
            "traverse.sheet": "99",
            "traverse.from": "nowhere",
            "traverse.image": "-1",
            "traverse.b": "x",
        },
        {"run": "deep-40", "map.method": "two units", "map.x": "z41", "map.y": "z1", "map.n": "7", "map.half": "none"},
        {"run": "vae-2", "generate.n": "1000000", "generate.temperature": "nan", "generate.seed": "-5"},
    ],
)
def test_a_bad_link_falls_back_and_says_so_where_it_matters(view, link):
    at = opened(view, **link)
    assert not at.exception, at.exception[0].value
    assert at.title[0].value == view.capitalize()
    if link["run"] not in KINDS:
        assert "Showing another one" in texts(at)


def test_a_slow_map_shows_pca_and_how_long_it_takes(monkeypatch):
    standing = Analysis("waiting", estimate=42.0, position=2)
    monkeypatch.setattr(Analyses, "map", lambda *args, **more: standing)
    at = sound(opened("map", run="deep-40", map__method="UMAP"))
    bar = at.get("progress")[0].proto
    assert "UMAP" in bar.text and "42 s" in bar.text and "number 2 in line" in bar.text and "PCA meanwhile" in bar.text
    monkeypatch.setattr(Analyses, "map", lambda *args, **more: Analysis("failed: the disk is full"))
    at = opened("map", run="deep-40", map__method="UMAP")
    assert not at.exception and "the disk is full" in at.error[0].value


def test_two_equal_units_are_no_plane():
    at = sound(opened("map", run="vae-conv", map__method="two units", map__x="z3", map__y="z3"))
    assert "two different dimensions" in texts(at)


def test_a_model_without_a_prior_says_so_and_decodes_random_codes():
    assert "has no prior" in texts(sound(opened("generate", run="deep-40")))
    assert "has no prior" not in texts(sound(opened("generate", run="aae")))


@pytest.mark.parametrize("view", VIEWS)
def test_a_model_without_an_encoder_generates_and_is_traversed_and_other_pages_say_that_they_cannot(view):
    at = sound(opened(view, run="gan"))
    assert ("cannot be shown on this page" in texts(at)) == (view in ("reconstruct", "map"))


def test_a_traversal_without_an_encoder_goes_between_draws():
    at = sound(opened("traverse", run="gan", traverse__a="3"))
    assert "image" not in at.segmented_control[0].options and "Without an encoder" in texts(at)
    run = find("gan")
    first = cached.between(run, 3, 7, "linear")[0]
    np.testing.assert_array_equal(first, cached.decoded(run, tuple(cached.base(run, "random draw", seed=3).tolist())))


def test_draw_again_takes_the_next_seed_and_the_same_seed_gives_the_same_images():
    at = sound(opened("generate", run="vae-2", generate__n="16"))
    sound(at.button(key="generate.again").click().run())
    assert at.number_input(key="generate.seed").value == 1
    run = find("vae-2")
    a, b = cached.generated(run, 4, 1.0, 7)[0], cached.generated.__wrapped__(run, 4, 1.0, 7)[0]
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - cached.generated(run, 4, 1.0, 8)[0]).max() > 0


def test_a_model_that_cannot_decode_or_is_no_image_model_says_so(monkeypatch, trained):
    run = Run.open(trained / "vae-2")
    lame = type("Entry", (), {"abilities": frozenset({"encode"}), "key": "lame"})()
    monkeypatch.setattr(Run, "entry", property(lambda self: lame))
    assert "no decoder" in texts(sound(opened("reconstruct", run=run.info.id)))


def test_damaged_weights_are_a_sentence(trained, monkeypatch, tmp_path):
    import shutil

    shutil.copytree(trained / "vae-2", tmp_path / "broken")
    (tmp_path / "broken" / "weights.safetensors").write_bytes(b"nothing")
    monkeypatch.setenv("AECORE_RUNS", str(tmp_path))
    at = opened("map", run="broken")
    assert not at.exception and len(at.error) == 1 and at.error[0].value.endswith(".")


def test_tables_cannot_smuggle_formulas():
    text = csv_table(["image", "class", "x"], [1, 2], ["=1+1", 'a "b", c'], [0.5, -2.0])
    assert text.splitlines() == ["image,class,x", "1,'=1+1,0.5", '2,"a ""b"", c",-2']
    assert csv_table(["@sum", "a"], ["x\ry"], [1]) == '\'@sum,a\r\n"x\ry",1\r\n'


@pytest.mark.parametrize("view", VIEWS)
def test_the_python_of_a_page_runs(view, monkeypatch, trained, capsys):
    files = {}
    monkeypatch.setattr(downloads, "download_button", lambda label, make, file, mime, key: files.update({key: make}))
    sound(opened(view, run="vae-2"))
    lines = files[f"{view}.python"].replace('"runs/vae-2"', repr(str(trained / "vae-2")))
    exec(compile(lines, view, "exec"), {})
    assert "(" in capsys.readouterr().out  # the shape of what the page shows


def test_class_names_with_markdown_stay_text():
    assert re.sub(r"\\(.)", r"\1", escape_markdown("*a* [b](c) $d$ <i>")) == "*a* [b](c) $d$ <i>"
    assert "\\*a\\*" in escape_markdown("*a*")


def test_runs_of_one_name_are_told_apart_in_the_box(trained, monkeypatch, tmp_path):
    import shutil

    for name in ("vae-2", "deep-40"):
        shutil.copytree(trained / name, tmp_path / "twins" / name)
        Run.open(tmp_path / "twins" / name).save(title="The same name")
    monkeypatch.setenv("AECORE_RUNS", str(tmp_path / "twins"))
    at = sound(opened("reconstruct", run="deep-40"))
    box = at.selectbox(key="run-box")
    assert len(set(box.options)) == len(box.options)
    assert {"The same name · vae-2", "The same name · deep-40"} <= set(box.options)
    assert at.session_state["run"] == box.value == "deep-40"
