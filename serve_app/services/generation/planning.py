"""From an order to the requests that the engine gets, one a picture."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from deployments.algorithms.inpainting import Canvas, blur_mask, mask_of
from deployments.algorithms.inpainting import prepare as prepare_canvas
from deployments.algorithms.prompts.markup import extract_networks, merge_styles, strip_comments
from deployments.algorithms.resizing import resize
from deployments.contracts import Gray, Image
from deployments.engines.diffusion.sampler_table import choose_sampler
from deployments.generation import MAX_SEED, Diffuser, GenerationRequest, Hires, Lora, ModelCatalogue, ResizeMode
from serve_app.services.generation.hints import Frame, HintMaker
from serve_app.services.generation.inputs import PictureInputs
from serve_app.services.generation.models import find_lora
from serve_app.services.generation.order import Order
from serve_app.services.generation.prompt_styles import find_style
from serve_app.services.generation.requests import GenerationBody, Img2ImgBody, Txt2ImgBody, on_grid
from serve_app.services.generation.sd_upscale import NAME as SD_UPSCALE
from serve_app.services.generation.sd_upscale import SdUpscale, Sheet
from serve_app.services.generation.shots import Shot

_RESIZE_MODES: tuple[ResizeMode, ...] = ("stretch", "crop", "fill", "stretch")
_LATENT_RESIZE = 3
_FILLS = ("fill", "original", "latent noise", "latent nothing")
_NO_STRENGTH = 0.75
"""Of hires fix when the request names none; the original breaks there."""
_LEAST_SEED_PX = 64


@dataclass(frozen=True, slots=True)
class Plan:
    shots: tuple[Shot, ...]
    prompt: str
    """With its styles and tags, as the answer names it."""
    negative_prompt: str
    maps: tuple[Image, ...]
    """Of ControlNets, to be returned beside the pictures."""
    parameters: dict[str, str | int | float | None]
    """What the infotext says beyond the usual."""
    restore_faces: bool
    warnings: tuple[str, ...]
    sheet: Sheet | None = None
    """What the shots are tiles of, picture after picture."""

    @property
    def pictures(self) -> tuple[Shot, ...]:
        """A shot for each picture of the answer: itself, or its first tile."""
        return self.shots[:: len(self.sheet.boxes)] if self.sheet else self.shots


@dataclass
class _Words:
    """What a prompt comes to."""

    shown: str
    text: str
    loras: tuple[Lora, ...] = ()


@dataclass
class _Draft:
    """Collected on the way."""

    warnings: list[str]
    parameters: dict[str, str | int | float | None] = field(default_factory=dict)
    sheet: Sheet | None = None


class Planner:
    def __init__(self, diffuser: Diffuser, pictures: PictureInputs) -> None:
        self._pictures = pictures
        self._hints = HintMaker(diffuser, pictures)

    async def plan(self, order: Order, inputs: Mapping[str, bytes], catalogue: ModelCatalogue) -> Plan:
        """Raises `WebUiError` for pictures that cannot be read, and technical errors of the preprocessors."""
        body, options = order.body, order.options
        draft = _Draft([*order.warnings, *_without_effect(body)])
        positive, negative = _merge(body, options.prompt_comments, draft)
        words = _words(positive, body, catalogue, draft)
        restore = options.face_restoration if body.restore_faces is None else body.restore_faces
        if restore:
            draft.warnings.append("Faces were not restored: this server has no model for that")
        chosen = choose_sampler(body.sampler, body.scheduler or "")
        draft.warnings += chosen.warnings
        request = GenerationRequest(
            prompt=words.text,
            negative_prompt=negative,
            variation_strength=body.subseed_strength,
            seed_size=_seed_size(body),
            width=on_grid((body.width, body.height))[0],
            height=on_grid((body.width, body.height))[1],
            steps=body.steps,
            guidance_scale=body.cfg_scale,
            sampler=chosen.sampler.name,
            scheduler=chosen.scheduler.label,
            eta=body.eta,
            checkpoint=options.checkpoint,
            vae=options.vae,
            clip_skip=options.clip_skip,
            loras=words.loras,
            exact_steps=options.exact_steps,
            tiling=options.tiling if body.tiling is None else body.tiling,
        )
        if isinstance(body, Txt2ImgBody):
            request, canvases, frame = self._from_text(body, request, catalogue, draft)
        else:
            request, canvases, frame = await self._from_images(body, request, inputs, draft)
        units = order.units
        if draft.sheet is not None and units:
            draft.warnings.append("ControlNets are not applied to the tiles of SD upscale")
            units = ()
        hints = await self._hints.make(units, inputs, frame, catalogue)
        draft.warnings += hints.warnings
        draft.parameters |= hints.parameters
        request = replace(request, controls=hints.controls)
        return Plan(
            tuple(_shots(body, request, canvases, draft.sheet)),
            positive,
            negative,
            hints.maps,
            draft.parameters,
            restore,
            tuple(dict.fromkeys(draft.warnings)),
            draft.sheet,
        )

    def _from_text(
        self, body: Txt2ImgBody, request: GenerationRequest, catalogue: ModelCatalogue, draft: _Draft
    ) -> tuple[GenerationRequest, list[Canvas | None], Frame]:
        (width, height), target = body.sizes()
        request = replace(request, width=width, height=height)
        if not body.enable_hr:
            return request, [None], Frame((width, height))
        if body.hr_resize_x and body.hr_resize_y and target[0] * height != target[1] * width:
            draft.warnings.append("hr_resize_x and hr_resize_y stretch the picture where its shape changes")
        own_sampler = body.hr_sampler_name not in (None, "", "Use same sampler")
        own_scheduler = body.hr_scheduler not in (None, "", "Use same scheduler")
        chosen = choose_sampler(
            body.hr_sampler_name or "" if own_sampler else request.sampler,
            body.hr_scheduler or "" if own_scheduler else request.scheduler,
        )
        draft.warnings += chosen.warnings
        strength = _NO_STRENGTH if body.denoising_strength is None else body.denoising_strength
        own_words = extract_networks(body.hr_prompt)
        if own_words.loras:
            draft.warnings.append("LoRAs in hr_prompt have no effect: those of the prompt act in both passes")
        hires = Hires(
            *target,
            steps=body.hr_second_pass_steps or body.steps,
            denoising_strength=strength,
            upscaler=body.hr_upscaler or "Latent",
            prompt=own_words.text,
            negative_prompt=body.hr_negative_prompt,
            sampler=chosen.sampler.name if own_sampler else "",
            scheduler=chosen.scheduler.label if own_sampler or own_scheduler else "",
        )
        resized = bool(body.hr_resize_x or body.hr_resize_y)
        draft.parameters |= {
            "Denoising strength": strength,
            "Hires upscale": None if resized else body.hr_scale,
            "Hires resize": f"{body.hr_resize_x}x{body.hr_resize_y}" if resized else None,
            "Hires steps": body.hr_second_pass_steps or None,
            "Hires upscaler": hires.upscaler,
        }
        return replace(request, hires=hires), [None], Frame((width, height), target)

    async def _from_images(
        self, body: GenerationBody, request: GenerationRequest, inputs: Mapping[str, bytes], draft: _Draft
    ) -> tuple[GenerationRequest, list[Canvas | None], Frame]:
        assert isinstance(body, Img2ImgBody)  # noqa: S101 - there are two kinds
        images = [await self._pictures.decode(inputs[name]) for name in _init_names(inputs)]
        if (body.script_name or "").lower() == SD_UPSCALE:
            return await _tiles(body, request, images[0][0], draft)
        mask = await self._mask(body, inputs)
        mode = _RESIZE_MODES[body.resize_mode]
        if body.resize_mode == _LATENT_RESIZE:
            draft.warnings.append("Resize mode 3 (latent) was done on the pixels")
        strength = 0.75 if body.denoising_strength is None else body.denoising_strength
        draft.parameters["Denoising strength"] = strength
        if mask is not None:
            _describe_mask(body, draft)
        size = (request.width, request.height)
        fill = body.inpainting_fill != 1
        canvases: list[Canvas | None] = []
        for image, _ in images:
            canvases.append(
                await asyncio.to_thread(
                    prepare_canvas,
                    image,
                    mask,
                    size,
                    mode,
                    only_masked=body.inpaint_full_res,
                    padding=body.inpaint_full_res_padding,
                    fill=fill,
                )
            )
        content = ("original", "original", "noise", "nothing")[body.inpainting_fill]
        request = replace(
            request,
            denoising_strength=strength,
            masked_content=content,  # type: ignore[arg-type]  # four literals
        )
        return request, canvases, Frame(size, None, canvases[0], images[0][0], mode)

    async def _mask(self, body: Img2ImgBody, inputs: Mapping[str, bytes]) -> Gray | None:
        if "mask" not in inputs:
            return None
        image, alpha = await self._pictures.decode(inputs["mask"])
        mask = mask_of(image, alpha, rounded=body.mask_round)
        if body.inpainting_mask_invert:
            mask = 255 - mask
        across, down = _blurs(body)
        return await asyncio.to_thread(blur_mask, mask, across, down)


async def _tiles(
    body: Img2ImgBody, request: GenerationRequest, image: Image, draft: _Draft
) -> tuple[GenerationRequest, list[Canvas | None], Frame]:
    """The canvases of one enlarged picture."""
    script, size = SdUpscale.of(body.script_args), (request.width, request.height)
    sheet = await asyncio.to_thread(Sheet.of, image, script, size, body.n_iter)
    if body.mask:
        draft.warnings.append("A mask has no effect on SD upscale")
    strength = 0.75 if body.denoising_strength is None else body.denoising_strength
    draft.sheet = sheet
    draft.parameters |= {
        "Denoising strength": strength,
        "SD upscale overlap": script.overlap,
        "SD upscale upscaler": script.upscaler,
    }
    canvases: list[Canvas | None] = [Canvas(resize(box.cut(sheet.base), size)) for box in sheet.boxes]
    return replace(request, denoising_strength=strength), canvases, Frame(size)


def _shots(
    body: GenerationBody, request: GenerationRequest, canvases: Sequence[Canvas | None], sheet: Sheet | None
) -> list[Shot]:
    """In the original's order: batch after batch. One canvas is used for all; several are a batch, or tiles."""
    count = (body.batch_size if len(canvases) == 1 and sheet is None else len(canvases)) * body.n_iter
    seed, subseed = draw_seed(body.seed), draw_seed(body.subseed)
    shots = []
    for place in range(count):
        canvas = canvases[place % len(canvases)]
        step = place if sheet is None else sum(divmod(place, len(canvases)))
        own_seed = (seed if body.subseed_strength else seed + step) % (MAX_SEED + 1)
        own_subseed = (subseed + place) % (MAX_SEED + 1)
        one = replace(request, seed=own_seed, variation_seed=own_subseed)
        if canvas is not None:
            one = replace(one, init_image=canvas.image, mask=canvas.mask)
        shots.append(Shot(one, own_seed, own_subseed, canvas))
    return shots


def draw_seed(asked: int) -> int:
    """-1 is any."""
    return random.randrange(MAX_SEED - 1) if asked == -1 else asked % (MAX_SEED + 1)


def _merge(body: GenerationBody, comments: bool, draft: _Draft) -> tuple[str, str]:
    """The prompts with the chosen styles, without comments."""
    styles = []
    for name in body.styles or ():
        style = find_style(name)
        if style is None:
            draft.warnings.append(f"There is no style {name[:80]!r}")
        else:
            styles.append(style)
    positive = merge_styles(body.prompt, [style.prompt for style in styles])
    negative = merge_styles(body.negative_prompt, [style.negative_prompt for style in styles])
    return (strip_comments(positive), strip_comments(negative)) if comments else (positive, negative)


def _words(prompt: str, body: GenerationBody, catalogue: ModelCatalogue, draft: _Draft) -> _Words:
    networks = extract_networks(prompt)
    draft.warnings += [f"{tag[:100]} has no effect" for tag in networks.ignored]
    if body.disable_extra_networks:
        return _Words(prompt, networks.text)
    loras, hashes = [], []
    for asked in networks.loras:
        found = find_lora(catalogue, asked.name)
        if found is None:
            draft.warnings.append(f"The LoRA {asked.name[:100]!r} is not here")
            continue
        loras.append(replace(asked, name=found.name))
        hashes.append(f"{asked.name}: {found.sha256[:12]}")
    draft.parameters["Lora hashes"] = ", ".join(hashes) or None
    return _Words(prompt, networks.text, tuple(loras))


def _without_effect(body: GenerationBody) -> list[str]:
    """Fields that ask for what this server does not do."""
    asked = {
        "s_churn": body.s_churn,
        "s_tmin": body.s_tmin,
        "s_tmax": body.s_tmax,
        "s_min_uncond": body.s_min_uncond,
        "s_noise": (body.s_noise or 1.0) - 1.0,
        "firstpass_image": body.firstpass_image,
        "refiner_checkpoint": body.refiner_checkpoint,
    }
    if isinstance(body, Txt2ImgBody) and body.hr_checkpoint_name not in (None, "", "Use same checkpoint"):
        asked["hr_checkpoint_name"] = body.hr_checkpoint_name
    if isinstance(body, Img2ImgBody):
        asked["initial_noise_multiplier"] = (body.initial_noise_multiplier or 1.0) - 1.0
    return [f"{name} has no effect on this server" for name, value in asked.items() if value]


def _seed_size(body: GenerationBody) -> tuple[int, int] | None:
    size = on_grid((body.seed_resize_from_w, body.seed_resize_from_h))
    return size if min(size) >= _LEAST_SEED_PX else None


def _init_names(inputs: Mapping[str, bytes]) -> list[str]:
    return [f"init{place}" for place in range(len(inputs)) if f"init{place}" in inputs]


def _blurs(body: Img2ImgBody) -> tuple[int, int]:
    return (body.mask_blur_x, body.mask_blur_y) if body.mask_blur is None else (body.mask_blur, body.mask_blur)


def _describe_mask(body: Img2ImgBody, draft: _Draft) -> None:
    across, down = _blurs(body)
    draft.parameters |= {
        "Mask blur": (across if across == down else f"{across}x{down}") or None,
        "Mask mode": "Inpaint not masked" if body.inpainting_mask_invert else None,
        "Inpaint area": "Only masked" if body.inpaint_full_res else None,
        "Masked area padding": body.inpaint_full_res_padding if body.inpaint_full_res else None,
        "Masked content": _FILLS[body.inpainting_fill],
    }
