"""The one place where a page's state meets the link."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from aecore import Run
from aecore.errors import FieldError
from app.browser import copy_link

NATURAL, ALL = "natural", "all"  # the size of the images as they come; no limit


def text(value: Any) -> str:
    """A value as it stands in a link."""
    return (
        f"{value:.10g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _slot(name: str) -> dict[str, Any]:
    return st.session_state.setdefault(name, {})


def value_of(key: str, link: str, default: Any, check: Callable[[str], Any]) -> Any:
    """What is chosen under `key`: what the link says under `link`, else what was chosen before, else the default.

    A text that `check` refuses (FieldError, ValueError) becomes a problem in words, and the default is taken.
    """
    chosen, said = _slot("chosen"), st.query_params.get(link)
    if said is not None and (key not in chosen or said != text(chosen[key])):
        try:
            chosen[key] = check(said)
        except (FieldError, ValueError) as error:
            chosen[key] = default
            reason = str(error) if isinstance(error, FieldError) else f"{link}: {said!r} is not allowed"
            _slot("problems")[key] = f"{reason}. The link’s value is left aside; {text(default)} is taken."
    try:
        return check(text(chosen[key])) if key in chosen else default
    except (FieldError, ValueError):  # chosen when something else was allowed
        chosen.pop(key)
        return default


def set_value(key: str, link: str, value: Any) -> None:
    """Take this value from now on, in the session and in the link."""
    _slot("chosen")[key] = value
    st.query_params[link] = text(value)


def _changed(key: str, link: str, box: str) -> None:
    st.session_state.pop("problems", None)
    set_value(key, link, st.session_state[box])


def widget_args(key: str, link: str, value: Any) -> dict[str, Any]:
    """What the widget of a choice is called with, besides its default, which must be `value`.

    A value that comes from elsewhere (a link, a preset) gets a new widget: one that is told its value after it was
    made can miss that when a run of the script is cut short.
    """
    turns = _slot("turns")
    box = f"{key}.{turns.get(key, 0)}"
    if st.session_state.get(box, value) != value:
        turns[key] = turns.get(key, 0) + 1
        box = f"{key}.{turns[key]}"
    return {"key": box, "on_change": _changed, "args": (key, link, box)}


def problems() -> list[str]:
    """What the link asked for in vain, until the visitor changes something."""
    return list(_slot("problems").values())


def write_link(settings: Mapping[str, str]) -> None:
    """Make the link say just this, and the version."""
    wanted = {"v": st.query_params.get("v", "1"), **settings}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def recall_pointer(name: str) -> dict[str, Any] | None:
    """{"at": [u, v], "step": k} as the link has it."""
    said = st.query_params.get(name, "")
    parts = said.split(",")
    try:
        u, v, step = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, IndexError):
        return None
    return {"at": [min(1.0, max(0.0, u)), min(1.0, max(0.0, v))], "step": max(0, step)}


def keep_pointer(name: str, state: Any, start: int = 0) -> None:
    """Put the pointer's place into the link. start: the step at which the view begins."""
    (u, v), step = state["at"], state["step"]
    said = f"{u:.3f},{v:.3f},{step}"
    if said == f"0.500,0.500,{start}":  # where it begins: a link need not say it
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != said:
        st.query_params[name] = said


def recall_step(name: str) -> int | None:
    """A step of a track, as the link has it."""
    said = st.query_params.get(name, "")
    return int(said) if said.isdecimal() and len(said) < 6 else None


def keep_step(name: str, step: int, start: int) -> None:
    """Put a track's step into the link. start: where it begins, which the link need not say."""
    if step == start:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(step):
        st.query_params[name] = str(step)


LINKED: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}
"""Arguments of a widget whose value stands in the link."""


def recall(name: str, run: Run) -> str:
    """Text kept under `name` for this run: this session's, or what the link brought; "" for another run's."""
    slot = st.session_state.get(f"_{name}")
    if slot is None:
        return st.query_params.get(name, "")
    return slot[1] if slot[0] == run.info.id else ""


def keep(name: str, run: Run, text: str) -> None:
    """Remember `text` for this run, and put it into the link ("" leaves the link)."""
    st.session_state[f"_{name}"] = (run.info.id, text)
    if text and st.query_params.get(name) != text:
        st.query_params[name] = text
    elif not text and name in st.query_params:
        del st.query_params[name]


def write_code(moved: Mapping[int, float]) -> str:
    """Units that were moved, for a link: {2: 1.25, 0: -0.5} is "1:-0.5_3:1.25", counted from 1."""
    return "_".join(f"{unit + 1}:{value:g}" for unit, value in sorted(moved.items()))


def read_code(text: str, size: int) -> dict[int, float]:
    """The inverse of `write_code`; whatever does not fit a code of `size` units is left out."""
    found = re.findall(r"(?:^|_)(\d{1,6}):(-?\d{1,6}(?:\.\d{1,6})?)(?=_|$)", text[:8000])
    return {int(unit) - 1: float(value) for unit, value in found if 1 <= int(unit) <= size}


FLAGS = {"t": "thumbnails", "m": "mosaic"}


LISTS = {"c": ("cursor", 2), "z": ("zoom", 3)}


def write_view(view: Mapping) -> str:
    """What a map shows, for a link: "c1.25,-0.5_h3,5_t" is a cursor, two hidden classes, and thumbnails."""
    parts = [f"{sign}{','.join(f'{v:.4g}' for v in view[name])}" for sign, (name, _) in LISTS.items() if view.get(name)]
    parts += [f"h{','.join(map(str, view['hidden']))}"] if view.get("hidden") else []
    return "_".join(parts + [sign for sign, name in FLAGS.items() if view.get(name)])


def read_view(text: str) -> dict:
    """The inverse of `write_view`; whatever makes no sense is left out."""
    view: dict = {}
    for part in text[:2000].split("_"):
        sign, texts = part[:1], [value for value in part[1:].split(",") if value]
        values = [value for value in map(_float, texts) if value is not None]
        if sign in FLAGS and not texts:
            view[FLAGS[sign]] = True
        elif len(values) < len(texts):
            continue
        elif sign in LISTS and len(values) == LISTS[sign][1]:
            view[LISTS[sign][0]] = values
        elif sign == "h" and values:
            view["hidden"] = sorted({int(value) for value in values if 0 <= value < 10_000})
    return view


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e9 else None


VERSION = "1"  # of our links: a later version of the pages can tell what an old one meant


def mend_link() -> None:
    """Put back the choices that the link has lost.

    Streamlit sends the browser the whole link as a run of the script knew it when it began. What a visitor chooses
    meanwhile is swept away, and no later run brings it back. So each run ends by comparing: what a linked widget says
    stands in the link, unless it is the default.
    """
    context = get_script_run_ctx()
    if context is None:
        return
    with contextlib.suppress(AttributeError), context.session_state.query_params() as params:
        # There is no public door to what a linked widget writes. Where a newer Streamlit has moved it, links are only
        # as whole as Streamlit leaves them.
        state, there = context.session_state._state, context.shared.widget_ids_this_run
        for binding in list(params._bindings_by_widget.values()):
            if binding.widget_id not in there or params.has_param(binding.param_key):
                continue
            widget, value = state.get_widget_metadata(binding.widget_id), state[binding.param_key]
            if widget is not None and value != widget.deserializer(None):
                params.set_corrected_value(binding.param_key, widget.serializer(value), binding.value_type)


def sign_link() -> None:
    """Put the version into a link that says anything at all."""
    if st.query_params and "v" not in st.query_params:
        st.query_params["v"] = VERSION
    elif st.query_params.get("v", VERSION) != VERSION:
        st.info("This link was made by another version of the app: some of its settings may be missing here.")


def copy_button(label: str = "Copy the link to this view") -> None:
    """The button that copies this view's link."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        copy_link(key="copy-link", label=label)


def requested_run() -> str:
    """The run that the link asks for; without one, the run this visitor looked at last."""
    return st.query_params.get("run") or st.session_state.get("run", "")


def set_run(identity: str) -> None:
    """This page is about this run: say so in the link, and remember it for the next page."""
    st.session_state["run"] = identity
    if st.query_params.get("run") != identity:
        st.query_params["run"] = identity
