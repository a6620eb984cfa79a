"""Pack arrays and images into one bytes value, and many small images into one atlas.

Streamlit passes a component either JSON or a single bytes value; bytes inside a dict would arrive as a string. So
everything that a component needs is sent as one value: a header and the raw sections after it.

Layout::

    bytes 0..3   length of the header, unsigned, little endian
    header       JSON, UTF-8: {"meta": {...}, "sections": [{name, dtype, shape, offset, nbytes}, ...]}
    zeros        up to the next multiple of 8: here the body starts
    body         raw sections, little endian, each at `offset` (a multiple of 8) from the body's start
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from cachetools import LRUCache
from PIL import Image

ALIGNMENT = 8
LARGEST_SIDE = 8192
"""Pixels per side of an image; some browsers do not draw larger ones."""

DTYPES = ("uint8", "int32", "uint32", "float32", "float64")
"""The types for which JavaScript has typed arrays. Others are refused, so that no number is converted silently."""


def _aligned(n: int) -> int:
    return (n + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def pack(meta: dict[str, Any], **sections: np.ndarray | bytes) -> bytes:
    """Pack `meta` and the named `sections` into one bytes value, in this order.

    Arguments:
        meta: names, sizes, state and other small things that JSON can hold.
        sections: numpy arrays of a type in `DTYPES` and of any shape, also empty ones, or bytes (dtype "bytes").

    Returns: the packed value, which is read by `unpack` here or by `unpack` in shared/component.js.

    Raises TypeError for an array of another type, ValueError for NaN or infinity in `meta`.

    Example:
        >>> meta, parts = unpack(pack({"n": 2}, points=np.zeros((2, 2), np.float32), png=b"..."))
        >>> parts["points"].shape, parts["png"]
        ((2, 2), b'...')
    """
    table, body, offset = [], [], 0
    for name, value in sections.items():
        if isinstance(value, (bytes, bytearray)):
            raw, dtype, shape = bytes(value), "bytes", [len(value)]
        else:
            array = np.asarray(value)
            if array.dtype.name not in DTYPES:
                raise TypeError(f"section {name!r} is {array.dtype.name}; allowed: {', '.join(DTYPES)} or bytes")
            little = array.dtype.newbyteorder("<")
            raw, dtype, shape = array.astype(little, copy=False).tobytes(), array.dtype.name, list(array.shape)
        table.append({"name": name, "dtype": dtype, "shape": shape, "offset": offset, "nbytes": len(raw)})
        body.append(raw + bytes(_aligned(len(raw)) - len(raw)))
        offset += _aligned(len(raw))
    header = json.dumps({"meta": meta, "sections": table}, allow_nan=False, separators=(",", ":")).encode()
    start = _aligned(4 + len(header))
    return b"".join([len(header).to_bytes(4, "little"), header, bytes(start - 4 - len(header)), *body])


def unpack(value: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray | bytes]]:
    """The inverse of `pack`: (meta, {name: array or bytes})."""
    length = int.from_bytes(value[:4], "little")
    header = json.loads(value[4 : 4 + length])
    start, parts = _aligned(4 + length), {}
    for row in header["sections"]:
        raw = value[start + row["offset"] : start + row["offset"] + row["nbytes"]]
        if row["dtype"] == "bytes":
            parts[row["name"]] = raw
        else:
            dtype = np.dtype(row["dtype"]).newbyteorder("<")
            parts[row["name"]] = np.frombuffer(raw, dtype).reshape(row["shape"]).astype(row["dtype"])
    return header["meta"], parts


def as_images(images: np.ndarray, name: str = "images") -> np.ndarray:
    """Check that `images` are uint8 of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3).

    Returns: a contiguous array (N, H, W) or (N, H, W, 3).

    Raises TypeError for another type and ValueError for another shape; `name` names the argument in the message.
    """
    images = np.ascontiguousarray(images)
    if images.dtype != np.uint8:
        raise TypeError(f"{name} must be uint8 (0 black, 255 white), not {images.dtype.name}")
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3):
        return images
    raise ValueError(f"{name} must have shape (N, H, W) or (N, H, W, 3), not {images.shape}")


def atlas(images: np.ndarray, columns: int | None = None) -> tuple[bytes, dict[str, int]]:
    """Put many small images into one PNG file. Tile k is image k, and the tiles fill it row by row.

    Arguments:
        images: uint8 (N, H, W) or (N, H, W, 3).
        columns: tiles in a row; by default about as many as make the atlas square, within `LARGEST_SIDE`.

    Returns: the PNG file, and {"n", "columns", "rows", "height", "width", "channels"}; tile k has its top left corner
    at ((k % columns) * width, (k // columns) * height).

    Raises ValueError if the images do not fit; `fit_atlas` shrinks them so that they do.

    The PNG has the lowest compression: 5,000 MNIST digits take 0.15 s and 0.96 MB. The fastest lossless WebP takes more
    than twice as long and is no smaller; a slower one is smaller by a fifth.
    """
    images = as_images(images)
    meta = atlas_layout(images.shape, columns)
    n, h, w = images.shape[:3]
    channels, rows, columns = images.shape[3:], meta["rows"], meta["columns"]
    full = np.zeros((rows * columns, h, w, *channels), np.uint8)
    full[:n] = images
    sheet = full.reshape(rows, columns, h, w, *channels).swapaxes(1, 2).reshape(rows * h, columns * w, *channels)
    return png(sheet), meta


def atlas_layout(shape: tuple[int, ...], columns: int | None = None) -> dict[str, int]:
    """The layout of an atlas of images of shape (N, H, W[, 3]), as `atlas` returns it."""
    n, h, w = shape[:3]
    if n == 0 or h == 0 or w == 0:
        raise ValueError("an atlas needs at least one image of at least one pixel")
    most_columns = LARGEST_SIDE // w
    columns = int(min(most_columns, n, max(1, round((n * h / w) ** 0.5)))) if columns is None else int(columns)
    rows = -(-n // columns) if columns > 0 else 0
    if not 1 <= columns <= most_columns or rows * h > LARGEST_SIDE:
        raise ValueError(
            f"{n} images of {w} x {h} pixels do not fit {LARGEST_SIDE} x {LARGEST_SIDE}; use fewer or smaller ones"
        )
    channels = shape[3] if len(shape) > 3 else 1
    return {"n": n, "columns": columns, "rows": rows, "height": h, "width": w, "channels": channels}


def fit_atlas(images: np.ndarray, largest_tile: int = 128, budget: int = 24_000_000) -> np.ndarray:
    """Shrink `images` by averaging if a side exceeds `largest_tile` pixels or all together exceed `budget` bytes."""
    images = as_images(images)
    n, h, w = images.shape[:3]
    scale = min(1.0, largest_tile / max(h, w), (budget / max(images.size, 1)) ** 0.5)
    scale = min(scale, (LARGEST_SIDE**2 * 0.9 / max(n * h * w, 1)) ** 0.5)
    if scale >= 1:
        return images
    size = (max(1, int(w * scale)), max(1, int(h * scale)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def png(image: np.ndarray, compress_level: int = 1) -> bytes:
    """A uint8 image (H, W) or (H, W, 3) as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(out, "PNG", compress_level=compress_level)
    return out.getvalue()


def digest(*values: Any) -> str:
    """A hash of the contents of `values`: of arrays their type, shape and bytes, of other objects their repr."""
    total = hashlib.blake2b(digest_size=12)
    for value in values:
        if isinstance(value, np.ndarray):
            total.update(f"{value.dtype}{value.shape}".encode())
            total.update(np.ascontiguousarray(value).data)
        elif isinstance(value, (bytes, bytearray)):
            total.update(b"bytes%d:" % len(value))
            total.update(value)
        elif isinstance(value, (list, tuple)):
            total.update(f"[{len(value)}".encode() + digest(*value).encode())
        else:
            total.update(f"{type(value).__name__}:{value!r};".encode())
    return total.hexdigest()


class Memo:
    """A cache of bytes by name, which drops the least recently used ones beyond `limit` bytes.

    It keeps reruns from encoding the same images again. All visitors share it, which is safe because a name is derived
    from the content and bytes cannot be changed. A value that is larger than the limit is not kept.
    """

    def __init__(self, limit: int = 96 * 2**20):
        self.store: LRUCache[str, bytes] = LRUCache(limit, getsizeof=len)
        self.lock = threading.Lock()

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The value called `name`; `make()` provides it if it is not in the cache."""
        with self.lock:
            if name in self.store:
                return self.store[name]
        value = make()
        with self.lock, suppress(ValueError):  # larger than the limit
            return self.store.setdefault(name, value)
        return value


memo = Memo()


def cached_atlas(images: np.ndarray) -> tuple[bytes, dict[str, int]]:
    """`atlas` with a cache, for components whose other contents change while the images stay the same."""
    file = memo.get(f"atlas:{digest(images)}", lambda: atlas(images)[0])
    return file, atlas_layout(as_images(images).shape)
