"""A button that copies the page's address."""

from __future__ import annotations

from pathlib import Path

from app.browser.mount import register

_mount = register("copy_link", Path(__file__).parent)


def copy_link(key: str = "copy_link", label: str = "Copy link") -> None:
    """Show a button that copies the address of the page as it is at the click.

    Where the browser forbids copying, the address is shown and selected, to be copied by hand.
    """
    _mount(key=key, data={"label": label}, width="content")
