"""ICC profiles for tests, built by hand (ICC.1:2010): primaries, one curve, and any name."""

from __future__ import annotations

import struct
from collections.abc import Sequence

P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
"""Primaries red, green and blue as XYZ under D50."""
_D50 = (0.9642, 1.0, 0.8249)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def rgb_profile(name: str, primaries: Sequence[Sequence[float]] = SRGB, gamma: float | None = None) -> bytes:
    """Build a profile for RGB; `gamma` None: sRGB's own curve, 1: linear light."""
    columns = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), (*primaries, _D50), strict=False)}
    return _profile(b"RGB ", name, columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma)))


def grey_profile(name: str, gamma: float | None = None) -> bytes:
    """Build a profile for grey images."""
    return _profile(b"GRAY", name, {b"kTRC": _curve(gamma)})


def _profile(space: bytes, name: str, colours: dict[bytes, bytes]) -> bytes:
    text = name.encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz(_D50), **colours}
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        value += bytes(-len(value) % 4)
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value
    head = struct.pack(">I", at + len(body)) + b"\0\0\0\0\x04\x30\0\0mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    return (head + bytes(28) + _xyz(_D50)[8:]).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _curve(gamma: float | None) -> bytes:
    kind, values = (3, _SRGB_CURVE) if gamma is None else (0, (gamma,))
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
