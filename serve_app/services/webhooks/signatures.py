"""Signatures of webhooks by the Standard Webhooks specification (version 1): HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
"""Length of keys that the specification allows."""


def new_secret() -> str:
    """Make a secret as receivers' libraries want it: `whsec_` and a key in base 64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> str:
    """Check a secret of the user's own. Raises `ValueError`."""
    key = _key(secret)
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"a secret has {_LEAST_BYTES} to {_MOST_BYTES} bytes")
    return secret


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Make the headers of a message: its id, its time (seconds since 1970) and its signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise ValueError(f"a secret begins with {_PREFIX}")
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise ValueError(f"a secret is {_PREFIX} and a key in base 64") from error
