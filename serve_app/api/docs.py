"""Pages of the documentation: the document of the Stable Diffusion web API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_STATIC = "/static-offline-docs"  # of fastapi-offline


@router.get("/openapi/sdapi.json")
async def get_webui_document(request: Request) -> dict[str, Any]:
    """Read the OpenAPI document of the Stable Diffusion web API."""
    document: dict[str, Any] = request.app.state.webui_openapi()
    return document


@router.get("/docs/sdapi")
async def show_webui_documentation(request: Request) -> HTMLResponse:
    """Show the document of the Stable Diffusion web API."""
    root = request.scope.get("root_path", "")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi/sdapi.json",
        title=f"{request.app.title}: the Stable Diffusion web API",
        swagger_js_url=f"{root}{_STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_STATIC}/favicon.png",
    )
