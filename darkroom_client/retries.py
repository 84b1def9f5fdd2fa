"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from uuid import uuid4

_STILL_BEING_ANSWERED = 409
"""Status of a repeated POST whose first try is still being answered, or was lost a moment ago."""

MAY_PASS = frozenset({429, 502, 503, 504})
"""Statuses with which a stream of events was not opened, and may be a little later."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is tried, and the longest pause between two tries, seconds."""

    tries: int = 6
    longest_pause_s: float = 30.0


def key_for(method: str, path: str) -> dict[str, str]:
    """Make the header that lets a POST be repeated.

    Those about albums may be repeated anyway, and answers that hold a key or a secret are not kept by the server.
    """
    if method != "POST" or path.startswith(("/albums/", "/users", "/webhooks")):
        return {}
    return {"Idempotency-Key": uuid4().hex}


def may_repeat(method: str, path: str, has_key: bool) -> bool:
    """Whether sending the request twice does no more than sending it once."""
    return method == "GET" or has_key or (method == "POST" and path.startswith("/albums/"))


def may_pass(status: int, attempt: int, is_repeatable: bool, has_key: bool) -> bool:
    """Whether the reason of a refusal may be gone a little later. A 503 can mean that the answer was lost.

    `attempt`: how many tries were made before this one.
    """
    if status == _STILL_BEING_ANSWERED:
        return attempt > 0 and has_key
    return status == 429 or (status == 503 and is_repeatable)


def pause_s(retry_after: str | None, attempt: int, longest_s: float) -> float:
    """Seconds before another try: what the server says and up to a quarter more, else growing and drawn at random."""
    if retry_after is not None and retry_after.isdecimal():
        return min(float(retry_after), longest_s) * random.uniform(1.0, 1.25)
    return random.uniform(0.5, 1.0) * min(2.0**attempt, longest_s)
