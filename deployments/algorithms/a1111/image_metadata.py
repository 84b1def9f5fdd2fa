"""Image files with their generation parameters: encoding and reading back."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal

from PIL import ExifTags, PngImagePlugin
from PIL import Image as PillowImage

from deployments.algorithms.images.header import read_header, read_webp_exif
from deployments.algorithms.images.jpeg import read_jpeg
from deployments.algorithms.images.png import read_png_texts
from deployments.contracts.arrays import Image
from deployments.errors import ImageError

FileFormat = Literal["png", "jpg", "webp"]
PARAMETERS = "parameters"
"""Key of the text that says how an image was made."""
MAX_TEXT_BYTES = 200_000
"""Bytes of UTF-8 that are read of all texts of one file together."""
_UNICODE, _ASCII = b"UNICODE\0", b"ASCII\0\0\0"
_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError),
    *(RuntimeError, MemoryError, struct.error, zlib.error, ImageError),
)


def encode_picture(image: Image, parameters: str = "", format: FileFormat = "png", quality: int = 80) -> bytes:
    """Encode an image with `parameters` in the text chunk of that name, or in the EXIF comment of a JPEG or WebP."""
    picture, file = PillowImage.fromarray(image), io.BytesIO()
    if format == "png":
        chunks = PngImagePlugin.PngInfo()
        if parameters:
            chunks.add_text(PARAMETERS, parameters)
        picture.save(file, "PNG", pnginfo=chunks, compress_level=4)
        return file.getvalue()
    exif = PillowImage.Exif()
    if parameters:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _UNICODE + parameters.encode("utf-16-be")
    if format == "jpg":
        picture.save(file, "JPEG", quality=quality, exif=exif, subsampling=0)
    else:
        picture.save(file, "WEBP", quality=quality, exif=exif.tobytes())
    return file.getvalue()


def read_texts(data: bytes) -> dict[str, str]:
    """Read the texts in an image file, 200 kB in all; `parameters` holds how it was made. No pixel is decoded.

    Empty for files that hold none, or that are damaged.
    """
    try:
        kind = read_header(data).content_type
        if kind == "image/png":
            return read_png_texts(data, MAX_TEXT_BYTES)
        if kind in {"image/jpeg", "image/webp"}:
            exif = PillowImage.Exif()
            exif.load(read_jpeg(data).exif if kind == "image/jpeg" else read_webp_exif(data))
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
            return {PARAMETERS: text} if (text := _comment(comment)) else {}
    except _ERRORS:
        return {}
    return {}


def _comment(value: object) -> str:
    if not isinstance(value, bytes):
        text = str(value or "")
    elif value.startswith(_UNICODE):
        text = value.removeprefix(_UNICODE)[: 2 * MAX_TEXT_BYTES].decode("utf-16-be", "replace")
    else:
        text = value.removeprefix(_ASCII)[:MAX_TEXT_BYTES].decode("utf-8", "replace")
    return text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
