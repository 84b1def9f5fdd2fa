"""Initial images and masks of img2img generations: img2img, inpainting and SD upscale."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from deployments.algorithms.a1111.inpainting import InpaintCanvas, blur_mask, mask_of
from deployments.algorithms.a1111.inpainting import prepare as prepare_canvas
from deployments.algorithms.a1111.resizing import resize
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import GenerationRequest, ResizeMode
from serve_app.services.sdapi.controlnet.hints import ControlFrame
from serve_app.services.sdapi.image_inputs import JobImages
from serve_app.services.sdapi.init import DENOISING_STRENGTH, Init
from serve_app.services.sdapi.requests import Img2ImgBody
from serve_app.services.sdapi.sd_upscale import NAME as SD_UPSCALE
from serve_app.services.sdapi.sd_upscale import SdUpscale, Sheet

_RESIZE_MODES: tuple[ResizeMode, ...] = ("stretch", "crop", "fill", "stretch")
_LATENT_RESIZE = 3
_FILLS = ("fill", "original", "latent noise", "latent nothing")
_CONTENTS = ("original", "original", "noise", "nothing")


async def init_img2img(body: Img2ImgBody, request: GenerationRequest, inputs: JobImages) -> Init:
    """Prepare initial images and mask; `inputs` names them `init0`, `init1` ... and `mask`. Raises `WebUiError`."""
    names = [name for place in range(len(inputs)) if (name := f"init{place}") in inputs]
    images = [(await inputs.load(name))[0] for name in names]
    strength = DENOISING_STRENGTH if body.denoising_strength is None else body.denoising_strength
    request = replace(request, denoising_strength=strength)
    if body.script == SD_UPSCALE:
        return await _init_sd_upscale(body, request, images[0], has_mask="mask" in inputs)
    size, mode = (request.width, request.height), _RESIZE_MODES[body.resize_mode]
    mask = await _read_mask(body, inputs) if "mask" in inputs else None
    canvases = [
        await asyncio.to_thread(
            prepare_canvas,
            image,
            mask,
            size,
            mode,
            only_masked=body.inpaint_full_res,
            padding=body.inpaint_full_res_padding,
            fill=body.inpainting_fill != 1,
        )
        for image in images
    ]
    is_latent = body.resize_mode == _LATENT_RESIZE
    return Init(
        replace(
            request,
            masked_content=_CONTENTS[body.inpainting_fill],  # type: ignore[arg-type]  # four literals
            soft_mask=not body.mask_round,
        ),
        ControlFrame(size, None, canvases[0], images[0], mode),
        tuple(canvases),
        {"Denoising strength": strength} | ({} if mask is None else _describe_mask(body)),
        ("Resize mode 3 (latent) was done on the pixels",) if is_latent else (),
    )


async def _init_sd_upscale(body: Img2ImgBody, request: GenerationRequest, image: Image, has_mask: bool) -> Init:
    """Prepare the tiles of an enlarged image. Raises `FieldRefused` for too many."""
    script, size = SdUpscale.of(body.script_args), (request.width, request.height)
    sheet = await asyncio.to_thread(Sheet.of, image, script, size, body.n_iter)
    return Init(
        request,
        ControlFrame(size),
        tuple(InpaintCanvas(resize(box.cut(sheet.base), size)) for box in sheet.boxes),
        {
            "Denoising strength": request.denoising_strength,
            "SD upscale overlap": script.overlap,
            "SD upscale upscaler": script.upscaler,
        },
        ("A mask has no effect on SD upscale",) if has_mask else (),
        sheet,
    )


async def _read_mask(body: Img2ImgBody, inputs: JobImages) -> Gray:
    image, alpha = await inputs.load("mask")
    mask = mask_of(image, alpha, rounded=body.mask_round)
    if body.inpainting_mask_invert:
        mask = 255 - mask
    return await asyncio.to_thread(blur_mask, mask, *_blurs(body))


def _blurs(body: Img2ImgBody) -> tuple[int, int]:
    """Mask blur across and down, pixels."""
    return (body.mask_blur_x, body.mask_blur_y) if body.mask_blur is None else (body.mask_blur, body.mask_blur)


def _describe_mask(body: Img2ImgBody) -> dict[str, Any]:
    across, down = _blurs(body)
    return {
        "Mask blur": (across if across == down else f"{across}x{down}") or None,
        "Mask mode": "Inpaint not masked" if body.inpainting_mask_invert else None,
        "Inpaint area": "Only masked" if body.inpaint_full_res else None,
        "Masked area padding": body.inpaint_full_res_padding if body.inpaint_full_res else None,
        "Masked content": _FILLS[body.inpainting_fill],
    }
