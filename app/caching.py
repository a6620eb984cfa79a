"""The one door to Streamlit's caches: values that are kept between reruns and shared by all visitors.

What is remembered is copied at each use, so a page may change it. What is shared is the object itself, which nobody may
change in place.
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from aecore import Run


def weights_stamp(run: Run) -> tuple[str, float]:
    """Tells the weights of one run from all others: its folder, and when the weights were written."""
    file = run.path / "weights.safetensors"
    return str(run.path), file.stat().st_mtime if file.exists() else 0.0


remember = partial(st.cache_data, show_spinner=False, hash_funcs={Run: weights_stamp})
"""Keep the results of a function by its arguments; a run as an argument counts by its weights."""

share = partial(st.cache_resource, show_spinner=False)
"""Keep one object for each set of arguments, for all visitors."""
