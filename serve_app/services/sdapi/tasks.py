"""What the engine is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.algorithms.a1111.inpainting import Canvas
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import GenerationRequest


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to make."""

    request: GenerationRequest
    seed: int
    subseed: int
    canvas: Canvas | None = None
    """What the result is laid over."""


@dataclass(frozen=True, slots=True)
class Made:
    """One finished picture, or one that was stopped half way."""

    shot: Shot
    image: Image
    checkpoint: str
    checkpoint_sha256: str
    warnings: tuple[str, ...] = ()
