"""Dependencies of routes: services, settings, the caller, the wait preference, and the type of the body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError

from configs.settings import Settings
from deployments.errors import UnsupportedMediaType
from serve_app.services.accounts.users import Caller
from serve_app.services.container import Services


def get_services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def get_settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


_HAS_BODY = frozenset({"content-length", "transfer-encoding"})
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\0")
"""Surrogates in JSON: escaped, encoded like a character of UTF-8, or in UTF-16 and UTF-32, which JSON may come in."""

ServicesDep = Annotated[Services, Depends(get_services)]
SettingsDep = Annotated[Settings, Depends(get_settings)]


def get_caller(request: Request) -> Caller:
    """The caller that `auth.Authentication` found."""
    return cast(Caller, request.state.caller)


CallerDep = Annotated[Caller, Depends(get_caller)]


def user_of(caller: Caller) -> str:
    if caller.user_id is None:
        raise RuntimeError("the administrator has no pictures: auth.ADMIN_PATHS must not hold this route")
    return caller.user_id


def current_user(caller: CallerDep) -> str:
    """The id of the user on whose behalf the request acts: with authentication disabled, the built-in local one."""
    return user_of(caller)


CurrentUser = Annotated[str, Depends(current_user)]


class WaitPreference:
    """Seconds that a client waits for a job: `Prefer: respond-async`, `wait=N`, or both: wait, then 202 (RFC 7240)."""

    def __init__(self, wait_s: float, *, is_stated: bool) -> None:
        self.wait_s = wait_s
        self.is_stated = is_stated
        """Whether the client stated it; else it is the server's own."""


def wait_preference(
    settings: SettingsDep,
    prefer: Annotated[
        list[str] | None,
        Header(
            description="`respond-async`: answer 202 with a job at once. `wait=10`: do so after ten seconds.",
            examples=[["respond-async"]],
        ),
    ] = None,
) -> WaitPreference:
    preferred = _preferences(prefer or ())
    most_s = settings.jobs.sync_wait_s
    wait = preferred.get("wait", "")
    if wait.isdecimal():
        return WaitPreference(min(most_s, float(wait[:9])), is_stated=True)
    is_stated = "respond-async" in preferred
    return WaitPreference(0.0 if is_stated else most_s, is_stated=is_stated)


def _preferences(headers: Iterable[str]) -> dict[str, str]:
    """Parse preferences: name -> value, the first of those of one name. Parameters are left out."""
    preferred: dict[str, str] = {}
    for part in ",".join(headers).split(","):
        name, _, value = part.partition(";")[0].partition("=")
        preferred.setdefault(name.strip().lower(), value.strip().strip('"'))
    return preferred


WaitPreferenceDep = Annotated[WaitPreference, Depends(wait_preference)]


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Whether the body is said to be JSON, or there is none: `BrowserGuard` lets no body pass without a type."""
    return content_type(request) == "application/json" or "content-type" not in request.headers


IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A string of your own for this request: repeated with it, a POST gets the first answer.",
        examples=["upload-2026-03-01-0007"],
    ),
]
"""Declared for the OpenAPI document; `idempotency.IdempotentRoute` reads the header."""


def require_json(request: Request, idempotency_key: IdempotencyKey = None) -> None:
    if not is_json(request):
        raise UnsupportedMediaType("Send the request as application/json.")


def require_multipart(request: Request, idempotency_key: IdempotencyKey = None) -> None:
    if content_type(request) != "multipart/form-data":
        raise UnsupportedMediaType("Send the pictures as multipart/form-data, in fields named `file`.")


async def refuse_half_surrogates(request: Request) -> None:
    """Refuse JSON with half a surrogate pair in a text or a name, which is no character and cannot be stored or sent.

    For all routes: fields of any type reach the database, the answer or a vendor without a look at their texts. Raises
    `RequestValidationError`, which each kind of path answers in its own shape.
    """
    if content_type(request).startswith("multipart/") or _HAS_BODY.isdisjoint(request.headers.keys()):
        return
    if not _SURROGATE.search(await request.body()):
        return
    try:
        json.dumps(await request.json(), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        said = "A text holds half a surrogate pair, which is no character"
        raise RequestValidationError([{"type": "value_error", "loc": ("body",), "msg": said}]) from None
    except (ValueError, RecursionError):  # no JSON: whoever reads the body says so
        return


HalfSurrogates = Depends(refuse_half_surrogates)
JsonBody = Depends(require_json)
MultipartBody = Depends(require_multipart)
