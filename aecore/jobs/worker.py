"""A worker process, as the process that starts it sees it: give it a job, hear that it is done, end it.

The other side, and the protocol between both, is `worker_main`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["train", "analyse", "time"]


def ignore(_: Any) -> None:
    """Do nothing."""


@dataclass
class Job:
    """One order to a worker.

    key: a name for it.  order: what the worker is sent, see `worker_main`.
    done: called with the worker's answer.  lost: to be called with the reason if the worker dies before it answers.
    """

    key: str
    order: dict[str, Any]
    done: Callable[[Any], None] = ignore
    lost: Callable[[str], None] = ignore


class Worker:
    """One long-lived child process, and the job that it has at present.

    kind: what it shall prepare for; any worker takes any order.  threads, device: what it computes with.
    log_path: where its standard error goes.  wake: called whenever it becomes ready for the next job, and when it ends.
    """

    def __init__(self, kind: Kind, threads: int, device: str, log_path: Path, wake: Callable[[], None]):
        self.kind, self.log_path, self.wake = kind, log_path, wake
        self.job: Job | None = None
        self.ready, self.born = False, time.monotonic()
        project = str(Path(__file__).resolve().parents[2])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [project, os.environ.get("PYTHONPATH", "")])),
            "OMP_NUM_THREADS": str(threads),
            "NUMBA_NUM_THREADS": str(threads),
            # Threads that spin while they wait take the processor from the page.
            "OMP_WAIT_POLICY": "PASSIVE",
            "KMP_BLOCKTIME": "0",
        }
        with open(log_path, "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aecore.jobs.worker_main", kind, str(threads), device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                text=True,
                start_new_session=True,  # Ctrl-C in the app's terminal is not for it: it saves when its input ends
                creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
            )
        if hasattr(os, "setpriority"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.process.pid, 10)
        self._listener = threading.Thread(target=self._listen, name=f"aecore-{kind}-listener", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            if not self.ready:  # the first line answers no order: it says that the process has started
                self.ready = True
            elif self.job:
                job, self.job = self.job, None
                job.done(json.loads(line))
            self.wake()
        self.wake()

    @property
    def idle(self) -> bool:
        """Whether it can begin a job at once."""
        return self.ready and self.job is None and self.alive

    @property
    def alive(self) -> bool:
        """Whether the process still runs; if it has ended, it is reaped here."""
        return self.process.poll() is None

    def give(self, job: Job) -> None:
        """Send an order. Only one at a time: wait for its answer before the next."""
        self.job = job
        with suppress(OSError):  # it died just now: the next poll notices
            assert self.process.stdin
            self.process.stdin.write(json.dumps(job.order) + "\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Let it save and end, without waiting for that."""
        with suppress(OSError):
            assert self.process.stdin
            self.process.stdin.close()

    def end(self, patience: float) -> None:
        """Dismiss it, wait until it has ended, and kill it if that takes longer than `patience` seconds."""
        self.dismiss()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def exit_reason(self) -> str:
        """How it ended, as a sentence for people."""
        code = self.process.wait()
        self._listener.join(1.0)
        try:
            lines = self.log_path.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        last = f": {lines[-1].strip()[:300]}" if lines else ""
        if code >= 0:
            return f"The process that trained it ended with exit code {code}{last}."
        with suppress(ValueError):
            code = signal.Signals(-code).name
        hint = " (often because the memory was full)" if code == "SIGKILL" else ""
        return f"The process that trained it was ended by {code}{hint}{last}."
