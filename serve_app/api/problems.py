"""Errors as `application/problem+json` (RFC 9457): one shape for everything that goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from deployments.errors import DarkroomError
from serve_app.api.context import request_id
from serve_app.api.problem_types import ProblemType, typical_of

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

_HINT = "a file part has a filename (curl: `-F file=@photo.jpg`, with the @)"
TEXT_FOR_FILE = f"the field `file` holds text, not a file: {_HINT}"
_TOO_LONG_FOR_TEXT = f"A part without a filename is text, and this one is too long for that: {_HINT}."
_NOT_A_FILE = "Expected UploadFile"
"""What FastAPI says of a text where a file should be."""
_PART_TOO_LONG = "Part exceeded maximum size"
"""How Starlette begins what it says of a part without a filename, which it takes for text, and which is too long."""
_RETRY_AFTER_S = 5


class Problem(BaseModel):
    """The body of every error answer; some carry more members."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "/problems/not-found",
                "title": "Not found",
                "status": 404,
                "detail": "There is no album 'summer'.",
                "instance": "urn:request:7f3c",
            }
        },
    )

    type: str = Field(description="`/problems/<slug>`, one for each kind of error")
    title: str
    status: int
    detail: str
    instance: str = Field(description="`urn:request:<id>`; the id is in the log and in the `X-Request-ID` header")


def problem(
    status: int, slug: str, title: str, detail: str, *, instance: str | None = None, **members: Any
) -> dict[str, Any]:
    body = {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail}
    return body | {"instance": instance or f"urn:request:{request_id()}"} | members


def document_of(kind: ProblemType) -> dict[str, Any]:
    """Make the example of a problem document of a type."""
    return problem(kind.status, kind.slug, kind.title, kind.example, instance="urn:request:7f3c")


def problem_of(error: DarkroomError) -> dict[str, Any]:
    """Make the problem document of an error."""
    members = {key: value for key, value in error.extra.items() if key not in {"status", "type", "title", "detail"}}
    return problem(error.status, error.slug, error.title, error.message, **members)


def unexpected_problem() -> dict[str, Any]:
    """Make the problem document of a bug: its message stays in the log."""
    return problem(
        500, "internal-error", "Internal error", "Something broke on our side; the log has it under this id."
    )


def problem_response(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a problem, and with `Retry-After` or `WWW-Authenticate` where its status asks for it."""
    more = dict(headers or {})
    if body["status"] in {429, 503}:
        more.setdefault("Retry-After", str(body.get("retry_after_s", _RETRY_AFTER_S)))
    if body["status"] == 401:
        more.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(body, status_code=body["status"], headers=more, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Make the OpenAPI entries for the problem answers of a route."""
    entry = {"model": Problem, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return {status: entry | {"description": "Problem"} for status in statuses}  # `openapi` says more


async def _on_darkroom_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, DarkroomError)  # noqa: S101 - how Starlette types a handler
    if error.is_fault:
        log.warning("request failed", slug=error.slug, detail=error.message)
    return problem_response(problem_of(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if isinstance(error.__cause__, DarkroomError):  # FastAPI calls whatever ends the reading of a body a malformed one
        return await _on_darkroom_error(request, error.__cause__)
    # FastAPI says 400 where a body cannot be parsed at all; to clients that is one more malformed request.
    status = 422 if error.status_code == 400 else error.status_code
    kind = typical_of(status)
    slug, title = ("error", "Error") if kind is None else (kind.slug, kind.title)
    detail = _TOO_LONG_FOR_TEXT if str(error.detail).startswith(_PART_TOO_LONG) else str(error.detail)
    headers = dict(error.headers or {})
    if "GET" in (allowed := headers.get("Allow", "").split(", ")):
        headers["Allow"] = ", ".join([*allowed, "HEAD"])
    return problem_response(problem(status, slug, title, detail), headers)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        {
            "pointer": "/" + "/".join(str(part) for part in entry["loc"][1:]),
            "in": entry["loc"][0],
            "detail": TEXT_FOR_FILE if _NOT_A_FILE in entry["msg"] else entry["msg"],
        }
        for entry in error.errors()
    ]
    first = errors[0] if errors else {"pointer": "/", "in": "body", "detail": "unreadable"}
    detail = f"{first['in']} {first['pointer']}: {first['detail']}"
    return problem_response(problem(422, "invalid-request", "Invalid request", detail, errors=errors[:20]))


def install(app: FastAPI) -> None:
    app.add_exception_handler(DarkroomError, _on_darkroom_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
