"""The one place where the state of a page meets the link.

A page declares once what its link can say, with the kinds of values of `app.state`:

    class State:
        images = Choice("beta.data", ("sprites", "digits"))
        example = Number("beta.image", 0)
        at = Point("beta.at")

Widget, default and text in the link follow from the declaration. What only the run knows is given where it is used:

    kind = State.images.option("Images")                       # a widget; its value stands in the link
    example = State.example.given(most=99).number("Image")     # the same, with a range
    view = planes(panes, state=State.at.get())                 # the state of a component in the browser
    State.at.put(view)

A value is held in one of three ways.

- `Widget`: Streamlit binds a widget to the parameter of this name. A link does not name a default.
- `Widget` with a `key`, called a *setting*: the session holds the value under the key. The link names it even if it is
  the default, so that a default that changes later changes no old link. Several settings may share one name: `code` is
  a parameter of many models, each of which has its own key and value.
- `Kept`: no widget holds the value. The page reads it with `get` and writes it with `put`.

Where a text in the link makes no sense, a sentence says so and the default is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar

import streamlit as st

from aecore.errors import FieldError
from app import streamlit_internals
from app.browser.copy_link import copy_link
from app.text import escape_markdown

VERSION = "1"  # of our links: a later version of the pages can tell what an old one meant
T = TypeVar("T")


def format_value(value: Any) -> str:
    """A number, flag or word as it stands in a link."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _slot(name: str) -> dict[Any, Any]:
    """A dictionary of this session."""
    return st.session_state.setdefault(name, {})


@dataclass(frozen=True)
class Value(Generic[T]):
    """A part of a page's state.  name: of its parameter in the link."""

    name: str

    def given(self, **changes: Any) -> Self:
        """The same value with other fields, for instance with a range that depends on the run."""
        return replace(self, **changes)

    def of(self, part: object) -> Self:
        """The same value for one of several data sets, sweeps or models; `part` ends the name in the link."""
        return replace(self, name=f"{self.name}.{part}")

    def initial(self) -> T:
        """The value where neither the visitor nor the link has said anything."""
        raise NotImplementedError

    def read(self, text: str) -> T:
        """The value of a text in the link. ValueError where it has none; a FieldError says what is allowed."""
        raise NotImplementedError

    def write(self, value: T) -> str:
        """The text of a value in the link."""
        return format_value(value)

    def in_link(self) -> str:
        """The text in the link, "" where there is none."""
        return st.query_params.get(self.name, "")

    def read_or_tell(self, text: str) -> T:
        """As `read`; the initial value for "" and for a text that makes no sense, which the visitor is told once."""
        try:
            return self.read(text) if text else self.initial()
        except ValueError as error:
            told, sentence = _slot("told"), self.refusal(text, error)
            if sentence not in told:
                told[sentence] = True
                st.toast(escape_markdown(sentence), icon=":material/link_off:", duration="long")
            return self.initial()

    def refusal(self, text: str, error: ValueError) -> str:
        """The sentence about a text that makes no sense."""
        reason = str(error) if isinstance(error, FieldError) else f"{self.name}: {text!r} is not allowed"
        taken = self.initial()
        return f"{reason}. The link’s value is left aside" + (
            "." if taken is None else f"; {self.write(taken)} is taken."
        )


@dataclass(frozen=True)
class Widget(Value[T]):
    """A value that a widget holds.  key: of a setting in the session; without a key Streamlit binds the widget."""

    key: str = field(default="", kw_only=True)

    def under(self, key: str) -> Self:
        """The value as a setting that the session holds under this key."""
        return replace(self, key=key)

    def now(self) -> T:
        """The value before the widget is made, or in a callback."""
        if self.key:
            return self._setting()
        return st.session_state[self.name] if self.name in st.session_state else self.read_or_tell(self.in_link())

    def put(self, value: T) -> None:
        """Set the value, in a callback or before the widget is made."""
        if self.key:
            choose([(self, value)])
        else:
            st.session_state[self.name] = value

    def bound(self) -> tuple[T, dict[str, Any]]:
        """The value from which the widget starts, and the arguments that bind the widget to the link."""
        if self.key:
            value = self._setting()
            return value, self._turn(value)
        if self.name not in st.session_state:  # Streamlit reads the text itself, but drops nonsense without a word
            self.read_or_tell(self.in_link())
        return self.initial(), {"key": self.name, "bind": "query-params", "persist_state": "session"}

    def _setting(self) -> T:
        """The value of a setting: from the link, else what was chosen before, else the default."""
        chosen, text = _slot("chosen"), st.query_params.get(self.name)
        if text is not None and (self.key not in chosen or text != self.write(chosen[self.key])):
            try:
                chosen[self.key] = self.read(text)
            except ValueError as error:
                chosen[self.key] = self.initial()
                _slot("problems")[self.key] = self.refusal(text, error)
        value = self.initial()
        with suppress(KeyError, ValueError):  # not chosen yet, or when something else was allowed
            value = self.read(self.write(chosen[self.key]))
        chosen[self.key] = value  # it stays, even if the default changes meanwhile
        return value

    def _turn(self, value: T) -> dict[str, Any]:
        """The arguments that tie the widget of a setting to the session and the link.

        A value that comes from elsewhere (a link, a preset) gets a new widget: one that is told its value after it was
        made can miss that when a run of the script is cut short.
        """
        turns = _slot("turns")
        box = f"{self.key}.{turns.get(self.key, 0)}"
        if st.session_state.get(box, value) != value:
            turns[self.key] = turns.get(self.key, 0) + 1
            box = f"{self.key}.{turns[self.key]}"
        return {"key": box, "on_change": lambda: self.put(st.session_state[box])}


@dataclass(frozen=True)
class Kept(Value[T]):
    """A value that no widget holds.

    With an owner (a run, a question) it is also remembered in the session, and the link's value is taken for the first
    owner only: what was marked on one run's map means nothing on another's.
    each: remember the values of all owners, not only the last one's.
    """

    each: bool = field(default=False, kw_only=True)

    def starts(self, value: T) -> bool:
        """Whether the value is where the view starts, which the link need not say."""
        return value == self.initial()

    def get(self, owner: object = None) -> T:
        """The value, from the session where it has an owner, else from the link."""
        slot = None if owner is None else st.session_state.get(f"_{self.name}")
        return self.read_or_tell(self.in_link() if slot is None else slot.get(owner, ""))

    def put(self, value: T, owner: object = None) -> None:
        """Keep the value, and say it in the link."""
        text = "" if self.starts(value) else self.write(value)
        if owner is not None:
            others = _slot(f"_{self.name}") if self.each else {}
            st.session_state[f"_{self.name}"] = {**others, owner: text}
        if text and text != self.in_link():
            st.query_params[self.name] = text
        elif not text and self.name in st.query_params:
            del st.query_params[self.name]


# --- several values at once -----------------------------------------------------------------------------------------


def choose(values: Iterable[tuple[Widget[Any], Any]]) -> None:
    """Set the values of settings, in the session and in the link."""
    values = list(values)
    st.session_state.pop("problems", None)
    _slot("chosen").update({setting.key: value for setting, value in values})
    st.query_params.update({setting.name: setting.write(value) for setting, value in values})


def problems() -> list[str]:
    """Sentences about texts in the link that no setting can take, until the visitor changes a setting."""
    return list(_slot("problems").values())


def to_page(query: Mapping[str, str] | None = None, **values: str) -> dict[str, str]:
    """The query of a link to a page: these parameters and the version."""
    return {**(query or {}), **values, "v": VERSION}


def write_only(query: Mapping[str, str]) -> None:
    """Make the link say just this, and its version."""
    wanted = {"v": st.query_params.get("v", VERSION), **query}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def finish() -> None:
    """End a run of the script: put back what the link has lost, and sign a link that says anything at all."""
    streamlit_internals.restore_bound_parameters()
    version = st.query_params.get("v")
    if version is None and st.query_params:
        st.query_params["v"] = VERSION
    elif version not in (None, VERSION):
        st.info("This link was made by another version of the app: some of its settings may be missing here.")


def copy_button(label: str = "Copy the link to this view") -> None:
    """The button that copies the link of this view."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        copy_link(key="copy-link", label=label)


# --- the run that a page is about -----------------------------------------------------------------------------------


def requested_run() -> str:
    """The id of the run that the link asks for; without one, of the run at which this visitor looked last."""
    return st.query_params.get("run") or st.session_state.get("run", "")


def set_run(identity: str) -> None:
    """This page is about this run: say so in the link, and remember it for the next page."""
    st.session_state["run"] = identity
    if st.query_params.get("run") != identity:
        st.query_params["run"] = identity


def forget_run(identity: str) -> None:
    """Do not open the next page with this run."""
    if st.session_state.get("run") == identity:
        del st.session_state["run"]
