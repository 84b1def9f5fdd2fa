"""Identifiers that sort by creation time, so that primary keys double as page cursors."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Digits of Crockford's base 32: no letter that reads like a digit, and in ASCII order."""
_RANDOM_BITS = 68
_LENGTH = 26


def new_id(prefix: str) -> str:
    """Make an identifier: `<prefix>_` and 26 characters.

    They are 60 bits of time in units of 1/4096 ms, as in UUIDv7 (RFC 9562, method 3), then 68 random bits. The prefix
    (`img`, `alb`, `job`, ...) tells a reader of a log what it names.
    """
    ticks = time.time_ns() * 4096 // 1_000_000
    number = (ticks << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    digits = [_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_LENGTH))]
    return f"{prefix}_{''.join(digits)}"
