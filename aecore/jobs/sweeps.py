"""Queue a sweep: all runs of one recipe at once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog import entry
from ..data.base import DataSpec
from ..runs.library import create, new_id
from ..runs.sweeps import Value, expand
from ..settings import parse
from ..training.plan import Plan
from .queue import Queue


def varied(
    recipe: dict[str, Any],
    chosen: Sequence[Value],
    data: Mapping[str, Any],
    plan: Mapping[str, Any],
    seeds: int = 1,
) -> dict[str, Any]:
    """The recipe of a sweep with other values (or fewer models), other data and other settings of training.

    data: in the place of the recipe's.  plan: settings that replace those of the recipe. In a sweep of models, the
    settings of a single model have priority over both.
    """
    variant = {**recipe, "data": dict(data), "plan": {**recipe["plan"], **plan}, "seeds": seeds}
    variant.pop("shown", None)
    if recipe["vary"] == "model":
        variant["models"] = [single for single in recipe["models"] if single["title"] in chosen]
    else:
        variant["values"] = list(chosen)
    return variant


def submit(recipe: dict[str, Any], queue: Queue, owner: str) -> str:
    """Queue all runs of a sweep at once, and return the name of their group, "ID.xxxxxx".

    Raises FieldError for bad settings, before anything is written.
    """
    group = f"{recipe['id']}.{secrets.token_hex(3)}"
    singles = [single for _, _, single in expand(recipe)]
    checked = [
        (entry(single["model"]).check(single["params"]), parse(DataSpec, single["data"]), parse(Plan, single["plan"]))
        for single in singles
    ]
    for single, (params, data, plan) in zip(singles, checked, strict=True):
        run = create(
            single["model"],
            data,
            params,
            plan,
            path=queue.folder / new_id(single["model"]),
            title=single["title"],
            owner=owner,
            group=group,
        )
        queue.submit(run)
    return group
