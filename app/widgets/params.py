"""Hyperparameters of a model and of its training: their widgets, and the link to a Train page that is filled in.

They all come from the catalog and from the fields of `Plan`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from aecore import Run
from aecore.data.base import DataSpec
from aecore.models.entry import Entry, Param
from aecore.training.plan import Plan, plan_params
from app import link
from app.widgets.data_picker import data_query

GREEK = {"beta": "β", "sigma": "σ", "gamma": "γ", "lam": "λ", "rho": "ρ", "alpha": "α"}


# --- parameters of a model ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hyperparameter(link.Widget[Any]):
    """A parameter of a model or of its training, with a value of its own for each page and model."""

    param: Param

    def initial(self) -> Any:
        return self.param.default

    def read(self, text: str) -> Any:
        return self.param.check(self.name, text)


def parameter(entry: Entry, page: str, name: str) -> Hyperparameter:
    """A parameter of a model on this page."""
    return Hyperparameter(name, entry.params[name]).under(f"{page}.{entry.key}.{name}")


def plan_field(entry: Entry, page: str, name: str) -> Hyperparameter:
    """A field of `Plan` on this page; its default suits the model."""
    param = plan_params(Plan(**entry.plan))[name]
    return Hyperparameter(f"train.{name}", param).under(f"{page}.{entry.key}.train.{name}")


def steps(param: Param, value: Any, limits: tuple[float, float] | None = None) -> list[int | float]:
    """The values of a logarithmic slider: round numbers, the lowest, highest and default value, and `value` itself.

    limits: the ends of the slider, where the parameter allows more than people usually want.
    """
    low, high = limits or (float(param.low or 0), float(param.high or 1))
    bottom = low if low > 0 else high / 1e4
    values = {param.default, param.type(low), param.type(high), value}
    if param.type is int:
        values |= {2**k for k in range(int(math.log2(max(high, 1))) + 1)} | set(range(1, 11))
        values |= {digit * 10**k for k in range(1, 6) for digit in (1, 2, 3, 5)}
    else:
        for exponent in range(math.floor(math.log10(bottom)), math.ceil(math.log10(high)) + 1):
            values |= {round(digit * 10.0**exponent, 9) for digit in (1, 1.5, 2, 3, 4, 5, 6, 8)}
    return sorted(v for v in values if v == value or (low <= v <= high and (v == low or v >= bottom)))


def label(name: str, param: Param) -> str:
    """The title of a widget: the parameter's name, and its letter in the equation where that is another one."""
    title = GREEK.get(name, name).replace("_", " ")
    return title if not param.symbol or name in GREEK or param.symbol == name else f"{title} ${param.symbol}$"


def control(setting: Hyperparameter, title: str, limits: tuple[float, float] | None = None) -> Any:
    """The widget of one parameter; returns its value.  limits: see `steps`."""
    param = setting.param
    value, binding = setting.bound()
    common: dict[str, Any] = {"help": param.help or None, **binding}
    if param.choices:
        return st.segmented_control(title, param.choices, default=value, required=True, **common)
    if param.type is bool:
        return st.toggle(title, value, **common)
    if param.scale == "log":
        return st.select_slider(
            title, steps(param, value, limits), value=value, format_func=lambda v: f"{v:.6g}", **common
        )
    kind, step = param.type, param.type(param.step or 1)
    low, high = kind(param.low or 0), kind(param.high or 0)
    if kind is float and abs(value / step - round(value / step)) > 1e-6:
        # The value lies between two steps, onto one of which the slider would move it.
        step = 10.0 ** math.floor(math.log10(step) - 1)
    if kind is int and high - low > 10_000:
        return st.number_input(title, low, high, value, 1, **common)
    return st.slider(title, low, high, value, step, **common)


def controls(entry: Entry, page: str) -> dict[str, Any]:
    """The widgets of all parameters of a model, in two columns: {name: value}."""
    columns, values = st.columns(2, gap="large"), {}
    for position, (name, param) in enumerate(entry.params.items()):
        with columns[position % 2]:
            values[name] = control(parameter(entry, page, name), label(name, param))
    return values


# --- parameters of the training, from the fields of Plan ------------------------------------------------------------

MAIN = ("epochs", "lr", "batch")


def plan_controls(entry: Entry, page: str) -> Plan:
    """The widgets of the training: those of `MAIN` in sight, the others folded."""
    values = {}
    for column, name in zip(st.columns(len(MAIN), gap="large"), MAIN, strict=True):
        with column:
            values[name] = _plan_control(entry, page, name)
    with st.expander("More about the training", icon=":material/tune:"):
        columns = st.columns(2, gap="large")
        for position, name in enumerate(name for name in Plan.model_fields if name not in MAIN):
            with columns[position % 2]:
                values[name] = _plan_control(entry, page, name)
    return Plan(**values)


def _plan_control(entry: Entry, page: str, name: str) -> Any:
    setting = plan_field(entry, page, name)
    return control(setting, label(setting.param.label or name, setting.param), setting.param.usual)


# --- all at once ----------------------------------------------------------------------------------------------------


def preset(entry: Entry, page: str, params: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """Set the parameters of a model and of its training to these values, and all others to their defaults."""
    settings = [(parameter(entry, page, name), params) for name in entry.params]
    settings += [(plan_field(entry, page, name), plan) for name in Plan.model_fields]
    link.choose(
        (setting, values.get(setting.name.removeprefix("train."), setting.initial())) for setting, values in settings
    )


def train_query(entry: Entry, params: Mapping[str, Any], plan: Plan, data: DataSpec | None) -> dict[str, str]:
    """The query of a Train page that is filled in with these settings."""
    parameters = {name: link.format_value(value) for name, value in params.items()}
    training = {f"train.{name}": link.format_value(value) for name, value in plan.model_dump().items()}
    return link.to_page({"model": entry.key, **(data_query(data) if data else {}), **parameters, **training})


def link_of_run(run: Run) -> dict[str, str]:
    """The query of a Train page that is filled in with the settings of this run."""
    return train_query(run.entry, run.info.params, run.info.plan, run.info.data)
