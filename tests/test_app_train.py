"""The gallery, Train and Watch without a browser: what they show, and what they say when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from aecore import CATALOG, DataError, DataSpec, Plan, Run, paths
from aecore.data import ingest, load
from aecore.jobs import timing
from aecore.paths import root
from aecore.runs.library import create, scan
from aecore.runs.session import Session
from app.widgets import data_download, presets
from app.widgets import params as controls
from app.widgets import speed as training_speed
from tests.naive import few
from tests.pages import app_at

MAIN = Path(__file__).resolve().parent.parent / "app/main.py"
ME = "0123456789abcdef"
ENTRIES = list(CATALOG)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Estimates that are known at once, and no examples."""
    known = training_speed.Speed(0.01, 0.1, "CPU, 1 thread")
    monkeypatch.setattr(training_speed, "ask", lambda *_: known)
    monkeypatch.setattr(paths, "PRETRAINED", root() / "no pretrained")
    st.cache_resource.clear()


def page(name: str = "", visitor: str = ME, **query: str) -> AppTest:
    """One page as a visitor opens it by its link."""
    app = app_at(name or "gallery", query)
    app.session_state["visitor"] = visitor
    return app.run()


def texts(app: AppTest) -> str:
    """All that a page says."""
    kinds = ("title", "subheader", "markdown", "caption", "warning", "error", "info", "latex")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def said_by(app: AppTest) -> dict[str, str]:
    """The link as it stands."""
    return {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}


def fine(app: AppTest) -> AppTest:
    assert not app.exception, [e.message for e in app.exception]
    return app


def trained(owner: str = ME, model: str = "vae", **changes) -> Run:
    """A run with a few rows, weights and previews."""
    spec = DataSpec(name="digits8", limit=200)
    run = create(model, spec, {"code": 2, "width": 32}, Plan(epochs=1, held_out=50), owner=owner)
    assert Session(run).train() == "done"
    if changes:
        run.save(**changes)
    return run


# --- Train --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", few(ENTRIES, ("beta_vae", "pixelcnn_decoder", "cfn")))
def test_every_entry_has_its_equation_and_controls(key):
    entry = CATALOG[key]
    app = fine(page("train", model=key))
    assert any("textcolor" in str(element.value) for element in app.latex) or not entry.terms
    labels = {
        str(element.label)
        for kind in ("slider", "select_slider", "toggle", "button_group", "number_input")
        for element in app.get(kind)
    }
    for name, param in entry.params.items():
        assert controls.label(name, param) in labels
    assert entry.idea in texts(app)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"model": "nonsense"}, "nonsense"),
        ({"model": "vae", "code": "999"}, "code"),
        ({"model": "vae", "code": "nan"}, "code"),
        ({"model": "vae", "net": "huge"}, "net"),
        ({"model": "beta_vae", "beta": "-1"}, "beta"),
        ({"model": "vae", "train.epochs": "0"}, "train.epochs"),
        ({"model": "vae", "train.lr": "inf"}, "train.lr"),
        ({"data": "../../etc"}, "data"),
        ({"data.size": "7"}, "data.size"),
        ({"data": "images", "data.path": "/no/such/folder"}, "folder"),
    ],
)
def test_a_bad_link_falls_back_in_words(query, named):
    app = fine(page("train", **query))
    said = "\n".join(element.value for kind in ("warning", "error") for element in app.get(kind))
    assert named in said.replace("\\", "")  # as it is shown: what the link said is escaped


def test_a_link_is_an_experiment():
    entry = CATALOG["beta_vae"]
    params = entry.check({"beta": 4.3, "code": 7})
    plan = Plan(epochs=1234, lr=0.00123, seed=5, decay=False)
    wanted = controls.train_query(entry, params, plan, DataSpec(name="digits", size=20, limit=1234, grey=True))
    app = fine(page("train", **wanted))
    assert not app.warning
    assert said_by(app) == wanted


def test_a_link_keeps_ones_own_pictures_before_there_are_any():
    app = fine(page("train", model="vae", data="images", **{"data.size": "16"}))
    assert (said_by(app)["data"], said_by(app)["data.size"]) == ("images", "16")


def test_a_preset_fills_in_the_knobs():
    app = fine(page("train", model="vae", code="64"))
    next(button for button in app.button if button.label == presets.PRESETS[0].title).click()
    fine(app.run())
    _, plan = presets.filled(presets.PRESETS[0], CATALOG["vae"], 10_000)
    assert said_by(app)["code"] == "2" and said_by(app)["train.epochs"] == str(plan.epochs)


def test_train_makes_a_run_of_ones_own():
    app = fine(page("train", model="vae", data="digits8", code="2"))
    next(button for button in app.button if button.label == "Train").click()
    fine(app.run())
    (run,) = scan(root())
    assert (run.info.status, run.info.owner, run.info.params["code"], run.info.data.name) == (
        "queued",
        ME,
        2,
        "digits8",
    )


def test_nobody_trains_before_the_browser_has_said_who_it_is():
    app = fine(page("train", visitor=""))
    assert next(button for button in app.button if button.label == "Train").disabled


def test_own_pictures_show_what_they_are(tmp_path):
    from aecore.explore.images import png

    pictures = [(f"{i}.png", png(load("digits").train.pixels[i, 0].numpy())) for i in range(6)]
    folder = ingest(pictures, tmp_path / "mine").path
    app = fine(page("train", data="images", **{"data.path": str(folder)}))
    assert "6 pictures" in texts(app)
    assert not app.error


def test_an_estimate_is_measured_and_grows_with_the_work():
    order = {
        "model": "vae",
        "params": CATALOG["vae"].check({"code": 2, "width": 16}),
        "shape": [1, 8, 8],
        "batch": 32,
        "precision": "fp32",
        "held_out": 20,
    }
    measured = training_speed.Speed(**timing.measure(order, 1))
    assert measured.draw > 0 and "1 thread" in measured.where
    assert measured.seconds(Plan(epochs=10), 1000) < measured.seconds(Plan(epochs=100), 1000)
    assert measured.seconds(Plan(epochs=10), 1000) < measured.seconds(Plan(epochs=10), 10_000)


def test_a_download_that_fails_is_a_sentence(monkeypatch):
    def fail(*_, **__):
        raise DataError("The address does not answer. Check the internet connection.")

    monkeypatch.setattr(data_download.datasets, "load", fail)
    download = data_download.Download()
    data_download.fetch("kmnist", download)
    assert download.over and "internet" in download.trouble


# --- Watch --------------------------------------------------------------------------------------------------


def test_an_unknown_run_is_a_sentence():
    for name in ("261122-000000-vae-ffffff", "../../etc/passwd", "<script>"):
        app = fine(page("run", run=name))
        assert "no such run" in texts(app)


def test_nothing_to_watch_yet():
    assert "Nothing has been trained" in texts(fine(page("run")))


def test_a_finished_run_shows_figures_and_where_to_go_on():
    run = trained()
    app = fine(page("run", run=run.info.id))
    assert {"cross-entropy + KL", "ELBO, black and white"} <= {metric.label for metric in app.metric}
    assert "Take it with you" in texts(app)
    assert not next(button for button in app.button if button.label == "Delete").disabled


def test_only_the_owner_may_press_the_buttons():
    run = trained(owner="somebody else", status="running")
    app = fine(page("run", run=run.info.id))
    named = {button.label: button for button in app.button}
    assert named["Pause"].disabled and named["Stop"].disabled and named["Delete"].disabled


def test_a_failed_run_says_why_and_can_be_resumed():
    run = trained(status="failed", reason="kl is no longer a number at step 7.")
    app = fine(page("run", run=run.info.id))
    assert "no longer a number" in texts(app)
    next(button for button in app.button if button.label == "Resume").click()
    fine(app.run())
    assert run.refresh().info.status == "queued"


def test_pause_delete_and_undo():
    run = trained(status="queued")
    app = fine(page("run", run=run.info.id))
    assert "next in line" in str([element.proto for element in app.main]) or app.button
    next(button for button in app.button if button.label == "Pause").click()
    fine(app.run())
    assert run.refresh().info.status == "paused"
    next(button for button in app.button if button.label == "Delete").click()
    fine(app.run())
    assert not run.path.exists()
    next(button for button in app.button if button.label == "Undo").click()
    fine(app.run())
    assert run.path.exists()


# --- Gallery ------------------------------------------------------------------------------------------------


def test_an_empty_gallery_invites():
    assert "ten seconds" in texts(fine(page()))


def test_the_gallery_shows_runs_and_names_broken_folders():
    run = trained(title="My *own* digits")
    for name, content in {"half": '{"id": "half"', "foreign": None}.items():
        (root() / name).mkdir()
        text = content or run.info.model_copy(update={"id": "foreign", "model": "unheard_of"}).model_dump_json()
        (root() / name / "run.json").write_text(text)
    app = fine(page())
    said = texts(app)
    assert r"My \*own\* digits" in said and "yours" in said
    assert "half" in said and "unheard" in said


def test_filters_leave_what_was_asked_for():
    trained(title="Needle")
    trained(owner="somebody else", title="Hay")
    for query in ({"q": "needle"}, {"mine": "true"}):
        said = texts(fine(page(**query)))
        assert "#### Needle" in said and "#### Hay" not in said
    assert "No run fits" in texts(fine(page(q="no such thing")))
