"""The kinds of values of which a page's state is made: how each is read from the link and written, and its widgets.

Use, and how a value is held: `app.link`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import streamlit as st

from aecore.errors import FieldError
from app.link import Kept, Widget, format_value

T = TypeVar("T")
N = TypeVar("N", int, float)


# --- held by a widget -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice(Widget[T]):
    """One of several options, by default the first.

    label: what people read. It stands in the link as well; the link names a setting by the option itself.
    """

    options: Collection[T] = ()
    default: T | None = None
    label: Callable[[Any], str] = str

    def initial(self) -> T:
        return next((option for option in self.options if option == self.default), next(iter(self.options)))

    def read(self, text: str) -> T:
        for option in self.options:
            if self.write(option) == text:
                return option
        raise FieldError(self.name, f"there is no {text!r}; there are {', '.join(map(self.write, self.options))}")

    def write(self, value: T) -> str:
        return format_value(value) if self.key else self.label(value)

    def option(self, title: str, **more: Any) -> T:
        """Options side by side."""
        options, (value, binding) = list(self.options), self.bound()
        chosen: Any = st.segmented_control(
            title, options, default=value, required=True, format_func=self.label, **binding, **more
        )
        return chosen

    def box(self, title: str, **more: Any) -> T:
        """A list that opens."""
        options, (value, binding) = list(self.options), self.bound()
        return st.selectbox(title, options, options.index(value), format_func=self.label, **binding, **more)

    def slider(self, title: str, **more: Any) -> T:
        """A slider from the first option to the last."""
        options, (value, binding) = list(self.options), self.bound()
        return st.select_slider(title, options, value, format_func=self.label, **binding, **more)


@dataclass(frozen=True)
class Many(Widget[list[T]]):
    """Any number of options. Names in the link that are no options are left out."""

    options: Collection[T] = ()
    default: Collection[T] = ()
    label: Callable[[Any], str] = str

    def initial(self) -> list[T]:
        return [option for option in self.options if option in self.default]

    def in_link(self) -> str:
        return "\n".join(st.query_params.get_all(self.name))

    def read(self, text: str) -> list[T]:
        names = text.split("\n")
        found = [option for option in self.options if self.label(option) in names]
        if not found:
            raise FieldError(self.name, f"there is no {text!r}; there are {', '.join(map(self.label, self.options))}")
        return found

    def write(self, value: list[T]) -> str:
        return "\n".join(map(self.label, value))

    def pills(self, title: str, **more: Any) -> list[T]:
        """Options side by side, each of which is on or off."""
        options, (value, binding) = list(self.options), self.bound()
        return st.pills(
            title, options, selection_mode="multi", default=value, format_func=self.label, **binding, **more
        )

    def box(self, title: str, **more: Any) -> list[T]:
        """A list that opens, and what was taken from it."""
        options, (value, binding) = list(self.options), self.bound()
        return st.multiselect(title, options, value, format_func=self.label, **binding, **more)


@dataclass(frozen=True)
class Number(Widget[N]):
    """A number from `least` to `most`, both included, by default the least; all are int, or all are float."""

    least: N
    most: N | None = None
    default: N | None = None
    step: N | None = None

    def initial(self) -> N:
        value = self.least if self.default is None else self.default
        return value if self.most is None else min(value, self.most)

    def read(self, text: str) -> N:
        value = float(text)
        if not math.isfinite(value) or value < self.least or (self.most is not None and value > self.most):
            allowed = f"from {self.least:g}" + ("" if self.most is None else f" to {self.most:g}")
            raise FieldError(self.name, f"{text!r} is not allowed; give a number {allowed}")
        return type(self.least)(value)

    def number(self, title: str, **more: Any) -> N:
        """A box to type in."""
        value, binding = self.bound()
        start: Any = "min" if value == self.least else value  # Streamlit warns of a default beside `put`
        value: Any = st.number_input(title, self.least, self.most, start, self.step, **binding, **more)
        return type(self.least)(value)

    def slider(self, title: str, **more: Any) -> N:
        """A slider from the least to the most."""
        value, binding = self.bound()
        return st.slider(title, self.least, self.most, value, self.step, **binding, **more)


@dataclass(frozen=True)
class Flag(Widget[bool]):
    """On or off."""

    default: bool = False

    def initial(self) -> bool:
        return self.default

    def read(self, text: str) -> bool:
        words = {"true": True, "false": False} | ({"1": True, "0": False} if self.key else {})
        if text.lower() not in words:
            raise FieldError(self.name, f"{text!r} is not allowed; give true or false")
        return words[text.lower()]

    def toggle(self, title: str, **more: Any) -> bool:
        value, binding = self.bound()
        return st.toggle(title, value, **binding, **more)


@dataclass(frozen=True)
class Line(Widget[str]):
    """A line of text, at first empty."""

    def initial(self) -> str:
        return ""

    def read(self, text: str) -> str:
        return text

    def input(self, title: str, **more: Any) -> str:
        value, binding = self.bound()
        return st.text_input(title, value, **binding, **more)


# --- held by no widget ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word(Kept[str]):
    """A text as it is; "" where there is none."""

    def initial(self) -> str:
        return ""

    def read(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class Step(Kept[int | None]):
    """A step of a track, from 0 to 99,999.  start: where the track begins, which the link need not say."""

    start: int = 0

    def initial(self) -> int | None:
        return None

    def starts(self, value: int | None) -> bool:
        return value in (None, self.start)

    def read(self, text: str) -> int | None:
        if not (text.isdecimal() and len(text) < 6):
            raise FieldError(self.name, f"{text!r} is not allowed; give the number of a step")
        return int(text)


@dataclass(frozen=True)
class Level(Kept[float | None]):
    """A real number.  start: where it is at first, which the link need not say."""

    start: float = 0.0

    def initial(self) -> float | None:
        return None

    def starts(self, value: float | None) -> bool:
        return value is None or abs(value - self.start) < 1e-6 * max(1.0, abs(self.start))

    def read(self, text: str) -> float | None:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError("not finite")
        return value

    def write(self, value: float | None) -> str:
        return "" if value is None else f"{value:.6g}"


@dataclass(frozen=True)
class Point(Kept[Mapping[str, Any] | None]):
    """A pointer on planes and the step that they show: {"at": [u, v], "step": k}, u and v from 0 to 1.

    None, where the link has none: the planes begin in the middle, at the step `start`, which the link need not say.
    The text is "u,v,k".
    """

    start: int = 0

    def initial(self) -> Mapping[str, Any] | None:
        return None

    def starts(self, value: Mapping[str, Any] | None) -> bool:
        return value is None or self.write(value) == f"0.500,0.500,{self.start}"

    def read(self, text: str) -> Mapping[str, Any] | None:
        u, v, step = text.split(",")[:3]
        return {"at": [min(1.0, max(0.0, float(place))) for place in (u, v)], "step": max(0, int(step))}

    def write(self, value: Mapping[str, Any] | None) -> str:
        if value is None:
            return ""
        u, v = value["at"]
        return f"{u:.3f},{v:.3f},{value['step']}"


@dataclass(frozen=True)
class Numbered(Kept[Mapping[int, float]]):
    """Numbers of some of `size` things, counted from 0: units of a code that were moved, films that were rated.

    The text counts from 1: {2: 1.25, 0: -0.5} is "1:-0.5_3:1.25". What does not fit is left out.
    """

    size: int = 0

    def initial(self) -> Mapping[int, float]:
        return {}

    def read(self, text: str) -> Mapping[int, float]:
        found = re.findall(r"(?:^|_)(\d{1,6}):(-?\d{1,6}(?:\.\d{1,6})?)(?=_|$)", text[:8000])
        return {int(place) - 1: float(value) for place, value in found if 1 <= int(place) <= self.size}

    def write(self, value: Mapping[int, float]) -> str:
        return "_".join(f"{place + 1}:{number:g}" for place, number in sorted(value.items()))


@dataclass(frozen=True)
class MapState(Kept[Mapping[str, Any]]):
    """What a map shows: cursor [x, y], zoom [x, y, scale], hidden classes, and whether thumbnails and mosaic are on.

    "c1.25,-0.5_h3,5_t" is a cursor, two hidden classes, and thumbnails. What makes no sense is left out.
    """

    FLAGS: ClassVar = {"t": "thumbnails", "m": "mosaic"}
    LISTS: ClassVar = {"c": ("cursor", 2), "z": ("zoom", 3)}

    def initial(self) -> Mapping[str, Any]:
        return {}

    def read(self, text: str) -> Mapping[str, Any]:
        view: dict[str, Any] = {}
        for part in text[:2000].split("_"):
            sign, texts = part[:1], [value for value in part[1:].split(",") if value]
            values = [value for value in map(_float, texts) if value is not None]
            if sign in self.FLAGS and not texts:
                view[self.FLAGS[sign]] = True
            elif len(values) < len(texts):
                continue
            elif sign in self.LISTS and len(values) == self.LISTS[sign][1]:
                view[self.LISTS[sign][0]] = values
            elif sign == "h" and values:
                view["hidden"] = sorted({int(value) for value in values if 0 <= value < 10_000})
        return view

    def write(self, value: Mapping[str, Any]) -> str:
        parts = [
            sign + ",".join(f"{number:.4g}" for number in value[name])
            for sign, (name, _) in self.LISTS.items()
            if value.get(name)
        ]
        parts += ["h" + ",".join(map(str, value["hidden"]))] if value.get("hidden") else []
        return "_".join(parts + [sign for sign, name in self.FLAGS.items() if value.get(name)])


def _float(text: str) -> float | None:
    """The number that a text says, None where it is none or too large for a map."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e9 else None
