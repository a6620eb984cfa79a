"""Run folders: always readable, exact to resume, and plain about what is wrong with them."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from aecore import DataSpec, FieldError, Plan, Run, RunError
from aecore.runs import files, session
from aecore.runs.files import read_tensors
from aecore.runs.folder import os
from aecore.runs.library import broken, create, find, scan
from aecore.runs.session import Session
from aecore.settings import parse

DATA = DataSpec(name="digits", size=8, limit=200)
PLAN = Plan(epochs=3, batch=20, held_out=50)
CASES = {
    "vae": ("vae", {"code": 2, "width": 32}),
    "conv": ("deep", {"code": 3, "width": 64, "net": "conv"}),
    "two players": ("aae", {"code": 2, "width": 32}),
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("AECORE_RUNS", str(tmp_path / "runs"))
    yield
    torch.set_num_threads(before)


def new(folder: Path, case: str = "vae", **more) -> Run:
    model, params = CASES[case]
    return create(model, DATA, params, PLAN, path=folder, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    torch.set_num_threads(1)
    run = new(tmp_path_factory.mktemp("runs") / "whole")
    assert Session(run).train("cpu") == "done"
    return run


@pytest.fixture
def copy(trained, tmp_path) -> Run:
    shutil.copytree(trained.path, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


def weights(run: Run) -> dict[str, torch.Tensor]:
    return read_tensors(run.path / "weights.safetensors")[0]


def curves(run: Run) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.rows()[0]]


def same(a: Run, b: Run) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- what a run leaves ----------------------------------------------------------------------------------------


def test_a_finished_run_holds_all_that_others_read(trained):
    run = Run.open(trained.path)
    assert run.info.status == "done" and run.info.ended >= run.info.taken >= run.info.created
    assert run.info.shape == (1, 8, 8) and run.info.metrics["mse"] > 0
    rows, _ = run.rows()
    assert rows[-1]["step"] == 30 and set(rows[-1]["test"]) == {"recon", "kl", "loss"}
    assert run.steps("preview")[-1] == 30 and run.steps("snapshots")
    assert run.heartbeat()["progress"] == 1
    assert not (run.path / "resume").exists() and not (run.path / ".reserve").exists()
    assert not list(run.path.rglob("*.tmp"))
    x = run.data().test.batch(torch.arange(4)).x
    assert run.model().decode(run.model().encode(x)).shape == x.shape
    assert not torch.equal(run.model().encode(x), run.model(run.steps("snapshots")[0]).encode(x))


def test_rows_are_read_on_from_where_one_stopped(copy):
    rows, end = copy.rows()
    with open(copy.path / "rows.jsonl", "ab") as file:
        file.write(b'{"step": 31, "epo')
    assert copy.rows(end) == ([], end)
    with open(copy.path / "rows.jsonl", "ab") as file:
        file.write(b'ch": 4}\n')
    assert copy.rows(end)[0] == [{"step": 31, "epoch": 4}]
    assert copy.rows(10**9)[0][: len(rows)] == rows  # the file has shrunk since: from the beginning


def test_a_copied_folder_is_a_run_of_its_own(copy, trained):
    assert copy.info.id == "copy" and same(copy, trained)


def test_ids_do_not_walk_through_the_disk():
    run = create("vae", DATA)
    assert find(run.info.id).info == run.info
    for bad in ("../" + run.info.id, "", ".", "nobody", f"{run.info.id}/"):
        with pytest.raises(RunError, match="There is no run"):
            find(bad)


# --- exact resume ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_paused_and_resumed_is_as_never_paused(case, tmp_path, trained):
    whole = trained if case == "vae" else new(tmp_path / "whole", case)
    if whole is not trained:
        Session(whole).train("cpu")
    pieces = new(tmp_path / "pieces", case)
    for last in (4, 17):
        wish = iter(["", "", "pause"])
        assert Session(pieces).train("cpu", command=lambda: next(wish, "pause")) == "paused", last  # noqa: B023
        assert Run.open(pieces.path).info.status == "paused"
        assert pieces.model()
    assert Session(pieces).train("cpu") == "done"
    assert same(whole, pieces) and curves(whole) == curves(pieces)
    assert whole.steps("snapshots") == pieces.steps("snapshots") and whole.steps("preview") == pieces.steps("preview")


def test_what_came_after_the_checkpoint_is_dropped_and_done_again(tmp_path, trained, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(row, training):
        if row["step"] == 12:
            monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 1e9)  # the last checkpoint was at the row before
        if row["step"] >= 22:
            raise Killed

    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    run = new(tmp_path / "killed")
    with pytest.raises(Killed):
        Session(run).train("cpu", kill)
    killed = Run.open(run.path)
    assert killed.info.status == "running" and not killed.busy()
    assert killed.rows()[0][-1]["step"] == 22
    assert killed.cut_off() and killed.info.status == "paused" and "Resume" in killed.info.reason
    assert not killed.cut_off()
    assert Session(killed).train("cpu") == "done"
    assert same(killed, trained) and curves(killed) == curves(trained)


def test_changed_data_are_not_resumed_silently(tmp_path):
    run = new(tmp_path / "run")
    Session(run).train("cpu", command=lambda: "stop")
    assert run.info.status == "stopped"
    run.save(data=DataSpec(name="digits", size=8, limit=160))
    assert Session(run).train("cpu") == "failed"
    assert "200 training examples then, 160 now" in run.info.reason


# --- one writer -----------------------------------------------------------------------------------------------


def test_only_one_process_trains_a_run(tmp_path):
    run = new(tmp_path / "run")

    def again(row, training):
        other = Run.open(run.path)
        assert other.busy() and not other.cut_off()
        with pytest.raises(RunError, match="in use"), other.locked("busy", 0.0):
            pass

    assert not run.busy()
    Session(run).train("cpu", again, command=lambda: "pause")
    assert not run.busy()


def test_changes_of_two_readers_do_not_undo_each_other(tmp_path):
    one, two = new(tmp_path / "run"), Run.open(tmp_path / "run")
    one.save(title="new")
    two.save(order=3.0)
    info = Run.open(tmp_path / "run").info
    assert (info.title, info.order) == ("new", 3.0)
    assert two.save(only_from=("queued",), status="paused") and not one.save(only_from=("queued",), status="running")
    assert one.info.status == "paused"
    assert Session(one).train("cpu", only_from=("queued",)) == "paused" and not one.rows()[0]


# --- disk full ------------------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_run_with_a_sentence_and_loses_nothing(tmp_path, trained, monkeypatch):
    run, calls = new(tmp_path / "run"), []

    def full(tensors, path, metadata=None):
        calls.append(path)
        if len(calls) > 9:
            Path(path).write_bytes(b"half a fi")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save_file(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_file", full)
        assert Session(run).train("cpu") == "failed"
    assert "The disk is full. Free some space, then resume." in Run.open(run.path).info.reason
    assert run.model() and not list(run.path.rglob("*.tmp"))
    assert Session(run).train("cpu") == "done" and same(run, trained)


def test_a_disk_too_full_to_say_so_still_leaves_a_readable_folder(tmp_path, trained, monkeypatch):
    run = new(tmp_path / "run")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:

        def stop_here(row, training):
            return row["step"] >= 9 and patch.setattr(os, "replace", full)

        with pytest.raises(RunError, match=r"disk is full. Free some space"):
            Session(run).train("cpu", stop_here)
        with pytest.raises(RunError, match="disk is full"):
            run.save(title="new")
    found = Run.open(run.path)
    assert found.info.status == "running" and found.info.title != "new" and found.model()
    assert found.cut_off() and Session(found).train("cpu") == "done" and same(found, trained)


def test_a_full_disk_at_a_row_is_told_too(tmp_path, monkeypatch):
    run = new(tmp_path / "run")

    def full(row, training):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert Session(run).train("cpu", full) == "failed" and run.info.reason.startswith("The disk is full.")


# --- folders that are not as they should be -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "damaged"),
        ('{"id": "x", "mod', "damaged"),
        ("[1, 2]", "damaged"),
        ("null", "damaged"),
        ("\x00" * 50, "damaged"),
        ('{"id": "x"}', "model: Field required"),
        ('{"version": 99}', "newer version .* Update"),
    ],
)
def test_a_broken_run_json_is_told_and_does_not_hide_the_others(tmp_path, trained, text, says):
    shutil.copytree(trained.path, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/run.json").write_text(text)
    with pytest.raises(RunError, match=says):
        Run.open(tmp_path / "bad")
    assert [run.info.id for run in scan(tmp_path)] == ["good"]
    assert [path.name for path, _ in broken(tmp_path)] == ["bad"]


@pytest.mark.parametrize("field", ["code", "width"])
def test_numbers_that_are_none_are_refused(copy, field, tmp_path):
    with pytest.raises(FieldError, match=f"{field}: nan is not allowed; give a whole number from"):
        create("vae", DATA, {field: float("nan")}, path=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    raw = json.loads((copy.path / "run.json").read_text())
    raw["params"][field] = float("nan")
    (copy.path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(RunError, match=f"{field}: nan is not allowed"):
        Run.open(copy.path).model()
    assert Session(copy).train("cpu", only_from=("done",)) == "failed" and field in copy.info.reason


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _text(path):
    path.write_text("I am no tensor")


def _foreign(path):
    save_file({"somebody": torch.zeros(3)}, path)


def _shapes(path):
    tensors = read_tensors(path)[0]
    save_file({name: torch.zeros(2, 2) for name in tensors}, path)


def _nan(path):
    tensors = read_tensors(path)[0]
    save_file({name: torch.full_like(value, float("nan")) for name, value in tensors.items()}, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_cut, "damaged or no safetensors file"),
        (_text, "damaged or no safetensors file"),
        (_foreign, "of another model"),
        (_shapes, "belongs to other parameters"),
        (_nan, "no numbers"),
        (Path.unlink, "is missing"),
    ],
)
def test_weights_that_do_not_fit_are_told(copy, damage, says):
    damage(copy.path / "weights.safetensors")
    with pytest.raises(RunError, match=says) as error:
        copy.model()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [_cut, _text, _foreign, _shapes])
def test_a_damaged_checkpoint_fails_with_a_sentence(tmp_path, damage):
    run = new(tmp_path / "run")
    Session(run).train("cpu", command=lambda: "pause")
    damage(run.path / "resume/state.safetensors")
    assert Session(run).train("cpu") == "failed"
    assert "state.safetensors" in run.info.reason and "\n" not in run.info.reason
    assert run.model()


def test_a_folder_that_lacks_files_still_opens(copy):
    for item in copy.path.iterdir():
        if item.name != "run.json":
            shutil.rmtree(item) if item.is_dir() else item.unlink()
    run = Run.open(copy.path)
    assert run.rows() == ([], 0) and run.heartbeat() == {} and run.steps("preview") == [] and run.command() == ""
    with pytest.raises(RunError, match="missing"):
        run.model()
    assert new(copy.path.parent / "new").steps("snapshots") == []
    with pytest.raises(RunError, match="not been trained yet"):
        Run.open(copy.path.parent / "new").model()


def test_settings_name_the_field_and_what_is_allowed(tmp_path):
    for kind, values, says in [
        (Plan, {"epochs": 0}, "epochs: 0 is not allowed; it must be greater than or equal to 1"),
        (Plan, {"lr": float("nan")}, "lr: nan is not allowed"),
        (Plan, {"speed": 1}, "speed: there is no such setting; there are epochs,"),
        (DataSpec, {"size": 4}, "size: 4 is not allowed; it must be greater than or equal to 8"),
    ]:
        with pytest.raises(FieldError, match=says):
            parse(kind, values)
    with pytest.raises(FieldError, match="there is no 'nope'; choose one of"):
        create("nope", DATA, path=tmp_path / "x")
    new(tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run"):
        new(tmp_path / "run")
