"""Routes txt2img and img2img: order, wait as long as the client does, answer with images."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from deployments.errors import DarkroomError, DeadlineExceeded, JobCancelled
from serve_app.api.answers import job_href, wait_while_connected
from serve_app.api.deps import CurrentUser, ServicesDep, WaitPreference, WaitPreferenceDep
from serve_app.api.sdapi.errors import problem_error, responses
from serve_app.services.container import Services
from serve_app.services.jobs.service import QueuedJob
from serve_app.services.sdapi.order import SdapiKind
from serve_app.services.sdapi.requests import GenerationBody, Img2ImgBody, Txt2ImgBody


class Accepted(BaseModel):
    """The answer to a client that does not wait. The job's result holds the ids of the images."""

    id: str
    href: str


TAG = "stable-diffusion-web-api"
router = APIRouter(prefix="/sdapi/v1", tags=[TAG])

_LONGEST_ECHO = 1000
"""Characters; longer texts in fields that may hold images are not sent back."""
_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": Accepted, "description": "`Prefer: respond-async`: the job that makes the pictures"},
    **responses(404, 409, 413, 422, 429, 500, 503, 504),
}


class GenerationAnswer(BaseModel):
    images: list[str]
    """Files in base64: the images, then the hints of ControlNets."""
    parameters: dict[str, Any]
    """The request with its defaults."""
    info: str
    """JSON: seeds, models, infotexts, and `warnings` that say what was asked for and not done."""


@router.post("/txt2img", response_model=GenerationAnswer, responses=_ANSWERS)
async def make_from_text(
    body: Txt2ImgBody, request: Request, user: CurrentUser, services: ServicesDep, wait_preference: WaitPreferenceDep
) -> Response:
    """Generate images from a prompt. The work stops when the client hangs up."""
    return await _answer("txt2img", body, request, user, services, wait_preference)


@router.post("/img2img", response_model=GenerationAnswer, responses=_ANSWERS)
async def make_from_image(
    body: Img2ImgBody, request: Request, user: CurrentUser, services: ServicesDep, wait_preference: WaitPreferenceDep
) -> Response:
    """Generate images from an image and a prompt, or new parts of one under a mask."""
    return await _answer("img2img", body, request, user, services, wait_preference)


async def _answer(
    kind: SdapiKind,
    body: GenerationBody,
    request: Request,
    user: str,
    services: Services,
    wait_preference: WaitPreference,
) -> Response:
    echo = _echo(body)
    job_id = await _order(services, user, kind, body)
    job = None
    if not wait_preference.is_stated:
        job = await _wait(request, services, user, job_id)
    elif wait_preference.wait_s:
        job = await wait_while_connected(request, services, user, job_id, wait_preference.wait_s)
    if job is None or not job.is_finished:
        accepted = Accepted(id=job_id, href=job_href(job_id))
        return JSONResponse(accepted.model_dump(), 202, {"Location": accepted.href, "Retry-After": "1"})
    if job.status == "failed":
        return problem_error(job.problem or {})
    if job.status == "cancelled":
        raise JobCancelled("The job was cancelled before it ended.")
    result = job.result or {}
    files = await services.generation.read(user, result["images"]) if body.send_images else []
    images = [base64.b64encode(file).decode() for file in files]
    return JSONResponse({"images": images, "parameters": echo, "info": json.dumps(result["info"])})


async def _order(services: Services, user: str, kind: SdapiKind, body: GenerationBody) -> str:
    """Order the images. -> job id. When the call is cancelled half way, so is the job that it may have made."""
    ordering = asyncio.create_task(services.generation.order(user, kind, body))
    try:
        return await asyncio.shield(ordering)
    except asyncio.CancelledError:
        with suppress(DarkroomError):
            await services.jobs.cancel(user, await ordering)
        raise


async def _wait(request: Request, services: Services, user: str, job_id: str) -> QueuedJob:
    """Wait for the job to end. One that is not ready by the deadline is cancelled, as when the client is gone."""
    job = await wait_while_connected(request, services, user, job_id, services.settings.deadlines.generate_s)
    if not job.is_finished:
        with suppress(DarkroomError):
            await services.jobs.cancel(user, job_id)
        raise DeadlineExceeded("The pictures were not ready in time.")
    return job


def _echo(body: GenerationBody) -> dict[str, Any]:
    """The request as the answer repeats it; images only by their length."""
    echo = body.model_dump()
    if isinstance(body, Img2ImgBody) and not body.include_init_images:
        echo |= {"init_images": None, "mask": None}
    for name in ("init_images", "mask", "latent_mask", "firstpass_image", "alwayson_scripts", "script_args"):
        if name in echo:
            echo[name] = _elided(echo[name])
    return echo


def _elided(value: Any) -> Any:
    if isinstance(value, str):
        return f"<str {len(value)}>" if len(value) > _LONGEST_ECHO else value
    if isinstance(value, dict):
        return {key: _elided(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_elided(one) for one in value]
    return value
