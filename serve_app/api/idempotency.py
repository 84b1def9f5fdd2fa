"""Routes whose repeated POST gets the first answer: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile

from deployments.errors import InvalidRequest
from serve_app.api.answers import Answer, Links
from serve_app.api.deps import get_caller, get_settings, user_of
from serve_app.api.forms import BoundedRequest
from serve_app.services.accounts.idempotency import StoredAnswer
from serve_app.services.container import Services

_KEPT_HEADERS = ("content-type", "location", "retry-after")
_MAX_KEY = 255
_READ_BYTES = 2**18

RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]


class IdempotentRoute(APIRoute):
    """A route whose POST honours `Idempotency-Key`, and whose forms are bounded (`forms.BoundedForm`)."""

    def get_route_handler(self) -> RouteHandler:
        handler = super().get_route_handler()
        model = None if self.response_model is None else TypeAdapter(self.response_model)
        if "POST" not in (self.methods or ()):
            return handler

        async def once(received: Request) -> Response:
            request = BoundedRequest(received, get_settings(received).limits)
            key = request.headers.get("idempotency-key")
            if key is None:
                return await handler(request)
            if not 0 < len(key) <= _MAX_KEY:
                raise InvalidRequest(f"Idempotency-Key must have 1 to {_MAX_KEY} characters.")
            try:
                return await _once(handler, request, key, model)
            finally:
                await request.close()  # the files of a form that was read only to be compared

        return once


async def _once(handler: RouteHandler, request: Request, key: str, model: TypeAdapter[Any] | None) -> Response:
    services: Services = request.app.state.services
    route = f"{request.method} {request.scope['path']}"
    user = user_of(get_caller(request))
    first = await services.idempotency.begin(user, key, route, await _fingerprint(request))
    if isinstance(first, StoredAnswer):
        return _replayed(first, model, Links(request, get_settings(request)))
    try:
        response = await handler(request)
    except BaseException:
        await services.idempotency.abandon(first)  # no answer was given: the client may repeat
        raise
    if response.status_code >= 400:
        await services.idempotency.abandon(first)
        return response
    headers = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
    body = bytes(response.body)
    if isinstance(response, Answer) and _is_result(response.status_code, model):
        body = response.without_urls()
    await services.idempotency.finish(first, response.status_code, headers, body)
    return response


def _replayed(first: StoredAnswer, model: TypeAdapter[Any] | None, links: Links) -> Response:
    """Give the first answer again, its URLs made anew."""
    headers = {**first.headers, "Idempotent-Replayed": "true"}
    if model is not None and _is_result(first.status, model):
        with suppress(ValidationError):  # one of another version: as it was stored
            return Answer(model.validate_json(first.body), links, first.status, headers)
    return Response(first.body, first.status, headers)


def _is_result(status: int, model: TypeAdapter[Any] | None) -> bool:
    """Whether an answer is the route's own model; 202 answers with a job."""
    return model is not None and status != 202


async def _fingerprint(request: Request) -> str:
    """Hash what makes two requests equal: query and body; of a form its fields, whose boundary changes."""
    digest = hashlib.sha256(request.scope["query_string"])
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        digest.update(await request.body())
        return digest.hexdigest()
    for name, value in (await request.form()).multi_items():  # the route gets the same parsed form
        told = [value.filename, await _hash_of(value)] if isinstance(value, UploadFile) else [value]
        digest.update(json.dumps([name, *told]).encode())
    return digest.hexdigest()


async def _hash_of(file: UploadFile) -> str:
    digest = hashlib.sha256()
    while data := await file.read(_READ_BYTES):
        digest.update(data)
    await file.seek(0)
    return digest.hexdigest()
