"""The initial images and masks of a generation, with the parameters that they add to the infotext."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deployments.algorithms.a1111.inpainting import InpaintCanvas
from deployments.contracts.diffusion import GenerationRequest
from serve_app.services.sdapi.controlnet.hints import ControlFrame
from serve_app.services.sdapi.sd_upscale import Sheet

DENOISING_STRENGTH = 0.75
"""When the request names none; the original's hires fix breaks there."""


@dataclass(frozen=True, slots=True)
class Init:
    request: GenerationRequest
    """What is common to all pictures."""
    frame: ControlFrame
    canvases: tuple[InpaintCanvas | None, ...] = (None,)
    """One for all, or one for each picture of a batch, or of a sheet."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """For the infotext."""
    warnings: tuple[str, ...] = ()
    sheet: Sheet | None = None
