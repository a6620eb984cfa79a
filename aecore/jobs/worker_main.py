"""What runs in a worker process: `python -m aecore.jobs.worker_main KIND THREADS DEVICE`.

It reads orders from its standard input, one JSON object on each line:

    {"run": FOLDER}      train this run
    {"request": FILE}    make the map or the study that this request file asks for (`analyses`)
    {"time": {…}}        time a few steps of this configuration (`timing.measure`)

It answers each with one line of JSON on its standard output: the result of the timing, `null` for the other two. One
line before the first answer says that it has started. It ends when its input ends, because then the process that
started it has ended or dismissed it; the run that it trains is saved first.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

GRACE_SECONDS = 10.0  # to save in, once the input has ended


def main(kind: str, threads: str, device: str) -> None:
    """Follow orders until the input ends. kind: "train", "analyse" or "time", what to prepare for."""
    # Libraries print to stdout, also from C: keep that out of the protocol's stream.
    protocol = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
    closing = threading.Event()
    threading.Thread(target=listen, args=(orders, closing), daemon=True).start()

    import torch

    torch.set_num_threads(int(threads))
    warm_up(kind, device)
    answer = None
    while True:
        print(json.dumps(answer), file=protocol, flush=True)
        order = orders.get()
        if order is None:
            return
        answer = follow(order, device, int(threads), closing)


def follow(order: dict[str, Any], device: str, threads: int, closing: threading.Event) -> dict[str, Any] | None:
    """Do what one order says, and return the answer."""
    if "run" in order:
        train(Path(order["run"]), device, closing)
    elif "request" in order:
        analyse(Path(order["request"]))
    else:
        from .timing import measure

        return measure(order["time"], threads, device)
    return None


def listen(orders: queue.Queue[dict[str, Any] | None], closing: threading.Event) -> None:
    """Queue each order that arrives; after the last let the process end, by force if it takes too long."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    closing.set()
    orders.put(None)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def warm_up(kind: str, device: str) -> None:
    """Do now what the first order would have to wait for: import modules, and let Adam move a parameter once."""
    if kind == "analyse":
        from ..runs import maps  # noqa: F401
    elif kind == "time":
        from . import timing  # noqa: F401
    else:
        import torch

        from ..runs import session  # noqa: F401

        parameter = torch.nn.Parameter(torch.zeros(1, device=device))
        parameter.grad = torch.ones_like(parameter)
        torch.optim.Adam([parameter]).step()


def train(path: Path, device: str, closing: threading.Event) -> None:
    """Train a queued run; once `closing` is set it is saved and marked as cut off."""
    from ..runs.folder import Run
    from ..runs.session import Session

    run = Run.open(path)
    Session(run).train(device, command=lambda: "cut" if closing.is_set() else run.command(), only_from=("queued",))


def analyse(file: Path) -> None:
    """Make the map or the study that a request file asks for, and write the state and the progress into that file."""
    from .. import tasks
    from ..errors import DataError, Diverged, FieldError, RunError
    from ..runs import maps
    from ..runs.files import write_text
    from ..runs.folder import Run

    request = json.loads(file.read_text())

    def update(**changes: Any) -> None:
        request.update(changes)
        write_text(file, json.dumps(request))

    def progress(fraction: float, doing: str = "") -> None:
        update(progress=fraction, doing=doing)

    update(state="running", started=time.time(), ended=None, progress=0.0)
    try:
        if "task" in request:
            result = tasks.compute(request["task"], request["settings"], progress)
            tasks.store(request["task"], request["settings"], result, Path(request["folder"]))
        else:
            maps.compute(Run.open(request["run"]), request["method"], request["n"], request["split"], progress)
        update(state="done", ended=time.time(), progress=1.0)
    except (DataError, FieldError, RunError, Diverged, MemoryError) as error:
        update(state=f"failed: {str(error) or 'the memory is full'}", ended=time.time())
    except Exception as error:  # a defect of ours: the page names it, the log has it in full, the next one is done
        traceback.print_exc()
        update(state=f"failed: {type(error).__name__}: {error}", ended=time.time())


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # at once: nothing is left to write, and whoever closes the app waits
