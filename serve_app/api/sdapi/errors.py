"""Errors as clients of the Stable Diffusion web API expect them; `/api/v1` has problem documents instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from deployments.errors import DarkroomError, Overloaded
from serve_app.services.sdapi.errors import FieldRefused, WebUiError, refused

log = structlog.get_logger(__name__)

PREFIXES = ("/sdapi/", "/controlnet/", "/internal/")
_RETRY_AFTER_S = 5

ErrorHandler = Callable[[Request, Exception], Response | Awaitable[Response]]


class WebUiProblem(BaseModel):
    """An error answer."""

    error: str
    """Name of the exception."""
    detail: str
    body: str
    errors: str


class FieldError(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class FieldErrors(BaseModel):
    """The answer to a request of the wrong form; or a `WebUiProblem`."""

    detail: list[FieldError] | str


def is_webui(path: str) -> bool:
    """Whether a path belongs to the web API."""
    return path.startswith(PREFIXES)


def not_authenticated() -> WebUiError:
    return refused(401, "Not authenticated")


def wrong_password() -> WebUiError:
    return refused(401, "Incorrect username or password")


def answer(error: DarkroomError | None) -> Response:
    """Build the answer to an error; None is a bug of ours, whose words stay in the log."""
    response = _answer(error)
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Darkroom"'
    return response


def _answer(error: DarkroomError | None) -> Response:
    if isinstance(error, FieldRefused):
        return JSONResponse({"detail": error.view()}, 422)
    if isinstance(error, WebUiError):
        if error.name == "HTTPException":
            return _body(error.http_status, error.name, detail=error.message)
        return _body(error.http_status, error.name, errors=error.message)
    if error is None:
        return _body(500, "InternalError", errors="Something broke on our side; the log has it.")
    response = _body(error.status, type(error).__name__, detail=error.message, errors=error.message)
    if error.status in {429, 503}:
        wait_s = error.retry_after_s if isinstance(error, Overloaded) else _RETRY_AFTER_S
        response.headers["Retry-After"] = str(wait_s)
    return response


def problem_error(problem: dict[str, Any]) -> Response:
    """Build the answer to a request whose job failed, out of the job's problem."""
    detail, name = str(problem.get("detail", "")), str(problem.get("name") or problem.get("title", "Error"))
    status = int(problem.get("status", 500))
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status in {429, 503} else {}
    response = _body(status, name.title().replace(" ", ""), detail=detail, errors=detail)
    response.headers.update(headers)
    return response


def _body(status: int, error: str, *, detail: str = "", errors: str = "") -> Response:
    return JSONResponse({"error": error, "detail": detail, "body": "", "errors": errors}, status)


def _on_darkroom_error(_: Request, error: Exception) -> Response:
    known = cast(DarkroomError, error)
    if known.is_fault:
        log.info("request failed", error=type(error).__name__, detail=known.message)
    return answer(known)


def _on_http_exception(request: Request, error: Exception) -> Response:
    known = cast(HTTPException, error)
    if isinstance(error.__cause__, DarkroomError):  # FastAPI calls whatever ends the reading of a body a malformed one
        return answer(error.__cause__)
    if known.status_code == 400:  # FastAPI, of a body that is no text
        entry = {"loc": ["body"], "msg": known.detail, "type": "value_error.jsondecode"}
        return JSONResponse({"detail": [entry]}, 422)
    if known.status_code == 405 or request.scope.get("endpoint") is None:
        return JSONResponse({"detail": known.detail}, known.status_code, dict(known.headers or {}))
    return _body(known.status_code, "HTTPException", detail=str(known.detail))


def _on_validation_error(_: Request, error: Exception) -> Response:
    told = []
    for entry in cast(RequestValidationError, error).errors():
        kind = "value_error.jsondecode" if entry["type"] == "json_invalid" else entry["type"]
        told.append({"loc": list(entry["loc"]), "msg": entry["msg"], "type": kind})
    return JSONResponse({"detail": told[:20]}, 422)


def install(app: FastAPI) -> None:
    """Install error handlers for the web API's paths; all others keep theirs."""
    ours: dict[type[Exception], ErrorHandler] = {
        DarkroomError: _on_darkroom_error,
        HTTPException: _on_http_exception,
        RequestValidationError: _on_validation_error,
    }
    for kind, handler in ours.items():
        app.add_exception_handler(kind, _by_path(handler, cast(ErrorHandler, app.exception_handlers[kind])))


def _by_path(webui: ErrorHandler, other: ErrorHandler) -> ErrorHandler:
    async def choose(request: Request, error: Exception) -> Response:
        chosen = webui if is_webui(request.url.path) else other
        response = chosen(request, error)
        return response if isinstance(response, Response) else await response

    return choose


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Build the OpenAPI entries for the error answers of a route."""
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": WebUiProblem, "description": "Error"} for status in statuses if status != 422
    }
    if 422 in statuses:
        described[422] = {"model": FieldErrors | WebUiProblem, "description": "Request of the wrong form"}
    return described
