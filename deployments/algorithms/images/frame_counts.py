"""Counts of frames and pages, read from a file's own structure before a decoder is asked for any of them.

What a header announces counts for nothing: an animated PNG may claim two thousand million frames in twenty kilobytes.
Each count costs a step for a block, chunk or directory that lies in the file, and decodes nothing.

Layouts: GIF89a, PNG (W3C, third edition), TIFF 6.0 and BigTIFF (libtiff's design).
"""

from __future__ import annotations

import struct

from deployments.algorithms.images.exif import BIG_TIFF_SIGNATURES
from deployments.errors import image_error

MAX_FRAMES = 2_000
"""Frames or pages that are looked at. Each costs about a millisecond however small it is, as much as 100,000 pixels:
so many take some three seconds. Over a minute of animation, or the scan of a long book."""
MAX_TIFF_ENTRIES = 200_000
"""Entries of all directories of a TIFF that are looked at: a hundred a page. Directories may lie over one another, so
that the size of the file bounds neither their number nor their length."""


def gif_frames(data: bytes) -> list[int]:
    """Read how many pixels the canvas has at each frame of a GIF: it grows where a frame reaches beyond it."""
    width, height = struct.unpack_from("<HH", data, 6)
    at, end, canvases = 13 + _palette_bytes(data[10]), len(data), []
    while at < end and data[at] != 0x3B:
        if data[at] == 0x21:
            at = _behind_blocks(data, at + 2)
        elif data[at] == 0x2C and at + 10 < end:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            width, height = max(width, left + wide), max(height, top + high)
            canvases.append(width * height)
            at = _behind_blocks(data, at + 11 + _palette_bytes(flags))
        else:
            at += 1  # as Pillow does
    return canvases


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    end = len(data)
    while at < end and data[at]:
        at += 1 + data[at]
    return at + 1


def check_png_frames(announced: int, found: int) -> None:
    """Raise `ImageError` (`corrupt`) unless an animated PNG has as many frames as it says. Viewers differ in what they
    show of one that has more or fewer."""
    if announced != found:
        raise image_error("corrupt", f"The file is damaged: it announces {announced} frames and holds {found}")


def tiff_pages(data: bytes) -> tuple[int, bool]:
    """Count the directories of a TIFF, thumbnails among them, up to where the chain ends or comes back to one of its
    own; -> count, and whether all of them may be looked at (`MAX_FRAMES`, `MAX_TIFF_ENTRIES`).

    Raises `struct.error` when the header is cut short.
    """
    order = "<" if data.startswith(b"II") else ">"
    at, offset, number, entry = (8, "Q", "Q", 20) if data.startswith(BIG_TIFF_SIGNATURES) else (4, "I", "H", 12)
    (directory,) = struct.unpack_from(order + offset, data, at)
    head, seen, entries = struct.calcsize(order + number), set[int](), 0
    while directory and directory not in seen:
        seen.add(directory)
        if directory + head > len(data):
            break
        (count,) = struct.unpack_from(order + number, data, directory)
        entries += count
        following = directory + head + count * entry
        if following + struct.calcsize(order + offset) > len(data):
            break
        (directory,) = struct.unpack_from(order + offset, data, following)
    return len(seen), len(seen) <= MAX_FRAMES and entries <= MAX_TIFF_ENTRIES
