"""Segments of a JPEG file before its pixels (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from deployments.errors import image_error

MAX_SEGMENTS = 2_000
"""Segments read at most. 20 MB of metadata in the largest segments are 320."""
MAX_SCANS = 100
"""Scans allowed. Encoders write about 10 into a progressive file; each costs a pass over all coefficients."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_START_OF_SCAN, _END_OF_IMAGE, _EXIF_SEGMENT, _COMMENT = 0xDA, 0xD9, 0xE1, 0xFE
_END = b"\xff\xd9"
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_OTHER_BITS = b"\xaa" * 300
"""Bits unlike the zeros that a decoder makes up. Ones will not do: a bad code counts as zero."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Stored size and EXIF block of a JPEG file."""

    width: int
    height: int
    exif: bytes
    """The first EXIF block, a TIFF directory; empty where there is none."""


def read_jpeg(data: bytes) -> JpegHeader:
    """Read the size and EXIF block of a JPEG.

    Raises `ImageError` (`corrupt`), `struct.error` or `IndexError` for a file that ends early or never begins.
    """
    width, height, components, progressive, exif = 0, 0, 0, False, b""
    for marker, start, end in _segments(data):
        if marker in _START_OF_FRAME:
            height, width, components = struct.unpack_from(">HHB", data, start + 1)
            progressive = marker in _PROGRESSIVE
        elif marker == _EXIF_SEGMENT and data.startswith(b"Exif\0\0", start):
            exif = exif or data[start + 6 : end]
        elif marker == _START_OF_SCAN:
            if (progressive or data[start] < components) and _has_too_many_scans(data, end):
                raise image_error("corrupt", "The file is damaged: it has too many scans")
            return JpegHeader(width, height, exif)
    raise image_error("corrupt", "The file is damaged: it ends before the picture begins")


def jpeg_picture_only(data: bytes) -> bytes:
    """Strip a JPEG's metadata except its colours (JFIF, ICC, Adobe), so that no decoder parses the rest."""
    kept = [data[:2]]
    for marker, start, end in _segments(data):
        if marker == _START_OF_SCAN:
            kept.append(data[start - 4 :])
        elif _matters(data, marker, start):
            kept.append(data[start - 4 : end])
    return b"".join(kept)


def lacks_end(data: bytes) -> bool:
    """Tell whether no end marker follows the beginning of a JPEG's first scan."""
    return data.find(_END, _first_scan(data)) < 0


def with_ends(data: bytes) -> tuple[bytes, bytes]:
    """Complete a JPEG that lacks its end marker: by the marker alone, and by other bits and the marker.

    A decoder makes up what a scan lacks, and leaves alone what follows a whole one. So the two show the same image
    exactly if nothing but the marker is missing. Raises `ImageError` (`corrupt`) where whole scans are missing.
    """
    whole = data.removesuffix(b"\xff")  # the first half of the marker
    if not _scans_are_complete(whole):
        raise image_error("corrupt", "The file is damaged: it ends before the picture does")
    other = _OTHER_BITS
    restarts = _RESTART.findall(whole, _first_scan(whole))
    if restarts:  # where the next interval begins, or a decoder takes the bits for rubbish before it
        other += bytes((0xFF, 0xD0 + (restarts[-1][1] + 1) % 8)) + _OTHER_BITS
    return whole + _END, whole + other + _END


def _first_scan(data: bytes) -> int:
    """Find the payload of the first scan's header; the end of the file where there is none."""
    return next((start for marker, start, _ in _segments(data) if marker == _START_OF_SCAN), len(data))


def _scans_are_complete(data: bytes) -> bool:
    """Tell whether the scans of a JPEG bring all 64 coefficients of every component to their last bit."""
    frame = next(((marker, start) for marker, start, _ in _segments(data) if marker in _START_OF_FRAME), None)
    if frame is None:
        return False
    missing = {data[frame[1] + 6 + 3 * place]: (1 << 64) - 1 for place in range(data[frame[1] + 5])}
    first = _first_scan(data)
    for start in (first, *(at for marker, at, _ in _later_segments(data, first) if marker == _START_OF_SCAN)):
        components = data[start]
        lowest, highest, bits = data[start + 1 + 2 * components : start + 4 + 2 * components]
        if frame[0] not in _PROGRESSIVE:
            lowest, highest, bits = 0, 63, 0
        if bits & 15 == 0:
            for place in range(components):
                missing[data[start + 1 + 2 * place]] &= ~((2 << highest) - (1 << lowest))
    return not any(missing.values())


def _matters(data: bytes, marker: int, start: int) -> bool:
    if not 0xE0 <= marker <= 0xEF:
        return marker != _COMMENT
    return data.startswith((b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"), start)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate (marker, start, end) of the payload of each segment, the first scan's header last."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0:
            return
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _END_OF_IMAGE:
            return
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, position + 2, position + length
        if marker == _START_OF_SCAN:
            return
        position += max(2, length)
    raise image_error("corrupt", "The file is damaged: it has too many segments")


def _has_too_many_scans(data: bytes, position: int) -> bool:
    scans = 1
    for place, (marker, _, _) in enumerate(_later_segments(data, position)):
        scans += marker == _START_OF_SCAN
        if scans > MAX_SCANS or place >= MAX_SEGMENTS:
            return True
    return False


def _later_segments(data: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    """Iterate (marker, start, end) of the payload of each segment behind the first scan's header, up to the end
    marker."""
    while (found := _NEXT_MARKER.search(data, position)) and (marker := data[found.start() + 1]) != _END_OF_IMAGE:
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
        yield marker, found.end() + 2, position
