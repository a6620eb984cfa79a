"""The queue over the run folders: which runs wait, in which order they are trained, and who may change them.

    queue = Queue()
    me = digest(token)                           # identifies the visitor without containing the secret
    run = create("vae", DataSpec(), owner=me)
    queue.submit(run)
    queue.pause(run.info.id, me)

All state is in the run folders. A queue only reads and edits them, so it can be created anew at any time. The workers
of a `Supervisor` train the runs.
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

PATIENCE_SECONDS = 10.0  # how long to wait until a worker answers, or has saved and ended


def digest(token: str) -> str:
    """The owner that run.json records for a visitor, from the visitor's secret token; "" for no token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""


def fair_order(waiting: Iterable[Run], everyone: Iterable[Run], given: Mapping[str, float] | None = None) -> list[Run]:
    """Waiting runs in a fair order. Owners take turns, first the one who was served longest ago.

    The runs of one owner keep their `order`.  everyone: all runs; their `taken` tells when each owner was served.
    given: when a run of an owner was given to a worker, which the run itself records a moment later.
    """
    runs_of: dict[str, list[Run]] = {}
    for run in sorted(waiting, key=lambda run: run.info.order):
        runs_of.setdefault(run.info.owner, []).append(run)
    served = {owner: (given or {}).get(owner, 0.0) for owner in runs_of}
    for run in everyone:
        if run.info.owner in served:
            served[run.info.owner] = max(served[run.info.owner], run.info.taken or 0.0)
    ranked = [
        ((turn, served[owner], runs[0].info.order), run)
        for owner, runs in runs_of.items()
        for turn, run in enumerate(runs)
    ]
    return [run for _, run in sorted(ranked, key=lambda pair: pair[0])]


class Queue:
    """The runs of one folder: lists them, orders those that wait, and says who may change them.

    All methods name a run by its id and may be called from any thread. `who` is `digest(token)` of the visitor.
    They raise Forbidden where `who` is not the run's owner, and RunError where there is no such run or the disk is
    full.

    changed: set whenever a run may have begun to wait; a supervisor waits for it.
    taken: returns the folder names of the runs that workers have at the moment.
    unable: folder names of the runs whose worker died, and whose folder could not record that.
    given: when a supervisor gave a run of an owner to a worker, by owner; in seconds since 1970.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = Path(folder or root())
        self.changed = threading.Event()
        self.taken: Callable[[], set[str]] = set
        self.unable: set[str] = set()
        self.given: dict[str, float] = {}
        self._own = Library(self.folder)
        self._bin = Library(self.folder / ".bin")
        self._examples = Library(paths.PRETRAINED, seconds=5.0)

    # --- reading ----------------------------------------------------------------------------------------

    def listing(self, pretrained: bool = False) -> list[Run]:
        """All readable runs, newest first. This is fast, so call it freely.

        pretrained: with the trained examples before them, in the order of their recipe.
        """
        runs = self._own.runs()
        return [*sorted(self._examples.runs(), key=lambda run: run.info.order), *runs] if pretrained else runs

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
        excluded = self.taken() | self.unable
        queued = [run for run in everyone if run.info.status == "queued" and run.path.name not in excluded]
        return fair_order(queued, everyone, self.given)

    def position(self, id: str) -> int | None:
        """The position among the waiting runs, 1 for the next; None for a run that does not wait."""
        names = [run.path.name for run in self.waiting()]
        return names.index(id) + 1 if id in names else None

    def eta(self, id: str) -> float | None:
        """Seconds until a running run ends, from its heartbeat; None when unknown."""
        left = self.get(id).heartbeat().get("left", -1.0)
        return left if left >= 0 else None

    def may_change(self, run: Run, who: str) -> bool:
        """Whether this visitor may pause, stop, resume, move or delete a run: its owner may; nobody without a token.

        A run without an owner was begun outside of the app, for instance in a terminal.
        """
        return bool(who) and run.info.owner == who and not run.pretrained

    def deleted(self, who: str) -> list[Run]:
        """The runs that this visitor has deleted, newest first."""
        return [run for run in self._bin.runs() if run.info.owner == who]

    # --- changing ---------------------------------------------------------------------------------------

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
        """Pause a run: a waiting one leaves the queue, a running one saves and ends soon; others stay as they are."""
        self._end(self._owned(id, who, "pause"), "pause", "paused")

    def stop(self, id: str, who: str) -> None:
        """As `pause`, with the status "stopped". It can still be resumed."""
        self._end(self._owned(id, who, "stop"), "stop", "stopped")

    def _end(self, run: Run, command: str, status: Status) -> None:
        if not run.save(only_from=("queued",), status=status, reason="") and run.info.status == "running":
            run.ask(command)
        self.forget()

    def resume(self, id: str, who: str) -> int | None:
        """Let a paused, stopped or failed run wait again, behind its owner's other runs; returns its position."""
        return self.submit(self._owned(id, who, "resume"))

    def move_up(self, id: str, who: str) -> int | None:
        """Move a waiting run up by one among those of its owner; returns its position."""
        run = self._owned(id, who, "move")
        own = [other for other in self.waiting() if other.info.owner == run.info.owner]
        index = next((index for index, other in enumerate(own) if other.path.name == run.path.name), 0)
        if index:
            above = own[index - 1]
            run.save(order=above.info.order)
            above.save(order=own[index].info.order)
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
        """Create a waiting run like this one, owned by `who`.  params, plan: the settings that differ."""
        original = self.get(id).info
        identity = new_id(original.model)
        run = create(
            original.model,
            original.data,
            {**original.params, **(params or {})},
            parse(Plan, {**original.plan.model_dump(), **(plan or {})}),
            path=self.folder / identity,
            title=title or original.title,
            owner=who,
            encoder=original.encoder,
        )
        self.forget()
        return run

    def delete(self, id: str, who: str) -> None:
        """Move a run into the bin; a running one is stopped first."""
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
        """Take a run back out of the bin."""
        for run in self._bin.runs():
            if run.path.name == id:
                if run.info.owner != who:
                    raise Forbidden("Somebody else deleted this run; only they can bring it back.")
                return self._move(run, self.folder)
        raise RunError(f"There is no run {id!r} in the bin.")

    def _move(self, run: Run, folder: Path) -> Run:
        """Move a run's folder into another folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.rename(run.path, folder / run.path.name)
        except OSError as error:
            raise RunError(f"{run.info.title} could not be moved. {remedy(error)}") from error
        self.forget()
        return Run(folder / run.path.name, run.info)

    def _owned(self, id: str, who: str, verb: str) -> Run:
        """The run, if this visitor may change it; else Forbidden. verb: for the message."""
        run = self.get(id)
        if run.pretrained:
            raise Forbidden(f"You cannot {verb} a pretrained example. Duplicate it to train one of your own.")
        if not self.may_change(run, who):
            raise Forbidden(f"You cannot {verb} this run: it is somebody else's. Open, watch or duplicate it instead.")
        return run

    def forget(self) -> None:
        """Read the folders again at the next question, and wake the supervisor."""
        self._own.forget()
        self._bin.forget()
        self.changed.set()
