"""Execution of one batch: prompts to embeddings, one or two denoising passes, latents to images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from deployments.algorithms.a1111.bounds import LATENT_UPSCALERS
from deployments.algorithms.a1111.resizing import resize
from deployments.algorithms.a1111.samplers import (
    PartialSteps,
    count_calls,
    draws_as_it_likes,
    is_brownian,
    strength_for,
)
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep, Hires, ImagePrompt
from deployments.engines.diffusion.conditioning import Conditioner, Conditioning
from deployments.engines.diffusion.controlnets import ControlUnit
from deployments.engines.diffusion.denoiser import Denoiser, StepCallback
from deployments.engines.diffusion.device import Device, out_of_memory
from deployments.engines.diffusion.image_encoders import ImageEncoder
from deployments.engines.diffusion.image_prompts import ImagePromptPass, ImageWords, read_image
from deployments.engines.diffusion.ip_adapters import IpAdapter
from deployments.engines.diffusion.model_cache import Lease
from deployments.engines.diffusion.noise import draw_noise, make_generator, make_step_generator
from deployments.engines.diffusion.passes import Control, DenoisePass, Inpainting
from deployments.engines.diffusion.pixels import latent_mask, stack_hints, stack_images, to_images
from deployments.engines.diffusion.references import ReferencePass
from deployments.engines.diffusion.refiner import Refiner, encode_for
from deployments.engines.diffusion.registry import ModelRegistry
from deployments.engines.diffusion.scheduler_factory import make_scheduler
from deployments.engines.diffusion.schedulers import draw
from deployments.engines.diffusion.textual_inversions import NONE
from deployments.engines.diffusion.tiling import tiled
from deployments.engines.diffusion.upscalers import Upscaler
from deployments.engines.diffusion.upscaling import upscale_image, upscale_latents
from deployments.engines.diffusion.vaes import decode, encode
from deployments.engines.diffusion.validation import kind_of
from deployments.errors import DarkroomError, JobCancelled, NotSupported, WeightsMissing
from deployments.kit.batching import BatchListener

_LATENT_PX = 8
_MAX_SHOWN = 80
_HASH_PATIENCE_S = 1.0
"""Seconds that a finished image waits for the hash of its checkpoint, which its file then lacks."""


@dataclass(frozen=True)
class _Row:
    """A request of the batch with its prompts encoded."""

    place: int
    request: GenerationRequest
    conditionings: tuple[Conditioning, ...]
    """Conditioning of each pass."""
    refined: Conditioning | None = None
    """Conditioning as the refiner sees it."""


class Batch:
    """Batch of requests of one key, made and run once, in one thread."""

    def __init__(
        self,
        models: ModelRegistry,
        device: Device,
        lease: Lease,
        requests: list[GenerationRequest],
        watch: BatchListener[GenerationRequest, GenerationStep],
    ) -> None:
        """Load what the requests need; those that join are appended to them.

        Raises `WeightsMissing`, `NotSupported`, `OutOfMemory`.
        """
        lead = requests[0]
        self._models = models
        self._device = device
        self._lease = lease
        self._requests = requests
        self._watch = watch
        self._outcomes: dict[int, GeneratedPicture | DarkroomError] = {}
        self._has_begun = False
        if lead.refiner:
            found = models.find_checkpoint(lead.checkpoint), models.catalogue.find("checkpoints", lead.refiner)
            models.check_budget(*dict.fromkeys(found))
        self._checkpoint = models.checkpoint(lease, lead.checkpoint)
        if self._checkpoint.is_for_inpainting and (kind_of(lead) != "inpaint" or lead.hires):
            name = self._checkpoint.model.name
            raise NotSupported(f"The checkpoint '{name}' is for inpainting only: it needs a picture and a mask.")
        self._vae = models.vae(lease, lead.vae, self._checkpoint)
        self._precision = self._vae.dtype
        self._nets = [models.controlnet(lease, hint.model, self._checkpoint, hint.shows) for hint in lead.controls]
        self._inversions = models.textual_inversions(self._checkpoint)
        tokenizer, encoder, second = self._checkpoint.conditioner_parts
        self._warnings = [*models.use_loras(lease, self._checkpoint, lead.loras)]
        self._prompters = [self._prompter(prompt) for prompt in lead.image_prompts]
        self._words: dict[tuple[int, int], ImageWords] = {}
        """Words of the image prompts that were read, by place of the request and number of the prompt."""
        self._conditioner = Conditioner(
            tokenizer,
            encoder,
            self._inversions,
            second,
            emphasis=lead.emphasis,
            pad=lead.pad_prompts,
            caches=models.embeddings(self._checkpoint),
        )
        self._refiner = models.refiner(lease, lead.refiner, self._checkpoint) if lead.refiner else None
        self._refiner_inversions = models.textual_inversions(self._refiner) if self._refiner else NONE
        models.catalogue.known_sha256(self._checkpoint.model)  # is computed while the images are drawn

    def run(self) -> list[GeneratedPicture | DarkroomError]:
        """Run the batch; -> outcomes in the order of the requests, `JobCancelled` for cancelled ones.

        Requests of other lengths follow in passes of their own. Each has its outcome once its own pass is done, and an
        error of one pass is none of the others'.
        """
        waiting = [*self._encode_all(0), *self._take_in(wait=False)]
        with self._tiling():
            while waiting:
                rows, waiting = _of_equal_length(waiting)
                for place, outcome in self._make(rows, waiting).items():
                    self._end(place, outcome)
        return [self._outcomes.get(place) or JobCancelled("Cancelled.") for place in range(len(self._requests))]

    def _make(self, rows: list[_Row], others: list[_Row]) -> dict[int, GeneratedPicture | DarkroomError]:
        """Make the images of rows, to which those that join are appended, to `others` those of other lengths. ->
        outcomes by place"""
        import torch

        refusal: DarkroomError
        try:
            latents = None if self._is_over(rows) else self._denoise(rows, others)
            return {} if latents is None or self._is_over(rows) else dict(self._finish(rows, latents))
        except torch.OutOfMemoryError:
            refusal = out_of_memory()
        except DarkroomError as error:
            refusal = error.with_traceback(None)  # whose frames hold the tensors
        self._models.give_back()  # here, where these are gone
        return dict.fromkeys((row.place for row in rows), refusal)

    def _end(self, place: int, outcome: GeneratedPicture | DarkroomError) -> None:
        self._outcomes[place] = outcome
        self._watch.finish(place, outcome)

    def _take_in(self, *, wait: bool) -> list[_Row]:
        """Take in requests that have come; -> their rows."""
        rows = []
        while joining := self._watch.join(wait=wait):
            first = len(self._requests)
            self._requests.extend(joining)
            rows += self._encode_all(first)
        return rows

    def _encode_all(self, first: int) -> list[_Row]:
        """Encode the requests from place `first` on; an error, as of too long a prompt, ends its own one only."""
        import torch

        rows = []
        for place in range(first, len(self._requests)):
            try:
                rows.append(self._encode(place))
            except torch.OutOfMemoryError:
                self._end(place, out_of_memory())
            except DarkroomError as refusal:
                self._end(place, refusal.with_traceback(None))
        return rows

    def _tiling(self) -> AbstractContextManager[None]:
        if not self._requests[0].tiling:
            return nullcontext()
        unets = [checkpoint.unet for checkpoint in (self._checkpoint, self._refiner) if checkpoint]
        return tiled((*unets, self._vae), self._models.tiling)

    def _encode(self, place: int) -> _Row:
        request, hires = self._requests[place], self._requests[place].hires
        calls = count_calls(request.sampler, request.steps)
        clip_skip = request.clip_skip if self._checkpoint.skips_layers else 1
        conditionings = [self._conditioner.encode(request.prompt, request.negative_prompt, calls, clip_skip=clip_skip)]
        if hires:
            conditionings.append(
                self._conditioner.encode(
                    hires.prompt or request.prompt,
                    hires.negative_prompt or request.negative_prompt,
                    count_calls(hires.sampler or request.sampler, hires.steps),
                    clip_skip=clip_skip,
                    first_pass_steps=calls,
                )
            )
        refined = encode_for(self._refiner, request, self._refiner_inversions) if self._refiner else None
        return _Row(place, request, tuple(conditionings), refined)

    def _denoise(self, rows: list[_Row], others: list[_Row]) -> Any | None:
        """Run the passes of the rows and of those that join them; -> their latents, None when all were cancelled."""
        first, latents = self._make_ready(rows, others)
        second = self._second_pass(rows)
        total = sum(denoiser.calls for denoiser in (first, second) if denoiser)
        if first:
            latents = first.run(self._listener(rows, 0, total), latents)
        if self._is_over(rows):
            return None
        if hires := rows[0].request.hires:
            latents = self._enlarge(latents, hires)
        if second:
            latents = second.run(self._listener(rows, total - second.calls, total), latents)
        return latents

    def _make_ready(self, rows: list[_Row], others: list[_Row]) -> tuple[Denoiser | None, Any]:
        """Make the first pass ready, anew with requests that have come in this time. -> it, and what it begins with.

        Only a batch's first pass is joined, so that requests of other shapes get their turn.
        """
        while True:
            first = self._first_pass(rows)
            latents = self._begin(rows, first)
            fitting: list[_Row] = []
            if not self._has_begun:
                fitting, apart = _of_equal_length([rows[0], *self._take_in(wait=True)])
                others += apart
            if len(fitting) < 2:  # none but the first one
                self._has_begun = True
                return first, latents
            rows += fitting[1:]

    def _first_pass(self, rows: Sequence[_Row]) -> Denoiser | None:
        """Make the first pass ready; None where an init image is left as it is."""
        lead, kind = rows[0].request, kind_of(rows[0].request)
        steps = PartialSteps(lead.steps, 1.0, lead.steps)
        if kind != "text":
            steps = strength_for(lead.denoising_strength, lead.steps, lead.exact_steps)
        return self._pass(rows, 0, kind, (lead.width, lead.height), lead.sampler, lead.scheduler, steps)

    def _second_pass(self, rows: Sequence[_Row]) -> Denoiser | None:
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
        rows: Sequence[_Row],
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
        checkpoint = self._checkpoint
        made, warnings = make_scheduler(
            sampler, scheduler, checkpoint.scheduler.config, eta=lead.eta, is_xl=checkpoint.is_xl
        )
        self._warnings += warnings
        if lead.noise_source == "NV" and draws_as_it_likes(sampler):
            self._warnings.append(
                f"The noise that {sampler} adds is the processor's: randn_source NV is the first one's."
            )
        noise, generators = self._noise(rows, size, is_brownian=is_brownian(sampler))
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
        return Denoiser(self._checkpoint, job, self._models.graphs)

    def _noise(self, rows: Sequence[_Row], size: tuple[int, int], *, is_brownian: bool) -> tuple[Any, list[Any]]:
        """Draw the first noise of a pass, `float32[N, C, h, w]`. -> it, and the generators of what samplers add."""
        import torch

        drawn, generators = [], []
        for row in rows:
            first = make_generator(row.request, self._device.name)
            drawn.append(draw_noise(row.request, first, self._vae.config.latent_channels, size))
            own = make_step_generator(row.request, first, self._device.name, is_brownian=is_brownian)
            generators.append(own)
        return torch.cat(drawn).to(self._device.name), generators

    def _refining(self, rows: Sequence[_Row]) -> Refiner | None:
        if self._refiner is None:
            return None
        conditionings = [row.refined for row in rows if row.refined is not None]
        return Refiner(self._refiner, rows[0].request.refiner_switch_at, conditionings)

    def _references(self, rows: Sequence[_Row], size: tuple[int, int], which: str) -> list[ReferencePass]:
        """Encode the reference images of a pass, resized to its size where there are two sizes."""
        made = []
        for number, lead in enumerate(rows[0].request.references):
            if lead.passes in ("both", which):
                images = [resize(row.request.references[number].image, size) for row in rows]
                latents = encode(self._vae, stack_images(self._device, images) * 2 - 1).float()
                generators = [make_generator(row.request, self._device.name) for row in rows]
                made.append(ReferencePass(latents, partial(draw, latents, generators), lead, which == "hires"))
        return made

    def _prompter(self, prompt: ImagePrompt) -> tuple[IpAdapter, ImageEncoder] | None:
        """Load what an image prompt needs; None, with a warning, for one that cannot be used here."""
        try:
            return self._models.image_prompter(self._lease, prompt.model, self._checkpoint)
        except (NotSupported, WeightsMissing) as error:
            self._leave_out(prompt, error)
            return None

    def _leave_out(self, prompt: ImagePrompt, reason: DarkroomError) -> None:
        name = prompt.model[:_MAX_SHOWN]
        self._warnings.append(f"The IP-Adapter '{name}' was left out: {reason.message.rstrip('.')}.")

    def _image_prompts(self, rows: Sequence[_Row], which: str) -> list[ImagePromptPass]:
        """Read the image prompts of a pass; each image is encoded once."""
        made = []
        for number, lead in enumerate(rows[0].request.image_prompts):
            prompter = self._prompters[number]
            if prompter is None or lead.passes not in ("both", which):
                continue
            try:
                words = [self._read(row, number, *prompter) for row in rows]
            except NotSupported as error:
                self._prompters[number] = None
                self._leave_out(lead, error)
            else:
                made.append(ImagePromptPass(lead, prompter[0], words))
        return made

    def _read(self, row: _Row, number: int, adapter: IpAdapter, encoder: ImageEncoder) -> ImageWords:
        key = (row.place, number)
        if key not in self._words:
            own = row.request.image_prompts[number]
            self._words[key] = read_image(adapter, encoder, own.image, own.mask)
        return self._words[key]

    def _controls(self, rows: Sequence[_Row], size: tuple[int, int], which: str) -> list[Control]:
        """Select the ControlNets of a pass; their hints are resized to its size where there are two sizes."""
        controls = []
        for number, net in enumerate(self._nets):
            hints = [row.request.controls[number] for row in rows]
            if hints[0].passes in ("both", which):
                seen = stack_hints(self._device, hints, size)
                unit = ControlUnit.of(hints[0], hires=which == "hires")
                latents = encode(self._vae, seen * 2 - 1).float() if unit.colours else None
                controls.append(Control(unit, net, seen, latents))
        return controls

    def _begin(self, rows: Sequence[_Row], first: Denoiser | None) -> Any | None:
        """Make the latents that the first pass starts from; None if it starts from noise alone."""
        lead = rows[0].request
        if lead.init_image is None:
            return None
        latents = encode(
            self._vae, stack_images(self._device, [row.request.init_image for row in rows]) * 2 - 1
        ).float()
        if first is None or first.job.inpainting is None or lead.masked_content == "original":
            return latents
        anew = first.job.inpainting.mask
        return latents * (1 - anew) + (first.job.noise * anew if lead.masked_content == "noise" else 0)

    def _enlarge(self, latents: Any, hires: Hires) -> Any:
        size = (hires.width, hires.height)
        if hires.upscaler in LATENT_UPSCALERS:
            return upscale_latents(latents, hires.upscaler, size)

        def network() -> Upscaler:
            return self._models.upscaler(self._lease, hires.upscaler)

        pictures = to_images(decode(self._vae, latents))
        images = [upscale_image(picture, hires.upscaler, size, network) for picture in pictures]
        return encode(self._vae, stack_images(self._device, images) * 2 - 1)

    def _finish(self, rows: Sequence[_Row], latents: Any) -> dict[int, GeneratedPicture]:
        """Decode the images of rows that were not cancelled; -> them by place."""
        kept = [number for number, row in enumerate(rows) if not self._watch.is_cancelled(row.place)]
        if not kept:
            return {}
        pixels = decode(self._vae, latents[kept])
        sha256 = self._models.catalogue.known_sha256(self._checkpoint.model, _HASH_PATIENCE_S)
        name = self._checkpoint.model.name
        return {
            rows[number].place: GeneratedPicture(image, name, sha256, self._warnings_of(rows[number], own))
            for number, own, image in zip(kept, pixels, to_images(pixels), strict=True)
        }

    def _warnings_of(self, row: _Row, pixels: Any) -> tuple[str, ...]:
        warnings = [*self._warnings, *self._inversions.warnings, *self._refiner_inversions.warnings]
        if self._refiner and self._refiner.text_encoder is None and self._inversions.are_used:
            warnings.append("The refiner read the names of textual inversions as text: SDXL's own takes none.")
        if not self._checkpoint.is_guided(row.request.guidance_scale) and any(
            conditioning.is_composed for conditioning in row.conditionings
        ):
            warnings.append("AND joins prompts only with a guidance scale over 1: the first one was used.")
        if row.request.clip_skip > 1 and not self._checkpoint.skips_layers:
            warnings.append("Clip skip has no meaning for checkpoints of SD 2.x and SDXL: it was not used.")
        if self._vae.dtype != self._precision:
            warnings.append("The VAE overflowed in half precision: it was run again, and stays, in float32.")
        if not pixels.isfinite().all():
            warnings.append("The model computed values that are no numbers, which are black: try another VAE.")
        return tuple(dict.fromkeys(warnings))

    def _inpainting(self, rows: Sequence[_Row]) -> Inpainting:
        """Make what a pass with masks needs: masks of the latents, for inpainting models the masked image too."""
        import torch

        masks = np.stack([latent_mask(row.request) for row in rows if row.request.mask is not None])
        mask = torch.from_numpy(masks[:, None]).to(self._device.name)
        if not self._checkpoint.is_for_inpainting:
            return Inpainting(mask)
        pixels = stack_images(self._device, [row.request.init_image for row in rows]) * 2 - 1
        coarse = mask.repeat_interleave(_LATENT_PX, 2).repeat_interleave(_LATENT_PX, 3)
        seen = encode(self._vae, pixels * (1 - coarse).to(pixels.dtype)).float()
        return Inpainting(mask, torch.cat([mask, seen], dim=1))

    def _listener(self, rows: Sequence[_Row], done_before: int, total: int) -> StepCallback:
        def listen(done: int, latents: Any) -> bool:
            import torch

            seen = latents.to(torch.float16).cpu().numpy()
            for row, own in zip(rows, seen, strict=True):
                self._watch.report(row.place, GenerationStep(done_before + done, total, own))
            return not self._is_over(rows)

        return listen

    def _is_over(self, rows: Sequence[_Row]) -> bool:
        return all(self._watch.is_cancelled(row.place) for row in rows)


def _of_equal_length(rows: Sequence[_Row]) -> tuple[list[_Row], list[_Row]]:
    """Part rows into those whose prompts have the lengths of the first one's, and the others: padding a short prompt to
    a long one's would change its image."""
    first = _lengths(rows[0])
    return [row for row in rows if _lengths(row) == first], [row for row in rows if _lengths(row) != first]


def _lengths(row: _Row) -> tuple[tuple[int, int], ...]:
    seen = [*row.conditionings, *([row.refined] if row.refined else [])]
    return tuple(conditioning.lengths for conditioning in seen)
