"""Param → widget, and every choice in the link. The catalog alone decides which controls there are.

A choice has one value in the session (so that it is there when the visitor comes back to the page) and one text in the
link, which goes first. A link names every choice, those at their default too: a default that changes later changes no
link. Streamlit's own binding would drop defaults, and with them the meaning of old links.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
from annotated_types import Ge, Gt, Le

from aecore import Run
from aecore.data.base import DataSpec
from aecore.errors import FieldError
from aecore.models.entry import Entry, Param
from aecore.training.plan import Plan
from app.link import ALL, NATURAL, _slot, text, value_of, widget_args

GREEK = {"beta": "β", "sigma": "σ", "gamma": "γ", "lam": "λ", "rho": "ρ", "alpha": "α"}


# --- one choice ---------------------------------------------------------------------------------------------


def pick(
    key: str, link: str, title: str, options: Sequence[str], names: Callable[[str], str], default: str = "", **more: Any
) -> str:
    """A box of named options, by default the first."""

    def check(said: str) -> str:
        if said not in options:
            raise FieldError(link, f"there is no {said!r}; there are {', '.join(options)}")
        return said

    value = value_of(key, link, default if default in options else options[0], check)
    place = options.index(value)
    return st.selectbox(title, options, place, format_func=names, **widget_args(key, link, value), **more)


def switch(key: str, link: str, title: str, options: Mapping[str, str], default: str, **more: Any) -> str:
    """Two or three named options side by side. The default counts when they are first shown, and stays."""
    param = Param(default, choices=tuple(options))
    value = value_of(key, link, default, lambda said: param.check(link, said))
    _slot("chosen").setdefault(key, value)
    return st.segmented_control(
        title, options, default=value, required=True, format_func=options.get, **widget_args(key, link, value), **more
    )


def write(key: str, link: str, title: str, **more: Any) -> str:
    """A line of text."""
    value = value_of(key, link, "", str)
    return st.text_input(title, value, **widget_args(key, link, value), **more)


# --- parameters of a model ----------------------------------------------------------------------------------


def steps(param: Param, value: Any, reach: tuple[float, float] | None = None) -> list[int | float]:
    """The values of a logarithmic slider: round numbers, low and high and default among them, and the value it has.

    reach: the ends of the slider, where the parameter allows more than people usually want.
    """
    low, high = reach or (float(param.low or 0), float(param.high or 1))
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
    """What stands above a control: the name, and the letter of the equation where that is another one."""
    words = GREEK.get(name, name).replace("_", " ")
    return words if not param.symbol or name in GREEK or param.symbol == name else f"{words} ${param.symbol}$"


def control(key: str, link: str, name: str, param: Param, reach: tuple[float, float] | None = None) -> Any:
    """The widget of one parameter; its value. reach: see `steps`."""
    value = value_of(key, link, param.default, lambda said: param.check(link, said))
    common = {"help": param.help or None, **widget_args(key, link, value)}
    title = label(name, param)
    if param.choices:
        return st.segmented_control(title, param.choices, default=value, required=True, **common)
    if param.type is bool:
        return st.toggle(title, value, **common)
    if param.scale == "log":
        return st.select_slider(
            title, steps(param, value, reach), value=value, format_func=lambda v: f"{v:.6g}", **common
        )
    kind, step = param.type, param.type(param.step or 1)
    if (
        kind is float and abs(value / step - round(value / step)) > 1e-6
    ):  # between two steps, where a slider would move it
        step = 10.0 ** math.floor(math.log10(step) - 1)
    if kind is int and (param.high or 0) - (param.low or 0) > 10_000:
        return st.number_input(title, int(param.low or 0), int(param.high or 0), value, 1, **common)
    return st.slider(title, kind(param.low), kind(param.high), value, step, **common)


def controls(entry: Entry, page: str) -> dict[str, Any]:
    """All parameters of an entry, in its order: {name: value}."""
    columns, values = st.columns(2, gap="large"), {}
    for position, (name, param) in enumerate(entry.params.items()):
        with columns[position % 2]:
            values[name] = control(f"{page}.{entry.key}.{name}", name, name, param)
    return values


# --- the settings of training, from the fields of Plan ------------------------------------------------------

MAIN = ("epochs", "lr", "batch")
RANGES = {"epochs": (1, 1000), "batch": (2, 4096), "lr": (1e-5, 0.1), "clip": (0.0, 10_000.0), "held_out": (1, 10_000)}
NAMES = {"lr": "learning rate", "decay": "let the rate fall", "clip": "gradient clip", "held_out": "held-out images"}


def plan_param(name: str, default: Any) -> Param:
    """A field of Plan as a Param, so that it gets the same kind of control. default: what suits the model."""
    field = Plan.model_fields[name]
    help = field.description or ""
    if isinstance(default, bool):
        return Param(default, help=help)
    if isinstance(default, str):
        return Param(default, choices=("auto", "bf16", "fp32"), help=help)
    bounds = {type(bound): bound for bound in field.metadata}
    low = bounds[Ge].ge if Ge in bounds else 1e-9 if Gt in bounds else 0
    high = bounds[Le].le if Le in bounds else 1e9
    return Param(default, float(low), float(high), scale="linear" if name == "seed" else "log", help=help)


def plan_controls(entry: Entry, page: str) -> Plan:
    """How to train: epochs, rate and batch in sight, the rest folded."""
    suited, values = Plan(**entry.plan), {}

    def place(name: str) -> None:
        param = plan_param(name, getattr(suited, name))
        key, title = f"{page}.{entry.key}.train.{name}", NAMES.get(name, name)
        values[name] = control(key, f"train.{name}", title, param, RANGES.get(name))

    for column, name in zip(st.columns(len(MAIN), gap="large"), MAIN, strict=True):
        with column:
            place(name)
    with st.expander("More about the training", icon=":material/tune:"):
        columns = st.columns(2, gap="large")
        for position, name in enumerate(name for name in Plan.model_fields if name not in MAIN):
            with columns[position % 2]:
                place(name)
    return Plan(**values)


def preset(entry: Entry, page: str, params: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """Set these parameters of a model and its training, as far as it has them, and the others to their defaults."""
    suited = Plan(**entry.plan)
    values = {name: params.get(name, param.default) for name, param in entry.params.items()}
    settings = {f"train.{name}": plan.get(name, getattr(suited, name)) for name in Plan.model_fields}
    for name, value in {**values, **settings}.items():
        _slot("chosen")[f"{page}.{entry.key}.{name}"] = value
    st.session_state.pop("problems", None)
    st.query_params.update({name: text(value) for name, value in {**values, **settings}.items()})


# --- settings as a link -------------------------------------------------------------------------------------


def data_link(spec: DataSpec) -> dict[str, str]:
    """The choice of data as parts of a link."""
    parts = {"data": spec.name, "data.size": str(spec.size or NATURAL), "data.limit": str(spec.limit or ALL)}
    return parts | {"data.grey": text(spec.grey)} | ({"data.path": spec.path} if spec.path else {})


def link(entry: Entry, params: Mapping[str, Any], plan: Plan, data: DataSpec | None) -> dict[str, str]:
    """The query that fills in the Train page like this."""
    settings = {name: text(value) for name, value in params.items()}
    training = {f"train.{name}": text(value) for name, value in plan.model_dump().items()}
    return {"v": "1", "model": entry.key, **(data_link(data) if data else {}), **settings, **training}


def link_of_run(run: Run) -> dict[str, str]:
    """The query with which the Train page opens with everything of this run filled in."""
    return link(run.entry, run.info.params, run.info.plan, run.info.data)
