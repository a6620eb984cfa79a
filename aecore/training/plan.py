"""How to train: the settings of a training, its seeds, and when held-out examples are evaluated."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field

from ..models.entry import Param

Row = dict[str, Any]
"""One line of a training's record; see `loop.Training`."""

EVAL_STEPS = 24  # held-out evaluations spread over a run, denser at its start
LAST_RATE = 0.01  # to which share of itself the learning rate falls
EPOCH_EVAL_STEPS = 60  # at most this many further evaluations, at the ends of epochs


Precision = Literal["auto", "bf16", "fp32"]


class Plan(BaseModel):
    """How to train: everything but the model and the data.

    Controls are made from these fields by `plan_params`, options of the command line by `aecore.__main__`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="passes over the training images",
        json_schema_extra={"usual": [1, 1000]},
    )
    batch: int = Field(
        default=128, ge=2, le=8192, description="examples in a minibatch", json_schema_extra={"usual": [2, 4096]}
    )
    lr: float = Field(
        default=1e-3,
        gt=0,
        le=1,
        allow_inf_nan=False,
        title="learning rate",
        description="Adam's learning rate at the start",
        json_schema_extra={"usual": [1e-5, 0.1]},
    )
    decay: bool = Field(
        default=True,
        title="let the rate fall",
        description="let the learning rate fall to a hundredth along a half cosine",
    )
    clip: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        title="gradient clip",
        description="largest norm of a player's gradient; 0: no limit",
        json_schema_extra={"usual": [0.0, 10_000.0]},
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="seed of weights, order and noise",
        json_schema_extra={"scale": "linear"},
    )
    precision: Precision = Field(default="auto", description="auto: bf16 where the device is fast in it")
    held_out: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        title="held-out images",
        description="held-out examples evaluated for the curves",
        json_schema_extra={"usual": [1, 10_000]},
    )


def plan_params(suited: Plan | None = None) -> dict[str, Param]:
    """The fields of `Plan` as parameters like those of a model, in order: {name: Param}.

    suited: a plan whose values become the defaults.
    """
    suited = suited or Plan()
    found: dict[str, Param] = {}
    for name, field in Plan.model_fields.items():
        default, extra = getattr(suited, name), field.json_schema_extra
        assert extra is None or isinstance(extra, dict)
        words: dict[str, Any] = {"help": field.description or "", "label": field.title or ""}
        if isinstance(default, bool):
            found[name] = Param(default, **words)
        elif isinstance(default, str):
            found[name] = Param(default, choices=get_args(field.annotation), **words)
        else:
            bounds = {type(bound): bound for bound in field.metadata}
            low = bounds[Ge].ge if Ge in bounds else 1e-9 if Gt in bounds else 0
            high = bounds[Le].le if Le in bounds else 1e9
            more: dict[str, Any] = {"scale": "log", **(extra or {})}
            if "usual" in more:
                more["usual"] = tuple(more["usual"])
            found[name] = Param(default, float(low), float(high), **words, **more)
    return found


def fold_in(seed: int, *numbers: int) -> int:
    """One 63-bit seed from several numbers, by splitmix64's finaliser, so that neighbouring seeds are unrelated."""
    state = seed
    for number in numbers:
        state = (state * 0x9E3779B97F4A7C15 + number + 1) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state & (2**63 - 1)


def rate_factor(progress: float) -> float:
    """The factor on the learning rate of a step that begins at this progress: 0.01 + 0.99 · ½ (1 + cos π progress).

    progress: minibatches before the step by those of the whole training, in [0, 1). The first step runs at the full
    rate, even if it is the only one, and the last one above a hundredth of it, so that no step is without effect.
    """
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


def eval_steps(draws: int, per_epoch: int) -> list[int]:
    """The minibatches after which held-out examples are evaluated: many early, then ends of epochs, and the last one.

    draws: number of minibatches of the whole training.  per_epoch: of one epoch.
    """
    early = {math.ceil(draws * (k / EVAL_STEPS) ** 2) for k in range(1, EVAL_STEPS + 1)}
    every = math.ceil(draws / per_epoch / EPOCH_EVAL_STEPS)
    return sorted(early | set(range(per_epoch * every, draws + 1, per_epoch * every)))
