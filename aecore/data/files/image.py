"""Decodes one picture of any origin safely, and crops and resizes it."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from aecore.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
KINDS = "PNG, JPEG, WebP or GIF"
MAX_PIXELS = 64_000_000
"""Pictures with more pixels are not decoded: 64 million take 256 MB, more than the largest phone's photo."""

MAX_BYTES = 64 * 2**20


class Picture(NamedTuple):
    """An upright picture of mode L or RGB with 8 bits, and a note on what was done to get it."""

    image: Image.Image
    note: str = ""


def decode(raw: bytes, name: str, about: int | None = None) -> Picture:
    """The picture in these bytes.

    It is the first frame of an animation, turned upright by its EXIF orientation. Transparent parts are laid on white,
    16 bits are scaled to 8, CMYK and palettes become RGB.
    name: of the picture, for messages. about: the side in pixels that is wanted; a JPEG is then decoded at a smaller
    size, not below twice that, which is faster.
    Raises DataError for bytes that are not a picture of one of FORMATS, are damaged, or make too large a picture.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"{name} is larger than {MAX_BYTES // 2**20} MB. Make the picture smaller.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures, which are refused below
            return _decode(raw, name, about)
    except DataError:
        raise
    except Image.DecompressionBombError as e:
        raise _too_large(name) from e
    except Image.UnidentifiedImageError as e:
        raise DataError(f"{name} is not a picture. Save it as {KINDS}.") from e
    except MemoryError as e:
        raise DataError(f"{name} does not fit in memory. Make the picture smaller.") from e
    except Exception as e:  # damaged files make Pillow's readers raise nearly anything
        raise DataError(f"{name} is damaged. Save it again as {KINDS}.") from e


def _decode(raw: bytes, name: str, about: int | None) -> Picture:
    with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name)
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        if about and image.format == "JPEG":
            image.draft(None, (2 * about, 2 * about))
        image.load()
        upright = ImageOps.exif_transpose(image)
    plain = _plain(upright)
    plain.info.clear()  # removes the place, date and camera of a photo
    return Picture(plain, "only the first frame is used" if animated else "")


def _too_large(name: str) -> DataError:
    return DataError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels. Make the picture smaller.")


def _plain(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as 8-bit L or RGB; transparent parts become white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.clip(np.round(values / 257), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def fit(image: Image.Image, channels: int, height: int, width: int) -> np.ndarray:
    """The centre of a picture, cropped to the wanted proportions, resized with antialiasing.

    channels: 1 (grey, as Pillow's mode L) or 3. Returns (C, H, W) uint8.
    """
    w, h = image.size
    w, h = max(1, min(w, round(h * width / height))), max(1, min(h, round(w * height / width)))
    left, top = (image.width - w) // 2, (image.height - h) // 2
    # The picture is cropped first, because the filter of the resizing would reach over the edge of the crop.
    image = image.crop((left, top, left + w, top + h)).convert("L" if channels == 1 else "RGB")
    array = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(array[None] if channels == 1 else array.transpose(2, 0, 1))


def image(raw: bytes, shape: tuple[int, int, int], name: str = "The picture") -> np.ndarray:
    """One uploaded picture in the shape (C, H, W) of a model's images, uint8. Raises DataError."""
    C, H, W = shape
    if C not in (1, 3):
        raise DataError(f"A picture has 1 or 3 channels, but this model wants {C}. Choose a model for images.")
    return fit(decode(raw, name, about=max(H, W)).image, C, H, W)
