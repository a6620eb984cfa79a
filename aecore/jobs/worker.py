"""A worker process, seen from both sides: `Worker` is the handle in the process that starts it, `main` runs in it.

python -m aecore.jobs.worker KIND THREADS DEVICE takes orders from its standard input, a line of JSON each: {"run": folder}
to train it, {"request": file} to make a map or a study. It answers "ready" when it can take the next. It ends when its
input ends, since then whoever started it has ended too, however that happened; what it trains is saved first.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE_SECONDS = 10.0  # to save in, once the input has ended


@dataclass
class Job:
    """What a worker is given: a line of JSON with the `order`, and whom to tell if the worker dies over it."""

    key: str
    order: dict[str, Any]
    lost: Callable[[str], None]


class Worker:
    """One long-lived child process, and the job it has at present."""

    def __init__(self, kind: str, threads: int, device: str, log_path: Path, wake: Callable[[], None]):
        self.kind, self.log_path, self.wake = kind, log_path, wake
        self.job: Job | None = None
        self.ready, self.born = False, time.monotonic()
        here = str(Path(__file__).resolve().parent.parent.parent)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")])),
            "OMP_NUM_THREADS": str(threads),
            "NUMBA_NUM_THREADS": str(threads),
            # Threads that spin while they wait take the processor from the page.
            "OMP_WAIT_POLICY": "PASSIVE",
            "KMP_BLOCKTIME": "0",
        }
        with open(log_path, "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aecore.jobs.worker", kind, str(threads), device],
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
            if line.strip() == "ready":  # at first, and after each job
                self.ready, self.job = True, None
                self.wake()
        self.wake()

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None and self.process.poll() is None

    def give(self, job: Job) -> None:
        self.job = job
        with suppress(OSError):  # it died just now: the next poll notices
            assert self.process.stdin
            self.process.stdin.write(json.dumps(job.order) + "\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Let it save and end."""
        with suppress(OSError):
            assert self.process.stdin
            self.process.stdin.close()

    def exit_reason(self) -> str:
        """How it ended, for people."""
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


def main(kind: str, threads: str, device: str) -> None:
    # What a library prints is not for whoever listens.
    words, sys.stdout = sys.stdout, sys.stderr
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
    closing = threading.Event()
    threading.Thread(target=listen, args=(orders, closing), daemon=True).start()

    import torch

    torch.set_num_threads(int(threads))
    warm_up(kind, device)
    print("ready", file=words, flush=True)
    while (order := orders.get()) is not None:
        if "run" in order:
            train(Path(order["run"]), device, closing)
        else:
            analyse(Path(order["request"]))
        print("ready", file=words, flush=True)


def listen(orders: queue.Queue[dict[str, Any] | None], closing: threading.Event) -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    closing.set()
    orders.put(None)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def warm_up(kind: str, device: str) -> None:
    """Do at leisure what the first order would have to wait for: import, and move a parameter for the first time."""
    if kind == "analyse":
        from ..runs import maps  # noqa: F401
    else:
        import torch

        from ..runs import session  # noqa: F401

        parameter = torch.nn.Parameter(torch.zeros(1, device=device))
        parameter.grad = torch.ones_like(parameter)
        torch.optim.Adam([parameter]).step()


def train(path: Path, device: str, closing: threading.Event) -> None:
    from ..runs.folder import Run
    from ..runs.session import Session

    run = Run.open(path)
    Session(run).train(device, command=lambda: "cut" if closing.is_set() else run.command(), only_from=("queued",))


def analyse(file: Path) -> None:
    """Make the map or the study that a request file asks for, and say in that file how it goes."""
    from .. import tasks
    from ..errors import DataError, Diverged, FieldError, RunError
    from ..runs import maps
    from ..runs.files import write_text
    from ..runs.folder import Run

    request = json.loads(file.read_text())

    def say(**changes: Any) -> None:
        request.update(changes)
        write_text(file, json.dumps(request))

    def progress(fraction: float, doing: str = "") -> None:
        say(progress=fraction, doing=doing)

    say(state="running", started=time.time(), ended=None, progress=0.0)
    try:
        if "task" in request:
            found = tasks.compute(request["task"], request["settings"], progress)
            tasks.store(request["task"], request["settings"], found, Path(request["folder"]))
        else:
            maps.compute(Run.open(request["run"]), request["method"], request["n"], request["split"], progress)
        say(state="done", ended=time.time(), progress=1.0)
    except (DataError, FieldError, RunError, Diverged, MemoryError) as error:
        say(state=f"failed: {error or 'the memory is full'}", ended=time.time())
    except Exception as error:  # a defect of ours: said in the page, told in full in the log, and the next one is done
        traceback.print_exc()
        say(state=f"failed: {type(error).__name__}: {error}", ended=time.time())


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # at once: nothing is left to write, and whoever closes the app waits
