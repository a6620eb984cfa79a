"""A session trains the run of one folder and writes all results into it.

This is the only module of `aecore.runs` that knows the training loop, the measures and the previews.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import torch

from .. import data as datasets
from .. import device as devices
from ..catalog import seeded_build
from ..data.base import Data
from ..errors import DataError, Diverged, FieldError, RunError
from ..explore.preview import preview_png
from ..measure import report
from ..models.base import freeze_encoder_from
from ..training.loop import Training
from ..training.plan import Row
from .files import read_tensors, remedy, write_aside, write_tensors, write_text
from .folder import CUT_OFF, RESUMABLE, Run, Status
from .library import find

CHECKPOINT_SECONDS = float(os.environ.get("AECORE_CHECKPOINT_SECONDS", 10.0))
RESERVE_BYTES = 65536  # given back when the disk is full, so that the folder can still record the failure
SNAPSHOTS = 24
SNAPSHOT_BYTES = 24_000_000  # all snapshots of a run together

OnRow = Callable[[Row, Training], None]


def versions() -> dict[str, str]:
    """The versions of Python and torch and the number of threads, as run.json records them."""
    return {"python": platform.python_version(), "torch": torch.__version__, "threads": str(torch.get_num_threads())}


class Session:
    """Trains the run of one folder; where there is a checkpoint, from there on."""

    def __init__(self, run: Run):
        self.run = run

    def checkpoint(self, training: Training) -> None:
        """Write the whole state of a training, from which `restore` goes on."""
        tensors, plain = training.state()
        rows = self.run.path / "rows.jsonl"
        plain["row_bytes"] = rows.stat().st_size if rows.exists() else 0
        plain["examples"] = len(training.data.train)
        (self.run.path / "resume").mkdir(exist_ok=True)
        write_tensors(self.run.path / "resume/state.safetensors", tensors, {"state": json.dumps(plain)})

    def restore(self, training: Training) -> bool:
        """Go back to the last checkpoint, dropping the rows after it; False where there is none."""
        state, rows = self.run.path / "resume/state.safetensors", self.run.path / "rows.jsonl"
        exists = state.exists()
        row_bytes = 0
        if exists:
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
            for step in self.run.steps(folder):
                if step > training.step:
                    for file in (self.run.path / folder).glob(f"{step}.*"):
                        file.unlink()
        return exists

    def train(
        self,
        device: torch.device | str | None = None,
        on_row: OnRow | None = None,
        command: Callable[[], str] | None = None,
        only_from: Collection[Status] = ("queued", "running", *RESUMABLE),
    ) -> Status:
        """Train to the end, or until a command. Returns the status reached.

        on_row: called with each row and the training.
        command: called after each row; returns "", "pause", "stop" or "cut" (the program ends). By default it reads the
        file of that name.  only_from: do nothing if the status is another.
        After an error that a person can mend (data, parameters, divergence, disk) the status is "failed", with the
        reason. Raises InUse where another process trains the run.
        """
        with self.run.locked("busy", 2.0):
            (self.run.path / "command").unlink(missing_ok=True)
            started = self.run.info.started or time.time()
            if not self.run.save(
                only_from=only_from, status="running", reason="", started=started, taken=time.time(), ended=None
            ):
                return self.run.info.status
            try:
                return self._train(device, on_row, command or self.run.command)
            except (DataError, FieldError, RunError, Diverged) as error:
                return self._end("failed", str(error))
            except OSError as error:
                return self._end("failed", remedy(error))
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate" not in str(error):
                    raise
                return self._end("failed", "The memory is full. Try a smaller batch, width or image size.")

    def _train(self, device: torch.device | str | None, on_row: OnRow | None, command: Callable[[], str]) -> Status:
        """As `train`, once the folder is locked and the status is "running"."""
        self._remove_leftovers()
        (self.run.path / ".reserve").write_bytes(os.urandom(RESERVE_BYTES))
        data = datasets.load(self.run.info.data)
        if data.kind not in self.run.entry.kinds:
            raise FieldError(
                "data", f"{self.run.entry.name} takes {' or '.join(self.run.entry.kinds)} data, not {data.kind}"
            )
        device = torch.device(device) if device else devices.best()
        model = seeded_build(self.run.entry, data.shape, self.run.info.params, self.run.info.plan.seed)
        if self.run.info.encoder:
            freeze_encoder_from(model, find(self.run.info.encoder).model())
        training = Training(
            model,
            data,
            self.run.info.plan,
            device,
            first_format=self.run.info.version == 1,
            precision=self.run.info.precision or None,
        )
        self.run.save(
            shape=data.shape,
            classes=data.classes,
            source=data.source,
            device=devices.name(training.device),
            precision=training.precision,
            versions=versions(),
        )
        if not self.restore(training):
            self.checkpoint(training)
        self._write_heartbeat(training)
        saved = last_beat = time.monotonic()
        with open(self.run.path / "rows.jsonl", "a", encoding="utf-8") as rows:
            for row in training:
                rows.write(json.dumps(row) + "\n")
                rows.flush()
                if "test" in row:
                    self._keep_snapshot(training, data)
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.checkpoint(training)
                    saved = time.monotonic()
                if time.monotonic() - last_beat > 0.3:
                    self._write_heartbeat(training)
                    last_beat = time.monotonic()
                if on_row:
                    on_row(row, training)
                wish = command()
                if wish and training.progress < 1:
                    self.checkpoint(training)
                    self.run.save_model(model)
                    self._write_heartbeat(training)
                    return self._end("stopped" if wish == "stop" else "paused", CUT_OFF if wish == "cut" else "")
        self.run.save_model(model)
        self._write_heartbeat(training)
        status = self._end("done", metrics=report(model, self.run.entry, data, batch=self.run.info.plan.batch))
        shutil.rmtree(self.run.path / "resume", ignore_errors=True)
        return status

    def _end(self, status: Status, reason: str = "", **more: Any) -> Status:
        for name in ("command", ".reserve"):
            (self.run.path / name).unlink(missing_ok=True)
        self.run.save(status=status, reason=reason, ended=time.time(), **more)
        return status

    def _remove_leftovers(self) -> None:
        """Remove temporary files that a killed process left behind."""
        for aside in self.run.path.rglob(".*.tmp"):
            with suppress(OSError):
                if time.time() - aside.stat().st_mtime > 60:
                    aside.unlink()

    def _write_heartbeat(self, training: Training) -> None:
        """Write the progress and the estimated seconds left; −1 where they are unknown."""
        done = training.progress
        left = training.seconds / done * (1 - done) if done > 0 else -1.0
        beat = {
            "time": time.time(),
            "progress": done,
            "epoch": training.epoch,
            "step": training.step,
            "seconds": training.seconds,
            "left": left,
        }
        write_text(self.run.path / "heartbeat.json", json.dumps(beat))

    def _keep_snapshot(self, training: Training, data: Data) -> None:
        """Write the weights, a snapshot and a preview, after a held-out evaluation."""
        self.run.save_model(training.model)
        for folder in ("snapshots", "preview"):
            (self.run.path / folder).mkdir(exist_ok=True)
        size = (self.run.path / "weights.safetensors").stat().st_size // 2
        count = min(SNAPSHOTS, SNAPSHOT_BYTES // size, len(training.eval_steps))
        spread = {
            training.eval_steps[round(k * (len(training.eval_steps) - 1) / max(1, count - 1))] for k in range(count)
        }
        if max(step for step in training.eval_steps if step <= training.draws) in spread:
            self.run.save_model(training.model, 16, path=self.run.path / f"snapshots/{training.step}.safetensors")
        picture = preview_png(training.model, self.run.entry, data)
        if picture:
            write_aside(self.run.path / f"preview/{training.step}.png", lambda aside: aside.write_bytes(picture))
