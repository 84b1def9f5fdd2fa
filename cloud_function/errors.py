"""What the function answers instead of a picture."""

from __future__ import annotations

import time

QUOTA_RETRY_S = 30
"""Google's quotas count by the minute."""


class Refusal(Exception):
    """An answer that is no picture; `message` is for the client and names no key, path, host or vendor's words."""

    def __init__(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


class Deadline:
    """The seconds that one request has, all of its calls together."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        """Raises `Refusal` (504) when nothing is left."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise too_late()
        return left


def too_late() -> Refusal:
    return Refusal(504, "The picture was not ready in time; try again.", "timeout")


def unsafe() -> Refusal:
    return Refusal(422, "The safety filter of the image model refused the picture.", "refused")


def malformed(vendor: str) -> Refusal:
    return Refusal(502, f"{vendor} sent an answer that makes no sense.", "upstream")


def unreachable(vendor: str) -> Refusal:
    return Refusal(502, f"{vendor} cannot be reached.", "upstream")


def no_credentials(vendor: str) -> Refusal:
    return Refusal(502, f"The function has no usable Google credentials for {vendor}.", "credentials")


def of_status(vendor: str, status: int) -> Refusal:
    """What a Google service's HTTP status means for our client."""
    if status == 429:
        headers = {"Retry-After": str(QUOTA_RETRY_S)}
        return Refusal(429, f"The quota of {vendor} is used up for the moment.", "quota", headers)
    if status in (408, 504):
        return too_late()
    if status in (401, 403):
        return no_credentials(vendor)
    return Refusal(502, f"{vendor} failed.", "upstream")
