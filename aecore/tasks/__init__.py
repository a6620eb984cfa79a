"""Chapter §4: what autoencoders are used for. Each task is a module of plain functions over numpy arrays and models.

A module also has `Settings` and `study(settings, progress)`: a whole comparison with its seeds, as one dictionary of
plain values, of which `rows(found)` makes a table. Those that the pages open with are stored in pretrained/tasks;
others are computed by the queue's worker.

>>> from aecore import tasks
>>> found = tasks.stored("detect", {"data": "digits", "left_out": 1})  # None until it was computed
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo, field_validator

from .. import paths
from ..runs.files import write_text
from ..settings import parse

TASKS = ("classify", "cluster", "detect", "recommend", "reduce")
BUNDLED = paths.PRETRAINED / "tasks"
Progress = Callable[[float, str], None]


def path_with(name: str, *values: str) -> Callable:
    """For a task's Settings: a `path` is given only where the setting `name`, declared before it, has such a value."""

    def check(path: str | None, info: ValidationInfo) -> str | None:
        if path and info.data.get(name) not in values:
            raise ValueError(f"a path goes with {' or '.join(f'{name}={value}' for value in values)}: say that, too")
        return path

    return field_validator("path")(check)


def checked(task: str, settings: Mapping[str, Any]) -> Any:
    """The settings with all defaults; FieldError for a value out of range, or a task that there is not."""
    from ..errors import FieldError

    if task not in TASKS:
        raise FieldError("task", f"there is no task '{task}': choose one of {', '.join(TASKS)}")
    return parse(importlib.import_module(f".{task}", __name__).Settings, dict(settings))


def compute(task: str, settings: Mapping[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """The study's result, plain values for JSON. progress: called with a fraction and a sentence."""
    found = checked(task, settings)
    return importlib.import_module(f".{task}", __name__).study(found, progress or (lambda fraction, doing: None))


def rows(task: str, found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study's result as a table, a dictionary a line."""
    return importlib.import_module(f".{task}", __name__).rows(found)


def file_of(task: str, settings: Mapping[str, Any], folder: Path = BUNDLED) -> Path:
    """Where the result of these very settings lies; of a file or folder that has changed since, another place."""
    values = checked(task, settings).model_dump()
    if values.get("path"):
        from ..data.files.pictures import stamp

        values["stamp"] = stamp(values["path"])
    said = json.dumps(values, sort_keys=True)
    return folder / f"{task}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.json"


def stored(task: str, settings: Mapping[str, Any], *folders: Path) -> dict[str, Any] | None:
    """A result that was computed before: bundled, or in one of these folders; None where there is none."""
    for folder in (BUNDLED, *folders):
        try:
            return json.loads(file_of(task, settings, folder).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
    return None


def store(task: str, settings: Mapping[str, Any], found: dict[str, Any], folder: Path = BUNDLED) -> Path:
    """Write a result aside, then in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = file_of(task, settings, folder)
    write_text(path, json.dumps(short(found), ensure_ascii=False, separators=(",", ":")) + "\n")
    return path


def over_seeds(values: Sequence[float], digits: int = 3) -> str:
    """ "0.912 ± 0.004", the standard deviation over seeds; the value alone of one, "" of none."""
    if not len(values):
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def short(value: Any, digits: int = 5) -> Any:
    """Numbers with so many digits, in whatever they stand."""
    if isinstance(value, dict):
        return {name: short(part, digits) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [short(part, digits) for part in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
