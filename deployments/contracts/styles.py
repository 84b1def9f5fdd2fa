"""Contracts of style engines and prompters: inputs, results and errors. Needs only numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deployments.contracts.arrays import Image
from deployments.contracts.checks import Checkable

TEMPLATE_PROMPTER = "template"
"""The prompter that fills in the style's own prompt and does not look at the image."""
LOCAL_ENGINE = "opencv"
"""The style engine that needs no weights and no vendor."""


DIFFUSION_ENGINE = "diffusers"
"""The style engine that works through a `Diffuser`."""


@dataclass(frozen=True, slots=True)
class StyleTask:
    """An image to be redrawn in a style of `configs/styles`."""

    image: Image
    """Source image, at most 1024 px on its longest side."""
    style: str
    """Name of a style that is known to exist."""
    prompt: str
    negative_prompt: str = ""
    strength: float = 0.5
    """Distance from the source image, 0 to 1."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StyledPicture:
    """Result of a style engine."""

    image: Image
    warnings: tuple[str, ...] = ()


class Stylist(Checkable, Protocol):
    """Style capability: `opencv` here, vendors elsewhere. The engine `diffusers` works through a `Diffuser`."""

    async def stylize(self, engine: str, request: StyleTask) -> StyledPicture:
        """Redraw the task's image in its style by `engine`.

        Raises `ProviderUnavailable` (technical: the next engine may be tried), `ProviderRejected` (logical).
        """
        ...


class Prompter(Protocol):
    """Capability that writes prompts for image models."""

    async def write_prompt(self, image: Image, style: str) -> str:
        """Write the style's prompt with the image's subject in it.

        Raises `ProviderUnavailable` (quota, timeout), `ProviderRejected` (the vendor's safety filter refused).
        """
        ...
