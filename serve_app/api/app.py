"""The HTTP application, built late: on a Serve replica over handles, in tests over fakes."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware

from configs.settings import Settings
from serve_app.api import albums, avatars, history, images, jobs, operations, problems, segmentations, styles
from serve_app.api.middleware import Edge
from serve_app.api.sdapi import control, controlnet, generation, lists, tools
from serve_app.api.sdapi import errors as webui_errors
from serve_app.services.container import Services
from serve_app.telemetry import Metrics

_DESCRIPTION = """Tags, duplicate groups and people of a picture album; photographs in a style, people as animals.

Errors are `application/problem+json`. `Prefer: respond-async` turns a long call into a job;
`Idempotency-Key` makes a repeated POST return the first answer."""


def build_app(services: Services, settings: Settings, metrics: Metrics, *, behind_serve: bool = False) -> FastAPI:
    app = FastAPIOffline(  # the pages at /docs and /redoc bring their scripts along
        title="Darkroom",
        version=version("darkroom"),
        description=_DESCRIPTION,
        middleware=[Middleware(Edge, limits=settings.limits, metrics=metrics, behind_serve=behind_serve)],
    )
    # app.state, not lifespan state: Serve drops the latter (ray#45395).
    app.state.services = services
    app.state.settings = settings
    problems.install(app)
    webui_errors.install(app)
    for part in (images, styles, segmentations, avatars, history, jobs, operations):
        app.include_router(part.router)
    for part in (generation, lists, tools, controlnet, control):
        app.include_router(part.router)
    for router in (images.tutorial, avatars.tutorial, albums.below, albums.router, control.internal):
        app.include_router(router)
    return app
