"""Chapter §4.3: autoencoders whose codes form clusters."""

from __future__ import annotations

from ..entry import Entry

ENTRIES: tuple[Entry, ...] = ()
