"""The diffusion engine in one process, and capabilities of which it makes the pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from configs.settings import Diffusion, Settings
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import GenerationRequest, HintOptions, Latents, ModelCatalogue, SeenLatents
from deployments.engines.diffusion.batched import BatchedDiffuser
from tests.support.fakes import FakeCapabilities


@asynccontextmanager
async def an_engine(models: Path, checkpoint: str) -> AsyncIterator[BatchedDiffuser]:
    """Open an engine over a folder of models, offline."""
    opened = BatchedDiffuser(Settings(diffusion=Diffusion(models_dir=models, checkpoint=checkpoint, offline=True)))
    try:
        yield opened
    finally:
        await opened.close()


class OverTheEngine(FakeCapabilities):
    """The engine makes the pictures; everything else is predictable."""

    def __init__(self, diffuser: BatchedDiffuser) -> None:
        super().__init__()
        self._diffuser = diffuser
        self.looked: list[SeenLatents] = []
        """What was seen of pictures in progress."""

    def generate(self, request: GenerationRequest) -> Any:
        return self._diffuser.generate(request)

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        found = await self._diffuser.peek(tickets)
        self.looked += found.values()
        return found

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        return await self._diffuser.decode_latents(latents, checkpoint, vae)

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        return await self._diffuser.make_hint(module, image, options)

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        return await self._diffuser.upscale(image, upscaler, size)

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        return await self._diffuser.restore_faces(faces, restorer)

    async def list_models(self) -> ModelCatalogue:
        return await self._diffuser.list_models()
