"""Sweeps: one recipe trained with several values of one parameter, or as several models, and with several seeds.

`pretrained/sweeps/ID/` holds one run for each value, of the first seed, and figures.jsonl with the held-out figures of
all values and seeds. `python -m aecore.recipe` trains them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .runs import PRETRAINED, Run, RunError

SWEEPS = PRETRAINED / "sweeps"
Value = int | float | str


@dataclass(frozen=True)
class Sweep:
    """What was varied, the runs of the first seed in the order of `values`, and the figures of all seeds.

    figures: {"value", "seed", and held-out figures as `measure.report` names them, with disentanglement scores where
    the data have known factors}.
    """

    id: str
    title: str
    vary: str
    values: tuple[Value, ...]
    runs: tuple[Run, ...]
    figures: tuple[dict[str, Any], ...]

    def spread(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, standard deviation and number of seeds of one figure at each value, each (V,); NaN where there is none.

        The deviation is that of a sample, NaN for one seed.
        """
        columns = [
            np.array([row[name] for row in self.figures if row["value"] == value and name in row])
            for value in self.values
        ]
        mean = np.array([found.mean() if len(found) else np.nan for found in columns])
        deviation = np.array([found.std(ddof=1) if len(found) > 1 else np.nan for found in columns])
        return mean, deviation, np.array([len(found) for found in columns])


def recipes(file: Path = PRETRAINED / "recipe.toml") -> list[dict[str, Any]]:
    """The [[sweep]]s of recipe.toml."""
    return tomllib.loads(file.read_text(encoding="utf-8")).get("sweep", [])


def run_id(sweep: str, place: int) -> str:
    return f"{sweep}-{place + 1}"


def expand(recipe: dict[str, Any], seeds: int | None = None) -> Iterator[tuple[Value, int, dict[str, Any]]]:
    """(value, seed, recipe of that run) of a [[sweep]] in recipe.toml, seed by seed: the first is whole first.

    What varies is the parameter `vary`, or, where that is "model", what [[sweep.models]] says: model, params and plan;
    a value is then its title.
    """
    shown = {"shown": recipe["shown"]} if "shown" in recipe else {}
    for seed in range(recipe["seeds"] if seeds is None else seeds):
        for place, value in enumerate(values(recipe)):
            if recipe["vary"] == "model":
                single = recipe["models"][place]
                title, model = f"{recipe['title']}: {value}", single["model"]
                params, plan = single.get("params", {}), single.get("plan", {})
            else:
                title = f"{recipe['title']}, {recipe.get('symbol', recipe['vary'])} = {value}"
                model, params, plan = recipe["model"], {recipe["vary"]: value}, {}
            yield value, seed, {
                "id": run_id(recipe["id"], place) + (f"-seed-{seed}" if seed else ""), "title": title, "model": model,
                "data": recipe["data"], "params": {**recipe["params"], **params},
                "plan": {**recipe["plan"], **plan, "seed": seed}, **shown,
            }  # fmt: skip


def values(recipe: dict[str, Any]) -> list[Value]:
    return [single["title"] for single in recipe["models"]] if recipe["vary"] == "model" else recipe["values"]


def figures(identity: str) -> list[dict[str, Any]]:
    """The figures of all values and seeds that were trained."""
    file = SWEEPS / identity / "figures.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def sweep(identity: str) -> Sweep:
    """A trained sweep by its id; RunError where it is not there, or not whole."""
    recipe = next((found for found in recipes() if found["id"] == identity), None)
    if recipe is None:
        raise RunError(f"There is no sweep {identity!r} in pretrained/recipe.toml.")
    folders = [SWEEPS / identity / run_id(identity, place) for place in range(len(values(recipe)))]
    if missing := [folder.name for folder in folders if not (folder / "weights.safetensors").exists()]:
        raise RunError(f"{', '.join(missing)} of the sweep {identity!r} are not trained. Run make pretrained.")
    return Sweep(
        identity, recipe["title"], recipe["vary"], tuple(values(recipe)),
        tuple(Run.open(folder) for folder in folders), tuple(figures(identity)),
    )  # fmt: skip
