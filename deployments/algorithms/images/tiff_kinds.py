"""Kinds of TIFF files in words, for messages about those that are not read (TIFF 6.0, and libtiff's private tags)."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_BITS, _PHOTOMETRIC, _CHANNELS, _FORMAT = 258, 262, 277, 339
_COMPRESSIONS = {
    2: "CCITT run lengths, a fax code",
    3: "CCITT Group 3, a fax code",
    4: "CCITT Group 4, a fax code",
    6: "JPEG in the style of before 1995",
    32809: "ThunderScan",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of a DNG",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}
_FORMATS = {
    1: "unsigned integers",
    2: "signed integers",
    3: "floating-point numbers",
    5: "complex integers",
    6: "complex",
}
_COLOURS = {
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    32803: "a colour filter array, as in raw files",
    34892: "raw",
}


def compression_name(code: int) -> str:
    """Name a compression, such as `Zstandard (50000)`."""
    return f"{_COMPRESSIONS[code]} ({code})" if code in _COMPRESSIONS else f"number {code}"


def samples_name(data: bytes) -> str:
    """Name the samples of a file, such as `3 channels of 32 bits, floating-point numbers`. `data`: the file.

    Empty where the directory cannot be read.
    """
    tags = _first_directory(data)
    bits, kinds = _all(tags.get(_BITS, 1)), _all(tags.get(_FORMAT, 1))
    if not tags or not bits:
        return ""
    channels = tags.get(_CHANNELS, len(bits))
    each = " and ".join(str(depth) for depth in sorted(set(bits)))
    told = [f"{channels} {'channel' if channels == 1 else 'channels'} of {each} bits"]
    told += [_FORMATS[kind] for kind in sorted(set(kinds)) if kind in _FORMATS]
    told += [_COLOURS[tags[_PHOTOMETRIC]]] if tags.get(_PHOTOMETRIC) in _COLOURS else []
    return ", ".join(told)


def _first_directory(data: bytes) -> dict[int, Any]:
    directory = ImageFileDirectory_v2(data[:16] if data[2:3] == b"+" or data[3:4] == b"+" else data[:8])
    with suppress(OSError, SyntaxError, ValueError, TypeError, struct.error, OverflowError):
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        return {tag: directory[tag] for tag in (_BITS, _PHOTOMETRIC, _CHANNELS, _FORMAT) if tag in directory}
    return {}


def _all(values: Any) -> list[int]:
    return list(values) if isinstance(values, tuple) else [values]
