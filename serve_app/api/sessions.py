"""Routes of the session of a web page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from deployments.errors import Forbidden, Unauthenticated, UnsupportedMediaType
from serve_app.api.answers import PREFIX
from serve_app.api.auth import Keys
from serve_app.api.cookies import SessionCookies
from serve_app.api.deps import ServicesDep, SettingsDep, is_json
from serve_app.api.problems import responses
from serve_app.api.schemas.common import Body

router = APIRouter(prefix=PREFIX, tags=["users"])
opening = APIRouter(prefix=PREFIX, tags=["users"])
"""Of the one route whose key is in the body."""


class SessionRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"api_key": "dk_4pXk..."}})

    api_key: SecretStr = Field(min_length=1, max_length=1024)


class SessionView(BaseModel):
    """A session that was opened."""

    user: str | None = Field(description="id of the user; null: this server asks for no key")
    expires_at: datetime | None = Field(description="when the key is asked for again; null: never")


def cookies(services: ServicesDep, settings: SettingsDep) -> SessionCookies:
    return SessionCookies(services, settings)


CookiesDep = Annotated[SessionCookies, Depends(cookies)]


def require_key(request: Request) -> None:
    """Refuse a request without a body, which brings no key, or with one of another kind."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        raise Unauthenticated('Send your key: `{"api_key": "dk_..."}`.')
    if not is_json(request):
        raise UnsupportedMediaType("Send the request as application/json.")


@opening.post(
    "/session",
    response_model=SessionView,
    dependencies=[Depends(require_key)],
    responses=responses(401, 403, 413, 415, 422, 429, 503),
)
async def open_session(
    body: SessionRequest, request: Request, services: ServicesDep, settings: SettingsDep, cookies: CookiesDep
) -> Response:
    """Open a session for a web page: the answer sets a cookie in place of the key.

    Requests by cookie that change something need the `Origin` of this server. A new or revoked key ends the session.
    Without keys (`DARKROOM_AUTH__MODE=disabled`) there is nothing to open, and no cookie.
    """
    if settings.auth.mode == "disabled":
        return _answer(SessionView(user=None, expires_at=None))
    keys = cast(Keys, request.app.state.keys)
    caller = await keys.find(body.api_key.get_secret_value(), request.scope)
    if caller is None:
        raise Unauthenticated("This is no valid key.")
    if caller.user_id is None or caller.key_hash is None:
        raise Forbidden("The administrator's key opens no session: it has no pictures. Send a user's key.")
    token, ends_at = await services.sessions.open(caller.user_id, caller.key_hash)
    response = _answer(SessionView(user=caller.user_id, expires_at=ends_at))
    cookies.hand_out(request.scope, response, token)
    return response


@router.delete("/session", status_code=204, responses=responses(403))
async def close_session(request: Request, services: ServicesDep, cookies: CookiesDep) -> Response:
    """End the session whose cookie comes along, and remove the cookie."""
    token = cookies.token(request.scope)
    if token is not None:
        await services.sessions.close(token)
    response = Response(status_code=204)
    cookies.take_back(request.scope, response)
    return response


def _answer(view: SessionView) -> JSONResponse:
    return JSONResponse(view.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
