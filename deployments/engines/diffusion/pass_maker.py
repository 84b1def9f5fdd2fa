"""Passes of rows made ready: noise, masks, hints, references and image prompts as tensors for the denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from deployments.algorithms.a1111.resizing import resize
from deployments.algorithms.a1111.samplers import PartialSteps, draws_as_it_likes, is_brownian, strength_for
from deployments.engines.diffusion.batch_models import BatchModels
from deployments.engines.diffusion.controlnets import ControlUnit
from deployments.engines.diffusion.denoiser import Denoiser
from deployments.engines.diffusion.image_encoders import ImageEncoder
from deployments.engines.diffusion.image_prompts import ImagePromptPass, ImageWords, read_image
from deployments.engines.diffusion.ip_adapters import IpAdapter
from deployments.engines.diffusion.noise import draw_noise, make_generator, make_step_generator
from deployments.engines.diffusion.passes import Control, DenoisePass, Inpainting
from deployments.engines.diffusion.pixels import latent_mask, stack_hints, stack_images
from deployments.engines.diffusion.references import ReferencePass
from deployments.engines.diffusion.refiner import Refiner
from deployments.engines.diffusion.rows import Row
from deployments.engines.diffusion.scheduler_factory import make_scheduler
from deployments.engines.diffusion.schedulers import draw
from deployments.engines.diffusion.vaes import encode
from deployments.engines.diffusion.validation import kind_of
from deployments.errors import NotSupported

_LATENT_PX = 8


class PassMaker:
    """Makes the passes of a batch's rows ready."""

    def __init__(self, models: BatchModels) -> None:
        self._models = models
        self._words: dict[tuple[int, int], ImageWords] = {}
        """Words of the image prompts that were read, by place of the request and number of the prompt."""

    def first(self, rows: Sequence[Row]) -> Denoiser | None:
        """Make the first pass ready; None where an init image is left as it is."""
        lead, kind = rows[0].request, kind_of(rows[0].request)
        steps = PartialSteps(lead.steps, 1.0, lead.steps)
        if kind != "text":
            steps = strength_for(lead.denoising_strength, lead.steps, lead.exact_steps)
        return self._pass(rows, 0, kind, (lead.width, lead.height), lead.sampler, lead.scheduler, steps)

    def begin(self, rows: Sequence[Row], first: Denoiser | None) -> Any | None:
        """Make the latents that the first pass starts from; None if it starts from noise alone."""
        lead = rows[0].request
        if lead.init_image is None:
            return None
        latents = encode(
            self._models.vae, stack_images(self._models.device, [row.request.init_image for row in rows]) * 2 - 1
        ).float()
        if first is None or first.job.inpainting is None or lead.masked_content == "original":
            return latents
        anew = first.job.inpainting.mask
        return latents * (1 - anew) + (first.job.noise * anew if lead.masked_content == "noise" else 0)

    def second(self, rows: Sequence[Row]) -> Denoiser | None:
        """Make the hires pass ready; None where there is none, or it only upscales."""
        lead = rows[0].request
        if lead.hires is None:
            return None
        steps = strength_for(lead.hires.denoising_strength, lead.hires.steps, exact_steps=True)
        size = (lead.hires.width, lead.hires.height)
        sampler, scheduler = lead.hires.sampler or lead.sampler, lead.hires.scheduler or lead.scheduler
        return self._pass(rows, 1, "image", size, sampler, scheduler, steps)

    def _pass(
        self,
        rows: Sequence[Row],
        number: int,
        kind: str,
        size: tuple[int, int],
        sampler: str,
        scheduler: str,
        steps: PartialSteps,
    ) -> Denoiser | None:
        if not steps.runs:
            return None
        lead = rows[0].request
        checkpoint = self._models.checkpoint
        made, warnings = make_scheduler(
            sampler, scheduler, checkpoint.scheduler.config, eta=lead.eta, is_xl=checkpoint.is_xl
        )
        self._models.warnings += warnings
        if lead.noise_source == "NV" and draws_as_it_likes(sampler):
            self._models.warnings.append(
                f"The noise that {sampler} adds is the processor's: randn_source NV is the first one's."
            )
        noise, generators = self._noise(rows, size, is_brownian=is_brownian(sampler))
        if number == 0:
            noise = self._under(noise, rows, size, float(made.alphas_cumprod[-1]))
        job = DenoisePass(
            size=size,
            scheduler=made,
            steps=steps.steps,
            runs=steps.runs,
            guidance_scale=lead.guidance_scale,
            conditionings=[row.conditionings[number] for row in rows],
            generators=generators,
            noise=noise,
            is_from_image=kind != "text",
            inpainting=self._inpainting(rows) if kind == "inpaint" else None,
            controls=self._controls(rows, size, "first" if number == 0 else "hires"),
            crop=lead.crop,
            scores=lead.scores,
            references=self._references(rows, size, "first" if number == 0 else "hires"),
            image_prompts=self._image_prompts(rows, "first" if number == 0 else "hires"),
            refiner=self._refining(rows) if number == (1 if lead.hires else 0) else None,
        )
        return Denoiser(self._models.checkpoint, job, self._models.registry.graphs)

    def _noise(self, rows: Sequence[Row], size: tuple[int, int], *, is_brownian: bool) -> tuple[Any, list[Any]]:
        """Draw the first noise of a pass, `float32[N, C, h, w]`. -> it, and the generators of what samplers add."""
        import torch

        drawn, generators = [], []
        for row in rows:
            first = make_generator(row.request, self._models.device.name)
            drawn.append(draw_noise(row.request, first, self._models.vae.config.latent_channels, size))
            own = make_step_generator(row.request, first, self._models.device.name, is_brownian=is_brownian)
            generators.append(own)
        return torch.cat(drawn).to(self._models.device.name), generators

    def _under(self, noise: Any, rows: Sequence[Row], size: tuple[int, int], kept: float) -> Any:
        """Put noise over the hint that the pass begins from, where there is one: of several the last, as in the
        original. `kept`: share of an image's variance that the schedule leaves at its noisiest step."""
        controls = rows[0].request.controls
        places = [place for place, one in enumerate(controls) if one.is_begun and one.passes != "hires"]
        if not places:
            return noise
        images = [resize(row.request.controls[places[-1]].image, size) for row in rows]
        latents = encode(self._models.vae, stack_images(self._models.device, images) * 2 - 1).float()
        return latents * kept**0.5 + noise * (1 - kept) ** 0.5

    def _refining(self, rows: Sequence[Row]) -> Refiner | None:
        if self._models.refiner is None:
            return None
        conditionings = [row.refined for row in rows if row.refined is not None]
        return Refiner(self._models.refiner, rows[0].request.refiner_switch_at, conditionings)

    def _references(self, rows: Sequence[Row], size: tuple[int, int], which: str) -> list[ReferencePass]:
        """Encode the reference images of a pass, resized to its size where there are two sizes."""
        made = []
        for number, lead in enumerate(rows[0].request.references):
            if lead.passes in ("both", which):
                images = [resize(row.request.references[number].image, size) for row in rows]
                latents = encode(self._models.vae, stack_images(self._models.device, images) * 2 - 1).float()
                generators = [make_generator(row.request, self._models.device.name) for row in rows]
                made.append(ReferencePass(latents, partial(draw, latents, generators), lead, which == "hires"))
        return made

    def _image_prompts(self, rows: Sequence[Row], which: str) -> list[ImagePromptPass]:
        """Read the image prompts of a pass; each image is encoded once."""
        made = []
        for number, lead in enumerate(rows[0].request.image_prompts):
            prompter = self._models.prompters[number]
            if prompter is None or lead.passes not in ("both", which):
                continue
            try:
                words = [self._read(row, number, *prompter) for row in rows]
            except NotSupported as error:
                self._models.leave_out(number, error)
            else:
                made.append(ImagePromptPass(lead, prompter[0], words))
        return made

    def _read(self, row: Row, number: int, adapter: IpAdapter, encoder: ImageEncoder) -> ImageWords:
        key = (row.place, number)
        if key not in self._words:
            own = row.request.image_prompts[number]
            self._words[key] = read_image(adapter, encoder, own.image, own.mask)
        return self._words[key]

    def _controls(self, rows: Sequence[Row], size: tuple[int, int], which: str) -> list[Control]:
        """Select the ControlNets of a pass; their hints are resized to its size where there are two sizes."""
        controls = []
        for number, net in enumerate(self._models.nets):
            hints = [row.request.controls[number] for row in rows]
            if hints[0].passes in ("both", which):
                seen = stack_hints(self._models.device, hints, size)
                unit = ControlUnit.of(hints[0], hires=which == "hires")
                latents = encode(self._models.vae, seen * 2 - 1).float() if unit.colours else None
                controls.append(Control(unit, net, seen, latents))
        return controls

    def _inpainting(self, rows: Sequence[Row]) -> Inpainting:
        """Make what a pass with masks needs: masks of the latents, for inpainting models the masked image too."""
        import torch

        masks = np.stack([latent_mask(row.request) for row in rows if row.request.mask is not None])
        mask = torch.from_numpy(masks[:, None]).to(self._models.device.name)
        if not self._models.checkpoint.is_for_inpainting:
            return Inpainting(mask)
        pixels = stack_images(self._models.device, [row.request.init_image for row in rows]) * 2 - 1
        coarse = mask.repeat_interleave(_LATENT_PX, 2).repeat_interleave(_LATENT_PX, 3)
        seen = encode(self._models.vae, pixels * (1 - coarse).to(pixels.dtype)).float()
        return Inpainting(mask, torch.cat([mask, seen], dim=1))
