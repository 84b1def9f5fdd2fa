"""Parameters of a denoising pass over the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.engines.diffusion.conditioning import Conditioning
from deployments.engines.diffusion.controlnets import ControlUnit
from deployments.engines.diffusion.image_prompts import ImagePromptPass
from deployments.engines.diffusion.references import ReferencePass
from deployments.engines.diffusion.refiner import Refiner


@dataclass(frozen=True)
class Control:
    """A ControlNet of the pass and its hints, `[N, 3, H, W]` in 0 to 1."""

    unit: ControlUnit
    net: Any
    hints: Any
    latents: Any = None
    """Scaled latents of the hints, `float32[N, C, h, w]`, where their colours are wanted."""


@dataclass(frozen=True)
class Inpainting:
    """What an inpainting pass keeps: the latents of the init image where the mask is 0."""

    mask: Any
    """Masks `float32[N, 1, h, w]`, 0 keep to 1 make anew."""
    channels: Any = None
    """Mask and latents of the image without its masked part, `[N, 5, h, w]`, for models with nine channels."""


@dataclass(frozen=True)
class DenoisePass:
    """Parameters of one pass; whatever has rows has one per request."""

    size: tuple[int, int]
    """Width and height, pixels."""
    scheduler: Any
    steps: int
    """Steps of the whole schedule, of which `runs` are run."""
    runs: int
    guidance_scale: float
    conditionings: Sequence[Conditioning]
    generators: Sequence[Any]
    noise: Any
    """Initial noise, `float32[N, 4, H / 8, W / 8]`."""
    is_from_image: bool = False
    """Whether the pass begins with latents under noise, not with noise alone."""
    inpainting: Inpainting | None = None
    controls: Sequence[Control] = ()
    references: Sequence[ReferencePass] = ()
    image_prompts: Sequence[ImagePromptPass] = ()
    refiner: Refiner | None = None
    crop: tuple[int, int] = (0, 0)
    scores: tuple[float, float] = (2.5, 6.0)
