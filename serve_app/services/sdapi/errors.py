"""Errors that clients of the Stable Diffusion web API know by their wording."""

from __future__ import annotations

from typing import Any

from deployments.errors import DarkroomError


class WebUiError(DarkroomError):
    """An error in the wording of AUTOMATIC1111. `extra` holds `name`, its exception's name there, and `status`."""

    slug, title = "web-ui-error", "The request failed"

    @property
    def name(self) -> str:
        return str(self.extra.get("name", "HTTPException"))

    @property
    def http_status(self) -> int:
        return int(self.extra.get("status", 500))


class FieldRefused(DarkroomError):
    """An invalid field. `extra` holds `field`, its path in the body."""

    slug, title, status = "invalid-request", "Invalid request", 422

    def view(self) -> list[dict[str, Any]]:
        """List the error as FastAPI lists validation errors."""
        return [{"loc": ["body", *self.extra.get("field", [])], "msg": self.message, "type": "value_error"}]


def refused(status: int, detail: str) -> WebUiError:
    """Build an error that the original raises on purpose."""
    return WebUiError(detail, extra={"status": status})


def broken(name: str, errors: str) -> WebUiError:
    """Build the answer of the original to an exception `name` that escapes it: status 500."""
    return WebUiError(errors, extra={"status": 500, "name": name})


def bad_field(message: str, *field: str | int) -> FieldRefused:
    """Build the error of one field; `field` is its path in the body."""
    return FieldRefused(message, extra={"field": list(field)})
