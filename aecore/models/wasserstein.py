"""Chapter §5.3: Wasserstein autoencoders (Eq. 21)."""

from __future__ import annotations

from ..entry import Entry

ENTRIES: tuple[Entry, ...] = ()
