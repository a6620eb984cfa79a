"""How long a training would take on this device: measured, off the pages, with a few steps of just this configuration.

`ask` answers at once with what is known. What is not known yet is measured by a child process with the threads of a
training worker, one configuration at a time; those that nobody asks for any more are dropped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from aecore.models.entry import Entry
from aecore.training.plan import Plan, eval_steps
from app import session

PATIENCE, IDLE = 4.0, 60.0
LIMIT = 40.0  # seconds, its own start included
KEPT = 512


class Speed(NamedTuple):
    """draw: seconds a minibatch takes.  evaluation: seconds of one held-out evaluation with what it leaves on the disk.

    where: device and threads.  busy: whether a training ran beside.  trouble: why nothing could be measured, or "".
    """

    draw: float = 0.0
    evaluation: float = 0.0
    where: str = ""
    busy: bool = False
    trouble: str = ""

    def seconds(self, plan: Plan, images: int) -> float:
        """Of a whole training with these many images."""
        per_epoch = max(1, images // min(plan.batch, images))
        evaluations = len(eval_steps(plan.epochs * per_epoch, per_epoch))
        return plan.epochs * per_epoch * self.draw + evaluations * self.evaluation

    def epochs(self, seconds: float, plan: Plan, images: int) -> int:
        """How many epochs fit into these seconds, at least one."""
        one = max(1, images // min(plan.batch, images)) * self.draw
        return max(1, int((seconds - 24 * self.evaluation) / one)) if one else 1


def ask(entry: Entry, params: dict[str, Any], plan: Plan, shape: tuple[int, ...]) -> Speed | None:
    """What is known of this configuration; None while it is being measured: ask again in a second."""
    order = {
        "model": entry.key,
        "params": params,
        "shape": list(shape),
        "batch": plan.batch,
        "precision": plan.precision,
        "held_out": plan.held_out,
    }
    return _stopwatch().ask(json.dumps(order, sort_keys=True))


@st.cache_resource(show_spinner=False)
def _stopwatch() -> Stopwatch:
    queue = session.queue()
    return Stopwatch(
        session.server().supervisor.threads, lambda: any(run.info.status == "running" for run in queue.listing())
    )


class Stopwatch:
    """Keeps what was measured, and the child that measures."""

    def __init__(self, threads: int, busy: Callable[[], bool]):
        self.threads, self.busy = threads, busy
        self.known: OrderedDict[str, Speed] = OrderedDict()
        self.wanted: dict[str, float] = {}
        self.guard = threading.Lock()
        self.thread: threading.Thread | None = None

    def ask(self, order: str) -> Speed | None:
        with self.guard:
            if order in self.known:
                self.known.move_to_end(order)
                return self.known[order]
            self.wanted[order] = time.monotonic()
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name="estimate", daemon=True)
                self.thread.start()
        return None

    def _next(self) -> str | None:
        with self.guard:
            now = time.monotonic()
            self.wanted = {order: at for order, at in self.wanted.items() if now - at < PATIENCE}
            return min(self.wanted, key=self.wanted.__getitem__, default=None)

    def _work(self) -> None:
        child, last = None, time.monotonic()
        while True:
            order = self._next()
            if order is None:
                with self.guard:
                    if time.monotonic() - last > IDLE and not self.wanted:
                        self.thread = None
                        break
                time.sleep(0.1)
                continue
            child = child if child and child.poll() is None else self._start()
            speed = self._measure(child, order)
            last = time.monotonic()
            with self.guard:
                self.wanted.pop(order, None)
                self.known[order] = speed
                while len(self.known) > KEPT:
                    self.known.popitem(last=False)
        if child and child.stdin:
            with suppress(OSError):
                child.stdin.close()

    def _start(self) -> subprocess.Popen[str]:
        here = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
        passive = {"OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
        return subprocess.Popen(
            [sys.executable, "-m", "aecore.jobs.speed", str(self.threads)],
            env={**os.environ, **passive, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def _measure(self, child: subprocess.Popen[str], order: str) -> Speed:
        before, limit = self.busy(), threading.Timer(LIMIT, child.kill)
        limit.start()
        try:
            assert child.stdin and child.stdout
            child.stdin.write(order + "\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
        except (OSError, ValueError):  # it was killed, by us or for its memory
            return Speed(
                trouble="its first steps take too long here, or need too much memory. Try a smaller batch or width"
            )
        finally:
            limit.cancel()
        return Speed(**answer, busy=before or self.busy())
