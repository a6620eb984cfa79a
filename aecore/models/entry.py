"""How a family's file lists its models: an `Entry` for each, with its `Param`s and `Term`s.

Controls, command-line options, tables, checkpoints and tests are derived from these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import FieldError
from .base import Model, Recommends


@dataclass(frozen=True)
class Param:
    """One hyperparameter of a model: a number, a switch or a choice.

    default: also fixes the type (int, float, bool, or str with `choices`).
    low, high: the inclusive range of a number.  step, scale: of a slider; the scale is "linear" or "log".
    symbol: the letter in the equation, LaTeX.  help: an explanation for users.
    label: the title of its control, if that differs from its name.
    usual: the range of its slider, where that is narrower than the allowed range.
    """

    default: int | float | bool | str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    scale: str = "linear"
    symbol: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    label: str = ""
    usual: tuple[float, float] | None = None

    @property
    def type(self) -> type:
        return type(self.default)

    @property
    def allowed(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type is bool:
            return "true or false"
        noun = "a whole number" if self.type is int else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}"

    def check(self, name: str, value: Any) -> int | float | bool | str:
        """`value`, which may be a string, in this parameter's type.

        Raises FieldError, which names the field and says what is allowed.
        """
        wrong = FieldError(name, f"{value!r} is not allowed; give {self.allowed}")
        if self.choices:
            if value not in self.choices:
                raise wrong
            return value
        if self.type is bool:
            named = {"true": True, "false": False, "1": True, "0": False}
            if not isinstance(value, bool) and str(value).lower() not in named:
                raise wrong
            return value if isinstance(value, bool) else named[str(value).lower()]
        if isinstance(value, bool):
            raise wrong
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise wrong from None
        if not math.isfinite(number) or (self.type is int and number != int(number)):
            raise wrong
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            raise wrong
        return self.type(number)


@dataclass(frozen=True)
class Term:
    """One named term of an objective: its `unit` ("nats", "squared error", …) and a sentence on what it measures."""

    unit: str
    help: str


@dataclass(frozen=True)
class Entry:
    """One autoencoder of the catalog.

    key: its name in code, links and files.  section: of the chapter.  year, source: of the method.
    equation: LaTeX of the objective in which `\\term{name}{…}` marks each named term.
    terms: those that `model.terms` returns.  kinds: the data that it can be trained on, "image", "vector" or "ratings".
    departures: what differs from the source, and why; "none" if nothing does.
    build: the class, called as build(shape, **params). The class itself says what it can do: see `abilities`,
    `recommends` and `sequential`.
    cluster_weight: the parameter that weighs the clusters in the loss, where clusters are trained in rounds.
    """

    key: str
    name: str
    year: int
    section: str
    idea: str
    equation: str
    terms: Mapping[str, Term]
    source: str
    build: type[Model]
    params: Mapping[str, Param]
    kinds: tuple[str, ...] = ("image", "vector")
    departures: str = "none"
    plan: Mapping[str, Any] = field(default_factory=dict)  # training settings that suit it better than the common ones
    cluster_weight: str = ""

    @property
    def abilities(self) -> frozenset[str]:
        """What the model can do: keys of `base.ABILITIES`."""
        return self.build.abilities

    @property
    def recommends(self) -> Recommends | None:
        """What a model of ratings reads and predicts; None for all others."""
        return self.build.recommends

    @property
    def sequential(self) -> bool:
        """Whether it draws pixel after pixel (`Model.sequential`)."""
        return self.build.sequential

    def check(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, checked; those that are not given have their defaults. Raises FieldError for an unknown name
        or a value out of range.
        """
        for name in params:
            if name not in self.params:
                raise FieldError(name, f"{self.key} has no such parameter; it has {', '.join(self.params)}")
        return {name: p.check(name, params.get(name, p.default)) for name, p in self.params.items()}


# Parameters that nearly every model shares.
CODE = Param(16, 1, 256, 1, "log", symbol="d", help="number of latent dimensions")
NET = Param("dense", choices=("dense", "conv"), help="fully connected layers, or convolutions (images only)")
WIDTH = Param(512, 16, 1024, 16, "log", help="units per hidden layer; convolutions start with width / 16 channels")
CLASSES = Param(0, 0, 1000, 1, "log", "C", help="number of labels that condition it, from 0 to C − 1; 0: none")
ATTRIBUTES = Param(0, 0, 200, 1, "log", "A", "number of attributes that condition it: all of the data's, or 0")
DISTANCE = Param(
    "squared",
    choices=("squared", "bernoulli"),
    symbol=r"\Delta",
    help="reconstruction loss: squared error, or cross-entropy of Bernoulli pixels",
)
