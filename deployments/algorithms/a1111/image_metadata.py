"""Image files with their generation parameters: encoding and reading back."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal

from PIL import ExifTags, PngImagePlugin
from PIL import Image as PillowImage
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from deployments.algorithms.images.header import read_header
from deployments.contracts.arrays import Image
from deployments.errors import ImageError

FileFormat = Literal["png", "jpg", "webp"]
PARAMETERS = "parameters"
"""Key of the text that says how an image was made."""
_MAX_TEXT = 200_000
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
    """Read the texts in a file that is known to be an image; `parameters` holds how it was made. Nothing else is
    read."""
    try:
        kind = read_header(data).content_type
        if kind == "image/png":
            png = PngImageFile(io.BytesIO(data))
            png.load()
            return {str(key)[:100]: str(value)[:_MAX_TEXT] for key, value in png.text.items()}
        if kind in {"image/jpeg", "image/webp"}:
            opener = JpegImageFile if kind == "image/jpeg" else WebPImageFile
            comment = opener(io.BytesIO(data)).getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
            return {PARAMETERS: text} if (text := _comment(comment)) else {}
    except _ERRORS:
        return {}
    return {}


def _comment(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)[:_MAX_TEXT] if value else ""
    if value.startswith(_UNICODE):
        return value.removeprefix(_UNICODE).decode("utf-16-be", "replace")[:_MAX_TEXT]
    return value.removeprefix(_ASCII).decode("utf-8", "replace")[:_MAX_TEXT]
