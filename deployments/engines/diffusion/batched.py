"""Diffuser in one process: the diffusion engine behind batches of equal shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

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
from deployments.engines.diffusion.device import Device, open_device
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.model_folders import annotator_folders
from deployments.engines.diffusion.preprocessors import FaceSearch, Preprocessors
from deployments.engines.faces.local import LocalFaceEngine
from deployments.engines.faces.locator import FaceLocator
from deployments.engines.gpu import CapMemory, cap_gpu_memory
from deployments.kit.batching import KeyedBatcher
from deployments.kit.checks import CheckLane
from deployments.kit.threads import Threads
from deployments.weights.manifest import weight_file


class BatchedDiffuser:
    """Implementation of `contracts.diffusion.Diffuser`: one batch at a time; hints, looks at it and lists beside it."""

    def __init__(self, settings: Settings, gpu_share: float = 0.0, cap_memory: CapMemory = cap_gpu_memory) -> None:
        """Cap the process's share of the GPU at once; models are loaded by the first request that needs them.

        Raises `Unavailable` without PyTorch and diffusers, or without the device.
        """
        chosen = settings.diffusion
        self._device = open_device(chosen, gpu_share, cap_memory)
        folder = chosen.models_dir or settings.weights_dir / "diffusion"
        preprocessors = Preprocessors(annotator_folders(folder), face_search(settings), self._device.name)
        self._engine = DiffusionEngine(chosen, folder, preprocessors, self._device)
        self._batches: KeyedBatcher[GenerationRequest, GenerationStep, GeneratedPicture] = KeyedBatcher(
            self._engine.run, self._engine.key, self._engine.most_images, chosen.batch_wait_s, verb="generate"
        )
        self._threads = Threads(settings.runtime.threads)
        self._peeks = ThreadPoolExecutor(1, "peek")  # neither hints nor pictures that are decoded hold these up
        self._checks = CheckLane()  # hints prove nothing: most are made without the device
        self._listing = asyncio.Lock()

    @property
    def device(self) -> Device:
        """The device that the models run on."""
        return self._device

    @property
    def engine(self) -> DiffusionEngine:
        """The diffusion engine."""
        return self._engine

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationStep | GeneratedPicture, None]:
        """Yield steps, then the image; see `Diffuser.generate`."""
        self._engine.check(request)
        async with aclosing(self._batches.submit(request)) as events:
            async for event in events:
                yield event

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        """Look at what pictures in progress have now; see `Diffuser.peek`."""
        return await asyncio.get_running_loop().run_in_executor(self._peeks, self._engine.running.peek, tickets)

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        """Decode latents to an image; see `Diffuser.decode_latents`."""
        return await self._threads.run(self._engine.decode_latents, latents, checkpoint, vae)

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        """Make the hint of an image; see `Diffuser.make_hint`."""
        return await self._threads.run(self._engine.make_hint, module, image, options)

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        """Enlarge an image; see `Diffuser.upscale`."""
        return await self._threads.run(self._engine.upscale, image, upscaler, size)

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        """Restore aligned faces; see `Diffuser.restore_faces`."""
        return await self._threads.run(self._engine.restore_faces, faces, restorer, weight)

    async def list_models(self) -> ModelCatalogue:
        """List models and preprocessors; the first call reads the header of every file."""
        async with self._listing:  # others wait for the result of the first call
            return await asyncio.to_thread(self._engine.list_models)

    async def has_checkpoint(self, name: str) -> bool:
        """Say whether `name` means a checkpoint of the catalogue."""
        return await asyncio.to_thread(self._engine.has_checkpoint, name)

    def unload(self, checkpoint: str) -> None:
        """Free a checkpoint unless a batch is using it."""
        self._engine.unload(checkpoint)

    async def check_health(self) -> None:
        """Compute something small; raises when the device no longer computes, which only a new process mends."""
        await self._checks.check(self._device.check)

    async def close(self) -> None:
        """End what runs within a step and free the models."""
        await self._batches.close()
        await asyncio.to_thread(self._peeks.shutdown)
        await asyncio.to_thread(self._engine.close)


def face_search(settings: Settings) -> Callable[[], FaceSearch]:
    """Make a function that opens the local face engine, whose landmarks are those of MediaPipe's mesh.

    The function raises `WeightsMissing` when the engine's weights are not there.
    """

    def open_search() -> FaceSearch:
        network, threads = settings.faces.network, settings.runtime.threads
        for name in LocalFaceEngine.files(network):
            weight_file(settings, name)
        locator = FaceLocator(settings.weights_dir, threads)
        return LocalFaceEngine(settings.weights_dir, locator, network, threads).find

    return open_search
