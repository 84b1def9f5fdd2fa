"""Chunks of a PNG file (W3C PNG, third edition)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from deployments.errors import image_error

MAX_CHUNKS = 50_000
"""Chunks read at most. A 20 MB file in the 8 kB chunks that libpng writes has 2,500."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"sRGB", b"IDAT", b"IEND"})
_ANIMATION = _PICTURE | {b"acTL", b"fcTL", b"fdAT"}


def read_png(data: bytes) -> tuple[int, int, bytes]:
    """Read width, height and EXIF block (a TIFF directory, or empty). Raises `ImageError` (`corrupt`) or
    `struct.error`."""
    if data[12:16] != b"IHDR":
        raise image_error("corrupt", "The file is damaged: its first chunk is not a header")
    width, height = struct.unpack_from(">II", data, 16)
    exif = next((data[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind == b"eXIf"), b"")
    return width, height, exif


def png_picture_only(data: bytes, *, frames: bool = False) -> bytes:
    """Strip a PNG's text, time stamps and, unless they are wanted, later animation frames, which a decoder would unpack
    too."""
    wanted = _ANIMATION if frames else _PICTURE
    kept = (data[start:end] for kind, start, end in _chunks(data) if kind in wanted)
    return b"".join((PNG_SIGNATURE, *kept))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Iterate (kind, start, end) of each chunk, its length and check sum included; the last may be cut short."""
    position = len(PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        end = min(position + 12 + length, len(data))
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end
    raise image_error("corrupt", "The file is damaged: it has too many chunks")
