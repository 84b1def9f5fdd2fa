"""Cloud function `generate_animal_avatar`: a portrait in, the URL of the person as an animal out (README.md:
deployment).

POST multipart/form-data: `file`, and optionally `animal` and `mode`. 200 `{"image_url": ...}`, or an error as
`{"error": sentence, "code": word}`.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from functools import cache
from typing import Any

import flask
import functions_framework
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from animals import ANIMALS, DEFAULT_ANIMAL, DEFAULT_MODE, MODES, prompt
from errors import Deadline, Refusal
from pictures import normalise
from settings import Settings, read_settings
from vendors import Vendors

log = logging.getLogger("avatar")

_FORM_BYTES = 64 * 2**10
"""Room for the fields and borders around the file, bytes."""
_MAX_DISCARDED_BYTES = 32 * 2**20
"""Bytes of a request that are read off; Cloud Run's own limit for a request."""

try:
    SETTINGS: Settings = read_settings(os.environ)
except ValueError as error:  # where the function is deployed, and not at its first request
    raise SystemExit(f"The function cannot start: {error}") from None


@cache
def _vendors() -> Vendors:
    return Vendors(SETTINGS)


@functions_framework.http
def generate_animal_avatar(request: flask.Request) -> flask.Response:
    """Answer a request, errors included."""
    try:
        return _answer(request, 200, {"image_url": _generate(request)})
    except Refusal as refusal:
        body = {"error": refusal.message, "code": refusal.code}
        return _answer(request, refusal.status, body, refusal.headers)
    except Exception:  # the border: the framework would answer with a page
        log.exception("a request failed")
        return _answer(request, 500, {"error": "The function failed.", "code": "internal"})


def _generate(request: flask.Request) -> str:
    deadline = Deadline(SETTINGS.deadline_s)
    if request.method != "POST":
        raise Refusal(405, "Only POST is allowed.", "method-not-allowed", {"Allow": "POST"})
    data, animal, mode = _read_form(request)
    jpeg = normalise(data, SETTINGS.max_pixels)
    faces = _vendors().count_faces(jpeg, deadline)
    if not faces:
        raise Refusal(400, "No faces were found in the picture.", "no-face")
    made = _vendors().edit(jpeg, prompt(animal, mode, faces), deadline)
    return _vendors().publish(made, deadline)


def _read_form(request: flask.Request) -> tuple[bytes, str, str]:
    """Read the form: file content, animal and mode. Raises `Refusal`."""
    request.max_content_length = SETTINGS.max_bytes + _FORM_BYTES
    try:
        file = request.files.get("file")
        animal = request.form.get("animal") or DEFAULT_ANIMAL
        mode = request.form.get("mode") or DEFAULT_MODE
    except RequestEntityTooLarge:
        raise _too_large() from None
    except BadRequest:
        raise Refusal(400, "The form cannot be read.", "bad-form") from None
    data = file.read(SETTINGS.max_bytes + 1) if file else b""
    if not data:
        raise Refusal(400, "No image was sent: the form needs a picture as `file`.", "no-image")
    if len(data) > SETTINGS.max_bytes:
        raise _too_large()
    if animal not in ANIMALS:
        raise Refusal(400, f"The animal is unknown; there are {', '.join(ANIMALS)}.", "unknown-animal")
    if mode not in MODES:
        raise Refusal(400, f"The mode is unknown; there are {', '.join(MODES)}.", "unknown-mode")
    return data, animal, mode


def _too_large() -> Refusal:
    return Refusal(413, f"The picture is larger than {SETTINGS.max_bytes / 2**20:.3g} MiB.", "too-large")


def _answer(
    request: flask.Request, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> flask.Response:
    """Make an answer as a stream: of any other response the framework reads the rest of the request into memory
    first."""
    _discard(request)
    data = json.dumps(body).encode()
    response = flask.Response(iter([data]), status, headers, mimetype="application/json")
    response.content_length = len(data)
    return response


def _discard(request: flask.Request) -> None:
    """Read off the rest of the request, within bounds: a client that is still sending would miss the answer."""
    request.max_content_length = None
    left = _MAX_DISCARDED_BYTES
    with suppress(HTTPException):
        while left > 0 and (chunk := request.stream.read(64 * 2**10)):
            left -= len(chunk)
