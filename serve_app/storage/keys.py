"""Keys of stored objects."""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}){0,7}")


def is_key(text: str) -> bool:
    """Whether a text may be a key: up to eight names of ASCII letters, digits and `._-`, none beginning with a dot."""
    return _KEY.fullmatch(text) is not None


def content_key(kind: str, sha256: str, suffix: str = "") -> str:
    """Build the key of an object from the SHA-256 of its content, or of its source: `originals/ab/cd/abcd...`.

    Raises `ValueError` when the parts make no key.
    """
    key = f"{kind}/{sha256[:2]}/{sha256[2:4]}/{sha256}{suffix}"
    if not is_key(key):
        raise ValueError("not the parts of a key")
    return key
