"""A run's folder: what training leaves and everything else reads. A pretrained example is the same thing.

    run.json              what is trained, on what, by whom, and how it stands
    rows.jsonl            the rows of the loop, appended
    weights.safetensors   the model
    snapshots/N.safetensors   the model after N steps, half precision
    preview/N.png         originals, reconstructions and samples after N steps
    resume/state.safetensors  model, optimisers and counters of the last checkpoint
    heartbeat.json        how far the worker is
    command               what somebody asks of the worker: pause or stop
    .busy, .edit          locks: held by whoever trains it; for a moment, by whoever changes run.json

Files are written aside and then replaced: a kill at any instant leaves a readable folder. A run whose status is
running while nobody holds .busy was cut off: locks end with their process, however it ends.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from . import data as datasets
from . import device as devices
from .catalog import entry
from .data.base import Data, DataError, DataSpec
from .entry import Entry, FieldError
from .models.base import Model, take_encoder
from .packing import SCALE, pack, unpack
from .train import Diverged, Plan, Row, Training

Status = Literal["queued", "running", "paused", "stopped", "failed", "done"]
RESUMABLE: tuple[Status, ...] = ("paused", "stopped", "failed")
VERSION = 1  # of run.json
CHECKPOINT_SECONDS = float(os.environ.get("AECORE_CHECKPOINT_SECONDS", 10.0))
RESERVE_BYTES = 65536  # given back when the disk is full, so that the folder can still say so
CUT_OFF = "Cut off when the program that trained it ended. Resume goes on from the last checkpoint."
SNAPSHOTS = 24
SNAPSHOT_BYTES = 24_000_000  # all snapshots of a run together
PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


Settings = TypeVar("Settings", bound=BaseModel)


class RunError(ValueError):
    """A run folder is not as it should be; the message says what, and the remedy."""


class InUse(RunError):
    """Another process holds the folder's lock."""


class Info(BaseModel):
    """run.json."""

    model_config = ConfigDict(extra="ignore")

    version: int = VERSION
    id: str
    title: str = ""
    model: str
    params: dict[str, Any]
    data: DataSpec
    shown: DataSpec | None = Field(None, description="what the pages show it on, if not on `data`")
    plan: Plan
    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] | None = None
    source: str = ""
    encoder: str = Field("", description="run whose encoder it has, held fixed; empty: its own")
    owner: str = Field("", description="digest of its owner's token; empty: nobody's")
    group: str = Field("", description="the comparison it was queued with (`sweeps.submit`)")
    status: Status = "queued"
    reason: str = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    order: float = Field(0.0, description="place among the queued runs of its owner")
    taken: float | None = None  # when a worker last took it up
    device: str = ""
    versions: dict[str, str] = {}
    metrics: dict[str, float] = {}


def parse(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """A Plan or DataSpec from named values, strings too; FieldError names the field and says what is allowed."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "value"
        if name not in kind.model_fields:
            raise FieldError(name, f"there is no such setting; there are {', '.join(kind.model_fields)}") from None
        wish = first["msg"].replace("Input should be", "it must be", 1).removeprefix("Value error, ")
        raise FieldError(name, f"{first['input']!r} is not allowed; {wish}") from None


def root() -> Path:
    """The folder of the user's runs: $AECORE_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("AECORE_RUNS", "runs"))


def remedy(error: OSError) -> str:
    """What went wrong on the disk, and what helps, as a sentence or two."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error):
        return "The disk is full. Free some space, then resume."
    return f"{error.strerror or error}."


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour, then put it in the place of `path` in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        write(aside)
        os.replace(aside, path)
    except OSError as error:
        raise RunError(f"{path} could not be written. {remedy(error)}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    def write(aside: Path) -> None:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, aside, metadata)
        except SafetensorError as error:  # its only cause when writing is the file system
            raise OSError(None, str(error)) from error

    write_aside(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file; RunError where it is missing, cut short or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(f"{path} is missing. Train the run again, or copy the whole folder anew.") from None
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged or no safetensors file ({error}). Copy it anew, or train again.") from error


def new_id(model: str) -> str:
    """Sorts by time, says the model, and cannot be guessed."""
    return f"{time.strftime('%y%m%d-%H%M%S')}-{model}-{secrets.token_hex(3)}"


def seeded_build(which: Entry, shape: tuple[int, ...], params: dict[str, Any], seed: int) -> Model:
    """A new model whose weights depend on the seed alone; the random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return which.build(tuple(shape), **which.check(params))


class Run:
    """One run folder, opened. `info` is run.json as last read or written."""

    def __init__(self, path: Path, info: Info):
        self.path, self.info = Path(path), info

    @classmethod
    def create(
        cls,
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
        """A new folder; a queue that watches it takes up what is queued. FieldError for bad settings, before
        anything is written."""
        which = entry(model)
        checked = which.check(params or {})
        if encoder:
            find(encoder)
        identity = path.name if path else new_id(model)
        path = path or root() / identity
        if (path / "run.json").exists():
            raise RunError(f"{path} already holds a run. Give another folder, or resume that one.")
        now = time.time()
        info = Info(
            id=identity, title=title or which.name, model=model, params=checked, data=data,
            plan=plan or Plan(**which.plan), encoder=encoder, owner=owner, group=group, status=status,
            created=now, order=now,
        )  # fmt: skip
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} could not be made: {remedy(error)} Or choose another folder.") from error
        run = cls(path, info)
        run.save()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        path = Path(path)
        try:
            text = (path / "run.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RunError(f"{path} is no run folder: it has no run.json.") from None
        except OSError as error:
            raise RunError(f"{path / 'run.json'} cannot be read ({error.strerror}).") from error
        try:
            raw = json.loads(text)
            version = raw.get("version", VERSION)
            if isinstance(version, int) and version > VERSION:
                raise RunError(
                    f"{path / 'run.json'} was written by a newer version of this program (format {version}, "
                    f"this one knows {VERSION}). Update this program to open it."
                )
            return cls(path, Info.model_validate({**raw, "id": path.resolve().name}))  # a folder may have been copied
        except (json.JSONDecodeError, AttributeError, TypeError):
            raise RunError(
                f"{path / 'run.json'} is damaged: no JSON object. Copy it anew, or delete the folder."
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise RunError(f"{path / 'run.json'}: {where}: {first['msg']}. Mend it, or delete the folder.") from None

    def refresh(self) -> Run:
        self.info = Run.open(self.path).info
        return self

    def save(self, *, only_from: Collection[Status] | None = None, **changes: Any) -> bool:
        """Change these fields in run.json, leaving the others as they are on disk; without fields, write `info`.

        only_from: do it only if the status is one of these at that moment. Returns whether it was done.
        """
        with self._locked("edit", 10.0):
            if changes and (self.path / "run.json").exists():
                self.refresh()
            if only_from is not None and self.info.status not in only_from:
                return False
            info = self.info.model_copy(update=changes)
            write_text(self.path / "run.json", info.model_dump_json(indent=1))
            self.info = info
            return True

    @contextmanager
    def _locked(self, name: str, patience: float) -> Iterator[None]:
        """Hold one of the folder's two locks; RunError if somebody else does so for too long."""
        lock = FileLock(self.path / f".{name}", timeout=patience)
        try:
            lock.acquire()
        except Timeout:
            raise InUse(f"{self.path} is in use by another process. Wait for it, or pause it there.") from None
        except OSError as error:
            raise RunError(f"{self.path} cannot be written. {remedy(error)}") from error
        try:
            yield
        finally:
            lock.release()

    def busy(self) -> bool:
        """Whether a process trains it at this moment."""
        if not (self.path / ".busy").exists():
            return False
        try:
            with self._locked("busy", 0.0):
                return False
        except InUse:
            return True

    def cut_off(self, status: Status = "paused", reason: str = CUT_OFF) -> bool:
        """Say so of a run whose training process is gone without a word; False if that is not so."""
        try:
            with self._locked("busy", 0.0):
                return self.save(only_from=("running",), status=status, reason=reason, ended=time.time())
        except InUse:
            return False

    @property
    def entry(self) -> Entry:
        return entry(self.info.model)

    @property
    def pretrained(self) -> bool:
        return PRETRAINED in self.path.resolve().parents

    # --- what was written -------------------------------------------------------------------------------

    def rows(self, start: int = 0) -> tuple[list[Row], int]:
        """The rows from byte `start` on, and the byte to start from next time; a line still being written waits.

        A resumed run drops the rows after its checkpoint and writes them again: a file shorter than `start` is read
        from its beginning, so keep rows by their "step".
        """
        try:
            with open(self.path / "rows.jsonl", "rb") as file:
                if start > os.fstat(file.fileno()).st_size:
                    start = 0
                file.seek(start)
                chunk = file.read()
        except OSError:
            return [], 0
        whole = chunk[: chunk.rfind(b"\n") + 1]
        rows = []
        for line in whole.splitlines():
            with suppress(ValueError):  # half a line, where a disk was full
                rows.append(json.loads(line))
        return rows, start + len(whole)

    def steps(self, folder: str) -> list[int]:
        """The steps after which something lies in snapshots/ or preview/."""
        return sorted(int(file.stem) for file in (self.path / folder).glob("[0-9]*.*"))

    def heartbeat(self) -> dict[str, float]:
        """{"time", "progress", "epoch", "seconds", "left"} of the worker; empty before it starts."""
        try:
            return json.loads((self.path / "heartbeat.json").read_text())
        except (OSError, ValueError):
            return {}

    def command(self) -> str:
        try:
            return (self.path / "command").read_text().strip()
        except OSError:
            return ""

    def ask(self, command: str) -> None:
        """Ask the worker to "pause" or "stop"; it answers after its present row."""
        write_text(self.path / "command", command)

    # --- the model --------------------------------------------------------------------------------------

    def model(self, step: int | None = None, file: Path | None = None) -> Model:
        """The trained model on the CPU, for looking at (eval mode); `step` takes a snapshot instead, `file` another."""
        file = file or self.path / (f"snapshots/{step}.safetensors" if step is not None else "weights.safetensors")
        if not self.info.shape:
            raise RunError(f"{self.path} has not been trained yet, so there is no model to look at. Train it first.")
        tensors, _ = read_tensors(file)
        try:
            model = seeded_build(self.entry, self.info.shape, self.info.params, 0)
        except FieldError as error:
            raise RunError(f"{self.path / 'run.json'}: {error}. Mend it, or train again.") from error
        expected = model.state_dict()
        tensors = unpack(tensors, {name: value.shape for name, value in expected.items()})
        for name, value in expected.items():
            if name not in tensors and name.startswith(model.spare):
                tensors[name] = value
            if name not in tensors:
                raise RunError(f"{file} lacks {name}: it is of another model. Copy the right file, or train again.")
            if tensors[name].shape != value.shape:
                found, wanted = tuple(tensors[name].shape), tuple(value.shape)
                raise RunError(f"{file}: {name} is {found}, not {wanted}: it belongs to other parameters. Train again.")
            if value.is_floating_point() and not bool(torch.isfinite(tensors[name]).all()):
                raise RunError(f"{file}: {name} holds values that are no numbers. Take a snapshot, or train again.")
        model.load_state_dict({name: tensors[name].to(value.dtype) for name, value in expected.items()})
        return model.eval().requires_grad_(False)

    def data(self, device: torch.device | str = "cpu") -> Data:
        """The data to look at it with: what it was trained on, or a stand-in that is on every computer."""
        return datasets.load(self.info.shown or self.info.data, device)

    def save_model(self, model: Model, bits: int = 32, path: Path | None = None, lean: bool = False) -> None:
        """The weights, from any device.

        bits: 32; 16, for all floats; 12 (`packing`), 16 for small tensors.  lean: without what only training needs.
        """
        kind = torch.float32 if bits == 32 else torch.float16
        tensors = {
            name: value.detach().cpu()
            for name, value in model.state_dict().items()
            if not (lean and name.startswith(model.spare))
        }
        tensors = pack(tensors) if bits == 12 else tensors
        tensors = {
            name: value if not value.is_floating_point() or name.endswith(SCALE) else value.to(kind)
            for name, value in tensors.items()
        }
        write_tensors(path or self.path / "weights.safetensors", tensors, {"model": self.info.model})

    # --- training ---------------------------------------------------------------------------------------

    def checkpoint(self, training: Training) -> None:
        tensors, plain = training.state()
        rows = self.path / "rows.jsonl"
        plain["row_bytes"] = rows.stat().st_size if rows.exists() else 0
        plain["examples"] = len(training.data.train)
        (self.path / "resume").mkdir(exist_ok=True)
        write_tensors(self.path / "resume/state.safetensors", tensors, {"state": json.dumps(plain)})

    def restore(self, training: Training) -> bool:
        """Go back to the last checkpoint, dropping the rows after it; False where there is none."""
        state, rows = self.path / "resume/state.safetensors", self.path / "rows.jsonl"
        known = state.exists()
        row_bytes = 0
        if known:
            tensors, metadata = read_tensors(state)
            try:
                plain = json.loads(metadata["state"])
                before, now = plain["examples"], len(training.data.train)
                if before != now:
                    raise RunError(
                        f"The data have changed: {before} training examples then, {now} now. "
                        "Bring the old ones back, or duplicate the run to start anew."
                    )
                training.restore(tensors, plain)
                row_bytes = int(plain["row_bytes"])
            except (KeyError, TypeError, RuntimeError, ValueError) as error:
                if isinstance(error, RunError):
                    raise
                detail = str(error).partition("\n")[0]
                raise RunError(f"{state} does not fit this run ({detail}). Duplicate the run to start anew.") from error
        if rows.exists():
            os.truncate(rows, min(row_bytes, rows.stat().st_size))
        for folder in ("snapshots", "preview"):
            for step in self.steps(folder):
                if step > training.step:
                    for file in (self.path / folder).glob(f"{step}.*"):
                        file.unlink()
        return known

    def execute(
        self,
        device: torch.device | str | None = None,
        on_row: Callable[[Row, Training], None] | None = None,
        command: Callable[[], str] | None = None,
        only_from: Collection[Status] = ("queued", "running", *RESUMABLE),
    ) -> Status:
        """Train to the end, or until a command; the folder tells everything. Returns the status reached.

        command: asked after each row, answers "", "pause", "stop" or "cut" (the program ends); by default the file
        of that name. only_from: do nothing where the status is another.
        Errors a person can mend (data, parameters, divergence, disk) end as status "failed" with their reason;
        RunError where another process trains it.
        """
        with self._locked("busy", 2.0):
            (self.path / "command").unlink(missing_ok=True)
            started = self.info.started or time.time()
            if not self.save(
                only_from=only_from, status="running", reason="", started=started, taken=time.time(), ended=None
            ):
                return self.info.status
            try:
                return self._execute(device, on_row, command or self.command)
            except (DataError, FieldError, RunError, Diverged) as error:
                return self._end("failed", str(error))
            except OSError as error:
                return self._end("failed", remedy(error))
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate" not in str(error):
                    raise
                return self._end("failed", "The memory is full. Try a smaller batch, width or image size.")

    def _execute(self, device, on_row, command) -> Status:
        self._tidy()
        (self.path / ".reserve").write_bytes(os.urandom(RESERVE_BYTES))
        data = datasets.load(self.info.data)
        if data.kind not in self.entry.kinds:
            raise FieldError("data", f"{self.entry.name} takes {' or '.join(self.entry.kinds)} data, not {data.kind}")
        device = torch.device(device) if device else devices.best()
        model = seeded_build(self.entry, data.shape, self.info.params, self.info.plan.seed)
        if self.info.encoder:
            take_encoder(model, find(self.info.encoder).model())
        training = Training(model, data, self.info.plan, device)
        self.save(
            shape=data.shape, classes=data.classes, source=data.source, device=devices.name(training.device),
            versions=versions(),
        )  # fmt: skip
        if not self.restore(training):
            self.checkpoint(training)
        self._beat(training)
        saved = beaten = time.monotonic()
        with open(self.path / "rows.jsonl", "a", encoding="utf-8") as rows:
            for row in training:
                rows.write(json.dumps(row) + "\n")
                rows.flush()
                if "test" in row:
                    self._keep(training, data)
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.checkpoint(training)
                    saved = time.monotonic()
                if time.monotonic() - beaten > 0.3:
                    self._beat(training)
                    beaten = time.monotonic()
                if on_row:
                    on_row(row, training)
                wish = command()
                if wish and training.progress < 1:
                    self.checkpoint(training)
                    self.save_model(model)
                    self._beat(training)
                    return self._end("stopped" if wish == "stop" else "paused", CUT_OFF if wish == "cut" else "")
        self.save_model(model)
        self._beat(training)
        from .measure import report

        status = self._end("done", metrics=report(model, self.entry, data))
        shutil.rmtree(self.path / "resume", ignore_errors=True)
        return status

    def _end(self, status: Status, reason: str = "", **more: Any) -> Status:
        for name in ("command", ".reserve"):
            (self.path / name).unlink(missing_ok=True)
        self.save(status=status, reason=reason, ended=time.time(), **more)
        return status

    def _tidy(self) -> None:
        """Remove what a killed writer left aside."""
        for aside in self.path.rglob(".*.tmp"):
            with suppress(OSError):
                if time.time() - aside.stat().st_mtime > 60:
                    aside.unlink()

    def _beat(self, training: Training) -> None:
        done = training.progress
        left = training.seconds / done * (1 - done) if done > 0 else -1.0
        beat = {"time": time.time(), "progress": done, "epoch": training.epoch, "step": training.step,
                "seconds": training.seconds, "left": left}  # fmt: skip
        write_text(self.path / "heartbeat.json", json.dumps(beat))

    def _keep(self, training: Training, data: Data) -> None:
        """Weights, a snapshot and a preview, after a held-out evaluation."""
        from .explore.preview import preview_png

        self.save_model(training.model)
        for folder in ("snapshots", "preview"):
            (self.path / folder).mkdir(exist_ok=True)
        size = (self.path / "weights.safetensors").stat().st_size // 2
        count = min(SNAPSHOTS, SNAPSHOT_BYTES // size, len(training.marks))
        spread = {training.marks[round(k * (len(training.marks) - 1) / max(1, count - 1))] for k in range(count)}
        if max(mark for mark in training.marks if mark <= training.draws) in spread:
            self.save_model(training.model, 16, path=self.path / f"snapshots/{training.step}.safetensors")
        picture = preview_png(training.model, self.entry, data)
        if picture:
            write_aside(self.path / f"preview/{training.step}.png", lambda aside: aside.write_bytes(picture))


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__, "threads": str(torch.get_num_threads())}


def pretrained() -> Iterator[Run]:
    """The trained examples that come with the project, in the order of their recipe."""
    yield from sorted(scan(PRETRAINED), key=lambda run: run.info.order)


def scan(folder: Path) -> Iterator[Run]:
    """Every readable run in a folder, by name; unreadable ones are left to `broken`."""
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


def find(identity: str) -> Run:
    """A run by its id, among the user's and the pretrained."""
    if re.fullmatch(r"[\w-]+", identity):  # an id may come from a link: it must not walk through the disk
        for path in (root() / identity, PRETRAINED / identity, *PRETRAINED.glob(f"sweeps/*/{identity}")):
            if (path / "run.json").exists():
                return Run.open(path)
    raise RunError(f"There is no run {identity!r} here. It may have been deleted, or lie elsewhere.")
