"""Errors that clients of the Stable Diffusion web API know by their wording."""

from __future__ import annotations

from typing import Any

from deployments.errors import DarkroomError


class WebUiError(DarkroomError):
    """`extra` holds `name`, that of the exception which the original would have raised, and `status`."""

    slug, title = "web-ui-error", "The request failed"

    @property
    def name(self) -> str:
        return str(self.extra.get("name", "HTTPException"))

    @property
    def http_status(self) -> int:
        return int(self.extra.get("status", 500))


class FieldRefused(DarkroomError):
    """A field that is not what it must be. `extra` holds `field`, its path in the body."""

    slug, title, status = "invalid-request", "Invalid request", 422

    def view(self) -> list[dict[str, Any]]:
        return [{"loc": ["body", *self.extra.get("field", [])], "msg": self.message, "type": "value_error"}]


def refused(status: int, detail: str) -> WebUiError:
    """What the original says on purpose."""
    return WebUiError(detail, extra={"status": status})


def broken(name: str, errors: str) -> WebUiError:
    """What the original answers when `name` escapes it: status 500."""
    return WebUiError(errors, extra={"status": 500, "name": name})


def bad_field(message: str, *field: str | int) -> FieldRefused:
    return FieldRefused(message, extra={"field": list(field)})
