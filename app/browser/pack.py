"""Arrays and pictures as one bytes value, and many small pictures as one atlas.

Streamlit hands a component either JSON or one top-level bytes value; bytes inside a dict would arrive as a string. So
everything a component needs travels as a header and raw sections in one value, which crosses the wire once.

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
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

ALIGNMENT = 8
LARGEST_SIDE = 8192
"""Pixels a side: above this, some browsers refuse to draw a picture at all."""

DTYPES = ("uint8", "int32", "uint32", "float32", "float64")
"""What JavaScript has a typed array for; other number types are refused rather than changed silently."""


def _aligned(n: int) -> int:
    return (n + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def pack(meta: dict[str, Any], **sections: np.ndarray | bytes) -> bytes:
    """One bytes value holding `meta` (JSON) and the named `sections`, in order.

    Arguments:
        meta: anything JSON can hold; small things (names, sizes, state).
        sections: numpy arrays of a type in `DTYPES`, any shape (0 elements allowed), or bytes (dtype "bytes").

    Returns: the packed value; `unpack` here, or `unpack` in shared/common.js, reads it.

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
    """The inverse of `pack`: (meta, {name: array or bytes}). For tests and for reading in Python."""
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


def pictures(images: np.ndarray, name: str = "images") -> np.ndarray:
    """`images` as a contiguous uint8 array (N, H, W) or (N, H, W, 3); TypeError or ValueError says what is wrong."""
    images = np.ascontiguousarray(images)
    if images.dtype != np.uint8:
        raise TypeError(f"{name} must be uint8 (0 black, 255 white), not {images.dtype.name}")
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3):
        return images
    raise ValueError(f"{name} must have shape (N, H, W) or (N, H, W, 3), not {images.shape}")


def atlas(images: np.ndarray, columns: int | None = None) -> tuple[bytes, dict[str, int]]:
    """Many small pictures as one PNG: tile k is image k, filled row by row.

    Arguments:
        images: uint8 (N, H, W) or (N, H, W, 3).
        columns: tiles in a row; by default close to a square, so that no side passes `LARGEST_SIDE`.

    Returns: the PNG file, and {"n", "columns", "rows", "height", "width", "channels"}; tile k has its top left corner
    at ((k % columns) * width, (k // columns) * height).

    Raises ValueError when the pictures cannot fit (`fit_atlas` shrinks them until they do).

    PNG at the lowest compression: 5,000 MNIST digits take 0.15 s and 0.96 MB; the fastest lossless WebP is more than
    twice as slow and no smaller, a slower one saves a fifth.
    """
    images = pictures(images)
    meta = atlas_layout(images.shape, columns)
    n, h, w = images.shape[:3]
    channels, rows, columns = images.shape[3:], meta["rows"], meta["columns"]
    full = np.zeros((rows * columns, h, w, *channels), np.uint8)
    full[:n] = images
    sheet = full.reshape(rows, columns, h, w, *channels).swapaxes(1, 2).reshape(rows * h, columns * w, *channels)
    return png(sheet), meta


def atlas_layout(shape: tuple[int, ...], columns: int | None = None) -> dict[str, int]:
    """Where the tiles of an atlas of pictures (N, H, W[, 3]) lie; see `atlas`."""
    n, h, w = shape[:3]
    if n == 0 or h == 0 or w == 0:
        raise ValueError("an atlas needs at least one picture of at least one pixel")
    most = LARGEST_SIDE // w
    columns = int(min(most, n, max(1, round((n * h / w) ** 0.5)))) if columns is None else int(columns)
    rows = -(-n // columns) if columns > 0 else 0
    if not 1 <= columns <= most or rows * h > LARGEST_SIDE:
        raise ValueError(
            f"{n} pictures of {w} x {h} pixels do not fit {LARGEST_SIDE} x {LARGEST_SIDE}; use fewer or smaller ones"
        )
    channels = shape[3] if len(shape) > 3 else 1
    return {"n": n, "columns": columns, "rows": rows, "height": h, "width": w, "channels": channels}


def fit_atlas(images: np.ndarray, largest_tile: int = 128, budget: int = 24_000_000) -> np.ndarray:
    """`images`, shrunk by averaging if a tile is larger than `largest_tile` or all of them pass `budget` bytes."""
    images = pictures(images)
    n, h, w = images.shape[:3]
    scale = min(1.0, largest_tile / max(h, w), (budget / max(images.size, 1)) ** 0.5)
    scale = min(scale, (LARGEST_SIDE**2 * 0.9 / max(n * h * w, 1)) ** 0.5)
    if scale >= 1:
        return images
    size = (max(1, int(w * scale)), max(1, int(h * scale)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def png(image: np.ndarray, compress_level: int = 1) -> bytes:
    """A uint8 picture (H, W) or (H, W, 3) as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(out, "PNG", compress_level=compress_level)
    return out.getvalue()


def digest(*values: Any) -> str:
    """A short name for what `values` contain (arrays by type, shape and every byte; other things by repr)."""
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
    """Remembers the latest results by name, so that a rerun does not encode the same pictures again.

    Shared by all visitors: the stored values are immutable bytes, named by their content.
    """

    def __init__(self, limit: int = 96 * 2**20):
        self.limit, self.held, self.lock = limit, 0, threading.Lock()
        self.store: OrderedDict[str, bytes] = OrderedDict()

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The value called `name`, made now if it is not held; the oldest go when `limit` bytes are passed."""
        with self.lock:
            if name in self.store:
                self.store.move_to_end(name)
                return self.store[name]
        value = make()
        with self.lock:
            if name not in self.store:
                self.store[name] = value
                self.held += len(value)
            while self.held > self.limit and len(self.store) > 1:
                self.held -= len(self.store.popitem(last=False)[1])
        return value


memo = Memo()


def kept_atlas(images: np.ndarray) -> tuple[bytes, dict[str, int]]:
    """`atlas`, whose PNG is remembered: what lies over the same pictures may change many times."""
    layout: dict[str, int] = {}

    def make() -> bytes:
        sheet, found = atlas(images)
        layout.update(found)
        return sheet

    sheet = memo.get(f"atlas:{digest(images)}", make)
    return sheet, layout or atlas_layout(images.shape)
