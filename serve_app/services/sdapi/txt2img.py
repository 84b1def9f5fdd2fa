"""Initial state of txt2img generations: noise, and the parameters of hires fix."""

from __future__ import annotations

from dataclasses import replace

from deployments.algorithms.a1111.prompts.extra_networks import extract_networks
from deployments.algorithms.a1111.samplers import choose_sampler
from deployments.contracts.diffusion import GenerationRequest, Hires
from serve_app.services.sdapi.controlnet.hints import ControlFrame
from serve_app.services.sdapi.init import DENOISING_STRENGTH, Init
from serve_app.services.sdapi.requests import Txt2ImgBody


def init_txt2img(body: Txt2ImgBody, request: GenerationRequest) -> Init:
    """Set the size of the first pass and, if enabled, the second pass (hires fix)."""
    first, target = body.sizes()
    request = replace(request, width=first[0], height=first[1])
    if not body.enable_hr:
        return Init(request, ControlFrame(first))
    warnings: list[str] = []
    if body.hr_resize_x and body.hr_resize_y and target[0] * first[1] != target[1] * first[0]:
        warnings.append("hr_resize_x and hr_resize_y stretch the picture where its shape changes")
    second = extract_networks(body.hr_prompt)
    if second.loras:
        warnings.append("LoRAs in hr_prompt have no effect: those of the prompt act in both passes")
    sampler = "" if body.hr_sampler_name in (None, "Use same sampler") else body.hr_sampler_name
    scheduler = "" if body.hr_scheduler in (None, "Use same scheduler") else body.hr_scheduler
    chosen = choose_sampler(sampler or request.sampler, scheduler or request.scheduler)
    strength = DENOISING_STRENGTH if body.denoising_strength is None else body.denoising_strength
    hires = Hires(
        *target,
        steps=body.hr_second_pass_steps or body.steps,
        denoising_strength=strength,
        upscaler=body.hr_upscaler or "Latent",
        prompt=second.text,
        negative_prompt=body.hr_negative_prompt,
        sampler=chosen.sampler.name if sampler else "",
        scheduler=chosen.scheduler.label if sampler or scheduler else "",
    )
    resized = bool(body.hr_resize_x or body.hr_resize_y)
    parameters = {
        "Denoising strength": strength,
        "Hires upscale": None if resized else body.hr_scale,
        "Hires resize": f"{body.hr_resize_x}x{body.hr_resize_y}" if resized else None,
        "Hires steps": body.hr_second_pass_steps or None,
        "Hires upscaler": hires.upscaler,
    }
    return Init(
        replace(request, hires=hires),
        ControlFrame(first, target),
        parameters=parameters,
        warnings=(*warnings, *chosen.warnings),
    )
