"""Image tasks: one engine request each, and its finished image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from deployments.algorithms.a1111.inpainting import InpaintCanvas, keep_outside
from deployments.algorithms.a1111.recolouring import put_intensity, put_luminance
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import GenerationRequest

KeptPart = Literal["all", "luminance", "intensity"]
"""What is kept of an image: its pixels, or their light alone, of which the image is a drawing in grey."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a picture keeps of an image."""

    image: Image
    part: KeptPart = "all"
    mask: Gray | None = None
    """Mask of the same size where pixels are kept: 255 where the picture stays as it was made; None: nowhere."""
    in_first_pass: Kept | None = None
    """What is kept of a picture that ends in its first pass, where a second one would have enlarged it."""

    def for_size(self, picture: Image) -> Kept | None:
        """The one that has a picture's size, if any."""
        return next((one for one in (self, self.in_first_pass) if one and one.image.shape == picture.shape), None)

    def put_into(self, picture: Image) -> Image:
        """Put what is kept into a picture of the image's size."""
        if self.part == "luminance":
            return put_luminance(picture, self.image[..., 0])
        if self.part == "intensity":
            return put_intensity(picture, self.image[..., 0])
        mask = np.zeros(self.image.shape[:2], np.uint8) if self.mask is None else self.mask
        return keep_outside(picture, self.image, mask)


@dataclass(frozen=True, slots=True)
class Finishing:
    """What is done to a picture when it is made."""

    restorer: str = ""
    """File of the network that restores its faces; empty: they are left as they are."""
    restorer_weight: float = 0.5
    kept: tuple[Kept, ...] = ()
    """What it keeps of images, each put into it after the one before."""


@dataclass(frozen=True, slots=True)
class ImageTask:
    """One image to make."""

    request: GenerationRequest
    seed: int
    subseed: int
    canvas: InpaintCanvas | None = None
    """The original that the result is laid over, where there is a mask."""
    finish: Finishing = Finishing()


@dataclass(frozen=True, slots=True)
class FinishedImage:
    """A generated image, complete or stopped half way."""

    task: ImageTask
    image: Image
    checkpoint: str
    checkpoint_sha256: str
    warnings: tuple[str, ...] = ()
