"""Fake engines that make images, simple enough to predict: each paints its own colour, and fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    HintModule,
    HintOptions,
    Latents,
    ModelCatalogue,
    ModelFile,
    SeenLatents,
)
from deployments.contracts.styles import StyledPicture, StyleTask

COLOURS = {
    "opencv": (200, 30, 30),
    "gemini": (30, 200, 30),
    "bedrock": (30, 30, 200),
    "sdwebui": (200, 200, 30),
    "diffusers": (30, 200, 200),
}
CATALOGUE = ModelCatalogue(
    checkpoints=(ModelFile("tiny", "tiny", "ab" * 32, "tiny.safetensors"),),
    loras=(ModelFile("ink", "ink", "cd" * 32, "ink.safetensors"),),
    controlnets=(ModelFile("canny [12345678]", "canny", "ef" * 32, "canny.safetensors"),),
    modules=(HintModule("canny", "canny", True),),
    default_checkpoint="tiny",
)


class FakeGeneration:
    """Implements every protocol of `deployments.contracts.diffusion` without a model."""

    def __init__(self) -> None:
        self.failures: dict[str, BaseException] = {}
        """Error that an engine (or `prompter`) raises instead of answering."""
        self.hanging: set[str] = set()
        """Engines that never answer."""
        self.hangs = asyncio.Event()
        """Event set when an engine hangs."""
        self.asked: list[str] = []
        """Engines, and `prompter`, in the order in which they were called."""
        self.styled: list[StyleTask] = []
        self.generated: list[GenerationRequest] = []
        self.closed = 0
        """Generations that were given up before their end."""

    async def write_prompt(self, image: Image, style: str) -> str:
        await self._be_asked("prompter")
        return f"a picture of {image.shape[1]} by {image.shape[0]} in {style}"

    async def stylize(self, engine: str, request: StyleTask) -> StyledPicture:
        self.styled.append(request)
        await self._be_asked(engine)
        return StyledPicture(_painted(engine, request.image))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationStep | GeneratedPicture]:
        self.generated.append(request)
        steps = 4
        try:
            for step in range(1, steps + 1):
                yield GenerationStep(step, steps, "styled")
                if step == 2:
                    await self._be_asked("diffusers")
        except (GeneratorExit, asyncio.CancelledError):
            self.closed += 1
            raise
        canvas = np.empty((request.height, request.width, 3), np.uint8)
        yield GeneratedPicture(_painted("diffusers", canvas), "tiny", "ab" * 32)

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        return {}

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        return np.full((latents.shape[1] * 8, latents.shape[2] * 8, 3), 128, np.uint8)

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        return np.asarray(255 - image, np.uint8)

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        return np.full((size[1], size[0], 3), 128, np.uint8)

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        return [np.full_like(face, 128) for face in faces]

    async def list_models(self) -> ModelCatalogue:
        return CATALOGUE

    async def _be_asked(self, engine: str) -> None:
        self.asked.append(engine)
        if engine in self.failures:
            raise self.failures[engine]
        if engine in self.hanging:
            self.hangs.set()
            await asyncio.Event().wait()


def _painted(engine: str, image: Image) -> Image:
    return np.full_like(image, COLOURS[engine])
