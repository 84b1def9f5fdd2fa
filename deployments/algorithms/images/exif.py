"""EXIF orientation of an image, the one thing needed of its EXIF block (TIFF 6.0, EXIF 2.32)."""

from __future__ import annotations

import struct

TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
BIG_TIFF_SIGNATURES = (b"II+\0", b"MM\0+")
_ORIENTATION = 274
_FORMATS = {1: "B", 3: "H", 4: "I"}
_BIG_FORMATS = {**_FORMATS, 16: "Q"}


def exif_orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from a block of EXIF data (a TIFF directory); 1 where there is none or it is
    damaged."""
    if not exif.startswith(TIFF_SIGNATURES):
        return 1
    try:
        orientation = tiff_tags(exif).get(_ORIENTATION, 1)
    except struct.error:
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def tiff_tags(data: bytes) -> dict[int, int]:
    """Read the single unsigned integers of the first directory of a TIFF or BigTIFF, by tag.

    Raises `struct.error` when it is cut short.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = data.startswith(BIG_TIFF_SIGNATURES)
    at, offset, number, count_of = (8, "Q", "Q", "Q") if big else (4, "I", "H", "I")
    formats = _BIG_FORMATS if big else _FORMATS
    (directory,) = struct.unpack_from(order + offset, data, at)
    if directory > len(data):
        raise struct.error("the first directory lies behind the end")
    (count,) = struct.unpack_from(order + number, data, directory)
    entry = order + "HH" + count_of
    value_at, first = struct.calcsize(entry), directory + struct.calcsize(order + number)
    size = value_at + struct.calcsize(order + offset)
    tags: dict[int, int] = {}
    for position in range(first, min(first + size * count, len(data) - size + 1), size):
        tag, kind, values = struct.unpack_from(entry, data, position)
        if kind in formats and values == 1:
            (value,) = struct.unpack_from(order + formats[kind], data, position + value_at)
            tags.setdefault(tag, value)
    return tags
