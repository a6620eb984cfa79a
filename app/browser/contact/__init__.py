"""A contact sheet: each example is a column of images with a line of text below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.browser.mount import no_callback, register
from app.browser.pack import as_images, atlas, digest, fit_atlas, memo, pack

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
    """Rows of images: originals, reconstructions, differences and the like. On a narrow page the rows wrap into bands.

    Arguments:
        rows: each (name, images), the images uint8 (N, H, W) or (N, H, W, 3), with the same N and size in all rows;
            grey and colour may be mixed.
        captions: (N,) a line of text under each example, or none.
        ids: (N,) int, the number that is reported for an example; by default its position.
        chosen: the id of the example that is marked.
        tile: smallest side of an image in CSS pixels; images grow up to twice this to fill the width.
        pick: what a click does, in words ("Show how it passes through"); "" if a click does nothing.
        alt: what the sheet shows, for screen readers.
        on_change: called before the rerun that follows a click; the id is `st.session_state[key]["pick"]`.

    Returns: the id that was clicked, in the run that the click started; None in all other runs.

    Raises ValueError if there is no example, or an image, an id or a caption is missing.
    """
    in_colour = any(np.ndim(images) == 4 for _, images in rows)
    images_of_rows = [
        as_images(np.repeat(images[..., None], 3, -1) if in_colour and np.ndim(images) == 3 else images)
        for _, images in rows
    ]
    shape = images_of_rows[0].shape
    n = shape[0]
    ids = list(range(n)) if ids is None else [int(i) for i in ids]
    complete = all(images.shape == shape for images in images_of_rows) and len(ids) == n and len(captions) in (0, n)
    if n == 0 or not complete:
        raise ValueError(
            "a contact sheet needs at least one example, and for each an image in every row, an id, a caption"
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
    tiles = np.concatenate(images_of_rows)
    name = digest(tiles, settings)

    def build() -> bytes:
        file, layout = atlas(fit_atlas(tiles))
        return pack(dict(settings, digest=name, atlas=layout), atlas=file)

    result = _mount(key=key, data=memo.get(f"contact:{name}", build), on_pick_change=on_change or no_callback)
    return result.get("pick")
