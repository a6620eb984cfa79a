"""The queue over the run folders: which runs wait, in which order they are trained, and who may change them.

    queue = Queue()
    me = digest(token)                           # identifies the visitor without containing the secret
    run = create("vae", DataSpec(), owner=me)
    queue.submit(run)
    queue.pause(run.info.id, me)

The folders are the truth. A queue only reads and edits them, so it can be created anew at any time. The runs are
trained by the workers of a `Supervisor`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import paths
from ..errors import Forbidden, RunError
from ..paths import root
from ..runs.files import remedy
from ..runs.folder import RESUMABLE, Run, Status
from ..runs.library import Library, create, find, new_id
from ..settings import parse
from ..training.plan import Plan

PATIENCE_SECONDS = 10.0  # how long to wait for a worker to answer, or to save and end


def digest(token: str) -> str:
    """Of a visitor's secret token: the owner that stands in run.json. "" for no token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""


def fair_order(waiting: Iterable[Run], everyone: Iterable[Run]) -> list[Run]:
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


class Queue:
    """The runs of one folder: lists them, orders those that wait, and says who may change them.

    All methods name a run by its id and may be called from any thread. `who` is `digest(token)` of the visitor.
    They raise Forbidden where `who` is not the run's owner, and RunError where there is no such run or the disk is
    full.

    changed: set whenever a run may have begun to wait; a supervisor waits for it.
    taken: names the runs that a worker has at this moment.  unable: names of the runs that no worker can even begin.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = Path(folder or root())
        self.changed = threading.Event()
        self.taken: Callable[[], set[str]] = set
        self.unable: set[str] = set()
        self._own = Library(self.folder)
        self._bin = Library(self.folder / ".bin")
        self._examples = Library(paths.PRETRAINED, seconds=5.0)

    # --- looking ----------------------------------------------------------------------------------------

    def listing(self, pretrained: bool = False) -> list[Run]:
        """All readable runs, newest first (behind the pretrained ones, if these are wanted). Cheap: call it freely."""
        own = self._own.runs()
        return [*sorted(self._examples.runs(), key=lambda run: run.info.order), *own] if pretrained else own

    def broken(self) -> dict[str, str]:
        """Folders whose run.json cannot be read, with the reason."""
        self._own.runs()
        return dict(self._own.broken)

    def get(self, id: str) -> Run:
        """One run, by its id, also a pretrained one; RunError if there is none."""
        return find(id, self.folder)

    def waiting(self) -> list[Run]:
        """The queued runs in the order in which they will be trained: owners take turns."""
        everyone = self._own.runs()
        held = self.taken() | self.unable
        queued = [run for run in everyone if run.info.status == "queued" and run.path.name not in held]
        return fair_order(queued, everyone)

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
        """Let a run of this folder wait (see `runs.library.create`).

        Returns its position; None if it is being trained already.
        """
        if run.path.resolve().parent != self.folder.resolve():
            raise RunError(
                f"{run.path} lies outside {self.folder}, which this queue looks after. Create the run there."
            )
        self.unable.discard(run.path.name)
        if run.info.status != "queued":
            run.save(only_from=RESUMABLE, status="queued", reason="", order=time.time())
        self.forget()
        return self.position(run.path.name)

    def pause(self, id: str, who: str) -> None:
        """A waiting run leaves the line, a running one saves and ends within moments; others stay as they are."""
        self._end(self._owned(id, who, "pause"), "pause", "paused")

    def stop(self, id: str, who: str) -> None:
        """As `pause`, for good; it may be resumed all the same."""
        self._end(self._owned(id, who, "stop"), "stop", "stopped")

    def _end(self, run: Run, command: str, status: Status) -> None:
        if not run.save(only_from=("queued",), status=status, reason="") and run.info.status == "running":
            run.ask(command)
        self.forget()

    def resume(self, id: str, who: str) -> int | None:
        """Let a paused, stopped or failed run wait again, last in its owner's line; returns its position."""
        return self.submit(self._owned(id, who, "resume"))

    def move_up(self, id: str, who: str) -> int | None:
        """One place up among the waiting runs of its owner; returns its position."""
        run = self._owned(id, who, "move")
        line = [other for other in self.waiting() if other.info.owner == run.info.owner]
        place = next((place for place, other in enumerate(line) if other.path.name == run.path.name), 0)
        if place:
            above = line[place - 1]
            run.save(order=above.info.order)
            above.save(order=line[place].info.order)
        self.forget()
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
        identity = new_id(like.model)
        run = create(
            like.model,
            like.data,
            {**like.params, **(params or {})},
            parse(Plan, {**like.plan.model_dump(), **(plan or {})}),
            path=self.folder / identity,
            title=title or like.title,
            owner=who,
        )
        self.forget()
        return run

    def delete(self, id: str, who: str) -> None:
        """Put it into the bin; a running one is stopped first."""
        run = self._owned(id, who, "delete")
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
            raise RunError(f"{run.info.title} could not be moved. {remedy(error)}") from error
        self.forget()
        return Run(folder / run.path.name, run.info)

    def _owned(self, id: str, who: str, verb: str) -> Run:
        run = self.get(id)
        if run.pretrained:
            raise Forbidden(f"You cannot {verb} a pretrained example. Duplicate it to train one of your own.")
        if not self.may_change(run, who):
            raise Forbidden(f"You cannot {verb} this run: it is somebody else's. Open, watch or duplicate it instead.")
        return run

    def forget(self) -> None:
        """Read the folders anew at the next question, and wake whoever hands out work."""
        self._own.forget()
        self._bin.forget()
        self.changed.set()
