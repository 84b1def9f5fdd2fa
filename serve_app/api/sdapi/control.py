"""Routes for progress, interrupt, skip and settings."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from serve_app.api.deps import CurrentUser, ServicesDep
from serve_app.api.sdapi.errors import responses
from serve_app.api.sdapi.generation import TAG
from serve_app.services.sdapi.lenient_types import Int, LenientModel, Switch, Text
from serve_app.services.sdapi.progress import progress_view, task_id, task_view

router = APIRouter(prefix="/sdapi/v1", tags=[TAG])
internal = APIRouter(prefix="/internal", tags=[TAG])

TaskId = Annotated[str | None, Query(max_length=200, description="what the request called itself")]


class State(BaseModel):
    skipped: bool
    interrupted: bool
    stopping_generation: bool
    job: str
    job_count: int
    job_timestamp: str
    job_no: int
    sampling_step: int
    sampling_steps: int


class ProgressAnswer(BaseModel):
    progress: float
    eta_relative: float
    state: State
    current_image: str | None
    textinfo: str | None


class TaskQuery(LenientModel):
    id_task: Text | None = None
    id_live_preview: Int = -1
    live_preview: Switch = True


class TaskAnswer(BaseModel):
    active: bool
    queued: bool
    completed: bool
    progress: float | None
    eta: float | None
    live_preview: str | None
    id_live_preview: int
    textinfo: str | None


class PendingTasks(BaseModel):
    size: int
    tasks: list[str]


class Nothing(BaseModel):
    """An empty object."""


@router.get("/progress", response_model=ProgressAnswer, responses=responses(422))
async def get_progress(
    user: CurrentUser,
    services: ServicesDep,
    skip_current_image: Annotated[bool, Query(description="whether to leave out the preview")] = False,
    force_task_id: TaskId = None,
) -> dict[str, Any]:
    """Read progress and preview of the newest running request, or of the one with this `force_task_id`."""
    if force_task_id is not None:
        job = await services.generation.find_task(user, force_task_id)
    else:
        job = (await services.generation.load_queue(user)).running
    return progress_view(job, None if skip_current_image else await services.generation.ask_preview(job))


@router.post("/interrupt", response_model=Nothing, responses=responses(422))
async def interrupt(user: CurrentUser, services: ServicesDep, force_task_id: TaskId = None) -> dict[str, Any]:
    """End running requests, or one of them, with what there is; the waiting calls answer with that."""
    await services.generation.stop(user, "interrupt", force_task_id)
    return {}


@router.post("/skip", response_model=None, responses=responses(422))
async def skip(user: CurrentUser, services: ServicesDep, force_task_id: TaskId = None) -> None:
    """End the images in progress with what there is, and go on with those that are not begun."""
    await services.generation.stop(user, "skip", force_task_id)


@router.get("/options", response_model=dict[str, Any], responses=responses(500, 503))
async def get_options(user: CurrentUser, services: ServicesDep) -> dict[str, Any]:
    """Read the settings that requests of this user start from."""
    return await services.options.view(user)


@router.post("/options", response_model=None, responses=responses(422, 500, 503))
async def set_options(user: CurrentUser, services: ServicesDep, values: Annotated[dict[str, Any], Body()]) -> None:
    """Change some of the settings; all that `GET` returned are accepted too."""
    await services.options.change(user, values)


@internal.post("/progress", response_model=TaskAnswer, responses=responses(422))
async def get_task(body: TaskQuery, user: CurrentUser, services: ServicesDep) -> dict[str, Any]:
    """Read the progress of one request by its `force_task_id`."""
    job = await services.generation.find_task(user, body.id_task) if body.id_task else None
    preview = await services.generation.ask_preview(job) if body.live_preview else None
    return task_view(job, await services.generation.load_queue(user), body.id_live_preview, preview)


@internal.get("/pending-tasks", response_model=PendingTasks)
async def get_pending_tasks(user: CurrentUser, services: ServicesDep) -> dict[str, Any]:
    """List the requests of this user that wait."""
    waiting = (await services.generation.load_queue(user)).waiting
    return {"size": len(waiting), "tasks": [task_id(job) for job in waiting]}


@internal.get("/ping", response_model=Nothing)
async def ping() -> dict[str, Any]:
    """Tell that the process answers."""
    return {}
