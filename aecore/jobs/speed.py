"""How long a training would take on this computer, measured with a few steps of just this configuration.

    stopwatch = Stopwatch(threads=1, device="cpu", log_path=Path("speed.txt"))
    speed = stopwatch.ask(order)                 # None while it is being measured: ask again in a second

A worker process measures (`timing`), one configuration at a time. It is started when it is needed, and ends when
nothing was asked for a while.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cachetools import LRUCache

from ..training.plan import Plan, eval_steps
from .worker import Job, Worker

ASKED_SECONDS = 4.0  # a configuration that nobody has asked for again for so long is dropped
IDLE_SECONDS = 60.0  # after so long without a question the worker ends
LIMIT_SECONDS = 40.0  # for one measurement, the start of the worker included
CACHE_SIZE = 512  # results that are remembered


class Speed(NamedTuple):
    """How fast one configuration trains.

    draw: seconds a minibatch takes.  evaluation: seconds of one held-out evaluation with what it leaves on the disk.
    where: device and threads.  busy: whether a training ran at the same time.
    trouble: why nothing could be measured, or "".
    """

    draw: float = 0.0
    evaluation: float = 0.0
    where: str = ""
    busy: bool = False
    trouble: str = ""

    def seconds(self, plan: Plan, examples: int) -> float:
        """Seconds of a whole training with so many examples."""
        per_epoch = max(1, examples // min(plan.batch, examples))
        evaluations = len(eval_steps(plan.epochs * per_epoch, per_epoch))
        return plan.epochs * per_epoch * self.draw + evaluations * self.evaluation

    def epochs(self, seconds: float, plan: Plan, examples: int) -> int:
        """How many epochs fit into these seconds, at least one."""
        epoch_seconds = max(1, examples // min(plan.batch, examples)) * self.draw
        return max(1, int((seconds - 24 * self.evaluation) / epoch_seconds)) if epoch_seconds else 1


TOO_SLOW = Speed(trouble="its first steps take too long here, or need too much memory. Try a smaller batch or width")


class Stopwatch:
    """Remembers what was measured, and has what is asked for measured by a worker.

    threads, device: with which a training would compute.  log_path: for what the worker prints.
    busy: whether a training runs at this moment.
    """

    def __init__(self, threads: int, device: str, log_path: Path, busy: Callable[[], bool] = lambda: False):
        self.threads, self.device, self.log_path, self.busy = threads, device, log_path, busy
        self._speeds: LRUCache[str, Speed] = LRUCache(CACHE_SIZE)
        self._asked: dict[str, float] = {}  # configuration, and when somebody asked for it last
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._answered = threading.Event()

    def ask(self, order: dict[str, Any]) -> Speed | None:
        """The speed of a configuration, see `timing.measure`; None while it is being measured."""
        key = json.dumps(order, sort_keys=True)
        with self._lock:
            if key in self._speeds:
                return self._speeds[key]
            self._asked[key] = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="aecore-stopwatch", daemon=True)
                self._thread.start()
        return None

    def _next(self) -> str | None:
        """The configuration that has waited longest of those that somebody still asks for."""
        with self._lock:
            now = time.monotonic()
            self._asked = {key: asked for key, asked in self._asked.items() if now - asked < ASKED_SECONDS}
            return min(self._asked, key=self._asked.__getitem__, default=None)

    def _work(self) -> None:
        """Measure what is asked for, until nothing was for `IDLE_SECONDS`."""
        worker: Worker | None = None
        last = time.monotonic()
        while True:
            key = self._next()
            if key is not None:
                try:
                    if worker is None or not worker.alive:
                        worker = self._start()
                    speed = self._measure(worker, key)
                except OSError as error:  # the disk is full, or there is no room for another process
                    speed = Speed(trouble=f"could not be measured ({error.strerror or error})")
                last = time.monotonic()
                with self._lock:
                    self._asked.pop(key, None)
                    self._speeds[key] = speed
                continue
            with self._lock:
                if time.monotonic() - last > IDLE_SECONDS and not self._asked:
                    self._thread = None
                    break
            time.sleep(0.1)
        if worker:
            worker.end(patience=1.0)

    def _start(self) -> Worker:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        return Worker("time", self.threads, self.device, self.log_path, self._answered.set)

    def _measure(self, worker: Worker, key: str) -> Speed:
        before = self.busy()
        answers: list[dict[str, Any]] = []
        worker.give(Job(key, {"time": json.loads(key)}, done=answers.append))
        deadline = time.monotonic() + LIMIT_SECONDS
        while not answers and worker.alive and time.monotonic() < deadline:
            self._answered.wait(0.2)
            self._answered.clear()
        if not answers:  # it is too slow, or it was killed for its memory
            worker.process.kill()
            worker.end(patience=1.0)
            return TOO_SLOW
        return Speed(**answers[0], busy=before or self.busy())
