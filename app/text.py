"""Escaping of text that people wrote: titles of runs, names of files and classes, messages that quote them."""

from __future__ import annotations

import html

MARKDOWN = frozenset(r"\`*_{}[]()<>#+-.!|~$:^")
"""Characters that Markdown, or Streamlit's dialect of it, may read as markup."""


def escape_markdown(text: str) -> str:
    """`text` as Markdown that shows exactly these characters."""
    return "".join("\\" + letter if letter in MARKDOWN else letter for letter in text)


def escape_html(text: str) -> str:
    """`text` as HTML that shows exactly these characters, inside of attributes too."""
    return html.escape(text)
