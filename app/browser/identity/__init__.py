"""Who is looking: a random token kept by the browser, not a login."""

from __future__ import annotations

import re
from pathlib import Path

from app.browser.mount import nothing, register
from app.streamlit_internals import figure_script

_mount = register("identity", Path(__file__).parent)
_TOKEN = re.compile(r"[0-9a-f]{32}")


def identity(key: str = "identity") -> str | None:
    """The browser's token: 32 hexadecimal digits, made once with the browser's random numbers and kept in localStorage.

    Returns: the token, or None in the first run of a session, before the browser has answered (a rerun follows by
    itself). Whoever knows the token is its owner, so never show it or put it in a link.
    """
    result = _mount(key=key, data={"soon": figure_script()}, on_token_change=nothing)
    token = result.get("token")
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
