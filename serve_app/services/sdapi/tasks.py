"""Image tasks: one engine request each, and its finished image."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.algorithms.a1111.inpainting import InpaintCanvas
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import GenerationRequest


@dataclass(frozen=True, slots=True)
class Kept:
    """What a picture keeps of an image."""

    image: Image
    mask: Gray
    """Mask of the same size: 255 where the picture stays as it was made."""
    in_first_pass: Kept | None = None
    """What is kept of a picture that ends in its first pass, where a second one would have enlarged it."""

    def for_size(self, picture: Image) -> Kept | None:
        """The one that has a picture's size, if any."""
        return next((one for one in (self, self.in_first_pass) if one and one.image.shape == picture.shape), None)


@dataclass(frozen=True, slots=True)
class Finishing:
    """What is done to a picture when it is made."""

    restorer: str = ""
    """File of the network that restores its faces; empty: they are left as they are."""
    restorer_weight: float = 0.5
    kept: tuple[Kept, ...] = ()


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
