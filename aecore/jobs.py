"""Who trains: a queue over the run folders, and the worker processes it hands them to.

    queue = Queue().start()                      # once per app process
    me = digest(token)                           # the visitor, without the secret
    run = Run.create("vae", DataSpec(), owner=me)
    queue.submit(run)
    queue.pause(run.info.id, me)

The folders are the truth: a queue only reads them, and can be made anew at any time. Several queues may look at one
folder; the one that holds its lock hands out work, the next takes over when that one ends. Workers (see `worker`)
end with the process that started them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from . import runs
from .runs import RESUMABLE, Run, RunError, Status, write_text
from .worker import Job, Worker

POLL_SECONDS = 0.3
LISTING_SECONDS = 0.1  # so long a listing is passed on without a look at the disk
PATIENCE_SECONDS = 10.0  # of whoever waits for a worker to answer, or to save and end
SLOW_START_SECONDS = 5.0  # between two tries where workers die before they are ready

log = logging.getLogger(__name__)


class Forbidden(PermissionError):
    """This visitor may not do that to this run; the message is a plain sentence."""


class Analysis(NamedTuple):
    """How an analysis stands. state: "waiting", "running", "done" or "failed: <reason>".

    elapsed: seconds since a worker took it up.  estimate: seconds it takes in all, as far as one can tell.
    progress: 0 … 1, and what it is doing in `doing`.  position: 1 is the next to be taken up, 0 once it was.
    """

    state: str
    elapsed: float = 0.0
    estimate: float = 0.0
    progress: float = 0.0
    doing: str = ""
    position: int = 0


def digest(token: str) -> str:
    """Of a visitor's secret token: the owner that stands in run.json. "" for no token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""


def one_thread() -> None:
    """Let this process compute with one torch thread: for whatever answers pages beside a training worker."""
    import torch

    torch.set_num_threads(1)


def turns(waiting: Iterable[Run], everyone: Iterable[Run]) -> list[Run]:
    """Waiting runs in a fair order: owners take turns, whoever was served longest ago first; each owner's by `order`.

    everyone: all runs, of which `taken` tells who was served when.
    """
    lines: dict[str, list[Run]] = {}
    for run in sorted(waiting, key=lambda run: run.info.order):
        lines.setdefault(run.info.owner, []).append(run)
    served = dict.fromkeys(lines, 0.0)
    for run in everyone:
        if run.info.owner in served:
            served[run.info.owner] = max(served[run.info.owner], run.info.taken or 0.0)
    places = [
        ((place, served[owner], line[0].info.order), run)
        for owner, line in lines.items()
        for place, run in enumerate(line)
    ]
    return [run for _, run in sorted(places, key=lambda pair: pair[0])]


class Shelf:
    """The runs of one folder, remembered: only a run.json that has changed is read again."""

    def __init__(self, folder: Path, seconds: float = LISTING_SECONDS):
        self.folder, self.seconds = folder, seconds
        self.broken: dict[str, str] = {}
        self._guard, self._read = threading.Lock(), -1.0
        self._known: dict[str, tuple[tuple[int, int], Run | str]] = {}
        self._runs: list[Run] = []

    def forget(self) -> None:
        """The next look goes to the disk."""
        self._read = -1.0

    def runs(self) -> list[Run]:
        """Newest first. Every caller gets Run objects of its own."""
        with self._guard:
            if self._read < 0 or time.monotonic() - self._read > self.seconds:
                self._read = time.monotonic()
                self._look()
            return [Run(run.path, run.info) for run in self._runs]

    def _look(self) -> None:
        before, self._known = self._known, {}
        try:
            names = [item.name for item in os.scandir(self.folder) if not item.name.startswith(".")]
        except OSError:
            names = []
        for name in names:
            try:
                stat = os.stat(self.folder / name / "run.json")
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_ino)
            known = before.get(name)
            self._known[name] = known if known and known[0] == stamp else (stamp, _opened(self.folder / name))
        found = [run for _, run in self._known.values() if isinstance(run, Run)]
        self.broken = {name: text for name, (_, text) in self._known.items() if isinstance(text, str)}
        self._runs = sorted(found, key=lambda run: -run.info.created)


def _opened(path: Path) -> Run | str:
    try:
        return Run.open(path)
    except RunError as error:
        return str(error)


class Queue:
    """The runs of a folder and who trains them. Looking needs no `start`; only a started one hands out work.

    All methods name a run by its id and may be called from any thread. `who` is `digest(token)` of the visitor;
    Forbidden where that is not the run's owner. RunError where there is no such run, or the disk is full.

    threads: of the training, in all.  devices: one worker each; by default every GPU, else the best there is.
    """

    def __init__(
        self, folder: str | Path | None = None, threads: int | None = None, devices: Sequence[str] | None = None
    ):
        self.folder = Path(folder or runs.root())
        self.threads = threads or max(1, cores() - 1)
        self.devices = devices
        self.leads = False
        """Whether this queue is the one that hands out work."""
        self._shelf = Shelf(self.folder)
        self._bin = Shelf(self.folder / ".bin")
        self._pretrained = Shelf(runs.PRETRAINED, 5.0)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._patience = PATIENCE_SECONDS
        self._workers: list[Worker | None] = []
        self._analyst: Worker | None = None
        self._refused: set[str] = set()  # runs that no worker can even begin

    def start(self) -> Queue:
        """Supervise workers from a light thread; of several queues on one folder only one does, the others wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._supervise, name="aecore-queue", daemon=True)
            self._thread.start()
        return self

    def close(self, patience: float = PATIENCE_SECONDS) -> None:
        """End the workers; what they train is saved and paused."""
        self._patience = patience
        self._closing.set()
        self._wake.set()
        if self._thread:
            self._thread.join(2 * patience)

    def __enter__(self) -> Queue:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- looking ----------------------------------------------------------------------------------------

    def listing(self, pretrained: bool = False) -> list[Run]:
        """All readable runs, newest first (behind the pretrained ones, if these are wanted). Cheap: call it freely."""
        own = self._shelf.runs()
        return [*sorted(self._pretrained.runs(), key=lambda run: run.info.order), *own] if pretrained else own

    def broken(self) -> dict[str, str]:
        """Folders whose run.json cannot be read, with the reason."""
        self._shelf.runs()
        return dict(self._shelf.broken)

    def get(self, id: str) -> Run:
        """One run, by its id, also a pretrained one; RunError if there is none."""
        if re.fullmatch(r"[\w-]+", id):  # an id may come from a link: it must not walk through the disk
            for folder in (self.folder, runs.PRETRAINED):
                if (folder / id / "run.json").exists():
                    return Run.open(folder / id)
        raise RunError(f"There is no run {id!r} here. It may have been deleted; the gallery lists all there are.")

    def waiting(self) -> list[Run]:
        """The queued runs in the order in which they will be trained: owners take turns."""
        everyone = self._shelf.runs()
        taken = {worker.job.key for worker in self._workers if worker and worker.job}
        queued = [run for run in everyone if run.info.status == "queued" and run.path.name not in taken | self._refused]
        return turns(queued, everyone)

    def position(self, id: str) -> int | None:
        """1 for the run that is next; None for one that does not wait."""
        names = [run.path.name for run in self.waiting()]
        return names.index(id) + 1 if id in names else None

    def eta(self, id: str) -> float | None:
        """Seconds left of a running run, by its heartbeat; None when unknown."""
        left = self.get(id).heartbeat().get("left", -1.0)
        return left if left >= 0 else None

    def may_change(self, run: Run, who: str) -> bool:
        """Whether this visitor may pause, stop, resume, move or delete it."""
        return not run.pretrained and run.info.owner == who

    def deleted(self, who: str) -> list[Run]:
        """What this visitor has in the bin, newest first."""
        return [run for run in self._bin.runs() if run.info.owner == who]

    # --- acting -----------------------------------------------------------------------------------------

    def submit(self, run: Run) -> int | None:
        """Let a run of this folder wait (see `Run.create`); its position, None if it is being trained already."""
        if run.path.resolve().parent != self.folder.resolve():
            raise RunError(
                f"{run.path} lies outside {self.folder}, which this queue looks after. Create the run there."
            )
        self._refused.discard(run.path.name)
        if run.info.status != "queued":
            run.save(only_from=RESUMABLE, status="queued", reason="", order=time.time())
        self._changed()
        return self.position(run.path.name)

    def pause(self, id: str, who: str) -> None:
        """A waiting run leaves the line, a running one saves and ends within moments; others stay as they are."""
        self._end(self._own(id, who, "pause"), "pause", "paused")

    def stop(self, id: str, who: str) -> None:
        """As `pause`, for good; it may be resumed all the same."""
        self._end(self._own(id, who, "stop"), "stop", "stopped")

    def _end(self, run: Run, command: str, status: Status) -> None:
        if not run.save(only_from=("queued",), status=status, reason="") and run.info.status == "running":
            run.ask(command)
        self._changed()

    def resume(self, id: str, who: str) -> int | None:
        """Let a paused, stopped or failed run wait again, last in its owner's line; returns its position."""
        return self.submit(self._own(id, who, "resume"))

    def move_up(self, id: str, who: str) -> int | None:
        """One place up among the waiting runs of its owner; returns its position."""
        run = self._own(id, who, "move")
        line = [other for other in self.waiting() if other.info.owner == run.info.owner]
        place = next((place for place, other in enumerate(line) if other.path.name == run.path.name), 0)
        if place:
            above = line[place - 1]
            run.save(order=above.info.order)
            above.save(order=line[place].info.order)
        self._changed()
        return self.position(id)

    def duplicate(
        self,
        id: str,
        who: str,
        params: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] | None = None,
        title: str = "",
    ) -> Run:
        """A new run like this one, owned by `who` and waiting; params, plan: what is to be different."""
        like = self.get(id).info
        identity = runs.new_id(like.model)
        run = Run.create(
            like.model, like.data, {**like.params, **(params or {})},
            runs.parse(runs.Plan, {**like.plan.model_dump(), **(plan or {})}),
            path=self.folder / identity, title=title or like.title, owner=who,
        )  # fmt: skip
        self._changed()
        return run

    def delete(self, id: str, who: str) -> None:
        """Put it into the bin; a running one is stopped first."""
        run = self._own(id, who, "delete")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while run.refresh().info.status == "running":
            if time.monotonic() > deadline:
                raise RunError(f"{run.info.title} is still stopping. Try again in a moment.")
            if not run.busy():
                run.cut_off()  # its process is gone
            elif run.command() != "stop":
                run.ask("stop")
            time.sleep(0.02)
        self._move(run, self.folder / ".bin")

    def undelete(self, id: str, who: str) -> Run:
        """Take it back out of the bin."""
        for run in self._bin.runs():
            if run.path.name == id:
                if run.info.owner != who:
                    raise Forbidden("Somebody else deleted this run; only they can bring it back.")
                return self._move(run, self.folder)
        raise RunError(f"There is no run {id!r} in the bin.")

    def _move(self, run: Run, folder: Path) -> Run:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.rename(run.path, folder / run.path.name)
        except OSError as error:
            raise RunError(f"{run.info.title} could not be moved. {runs.remedy(error)}") from error
        self._changed()
        return Run(folder / run.path.name, run.info)

    def _own(self, id: str, who: str, verb: str) -> Run:
        run = self.get(id)
        if run.pretrained:
            raise Forbidden(f"You cannot {verb} a pretrained example. Duplicate it to train one of your own.")
        if not self.may_change(run, who):
            raise Forbidden(f"You cannot {verb} this run: it is somebody else's. Open, watch or duplicate it instead.")
        return run

    def _changed(self) -> None:
        self._shelf.forget()
        self._bin.forget()
        self._wake.set()

    # --- analyses ---------------------------------------------------------------------------------------

    def analyse(
        self, run: Run, method: str = "umap", n: int = 5000, split: str = "test", again: bool = False
    ) -> Analysis:
        """Ask for a map of the codes, or how it stands: call it again and again. The result lies with the run.

        again: try once more what has failed.
        """
        from .explore import maps

        file = self._request(run, method, n, split)
        request = _read(file)
        weights = _stamp(run.path / "weights.safetensors")
        if not weights:
            raise RunError(f"{run.info.title} has no weights yet. Wait for its first evaluation, or train it.")
        state = request.get("state", "")
        current = request.get("weights") == weights and not (again and state.startswith("failed"))
        if not current and state not in ("waiting", "running"):
            done = maps.stored(run, method, n, split) is not None
            request = {
                "run": str(run.path.resolve()), "method": method, "n": n, "split": split, "weights": weights,
                "asked": time.time(), "state": "done" if done else "waiting", "estimate": maps.estimate(method, n),
            }  # fmt: skip
            self._put(file, request)
        return self._standing(file, request)

    def study(self, task: str, settings: Mapping[str, Any], estimate: float = 60.0, again: bool = False) -> Analysis:
        """Ask for a task's study (`tasks.compute`), or how it stands: call it again and again.

        The result is then `tasks.stored(task, settings, queue.studies)`.  estimate: seconds, a first guess.
        """
        from . import tasks

        name = tasks.file_of(task, settings, self.studies).name
        file = self.folder / ".analyses" / name
        request = _read(file)
        state = request.get("state", "")
        done = tasks.stored(task, settings, self.studies) is not None
        failed = state.startswith("failed") and not again
        if state != "done" if done else state not in ("waiting", "running") and not failed:
            request = {
                "task": task, "settings": dict(settings), "folder": str(self.studies.resolve()),
                "asked": time.time(), "state": "done" if done else "waiting", "estimate": estimate,
            }  # fmt: skip
            self._put(file, request)
        return self._standing(file, request)

    @property
    def studies(self) -> Path:
        """Where results of studies lie that visitors asked for."""
        return self.folder / ".studies"

    def _request(self, run: Run, method: str, n: int, split: str) -> Path:
        kind = "pretrained-" if run.pretrained else ""
        return self.folder / ".analyses" / f"{kind}{run.path.name}.{method}.{n}.{split}.json"

    def _put(self, file: Path, request: Mapping[str, Any]) -> None:
        """Write down what is asked for, and wake whoever hands it out."""
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(request))
        self._wake.set()

    def _standing(self, file: Path, request: Mapping[str, Any]) -> Analysis:
        state, started = request["state"], request.get("started")
        elapsed = (request.get("ended") or time.time()) - started if started else 0.0
        progress = 1.0 if state == "done" else request.get("progress", 0.0)
        estimate = elapsed / progress if progress > 0.2 else max(request.get("estimate", 0.0), elapsed)
        position = 0
        if state == "waiting":
            before = [other for other, _ in self._requests("waiting")]
            position = before.index(file) + 1 if file in before else 1
        return Analysis(state, elapsed, estimate, progress, request.get("doing", ""), position)

    def _requests(self, *states: str) -> list[tuple[Path, dict[str, Any]]]:
        """Those in these states, the oldest first."""
        found = [(file, _read(file)) for file in (self.folder / ".analyses").glob("[!.]*.json")]
        return sorted(
            [(file, request) for file, request in found if request.get("state") in states],
            key=lambda pair: pair[1]["asked"],
        )

    # --- supervising: in the queue's own thread -----------------------------------------------------------

    def _supervise(self) -> None:
        lock, trouble = None, ""
        while not self._closing.is_set():
            try:
                if lock is None:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    lock = FileLock(self.folder / ".queue.lock", timeout=0)
                if not self.leads:
                    lock.acquire()
                    self._lead()
                self._tick()
                trouble = ""
            except Timeout:
                pass
            except (OSError, RunError) as error:  # a full disk, say: the next tick tries again
                if str(error) != trouble:
                    log.warning("The queue: %s", error)
                trouble = str(error)
            except Exception:
                log.exception("The queue stumbled and goes on")
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
        self._dismiss()
        if lock is not None:
            lock.release()
        self.leads = False

    def _lead(self) -> None:
        (self.folder / ".workers").mkdir(exist_ok=True)
        for file, request in self._requests("running"):  # of a queue that is no more
            write_text(file, json.dumps({**request, "state": "waiting", "started": None}))
        self.leads = True
        self.devices = self.devices or all_devices()
        self._workers = [None] * len(self.devices)

    def _tick(self) -> None:
        jobs: set[str] = set()
        for place, device in enumerate(self.devices or ()):
            threads = max(1, self.threads // len(self._workers))
            worker = self._workers[place] = self._alive(self._workers[place], "train", threads, device, str(place))
            jobs |= {worker.job.key} if worker.job else set()
        for run in self._shelf.runs():
            if run.info.status == "running" and run.path.name not in jobs and run.cut_off():
                self._shelf.forget()
        for worker in self._workers:
            if worker and worker.idle and (line := self.waiting()):
                self._shelf.forget()
                worker.give(self._training(line[0]))
        self._tick_analyses()

    def _tick_analyses(self) -> None:
        waiting = self._requests("waiting")
        if not waiting and self._analyst is None:
            return  # most sessions need no analyst: it is started when it is
        self._analyst = self._alive(self._analyst, "analyse", self.threads, "cpu", "analyst")
        if waiting and self._analyst.idle:
            file, _ = waiting[0]

            def lost(reason: str) -> None:
                write_text(file, json.dumps({**_read(file), "state": f"failed: {reason}"}))

            self._analyst.give(Job(str(file), {"request": str(file.resolve())}, lost))

    def _training(self, run: Run) -> Job:
        def lost(reason: str) -> None:
            self._shelf.forget()
            self._refused.add(run.path.name)
            if run.path.exists() and (
                run.cut_off("failed", reason) or run.save(only_from=("queued",), status="failed", reason=reason)
            ):
                self._refused.discard(run.path.name)

        return Job(run.path.name, {"run": str(run.path.resolve())}, lost)

    def _alive(self, worker: Worker | None, kind: str, threads: int, device: str, name: str) -> Worker:
        """This worker; a fresh one in its place where it has died, whose job is then marked."""
        if worker and worker.process.poll() is not None:
            reason = worker.epitaph()
            if worker.job:
                job, worker.job = worker.job, None
                job.lost(reason)
            elif not worker.ready and time.monotonic() - worker.born < SLOW_START_SECONDS:
                return worker
            worker = None
        return worker or Worker(kind, threads, device, self.folder / ".workers" / f"{name}.txt", self._wake.set)

    def _dismiss(self) -> None:
        workers = [worker for worker in (*self._workers, self._analyst) if worker]
        for worker in workers:
            worker.dismiss()
        deadline = time.monotonic() + self._patience
        for worker in workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        for run in self._shelf.runs():
            if run.info.status == "running":
                run.cut_off()
        self._workers, self._analyst = [], None


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def all_devices() -> list[str]:
    """Every CUDA device; without any, the best there is."""
    import torch

    from . import device

    count = torch.cuda.device_count()
    return [f"cuda:{number}" for number in range(count)] if count else [device.best().type]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
