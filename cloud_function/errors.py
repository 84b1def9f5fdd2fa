"""Error answers of the function, and the deadline of a request."""

from __future__ import annotations

import time

QUOTA_RETRY_S = 30
"""Seconds after which to try again: Google's quotas count by the minute."""


class Refusal(Exception):
    """An error answer; `message` is for the client and names no key, path, host or vendor's words."""

    def __init__(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


class Deadline:
    """Deadline of one request, all of its calls together."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises `Refusal` (504) when there are none."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise too_late()
        return left


def too_late() -> Refusal:
    """Make the refusal of a missed deadline."""
    return Refusal(504, "The picture was not ready in time; try again.", "timeout")


def unsafe() -> Refusal:
    """Make the refusal by the model's safety filter."""
    return Refusal(422, "The safety filter of the image model refused the picture.", "refused")


def malformed(vendor: str) -> Refusal:
    """Make the refusal over a vendor's answer that makes no sense."""
    return Refusal(502, f"{vendor} sent an answer that makes no sense.", "upstream")


def unreachable(vendor: str) -> Refusal:
    """Make the refusal over a vendor that cannot be reached."""
    return Refusal(502, f"{vendor} cannot be reached.", "upstream")


def no_credentials(vendor: str) -> Refusal:
    """Make the refusal over missing or unusable credentials."""
    return Refusal(502, f"The function has no usable Google credentials for {vendor}.", "credentials")


def of_status(vendor: str, status: int) -> Refusal:
    """Translate a Google service's HTTP status for the client."""
    if status == 429:
        headers = {"Retry-After": str(QUOTA_RETRY_S)}
        return Refusal(429, f"The quota of {vendor} is used up for the moment.", "quota", headers)
    if status in (408, 504):
        return too_late()
    if status in (401, 403):
        return no_credentials(vendor)
    return Refusal(502, f"{vendor} failed.", "upstream")
