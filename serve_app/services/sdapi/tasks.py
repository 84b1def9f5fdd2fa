"""What the engine is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.algorithms.a1111.inpainting import InpaintCanvas
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import GenerationRequest


@dataclass(frozen=True, slots=True)
class ImageTask:
    """One picture to make."""

    request: GenerationRequest
    seed: int
    subseed: int
    canvas: InpaintCanvas | None = None
    """What the result is laid over."""


@dataclass(frozen=True, slots=True)
class FinishedImage:
    """One finished picture, or one that was stopped half way."""

    shot: ImageTask
    image: Image
    checkpoint: str
    checkpoint_sha256: str
    warnings: tuple[str, ...] = ()
