"""Visitors and what they bring: tokens, titles, buttons of others' runs, uploads; numbers that pages give away."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from aecore import CATALOG, DataSpec, Plan, Run
from aecore.jobs.queue import digest
from aecore.models.entry import Param
from aecore.paths import root
from aecore.runs.library import create, find
from app import library, session
from app.panels import run_card, run_notices, run_rows, train_sweep
from app.panels.tables import csv_table
from app.widgets import params as controls
from app.widgets import presets
from tests.pages import app_at

TOKEN = "0123456789abcdef" * 2
ME = digest(TOKEN)


def new(name: str, owner: str = ME, **changes) -> Run:
    run = create("vae", DataSpec(name="digits8"), {"code": 2}, Plan(epochs=1), path=root() / name, owner=owner)
    if changes:
        run.save(**changes)
    session.queue().forget()
    return run


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def state(monkeypatch) -> dict[str, object]:
    """The session of a visitor of whom nothing is known yet."""
    found: dict[str, object] = {}
    monkeypatch.setattr(session.st, "session_state", found)
    return found


def test_a_visitor_is_the_digest_of_the_browsers_token(state, monkeypatch):
    monkeypatch.setattr(session, "identity", lambda key: None)
    session.greet()
    assert session.visitor() == "" and not state
    monkeypatch.setattr(session, "identity", lambda key: TOKEN)
    session.greet()
    assert session.visitor() == hashlib.sha256(TOKEN.encode()).hexdigest()[:16] and TOKEN not in str(state)


@pytest.mark.parametrize("token", ["", "abc", TOKEN.upper(), TOKEN + "0", TOKEN[:-1] + "g", TOKEN + "\n", 7, None])
def test_a_token_that_no_browser_makes_is_none(token, monkeypatch):
    from app.browser import identity

    monkeypatch.setattr(identity, "_mount", lambda **_: {"token": token})
    assert identity.identity() is None
    monkeypatch.setattr(identity, "_mount", lambda **_: {"token": TOKEN})
    assert identity.identity() == TOKEN


def test_a_visitor_may_change_their_own_runs_alone(state):
    mine, hers, nobodys = new("mine"), new("hers", "somebody"), new("nobodys", "")
    assert not any(map(session.may_change, (mine, hers, nobodys)))  # the browser has not answered yet
    state["visitor"] = ME
    assert [session.may_change(run) for run in (mine, hers, nobodys)] == [True, False, False]
    assert not session.may_change(find("vae-2d"))


def test_a_title_is_changed_by_its_owner_to_one_short_line(state):
    mine, hers = new("mine", title="Mine"), new("hers", "somebody", title="Hers")
    state["visitor"] = ME
    library.rename(hers, "Taken")
    assert hers.refresh().info.title == "Hers"
    library.rename(mine, "  ")
    assert mine.refresh().info.title == "Mine"
    library.rename(mine, "  two\n lines " + "x" * 100)
    assert mine.refresh().info.title == ("two lines " + "x" * 100)[:80]


def test_a_deleted_run_is_offered_to_who_deleted_it(state):
    run = new("mine")
    state |= {"visitor": ME, "run": "mine"}
    run_notices.delete(run)
    assert not run.path.exists() and run_notices.was_deleted("mine") and not run_notices.was_deleted("other")
    assert "run" not in state


BUTTONS = {
    "queued": {"Pause", "Stop", "Delete"},
    "running": {"Pause", "Stop", "Delete"},
    "paused": {"Resume", "Delete"},
    "stopped": {"Resume", "Delete"},
    "failed": {"Resume", "Delete"},
    "done": {"Delete"},
}


@pytest.mark.parametrize("status", BUTTONS)
def test_buttons_of_a_run_can_be_pressed_by_its_owner_alone(status):
    for visitor, allowed in ((ME, True), ("0" * 16, False), ("", False)):
        new(f"run-{visitor}", status=status)
        at = app_at("run", {"run": f"run-{visitor}"})
        if visitor:
            at.session_state["visitor"] = visitor
        at.run()
        assert not at.exception
        found = {
            button.label: button.disabled
            for button in at.button
            if button.label in ("Pause", "Stop", "Resume", "Delete")
        }
        assert found == dict.fromkeys(BUTTONS[status], not allowed)


# --- uploads ----------------------------------------------------------------------------------------------------------


def upload_page() -> None:
    import streamlit as st

    from app.widgets.uploads import kept_file

    st.session_state["path"] = kept_file("A table", {"csv": "table.csv", "txt": "table.txt"}, "test", help="None yet.")


def kept(file: tuple[str, bytes] | None = None, digest_in_link: str = "") -> AppTest:
    at = AppTest.from_function(upload_page)
    if digest_in_link:
        at.query_params["test.file"] = digest_in_link
    at.run()
    if file:
        at.file_uploader(key="test.upload").set_value((*file, "text/plain")).run()
    assert not at.exception
    return at


def test_a_file_is_kept_under_its_digest_and_found_again_by_the_link():
    at = kept(("MY.CSV", b"a,b\n1,2\n"))
    expected = hashlib.sha256(b"table.csv\0a,b\n1,2\n").hexdigest()[:16]
    path = Path(at.session_state["path"])
    assert path == (root() / ".files" / expected / "table.csv").absolute() and path.read_bytes() == b"a,b\n1,2\n"
    assert at.query_params["test.file"] in (expected, [expected])
    assert kept(digest_in_link=expected).session_state["path"] == str(path)
    assert kept(("a.txt", b"a,b\n1,2\n")).session_state["path"] != str(path)


@pytest.mark.parametrize("said", ["", "0" * 16, "..", "../../etc", "0" * 15, "G" * 16, "0123456789abcdef/.."])
def test_a_link_names_no_other_file(said):
    (root() / ".files").mkdir(parents=True)
    (root() / "table.csv").write_text("outside")
    at = kept(digest_in_link=said)
    assert at.session_state["path"] is None and [caption.value for caption in at.caption] == ["None yet."]


def test_an_upload_has_a_limit_and_takes_the_kinds_it_names():
    box = kept().file_uploader(key="test.upload").proto
    assert box.max_upload_size_mb == 64 and list(box.type) == [".csv", ".txt"] and not box.multiple_files
    at = app_at("train", {"data": "images", "data.from": "Upload"}).run()
    pictures = at.file_uploader(key="upload").proto
    assert {".png", ".jpg", ".webp", ".zip"} <= set(pictures.type) and pictures.multiple_files


# --- numbers that pages give away -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", list("=+-@"))
def test_a_text_that_a_spreadsheet_would_run_is_quoted(sign):
    assert csv_table([f"{sign}a"], [f"{sign}1+1", f"1{sign}1"]) == f"'{sign}a\r\n'{sign}1+1\r\n1{sign}1\r\n"


def test_numbers_in_a_table_have_six_digits_and_columns_one_length():
    assert csv_table(["a", "b"], [1 / 3, 1234567.0], [-2, None]) == "a,b\r\n0.333333,-2\r\n1.23457e+06,None\r\n"
    with pytest.raises(ValueError):
        csv_table(["a", "b"], [1, 2], [3])


def row(step: int, test: bool = False, **terms: float) -> dict:
    found = {"step": step, "epoch": step / 2, "train": terms or {"recon": 1.0}}
    return {**found, "test": {"recon": 2.0}} if test else found


def test_a_long_curve_is_thinned_but_keeps_held_out_values_and_its_end():
    rows = [row(step, test=step in (3, 7)) for step in range(1202)]
    found = run_rows.thinned(rows)
    assert [one["step"] for one in found] == sorted({*range(0, 1202, 3), 3, 7, 1201})
    assert found[1] == {"step": 3, "epoch": 1.5, "recon": 1.0, "test/recon": 2.0}
    assert len(run_rows.thinned(rows[:400])) == 400 == len(run_rows.thinned(rows[:799])) // 2 + 1


def test_a_loss_that_is_just_a_term_is_left_out():
    assert run_rows.losses([]) == []
    assert run_rows.losses([row(1, recon=2.0, kl=1.0, loss=3.0)]) == ["loss"]
    assert run_rows.losses([row(1, recon=2.0, loss=3.0), row(2, recon=2.0, loss=2.0)]) == []
    several = {"recon": 2.0, "adv": 0.5, "loss/critic": 0.5, "loss/autoencoder": 2.5}
    assert run_rows.losses([row(1, **several)]) == ["loss/autoencoder"]


def test_rows_that_a_resumed_run_writes_again_replace_those_before(tmp_path):
    run = new("run")
    file, reader = run.path / "rows.jsonl", run_rows.Reader()

    def write(*steps: int) -> None:
        import json

        file.write_text("".join(json.dumps(row(step, recon=float(step))) + "\n" for step in steps))

    write(1, 2, 3, 4)
    assert [one["step"] for one in reader.read(run).rows] == [1, 2, 3, 4]
    write(1, 2)
    reader.read(run)
    write(1, 2, 5)
    assert [one["step"] for one in reader.read(run).rows] == [1, 2, 5]


def test_how_a_run_stands_is_said_in_words(monkeypatch):
    monkeypatch.setattr(run_card.time, "time", lambda: 1000.0)
    assert [run_card._place_in_line(n) for n in (None, 0, 1, 2)] == [
        "Starting …", "Starting …", "Waiting: next in line.", "Waiting: number 2 in line.",
    ]  # fmt: skip

    class Beating:
        info = new("run").info

        def __init__(self, **beat):
            self.beat = beat

        def heartbeat(self) -> dict:
            return self.beat

    words = run_card._epochs_and_time_left
    assert words(Beating(progress=0.2, epoch=0.2)) == "Epoch 0.2 of 1"
    assert words(Beating(progress=0.2, epoch=0.2, left=50.0, time=980.0)) == "Epoch 0.2 of 1, 30 s left"
    assert words(Beating(progress=0.2, epoch=0.2, left=10.0, time=900.0)) == "Epoch 0.2 of 1, less than 1 s left"
    assert words(Beating(progress=1.0)) == "Measuring the trained model …"


def test_the_group_in_a_link_belongs_to_its_comparison(monkeypatch):
    monkeypatch.setattr(train_sweep.State.group.__class__, "get", lambda self, owner=None: "planes.0123ab")
    assert train_sweep.group_of("planes") == "planes.0123ab" and train_sweep.group_of("plane") == ""


# --- hyperparameters --------------------------------------------------------------------------------------------------


def test_a_logarithmic_slider_has_round_numbers_its_ends_and_the_value():
    whole = controls.steps(Param(16, 1, 256, scale="log"), 77)
    assert whole[0] == 1 and whole[-1] == 256 and {*range(1, 11), 16, 32, 64, 77, 128} <= set(whole)
    assert whole == sorted(set(whole)) and {20, 30, 50, 100, 200} <= set(whole) and 512 not in whole
    real = controls.steps(Param(1e-3, 1e-9, 1.0, scale="log"), 0.00123, (1e-5, 0.1))
    assert real[0] == 1e-5 and real[-1] == 0.1 and 0.00123 in real and {0.001, 0.0015, 0.008} <= set(real)
    assert controls.steps(Param(0.0, 0.0, 10.0, scale="log"), 0.0)[:2] == [0.0, 0.001]


def test_presets_set_epochs_by_the_number_of_images_and_leave_a_models_own_plan():
    vae = CATALOG["vae"]
    params, plan = presets.filled(presets.PRESETS[0], vae, 10_000)
    assert (params["code"], params["net"], plan.epochs, plan.lr) == (2, "dense", 8, 2e-3)
    assert presets.filled(presets.PRESETS[1], vae, 10_000)[1].epochs == 40
    assert presets.filled(presets.PRESETS[2], vae, 100)[1].epochs == 1000
    assert presets.filled(presets.PRESETS[2], vae, 10**8)[1].epochs == 1
    assert presets.filled(presets.PRESETS[2], vae, 5000)[0]["net"] == "conv"
    assert presets.filled(presets.PRESETS[2], vae, 5000, "vector")[0]["net"] == vae.params["net"].default
    own = next(entry for entry in CATALOG.values() if "lr" in entry.plan)
    assert presets.filled(presets.PRESETS[0], own, 1000)[1].lr == own.plan["lr"]


def test_a_link_to_train_names_every_setting():
    entry = CATALOG["vae"]
    params, plan = entry.check({"beta": 0.25}), Plan(lr=0.02, decay=False)
    found = controls.train_query(entry, params, plan, None)
    assert found["model"] == "vae" and found["v"] == "1" and found["beta"] == "0.25"
    assert (found["train.lr"], found["train.decay"], found["train.epochs"]) == ("0.02", "false", "10")
    assert set(found) == {"model", "v", *entry.params, *(f"train.{name}" for name in Plan.model_fields)}
