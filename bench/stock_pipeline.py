"""The picture of a request by diffusers' own pipeline over the engine's weights, to measure the engine against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from deployments.contracts.diffusion import GenerationRequest
from deployments.engines.diffusion.batched import BatchedDiffuser


def stock_call(diffuser: BatchedDiffuser, request: GenerationRequest) -> Callable[[], Any]:
    """Make a call of diffusers' pipeline, Euler a, with the request's ControlNets."""
    import diffusers

    device = diffuser.device
    with diffuser.engine.models.cache.lease() as lease:
        checkpoint = diffuser.engine.models.checkpoint(lease, request.checkpoint)
        nets = [diffuser.engine.models.controlnet(lease, hint.model, checkpoint) for hint in request.controls]
    scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(
        checkpoint.scheduler.config, timestep_spacing="linspace", steps_offset=0
    )
    parts = {**checkpoint.components, "scheduler": scheduler}
    more: dict[str, Any] = {}
    if nets:
        pipeline = diffusers.StableDiffusionControlNetPipeline(**parts, controlnet=nets)
        hints = [torch.from_numpy(hint.image).permute(2, 0, 1)[None] / 255 for hint in request.controls]
        more = {"image": [hint.to(device.name, device.dtype) for hint in hints]}
        more["controlnet_conditioning_scale"] = [hint.weight for hint in request.controls]
    else:
        pipeline = diffusers.StableDiffusionPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)

    def call() -> Any:
        return pipeline(
            request.prompt,
            negative_prompt=request.negative_prompt,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator(device.name).manual_seed(request.seed),
            output_type="np",
            **more,
        )

    return call
