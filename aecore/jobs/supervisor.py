"""The supervisor keeps worker processes alive and hands them the waiting runs and analyses.

    with Supervisor(Queue()):                    # once per app process
        ...

Several supervisors may watch one folder. The one that holds its lock hands out work, and another takes over when that
one ends. Workers end with the process that started them.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence

from filelock import FileLock, Timeout

from ..device import all_devices, cores
from ..errors import RunError
from ..runs.files import write_text
from ..runs.folder import Run
from .analyses import Analyses, read_request
from .queue import PATIENCE_SECONDS, Queue
from .worker import Job, Kind, Worker

POLL_SECONDS = 0.3
SLOW_START_SECONDS = 5.0  # between two attempts where workers die before they are ready

log = logging.getLogger(__name__)


class Supervisor:
    """Trains the waiting runs of a queue and computes the analyses that were asked for.

    threads: of all trainings together; by default all cores but one.
    devices: one worker for each; by default every GPU, else the best device there is.
    leads: whether this supervisor holds the lock and hands out work.
    """

    def __init__(
        self,
        queue: Queue,
        analyses: Analyses | None = None,
        threads: int | None = None,
        devices: Sequence[str] | None = None,
    ):
        self.queue = queue
        self.analyses = analyses or Analyses(queue.folder, queue.changed)
        self.threads = threads or max(1, cores() - 1)
        self.devices = devices
        self.leads = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._patience = PATIENCE_SECONDS
        self._workers: list[Worker | None] = []
        self._analyst: Worker | None = None
        queue.taken = self._taken

    def start(self) -> Supervisor:
        """Start the thread that supervises the workers; returns the supervisor itself."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._supervise, name="aecore-supervisor", daemon=True)
            self._thread.start()
        return self

    def close(self, patience: float = PATIENCE_SECONDS) -> None:
        """End the workers; the runs that they train are saved and paused first."""
        self._patience = patience
        self._closing.set()
        self.queue.changed.set()
        if self._thread:
            self._thread.join(2 * patience)

    def __enter__(self) -> Supervisor:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _supervise(self) -> None:
        """Wait for the lock, then hand out work until `close`."""
        lock, last_warning = None, ""
        while not self._closing.is_set():
            try:
                if lock is None:
                    self.queue.folder.mkdir(parents=True, exist_ok=True)
                    lock = FileLock(self.queue.folder / ".queue.lock", timeout=0)
                if not self.leads:
                    lock.acquire()
                    self._lead()
                self._tick()
                last_warning = ""
            except Timeout:
                pass
            except (OSError, RunError) as error:  # for example a full disk: the next tick tries again
                if str(error) != last_warning:
                    log.warning("The supervisor: %s", error)
                last_warning = str(error)
            except Exception:
                log.exception("The supervisor met an unexpected error and goes on")
            self.queue.changed.wait(POLL_SECONDS)
            self.queue.changed.clear()
        self._dismiss()
        if lock is not None:
            lock.release()
        self.leads = False

    def _lead(self) -> None:
        """Prepare to hand out work, once the lock is held."""
        (self.queue.folder / ".workers").mkdir(exist_ok=True)
        for file, request in self.analyses.in_state("running"):  # of a supervisor that has ended
            write_text(file, json.dumps({**request, "state": "waiting", "started": None}))
        self.leads = True
        self.devices = self.devices or all_devices()
        self._workers = [None] * len(self.devices)

    def _taken(self) -> set[str]:
        """Folder names of the runs that workers have."""
        return {worker.job.key for worker in self._workers if worker and worker.job}

    def _tick(self) -> None:
        """Replace dead workers, mark runs that were cut off, and give waiting runs to idle workers."""
        for index, device in enumerate(self.devices or ()):
            threads = max(1, self.threads // len(self._workers))
            self._workers[index] = self._alive(self._workers[index], "train", threads, device, str(index))
        jobs = self._taken()
        for run in self.queue.listing():
            if run.info.status == "running" and run.path.name not in jobs and run.cut_off():
                self.queue.forget()
        for worker in self._workers:
            if worker and worker.idle and (waiting := self.queue.waiting()):
                self.queue.forget()
                self.queue.given[waiting[0].info.owner] = time.time()
                worker.give(self._training(waiting[0]))
        self._tick_analyses()

    def _tick_analyses(self) -> None:
        """Give the oldest waiting analysis to the analyst."""
        waiting = self.analyses.in_state("waiting")
        if not waiting and self._analyst is None:
            return  # many sessions need no analyst, so it is started at the first request
        self._analyst = self._alive(self._analyst, "analyse", self.threads, "cpu", "analyst")
        if waiting and self._analyst.idle:
            file, _ = waiting[0]

            def lost(reason: str) -> None:
                write_text(file, json.dumps({**read_request(file), "state": f"failed: {reason}"}))

            self._analyst.give(Job(str(file), {"request": str(file.resolve())}, lost=lost))

    def _training(self, run: Run) -> Job:
        """The job of training a run. If its worker dies, the run has failed."""

        def lost(reason: str) -> None:
            self.queue.forget()
            self.queue.unable.add(run.path.name)
            if run.path.exists() and (
                run.cut_off("failed", reason) or run.save(only_from=("queued",), status="failed", reason=reason)
            ):
                self.queue.unable.discard(run.path.name)

        return Job(run.path.name, {"run": str(run.path.resolve())}, lost=lost)

    def _alive(self, worker: Worker | None, kind: Kind, threads: int, device: str, name: str) -> Worker:
        """This worker, or a new one in its place if it has died; the job of a dead worker is reported as lost."""
        if worker and not worker.alive:
            reason = worker.exit_reason()
            if worker.job:
                job, worker.job = worker.job, None
                job.lost(reason)
            elif not worker.ready and time.monotonic() - worker.born < SLOW_START_SECONDS:
                return worker
            worker = None
        return worker or Worker(
            kind, threads, device, self.queue.folder / ".workers" / f"{name}.txt", self.queue.changed.set
        )

    def _dismiss(self) -> None:
        """End all workers, and mark the runs of those that did not save in time."""
        workers = [worker for worker in (*self._workers, self._analyst) if worker]
        for worker in workers:
            worker.dismiss()
        deadline = time.monotonic() + self._patience
        for worker in workers:
            worker.end(max(0.1, deadline - time.monotonic()))
        self.queue.forget()
        for run in self.queue.listing():
            if run.info.status == "running":
                run.cut_off()
        self._workers, self._analyst = [], None
