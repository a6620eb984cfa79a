"""The queue, the supervisor and the worker's side of a job, without processes: who may do what, in which order."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from aecore import DataSpec, Plan, Run, RunError
from aecore.errors import Forbidden
from aecore.jobs import queue as queues
from aecore.jobs import speed, supervisor, worker_main
from aecore.jobs.analyses import Analyses, read_request
from aecore.jobs.queue import Queue, digest, fair_order
from aecore.jobs.supervisor import Supervisor
from aecore.jobs.worker import Job, Worker
from aecore.runs import maps
from aecore.runs.folder import CUT_OFF
from aecore.runs.library import create

DATA = DataSpec(name="digits8", limit=40)
SHORT = Plan(epochs=1, batch=10, held_out=10, precision="fp32")
ANN, BOB = digest("ann's secret"), digest("bob's secret")
ACTIONS = ("pause", "stop", "resume", "move_up", "delete")


@pytest.fixture(autouse=True)
def idle():
    """Supervisors do start here; their workers are no processes."""


@pytest.fixture
def queue(tmp_path) -> Queue:
    return Queue(tmp_path / "runs")


def new(queue: Queue, name: str, who: str = ANN, **changes) -> Run:
    run = create("vae", DATA, {"code": 2, "width": 16}, SHORT, path=queue.folder / name, owner=who)
    if changes:
        run.save(**changes)
    queue.forget()
    return run


def waiting(queue: Queue) -> list[str]:
    queue.forget()
    return [run.path.name for run in queue.waiting()]


# --- who may do what ----------------------------------------------------------------------------------------------


def test_a_digest_is_the_beginning_of_the_sha_256_of_the_token():
    assert digest("ann's secret") == hashlib.sha256(b"ann's secret").hexdigest()[:16] != digest("Ann's secret")
    assert digest("") == ""


STRANGERS = {
    "another visitor": BOB,
    "no token": "",
    "the token itself": "ann's secret",
    "a shorter digest": ANN[:-1],
    "a longer digest": ANN + "0",
    "capital letters": ANN.upper(),
    "the run's id": "hers",
}


@pytest.mark.parametrize("who", STRANGERS.values(), ids=STRANGERS.keys())
@pytest.mark.parametrize("status", ["queued", "running", "paused"])
def test_only_the_owner_changes_a_run(queue, who, status):
    run = new(queue, "hers", status=status)
    before = (run.path / "run.json").read_text()
    assert queue.may_change(run, ANN) and not queue.may_change(run, who)
    for action in ACTIONS:
        with pytest.raises(Forbidden, match=r"cannot (pause|stop|resume|move|delete) this run"):
            getattr(queue, action)("hers", who)
    assert (run.path / "run.json").read_text() == before and run.command() == ""


def test_a_run_without_an_owner_is_nobodys(queue):
    run = new(queue, "terminal", "")
    assert not queue.may_change(run, "") and not queue.may_change(run, ANN)
    for action in ACTIONS:
        for who in ("", ANN):
            with pytest.raises(Forbidden):
                getattr(queue, action)("terminal", who)


def test_only_who_deleted_a_run_brings_it_back(queue):
    new(queue, "hers")
    queue.delete("hers", ANN)
    assert (
        [run.path.name for run in queue.deleted(ANN)] == ["hers"] and not queue.deleted(BOB) and not queue.deleted("")
    )
    for who in (BOB, "", ANN[:-1]):
        with pytest.raises(Forbidden, match="only they"):
            queue.undelete("hers", who)
    with pytest.raises(RunError, match="in the bin"):
        queue.undelete("his", ANN)
    assert queue.undelete("hers", ANN).path == queue.folder / "hers"


def test_a_twin_belongs_to_who_made_it_and_differs_only_where_asked(queue):
    run = new(queue, "hers", title="Hers")
    plain, other = queue.duplicate("hers", BOB), queue.duplicate("hers", BOB, {"code": 5}, {"epochs": 3}, "His")
    assert (plain.info.title, plain.info.params, plain.info.plan) == ("Hers", run.info.params, run.info.plan)
    assert (other.info.title, other.info.owner, other.info.status) == ("His", BOB, "queued")
    assert other.info.params == {**run.info.params, "code": 5} and other.info.data == run.info.data
    assert other.info.plan == run.info.plan.model_copy(update={"epochs": 3})
    assert len({run.path.name, plain.path.name, other.path.name}) == 3


# --- order ----------------------------------------------------------------------------------------------------------


def run_of(owner: str, order: float, taken: float | None = None):
    return SimpleNamespace(info=SimpleNamespace(owner=owner, order=order, taken=taken))


def in_turn(waiting, everyone) -> list:
    """Round by round: of the owners who still have a run, the one served longest ago first, then who came first."""
    lines: dict[str, list] = {}
    for run in waiting:
        lines.setdefault(run.info.owner, []).append(run)
    for line in lines.values():
        line.sort(key=lambda run: run.info.order)
    served = {
        owner: max([run.info.taken or 0.0 for run in everyone if run.info.owner == owner] + [0.0]) for owner in lines
    }
    owners = sorted(lines, key=lambda owner: (served[owner], lines[owner][0].info.order))
    found = []
    while any(lines.values()):
        found += [lines[owner].pop(0) for owner in owners if lines[owner]]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_owners_take_turns_in_the_order_in_which_they_were_served(seed):
    import random

    dice = random.Random(seed)
    everyone = [run_of(dice.choice("abcd"), dice.random(), dice.choice([None, dice.random() * 9])) for _ in range(14)]
    queued = [run for run in everyone if dice.random() < 0.7]
    assert fair_order(queued, everyone) == in_turn(queued, everyone)


def test_a_run_that_a_worker_has_or_whose_worker_died_does_not_wait(queue):
    for name in ("a", "b", "c"):
        new(queue, name)
    new(queue, "d", status="paused")
    assert waiting(queue) == ["a", "b", "c"]
    queue.taken, queue.unable = lambda: {"a"}, {"b"}
    assert waiting(queue) == ["c"] and queue.position("c") == 1
    assert queue.position("a") is queue.position("b") is queue.position("d") is None
    queue.submit(queue.get("b"))  # to be asked for again makes it wait again
    assert waiting(queue) == ["b", "c"]


def test_a_resumed_run_waits_behind_the_others_and_a_finished_one_is_not_trained_again(queue):
    first, second = new(queue, "first", status="failed", reason="a reason"), new(queue, "second")
    assert queue.resume("first", ANN) == 2 and waiting(queue) == ["second", "first"]
    assert first.refresh().info.reason == "" and first.info.order > second.info.order
    new(queue, "done", status="done")
    assert queue.submit(queue.get("done")) is None and queue.get("done").info.status == "done"
    new(queue, "trains", status="running")
    assert queue.resume("trains", ANN) is None and queue.get("trains").info.status == "running"


def test_moving_up_exchanges_two_places_of_one_owner(queue):
    for name, who in (("a1", ANN), ("b1", BOB), ("a2", ANN), ("a3", ANN)):
        new(queue, name, who)
    assert waiting(queue) == ["a1", "b1", "a2", "a3"]
    orders = {name: queue.get(name).info.order for name in ("a1", "a2", "a3")}
    assert queue.move_up("a3", ANN) == 3 and waiting(queue) == ["a1", "b1", "a3", "a2"]
    assert {name: queue.get(name).info.order for name in ("a1", "a3", "a2")} == dict(
        zip(("a1", "a3", "a2"), sorted(orders.values()), strict=True)
    )
    assert queue.move_up("a1", ANN) == 1 and waiting(queue) == ["a1", "b1", "a3", "a2"]


@pytest.mark.parametrize(("action", "status"), [("pause", "paused"), ("stop", "stopped")])
def test_a_waiting_run_leaves_the_line_a_running_one_is_asked_and_others_stay(queue, action, status):
    new(queue, "waits", reason="old")
    runs, end = new(queue, "runs", status="running"), getattr(queue, action)
    done = new(queue, "done", status="done")
    for name in ("waits", "runs", "done"):
        end(name, ANN)
    assert (queue.get("waits").info.status, queue.get("waits").info.reason) == (status, "")
    assert (queue.get("runs").info.status, runs.command()) == ("running", action)
    assert (queue.get("done").info.status, done.command()) == ("done", "")


def test_the_seconds_left_are_those_of_the_heartbeat(queue):
    run = new(queue, "run", status="running")
    assert queue.eta("run") is None
    for left, expected in ((12.5, 12.5), (0.0, 0.0), (-1.0, None)):
        (run.path / "heartbeat.json").write_text(json.dumps({"left": left}))
        assert queue.eta("run") == expected


def test_a_run_that_is_trained_is_stopped_before_it_is_deleted(queue, monkeypatch):
    run = new(queue, "busy", status="running")
    monkeypatch.setattr(queues, "PATIENCE_SECONDS", 0.2)
    with run.locked("busy", 0.0):
        with pytest.raises(RunError, match="still stopping"):
            queue.delete("busy", ANN)
        assert run.command() == "stop" and run.path.exists()
    queue.delete("busy", ANN)  # its process is gone
    assert not run.path.exists() and queue.deleted(ANN)[0].info.status == "paused"


# --- the supervisor ---------------------------------------------------------------------------------------------------


class Fake:
    """A worker that is no process."""

    made: list[Fake]

    def __init__(self, kind, threads, device, log_path, wake):
        self.kind, self.threads, self.device, self.name = kind, threads, device, Path(log_path).stem
        self.job: Job | None = None
        self.ready, self.alive, self.born = True, True, time.monotonic()
        self.given: list[str] = []
        self.ended = ""
        Fake.made.append(self)

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None and self.alive

    def give(self, job: Job) -> None:
        assert self.idle
        self.job = job
        self.given.append(job.key)

    def exit_reason(self) -> str:
        return "It fell over."

    def dismiss(self) -> None:
        self.ended += "dismissed "

    def end(self, patience: float) -> None:
        self.ended += "ended"


@pytest.fixture
def leading(queue, monkeypatch) -> Supervisor:
    """A supervisor of two devices that holds the lock; its ticks are made by hand."""
    Fake.made = []
    monkeypatch.setattr(supervisor, "Worker", Fake)
    queue.folder.mkdir()
    found = Supervisor(queue, threads=5, devices=["cpu", "cuda:0"])
    found._lead()
    return found


def tick(leading: Supervisor) -> list[list[str]]:
    """What each worker has been given so far, after one more tick."""
    leading.queue.forget()
    leading._tick()
    return [worker.given for worker in Fake.made]


def test_there_is_a_worker_for_each_device_and_they_share_the_threads(leading):
    tick(leading)
    assert [(worker.kind, worker.threads, worker.device, worker.name) for worker in Fake.made] == [
        ("train", 2, "cpu", "0"),
        ("train", 2, "cuda:0", "1"),
    ]
    assert Supervisor(leading.queue, threads=0).threads == max(1, supervisor.cores() - 1)


def test_each_idle_worker_gets_another_run_in_the_order_of_the_line(leading):
    queue = leading.queue
    for name, who in (("a1", ANN), ("a2", ANN), ("b1", BOB), ("b2", BOB)):
        new(queue, name, who)
    assert tick(leading) == [["a1"], ["b1"]] == tick(leading)
    assert queue.position("a1") is None and waiting(queue) == ["a2", "b2"]
    queue.get("a1").save(status="done", taken=5.0)
    queue.get("b1").save(status="running", taken=6.0)
    Fake.made[0].job = None
    assert tick(leading) == [["a1", "a2"], ["b1"]]
    Fake.made[1].ready = False
    Fake.made[1].job = None
    assert tick(leading) == [["a1", "a2"], ["b1"]]  # not before it is ready
    order = json.loads(json.dumps(Fake.made[0].job.order))
    assert order == {"run": str((queue.folder / "a2").resolve())}


def test_a_run_that_nobody_trains_any_more_is_paused_and_says_so(leading):
    queue = leading.queue
    new(queue, "trained")
    tick(leading)
    queue.get("trained").save(status="running")
    lost, held = new(queue, "lost", status="running"), new(queue, "held", status="running")
    with held.locked("busy", 0.0):  # by another process
        tick(leading)
    assert (lost.refresh().info.status, lost.info.reason) == ("paused", CUT_OFF)
    assert lost.info.ended == pytest.approx(time.time(), abs=60)
    assert queue.get("trained").info.status == held.refresh().info.status == "running"


@pytest.mark.parametrize("status", ["running", "queued"])
def test_the_run_of_a_dead_worker_has_failed_with_its_reason_and_another_worker_comes(leading, status):
    run = new(leading.queue, "run")
    tick(leading)
    run.save(status=status)
    Fake.made[0].alive = False
    tick(leading)
    assert (run.refresh().info.status, run.info.reason) == ("failed", "It fell over.")
    assert [worker.name for worker in Fake.made] == ["0", "1", "0"] and not leading.queue.unable
    assert leading._workers[0] is Fake.made[2]


def test_the_worker_of_a_run_that_ended_well_is_replaced_without_a_word(leading):
    run = new(leading.queue, "run")
    tick(leading)
    run.save(status="done")
    Fake.made[0].alive = False
    tick(leading)
    assert run.refresh().info.status == "done" and len(Fake.made) == 3
    assert leading.queue.unable == {"run"}  # its folder did not record the failure: it is not given out again


def test_workers_that_die_before_they_are_ready_are_not_started_again_and_again(leading, monkeypatch):
    tick(leading)
    Fake.made[0].alive = Fake.made[0].ready = False
    tick(leading)
    assert len(Fake.made) == 2
    Fake.made[0].born -= supervisor.SLOW_START_SECONDS
    tick(leading)
    assert len(Fake.made) == 3


def ask(analyses: Analyses, name: str, state: str, asked: float, **more) -> Path:
    analyses.requests.mkdir(parents=True, exist_ok=True)
    file = analyses.requests / f"{name}.json"
    file.write_text(json.dumps({"state": state, "asked": asked, "estimate": 10.0, **more}))
    return file


def test_analyses_are_given_to_one_worker_of_their_own_the_oldest_first(leading):
    analyses = leading.analyses
    tick(leading)
    assert len(Fake.made) == 2  # no analyst before it is needed
    late, early = ask(analyses, "late", "waiting", 9.0), ask(analyses, "early", "waiting", 5.0)
    ask(analyses, "done", "done", 1.0)
    tick(leading)
    analyst = Fake.made[2]
    assert (analyst.kind, analyst.threads, analyst.device, analyst.given) == ("analyse", 5, "cpu", [str(early)])
    assert analyst.job.order == {"request": str(early.resolve())}
    tick(leading)
    assert len(analyst.given) == 1
    analyst.job.lost("It fell over.")
    assert read_request(early)["state"] == "failed: It fell over." and read_request(early)["asked"] == 5.0
    analyst.job = None
    tick(leading)
    assert analyst.given == [str(early), str(late)]


def test_whoever_takes_over_begins_again_what_was_running(queue, monkeypatch):
    monkeypatch.setattr(supervisor, "Worker", Fake)
    analyses = Analyses(queue.folder)
    cut, kept = ask(analyses, "cut", "running", 1.0, started=2.0), ask(analyses, "kept", "failed: so", 1.0)
    Supervisor(queue, analyses, threads=1, devices=["cpu"])._lead()
    assert (read_request(cut)["state"], read_request(cut)["started"]) == ("waiting", None)
    assert read_request(kept)["state"] == "failed: so" and (queue.folder / ".workers").is_dir()


def test_one_supervisor_of_a_folder_leads_and_another_follows(queue, monkeypatch):
    Fake.made = []
    monkeypatch.setattr(supervisor, "Worker", Fake)
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.02)
    first, second = Supervisor(queue, threads=1, devices=["cpu"]), Supervisor(Queue(queue.folder), devices=["cpu"])
    first.start()
    until(lambda: first.leads)
    second.start()
    time.sleep(0.2)
    assert first.leads and not second.leads and len(Fake.made) == 1
    run = new(queue, "run")
    until(lambda: Fake.made[0].given == ["run"])
    run.save(status="running")
    first.close(patience=1.0)
    assert Fake.made[0].ended == "dismissed ended" and run.refresh().info.status == "paused" and not first.leads
    until(lambda: second.leads)
    second.close(patience=1.0)


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- a worker as it ends ----------------------------------------------------------------------------------------------


def ended(code: int, log: Path) -> str:
    worker = Worker.__new__(Worker)
    worker.process, worker.log_path = SimpleNamespace(wait=lambda: code), log
    worker._listener = threading.Thread(target=lambda: None)
    worker._listener.start()
    return worker.exit_reason()


def test_how_a_worker_ended_is_a_sentence(tmp_path):
    log = tmp_path / "0.txt"
    assert ended(3, log) == "The process that trained it ended with exit code 3."
    log.write_text("first\n  the last line \n\n")
    assert ended(0, log) == "The process that trained it ended with exit code 0: the last line."
    assert ended(-signal.SIGTERM, log) == "The process that trained it was ended by SIGTERM: the last line."
    full = "The process that trained it was ended by SIGKILL (often because the memory was full): the last line."
    assert ended(-signal.SIGKILL, log) == full


# --- the worker's side ------------------------------------------------------------------------------------------------


def test_a_worker_trains_what_waits_and_leaves_alone_what_does_not(queue):
    waits, paused = new(queue, "waits"), new(queue, "paused", status="paused")
    for run in (waits, paused):
        worker_main.train(run.path, "cpu", threading.Event())
    assert waits.refresh().info.status == "done" and paused.refresh().info.status == "paused"
    assert waits.info.taken is not None and waits.info.ended >= waits.info.taken and paused.info.taken is None


def test_a_worker_that_must_end_saves_its_run_first(queue):
    run, closing = new(queue, "run"), threading.Event()
    closing.set()
    worker_main.train(run.path, "cpu", closing)
    assert (run.refresh().info.status, run.info.reason) == ("paused", CUT_OFF)
    assert len(run.rows()[0]) == 1 and (run.path / "resume/state.safetensors").exists() and run.model()


def test_a_worker_follows_a_command(queue):
    for command, status in (("pause", "paused"), ("stop", "stopped")):
        run = new(queue, command)
        ask_once = run.ask
        original = worker_main.train

        class Asked(threading.Event):
            def is_set(self, run=run, ask_once=ask_once, command=command) -> bool:
                ask_once(command)
                return False

        original(run.path, "cpu", Asked())
        assert (run.refresh().info.status, run.info.reason, run.command()) == (status, "", "")


def test_what_becomes_of_an_analysis_stands_in_its_request(queue, monkeypatch):
    run, analyses = new(queue, "run"), Analyses(queue.folder)
    more = {"run": str(run.path), "method": "tsne", "n": 7, "split": "train"}
    seen = []

    def compute(run, method, n, split, progress):
        progress(0.5, "Half of it")
        seen.append((run.path.name, method, n, split, read_request(good)))

    monkeypatch.setattr(maps, "compute", compute)
    good = ask(analyses, "good", "waiting", 1.0, **more)
    worker_main.analyse(good)
    name, method, n, split, halfway = seen[0]
    assert (name, method, n, split) == ("run", "tsne", 7, "train")
    assert (halfway["state"], halfway["progress"], halfway["doing"]) == ("running", 0.5, "Half of it")
    request = read_request(good)
    assert (request["state"], request["progress"]) == ("done", 1.0) and request["ended"] >= request["started"]
    for error, state in (
        (RunError("No weights yet."), "failed: No weights yet."),
        (MemoryError(), "failed: the memory is full"),
        (KeyError("x"), "failed: KeyError: 'x'"),
    ):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(maps, "compute", fail)
        file = ask(analyses, "bad", "waiting", 1.0, **more)
        worker_main.analyse(file)
        assert read_request(file)["state"] == state and read_request(file)["ended"]


def test_an_analysis_knows_its_place_its_progress_and_how_long_it_takes(queue, monkeypatch):
    analyses = Analyses(queue.folder)
    monkeypatch.setattr("aecore.jobs.analyses.time.time", lambda: 1000.0)
    files = [ask(analyses, name, "waiting", asked) for name, asked in (("b", 2.0), ("a", 3.0), ("c", 1.0))]
    assert [analyses._state(file, read_request(file)).position for file in files] == [2, 3, 1]
    early = ask(analyses, "d", "running", 0.0, started=990.0, progress=0.1)
    found = analyses._state(early, read_request(early))
    assert (found.elapsed, found.estimate, found.progress, found.position) == (10.0, 10.0, 0.1, 0)
    later = analyses._state(early, {**read_request(early), "progress": 0.25})
    assert later.estimate == 40.0  # from its own pace, once that is known
    slow = analyses._state(early, {**read_request(early), "started": 950.0})
    assert slow.estimate == 50.0  # never less than what has passed
    done = analyses._state(early, {**read_request(early), "state": "done", "ended": 993.0})
    assert (done.elapsed, done.progress) == (3.0, 1.0)


def test_a_map_is_asked_for_once_and_again_when_the_weights_have_changed(queue):
    run, analyses = new(queue, "run", shape=(1, 8, 8)), Analyses(queue.folder)
    with pytest.raises(RunError, match="no weights yet"):
        analyses.map(run, "tsne", 30)
    (run.path / "weights.safetensors").write_bytes(b"first")
    assert analyses.map(run, "tsne", 30).state == "waiting" and analyses.changed.is_set()
    (file,) = analyses.requests.glob("*.json")
    assert read_request(file)["estimate"] == maps.estimate("tsne", 30)

    def become(state: str) -> None:
        file.write_text(json.dumps({**read_request(file), "state": state}))

    become("failed: so")
    assert analyses.map(run, "tsne", 30).state == "failed: so"
    assert analyses.map(run, "tsne", 30, again=True).state == "waiting"
    become("done")
    assert analyses.map(run, "tsne", 30).state == "done"
    (run.path / "weights.safetensors").write_bytes(b"second")
    assert analyses.map(run, "tsne", 30).state == "waiting"
    assert analyses.map(run, "tsne", 31).state == analyses.map(run, "tsne", 30, "train").state == "waiting"
    assert len(list(analyses.requests.glob("*.json"))) == 3


# --- how long a training takes ----------------------------------------------------------------------------------------


def test_the_time_of_a_training_is_that_of_its_minibatches_and_evaluations():
    measured = speed.Speed(draw=0.01, evaluation=0.5)
    plan = Plan(epochs=3, batch=10)
    assert measured.seconds(plan, 47) == pytest.approx(12 * 0.01 + 0.5 * len({*EARLY_OF_12, 4, 8, 12}))
    assert measured.seconds(plan, 6) == pytest.approx(3 * 0.01 + 0.5 * 3)  # fewer examples than a minibatch
    assert measured.epochs(20.0, plan, 47) == int((20.0 - 12.0) / 0.04)
    assert measured.epochs(1.0, plan, 47) == 1 == speed.Speed().epochs(1.0, plan, 47)


EARLY_OF_12 = [-(-12 * k * k // 576) for k in range(1, 25)]


def test_a_configuration_that_nobody_asks_for_again_is_dropped(tmp_path, monkeypatch):
    stopwatch = speed.Stopwatch(1, "cpu", tmp_path / "log.txt")
    now = [100.0]
    monkeypatch.setattr("aecore.jobs.speed.time.monotonic", lambda: now[0])
    monkeypatch.setattr(stopwatch, "_thread", object())  # nothing is measured
    assert stopwatch.ask({"a": 1}) is None
    now[0] += 3.0
    assert stopwatch.ask({"b": 2}) is None
    assert json.loads(stopwatch._next()) == {"a": 1}
    now[0] += 2.0
    assert json.loads(stopwatch._next()) == {"b": 2}
    now[0] += 9.0
    assert stopwatch._next() is None
