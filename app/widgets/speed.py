"""How long a training would take on this computer, for pages that are about to start one."""

from __future__ import annotations

from typing import Any

from aecore.device import all_devices
from aecore.jobs.speed import Speed, Stopwatch
from aecore.models.entry import Entry
from aecore.training.plan import Plan
from app import session
from app.caching import share


def ask(entry: Entry, params: dict[str, Any], plan: Plan, shape: tuple[int, ...]) -> Speed | None:
    """The speed of this configuration; None while it is being measured: ask again in a second."""
    order = {
        "model": entry.key,
        "params": params,
        "shape": list(shape),
        "batch": plan.batch,
        "precision": plan.precision,
        "held_out": plan.held_out,
    }
    return _stopwatch().ask(order)


@share()
def _stopwatch() -> Stopwatch:
    queue, supervisor = session.queue(), session.server().supervisor
    device = (supervisor.devices or all_devices())[0]
    log_path = queue.folder / ".workers" / "speed.txt"
    return Stopwatch(
        supervisor.threads, device, log_path, lambda: any(run.info.status == "running" for run in queue.listing())
    )
