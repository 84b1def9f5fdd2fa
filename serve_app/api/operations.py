"""Routes for operators: alive, ready, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from deployments.errors import NotFound
from serve_app.api.deps import ServicesDep
from serve_app.api.problem_types import load_problem_types
from serve_app.api.problems import document_of, problem, problem_response, responses

router = APIRouter(tags=["operations"])


class ProblemMeaning(BaseModel):
    """The explanation of a type of problem."""

    type: str = Field(examples=["/problems/not-found"])
    title: str
    status: int
    meaning: str
    example: dict[str, Any] = Field(description="a problem document of this type")


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
    """Read the Prometheus metrics of this ingress and a worker, and those of all replicas (`ray_darkroom_*`)."""
    return Response(await services.health.metrics(), media_type=CONTENT_TYPE_LATEST)


@router.get("/problems/{slug}", response_model=ProblemMeaning, responses=responses(404))
async def explain_problem(slug: str, response: Response) -> ProblemMeaning:
    """Explain a type of problem: what it means and what to do. The `type` of each problem document leads here."""
    kind = load_problem_types().get(slug)
    if kind is None:
        raise NotFound("There is no such type of problem.")
    response.headers["Cache-Control"] = "max-age=86400"
    return ProblemMeaning(
        type=f"/problems/{slug}",
        title=kind.title,
        status=kind.status,
        meaning=kind.meaning,
        example=document_of(kind),
    )
