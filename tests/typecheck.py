"""When imported, before `aecore` is: types and shapes of the core's functions are checked from then on.

A wrong shape raises `jaxtyping.TypeCheckError`. Outside of tests the annotations cost nothing.
"""

from __future__ import annotations

from jaxtyping import install_import_hook

CHECKED = ("aecore.nn", "aecore.models", "aecore.measure", "aecore.inference", "aecore.explore")

# Of numbers, a whole one may stand for any (PEP 484).
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
