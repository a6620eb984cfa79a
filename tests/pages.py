"""Pages opened without a browser."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

ROOT = Path(__file__).resolve().parent.parent
MAIN = ROOT / "app/main.py"


def app_at(key: str = "gallery", query: dict[str, str | list[str]] | None = None, seconds: float = 60) -> AppTest:
    """The app about to open the page `key` by a link; `.run()` opens it.

    AppTest can switch to pages that are files; ours are functions, which Streamlit knows by the hash of their path.
    """
    at = AppTest.from_file(str(MAIN), default_timeout=seconds)
    at.query_params.update(query or {})
    at._page_hash = calc_hash("" if key == "gallery" else key)
    return at
