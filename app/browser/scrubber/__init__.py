"""The scrubber: drag any unit of the code and the picture moves with the hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import streamlit as st

from app.browser.mount import live, nothing, register
from app.browser.pack import atlas, digest, memo, pack, pictures

_mount = register("scrubber", Path(__file__).parent)


class Move(TypedDict):
    """One unit was let go at a value."""

    unit: int  # row of `sheet`
    value: float  # one of the row's `values`, or its `home`


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
    """One row per unit with its film strip; dragging shows the frames at once, letting go reports the value.

    Arguments:
        sheet: (U, S, H, W) or (U, S, H, W, 3) uint8; `sheet[u, s]` is the code with only unit u changed to
            `values[u, s]`. Keep it under 4 MB and 16 units; page the rest.
        names: (U,) what to call the units, for instance "z3".
        values: (U, S) float, rising along each row.
        start: (U,) float, where each unit stands now.
        importance: (U,) float at least 0, or None; drawn as a bar.
        importance_label: what the bar measures, with its unit.
        home: (U,) where a double click (or the key 0) brings a unit; by default `start`.
        picture: (H, W) or (H, W, 3) uint8, the code as it stands, exactly; by default the nearest frame.
        alt: what the picture shows.
        on_change: called before the rerun; `st.session_state[key]["move"]` holds the move then.

    Returns: the move, once, in the run that its release started; None in all other runs. So this is safe::

        move = scrubber(sheet, names, values, z, key="traverse.scrub")
        if move:
            z[move["unit"]] = move["value"]
            st.rerun(scope="fragment")   # and the next run sends the sheet around the new code
    """
    sheet = np.ascontiguousarray(sheet)
    if sheet.ndim not in (4, 5):
        raise ValueError(f"sheet must have shape (U, S, H, W) or (U, S, H, W, 3), not {sheet.shape}")
    u, s = sheet.shape[:2]
    values = np.ascontiguousarray(values, np.float32)
    start = np.ascontiguousarray(start, np.float32)
    home = start if home is None else np.ascontiguousarray(home, np.float32)
    weight = None if importance is None else np.ascontiguousarray(importance, np.float32)
    for name, value, shape in (
        ("values", values, (u, s)),
        ("start", start, (u,)),
        ("home", home, (u,)),
        ("importance", weight, (u,)),
    ):
        if value is not None and (value.shape != shape or not np.isfinite(value).all()):
            raise ValueError(f"{name} must be finite numbers of shape {shape}, not of shape {value.shape}")
    if len(names) != u or u == 0 or s == 0:
        raise ValueError(f"{len(names)} names for {u} units of {s} frames; at least one of each is needed")
    tiles = pictures(sheet.reshape(u * s, *sheet.shape[2:]), "sheet")
    if picture is not None:
        tiles = np.concatenate([tiles, pictures(np.asarray(picture)[None], "picture")])

    settings = {
        "names": [str(name) for name in names],
        "steps": s,
        "importance_label": importance_label,
        "picture": picture is not None,
        "alt": alt or "Picture decoded from the code",
    }
    heard = (live(key, "move") or {}).get("seq", 0)
    name = digest(tiles, values, start, home, weight, settings, heard)

    def build() -> bytes:
        sections: dict[str, np.ndarray | bytes] = {"values": values, "start": start, "home": home}
        if weight is not None:
            sections["importance"] = weight
        sections["atlas"], meta = atlas(tiles)
        return pack(dict(settings, digest=name, heard=heard, atlas=meta), **sections)

    result = _mount(key=key, data=memo.get(f"scrubber:{name}", build), on_move_change=on_change or nothing)
    move = result.get("move")
    done = f"_{key}.move.done"
    if not move or move["seq"] == st.session_state.get(done):
        return None
    st.session_state[done] = move["seq"]
    unit = int(move["unit"])
    return Move(unit=unit, value=float(move["value"])) if 0 <= unit < u else None
