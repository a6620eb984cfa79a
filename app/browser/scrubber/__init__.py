"""The scrubber: drag any unit of the code, and the decoded image follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import streamlit as st

from app.browser.mount import live, no_callback, register
from app.browser.pack import as_images, atlas, digest, memo, pack

_mount = register("scrubber", Path(__file__).parent)


class Move(TypedDict):
    """The unit that was dragged, and the value at which it was let go."""

    unit: int  # its row in `sheet`
    value: float  # one of its `values`, or its `home`


def scrubber(
    sheet: np.ndarray,
    names: Sequence[str],
    values: np.ndarray,
    start: np.ndarray,
    *,
    key: str,
    importance: np.ndarray | None = None,
    importance_label: str = "KL, nats",
    home: np.ndarray | None = None,
    picture: np.ndarray | None = None,
    alt: str = "",
    on_change: Callable[[], None] | None = None,
) -> Move | None:
    """A film strip for each unit of the code. Dragging along it shows its frames at once, letting go reports the value.

    Arguments:
        sheet: (U, S, H, W) or (U, S, H, W, 3) uint8; `sheet[u, s]` is decoded from the code in which only unit u is
            changed, to `values[u, s]`. Keep it below 4 MB and 16 units, and show more units on further pages.
        names: (U,) of the units, for instance "z3".
        values: (U, S) float, rising along each row.
        start: (U,) float, the code: the present value of each unit.
        importance: (U,) float at least 0, drawn as bars, or None.
        importance_label: what the bars measure, with its unit.
        home: (U,) float, the value to which a double click or the key 0 returns a unit; by default `start`.
        picture: (H, W) or (H, W, 3) uint8, the image decoded from the code itself; by default the nearest frame.
        alt: what the image shows, for screen readers.
        on_change: called before the rerun; then `st.session_state[key]["move"]` holds the move.

    Returns: the move, in the run that the user started by letting go; None in all other runs. So this is safe::

        move = scrubber(sheet, names, values, z, key="traverse.scrub")
        if move:
            z[move["unit"]] = move["value"]
            st.rerun(scope="fragment")   # the next run sends the sheet around the new code

    Raises ValueError for arrays of other shapes or with numbers that are not finite.
    """
    sheet = np.ascontiguousarray(sheet)
    if sheet.ndim not in (4, 5):
        raise ValueError(f"sheet must have shape (U, S, H, W) or (U, S, H, W, 3), not {sheet.shape}")
    u, s = sheet.shape[:2]
    values = np.ascontiguousarray(values, np.float32)
    start = np.ascontiguousarray(start, np.float32)
    home = start if home is None else np.ascontiguousarray(home, np.float32)
    importance = None if importance is None else np.ascontiguousarray(importance, np.float32)
    for name, value, shape in (
        ("values", values, (u, s)),
        ("start", start, (u,)),
        ("home", home, (u,)),
        ("importance", importance, (u,)),
    ):
        if value is not None and (value.shape != shape or not np.isfinite(value).all()):
            raise ValueError(f"{name} must be finite numbers of shape {shape}, not of shape {value.shape}")
    if len(names) != u or u == 0 or s == 0:
        raise ValueError(f"{len(names)} names for {u} units of {s} frames; at least one of each is needed")
    tiles = as_images(sheet.reshape(u * s, *sheet.shape[2:]), "sheet")
    if picture is not None:
        tiles = np.concatenate([tiles, as_images(np.asarray(picture)[None], "picture")])

    settings = {
        "names": [str(name) for name in names],
        "steps": s,
        "importance_label": importance_label,
        "picture": picture is not None,
        "alt": alt or "Picture decoded from the code",
    }
    heard = (live(key, "move") or {}).get("seq", 0)
    name = digest(tiles, values, start, home, importance, settings, heard)

    def build() -> bytes:
        sections: dict[str, np.ndarray | bytes] = {"values": values, "start": start, "home": home}
        if importance is not None:
            sections["importance"] = importance
        sections["atlas"], layout = atlas(tiles)
        return pack(dict(settings, digest=name, heard=heard, atlas=layout), **sections)

    result = _mount(key=key, data=memo.get(f"scrubber:{name}", build), on_move_change=on_change or no_callback)
    move = result.get("move")
    answered = f"_{key}.move.done"  # the number of the last move that was returned
    if not move or move["seq"] == st.session_state.get(answered):
        return None
    st.session_state[answered] = move["seq"]
    unit = int(move["unit"])
    return Move(unit=unit, value=float(move["value"])) if 0 <= unit < u else None
