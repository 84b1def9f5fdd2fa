"""Models of a batch: what its requests need, loaded and made ready for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from deployments.contracts.diffusion import GenerationRequest, ImagePrompt
from deployments.engines.diffusion.conditioning import Conditioner, Conditioning
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.image_encoders import ImageEncoder
from deployments.engines.diffusion.ip_adapters import IpAdapter
from deployments.engines.diffusion.model_cache import Lease
from deployments.engines.diffusion.registry import ModelRegistry
from deployments.engines.diffusion.textual_inversions import NONE
from deployments.engines.diffusion.tiling import tiled
from deployments.engines.diffusion.upscalers import Upscaler
from deployments.engines.diffusion.validation import kind_of
from deployments.errors import DarkroomError, NotSupported, WeightsMissing

_MAX_SHOWN = 80
_HASH_PATIENCE_S = 1.0
"""Seconds that a finished image waits for the hash of its checkpoint, which its file then lacks."""


class BatchModels:
    """Models of the requests of one key; `lead` is one of them."""

    def __init__(self, registry: ModelRegistry, device: Device, lease: Lease, lead: GenerationRequest) -> None:
        """Load what the requests need. Raises `WeightsMissing`, `NotSupported`, `OutOfMemory`."""
        self.registry, self.device, self._lease, self._lead = registry, device, lease, lead
        if lead.refiner:
            found = registry.find_checkpoint(lead.checkpoint), registry.catalogue.find("checkpoints", lead.refiner)
            registry.check_budget(*dict.fromkeys(found))
        self.checkpoint = registry.checkpoint(lease, lead.checkpoint)
        if self.checkpoint.is_for_inpainting and (kind_of(lead) != "inpaint" or lead.hires):
            name = self.checkpoint.model.name
            raise NotSupported(f"The checkpoint '{name}' is for inpainting only: it needs a picture and a mask.")
        self.vae = registry.vae(lease, lead.vae, self.checkpoint)
        self._precision = self.vae.dtype
        self.nets = [registry.controlnet(lease, hint.model, self.checkpoint, hint.shows) for hint in lead.controls]
        self._inversions = registry.textual_inversions(self.checkpoint)
        tokenizer, encoder, second = self.checkpoint.conditioner_parts
        self.warnings = [*registry.use_loras(lease, self.checkpoint, lead.loras)]
        """Warnings that are those of all requests."""
        self.prompters = [self._prompter(prompt) for prompt in lead.image_prompts]
        """What reads each image prompt; None for those that are left out."""
        self.conditioner = Conditioner(
            tokenizer,
            encoder,
            self._inversions,
            second,
            emphasis=lead.emphasis,
            pad=lead.pad_prompts,
            caches=registry.embeddings(self.checkpoint),
        )
        self.refiner = registry.refiner(lease, lead.refiner, self.checkpoint) if lead.refiner else None
        self.refiner_inversions = registry.textual_inversions(self.refiner) if self.refiner else NONE
        registry.catalogue.known_sha256(self.checkpoint.model)  # is computed while the images are drawn

    @property
    def sha256(self) -> str:
        """Hash of the checkpoint; empty where it is not known soon."""
        return self.registry.catalogue.known_sha256(self.checkpoint.model, _HASH_PATIENCE_S)

    def tiling(self) -> AbstractContextManager[None]:
        """Let the edges of images meet while the block runs, where the requests want tiles."""
        if not self._lead.tiling:
            return nullcontext()
        unets = [checkpoint.unet for checkpoint in (self.checkpoint, self.refiner) if checkpoint]
        return tiled((*unets, self.vae), self.registry.tiling)

    def upscaler(self, name: str) -> Upscaler:
        """Load an upscaler."""
        return self.registry.upscaler(self._lease, name)

    def leave_out(self, number: int, reason: DarkroomError) -> None:
        """Leave out an image prompt, with a warning."""
        self.prompters[number : number + 1] = [None]
        self._warn_of(self._lead.image_prompts[number], reason)

    def warnings_of(
        self, request: GenerationRequest, conditionings: Sequence[Conditioning], pixels: Any
    ) -> tuple[str, ...]:
        """List the warnings of a finished image, whose pixels are given."""
        warnings = [*self.warnings, *self._inversions.warnings, *self.refiner_inversions.warnings]
        if self.refiner and self.refiner.text_encoder is None and self._inversions.are_used:
            warnings.append("The refiner read the names of textual inversions as text: SDXL's own takes none.")
        if not self.checkpoint.is_guided(request.guidance_scale) and any(one.is_composed for one in conditionings):
            warnings.append("AND joins prompts only with a guidance scale over 1: the first one was used.")
        if request.clip_skip > 1 and not self.checkpoint.skips_layers:
            warnings.append("Clip skip has no meaning for checkpoints of SD 2.x and SDXL: it was not used.")
        if self.vae.dtype != self._precision:
            warnings.append("The VAE overflowed in half precision: it was run again, and stays, in float32.")
        if not pixels.isfinite().all():
            warnings.append("The model computed values that are no numbers, which are black: try another VAE.")
        return tuple(dict.fromkeys(warnings))

    def _prompter(self, prompt: ImagePrompt) -> tuple[IpAdapter, ImageEncoder] | None:
        """Load what an image prompt needs; None, with a warning, for one that cannot be used here."""
        try:
            return self.registry.image_prompter(self._lease, prompt.model, self.checkpoint)
        except (NotSupported, WeightsMissing) as error:
            self._warn_of(prompt, error)
            return None

    def _warn_of(self, prompt: ImagePrompt, reason: DarkroomError) -> None:
        name = prompt.model[:_MAX_SHOWN]
        self.warnings.append(f"The IP-Adapter '{name}' was left out: {reason.message.rstrip('.')}.")
