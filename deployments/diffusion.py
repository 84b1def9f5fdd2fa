"""Diffusion deployment over the diffusers engine, a fraction of a GPU per replica (docs/adr/0006)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import ray
from ray import serve

from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    HintOptions,
    Latents,
    ModelCatalogue,
    SeenLatents,
)
from deployments.engines.diffusion.batched import BatchedDiffuser
from deployments.engines.gpu import CapMemory, cap_gpu_memory

_MAX_CHECKPOINTS = 8
"""Number of checkpoints that a replica claims to hold; the bytes of DARKROOM_DIFFUSION__MEMORY_BUDGET_MB decide how
many it does."""


class DiffusionDeployment:
    """Implementation of `contracts.diffusion.Diffuser`."""

    def __init__(self, settings: Settings | None = None, cap_memory: CapMemory = cap_gpu_memory) -> None:
        """Open the engine on the GPU share that Ray assigned. Raises `Unavailable` when PyTorch, diffusers or the
        device is missing."""
        granted: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
        self._diffuser = BatchedDiffuser(settings or Settings(), granted.get("GPU", 0.0), cap_memory)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationStep | GeneratedPicture, None]:
        """Yield steps, then the image; called with `stream=True` and the checkpoint's name as
        `multiplexed_model_id`."""
        name = serve.get_multiplexed_model_id()
        if name and await self._diffuser.has_checkpoint(name):  # made-up names would push real ones out
            await self._claim(name)
        async with aclosing(self._diffuser.generate(request)) as events:
            async for event in events:
                yield event

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        """Look at what pictures in progress have now; see `Diffuser.peek`. Pictures of other replicas are missing."""
        return await self._diffuser.peek(tickets)

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        """Decode latents to an image; see `Diffuser.decode_latents`."""
        return await self._diffuser.decode_latents(latents, checkpoint, vae)

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        """Make the hint of an image; see `Diffuser.make_hint`."""
        return await self._diffuser.make_hint(module, image, options)

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        """Enlarge an image; see `Diffuser.upscale`."""
        return await self._diffuser.upscale(image, upscaler, size)

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        """Restore aligned faces; see `Diffuser.restore_faces`."""
        return await self._diffuser.restore_faces(faces, restorer, weight)

    async def list_models(self) -> ModelCatalogue:
        """List the models and preprocessors that requests may name."""
        return await self._diffuser.list_models()

    async def check_health(self) -> None:
        """Raise when the device no longer computes."""
        await self._diffuser.check_health()

    @serve.multiplexed(max_num_models_per_replica=_MAX_CHECKPOINTS)  # type: ignore[untyped-decorator]
    async def _claim(self, checkpoint: str) -> _Claim:
        return _Claim(self._diffuser, checkpoint)

    async def __del__(self) -> None:
        await self._diffuser.close()


class _Claim:
    """Marker by which Serve routes requests for a checkpoint to the replica that has it.

    The checkpoint is loaded when its batch runs: not before, lest it push out the one that is running.
    """

    def __init__(self, diffuser: BatchedDiffuser, checkpoint: str) -> None:
        self._diffuser: BatchedDiffuser | None = diffuser
        self._checkpoint = checkpoint

    def __del__(self) -> None:
        """Unload the checkpoint: Serve calls this when others took the place, Python again when the last reference
        goes."""
        if diffuser := self._diffuser:
            self._diffuser = None
            diffuser.unload(self._checkpoint)
