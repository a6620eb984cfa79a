"""Chapter §5.2: adversarially learned inference, its hierarchy and its cycle."""

from __future__ import annotations

from ..entry import Entry

ENTRIES: tuple[Entry, ...] = ()
