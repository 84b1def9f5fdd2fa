"""Identifiers that sort by creation time, so that primary keys double as page cursors."""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Digits of Crockford's base 32: no letter that reads like a digit, and in ASCII order."""
_RANDOM_BITS = 68
_LENGTH = 26
_FACE_LENGTH = 13
_FACE = re.compile(rf"fac_([{_ALPHABET}]{{{_FACE_LENGTH}}})")


def new_id(prefix: str) -> str:
    """Make an identifier: `<prefix>_` and 26 characters.

    They are 60 bits of time in units of 1/4096 ms, as in UUIDv7 (RFC 9562, method 3), then 68 random bits. The prefix
    (`img`, `alb`, `job`, ...) tells a reader of a log what it names.
    """
    ticks = time.time_ns() * 4096 // 1_000_000
    number = (ticks << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    digits = [_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_LENGTH))]
    return f"{prefix}_{''.join(digits)}"


def public_face_id(number: int) -> str:
    """Write the number of a face as clients know it: `fac_` and 13 characters."""
    return f"fac_{''.join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_FACE_LENGTH)))}"


def face_number(public_id: str) -> int | None:
    """Read the number of a face from its public id; None: it is none."""
    match = _FACE.fullmatch(public_id)
    if match is None:
        return None
    number = 0
    for digit in match[1]:
        number = number * 32 + _ALPHABET.index(digit)
    return number if number < 2**63 else None
