"""Chapter §2: autoencoders trained layer by layer, then as a whole."""

from __future__ import annotations

from ..entry import Entry

ENTRIES: tuple[Entry, ...] = ()
