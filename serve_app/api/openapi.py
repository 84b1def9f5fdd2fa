"""The OpenAPI document, completed: answers that every route may give, and an example of each error."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serve_app.api.problem_types import ProblemType, load_problem_types, typical_of
from serve_app.api.problems import MEDIA_TYPE, document_of
from serve_app.api.sdapi.errors import is_webui

_SAFE_METHODS = frozenset({"get", "head", "options"})
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_WEBUI_PROBLEM = {"$ref": "#/components/schemas/WebUiProblem"}
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")
"""Schemas of FastAPI's errors, which no route answers with."""


def complete(app: FastAPI) -> None:
    """Let the application's OpenAPI document tell what the middlewares answer too, with an example of each error."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return app.openapi_schema or _complete(generate())  # FastAPI keeps what it generates, and so this

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            for status in _guarded(method, operation):
                responses.setdefault(str(status), {})
            for status, response in responses.items():
                if status.isdecimal() and int(status) >= 400:
                    _describe(response, int(status), method, is_webui(path))
            operation["responses"] = dict(sorted(responses.items()))
    for name in _FASTAPIS_OWN:
        document["components"]["schemas"].pop(name, None)
    return document


def _guarded(method: str, operation: dict[str, Any]) -> list[int]:
    """Statuses of `browsers.BrowserGuard`."""
    if method in _SAFE_METHODS:
        return [421]
    return [403, 415, 421] if "requestBody" in operation else [403, 421]


def _describe(response: dict[str, Any], status: int, method: str, of_webui: bool) -> None:
    """Give an error answer its description, schema and example."""
    kind = typical_of(status)
    if kind is None:
        return
    if status == 403 and method not in _SAFE_METHODS:
        kind = load_problem_types()["cross-origin"]
    response["description"] = kind.title
    if not of_webui:
        response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM, "example": document_of(kind)}}
        return
    content = response.setdefault("content", {}).setdefault("application/json", {})
    content.setdefault("schema", _WEBUI_PROBLEM)
    content["example"] = _of_webui(kind)


def _of_webui(kind: ProblemType) -> dict[str, Any]:
    if kind.status == 422:
        field = {"loc": ["body", "steps"], "msg": "Input should be a valid integer", "type": "int_parsing"}
        return {"detail": [field]}
    name = kind.title.title().replace(" ", "")
    return {"error": name, "detail": kind.example, "body": "", "errors": kind.example}
