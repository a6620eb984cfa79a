"""A random token that the browser keeps and by which a visitor is recognised. It is not a login."""

from __future__ import annotations

import re
from pathlib import Path

from app import streamlit_internals
from app.browser.mount import no_callback, register

_mount = register("identity", Path(__file__).parent)
_TOKEN = re.compile(r"[0-9a-f]{32}")


def identity(key: str = "identity") -> str | None:
    """The browser's token: 32 hexadecimal digits, created once by the browser at random and kept in localStorage.

    Returns: the token, or None in the first run of a session, before the browser has answered; a rerun follows by
    itself. Whoever knows the token can act as its owner, so never show it and never put it in a link.
    """
    result = _mount(key=key, data={"soon": streamlit_internals.figure_script()}, on_token_change=no_callback)
    token = result.get("token")
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
