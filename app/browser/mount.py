"""What all components share on the Python side: joining their scripts, and deciding whose state counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

SHARED = Path(__file__).parent / "shared"
SHARED_SCRIPTS = ("component.js", "elements.js", "clock.js", "canvas.js", "stepper.js")


def register(name: str, folder: Path, scripts: Sequence[str] = ()):
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

    own_scripts = [folder / script for script in scripts or (f"{name}.js",)]
    return component(
        f"autoencoder_explorer.{name}",
        js=joined([*(SHARED / script for script in SHARED_SCRIPTS), *own_scripts]),
        css=joined([SHARED / "common.css", folder / f"{name}.css"]),
    )


def nothing() -> None:
    """Stands in for a missing callback: Streamlit only accepts state names that have one."""


def live(key: str, field: str) -> dict[str, Any] | None:
    """What the browser last reported under `field`, before the component is mounted in this run."""
    value = st.session_state.get(key)
    value = value.get(field) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else None


def settle(key: str, field: str, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    """Which state to send: {"state", "nonce"}; the browser obeys a state whose nonce it has not seen.

    After the first picture the browser owns the state, and what a page passes in is mostly an echo of what it was told
    (from the link, or from its own memory, perhaps one run late). Sending an echo back would cost the whole value again
    and could undo what the hand is doing. So a wanted state counts as an order only if it is news: different from the
    last one wanted, from the last one returned and from what the browser reports now.
    """
    slot = st.session_state.setdefault(
        f"_{key}.{field}.sent", {"state": None, "nonce": 0, "wanted": None, "seen": None}
    )
    now = live(key, field)
    wanted = dict(wanted) if wanted else None

    def echo(known: dict[str, Any] | None) -> bool:
        return known is not None and all(known.get(k) == v for k, v in (wanted or {}).items())

    if slot["nonce"] == 0:
        slot.update(state=wanted or {}, nonce=1)
    elif wanted is not None and wanted != slot["wanted"] and not echo(slot["seen"]) and not echo(now):
        slot.update(state=wanted, nonce=slot["nonce"] + 1)
    elif now is None and slot["seen"] is not None:  # back on this page: the browser has forgotten, we have not
        slot.update(state=slot["seen"], nonce=slot["nonce"] + 1, seen=None)
    slot["wanted"] = wanted
    if now is not None:
        slot["seen"] = now
    return {"state": slot["state"], "nonce": slot["nonce"]}
