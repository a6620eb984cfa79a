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

import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import data as datasets
from .. import paths
from ..catalog import entry, seeded_build
from ..data.base import Data, DataSpec
from ..errors import FieldError, InUse, RunError
from ..models.base import Model
from ..models.entry import Entry
from ..nn.quantize import SCALE, pack, unpack
from ..training.plan import Plan, Row
from .files import read_tensors, remedy, write_tensors, write_text

Status = Literal["queued", "running", "paused", "stopped", "failed", "done"]
RESUMABLE: tuple[Status, ...] = ("paused", "stopped", "failed")
VERSION = 1  # of run.json
CUT_OFF = "Cut off when the program that trained it ended. Resume goes on from the last checkpoint."


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


class Run:
    """One run folder, opened. `info` is run.json as last read or written."""

    def __init__(self, path: Path, info: Info):
        self.path, self.info = Path(path), info

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
        with self.locked("edit", 10.0):
            if changes and (self.path / "run.json").exists():
                self.refresh()
            if only_from is not None and self.info.status not in only_from:
                return False
            info = self.info.model_copy(update=changes)
            write_text(self.path / "run.json", info.model_dump_json(indent=1))
            self.info = info
            return True

    @contextmanager
    def locked(self, name: str, patience: float) -> Iterator[None]:
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
            with self.locked("busy", 0.0):
                return False
        except InUse:
            return True

    def cut_off(self, status: Status = "paused", reason: str = CUT_OFF) -> bool:
        """Say so of a run whose training process is gone without a word; False if that is not so."""
        try:
            with self.locked("busy", 0.0):
                return self.save(only_from=("running",), status=status, reason=reason, ended=time.time())
        except InUse:
            return False

    @property
    def entry(self) -> Entry:
        return entry(self.info.model)

    @property
    def pretrained(self) -> bool:
        return paths.PRETRAINED in self.path.resolve().parents

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
            if name not in tensors and name.startswith(model.training_only):
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
            if not (lean and name.startswith(model.training_only))
        }
        tensors = pack(tensors) if bits == 12 else tensors
        tensors = {
            name: value if not value.is_floating_point() or name.endswith(SCALE) else value.to(kind)
            for name, value in tensors.items()
        }
        write_tensors(path or self.path / "weights.safetensors", tensors, {"model": self.info.model})
