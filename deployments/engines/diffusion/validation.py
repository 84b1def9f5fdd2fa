"""Validation of generation requests, and the key of requests that may share a batch."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import fields

from configs.settings import Diffusion
from deployments.algorithms.a1111.bounds import GRID_PX, LEAST_PX, LONGEST_PROMPT, MOST_GUIDANCE
from deployments.algorithms.a1111.samplers import choose_sampler
from deployments.contracts.diffusion import MAX_SEED, PROMPT_IMAGE_PX, GenerationRequest, Hires
from deployments.engines.diffusion.controlnets import ControlUnit
from deployments.errors import InvalidRequest

_MOST_LORAS = 32
_MOST_CONTROL_WEIGHT = 2.0
_MOST_CLIP_SKIP = 12
_MAX_SHOWN = 20
_OWN = (
    "prompt", "negative_prompt", "seed", "variation_seed", "variation_strength", "seed_size", "init_image", "mask",
    "controls", "references", "image_prompts", "hires", "clip_skip",
)  # fmt: skip
"""Fields in which requests of one batch may differ, or that are compared in another way."""


def check_request(request: GenerationRequest, limits: Diffusion) -> None:
    """Check a request before anything is loaded or allocated. Raises `InvalidRequest` with what is wrong."""
    _check_size(request.width, request.height, limits)
    _within("steps", request.steps, 1, limits.max_steps)
    _within("guidance_scale", request.guidance_scale, 0, MOST_GUIDANCE)
    _within("clip_skip", request.clip_skip, 1, _MOST_CLIP_SKIP)
    _within("denoising_strength", request.denoising_strength, 0, 1)
    _within("variation_strength", request.variation_strength, 0, 1)
    _within("refiner_switch_at", request.refiner_switch_at, 0, 1)
    for name in ("seed", "variation_seed"):
        _within(name, getattr(request, name), 0, MAX_SEED)
    for name in ("prompt", "negative_prompt"):
        if len(getattr(request, name)) > LONGEST_PROMPT:
            raise InvalidRequest(f"{name}: at most {LONGEST_PROMPT} characters.")
    if request.eta is not None:
        _within("eta", request.eta, 0, 10)
    if request.seed_size is not None:
        _check_size(*request.seed_size, limits)
    if len(request.loras) > _MOST_LORAS:
        raise InvalidRequest(f"At most {_MOST_LORAS} LoRAs.")
    for lora in request.loras:
        if not (math.isfinite(lora.text_encoder_weight) and math.isfinite(lora.unet_weight)):
            raise InvalidRequest("The weight of a LoRA is a number.")
    if request.hires:
        _check_hires(request, request.hires, limits)
    _check_images(request, limits)


def shape_key(request: GenerationRequest) -> Hashable:
    """Compute the batch key: requests with equal keys differ in prompts, seeds and pixels only."""
    common = tuple(getattr(request, field.name) for field in fields(request) if field.name not in _OWN)
    samplers = (request.sampler, request.hires.sampler if request.hires else "")
    if any(choose_sampler(name).sampler.is_adaptive for name in samplers):
        common = (*common, id(request))  # shares with none
    hires = request.hires and (
        request.hires.width,
        request.hires.height,
        request.hires.steps,
        request.hires.denoising_strength,
        request.hires.upscaler,
        request.hires.sampler,
        request.hires.scheduler,
    )
    controls = tuple((ControlUnit.of(hint), hint.passes) for hint in request.controls)
    references = tuple(
        (one.fidelity, one.weight, one.start, one.end, one.mode, one.passes, one.how) for one in request.references
    )
    prompts = tuple((one.model, one.weight, one.start, one.end, one.passes) for one in request.image_prompts)
    return common, kind_of(request), controls, references, prompts, hires


def kind_of(request: GenerationRequest) -> str:
    """Return the kind of a request: text, image or inpaint."""
    if request.init_image is None:
        return "text"
    return "image" if request.mask is None else "inpaint"


def _check_size(width: int, height: int, limits: Diffusion) -> None:
    for side in (width, height):
        if side % GRID_PX or not LEAST_PX <= side <= limits.max_side_px:
            raise InvalidRequest(
                f"Width and height are multiples of {GRID_PX} from {LEAST_PX} to {limits.max_side_px}, "
                f"not {str(width)[:_MAX_SHOWN]} x {str(height)[:_MAX_SHOWN]}."
            )


def _check_hires(request: GenerationRequest, hires: Hires, limits: Diffusion) -> None:
    _check_size(hires.width, hires.height, limits)
    _within("hires steps", hires.steps, 1, limits.max_steps)
    _within("hires denoising_strength", hires.denoising_strength, 0, 1)
    if request.init_image is not None:
        raise InvalidRequest("Hires fix goes with pictures from text, not with an init image.")


def _check_images(request: GenerationRequest, limits: Diffusion) -> None:
    size = (request.height, request.width)
    if request.init_image is not None and request.init_image.shape != (*size, 3):
        raise InvalidRequest("The init image has not the size of the picture to make.")
    if request.mask is not None and (request.init_image is None or request.mask.shape != size):
        raise InvalidRequest("A mask goes with an init image and has its size.")
    if len(request.controls) + len(request.references) + len(request.image_prompts) > limits.max_controls:
        raise InvalidRequest(f"At most {limits.max_controls} ControlNets at once.")
    sizes = {size, (request.hires.height, request.hires.width)} if request.hires else {size}
    _check_references(request, sizes)
    _check_image_prompts(request)
    for hint in request.controls:
        if hint.image.shape not in {(*size, 3) for size in sizes}:
            raise InvalidRequest("The picture of a ControlNet has not the size of the picture to make.")
        if hint.mask is not None and hint.mask.ndim != 2:
            raise InvalidRequest("The mask of a ControlNet has one channel.")
        _within("ControlNet weight", hint.weight, 0, _MOST_CONTROL_WEIGHT)
        if not 0 <= hint.start <= hint.end <= 1:
            raise InvalidRequest("A ControlNet acts from a start to an end, both 0 to 1.")


def _check_references(request: GenerationRequest, sizes: set[tuple[int, int]]) -> None:
    for reference in request.references:
        if reference.image.shape not in {(*size, 3) for size in sizes}:
            raise InvalidRequest("The picture of a reference has not the size of the picture to make.")
        _within("reference weight", reference.weight, 0, _MOST_CONTROL_WEIGHT)
        _within("reference fidelity", reference.fidelity, 0, 1)
        if not 0 <= reference.start <= reference.end <= 1:
            raise InvalidRequest("A reference acts from a start to an end, both 0 to 1.")


def _check_image_prompts(request: GenerationRequest) -> None:
    for prompt in request.image_prompts:
        size = (PROMPT_IMAGE_PX, PROMPT_IMAGE_PX)
        if prompt.image.shape != (*size, 3) or (prompt.mask is not None and prompt.mask.shape != size):
            raise InvalidRequest(f"An image prompt and its mask have {PROMPT_IMAGE_PX} by {PROMPT_IMAGE_PX} pixels.")
        _within("image prompt weight", prompt.weight, 0, _MOST_CONTROL_WEIGHT)
        if not 0 <= prompt.start <= prompt.end <= 1:
            raise InvalidRequest("An image prompt acts from a start to an end, both 0 to 1.")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # nor is a nan
        raise InvalidRequest(f"{name} is {least:g} to {most:g}, not {str(value)[:_MAX_SHOWN]}.")
