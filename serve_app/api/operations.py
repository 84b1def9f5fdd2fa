"""Routes for operators: alive, ready, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from serve_app.api.deps import ServicesDep
from serve_app.api.problems import problem, problem_response, responses

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses=responses(503))
async def readyz(services: ServicesDep) -> Response:
    """Check that the database, the storage, the worker and a real inference of each capability answer."""
    checks: dict[str, Any] = await services.health.check()
    if all(check["ok"] for check in checks.values()):
        return JSONResponse({"status": "ready", "checks": checks})
    broken = ", ".join(name for name, check in checks.items() if not check["ok"])
    return problem_response(problem(503, "not-ready", "Not ready", f"Not ready: {broken}.", checks=checks))


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: ServicesDep) -> Response:
    """Read the Prometheus metrics of the ingress and the worker."""
    return Response(await services.health.metrics(), media_type=CONTENT_TYPE_LATEST)
