"""The id of the current request, for logs and problem documents."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="none")
HARMLESS_ID = "[A-Za-z0-9._:-]{1,64}"
"""Regular expression of a client's `X-Request-ID` that is taken over."""


def request_id() -> str:
    return _request_id.get()


def is_request_id(text: str) -> bool:
    """Whether a client's `X-Request-ID` is harmless: 1 to 64 ASCII letters, digits and `._:-`."""
    return re.fullmatch(HARMLESS_ID, text) is not None


def adopt_request_id(sent: str | None) -> str:
    """Set the id of the request: take over the client's `X-Request-ID` when it is harmless, else make one."""
    value = sent if sent and is_request_id(sent) else uuid.uuid4().hex
    _request_id.set(value)
    return value
