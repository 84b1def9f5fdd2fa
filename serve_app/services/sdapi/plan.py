"""Planning: from an order to the requests that the engine gets, one an image."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deployments.algorithms.a1111.samplers import choose_sampler
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import MAX_SEED, Diffuser, GenerationRequest, ModelCatalogue
from serve_app.services.sdapi.controlnet.fitting import family_of
from serve_app.services.sdapi.controlnet.hints import ControlFrame, ControlHints, HintMaker
from serve_app.services.sdapi.controlnet.units import ControlNetUnit
from serve_app.services.sdapi.face_restoration import RestorerChoice, choose_restorer
from serve_app.services.sdapi.image_inputs import ImageInputs, JobImages
from serve_app.services.sdapi.img2img import init_img2img
from serve_app.services.sdapi.init import Init
from serve_app.services.sdapi.order import GenerationOrder
from serve_app.services.sdapi.prompts import resolve_prompt
from serve_app.services.sdapi.refining import choose_refiner
from serve_app.services.sdapi.requests import GenerationBody, Img2ImgBody, Txt2ImgBody, on_grid
from serve_app.services.sdapi.sd_upscale import Sheet
from serve_app.services.sdapi.tasks import Finishing, ImageTask
from serve_app.services.sdapi.txt2img import init_txt2img

_LEAST_SEED_PX = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """Engine requests for all images, and what the answer says about them."""

    tasks: tuple[ImageTask, ...]
    prompt: str
    """With styles and LoRA tags, as the answer names it; `negative_prompt` likewise."""
    negative_prompt: str
    maps: tuple[Image, ...]
    """Hints of ControlNets, returned after the images."""
    parameters: dict[str, Any]
    """Further fields of the infotext."""
    restore_faces: bool
    """Whether it was asked for."""
    restorer: str
    """File of the network that restores faces; empty: they are left as they are."""
    warnings: tuple[str, ...]
    sheet: Sheet | None = None
    """Where given, `tasks` are its tiles, image after image."""

    @property
    def image_tasks(self) -> tuple[ImageTask, ...]:
        """One task for each image of the answer: its own, or that of its first tile."""
        return self.tasks[:: len(self.sheet.boxes)] if self.sheet else self.tasks


class Planner:
    """Turns the orders of one job, all cells of a plot among them, into plans."""

    def __init__(self, diffuser: Diffuser, inputs: ImageInputs) -> None:
        self._inputs = inputs
        self._hints = HintMaker(diffuser)
        self._made: list[tuple[Sequence[ControlNetUnit], ControlFrame, str, ControlHints]] = []
        """Hints that were made: the cells of a plot have them in common, and preprocessors take seconds."""

    async def plan(self, order: GenerationOrder, files: Mapping[str, bytes], catalogue: ModelCatalogue) -> Plan:
        """Plan an order; `files` are the job's inputs by name.

        Raises `WebUiError` for images that cannot be read, and technical errors of the preprocessors.
        """
        body, options = order.body, order.options
        inputs = JobImages(files, self._inputs)
        resolved = resolve_prompt(body, catalogue, comments=options.prompt_comments)
        chosen = choose_sampler(body.sampler, body.scheduler or "")
        width, height = on_grid((body.width, body.height))
        request = GenerationRequest(
            prompt=resolved.text,
            negative_prompt=resolved.negative_prompt,
            variation_strength=body.subseed_strength,
            seed_size=_seed_size(body),
            width=width,
            height=height,
            steps=body.steps,
            guidance_scale=body.cfg_scale,
            sampler=chosen.sampler.name,
            scheduler=chosen.scheduler.label,
            eta=body.eta,
            checkpoint=options.checkpoint,
            vae=options.vae,
            clip_skip=options.clip_skip,
            loras=resolved.loras,
            exact_steps=options.exact_steps,
            **asdict(options.sampling),
            tiling=options.tiling if body.tiling is None else body.tiling,
        )
        if isinstance(body, Img2ImgBody):
            init = await init_img2img(body, request, inputs)
        else:
            assert isinstance(body, Txt2ImgBody)  # noqa: S101 - there are two kinds
            init = init_txt2img(body, request)
        warnings = [*order.warnings, *_without_effect(body), *resolved.warnings, *chosen.warnings, *init.warnings]
        units = order.units
        if init.sheet is not None and units:
            warnings.append("ControlNets are not applied to the tiles of SD upscale")
            units = ()
        family = family_of(catalogue, options.checkpoint)
        refined = choose_refiner(catalogue, body, options.checkpoint)
        warnings += refined.warnings
        hints = await self._make_hints(units, inputs, init.frame, catalogue, family)
        restore_faces = options.face_restoration if body.restore_faces is None else body.restore_faces
        restorer = choose_restorer(catalogue, options.face_restorer) if restore_faces else RestorerChoice("")
        if restorer.reason:
            warnings.append(f"Faces were not restored: {restorer.reason}")
        return Plan(
            tasks=_tasks(
                body,
                replace(
                    init.request,
                    controls=hints.controls,
                    references=hints.references,
                    image_prompts=hints.image_prompts,
                    **refined.fields,
                ),
                init,
                Finishing(restorer.name, options.restorer_weight, hints.kept),
            ),
            prompt=resolved.prompt,
            negative_prompt=resolved.negative_prompt,
            maps=() if options.hides_maps else hints.maps,
            parameters={
                **init.parameters,
                **_describe_sampling(request),
                **hints.parameters,
                **refined.parameters,
                "Lora hashes": resolved.hashes,
                "TI hashes": resolved.inversion_hashes,
            },
            restore_faces=restore_faces,
            restorer=restorer.name,
            warnings=tuple(dict.fromkeys([*warnings, *hints.warnings])),
            sheet=init.sheet,
        )

    async def _make_hints(
        self,
        units: Sequence[ControlNetUnit],
        inputs: JobImages,
        frame: ControlFrame,
        catalogue: ModelCatalogue,
        family: str,
    ) -> ControlHints:
        """Make the hints of units, once for frames of one size in which no image lies. Raises as `HintMaker.make`."""
        is_empty = frame.original is None and frame.canvas is None
        for made_for, of_frame, of_family, hints in self._made if is_empty else ():
            if made_for is units and of_frame == frame and of_family == family:
                return hints
        hints = await self._hints.make(units, inputs, frame, catalogue, family)
        if is_empty:
            self._made.append((units, frame, family, hints))
        return hints


def draw_seed(asked: int) -> int:
    """The seed that was asked for; a random one for -1."""
    return random.randrange(MAX_SEED - 1) if asked == -1 else asked % (MAX_SEED + 1)


def _tasks(body: GenerationBody, request: GenerationRequest, init: Init, finish: Finishing) -> tuple[ImageTask, ...]:
    """Tasks in the original's order, batch after batch; seeds count up, from one more for each sheet of tiles."""
    canvases, is_sheet = init.canvases, init.sheet is not None
    size = body.batch_size if len(canvases) == 1 and not is_sheet else len(canvases)
    seed, subseed = draw_seed(body.seed), draw_seed(body.subseed)
    tasks = []
    for place in range(size * body.n_iter):
        canvas = canvases[place % len(canvases)]
        step = sum(divmod(place, size)) if is_sheet else place
        own_seed = (seed if body.subseed_strength else seed + step) % (MAX_SEED + 1)
        own_subseed = (subseed + step) % (MAX_SEED + 1)
        one = replace(request, seed=own_seed, variation_seed=own_subseed)
        if canvas is not None:
            one = replace(one, init_image=canvas.image, mask=canvas.mask)
        tasks.append(ImageTask(one, own_seed, own_subseed, canvas, finish))
    return tuple(tasks)


def _without_effect(body: GenerationBody) -> list[str]:
    """Warnings for fields that have no effect on this server."""
    asked: dict[str, object] = {
        "s_churn": body.s_churn,
        "s_tmin": body.s_tmin,
        "s_tmax": body.s_tmax,
        "s_min_uncond": body.s_min_uncond,
        "s_noise": (body.s_noise or 1.0) - 1.0,
    }
    if isinstance(body, Txt2ImgBody) and body.hr_checkpoint_name != "Use same checkpoint":
        asked["hr_checkpoint_name"] = body.hr_checkpoint_name
    if isinstance(body, Img2ImgBody):
        asked["initial_noise_multiplier"] = (body.initial_noise_multiplier or 1.0) - 1.0
    return [f"{name} has no effect on this server" for name, value in asked.items() if value]


def _describe_sampling(request: GenerationRequest) -> dict[str, Any]:
    """Fields of the infotext for settings of noise and prompts that are not the original's defaults."""
    uses_delta = "uses_ensd" in choose_sampler(request.sampler).sampler.options
    return {
        "ENSD": request.noise_seed_delta or None if uses_delta else None,
        "RNG": request.noise_source if request.noise_source != "GPU" else None,
        "Emphasis": request.emphasis if request.emphasis != "Original" else None,
    }


def _seed_size(body: GenerationBody) -> tuple[int, int] | None:
    size = on_grid((body.seed_resize_from_w, body.seed_resize_from_h))
    return size if min(size) >= _LEAST_SEED_PX else None
