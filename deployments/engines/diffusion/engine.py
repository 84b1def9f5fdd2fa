"""Diffusion engine: a batch of requests in, images out, over the models of the models folder."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from configs.settings import Diffusion
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    HintOptions,
    Latents,
    ModelCatalogue,
)
from deployments.engines.diffusion.batch import Batch
from deployments.engines.diffusion.device import Device, out_of_memory, plan_memory
from deployments.engines.diffusion.face_restorers import say_needs
from deployments.engines.diffusion.model_cache import Lease
from deployments.engines.diffusion.pixels import to_images
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.engines.diffusion.registry import ModelRegistry
from deployments.engines.diffusion.running import RunningPictures
from deployments.engines.diffusion.upscaling import check_upscaler, upscale_image
from deployments.engines.diffusion.vaes import decode
from deployments.engines.diffusion.validation import check_request, shape_key
from deployments.errors import DarkroomError, InvalidRequest, OutOfMemory
from deployments.kit.batching import BatchListener

Made = TypeVar("Made")
_LEASE_TIMEOUT_S = 30.0
"""Seconds that a batch waits for previews that hold the models of the one before."""


class DiffusionEngine:
    """Stable Diffusion 1.x, 2.x and SDXL over diffusers. `run` is called by one thread at a time, the rest by any."""

    def __init__(self, settings: Diffusion, folder: Path, preprocessors: Preprocessors, device: Device) -> None:
        """Set up the engine on the models folder `folder`; nothing is loaded yet."""
        self._settings = settings
        self._device = device
        self._preprocessors = preprocessors
        self._models = ModelRegistry(settings, folder, device)
        self._memory = plan_memory(settings, device.share_bytes)
        self._running = RunningPictures()
        preprocessors.lie_in(self._models.cache)

    @property
    def models(self) -> ModelRegistry:
        """The registry of models."""
        return self._models

    @property
    def running(self) -> RunningPictures:
        """The pictures in progress."""
        return self._running

    def check(self, request: GenerationRequest) -> None:
        """Check a request. Raises `InvalidRequest` for one that no batch could run; loads nothing."""
        check_request(request, self._settings)
        if request.hires:
            check_upscaler(request.hires.upscaler, self._models.catalogue)

    def key(self, request: GenerationRequest) -> Hashable:
        """Compute the batch key: requests of equal keys may share a batch."""
        return shape_key(request)

    def most_images(self, request: GenerationRequest) -> int:
        """Images like this one that may share a batch."""
        size = (request.hires or request).width, (request.hires or request).height
        return self._settings.max_batch or self._memory.most_images(*size)

    def run(
        self, requests: Sequence[GenerationRequest], watch: BatchListener[GenerationRequest, GenerationStep]
    ) -> list[GeneratedPicture | DarkroomError]:
        """Run requests of one key, and those that join them; -> an outcome each, in their order; those of cancelled
        ones mean nothing."""
        import torch

        refusal: DarkroomError
        running = list(requests)
        try:
            with torch.no_grad(), self._models.cache.lease(_LEASE_TIMEOUT_S) as lease:
                return Batch(self._models, self._device, lease, running, watch, self._running).run()
        except torch.OutOfMemoryError:
            refusal = out_of_memory()
        except DarkroomError as error:
            refusal = error.with_traceback(None)  # whose frames hold the batch
        finally:
            self._running.clear()
        self._models.give_back()  # here, where the failed batch's tensors are gone
        return [refusal] * len(running)

    def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        """Decode latents to an image, also beside a batch; see `Diffuser.decode_latents`."""
        import torch

        if latents.ndim != 3 or max(latents.shape) > self._settings.max_side_px // 8:
            raise InvalidRequest("Latents are channels by height by width, no larger than the largest picture's.")
        with torch.no_grad(), self._models.cache.lease() as lease:
            network = self._models.vae(lease, vae, self._models.checkpoint(lease, checkpoint))
            if latents.shape[0] != network.config.latent_channels:
                raise InvalidRequest(f"Latents of this checkpoint have {network.config.latent_channels} channels.")
            given = torch.from_numpy(np.array(latents))[None].to(self._device.name, self._device.dtype)
            with self._models.tiling:
                return to_images(decode(network, given))[0]

    def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        """Make the hint of an image; see `Diffuser.make_hint`."""
        return self._preprocessors.make(module, image, options)

    def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        """Enlarge an image, also beside a batch; see `Diffuser.upscale`."""
        check_upscaler(upscaler, self._models.catalogue)
        return self._beside_batches(
            lambda lease: upscale_image(image, upscaler, size, lambda: self._models.upscaler(lease, upscaler))
        )

    def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        """Restore aligned faces, also beside a batch; see `Diffuser.restore_faces`."""

        def restore(lease: Lease) -> list[Image]:
            network = self._models.face_restorer(lease, restorer)
            return [network.restore(face, weight) for face in faces]

        return self._beside_batches(restore)

    def _beside_batches(self, work: Callable[[Lease], Made]) -> Made:
        """Run `work` with models of its own. Raises `OutOfMemory`."""
        import torch

        refusal: OutOfMemory | None = None
        try:
            with torch.no_grad(), self._models.cache.lease() as lease:
                return work(lease)
        except torch.OutOfMemoryError:
            refusal = out_of_memory()
        self._models.graphs.forget()
        self._device.give_back()
        raise refusal

    def list_models(self) -> ModelCatalogue:
        """List models and preprocessors, see `Diffuser.list_models`."""
        catalogue = self._models.catalogue
        return ModelCatalogue(
            checkpoints=catalogue.describe("checkpoints"),
            loras=catalogue.describe("loras"),
            controlnets=catalogue.describe("controlnets"),
            vaes=catalogue.describe("vaes"),
            embeddings=catalogue.describe("embeddings"),
            upscalers=catalogue.describe("upscalers"),
            restorers=say_needs(catalogue.describe("restorers")),
            modules=self._preprocessors.modules(),
            default_checkpoint=catalogue.default_name,
            memory=self._device.memory(),
        )

    def has_checkpoint(self, name: str) -> bool:
        """Say whether a request could name the checkpoint."""
        return self._models.catalogue.look_up("checkpoints", name) is not None

    def unload(self, checkpoint: str) -> None:
        """Free a checkpoint unless a batch is using it."""
        self._models.forget_checkpoint(checkpoint)

    def close(self) -> None:
        """Free all models."""
        self._models.close()
