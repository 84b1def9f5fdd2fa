"""Masked edits for engines that repaint people: the image and mask that are sent, and the compositing under that mask.

The image outside of the heads is untouched, whatever the engine did to it.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from deployments.algorithms.segmentation.head_masks import blend, head_mask
from deployments.algorithms.styles.prompt import plain_prompt
from deployments.assets.animals import Animal
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.portraits import AvatarPicture, AvatarTask
from deployments.errors import ProviderUnavailable
from deployments.providers.policy import malformed

_MOST_STRETCH = 1.05
"""Ratio of proportions up to which an answer still shows the image that was sent."""


@dataclass(frozen=True, slots=True)
class HeadEdit:
    """A task with the image and mask that a vendor is sent."""

    request: AvatarTask
    mask: Gray
    """Soft mask of the heads, as large as the task's image."""
    image: Image
    """Image that is sent: the task's, in a size that the vendor takes."""
    paint: Gray
    """Mask that is sent, as large as `image`: 255 wherever `mask` is above 0, else 0."""

    async def finish(self, made: Image, vendor: str, warnings: tuple[str, ...] = ()) -> AvatarPicture:
        """Composite the vendor's image under the mask. Raises `ProviderUnavailable` for one of another shape."""
        check_shape(made, self.image, vendor)
        image = await asyncio.to_thread(blend, self.request.image, made, self.mask)
        return AvatarPicture(image, tuple(range(len(self.request.segmentation.faces))), warnings)


async def prepare_edit(
    vendor: str, request: AvatarTask, sides: tuple[int, int], longest_by_shortest: float = np.inf
) -> HeadEdit:
    """Prepare a task for a vendor; `sides`: the shortest and the longest that it takes.

    Raises `ProviderUnavailable` for an image that is too long and thin for it; other engines may take it.
    """
    height, width = request.image.shape[:2]
    if max(height, width) > longest_by_shortest * min(height, width):
        raise ProviderUnavailable(f"{vendor} takes no picture as long and thin as this one.")
    return await asyncio.to_thread(_prepare, request, *sides)


def check_shape(made: Image, sent: Image, vendor: str) -> None:
    """Check an answer's shape. Raises `ProviderUnavailable` for an answer that is no version of what was sent."""
    stretch = made.shape[1] * sent.shape[0] / (made.shape[0] * sent.shape[1])
    if not 1 / _MOST_STRETCH <= stretch <= _MOST_STRETCH:
        raise malformed(vendor)


def prompt_of(request: AvatarTask, animal: Animal) -> str:
    """Write the prompt of a task in words, for models that read sentences."""
    return plain_prompt(request.prompt or getattr(animal.prompts, request.mode))


def png(image: Image | Gray) -> bytes:
    """Encode an image as PNG: masks have to arrive as they are."""
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _prepare(request: AvatarTask, shortest: int, longest: int) -> HeadEdit:
    mask = head_mask(request.segmentation, request.mode)
    height, width = mask.shape
    scale = min(max(1.0, shortest / min(height, width)), longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    paint = np.where(mask > 0, np.uint8(255), np.uint8(0))
    if size == (width, height):
        return HeadEdit(request, mask, request.image, paint)
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return HeadEdit(
        request,
        mask,
        np.asarray(cv2.resize(request.image, size, interpolation=smooth), np.uint8),
        np.asarray(cv2.resize(paint, size, interpolation=cv2.INTER_NEAREST), np.uint8),
    )
