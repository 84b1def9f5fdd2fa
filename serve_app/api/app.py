"""The HTTP application, built late: on a Serve replica over handles, in tests over fakes."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware

from configs.settings import Settings
from serve_app.api import (
    album_images,
    album_pages,
    albums,
    avatars,
    capabilities,
    corrections,
    docs,
    duplicates,
    events,
    faces,
    feedback,
    history,
    images,
    immich,
    jobs,
    library,
    operations,
    people,
    problems,
    segmentations,
    sessions,
    styles,
    users,
    web,
    webhooks,
)
from serve_app.api.auth import Authentication, Keys, basic, bearer
from serve_app.api.browsers import BrowserGuard, cross_origin_access
from serve_app.api.compression import Compression
from serve_app.api.deps import HalfSurrogates
from serve_app.api.head import HeadAsGet
from serve_app.api.middleware import HttpEdge
from serve_app.api.openapi import complete
from serve_app.api.sdapi import control, controlnet, generation, lists, tools
from serve_app.api.sdapi import errors as webui_errors
from serve_app.api.shares import Shares
from serve_app.api.slashes import redirecting
from serve_app.services.container import Services
from serve_app.telemetry import Metrics

# What the OpenAPI document says of keys; it is `Authentication` that asks for them.
_OURS: dict[str, Any] = {"dependencies": [Security(bearer)], "responses": problems.responses(401, 403, 429)}
_WEBUI: dict[str, Any] = {
    "dependencies": [Security(bearer), Security(basic)],
    "responses": webui_errors.responses(401, 403, 429),
}


def build_app(services: Services, settings: Settings, metrics: Metrics, *, behind_serve: bool = False) -> FastAPI:
    keys = Keys(services, settings)
    app = FastAPIOffline(  # the pages at /docs and /redoc bring their scripts along
        title="Darkroom",
        version=version("darkroom"),
        redirect_slashes=False,  # `slashes.redirecting` does it, with locations that do not repeat the Host header
        middleware=[
            *cross_origin_access(settings.cors_origins),
            Middleware(HttpEdge, limits=settings.limits, metrics=metrics, behind_serve=behind_serve),
            Middleware(HeadAsGet),
            Middleware(Compression),
            Middleware(BrowserGuard, settings=settings),
            Middleware(Authentication, services=services, settings=settings, keys=keys),
            Middleware(Shares, limits=settings.limits, has_users=settings.auth.mode == "api_key"),
        ],
    )
    # app.state, not lifespan state: Serve drops the latter (ray#45395).
    app.state.services = services
    app.state.settings = settings
    app.state.keys = keys
    problems.install(app)
    webui_errors.install(app)
    has_keys = settings.auth.mode != "disabled"
    ours, webui = _routers(has_keys=has_keys)
    app.router.routes += [*ours.routes, *webui.routes, *(immich.router.routes if settings.immich.enabled else ())]
    app.router.default = redirecting(app.router)
    complete(app, ours.routes, webui.routes, has_keys=has_keys)
    return app


@cache
def _routers(*, has_keys: bool) -> tuple[APIRouter, APIRouter]:
    """Make the routes once a process: they know nothing of an application, and each costs milliseconds at first.

    -> ours, those of the Stable Diffusion web API
    """
    ours, webui = (
        APIRouter(dependencies=[HalfSurrogates], generate_unique_id_function=_operation_id) for _ in range(2)
    )
    ours.include_router(web.router)
    ours.include_router(docs.router)
    ours.include_router(operations.router)
    ours.include_router(sessions.opening)
    with_key, with_webui_key = (_OURS, _WEBUI) if has_keys else ({}, {})
    library_parts = (images, library, people, faces, corrections)
    edits = (styles, segmentations, avatars, history, feedback)
    for part in (*library_parts, *edits, jobs, events, webhooks, users, sessions, capabilities):
        ours.include_router(part.router, **with_key)
    tutorials = (images.tutorial, avatars.tutorial, users.tutorial)
    below = (faces.of_images, albums.below, events.below)
    for one in (*tutorials, *below, album_images.router, duplicates.router, album_pages.router):
        ours.include_router(one, **with_key)
    ours.include_router(albums.router, **with_key)  # takes any path for an id
    for tools_of_webui in (generation, lists, tools, controlnet, control):
        webui.include_router(tools_of_webui.router, **with_webui_key)
    webui.include_router(control.internal, **with_webui_key)
    return ours, webui


def _operation_id(route: APIRoute) -> str:
    """Name an operation after its function: generated clients have methods of these names."""
    return route.name
