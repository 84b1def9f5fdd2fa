"""Chunks of a PNG file (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from deployments.errors import image_error

MAX_CHUNKS = 50_000
"""Chunks read at most. A 20 MB file in the 8 kB chunks that libpng writes has 2,500."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_KEYWORD_BYTES = 79
"""Longest keyword that the standard allows."""
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


def count_png_frames(data: bytes) -> int:
    """Count the frames that an animated PNG holds, by the chunk that begins each; a default image that is no frame does
    not count. Raises `ImageError` (`corrupt`) for a file of too many chunks."""
    return sum(kind == b"fcTL" for kind, _, _ in _chunks(data))


def read_png_texts(data: bytes, max_bytes: int) -> dict[str, str]:
    """Read the text chunks by keyword, wherever they stand, without a pixel; `max_bytes` of text in all, then no more.

    Damaged chunks are left out. Raises `ImageError` (`corrupt`) for a file of too many chunks.
    """
    texts: dict[str, str] = {}
    left = max_bytes
    for kind, start, end in _chunks(data):
        if kind not in _TEXTS or left <= 0:
            continue
        try:
            keyword, text = _read_text(kind, data[start + 8 : end - 4], left)
        except (zlib.error, ValueError):
            continue
        texts[keyword] = text.encode(errors="replace")[:left].decode(errors="ignore")
        left -= len(keyword) + len(texts[keyword].encode())
    return texts


def _read_text(kind: bytes, body: bytes, max_bytes: int) -> tuple[str, str]:
    """Split a text chunk into keyword and text, unpacked to `max_bytes`. Raises `ValueError`, `zlib.error`."""
    keyword, _, rest = body.partition(b"\0")
    encoding, is_packed = "latin-1", kind == b"zTXt"
    if kind == b"iTXt":
        encoding, is_packed = "utf-8", rest[:1] == b"\1"
        _language, _translated, rest = rest[2:].split(b"\0", 2)
    elif is_packed:
        rest = rest[1:]
    text = zlib.decompressobj().decompress(rest, max_bytes) if is_packed else rest[:max_bytes]
    return keyword[:_KEYWORD_BYTES].decode("latin-1"), text.decode(encoding, "replace")


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
