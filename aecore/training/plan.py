"""How to train: the settings of a training, its seeds, and when held-out examples are evaluated."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Row = dict[str, Any]


EVAL_STEPS = 24  # held-out evaluations spread over a run, denser at its start, beside those at the ends of epochs


EPOCH_EVAL_STEPS = 60


class Plan(BaseModel):
    """How to train: everything but the model and the data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(10, ge=1, le=10_000, description="passes over the training images")
    batch: int = Field(128, ge=2, le=8192, description="examples in a minibatch")
    lr: float = Field(1e-3, gt=0, le=1, allow_inf_nan=False, description="Adam's learning rate at the start")
    decay: bool = Field(True, description="let the learning rate fall to 0 along a half cosine")
    clip: float = Field(0.0, ge=0, allow_inf_nan=False, description="largest norm of a player's gradient; 0: any")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of weights, order and noise")
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 where the device is fast in it")
    held_out: int = Field(1000, ge=1, le=100_000, description="held-out examples evaluated for the curves")


def fold_in(seed: int, *numbers: int) -> int:
    """One 63-bit seed from several numbers (splitmix64's finaliser), so that near seeds share nothing."""
    state = seed
    for number in numbers:
        state = (state * 0x9E3779B97F4A7C15 + number + 1) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state & (2**63 - 1)


def eval_steps(draws: int, per_epoch: int) -> list[int]:
    """After how many minibatches to evaluate held-out examples: dense at first, then at ends of epochs, and the end."""
    early = {math.ceil(draws * (k / EVAL_STEPS) ** 2) for k in range(1, EVAL_STEPS + 1)}
    every = math.ceil(draws / per_epoch / EPOCH_EVAL_STEPS)
    return sorted(early | set(range(per_epoch * every, draws + 1, per_epoch * every)))
