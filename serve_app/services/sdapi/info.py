"""Generation parameters in answers: the infotext of each image, and the member `info`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from deployments.algorithms.a1111.infotext import write_infotext
from deployments.contracts.diffusion import GenerationRequest
from serve_app.services.sdapi.order import GenerationOrder
from serve_app.services.sdapi.plan import Plan
from serve_app.services.sdapi.tasks import FinishedImage

VERSION = "v1.10.1"
"""Version of the web UI whose API this is."""


def infotext(plan: Plan, finished: FinishedImage, order: GenerationOrder) -> str:
    """Write the generation parameters that travel in the image's file."""
    task, request = finished.task, finished.task.request
    varied = request.variation_strength > 0
    fields: dict[str, str | int | float | None] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": request.scheduler,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": task.seed,
        "Face restoration": order.options.face_restorer if plan.restorer else None,
        "Size": f"{request.width}x{request.height}",
        "Model hash": finished.checkpoint_sha256[:10] or None,
        "Model": finished.checkpoint or None,
        "VAE": request.vae or None,
        "Variation seed": task.subseed if varied else None,
        "Variation seed strength": request.variation_strength if varied else None,
        "Seed resize from": f"{request.seed_size[0]}x{request.seed_size[1]}" if request.seed_size else None,
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "Tiling": True if request.tiling else None,
        **plan.parameters,
        "Version": VERSION,
    }
    return write_infotext(plan.prompt, plan.negative_prompt, fields)


def describe(
    order: GenerationOrder,
    plan: Plan,
    finished: Sequence[FinishedImage],
    infotexts: Sequence[str],
    *,
    index_of_first_image: int,
    started: datetime,
) -> dict[str, Any]:
    """Build the member `info`: the original's keys in its order, and `warnings`: what was asked for and not done."""
    body, tasks = order.body, plan.image_tasks
    request: GenerationRequest = tasks[0].request
    first = finished[0] if finished else None
    warnings = [*plan.warnings, *(text for one in finished for text in one.warnings)]
    extra = {key: value for key, value in plan.parameters.items() if value is not None}
    strength = request.denoising_strength if order.kind == "img2img" else None
    if request.hires is not None:
        strength = request.hires.denoising_strength
    return {
        "prompt": plan.prompt,
        "all_prompts": [plan.prompt] * len(tasks),
        "negative_prompt": plan.negative_prompt,
        "all_negative_prompts": [plan.negative_prompt] * len(tasks),
        "seed": tasks[0].seed,
        "all_seeds": [task.seed for task in tasks],
        "subseed": tasks[0].subseed,
        "all_subseeds": [task.subseed for task in tasks],
        "subseed_strength": body.subseed_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": request.sampler,
        "cfg_scale": body.cfg_scale,
        "steps": body.steps,
        "batch_size": body.batch_size,
        "restore_faces": plan.restore_faces,
        "face_restoration_model": order.options.face_restorer if plan.restorer else None,
        "sd_model_name": first.checkpoint if first else order.options.checkpoint,
        "sd_model_hash": first.checkpoint_sha256[:10] if first else "",
        "sd_vae_name": order.options.vae or None,
        "sd_vae_hash": None,
        "seed_resize_from_w": body.seed_resize_from_w,
        "seed_resize_from_h": body.seed_resize_from_h,
        "denoising_strength": strength,
        "extra_generation_params": extra,
        "index_of_first_image": index_of_first_image,
        "infotexts": list(infotexts),
        "styles": list(body.styles or ()),
        "job_timestamp": started.strftime("%Y%m%d%H%M%S"),
        "clip_skip": order.options.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": VERSION,
        "warnings": list(dict.fromkeys(warnings)),
    }
