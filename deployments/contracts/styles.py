"""What style engines and prompters take, give and raise. Needs only numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deployments.contracts.arrays import Image

TEMPLATE_PROMPTER = "template"
"""The prompter that fills in the style's own prompt and does not look at the image."""
LOCAL_ENGINE = "opencv"
"""The style engine that needs no weights and no vendor."""


DIFFUSION_ENGINE = "diffusers"
"""The style engine that works through a `Diffuser`."""


@dataclass(frozen=True, slots=True)
class StyleTask:
    """A picture to be redrawn in a style of `configs/styles`."""

    image: Image
    """At most 1024 px on its longest side."""
    style: str
    """Name of a style that is known to exist."""
    prompt: str
    negative_prompt: str = ""
    strength: float = 0.5
    """0 to 1: how far from the photograph."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StyledPicture:
    image: Image
    warnings: tuple[str, ...] = ()


class Stylist(Protocol):
    """Engines that redraw a picture: `opencv` here, vendors elsewhere. `diffusers` works through a `Diffuser`."""

    async def stylize(self, engine: str, request: StyleTask) -> StyledPicture:
        """Raises `ProviderUnavailable` (technical: the next engine may be tried), `ProviderRejected` (logical)."""
        ...


class Prompter(Protocol):
    """Writes what an image model is told."""

    async def write_prompt(self, image: Image, style: str) -> str:
        """The style's prompt with the picture's subject in it.

        Raises `ProviderUnavailable` (quota, timeout), `ProviderRejected` (the vendor's safety filter refused).
        """
        ...
