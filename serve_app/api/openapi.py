"""The OpenAPI documents, ours and that of the Stable Diffusion web API, completed with what FastAPI does not tell.

That is: answers that every route may give, a summary of each operation in words, an example of each body and answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from serve_app.api.auth import OPEN, OPEN_FOLDERS, OURS, WEBUI
from serve_app.api.examples import example_of, load_examples
from serve_app.api.problem_types import ProblemType, load_problem_types, typical_of
from serve_app.api.problems import MEDIA_TYPE, document_of
from serve_app.api.tags import TAGS, WEBUI_TAGS

Document = dict[str, Any]

_DESCRIPTION = """Tags, duplicate groups and people of a picture album; photographs in a style, people as animals.

Errors are `application/problem+json`. `Prefer: respond-async` turns a long call into a job;
`Idempotency-Key` makes a repeated POST return the first answer.

The Stable Diffusion web API has [a document of its own](/docs/sdapi)."""
_WEBUI_DESCRIPTION = """The routes of AUTOMATIC1111's web API and of its ControlNet extension, for existing clients.

Darkroom's own routes are in [the main document](/docs)."""
_SAFE_METHODS = frozenset({"get", "head", "options"})
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_WEBUI_PROBLEM = {"$ref": "#/components/schemas/WebUiProblem"}
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")
"""Schemas of FastAPI's errors, which no route answers with."""


def complete(app: FastAPI, ours: Sequence[BaseRoute], webui: Sequence[BaseRoute], *, has_keys: bool) -> None:
    """Let the application make its documents: `app.openapi` ours, `app.state.webui_openapi` that of the web API."""
    app.openapi = cache(partial(_make, app, ours, has_keys, of_webui=False))  # type: ignore[method-assign]
    app.state.webui_openapi = cache(partial(_make, app, webui, has_keys, of_webui=True))


def _make(app: FastAPI, routes: Sequence[BaseRoute], has_keys: bool, *, of_webui: bool) -> Document:
    document = get_openapi(
        title="Darkroom: the Stable Diffusion web API" if of_webui else app.title,
        version=app.version,
        description=_WEBUI_DESCRIPTION if of_webui else _DESCRIPTION,
        routes=routes,
        tags=WEBUI_TAGS if of_webui else TAGS,
    )
    components = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _summarise(operation)
            _complete_answers(operation, method, of_webui)
            _exemplify(operation, components)
            if not has_keys and path not in OPEN and not path.startswith(OPEN_FOLDERS):
                operation["security"] = [{}, *({name: []} for name in (WEBUI if of_webui else OURS))]
    if not has_keys:  # a key is taken here too, so that a page or a client that sends one works in both modes
        document["components"]["securitySchemes"] = WEBUI if of_webui else OURS
    for name in _FASTAPIS_OWN:
        components.pop(name, None)
    return document


def _summarise(operation: Document) -> None:
    """Make the first sentence of the description the summary."""
    first = operation.get("description", "").split("\n\n")[0].replace("\n", " ")
    operation["summary"] = first.split(". ")[0].removesuffix(".")


def _complete_answers(operation: Document, method: str, of_webui: bool) -> None:
    responses = operation["responses"]
    for status in _guarded(method, operation):
        responses.setdefault(str(status), {})
    for status, response in responses.items():
        if status.isdecimal() and int(status) >= 400:
            _describe(response, int(status), method, of_webui)
    operation["responses"] = dict(sorted(responses.items()))


def _guarded(method: str, operation: Document) -> list[int]:
    """Statuses of `browsers.BrowserGuard`."""
    if method in _SAFE_METHODS:
        return [421]
    return [403, 415, 421] if "requestBody" in operation else [403, 421]


def _exemplify(operation: Document, components: dict[str, Any]) -> None:
    """Give bodies and answers their examples. Raises `NoExample`."""
    examples, name = load_examples(), operation["operationId"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        title = content["schema"].get("$ref", "").rpartition("/")[2]
        body = examples["bodies"].get(title, examples["bodies"].get(name))
        if "example" not in content:
            content["example"] = example_of(content["schema"], components) if body is None else body
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            if status >= "400" or kind.startswith("image/") or "example" in content:
                continue
            answer = examples["answers"].get(name) if status == "200" else None
            if answer is None and content.get("schema"):
                answer = example_of(content["schema"], components, name)
            content["example"] = answer


def _describe(response: Document, status: int, method: str, of_webui: bool) -> None:
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
