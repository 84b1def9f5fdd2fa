"""Styles by the diffusion engine: img2img requests from a style's recipe and the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from configs.styles import SUBJECT, DiffusionRecipe, StyleControl
from deployments.algorithms.a1111.prompts.extra_networks import extract_networks
from deployments.algorithms.images.resizing import working_size
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    ControlHint,
    Diffuser,
    GenerationRequest,
    HintModule,
    HintOptions,
    Lora,
    ModelCatalogue,
)
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.errors import WeightsMissing
from serve_app.services.edits.diffusion import find_loras, find_model, generate_picture
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.controlnet.fitting import choose_model, family_of

_HINT_SHARE = 0.15
"""Share of the progress bar for hints, where a recipe has ControlNets."""


class DiffusionStylist:
    """Engine `diffusers`: img2img over the image, held in shape by the recipe's ControlNets."""

    def __init__(self, diffuser: Diffuser, pixels: int, pixels_xl: int = 1024 * 1024) -> None:
        """`pixels`: width times height at which the model works; `pixels_xl`: an SDXL."""
        self._diffuser = diffuser
        self._pixels, self._pixels_xl = pixels, pixels_xl

    async def render(self, request: StyleTask, recipe: DiffusionRecipe, progress: Progress) -> StyledPicture:
        """Redraw the image, by the recipe for the checkpoint's family. LoRAs and ControlNets whose weights are missing,
        and ControlNets of another family for which none fits, are left out with a warning.

        Raises what `Diffuser` raises.
        """
        catalogue = await self._diffuser.list_models()
        family = family_of(catalogue, recipe.checkpoint)
        general, recipe = recipe, recipe.for_family(family)
        request = _for_family(request, general, recipe)
        pixels = recipe.pixels or (self._pixels_xl if family == "sdxl" else self._pixels)
        width, height = working_size(request.image.shape[1], request.image.shape[0], pixels)
        source = np.asarray(cv2.resize(request.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        asked = extract_networks(request.prompt)
        own = (Lora(lora.name, lora.weight, lora.weight) for lora in recipe.loras)
        loras, warnings = find_loras((*own, *asked.loras), catalogue)
        share = _HINT_SHARE if recipe.controls else 0.0
        controls, more = await self._hints(recipe, catalogue, family, source, progress.part(0.0, share))
        wanted = GenerationRequest(
            prompt=asked.text,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            width=width,
            height=height,
            steps=recipe.steps,
            guidance_scale=recipe.guidance_scale,
            sampler=recipe.sampler,
            scheduler=recipe.scheduler,
            checkpoint=recipe.checkpoint,
            clip_skip=recipe.clip_skip,
            loras=loras,
            controls=controls,
            init_image=source,
            denoising_strength=request.strength,
        )
        made = await generate_picture(self._diffuser, wanted, progress.part(share, 1.0))
        return StyledPicture(made.image, (*warnings, *more, *made.warnings))

    async def _hints(
        self, recipe: DiffusionRecipe, catalogue: ModelCatalogue, family: str, source: Image, progress: Progress
    ) -> tuple[tuple[ControlHint, ...], list[str]]:
        hints: list[ControlHint] = []
        warnings: list[str] = []
        for number, control in enumerate(recipe.controls, 1):
            model = find_model(catalogue.controlnets, control.model)
            if model is None or not _is_available(catalogue.modules, control):
                warnings.append(f"Without ControlNet {control.model}: it is not installed.")
                continue
            fitting = choose_model(catalogue, model, control.module, family)
            if fitting and fitting.model is None:
                warnings.append(f"Without ControlNet {control.model}: {fitting.warning}.")
                continue
            model = fitting.model.name if fitting and fitting.model else model
            try:
                image = await self._diffuser.make_hint(control.module, source, HintOptions())
            except WeightsMissing as error:
                warnings.append(f"Without ControlNet {control.model}: {error.message}")
                continue
            hints.append(ControlHint(model, image, weight=control.weight, mode=control.mode))
            progress.report(number / len(recipe.controls))
        return tuple(hints), warnings


def _for_family(request: StyleTask, general: DiffusionRecipe, recipe: DiffusionRecipe) -> StyleTask:
    """Put the family's words and strength where the request has the style's own; what the client chose stays."""
    before, _, after = general.prompt.partition(SUBJECT)
    prompt = request.prompt
    if recipe.prompt != general.prompt and prompt.startswith(before) and prompt.endswith(after):
        prompt = recipe.prompt.replace(SUBJECT, prompt[len(before) : len(prompt) - len(after)])
    is_own_negative = request.negative_prompt == general.negative_prompt
    return replace(
        request,
        prompt=prompt,
        negative_prompt=recipe.negative_prompt if is_own_negative else request.negative_prompt,
        strength=recipe.strength if request.strength == general.strength else request.strength,
    )


def _is_available(modules: Iterable[HintModule], control: StyleControl) -> bool:
    known = next((module for module in modules if control.module in (module.name, module.label)), None)
    return known is None or known.available
