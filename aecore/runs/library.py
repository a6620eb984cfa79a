"""Finding, listing and creating runs."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import paths
from ..catalog import entry
from ..data.base import DataSpec
from ..errors import RunError
from ..paths import root
from ..training.plan import Plan
from .files import remedy
from .folder import Info, Run, Status

LISTING_SECONDS = 0.1  # a listing is returned again for so long before the disk is read


class Library:
    """The runs of one folder. They stay in memory: only a run.json that has changed is read again.

    seconds: for how long a listing is returned again without reading the disk.
    broken: folders whose run.json cannot be read, with the reason.
    """

    def __init__(self, folder: Path, seconds: float = LISTING_SECONDS):
        self.folder, self.seconds = folder, seconds
        self.broken: dict[str, str] = {}
        self._guard, self._read = threading.Lock(), -1.0
        self._known: dict[str, tuple[tuple[int, int], Run | str]] = {}
        self._runs: list[Run] = []

    def forget(self) -> None:
        """Read the disk at the next question."""
        self._read = -1.0

    def runs(self) -> list[Run]:
        """The runs, newest first. Every caller gets its own Run objects."""
        with self._guard:
            if self._read < 0 or time.monotonic() - self._read > self.seconds:
                self._read = time.monotonic()
                self._look()
            return [Run(run.path, run.info) for run in self._runs]

    def _look(self) -> None:
        """Read each run.json that is new or has changed."""
        before, self._known = self._known, {}
        try:
            names = [item.name for item in os.scandir(self.folder) if not item.name.startswith(".")]
        except OSError:
            names = []
        for name in names:
            try:
                stat = os.stat(self.folder / name / "run.json")
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_ino)
            known = before.get(name)
            self._known[name] = known if known and known[0] == stamp else (stamp, _opened(self.folder / name))
        runs = [run for _, run in self._known.values() if isinstance(run, Run)]
        self.broken = {name: text for name, (_, text) in self._known.items() if isinstance(text, str)}
        self._runs = sorted(runs, key=lambda run: -run.info.created)


def _opened(path: Path) -> Run | str:
    """The run in a folder, or why it cannot be opened."""
    try:
        return Run.open(path)
    except RunError as error:
        return str(error)


def new_id(model: str) -> str:
    """A new id: it sorts by time, contains the model's key, and cannot be guessed."""
    return f"{time.strftime('%y%m%d-%H%M%S')}-{model}-{secrets.token_hex(3)}"


def pretrained() -> Iterator[Run]:
    """The trained examples that come with the project, in the order of their recipe."""
    yield from sorted(scan(paths.PRETRAINED), key=lambda run: run.info.order)


def scan(folder: Path) -> Iterator[Run]:
    """Every readable run in a folder, by name; see `broken` for the others."""
    for path in sorted(folder.glob("*/run.json")):
        try:
            yield Run.open(path.parent)
        except RunError:
            continue


def broken(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folders that should be runs but cannot be read, with the reason."""
    for path in sorted(folder.glob("*/")):
        if path.name.startswith("."):
            continue
        try:
            Run.open(path)
        except RunError as error:
            yield path, str(error)


def find(identity: str, folder: Path | None = None) -> Run:
    """The run of this id among the user's runs and the trained examples.

    folder: of the user's runs; by default `paths.root()`.  Raises RunError where there is no such run.
    """
    if re.fullmatch(r"[\w-]+", identity):  # an id may come from a link: it must not walk through the disk
        examples = paths.PRETRAINED
        for path in ((folder or root()) / identity, examples / identity, *examples.glob(f"sweeps/*/{identity}")):
            if (path / "run.json").exists():
                return Run.open(path)
    raise RunError(f"There is no run {identity!r} here. It may have been deleted; the gallery lists all there are.")


def create(
    model: str,
    data: DataSpec,
    params: dict[str, Any] | None = None,
    plan: Plan | None = None,
    *,
    path: Path | None = None,
    title: str = "",
    owner: str = "",
    group: str = "",
    encoder: str = "",
    status: Status = "queued",
) -> Run:
    """Create the folder of a new run. A queue that watches the folder of runs trains those with the status "queued".

    title: by default the model's name.  path: by default a new folder in `paths.root()`.
    encoder: id of the run whose encoder it takes and holds fixed.  group: the comparison it belongs to.

    Raises FieldError for bad settings, before anything is written, and RunError where the folder cannot be made.
    """
    chosen = entry(model)
    checked = chosen.check(params or {})
    if encoder:
        find(encoder)
    identity = path.name if path else new_id(model)
    path = path or root() / identity
    if (path / "run.json").exists():
        raise RunError(f"{path} already holds a run. Give another folder, or resume that one.")
    now = time.time()
    info = Info(
        id=identity,
        title=title or chosen.name,
        model=model,
        params=checked,
        data=data,
        plan=plan or Plan(**chosen.plan),
        encoder=encoder,
        owner=owner,
        group=group,
        status=status,
        created=now,
        order=now,
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} could not be made: {remedy(error)} Or choose another folder.") from error
    run = Run(path, info)
    run.save()
    return run
