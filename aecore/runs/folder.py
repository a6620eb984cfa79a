"""A run's folder: training writes it, and everything else reads it. A pretrained example is such a folder, too.

    run.json              what is trained, on what, by whom, and its status
    rows.jsonl            the rows of the training loop, one a line
    weights.safetensors   the model
    snapshots/N.safetensors   the model after N steps, half precision
    preview/N.png         originals, reconstructions and samples after N steps
    resume/state.safetensors  model, optimisers and counters of the last checkpoint
    heartbeat.json        the progress of the worker
    command               what the worker is asked to do: pause or stop
    .busy, .edit          locks, held by the process that trains, and for a moment by one that changes run.json

Files are written under another name and then renamed, so a kill at any moment leaves a readable folder. A run with the
status "running" whose .busy nobody holds was cut off, because locks end with their process, however it ends.
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
VERSION = 2  # of run.json; since 2 no step of a training has the learning rate 0
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
    shown: DataSpec | None = Field(default=None, description="the data that pages show it on, if not `data`")
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
    precision: Literal["", "bf16", "fp32"] = ""  # in which it computes; empty: not begun, or format 1
    versions: dict[str, str] = {}
    metrics: dict[str, float] = {}


class Run:
    """One run folder.  info: run.json, as last read or written."""

    def __init__(self, path: Path, info: Info):
        self.path, self.info = Path(path), info

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run of a folder; RunError where its run.json is missing, damaged, or of a newer version."""
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
        """Read run.json again; returns the run itself."""
        self.info = Run.open(self.path).info
        return self

    def save(self, *, only_from: Collection[Status] | None = None, **changes: Any) -> bool:
        """Change these fields in run.json and leave the others as they are on disk; without fields, write `info`.

        only_from: change nothing unless the status is one of these at that moment. Returns whether it was changed.
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
        """Hold one of the folder's two locks; InUse if another process holds it for more than `patience` seconds."""
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
        """Whether a process trains this run at the moment."""
        if not (self.path / ".busy").exists():
            return False
        try:
            with self.locked("busy", 0.0):
                return False
        except InUse:
            return True

    def cut_off(self, status: Status = "paused", reason: str = CUT_OFF) -> bool:
        """Set the status of a run whose training process has died; returns False if none has."""
        try:
            with self.locked("busy", 0.0):
                return self.save(only_from=("running",), status=status, reason=reason, ended=time.time())
        except InUse:
            return False

    @property
    def entry(self) -> Entry:
        """The catalog's entry of the model."""
        return entry(self.info.model)

    @property
    def pretrained(self) -> bool:
        """Whether it is one of the trained examples that come with the project."""
        return paths.PRETRAINED in self.path.resolve().parents

    # --- records ----------------------------------------------------------------------------------------

    def rows(self, start: int = 0) -> tuple[list[Row], int]:
        """The rows from byte `start` on, and the byte to start from next time. An unfinished line is left for then.

        A resumed run drops the rows after its checkpoint and writes them again, and a file shorter than `start` is read
        from its beginning: so store rows by their "step".
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
            with suppress(ValueError):  # an incomplete line, where the disk was full
                rows.append(json.loads(line))
        return rows, start + len(whole)

    def steps(self, folder: str) -> list[int]:
        """The steps of the files in snapshots/ or preview/."""
        return sorted(int(file.stem) for file in (self.path / folder).glob("[0-9]*.*"))

    def heartbeat(self) -> dict[str, float]:
        """{"time", "progress", "epoch", "seconds", "left"} of the worker; empty before it starts."""
        try:
            return json.loads((self.path / "heartbeat.json").read_text())
        except (OSError, ValueError):
            return {}

    def command(self) -> str:
        """What the worker is asked to do: "pause", "stop" or ""."""
        try:
            return (self.path / "command").read_text().strip()
        except OSError:
            return ""

    def ask(self, command: str) -> None:
        """Ask the worker to "pause" or "stop"; it does so after its present row."""
        write_text(self.path / "command", command)

    # --- the model --------------------------------------------------------------------------------------

    def model(self, step: int | None = None, file: Path | None = None) -> Model:
        """The trained model on the CPU, in eval mode and without gradients.

        step: take the snapshot of this step instead of the final weights.  file: take this file.
        Raises RunError where there are no weights, or they do not fit the run.
        """
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
        """The data to show the run on: `info.shown` where it is given, else the data of the training."""
        return datasets.load(self.info.shown or self.info.data, device)

    def save_model(self, model: Model, bits: int = 32, path: Path | None = None, lean: bool = False) -> None:
        """Write the model's weights, from any device.

        bits: of each float: 32, 16, or 12 (`nn.quantize`; then 16 in small tensors).
        path: by default weights.safetensors.
        lean: without the tensors that only training needs (`Model.training_only`).
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
