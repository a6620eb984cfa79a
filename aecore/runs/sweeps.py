"""Sweeps: one recipe trained with several values of one parameter, or as several models, and with several seeds.

`pretrained/sweeps/ID/` holds one run for each value, of the first seed, and figures.jsonl with the held-out metrics of
all values and seeds. `python -m aecore.zoo` trains them. `jobs.sweeps.submit` queues a variant of one as a user's own
runs; `gathered` reads these as a sweep, as far as they are trained.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import paths
from ..errors import RunError
from .folder import Run

SWEEPS = paths.PRETRAINED / "sweeps"
Value = int | float | str


@dataclass(frozen=True)
class Sweep:
    """A trained sweep.

    vary: the parameter that was varied, or "model".  runs: those of the first seed, in the order of `values`.
    figures: one dictionary for each value and seed: "value", "seed", and the held-out metrics by the names of
    `measure.report`, with disentanglement scores where the data have known factors.
    """

    id: str
    title: str
    vary: str
    values: tuple[Value, ...]
    runs: tuple[Run, ...]
    figures: tuple[dict[str, Any], ...]

    def spread(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, standard deviation and number of seeds of one metric at each value, each (V,).

        The deviation is that of a sample. NaN where there are too few seeds.
        """
        columns = [
            np.array([row[name] for row in self.figures if row["value"] == value and name in row])
            for value in self.values
        ]
        mean = np.array([column.mean() if len(column) else np.nan for column in columns])
        deviation = np.array([column.std(ddof=1) if len(column) > 1 else np.nan for column in columns])
        return mean, deviation, np.array([len(column) for column in columns])


def recipes(file: Path = paths.PRETRAINED / "recipe.toml") -> list[dict[str, Any]]:
    """The [[sweep]]s of recipe.toml."""
    return _read(file, file.stat().st_mtime)


@lru_cache(maxsize=4)
def _read(file: Path, stamp: float) -> list[dict[str, Any]]:
    return tomllib.loads(file.read_text(encoding="utf-8")).get("sweep", [])


def run_id(sweep: str, index: int) -> str:
    """The id of the run of the first seed with the value of this index, from 0."""
    return f"{sweep}-{index + 1}"


def expand(recipe: dict[str, Any], seeds: int | None = None) -> Iterator[tuple[Value, int, dict[str, Any]]]:
    """(value, seed, recipe of that run) for all runs of a [[sweep]] in recipe.toml: all values of the first seed first.

    What varies is the parameter `vary`. Where `vary` is "model", each of [[sweep.models]] gives model, data, params and
    plan, which are added to the common ones; the value is then its title. Only the first seed has snapshots.
    """
    common = {name: recipe[name] for name in ("shown", "snapshots") if name in recipe}
    for seed in range(recipe["seeds"] if seeds is None else seeds):
        for index, value in enumerate(values(recipe)):
            options = common
            if recipe["vary"] == "model":
                single = recipe["models"][index]
                options = common | {name: single[name] for name in ("snapshots", "published") if name in single}
                title, model = f"{recipe['title']}: {value}", single.get("model", recipe.get("model"))
                data, params, plan = (single.get(name, {}) for name in ("data", "params", "plan"))
            else:
                title = f"{recipe['title']}, {recipe.get('symbol', recipe['vary'])} = {value}"
                model, data, params, plan = recipe["model"], {}, {recipe["vary"]: value}, {}
            if seed:
                options = {name: option for name, option in options.items() if name != "snapshots"}
            yield (
                value,
                seed,
                {
                    "id": run_id(recipe["id"], index) + (f"-seed-{seed}" if seed else ""),
                    "title": title,
                    "model": model,
                    "data": {**recipe["data"], **data},
                    "params": {**recipe["params"], **params},
                    "plan": {**recipe["plan"], **plan, "seed": seed},
                    **options,
                },
            )


def values(recipe: dict[str, Any]) -> list[Value]:
    """The values of a [[sweep]]; the titles where models are compared."""
    return [single["title"] for single in recipe["models"]] if recipe["vary"] == "model" else recipe["values"]


def figures(identity: str) -> list[dict[str, Any]]:
    """The metrics of all values and seeds that were trained; see `Sweep`."""
    file = SWEEPS / identity / "figures.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def named(identity: str) -> dict[str, Any]:
    """The [[sweep]] of this id; RunError where there is none."""
    recipe = next((sweep for sweep in recipes() if sweep["id"] == identity), None)
    if recipe is None:
        raise RunError(f"There is no sweep {identity!r} in pretrained/recipe.toml.")
    return recipe


def sweep(identity: str) -> Sweep:
    """A trained sweep by its id; RunError where there is none, or some of its runs are missing."""
    recipe = named(identity)
    folders = [SWEEPS / identity / run_id(identity, index) for index in range(len(values(recipe)))]
    if missing := [folder.name for folder in folders if not (folder / "weights.safetensors").exists()]:
        raise RunError(f"{', '.join(missing)} of the sweep {identity!r} are not trained. Run make pretrained.")
    return Sweep(
        identity,
        recipe["title"],
        recipe["vary"],
        tuple(values(recipe)),
        tuple(Run.open(folder) for folder in folders),
        tuple(figures(identity)),
    )


# --- sweeps of a user ---------------------------------------------------------------------------------------


def members(group: str, everyone: Iterable[Run]) -> list[Run]:
    """The runs of a group, in the order in which they were queued."""
    return sorted((run for run in everyone if run.info.group == group), key=lambda run: run.info.created)


def gathered(group: str, everyone: Iterable[Run]) -> Sweep:
    """A user's own sweep, as far as it is trained. Values of which no seed is done yet are left out.

    RunError where there is no run of that group.
    """
    recipe, runs = named(group.partition(".")[0]), members(group, everyone)
    if not runs:
        raise RunError("The runs of this comparison are not here any more. Train it again.")

    def value_of(run: Run) -> Value:
        if recipe["vary"] == "model":
            return run.info.title.removeprefix(f"{recipe['title']}: ")
        return run.info.params[recipe["vary"]]

    done = [run for run in runs if run.info.status == "done"]
    first_run = {value_of(run): run for run in reversed(done)}
    order = [value for value in dict.fromkeys(map(value_of, runs)) if value in first_run]
    return Sweep(
        group,
        recipe["title"],
        recipe["vary"],
        tuple(order),
        tuple(first_run[value] for value in order),
        tuple({"value": value_of(run), "seed": run.info.plan.seed, **run.info.metrics} for run in done),
    )
