"""Chapter §4: what autoencoders are used for. Each task is a module of plain functions over numpy arrays and models.

A module of a task also has a study: a whole comparison of methods over seeds, as one dictionary of plain values. The
studies that the pages open with are stored in pretrained/tasks; others are computed by the queue's worker.

>>> from aecore import tasks
>>> study = tasks.stored("detect", {"data": "digits", "left_out": 1})  # None if it was never computed

To add a task, write its module in this folder (see `Task` for what it must have) and add one row to `TASKS`. The
command line, the worker and the storage of results read that table.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel, ValidationInfo, field_validator

from .. import paths
from ..errors import FieldError
from ..runs.files import write_text
from ..settings import parse

TASKS: dict[str, str] = {
    "classify": "Few labels, many images: what a code that was learnt without labels is worth (chapter section 4.2); "
    "data=table path=FILE.csv label=COLUMN for yours.",
    "cluster": "Groups in codes, against k-means on pixels (section 4.3); look=table path=FILE.csv for yours.",
    "detect": "Anomalies by reconstruction error, beside baselines (section 4.4); data=table path=FILE.csv for yours.",
    "recommend": "Ratings and rankings by autoencoders, beside baselines (section 4.5); path=FOLDER_OR_CSV for yours.",
    "reduce": "Codes beside PCA, LDA, Isomap, UMAP and t-SNE (section 4.6); data=table path=FILE.csv for yours.",
}
"""Name of a task's module in this folder → what the task is about, as the command line's help says it."""

BUNDLED = paths.PRETRAINED / "tasks"
Progress = Callable[[float, str], None]
"""Called with the fraction that is done, from 0 to 1, and a sentence that says what is being done."""


class Task(Protocol):
    """What the module of a task must have."""

    Settings: type[BaseModel]
    """What a study can be asked for; every setting has a default."""

    def study(self, settings: Any, progress: Progress) -> dict[str, Any]:
        """The comparison that these Settings describe, as plain values for JSON."""
        ...

    def rows(self, study: Mapping[str, Any]) -> list[dict[str, str]]:
        """The result of `study` as a table: one dictionary for each line."""
        ...


def module_of(task: str) -> Task:
    """The module of a task; FieldError for a task that does not exist."""
    if task not in TASKS:
        raise FieldError("task", f"there is no task '{task}': choose one of {', '.join(TASKS)}")
    return cast(Task, importlib.import_module(f".{task}", __name__))


def path_with(name: str, *values: str) -> Callable:
    """A validator for a task's Settings: a `path` is allowed only where the setting `name` has one of these values.

    The setting `name` must be declared before `path`.
    """

    def check(path: str | None, info: ValidationInfo) -> str | None:
        if path and info.data.get(name) not in values:
            raise ValueError(f"a path goes with {' or '.join(f'{name}={value}' for value in values)}: say that, too")
        return path

    return field_validator("path")(check)


def checked(task: str, settings: Mapping[str, Any]) -> Any:
    """The settings with all defaults; FieldError for a value out of range, or a task that does not exist."""
    return parse(module_of(task).Settings, dict(settings))


def compute(task: str, settings: Mapping[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """The study's result, as plain values for JSON."""
    return module_of(task).study(checked(task, settings), progress or (lambda fraction, doing: None))


def rows(task: str, study: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study's result as a table: one dictionary for each line."""
    return module_of(task).rows(study)


def file_of(task: str, settings: Mapping[str, Any], folder: Path = BUNDLED) -> Path:
    """Where the result of these settings is stored. If a file or folder that they name changes, so does the place."""
    values = checked(task, settings).model_dump()
    if values.get("path"):
        from ..data.files.pictures import stamp

        values["stamp"] = stamp(values["path"])
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return folder / f"{task}-{digest[:12]}.json"


def stored(task: str, settings: Mapping[str, Any], *folders: Path) -> dict[str, Any] | None:
    """A result that was computed before, bundled or in one of these folders; None if there is none."""
    for folder in (BUNDLED, *folders):
        try:
            return json.loads(file_of(task, settings, folder).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
    return None


def store(task: str, settings: Mapping[str, Any], study: dict[str, Any], folder: Path = BUNDLED) -> Path:
    """Write a result to a temporary file first and then move it to its place. Returns that place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = file_of(task, settings, folder)
    write_text(path, json.dumps(short(study), ensure_ascii=False, separators=(",", ":")) + "\n")
    return path


def over_seeds(values: Sequence[float], digits: int = 3) -> str:
    """ "0.912 ± 0.004": mean and standard deviation over seeds. One value alone has no deviation; none give ""."""
    if not len(values):
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def short(value: Any, digits: int = 5) -> Any:
    """The same value with every float rounded to so many significant digits, inside lists and dictionaries too."""
    if isinstance(value, dict):
        return {name: short(part, digits) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [short(part, digits) for part in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
