"""What all components share on the Python side: joining their scripts, and deciding whose state counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component
from streamlit.components.v2.types import ComponentRenderer

SHARED = Path(__file__).parent / "shared"
SHARED_SCRIPTS = ("component.js", "elements.js", "clock.js", "canvas.js", "stepper.js")


def register(name: str, folder: Path, scripts: Sequence[str] = ()) -> ComponentRenderer:
    """Make a component known to Streamlit.

    Streamlit takes one script and one style sheet as text, and such a script cannot import another file. So the shared
    scripts and those of the component are joined in order, and form one module with one scope: a name that is declared
    at the top level of one file can be used in all of them, and may be declared only once. One of the component's
    scripts must `export default component(...)`; see shared/component.js.

    Arguments:
        name: of the component; its style sheet is `folder`/`name`.css.
        folder: where its files are.
        scripts: names of its scripts in the order in which they are best read; by default `name`.js alone.

    Returns: the function that mounts it in a page.
    """

    def joined(files: Iterable[Path]) -> str:
        return "\n".join(file.read_text("utf-8") for file in files)

    shared_scripts = [SHARED / script for script in SHARED_SCRIPTS]
    component_scripts = [folder / script for script in scripts or (f"{name}.js",)]
    return component(
        f"autoencoder_explorer.{name}",
        js=joined(shared_scripts + component_scripts),
        css=joined([SHARED / "common.css", folder / f"{name}.css"]),
    )


def no_callback() -> None:
    """The callback of a component that was given none: Streamlit accepts only state names that have a callback."""


def live(key: str, field: str) -> dict[str, Any] | None:
    """The state that the browser last reported under `field`; it can be read before the component is mounted."""
    reported = st.session_state.get(key)
    state = reported.get(field) if isinstance(reported, Mapping) else None
    return dict(state) if isinstance(state, Mapping) else None


def settle(key: str, field: str, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    """Decide which state to send to the browser, as {"state", "nonce"}. The browser obeys a state whose nonce is new.

    After the first value the browser owns the state. What a page passes as `wanted` is then usually an echo of what the
    browser has reported, taken from the link or from the session and perhaps one run late. Sending an echo back would
    transmit the whole value again and could undo what the user is doing at that moment. So `wanted` is obeyed only if
    it differs from the state wanted last, from the state reported last and from the one that is reported now.
    """
    memory = st.session_state.setdefault(
        f"_{key}.{field}.sent", {"state": None, "nonce": 0, "wanted": None, "reported": None}
    )
    reported = live(key, field)
    wanted = dict(wanted) if wanted else None

    def is_echo(state: dict[str, Any] | None) -> bool:
        return state is not None and all(state.get(name) == value for name, value in (wanted or {}).items())

    first_run = memory["nonce"] == 0
    is_new = wanted is not None and wanted != memory["wanted"] and not is_echo(memory["reported"])
    if first_run:
        memory.update(state=wanted or {}, nonce=1)
    elif is_new and not is_echo(reported):
        memory.update(state=wanted, nonce=memory["nonce"] + 1)
    elif reported is None and memory["reported"] is not None:
        # The user has come back to this page: the browser has forgotten its state, so it is sent again.
        memory.update(state=memory["reported"], nonce=memory["nonce"] + 1, reported=None)
    memory["wanted"] = wanted
    if reported is not None:
        memory["reported"] = reported
    return {"state": memory["state"], "nonce": memory["nonce"]}
