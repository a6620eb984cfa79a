"""Analyses that a worker computes in the background: maps of a run's codes, and studies of the tasks.

An analysis is one request file in `.analyses/` of the folder of runs. A page writes the request, and the worker writes
its state and progress into it. Results are stored elsewhere: a map with its run (`runs.maps`), a study in `.studies/`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .. import tasks
from ..errors import RunError
from ..paths import root
from ..runs import maps
from ..runs.files import write_text
from ..runs.folder import Run


class Analysis(NamedTuple):
    """The state of an analysis.

    state: "waiting", "running", "done" or "failed: <reason>".
    elapsed: seconds since a worker began it.  estimate: estimated seconds from its beginning to its end.
    progress: from 0 to 1.  doing: a sentence that says what is being computed.
    position: among those that wait, 1 for the next; 0 once it was begun.
    """

    state: str
    elapsed: float = 0.0
    estimate: float = 0.0
    progress: float = 0.0
    doing: str = ""
    position: int = 0


class Analyses:
    """The analyses that were asked for in one folder of runs.

    requests, studies: the folders of request files and of stored studies.
    changed: set whenever an analysis is asked for; a supervisor waits for it.
    """

    def __init__(self, folder: str | Path | None = None, changed: threading.Event | None = None):
        runs = Path(folder or root())
        self.requests, self.studies = runs / ".analyses", runs / ".studies"
        self.changed = changed or threading.Event()

    def map(self, run: Run, method: str = "umap", n: int = 5000, split: str = "test", again: bool = False) -> Analysis:
        """Ask for a map of a run's codes, and return its state. Call it repeatedly to follow the progress.

        The result is then `runs.maps.stored(run, method, n, split)`.

        again: try again after a failure.  Raises RunError for a run without weights.
        """
        file = self._map_request(run, method, n, split)
        request = read_request(file)
        weights = _modified(run.path / "weights.safetensors")
        if not weights:
            raise RunError(f"{run.info.title} has no weights yet. Wait for its first evaluation, or train it.")
        state = request.get("state", "")
        up_to_date = request.get("weights") == weights and not (again and state.startswith("failed"))
        if not up_to_date and state not in ("waiting", "running"):
            done = maps.stored(run, method, n, split) is not None
            request = {
                "run": str(run.path.resolve()),
                "method": method,
                "n": n,
                "split": split,
                "weights": weights,
                "asked": time.time(),
                "state": "done" if done else "waiting",
                "estimate": maps.estimate(method, n),
            }
            self._ask(file, request)
        return self._state(file, request)

    def study(self, task: str, settings: Mapping[str, Any], estimate: float = 60.0, again: bool = False) -> Analysis:
        """Ask for a task's study (`tasks.compute`), and return its state. Call it repeatedly to follow the progress.

        The result is then `tasks.stored(task, settings, analyses.studies)`.
        estimate: seconds, a first guess.  again: try again after a failure.
        """
        name = tasks.file_of(task, settings, self.studies).name
        file = self.requests / name
        request = read_request(file)
        state = request.get("state", "")
        done = tasks.stored(task, settings, self.studies) is not None
        failed = state.startswith("failed") and not again
        if state != "done" if done else state not in ("waiting", "running") and not failed:
            request = {
                "task": task,
                "settings": dict(settings),
                "folder": str(self.studies.resolve()),
                "asked": time.time(),
                "state": "done" if done else "waiting",
                "estimate": estimate,
            }
            self._ask(file, request)
        return self._state(file, request)

    def _map_request(self, run: Run, method: str, n: int, split: str) -> Path:
        """The request file of a map."""
        kind = "pretrained-" if run.pretrained else ""
        return self.requests / f"{kind}{run.path.name}.{method}.{n}.{split}.json"

    def _ask(self, file: Path, request: Mapping[str, Any]) -> None:
        """Write a request, and wake the supervisor."""
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(request))
        self.changed.set()

    def _state(self, file: Path, request: Mapping[str, Any]) -> Analysis:
        """The state that a request file records."""
        state, started = request["state"], request.get("started")
        elapsed = (request.get("ended") or time.time()) - started if started else 0.0
        progress = 1.0 if state == "done" else request.get("progress", 0.0)
        estimate = elapsed / progress if progress > 0.2 else max(request.get("estimate", 0.0), elapsed)
        position = 0
        if state == "waiting":
            before = [other for other, _ in self.in_state("waiting")]
            position = before.index(file) + 1 if file in before else 1
        return Analysis(state, elapsed, estimate, progress, request.get("doing", ""), position)

    def in_state(self, *states: str) -> list[tuple[Path, dict[str, Any]]]:
        """The request files in these states with their content, the oldest first."""
        requests = [(file, read_request(file)) for file in self.requests.glob("[!.]*.json")]
        return sorted(
            [(file, request) for file, request in requests if request.get("state") in states],
            key=lambda pair: pair[1]["asked"],
        )


def _modified(path: Path) -> int:
    """When a file was last written, in nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def read_request(file: Path) -> dict[str, Any]:
    """The content of a request file; empty where it cannot be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
