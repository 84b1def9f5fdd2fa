"""Redrawing of the faces of finished images (ADetailer): found, cut out, inpainted, laid over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from deployments.algorithms.a1111.detail_masks import draw_masks
from deployments.algorithms.a1111.inpainting import InpaintCanvas, blur_mask, firm, prepare
from deployments.algorithms.a1111.samplers import choose_sampler
from deployments.contracts.albums import FaceFinder
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import MAX_SEED, Diffuser, GenerationRequest, ModelCatalogue
from deployments.errors import DarkroomError
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.adetailer import ORIGINAL, SEPARATOR, DetailUnit
from serve_app.services.sdapi.generate import generate_image
from serve_app.services.sdapi.order import GenerationOrder
from serve_app.services.sdapi.prompts import ResolvedPrompt, resolve_prompt
from serve_app.services.sdapi.requests import on_grid
from serve_app.services.sdapi.tasks import FinishedImage, ImageTask

_MOST_FACES = 20
"""Faces of one image that one unit redraws."""
MOST_PASSES = 64
"""Faces that one request redraws, those of all its images and units together."""
_TOO_MANY = f"ADetailer redraws at most {MOST_PASSES} faces a request: the others were left as they are"
Report = Callable[[float], None]
"""Function that is told the share of a piece of work that is done."""


@dataclass
class FaceDetailer:
    """Redraws faces by the units of an order."""

    diffuser: Diffuser
    finder: FaceFinder
    order: GenerationOrder
    catalogue: ModelCatalogue
    progress: Progress
    begin: float = 0.0
    """Share of the job's progress at which the faces begin; they end at `end`."""
    end: float = 1.0
    passes_left: int = MOST_PASSES

    async def redraw_all(self, finished: Sequence[FinishedImage], at_once: int) -> list[FinishedImage]:
        """Redraw the faces of each image, of at most `at_once` at a time. An interrupt leaves those that are not begun
        as they are, and so does an error, which becomes a warning: the images are worth more than their faces."""
        gate = asyncio.Semaphore(at_once)
        shares = [0.0] * len(finished)

        def report(place: int, share: float) -> None:
            shares[place] = share
            self.progress.report(self.begin + (self.end - self.begin) * sum(shares) / len(shares))

        async def redraw(place: int, one: FinishedImage) -> FinishedImage:
            async with gate:
                try:
                    async for latest in self._passes(one, partial(report, place)):
                        one = latest
                except DarkroomError as error:
                    one = _warned(one, f"ADetailer left an image before its end: {error.message}")
                report(place, 1.0)
                return one

        async with asyncio.TaskGroup() as group:
            running = [group.create_task(redraw(place, one)) for place, one in enumerate(finished)]
        return [task.result() for task in running]

    async def _passes(self, finished: FinishedImage, report: Report) -> AsyncGenerator[FinishedImage]:
        """Yield an image after each pass of each unit."""
        units = self.order.details
        for place, unit in enumerate(units):
            if self.progress.interrupted.is_set():
                return
            finished, masks = await self._find(finished, unit)
            yield finished
            for number, mask in enumerate(masks):
                if self.progress.interrupted.is_set():
                    return
                width = 1 / len(units) / len(masks)
                piece = _piece(report, place / len(units) + number * width, width)
                finished = await self._inpaint(finished, unit, mask, number, piece)
                yield finished

    async def _find(self, finished: FinishedImage, unit: DetailUnit) -> tuple[FinishedImage, list[Gray]]:
        """Find the faces that a unit redraws, as many as the request has passes left. -> image with the warnings of
        that, a mask for each face"""
        if not self.passes_left:
            return _warned(finished, _TOO_MANY), []
        [faces] = await self.finder.find_faces([finished.image])
        size = (finished.image.shape[1], finished.image.shape[0])
        masks = await asyncio.to_thread(draw_masks, size, faces, unit.shape or "box", unit.masks, _MOST_FACES)
        taken = masks[: self.passes_left]
        self.passes_left -= len(taken)
        if not masks:
            finished = _warned(finished, "ADetailer found no face")
        elif len(taken) < len(masks):
            finished = _warned(finished, _TOO_MANY)
        return finished, taken

    async def _inpaint(
        self, finished: FinishedImage, unit: DetailUnit, mask: Gray, number: int, report: Report
    ) -> FinishedImage:
        prompt = _prompt_of(unit, self.order, self.catalogue, number)
        request = _request(finished.task, unit, prompt, number)
        canvas = await asyncio.to_thread(_canvas, finished.image, mask, unit, request)
        request = replace(request, init_image=canvas.image, mask=canvas.mask)
        task = ImageTask(request, request.seed, request.variation_seed, canvas)
        made = await generate_image(self.diffuser, task, self.progress, lambda step: report(step.step / step.steps))
        if made is None:
            return finished
        return _warned(replace(finished, image=made.image), *prompt.warnings, *made.warnings)


def _piece(report: Report, begin: float, width: float) -> Report:
    return lambda share: report(begin + width * share)


def _warned(finished: FinishedImage, *warnings: str) -> FinishedImage:
    return replace(finished, warnings=(*finished.warnings, *warnings))


def _canvas(image: Image, mask: Gray, unit: DetailUnit, request: GenerationRequest) -> InpaintCanvas:
    """Prepare a pass, whose result is laid over the image at the image's own size."""
    soft = blur_mask(mask, unit.ad_mask_blur, unit.ad_mask_blur)
    canvas = prepare(
        image,
        soft,
        (request.width, request.height),
        "stretch",
        only_masked=unit.ad_inpaint_only_masked,
        padding=unit.ad_inpaint_only_masked_padding,
        fill=False,
    )
    return canvas if canvas.area else replace(canvas, original=image, overlay=firm(soft))


def _prompt_of(unit: DetailUnit, order: GenerationOrder, catalogue: ModelCatalogue, number: int) -> ResolvedPrompt:
    """The prompts of face `number`: the unit's own, in which `[SEP]` separates those of several faces and `[PROMPT]`
    stands for the request's; empty: the request's."""
    body = order.body
    own, negative = (_part(text, number) for text in (unit.ad_prompt, unit.ad_negative_prompt))
    changed = body.model_copy(
        update={
            "prompt": own.replace(ORIGINAL, body.prompt) or body.prompt,
            "negative_prompt": negative.replace(ORIGINAL, body.negative_prompt) or body.negative_prompt,
            "styles": None if own and ORIGINAL not in own else body.styles,
        }
    )
    return resolve_prompt(changed, catalogue, comments=order.options.prompt_comments)


def _part(text: str, number: int) -> str:
    parts = text.split(SEPARATOR)
    return parts[min(number, len(parts) - 1)].strip()


def _request(task: ImageTask, unit: DetailUnit, prompt: ResolvedPrompt, number: int) -> GenerationRequest:
    """The engine's request for one face, as the image's own but for what the unit says."""
    request = task.request
    size = (request.width, request.height)
    if unit.ad_use_inpaint_width_height:
        size = on_grid((unit.ad_inpaint_width, unit.ad_inpaint_height))
    sampler, scheduler = request.sampler, request.scheduler
    if unit.ad_use_sampler:
        scheduler = "" if unit.ad_scheduler == "Use same scheduler" else unit.ad_scheduler
        chosen = choose_sampler(unit.ad_sampler, scheduler)
        sampler, scheduler = chosen.sampler.name, chosen.scheduler.label
    return replace(
        request,
        prompt=prompt.text,
        negative_prompt=prompt.negative_prompt,
        loras=prompt.loras,
        seed=(task.seed + number) % (MAX_SEED + 1),
        width=size[0],
        height=size[1],
        steps=unit.ad_steps if unit.ad_use_steps else request.steps,
        guidance_scale=unit.ad_cfg_scale if unit.ad_use_cfg_scale else request.guidance_scale,
        sampler=sampler,
        scheduler=scheduler,
        clip_skip=unit.ad_clip_skip if unit.ad_use_clip_skip else request.clip_skip,
        denoising_strength=unit.ad_denoising_strength,
        masked_content="original",
        controls=(),
        hires=None,
        tiling=False,
    )
