"""A contact sheet: each example a column of pictures, one under the other, with a line of text below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.browser.mount import nothing, register
from app.browser.pack import atlas, digest, fit_atlas, memo, pack, pictures

_mount = register("contact", Path(__file__).parent)


def contact(
    rows: Sequence[tuple[str, np.ndarray]],
    *,
    key: str,
    captions: Sequence[str] = (),
    ids: Sequence[int] | None = None,
    chosen: int | None = None,
    tile: int = 92,
    pick: str = "",
    alt: str = "",
    on_change: Callable[[], None] | None = None,
) -> int | None:
    """Originals, reconstructions, differences …: row after row, wrapping to bands where the page is narrow.

    Arguments:
        rows: (name, pictures uint8 (N, H, W) or (N, H, W, 3)), N and size the same in all; grey
            and colour may be mixed.
        captions: (N,) a line under each example.
        ids: (N,) int, what is reported for an example; by default its position.
        chosen: the id that is marked.
        tile: the smallest side of a picture in CSS pixels; it grows to fill the width, up to twice that.
        pick: what a click does, in words ("Show how it passes through"); "" where a click does nothing.
        alt: what the sheet shows.
        on_change: called before the rerun that follows a click; the id is `st.session_state[key]["pick"]`.

    Returns: the id clicked, once, in the run that the click started; else None.
    """
    grey = all(np.ndim(images) == 3 for _, images in rows)
    every = [
        pictures(images if grey or np.ndim(images) == 4 else np.repeat(images[..., None], 3, -1)) for _, images in rows
    ]
    n = len(every[0])
    ids = list(range(n)) if ids is None else [int(i) for i in ids]
    if (
        n == 0
        or any(images.shape != every[0].shape for images in every)
        or len(ids) != n
        or len(captions) not in (0, n)
    ):
        raise ValueError(
            "a contact sheet needs at least one example, and for each a picture in every row, an id, a caption"
        )
    settings = {
        "rows": [str(name) for name, _ in rows],
        "captions": [str(text) for text in captions],
        "ids": ids,
        "chosen": chosen,
        "tile": tile,
        "pick": pick,
        "alt": alt or "Contact sheet",
    }
    tiles = np.concatenate(every)
    name = digest(tiles, settings)

    def build() -> bytes:
        sheet, meta = atlas(fit_atlas(tiles))
        return pack(dict(settings, digest=name, atlas=meta), atlas=sheet)

    return _mount(key=key, data=memo.get(f"contact:{name}", build), on_pick_change=on_change or nothing).get("pick")
