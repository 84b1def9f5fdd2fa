"""Type and size of an image file, read from its header without decoding a pixel.

The type comes from the first bytes, never from a name or a header of the request. Sizes are those of the stored
image, before any turn. Files that would keep a decoder busy with something other than pixels (millions of segments,
hundreds of scans, a grid of thousands of tiles) are refused here, so that the decoders see only plausible ones.

Layouts: GIF89a, BMP (wingdi.h), WebP container (RFC 9649), TIFF 6.0 and BigTIFF (libtiff's design); the others have a
module each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from deployments.algorithms.images.exif import BIG_TIFF_SIGNATURES, TIFF_SIGNATURES, exif_orientation, tiff_tags
from deployments.algorithms.images.heif import read_heif
from deployments.algorithms.images.jpeg import read_jpeg
from deployments.algorithms.images.png import PNG_SIGNATURE, read_png
from deployments.algorithms.images.tiff_kinds import compression_name
from deployments.errors import ImageError, image_error

MAX_WEBP_CHUNKS = 2_000
"""Chunks of a WebP file searched for its EXIF block."""
MAX_GIF_BLOCKS = 50_000
"""Sub-blocks of extensions before the first frame: 12 MB of comments."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Type and stored size of an image file."""

    content_type: str
    width: int
    height: int
    turn: int = 1
    """EXIF orientation, 1 to 8, that a decoder of this type leaves to its caller. See `decoding` for the others."""
    decoded_pixels: int = 0
    """Pixels that the decoder must hold or produce in all, where that differs from width x height."""


def read_header(data: bytes) -> ImageHeader:
    """Read type and stored size of an image file.

    Raises `ImageError`: `empty`, `unsupported_type`, or `corrupt` where the header is cut or contradicts itself.
    """
    if not data:
        raise image_error("empty", "The file is empty")
    try:
        header = _read(data)
    except (struct.error, IndexError) as error:
        raise _corrupt("its header is cut short") from error
    if header.width < 1 or header.height < 1:
        raise _corrupt("its header gives no size")
    return header


def _read(data: bytes) -> ImageHeader:
    if data.startswith(b"\xff\xd8\xff"):
        found = read_jpeg(data)
        return ImageHeader("image/jpeg", found.width, found.height, turn=exif_orientation(found.exif))
    if data.startswith(PNG_SIGNATURE):
        width, height, exif = read_png(data)
        return ImageHeader("image/png", width, height, turn=exif_orientation(exif))
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _read_webp(data)
    if data.startswith(TIFF_SIGNATURES + BIG_TIFF_SIGNATURES):
        return _read_tiff(data)
    if data[4:8] == b"ftyp" and (heif := read_heif(data)):
        return ImageHeader(heif.content_type, heif.width, heif.height, decoded_pixels=heif.decoded_pixels)
    if data.startswith(b"BM") and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADERS:
        return _read_bmp(data)
    raise image_error("unsupported_type", "The file is not a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF picture")


def _corrupt(reason: str) -> ImageError:
    return image_error("corrupt", f"The file is damaged: {reason}")


# GIF


def _read_gif(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    flags = data[10]
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    blocks = 0
    while data[position] == 0x21:
        position += 2
        while length := data[position]:
            position += 1 + length
            blocks += 1
            if blocks > MAX_GIF_BLOCKS:
                raise _corrupt("it has too many blocks before its picture")
        position += 1
        blocks += 1
    if data[position] != 0x2C:
        raise _corrupt("it holds no picture")
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, position + 1)
    return ImageHeader("image/gif", max(width, left + frame_width), max(height, top + frame_height))


# WebP


def _read_webp(data: bytes) -> ImageHeader:
    kind, payload = data[12:16], data[20:30]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(payload[4:7], "little")
        height = 1 + int.from_bytes(payload[7:10], "little")
        turn = exif_orientation(read_webp_exif(data)) if payload[0] & 0x08 else 1
        return ImageHeader("image/webp", width, height, turn=turn)
    if kind == b"VP8L":
        if payload[0] != 0x2F:
            raise _corrupt("its signature is wrong")
        (bits,) = struct.unpack_from("<I", payload, 1)
        return ImageHeader("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        if payload[3:6] != b"\x9d\x01\x2a":
            raise _corrupt("its signature is wrong")
        width, height = struct.unpack_from("<HH", payload, 6)
        return ImageHeader("image/webp", width & 0x3FFF, height & 0x3FFF)
    raise _corrupt("its first chunk is unknown")


def read_webp_exif(data: bytes) -> bytes:
    """Read the EXIF block of a WebP file, a TIFF directory; empty where there is none."""
    position = 12
    for _ in range(MAX_WEBP_CHUNKS):
        if position + 8 > len(data):
            return b""
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
        position += 8 + length + (length & 1)
    return b""


# BMP

_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_BMP_RLE = frozenset({1, 2})
MAX_RLE_BYTES, MAX_RLE_PIXELS = 2 * 2**20, 8_000_000
"""Run-length BMPs are decoded in pure Python, byte by byte: these take about a second."""


def _read_bmp(data: bytes) -> ImageHeader:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return ImageHeader("image/bmp", width, height)
    width, height = struct.unpack_from("<ii", data, 18)
    (compression,) = struct.unpack_from("<I", data, 30)
    if compression in _BMP_RLE and (len(data) > MAX_RLE_BYTES or abs(width * height) > MAX_RLE_PIXELS):
        raise image_error("unsupported_type", "Run-length encoded BMP files of this size are not supported")
    return ImageHeader("image/bmp", width, abs(height))


# TIFF

_TIFF_COMPRESSIONS = frozenset({1, 5, 7, 8, 32773, 32946})
"""None, LZW, JPEG, Deflate, PackBits, old Deflate. Not the fax codes: they hold no photographs, and libtiff writes a
line to the log for every line of a damaged one."""


def _read_tiff(data: bytes) -> ImageHeader:
    if data.startswith(b"MM\0+"):
        raise image_error("unsupported_type", "BigTIFF files in big-endian byte order are not supported")
    tags = tiff_tags(data)
    if tags.get(259, 1) not in _TIFF_COMPRESSIONS:
        kind = compression_name(tags[259])
        raise image_error("unsupported_type", f"TIFF files with this compression are not supported: {kind}")
    width, height = tags.get(256, 0), tags.get(257, 0)
    tile = tags.get(322, 0) * tags.get(323, 0)
    return ImageHeader("image/tiff", width, height, decoded_pixels=max(width * height, tile))
