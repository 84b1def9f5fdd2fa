"""EXIF orientation of an image, the one thing needed of its EXIF block (TIFF 6.0, EXIF 2.32)."""

from __future__ import annotations

import struct

TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
_ORIENTATION = 274
_FORMATS = {1: "B", 3: "H", 4: "I"}


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
    """Read the single unsigned integers of the first directory, by tag. Raises `struct.error` when it is cut short."""
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    tags: dict[int, int] = {}
    for position in range(directory + 2, directory + 2 + 12 * count, 12):
        if position + 12 > len(data):
            break
        tag, kind, values = struct.unpack_from(order + "HHI", data, position)
        if kind in _FORMATS and values == 1:
            (value,) = struct.unpack_from(order + _FORMATS[kind], data, position + 8)
            tags.setdefault(tag, value)
    return tags
