"""Chapter §5.1: autoencoders that share networks with a GAN."""

from __future__ import annotations

from ..entry import Entry

ENTRIES: tuple[Entry, ...] = ()
