"""A button that copies the page's address."""

from __future__ import annotations

from pathlib import Path

from app.browser.mount import register

_mount = register("copy_link", Path(__file__).parent)


def copy_link(key: str = "copy_link", label: str = "Copy link") -> None:
    """Copies the address of this page as it stands, and says so. Where the browser forbids it, the address is shown
    selected, ready to be copied by hand."""
    _mount(key=key, data={"label": label}, width="content")
