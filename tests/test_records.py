"""What stands on the disk: files written in one step, run folders, sweeps, maps; a model applied in batches."""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import CATALOG, DataError, DataSpec, FieldError, Plan, Run, RunError, inference, paths
from aecore.catalog import entry, seeded_build
from aecore.data.base import Batch
from aecore.jobs.queue import Queue
from aecore.jobs.sweeps import submit, varied
from aecore.models.base import Autoencoder
from aecore.models.entry import Param
from aecore.nn.networks import Reshape
from aecore.runs import export, files, maps, session, sweeps
from aecore.runs.folder import RESUMABLE, VERSION
from aecore.runs.library import Library, create, find, new_id, pretrained, scan
from aecore.runs.session import Session
from aecore.settings import parse
from tests import conftest

DATA = DataSpec(name="digits8", limit=40)
PLAN = Plan(epochs=2, batch=10, held_out=10, precision="fp32")


def new(name: str = "run", **more) -> Run:
    return create("vae", DATA, {"code": 2, "width": 16}, PLAN, path=paths.root() / name, **more)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    path, seen = tmp_path / "file", []
    files.write_text(path, "before")

    def write(aside):
        seen.append((aside.parent, path.read_text()))
        aside.write_text("after")

    files.write_aside(path, write)
    assert seen == [(tmp_path, "before")] and path.read_text() == "after"

    def fail(aside):
        aside.write_text("half of it")
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(RunError, match=r"file could not be written\. Input/output error\."):
        files.write_aside(path, fail)
    assert path.read_text() == "after" and [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x"), "The disk is full. Free some space, then resume."),
        (OSError(errno.EDQUOT, "x"), "The disk is full. Free some space, then resume."),
        (OSError(None, "I/O error (os error 28)"), "The disk is full. Free some space, then resume."),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied."),
    ],
)
def test_what_helps_on_a_disk_is_said(error, said):
    assert files.remedy(error) == said


def test_tensors_are_read_as_they_were_written(tmp_path):
    tensors = {"a": torch.rand(3, 4).T, "b": torch.arange(5)}
    files.write_tensors(tmp_path / "file", tensors, {"model": "vae"})
    found, metadata = files.read_tensors(tmp_path / "file")
    assert metadata == {"model": "vae"} and all(torch.equal(found[name], value) for name, value in tensors.items())


# --- a run's folder ---------------------------------------------------------------------------------------------------


def test_a_new_run_holds_what_it_was_made_from():
    before = time.time()
    run = new(owner="me", group="tiny.1")
    info = Run.open(run.path).info
    assert (info.id, info.status, info.owner, info.group, info.version) == ("run", "queued", "me", "tiny.1", VERSION)
    assert (info.title, info.params["code"], info.plan, info.data) == (CATALOG["vae"].name, 2, PLAN, DATA)
    assert before <= info.created == info.order <= time.time() and info.taken is info.started is None
    own = create("multi_vae", DataSpec(name="ratings"))
    assert own.info.plan == Plan(**CATALOG["multi_vae"].plan) and own.path.parent == paths.root()


def test_ids_sort_by_time_and_cannot_be_guessed():
    first, second = new_id("vae"), new_id("vae")
    assert first != second and "-vae-" in first and len(first.rsplit("-", 1)[1]) == 6
    assert time.strptime(first[:13], "%y%m%d-%H%M%S")


def test_a_status_changes_only_from_where_it_may():
    run = new()
    for status, only_from, changed in (
        ("running", ("queued",), True),
        ("paused", ("queued",), False),
        ("paused", ("running",), True),
        ("queued", RESUMABLE, True),
    ):
        before = run.info.status
        assert run.save(only_from=only_from, status=status) == changed
        assert Run.open(run.path).info.status == run.info.status == (status if changed else before)
    assert RESUMABLE == ("paused", "stopped", "failed")


@pytest.mark.parametrize(("version", "opens"), [(1, True), (2, True), (3, False)])
def test_a_run_of_an_older_version_opens_and_of_a_newer_one_says_so(version, opens):
    run = new()
    (run.path / "run.json").write_text(run.info.model_copy(update={"version": version}).model_dump_json())
    if opens:
        try:
            assert Run.open(run.path).info.version == version
        except RunError as error:
            pytest.fail(str(error))
    else:
        with pytest.raises(RunError, match=r"format 3, this one knows 2"):
            Run.open(run.path)


def test_steps_are_in_the_order_of_numbers_and_records_that_are_damaged_are_empty():
    run = new()
    for folder, names in (("snapshots", ("9", "10", "100")), ("preview", ("2",))):
        (run.path / folder).mkdir()
        for name in names:
            (run.path / folder / f"{name}.safetensors").touch()
    (run.path / "snapshots/.7.tmp").touch()
    assert run.steps("snapshots") == [9, 10, 100] and run.steps("preview") == [2]
    assert run.heartbeat() == {} and run.command() == ""
    (run.path / "heartbeat.json").write_text("{")
    run.ask("pause")
    assert run.heartbeat() == {} and run.command() == "pause"


def test_rows_that_are_no_json_are_left_out_and_unfinished_ones_wait():
    run = new()
    (run.path / "rows.jsonl").write_bytes(b'{"step": 1}\n{"st\n{"step": 2}\n{"step": 3}')
    rows, end = run.rows()
    assert [row["step"] for row in rows] == [1, 2] and end == 29
    assert run.rows(12) == ([{"step": 2}], 29) and run.rows(29) == ([], 29) and run.rows(10**6) == (rows, 29)


def test_one_process_holds_a_lock_and_a_run_whose_process_is_gone_is_cut_off():
    run, other = new(status="running"), Run.open(paths.root() / "run")
    with run.locked("busy", 0.0):
        assert other.busy() and not other.cut_off()
        with pytest.raises(RunError, match="in use by another process"), other.locked("busy", 0.0):
            pass
        with other.locked("edit", 0.0):
            pass  # another lock
    assert not other.busy() and other.cut_off("failed", "a reason")
    assert (run.refresh().info.status, run.info.reason) == ("failed", "a reason") and run.info.ended is not None
    assert not other.cut_off() and run.refresh().info.status == "failed"


@pytest.mark.parametrize(("bits", "worst"), [(32, 0.0), (16, 1e-3), (12, 4e-2)])
def test_weights_are_kept_in_so_many_bits(bits, worst):
    run, model = new(), aecore.build("vae", (1, 8, 8), code=2, width=64)
    run.save(shape=(1, 8, 8), params={**run.info.params, "width": 64})
    run.save_model(model, bits)
    found, metadata = files.read_tensors(run.path / "weights.safetensors")
    kinds = {value.dtype for value in found.values()}
    assert metadata == {"model": "vae"} and (kinds == {torch.float32}) == (bits == 32)
    errors = [float((run.model().state_dict()[name] - value).abs().max()) for name, value in model.state_dict().items()]
    assert max(errors) <= worst * max(float(value.abs().max()) for value in model.state_dict().values())
    assert (max(errors) > 0) == (bits < 32)
    assert not run.model().training and not any(p.requires_grad for p in run.model().parameters())


def test_published_weights_leave_out_what_only_training_needs():
    model = aecore.build("vae", (1, 8, 8), code=2, width=16)
    model.training_only = ("encoder.",)
    run = new()
    run.save_model(model, lean=True)
    names = set(files.read_tensors(run.path / "weights.safetensors")[0])
    assert names == {name for name in model.state_dict() if not name.startswith("encoder.")}


def test_a_library_reads_again_what_has_changed_and_lists_the_newest_first():
    for number, name in enumerate(("a", "b", "c")):
        new(name).save(created=float([5, 9, 7][number]))
    (paths.root() / ".hidden").mkdir()
    library = Library(paths.root(), seconds=1000.0)
    assert [run.path.name for run in library.runs()] == ["b", "c", "a"]
    Run.open(paths.root() / "a").save(created=99.0)
    assert [run.path.name for run in library.runs()] == ["b", "c", "a"]
    library.forget()
    assert [run.path.name for run in library.runs()] == ["a", "b", "c"]
    assert library.runs()[0] is not library.runs()[0]
    assert [run.path.name for run in scan(paths.root())] == ["a", "b", "c"]


def test_examples_are_listed_in_the_order_of_their_recipe_and_found_among_sweeps(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "PRETRAINED", tmp_path / "examples")
    for name, order in (("x", 3.0), ("y", 1.0), ("z", 2.0)):
        create("vae", DATA, path=tmp_path / "examples" / name).save(order=order)
    one = create("vae", DATA, path=tmp_path / "examples/sweeps/tiny/tiny-1")
    assert [run.path.name for run in pretrained()] == ["y", "z", "x"]
    assert find("tiny-1").path == one.path and find("x").pretrained and not new().pretrained
    new("x")  # one's own comes first
    assert find("x").path == paths.root() / "x"


# --- a session --------------------------------------------------------------------------------------------------------


def test_a_checkpoint_knows_how_far_the_rows_were_written():
    run = new()
    assert Session(run).train("cpu", command=lambda: "pause" if len(run.rows()[0]) == 3 else "") == "paused"
    _, metadata = files.read_tensors(run.path / "resume/state.safetensors")
    state = json.loads(metadata["state"])
    assert state["row_bytes"] == (run.path / "rows.jsonl").stat().st_size > 0
    assert (state["examples"], state["step"], state["draws"]) == (40, 3, 3)
    with open(run.path / "rows.jsonl", "a") as rows:
        rows.write('{"step": 99}\n')
    for folder, step in (("snapshots", 99), ("preview", 98), ("preview", 3)):
        (run.path / folder / f"{step}.png").touch()
    training = aecore.Training(seeded_build(run.entry, (1, 8, 8), run.info.params, 0), run.data(), PLAN, "cpu")
    assert Session(run).restore(training) and training.step == 3
    assert [row["step"] for row in run.rows()[0]] == [1, 2, 3]
    assert max(run.steps("snapshots")) <= 3 and max(run.steps("preview")) == 3


def test_a_run_without_a_checkpoint_begins_with_no_rows():
    run = new()
    (run.path / "rows.jsonl").write_text('{"step": 1}\n')
    training = aecore.Training(seeded_build(run.entry, (1, 8, 8), run.info.params, 0), run.data(), PLAN, "cpu")
    assert not Session(run).restore(training) and run.rows() == ([], 0)


def test_a_heartbeat_says_how_far_it_is_and_how_long_it_takes():
    run = new()
    model = seeded_build(run.entry, (1, 8, 8), run.info.params, 0)
    training = aecore.Training(model, run.data(), PLAN, "cpu")
    Session(run)._write_heartbeat(training)
    assert (run.heartbeat()["progress"], run.heartbeat()["left"]) == (0.0, -1.0)
    training.draws, training.step, training.seconds = 2, 2, 6.0
    Session(run)._write_heartbeat(training)
    beat = run.heartbeat()
    assert (beat["progress"], beat["epoch"], beat["step"], beat["seconds"]) == (0.25, 0.5, 2, 6.0)
    assert beat["left"] == pytest.approx(18.0) and beat["time"] == pytest.approx(time.time(), abs=60)


def test_snapshots_are_spread_over_the_training(monkeypatch):
    monkeypatch.setattr(session, "SNAPSHOTS", 3)
    run = new()
    marks = {"at": 0}

    def kept(row, training):
        marks["all"] = training.eval_steps

    assert Session(run).train("cpu", kept) == "done"
    every = marks["all"]
    assert run.steps("snapshots") == [every[0], every[round((len(every) - 1) / 2)], every[-1]]
    assert len(run.steps("preview")) > 3
    first = files.read_tensors(run.path / f"snapshots/{every[0]}.safetensors")[0]
    assert {value.dtype for value in first.values() if value.is_floating_point()} == {torch.float16}


def test_a_run_records_its_times_its_data_and_its_machine():
    run = new()
    assert Session(run).train("cpu") == "done"
    info = Run.open(run.path).info
    assert info.created <= info.started <= info.taken <= info.ended and info.reason == ""
    assert (info.shape, info.device, info.versions["torch"]) == ((1, 8, 8), "CPU", torch.__version__)
    assert info.source and info.classes == tuple("0123456789") and "mse" in info.metrics
    assert not (run.path / "resume").exists() and not (run.path / ".reserve").exists()


def test_a_model_of_images_is_not_trained_on_ratings():
    run = create("vae", DataSpec(name="ratings"), {"code": 2, "width": 16}, PLAN, path=paths.root() / "run")
    assert Session(run).train("cpu") == "failed"
    assert run.info.reason.startswith("data:") and "takes image or vector data, not ratings" in run.info.reason


# --- sweeps -----------------------------------------------------------------------------------------------------------

BY_VALUE = {
    "id": "tiny", "title": "Tiny", "model": "beta_vae", "symbol": "β", "vary": "beta", "values": [2.0, 8.0], "seeds": 2,
    "data": {"name": "digits8"}, "params": {"code": 2, "width": 16}, "plan": {"batch": 50}, "snapshots": 3,
    "shown": {"name": "digits"},
}  # fmt: skip
BY_MODEL = {
    **BY_VALUE, "id": "both", "title": "Both", "vary": "model", "model": "vae", "seeds": 1,
    "models": [
        {"title": "plain", "model": "deep", "plan": {"epochs": 3, "batch": 10}},
        {"title": "other", "params": {"code": 4}, "data": {"size": 8}, "snapshots": 9},
    ],
}  # fmt: skip


def test_a_sweep_of_values_is_expanded_seed_after_seed():
    found = list(sweeps.expand(BY_VALUE))
    assert [(value, seed) for value, seed, _ in found] == [(2.0, 0), (8.0, 0), (2.0, 1), (8.0, 1)]
    assert found[1][2] == {
        "id": "tiny-2", "title": "Tiny, β = 8.0", "model": "beta_vae", "data": {"name": "digits8"},
        "params": {"code": 2, "width": 16, "beta": 8.0}, "plan": {"batch": 50, "seed": 0}, "snapshots": 3,
        "shown": {"name": "digits"},
    }  # fmt: skip
    later = found[3][2]
    assert later["id"] == "tiny-2-seed-1" and later["plan"]["seed"] == 1 and "snapshots" not in later
    assert len(list(sweeps.expand(BY_VALUE, seeds=1))) == 2


def test_a_sweep_of_models_gives_priority_to_what_each_says():
    first, second = (single for _, _, single in sweeps.expand(BY_MODEL))
    assert (first["model"], first["title"], first["snapshots"]) == ("deep", "Both: plain", 3)
    assert first["plan"] == {"batch": 10, "epochs": 3, "seed": 0} and first["params"] == {"code": 2, "width": 16}
    assert (second["model"], second["snapshots"]) == ("vae", 9)
    assert second["params"] == {"code": 4, "width": 16} and second["data"] == {"name": "digits8", "size": 8}


def test_a_variant_replaces_values_data_and_plan():
    found = varied(BY_VALUE, [1.0], {"name": "digits"}, {"epochs": 7, "batch": 20}, seeds=3)
    assert (found["values"], found["data"], found["seeds"]) == ([1.0], {"name": "digits"}, 3)
    assert found["plan"] == {"batch": 20, "epochs": 7} and "shown" not in found and BY_VALUE["seeds"] == 2
    both = varied(BY_MODEL, ["other"], {"name": "digits"}, {})
    assert [single["title"] for single in both["models"]] == ["other"] and both["seeds"] == 1


def test_a_comparison_is_one_group_of_its_owner_and_is_gathered_by_value_and_seed(monkeypatch):
    monkeypatch.setattr(sweeps, "recipes", lambda: [BY_VALUE])
    queue = Queue(paths.root())
    group, other = submit(BY_VALUE, queue, "me"), submit(BY_VALUE, queue, "me")
    assert group != other and group.startswith("tiny.") and len(group) == len("tiny.") + 6
    runs = sweeps.members(group, queue.listing())
    told = [(run.info.params["beta"], run.info.plan.seed) for run in runs]
    assert told == [(2.0, 0), (8.0, 0), (2.0, 1), (8.0, 1)]
    assert all((run.info.owner, run.info.status) == ("me", "queued") for run in runs)
    metrics = iter([{"mse": 1.0}, {"mse": 4.0}, {"mse": 2.0}, {"mse": 8.0}])
    for run, found in zip(runs, metrics, strict=True):
        run.save(metrics=found, status="done" if found["mse"] != 4.0 else "failed")
    queue.forget()
    found = sweeps.gathered(group, queue.listing())
    assert found.values == (2.0, 8.0) and [run.info.plan.seed for run in found.runs] == [0, 1]
    mean, deviation, seeds = found.spread("mse")
    assert mean.tolist() == [1.5, 8.0] and seeds.tolist() == [2, 1]
    assert deviation[0] == pytest.approx(np.sqrt(0.5)) and np.isnan(deviation[1])
    missing = found.spread("nothing")
    assert np.isnan(missing[0]).all() and missing[2].tolist() == [0, 0]


# --- maps -------------------------------------------------------------------------------------------------------------


def test_a_map_belongs_to_its_weights_method_number_and_half(monkeypatch, tmp_path):
    monkeypatch.setattr(maps, "cache_dir", lambda: tmp_path / "cache")
    run, points = new(), np.arange(6, dtype=np.float64).reshape(3, 2)
    with pytest.raises(RunError, match="cannot be read"):
        maps.stored(run, "umap", 3)
    (run.path / "weights.safetensors").write_bytes(b"one")
    assert maps.stored(run, "umap", 3) is None
    assert maps.store(run, "umap", 3, "test", points) == run.path / "maps/umap-test-3.npz"
    found = maps.stored(run, "umap", 3)
    assert found is not None and found.dtype == np.float32 and (found == points).all()
    for method, n, split in (("tsne", 3, "test"), ("umap", 4, "test"), ("umap", 3, "train")):
        assert maps.stored(run, method, n, split) is None
    (run.path / "weights.safetensors").write_bytes(b"two")
    assert maps.stored(run, "umap", 3) is None
    (run.path / "maps/umap-test-3.npz").write_bytes(b"PK broken")
    assert maps.stored(run, "umap", 3) is None


def test_a_map_of_an_example_or_of_a_folder_that_is_read_only_goes_to_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(maps, "cache_dir", lambda: tmp_path / "cache")
    run, points = new(), np.zeros((3, 2))
    (run.path / "weights.safetensors").write_bytes(b"one")
    (run.path / "maps").write_text("a file where the folder should be")
    path = maps.store(run, "umap", 3, "test", points)
    assert path == tmp_path / "cache/maps/run/umap-test-3.npz" and maps.stored(run, "umap", 3) is not None
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").write_text("here, too")
    with pytest.raises(RunError, match="could not be kept"):
        maps.store(run, "umap", 3, "test", points)
    monkeypatch.setattr(paths, "PRETRAINED", paths.root())
    (tmp_path / "cache").unlink()
    (run.path / "maps").unlink()
    assert maps.store(run, "umap", 3, "test", points).is_relative_to(tmp_path / "cache")
    assert maps.store(run, "umap", 3, "test", points, tmp_path / "there").parent == tmp_path / "there"


# --- exports ----------------------------------------------------------------------------------------------------------


def test_rows_as_csv_have_steps_first_then_training_then_held_out():
    run = new()
    rows = [
        {"step": 1, "epoch": 0.5, "train": {"recon": 2.0}, "seconds": 0.1},
        {"step": 2, "epoch": 1.0, "train": {"recon": 1.5, "kl": 0.25}, "test": {"recon": 3.0}, "seconds": 0.2},
    ]
    (run.path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert export.rows_csv(run).decode().splitlines() == [
        "step,epoch,seconds,train/recon,train/kl,test/recon", "1,0.5,0.1,2.0,,", "2,1.0,0.2,1.5,0.25,3.0",
    ]  # fmt: skip


@pytest.mark.parametrize(("fps", "milliseconds"), [(12, 80), (10, 100), (200, 20), (3, 330)])
def test_a_film_keeps_its_pace_in_hundredths_of_a_second(fps, milliseconds):
    import io

    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (3, 6, 6)).astype(np.uint8)
    film = Image.open(io.BytesIO(export.gif(frames, fps)))
    assert (film.n_frames, film.info.get("duration", 0), film.info["loop"]) == (3, milliseconds, 0)


def test_a_network_for_onnx_does_not_fix_the_length_of_a_batch():
    net = nn.Sequential(nn.Linear(3, 8), nn.Sequential(Reshape((2, 4))))
    x = torch.rand(5, 3)
    before = net(x)
    export._free_the_batch(net)
    assert isinstance(net[1][0], nn.Unflatten) and torch.equal(net(x), before)


# --- the catalog and its settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("param", "allowed", "refused"),
    [
        (Param(4, 2, 9), {"2": 2, 9: 9, 3.0: 3}, ("1", "10", 2.5, "x", True, float("nan"), None)),
        (Param(0.5, -1.0, 1.0), {"-1": -1.0, 1: 1.0, "0.25": 0.25}, ("-1.01", 1.01, "inf", False)),
        (Param(True), {"true": True, "False": False, 1: True, "0": False, False: False}, ("yes", 2, "")),
        (Param("a", choices=("a", "b")), {"a": "a", "b": "b"}, ("c", "A", "")),
    ],
)
def test_a_parameter_takes_its_range_with_both_ends(param, allowed, refused):
    for value, expected in allowed.items():
        try:
            found = param.check("p", value)
        except FieldError as error:
            pytest.fail(str(error))
        assert found == expected and type(found) is type(param.default)
    for value in refused:
        with pytest.raises(FieldError, match=r"^p: "):
            param.check("p", value)


def test_what_a_parameter_allows_is_said():
    said = [p.allowed for p in (Param(4, 2, 9), Param(0.5, 0, 1), Param(True), Param("a", choices=("a", "b")))]
    assert said == ["a whole number from 2 to 9", "a number from 0 to 1", "true or false", "one of a, b"]


def test_an_entry_fills_in_its_defaults_and_names_what_it_does_not_have():
    vae = entry("vae")
    assert vae.check({"code": "3"}) == {**{name: param.default for name, param in vae.params.items()}, "code": 3}
    with pytest.raises(FieldError, match="speed: vae has no such parameter; it has code, "):
        vae.check({"speed": 1})
    with pytest.raises(FieldError, match="model: there is no 'nope'; choose one of linear, "):
        entry("nope")
    assert all(key == one.key for key, one in CATALOG.items())


def test_new_weights_depend_on_the_seed_alone_and_leave_the_random_state():
    state = torch.get_rng_state()
    first = aecore.build("deep", (1, 8, 8), seed=3, code=2, width=16).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(7)
    again, other = (aecore.build("deep", (1, 8, 8), seed=seed, code=2, width=16).state_dict() for seed in (3, 4))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "epochs: 0 is not allowed; it must be greater than or equal to 1"),
        ({"epochs": "10001"}, "epochs: '10001' is not allowed; it must be less than or equal to 10000"),
        ({"batch": 1}, "batch: 1 is not allowed; it must be greater than or equal to 2"),
        ({"lr": 0}, "lr: 0 is not allowed; it must be greater than 0"),
        ({"lr": 1.5}, "lr: 1.5 is not allowed; it must be less than or equal to 1"),
        ({"clip": -1}, "clip: -1 is not allowed; it must be greater than or equal to 0"),
        ({"seed": -1}, "seed: -1 is not allowed; it must be greater than or equal to 0"),
        ({"held_out": 0}, "held_out: 0 is not allowed; it must be greater than or equal to 1"),
        ({"precision": "fp8"}, "precision: 'fp8' is not allowed; it must be 'auto', 'bf16' or 'fp32'"),
        ({"pace": 1}, f"pace: there is no such setting; there are {', '.join(Plan.model_fields)}"),
    ],
)
def test_a_plan_says_what_it_allows(values, said):
    with pytest.raises(FieldError) as error:
        parse(Plan, values)
    assert str(error.value) == said


def test_a_plan_takes_texts_and_the_ends_of_its_ranges():
    found = parse(Plan, {"epochs": "10000", "batch": "2", "lr": "1", "seed": str(2**31 - 1), "decay": "false"})
    assert found == Plan(epochs=10_000, batch=2, lr=1.0, seed=2**31 - 1, decay=False)
    usual = Plan()
    assert (usual.epochs, usual.batch, usual.lr, usual.decay, usual.clip, usual.seed) == (10, 128, 1e-3, True, 0.0, 0)
    assert (usual.precision, usual.held_out) == ("auto", 1000)


def test_runs_lie_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("AECORE_RUNS", "/somewhere")
    assert str(paths.root()) == "/somewhere"
    monkeypatch.delenv("AECORE_RUNS")
    assert str(paths.root()) == "runs" and paths.PRETRAINED.name == "pretrained"
    assert os.path.exists(paths.PRETRAINED / "recipe.toml")


# --- a model in batches -----------------------------------------------------------------------------------------------


class Noisy(Autoencoder):
    """Its code has noise, and doubles while it is trained; attributes shift it."""

    attributes = 2

    def __init__(self):
        super().__init__((1, 4, 4), 16)
        self.shift = nn.Parameter(torch.tensor([10.0, 100.0]))

    def encode(self, x: Tensor, attributes: Tensor | None = None) -> Tensor:
        code = x.flatten(1) * (2.0 if self.training else 1.0) + 0.01 * torch.rand(len(x), 16)
        return code if attributes is None else code + (attributes @ self.shift)[:, None]

    def decode(self, z: Tensor, attributes: Tensor | None = None) -> Tensor:
        z = z if attributes is None else z - (attributes @ self.shift)[:, None]
        return z.unflatten(1, (1, 4, 4))


@pytest.fixture
def split():
    return conftest.with_attributes(conftest.images((1, 4, 4), n=30), 2).test


def test_codes_come_in_the_order_of_the_ids_from_batches(split, monkeypatch):
    monkeypatch.setattr(inference, "batch_size", lambda shape: 4)
    model, ids = Noisy().train(), [7, 3, 3, 29, 0, 11, 5, 8, 2]
    state = torch.get_rng_state()
    found = inference.encode(model, split, ids)
    assert model.training and torch.equal(state, torch.get_rng_state())
    torch.manual_seed(0)
    parts = []
    for start in (0, 4, 8):
        x = split.batch(torch.tensor(ids[start : start + 4])).x
        parts.append(x.flatten(1) + 0.01 * torch.rand(len(x), 16))
    np.testing.assert_allclose(found, torch.cat(parts).numpy(), atol=1e-6)
    assert (inference.encode(model, split, ids) == found).all() and found.dtype == np.float32


def test_attributes_go_through_encoder_and_decoder_where_they_are_asked_for(split):
    model = Noisy()
    plain, told = inference.encode(model, split, range(6)), inference.encode(model, split, range(6), conditioned=True)
    given = inference.attributes_of(split, range(6))
    np.testing.assert_allclose(told - plain, np.repeat(given @ [[10.0], [100.0]], 16, 1), atol=1e-4)
    again = inference.autoencode(model, split, range(6))
    np.testing.assert_allclose(again, inference.examples(split, range(6)).numpy(), atol=0.02)
    decoded = inference.decode(model, told, torch.from_numpy(given))
    np.testing.assert_allclose(decoded.reshape(6, 16), plain, atol=1e-4)


def test_codes_are_decoded_in_batches_each_with_its_condition(monkeypatch):
    monkeypatch.setattr(inference, "batch_size", lambda shape: 4)
    model, codes = Noisy(), np.random.default_rng(0).random((10, 16))
    given = torch.arange(20.0).reshape(10, 2)
    found = inference.decode(model, codes, given)
    expected = model.decode(torch.tensor(codes, dtype=torch.float32), given).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert inference.decode(model, codes[:0]).shape == (0, 1, 4, 4)


def test_batches_hold_so_many_numbers():
    assert [inference.batch_size(shape) for shape in ((1, 28, 28), (2,), (3, 256, 256))] == [255, 1000, 8]


def test_ids_are_checked_and_counted_from_the_first(split):
    assert inference.first(split).tolist() == list(range(30)) and inference.first(split, 4).tolist() == [0, 1, 2, 3]
    assert inference.first(split, 99).tolist() == list(range(30)) and inference.checked(split, [29, 0]).tolist() == [
        29,
        0,
    ]
    for ids, named in (([0, 30], "30"), ([-1, 5], "-1"), ([-1, 31], "31")):
        with pytest.raises(DataError, match=f"There is no example {named}: this half of the data has 30"):
            inference.checked(split, ids)


def test_what_a_model_or_its_data_lack_is_said(split):
    with pytest.raises(DataError, match="Noisy cannot density"):
        inference.require(Noisy(), "encode", "density")
    assert isinstance(inference.require(Noisy(), "encode", "decode"), Noisy)
    with pytest.raises(DataError, match="vectors of 7 numbers"):
        inference.require_images((7,))
    inference.require_images((1, 4, 4))
    with pytest.raises(DataError, match="no attributes"):
        inference.attributes_of(conftest.images((1, 4, 4)).test, [0])
    with pytest.raises(DataError, match="no factors"):
        inference.factors_of(split, [0])


def test_a_condition_that_the_data_lack_is_left_out(split):
    bare = replace(conftest.images((1, 4, 4), n=30)).test
    told = inference.encode(Noisy(), bare, range(3), conditioned=True)
    assert told.max() < 2 and isinstance(bare.batch(torch.arange(1)), Batch)
