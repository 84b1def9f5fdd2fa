"""Routes that Immich's server calls in place of its own machine learning, at the root as it has them (docs/immich.md).

They are there only where `immich.enabled` says so, and `Authentication` lets callers from `immich.allow_from` alone
pass. They are in no OpenAPI document: the protocol is Immich's.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.datastructures import FormData, UploadFile

from configs.settings import Limits
from deployments.errors import PayloadTooLarge
from serve_app.api.deps import ServicesDep, SettingsDep
from serve_app.api.forms import BoundedRequest
from serve_app.api.middleware import at_most, counting

router = APIRouter(include_in_schema=False)

_MOST_FIELDS = 8


@router.get("/ping")
async def ping() -> Response:
    """Tell Immich's server, which asks every half minute, that this one answers."""
    return PlainTextResponse("pong")


@router.post("/predict")
async def predict(request: Request, services: ServicesDep, settings: SettingsDep) -> Response:
    """Do what `entries` names for `image` or `text`."""
    bounded = _bounded(request, settings.limits)
    async with bounded.form(max_files=1, max_fields=_MOST_FIELDS) as form:
        entries, text, picture = _text(form, "entries"), _text(form, "text"), await _picture(form, settings.limits)
        if entries is None:
            raise _bad_field("entries", "this field is missing")
        answer: dict[str, Any] = await services.immich.predict(entries, picture, text)
        return JSONResponse(answer)


def _bounded(request: Request, limits: Limits) -> BoundedRequest:
    """Bound the body by one file and the texts of a form. Raises `PayloadTooLarge`."""
    most = limits.max_file_bytes + limits.max_json_bytes
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise PayloadTooLarge(f"The body has {said} bytes; at most {most} are taken.")
    receive = counting(request.receive, at_most(most))
    return BoundedRequest(Request(request.scope, receive, request._send), limits)


def _text(form: FormData, name: str) -> str | None:
    values = form.getlist(name)
    if not values:
        return None
    if len(values) > 1 or not isinstance(values[0], str):
        raise _bad_field(name, "send it once, as text")
    return values[0]


async def _picture(form: FormData, limits: Limits) -> bytes | None:
    values = form.getlist("image")
    if not values:
        return None
    if len(values) > 1 or not isinstance(values[0], UploadFile):
        raise _bad_field("image", "send it once, as a file: a part with a filename")
    return await values[0].read(limits.max_file_bytes + 1)  # one more, by which the decoder sees that it is too large


def _bad_field(name: str, said: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("body", name), "msg": said}])
