"""The initial images and masks of a generation, with the parameters that they add to the infotext."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deployments.algorithms.a1111.inpainting import InpaintCanvas
from deployments.contracts.diffusion import GenerationRequest
from serve_app.services.sdapi.controlnet.hints import ControlFrame
from serve_app.services.sdapi.sd_upscale import Sheet

DENOISING_STRENGTH = 0.75
"""Denoising strength of a request that names none; the original's hires fix breaks there."""


@dataclass(frozen=True, slots=True)
class Init:
    """Initial state of all images of a generation."""

    request: GenerationRequest
    """Fields that all images have in common."""
    frame: ControlFrame
    canvases: tuple[InpaintCanvas | None, ...] = (None,)
    """One for all images, one for each image of a batch, or one for each tile of a sheet."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Further fields of the infotext."""
    warnings: tuple[str, ...] = ()
    sheet: Sheet | None = None
