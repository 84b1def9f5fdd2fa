"""Image files of strangers: bounded by their header before a pixel is decoded, and sent on without metadata of places
and cameras."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from dataclasses import dataclass

from PIL import Image, ImageOps

from errors import Refusal

Image.init()  # otherwise Pillow knows some formats only after it has seen one
_TAKEN = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_MADE = {"PNG": ("image/png", "png"), "JPEG": ("image/jpeg", "jpg"), "WEBP": ("image/webp", "webp")}
_SIDE_PX = 1536
"""Longest side of the image that is sent on: enough for faces and about what image models return."""
_MAX_MADE_PIXELS = 4096 * 4096
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""Errors that Pillow raises over damaged files."""
_decoding = threading.Lock()
"""Lock of the decoder: fifty million pixels take half a gigabyte, so requests decode theirs one after another."""


@dataclass(frozen=True)
class Made:
    """An image file that a model made."""

    data: bytes
    content_type: str
    ending: str


def normalise(data: bytes, max_pixels: int) -> bytes:
    """Convert an image file to an upright JPEG of its first frame, at most 1536 pixels a side, without metadata.

    Raises `Refusal`: 413 too many pixels, 415 no image type that is taken, 400 a damaged file.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=_TAKEN)
    except Image.DecompressionBombError:
        raise _too_many(max_pixels) from None
    except _BROKEN:
        message = "The file is no JPEG, PNG, WebP, GIF or BMP picture, or its start is damaged."
        raise Refusal(415, message, "unsupported-type") from None
    with picture:
        if picture.width * picture.height > max_pixels:
            raise _too_many(max_pixels)
        try:
            with _decoding:
                picture.draft("RGB", (_SIDE_PX, _SIDE_PX))
                picture.thumbnail((_SIDE_PX, _SIDE_PX))
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
        except (*_BROKEN, Image.DecompressionBombError):
            raise Refusal(400, "The picture is damaged or incomplete.", "corrupt") from None
    white = Image.new("RGBA", upright.size, "white")
    file = io.BytesIO()
    Image.alpha_composite(white, upright).convert("RGB").save(file, "JPEG", quality=92)
    return file.getvalue()


def read_made(data: bytes) -> Made:
    """Read the image that a model made, typed by its bytes. Raises `ValueError` where it is none, or not whole."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_MADE)) as picture:
            if picture.width * picture.height > _MAX_MADE_PIXELS:
                raise ValueError("too large")
            with _decoding:
                picture.load()
            return Made(data, *_MADE[str(picture.format)])
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise ValueError("no picture") from error


def _too_many(max_pixels: int) -> Refusal:
    return Refusal(413, f"The picture has more than {max_pixels / 1e6:.3g} million pixels.", "too-large")
