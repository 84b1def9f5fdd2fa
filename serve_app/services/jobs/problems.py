"""Problem documents (RFC 9457) as jobs and the history keep them."""

from __future__ import annotations

from typing import Any

from deployments.errors import DarkroomError


def problem_members(error: DarkroomError, instance: str | None = None) -> dict[str, Any]:
    """Make the RFC 9457 members of an error. `instance`: the URN of the job or request."""
    members: dict[str, Any] = {
        **error.extra,
        "type": f"/problems/{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
    }
    return members | ({"instance": instance} if instance else {})
