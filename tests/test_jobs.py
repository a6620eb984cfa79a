"""The queue, with real worker processes on tiny data.

AECORE_KILLS=20 kills a training twenty times instead of twice.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from aecore import DataSpec, FieldError, Plan, Run, RunError, paths
from aecore.errors import Forbidden
from aecore.jobs import speed
from aecore.jobs.analyses import Analyses
from aecore.jobs.queue import Queue, digest, fair_order
from aecore.jobs.supervisor import POLL_SECONDS, Supervisor
from aecore.runs import folder
from aecore.runs.files import read_tensors
from aecore.runs.library import create
from aecore.runs.maps import stored

KILLS = int(os.environ.get("AECORE_KILLS", 2))
DATA = DataSpec(name="digits", size=8, limit=200)
SHORT = Plan(epochs=2, batch=20, held_out=20)
ENDLESS = Plan(epochs=10_000, batch=20, held_out=20)
ANN, BOB = digest("ann's secret"), digest("bob's secret")


@pytest.fixture(autouse=True)
def idle():
    """Here they do start."""


@pytest.fixture(scope="module", autouse=True)
def frequent_checkpoints():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AECORE_CHECKPOINT_SECONDS", "0.2")
        yield


def one_worker(folder: Path) -> Supervisor:
    return Supervisor(Queue(folder), threads=1, devices=["cpu"])


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory) -> Iterator[Supervisor]:
    """One supervisor with its worker for all tests that leave it as they found it."""
    with one_worker(tmp_path_factory.mktemp("runs")) as supervisor:
        yield supervisor


@pytest.fixture
def queue(supervisor) -> Queue:
    return supervisor.queue


def new(queue: Queue, name: str, who: str = ANN, plan: Plan = SHORT, **more) -> Run:
    return create("vae", DATA, {"code": 2, "width": 16}, plan, path=queue.folder / name, owner=who, **more)


def until(condition: Callable[[], object], seconds: float = 90.0):
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return answer


def is_now(run: Run, *statuses: str) -> Callable[[], bool]:
    return lambda: run.refresh().info.status in statuses


def pid(supervisor: Supervisor) -> int:
    return until(lambda: supervisor._workers and supervisor._workers[0]).process.pid


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def weights(run: Run) -> dict[str, torch.Tensor]:
    return read_tensors(run.path / "weights.safetensors")[0]


# --- turns ----------------------------------------------------------------------------------------------------


def run_of(owner: str, order: float, taken: float | None = None):
    return SimpleNamespace(info=SimpleNamespace(owner=owner, order=order, taken=taken))


def test_owners_take_turns_however_many_runs_one_submits():
    greedy = [run_of("a", order) for order in range(5)]
    modest = [run_of("b", 10), run_of("b", 11), run_of("c", 12)]
    order = fair_order([*modest, *greedy], [])
    assert "".join(run.info.owner for run in order) == "abcabaaa"
    assert [run.info.order for run in order if run.info.owner == "a"] == [0, 1, 2, 3, 4]


def test_whoever_was_served_longest_ago_is_next():
    waiting = [run_of("a", 0), run_of("b", 1), run_of("c", 2)]
    served = [run_of("a", -1, taken=100.0), run_of("c", -2, taken=50.0)]
    assert [run.info.owner for run in fair_order(waiting, waiting + served)] == ["b", "c", "a"]


def test_a_waiting_run_knows_its_place_and_moves_up_in_its_own_line(tmp_path):
    queue = Queue(tmp_path)
    for name, who in [("a1", ANN), ("a2", ANN), ("a3", ANN), ("b1", BOB)]:
        queue.submit(new(queue, name, who))
    assert [run.info.id for run in queue.waiting()] == ["a1", "b1", "a2", "a3"]
    assert queue.position("a3") == 4 and queue.move_up("a3", ANN) == 3
    assert [run.info.id for run in queue.waiting()] == ["a1", "b1", "a3", "a2"]
    assert queue.move_up("b1", BOB) == 2  # never past another owner's turn
    queue.pause("a1", ANN)
    assert queue.position("a1") is None and queue.get("a1").info.status == "paused"
    assert queue.resume("a1", ANN) == 4
    queue.stop("b1", BOB)
    assert queue.get("b1").info.status == "stopped"


# --- whose runs -----------------------------------------------------------------------------------------------


def test_others_may_look_and_duplicate_but_not_change(tmp_path):
    queue = Queue(tmp_path)
    run = new(queue, "hers", title="Hers")
    queue.submit(run)
    before = (run.path / "run.json").read_text()
    for action in (queue.pause, queue.stop, queue.resume, queue.move_up, queue.delete):
        for stranger in (BOB, "", "hers"):
            with pytest.raises(Forbidden, match="somebody else's"):
                action("hers", stranger)
    assert (run.path / "run.json").read_text() == before
    twin = queue.duplicate("hers", BOB, params={"code": 3}, plan={"seed": 7}, title="His")
    assert twin.info.owner == BOB and twin.info.status == "queued" and twin.path.parent == tmp_path
    assert (twin.info.params, twin.info.plan.seed) == ({**run.info.params, "code": 3}, 7)
    with pytest.raises(FieldError, match="code: 0 is not allowed"):
        queue.duplicate("hers", BOB, params={"code": 0})
    assert ANN not in (digest(""), BOB) and "secret" not in before


def test_a_duplicate_takes_the_same_encoder(tmp_path):
    create("deep", DATA, {"code": 2}, path=tmp_path / "runs/twice", owner=ANN, encoder="vae-2d")
    assert Queue(tmp_path / "runs").duplicate("twice", BOB).info.encoder == "vae-2d"


def test_a_pretrained_example_can_be_duplicated_only(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PRETRAINED", tmp_path / "pretrained")
    create("vae", DATA, {"code": 2}, path=tmp_path / "pretrained/example", owner=ANN)
    queue = Queue(tmp_path / "runs")
    for action in (queue.pause, queue.stop, queue.resume, queue.move_up, queue.delete):
        with pytest.raises(Forbidden, match="pretrained"):
            action("example", ANN)
    assert not queue.may_change(queue.get("example"), ANN)
    assert queue.duplicate("example", ANN).path.parent == tmp_path / "runs"
    assert queue.listing(pretrained=True)[0].info.id == "example"


def test_deleting_can_be_undone_by_its_owner(tmp_path):
    queue = Queue(tmp_path)
    queue.submit(new(queue, "mine"))
    queue.delete("mine", ANN)
    assert queue.listing() == [] and queue.position("mine") is None
    with pytest.raises(RunError, match="no run"):
        queue.get("mine")
    assert [run.info.id for run in queue.deleted(ANN)] == ["mine"] and queue.deleted(BOB) == []
    with pytest.raises(Forbidden):
        queue.undelete("mine", BOB)
    assert queue.undelete("mine", ANN).path == tmp_path / "mine"
    assert queue.position("mine") == 1 and queue.deleted(ANN) == []
    queue.get("mine").save(status="running")  # by a process that is gone
    queue.delete("mine", ANN)
    assert queue.undelete("mine", ANN).info.status == "paused"


def test_an_id_from_a_link_does_not_walk_through_the_disk(tmp_path):
    queue = Queue(tmp_path / "runs")
    create("vae", DATA, path=tmp_path / "outside", owner=ANN)
    for bad in ("../outside", str(tmp_path / "outside"), "", ".bin"):
        with pytest.raises(RunError, match="no run"):
            queue.delete(bad, ANN)
    with pytest.raises(RunError, match="lies outside"):
        queue.submit(Run.open(tmp_path / "outside"))


# --- many visitors --------------------------------------------------------------------------------------------


def test_a_listing_reads_only_what_has_changed(tmp_path, monkeypatch):
    queue = Queue(tmp_path)
    first = new(queue, "0")
    for number in range(1, 200):
        shutil.copytree(first.path, tmp_path / str(number))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("{")
    opened = []
    open_ = Run.open
    monkeypatch.setattr(folder.Run, "open", lambda path: opened.append(path) or open_(path))
    assert len(queue.listing()) == 200 and len(opened) == 201 and list(queue.broken()) == ["broken"]
    for _ in range(30):
        queue.forget()
        queue.listing()
    assert len(opened) == 201
    first.save(title="changed")
    opened.clear()
    queue.forget()
    assert "changed" in [run.info.title for run in queue.listing()] and len(opened) == 1


# --- training -------------------------------------------------------------------------------------------------


def test_runs_are_trained_in_turn_and_to_the_end(queue):
    busy = new(queue, "busy", plan=ENDLESS)
    queue.submit(busy)
    until(is_now(busy, "running"))
    names = {"t1": ANN, "t2": ANN, "t3": BOB, "t4": BOB}
    trained = [new(queue, name, who) for name, who in names.items()]
    assert [queue.submit(run) for run in trained] == [2, 4, 1, 3]  # Ann is being served, so Bob is next
    queue.stop("busy", ANN)
    for run in trained:
        until(is_now(run, "done"))
        assert run.model() and run.info.versions["threads"] == "1"

    assert [run.info.id for run in sorted(trained, key=lambda run: run.info.taken)] == ["t3", "t1", "t4", "t2"]
    assert busy.refresh().info.status == "stopped"


def test_pause_resume_stop_and_delete_while_it_trains(queue):
    run = new(queue, "long", plan=ENDLESS)
    queue.submit(run)
    until(lambda: run.heartbeat().get("progress", 0) > 0)
    assert is_now(run, "running")() and queue.position("long") is None and queue.eta("long") > 0
    queue.pause("long", ANN)
    until(is_now(run, "paused"), 15)
    step = run.rows()[0][-1]["step"]
    queue.resume("long", ANN)
    until(lambda: is_now(run, "running")() and run.rows()[0][-1]["step"] > step)
    queue.stop("long", ANN)
    until(is_now(run, "stopped"), 15)
    queue.resume("long", ANN)
    until(is_now(run, "running"))
    queue.delete("long", ANN)
    assert not run.path.exists()
    assert queue.undelete("long", ANN).info.status == "stopped"
    queue.delete("long", ANN)


def test_settings_that_only_training_can_refuse_fail_with_a_sentence(queue):
    run = create(
        "vae", DataSpec(name="images", path=str(queue.folder / "no-such-folder")), path=queue.folder / "lost", owner=ANN
    )
    queue.submit(run)
    until(is_now(run, "failed"))
    assert "no-such-folder" in run.info.reason


@pytest.mark.slow
def test_a_map_is_computed_by_the_analyst_and_kept(supervisor):
    queue, analyses = supervisor.queue, supervisor.analyses
    run = new(queue, "mapped")
    queue.submit(run)
    with pytest.raises(RunError, match="no weights yet"):
        analyses.map(create("vae", DATA, path=queue.folder / "untrained", status="paused"))
    until(is_now(run, "done"))
    first = analyses.map(run, "tsne", 60)
    assert first.state == "waiting" and first.position == 1 and first.estimate > 0
    done = until(lambda: (found := analyses.map(run, "tsne", 60)).state not in ("waiting", "running") and found, 60)
    assert done.state == "done" and done.progress == 1 and done.elapsed > 0

    assert stored(run, "tsne", 60).shape == (60, 2)
    assert Analyses(queue.folder).map(run, "tsne", 60).state == "done"


# --- timing ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_configuration_is_timed_by_a_worker_that_is_replaced_when_killed_and_leaves_no_zombie(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "IDLE_SECONDS", 1.0)
    workers = []
    start = speed.Stopwatch._start
    monkeypatch.setattr(speed.Stopwatch, "_start", lambda self: workers.append(start(self)) or workers[-1])
    stopwatch = speed.Stopwatch(1, "cpu", tmp_path / "logs/speed.txt")
    order = {"model": "vae", "shape": [1, 8, 8], "batch": 32, "precision": "fp32", "held_out": 20}
    small = {**order, "params": {"code": 2, "width": 16}}
    assert stopwatch.ask(small) is None
    measured = until(lambda: stopwatch.ask(small))
    assert measured.draw > 0 and measured.where == "CPU, 1 thread" and not measured.trouble
    assert stopwatch.ask(small) is measured
    assert "code: 0 is not allowed" in until(lambda: stopwatch.ask({**order, "params": {"code": 0}})).trouble
    os.kill(workers[0].process.pid, signal.SIGKILL)
    workers[0].process.wait()
    assert until(lambda: stopwatch.ask({**small, "batch": 16})).draw > 0 and len(workers) == 2
    until(lambda: stopwatch._thread is None)
    until(lambda: all(worker.process.returncode is not None for worker in workers))  # reaped: no zombie is left
    monkeypatch.setattr(speed, "LIMIT_SECONDS", 0.0)
    assert until(lambda: stopwatch.ask({**small, "batch": 8})) is speed.TOO_SLOW
    assert not workers[2].alive


# --- crashes --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_weights_of_an_uninterrupted_run(tmp_path):
    plan = Plan(epochs=12 * (KILLS + 1), batch=20, held_out=20)
    dice = random.Random(1)
    moments = sorted(dice.random() * 0.9 for _ in range(KILLS))
    with one_worker(tmp_path) as supervisor:
        queue = supervisor.queue
        killed = new(queue, "killed", plan=plan)
        queue.submit(killed)
        for moment in moments:
            until(lambda: is_now(killed, "running")() and killed.heartbeat().get("progress", 0) >= moment)  # noqa: B023
            time.sleep(dice.random() * 0.05)
            victim = pid(supervisor)
            os.kill(victim, signal.SIGKILL)
            Run.open(killed.path).rows()
            until(is_now(killed, "failed"), 15)
            assert "SIGKILL" in killed.info.reason and not alive(victim)
            if killed.steps("snapshots"):
                assert killed.model(killed.steps("snapshots")[-1]) and killed.model()
            queue.resume("killed", ANN)
        whole = new(queue, "whole", plan=plan)
        queue.submit(whole)
        until(is_now(killed, "done"))
        until(is_now(whole, "done"))
    first, second = weights(killed), weights(whole)
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [row["step"] for row in killed.rows()[0]]
    assert steps == [row["step"] for row in whole.rows()[0]]


APP = """
import sys, time
from aecore.jobs.queue import Queue
from aecore.jobs.supervisor import Supervisor
supervisor = Supervisor(Queue(sys.argv[1]), threads=1, devices=["cpu"]).start()
while True:
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_an_app_that_dies_takes_its_worker_along_and_another_goes_on(tmp_path):
    here = Path(__file__).resolve().parent.parent
    app = subprocess.Popen([sys.executable, "-c", APP, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(here)})
    try:
        reader = one_worker(tmp_path)
        run = new(reader.queue, "run", plan=ENDLESS)
        reader.queue.submit(run)
        until(lambda: run.heartbeat().get("progress", 0) > 0)
        reader.start()
        time.sleep(3 * POLL_SECONDS)
        assert not reader.leads and reader._workers == []  # one hands out work, the other looks on
    finally:
        app.kill()
        app.wait()
    until(lambda: reader.leads)
    until(is_now(run, "paused"))
    assert run.info.reason.startswith("Cut off")
    until(lambda: not run.busy())
    step = run.rows()[0][-1]["step"]
    reader.queue.resume("run", ANN)
    until(lambda: is_now(run, "running")() and run.rows()[0][-1]["step"] > step)
    worker = pid(reader)
    reader.close()
    assert not alive(worker) and not reader.leads
    assert run.refresh().info.status == "paused" and run.info.reason.startswith("Cut off")
    assert json.loads((run.path / "run.json").read_text())["owner"] == ANN and run.model()
