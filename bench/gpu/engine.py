"""The diffusion engine over a models folder of random weights, served through its batches as a replica serves it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu import models
from bench.gpu.card import Card
from configs.settings import Diffusion, Settings
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest
from deployments.engines.diffusion.batched import BatchedDiffuser

CHECKPOINTS = ("sd15-a", "sd15-b")
NETS = tuple(f"net-{number}" for number in range(4))
LORA = "style"
_BUDGET_MB = 100_000


@dataclass(frozen=True)
class Models:
    """A models folder and the number of bytes of one checkpoint in it."""

    folder: Path
    checkpoint_bytes: int


def write_models(card: Card, folder: Path) -> Models:
    """Write two checkpoints, four ControlNets and a LoRA."""
    for seed, name in enumerate(CHECKPOINTS):
        pipeline = models.write_checkpoint(card, folder, name, seed)
    for name in NETS:
        models.make_controlnet(card, pipeline.unet).save_pretrained(folder / "controlnets" / name)
    models.write_lora(folder, LORA, pipeline.unet)
    size = sum(file.stat().st_size for file in (folder / "checkpoints" / CHECKPOINTS[0]).rglob("*.safetensors"))
    return Models(folder, size)


def request_of(card: Card, **changes: Any) -> GenerationRequest:
    """Make a request of the family's own size and steps."""
    shape = models.sd15(card)
    given = {"width": shape.side, "height": shape.side, "steps": shape.steps, "sampler": "Euler a", **changes}
    return GenerationRequest("a photo of the cat", "blurry", checkpoint=CHECKPOINTS[0], **given)


@asynccontextmanager
async def serving(card: Card, found: Models, **changes: Any) -> AsyncIterator[BatchedDiffuser]:
    """Open the engine over the models."""
    options = {
        "models_dir": found.folder,
        "checkpoint": CHECKPOINTS[0],
        "device": card.name,
        "offline": True,
        "memory_budget_mb": _BUDGET_MB,
        "max_batch": 16,
        **changes,
    }
    diffuser = BatchedDiffuser(Settings().model_copy(update={"diffusion": Diffusion(**options)}))
    try:
        yield diffuser
    finally:
        await diffuser.close()
        card.free()


async def draw(diffuser: BatchedDiffuser, request: GenerationRequest) -> GeneratedPicture:
    """Draw a picture. Raises what the engine answers instead."""
    async for event in diffuser.generate(request):
        if isinstance(event, GeneratedPicture):
            return event
    raise RuntimeError("the engine ended without a picture")


async def seconds(diffuser: BatchedDiffuser, request: GenerationRequest) -> float:
    """Time a picture, seconds."""
    started = time.perf_counter()
    await draw(diffuser, request)
    return time.perf_counter() - started
