"""Bodies as JSON or as a form, for routes that take an image by reference or with the request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from deployments.errors import UnsupportedMediaType
from serve_app.api.deps import IdempotencyKey, content_type, is_json
from serve_app.api.problems import TEXT_FOR_FILE

M = TypeVar("M", bound=BaseModel)
FORM = "multipart/form-data"
_FILE = "file"


@dataclass(frozen=True, slots=True)
class ReceivedForm(Generic[M]):
    """The fields of a body, and the file that came with them."""

    fields: M
    file: UploadFile | None
    """None: the fields have an `image_url`."""


def picture_and(fields: type[M], with_url: type[M] | None) -> Callable[..., AsyncIterator[ReceivedForm[M]]]:
    """Make a dependency that reads a body of `fields` and an image.

    `with_url`: the model of JSON bodies, `fields` with an `image_url`; None: only forms are understood.
    """

    async def read(request: Request, idempotency_key: IdempotencyKey = None) -> AsyncIterator[ReceivedForm[M]]:
        try:
            yield await parse(request)
        finally:
            await request.close()  # the files of a form

    async def parse(request: Request) -> ReceivedForm[M]:
        kind = content_type(request)
        if kind == FORM:
            return await _read_form(request, fields)
        if with_url is None:
            raise UnsupportedMediaType(f"Send the picture as {FORM}, in a field named `{_FILE}`.")
        if not is_json(request):
            raise UnsupportedMediaType(f"Send the request as application/json, or as {FORM} with a field `{_FILE}`.")
        return ReceivedForm(_validated(with_url, await _read_json(request)), None)

    return read


def body_of(fields: type[BaseModel], with_url: type[BaseModel] | None, example: dict[str, Any]) -> dict[str, Any]:
    """Make the OpenAPI entry of a body that `picture_and` reads."""
    form = fields.model_json_schema()
    form["properties"] = {_FILE: {"type": "string", "format": "binary"}, **form["properties"]}
    form["required"] = [_FILE, *form.get("required", [])]
    form["example"] = {_FILE: "portrait.jpg", **example}
    content = {FORM: {"schema": form}}
    if with_url is not None:
        content["application/json"] = {"schema": with_url.model_json_schema()}
    return {"requestBody": {"required": True, "content": content}}


async def _read_json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except json.JSONDecodeError as error:
        raise _unreadable(error.msg, ("body", error.pos), "json_invalid") from None
    except (ValueError, RecursionError):  # bytes that are no text, numbers or nesting without end
        raise _unreadable("JSON that cannot be read", ("body",), "json_invalid") from None


async def _read_form(request: Request, fields: type[M]) -> ReceivedForm[M]:
    form = await request.form()
    files = form.getlist(_FILE)
    if len(files) != 1:
        found = str(len(files) or "none")
        raise _unreadable(f"send exactly one picture, a file in the field `{_FILE}`; here was {found}", ("body", _FILE))
    if not isinstance(files[0], UploadFile):
        raise _unreadable(TEXT_FOR_FILE, ("body", _FILE))
    values: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == _FILE or value == "":  # an empty field is one that was left out, as browsers have it
            continue
        if name in values:
            raise _unreadable("sent more than once", ("body", name))
        values[name] = value
    return ReceivedForm(_validated(fields, values), files[0])


def _validated(model: type[M], sent: Any) -> M:
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise RequestValidationError([entry | {"loc": ("body", *entry["loc"])} for entry in errors]) from None


def _unreadable(message: str, where: tuple[str | int, ...], kind: str = "value_error") -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": where, "msg": message, "input": None}])
