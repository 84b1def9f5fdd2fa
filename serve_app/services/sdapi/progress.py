"""Progress of generation jobs in the shape of the Stable Diffusion web API."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from deployments.algorithms.a1111.image_metadata import FileFormat
from serve_app.services.sdapi.order import preview_options
from serve_app.services.sdapi.service import GenerationQueue
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.queue.previews import JobPreview

_LEAST_PROGRESS = 0.01
"""Progress of a job that has just begun: clients take zero for idle."""
_MIME_TYPES: Mapping[FileFormat, str] = {"png": "png", "jpg": "jpeg", "webp": "webp"}


def progress_view(job: QueuedJob | None, preview: JobPreview | None = None) -> dict[str, Any]:
    """Progress of a running job, with its preview; the idle state otherwise."""
    if job is None or job.status != "running":
        return _view(0.0, 0.0, _state(), None)
    asked = job.payload["request"]
    batches, steps = int(asked["n_iter"]), int(asked["steps"])
    place = min(job.progress * batches, batches - 1e-9)
    state = _state(
        interrupted=job.stop_requested == "interrupt",
        job=f"scripts_{job.kind}",
        job_count=batches,
        job_timestamp=job.created_at.strftime("%Y%m%d%H%M%S"),
        job_no=int(place),
        sampling_step=int(place % 1 * steps),
        sampling_steps=steps,
    )
    return _view(min(1.0, _LEAST_PROGRESS + job.progress), job.eta_s or 0.0, state, preview)


def task_view(
    job: QueuedJob | None, queue: GenerationQueue, id_live_preview: int, preview: JobPreview | None = None
) -> dict[str, Any]:
    """Progress of one task, as `/internal/progress` answers; its preview only where it is not the client's newest."""
    status = job.status if job else ""
    view: dict[str, Any] = {
        "active": status == "running",
        "queued": status == "queued",
        "completed": bool(job and job.is_finished),
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": id_live_preview,
        "textinfo": None,
    }
    if job and preview and preview.number != id_live_preview:
        kind = _MIME_TYPES[preview_options(job.payload).format]
        view["live_preview"] = f"data:image/{kind};base64,{_base64(preview)}"
        view["id_live_preview"] = preview.number
    if job and status == "running":
        return view | {"progress": min(1.0, _LEAST_PROGRESS + job.progress), "eta": job.eta_s}
    if job and status == "queued":
        ids = [one.id for one in queue.waiting]
        place = f"In queue: {ids.index(job.id) + 1}/{len(ids)}" if job.id in ids else "Waiting..."
        return view | {"textinfo": place}
    return view if job else view | {"textinfo": "Waiting..."}


def task_id(job: QueuedJob) -> str:
    """The client's `force_task_id`, else the job's id."""
    return str(job.payload.get("task_id") or job.id)


def _view(progress: float, eta_s: float, state: dict[str, Any], preview: JobPreview | None) -> dict[str, Any]:
    return {
        "progress": progress,
        "eta_relative": eta_s,
        "state": state,
        "current_image": _base64(preview) if preview else None,
        "textinfo": None,
    }


def _base64(preview: JobPreview) -> str:
    return base64.b64encode(preview.image).decode()


def _state(**known: Any) -> dict[str, Any]:
    idle = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    }
    return idle | known
