"""What engines that repaint people share: the picture and the mask that they are given, and the way back under that
mask, so that the photograph outside of the heads is untouched whatever they did to it."""

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
"""An answer whose sides differ more in proportion shows something else than the picture that was sent."""


@dataclass(frozen=True, slots=True)
class HeadEdit:
    request: AvatarTask
    mask: Gray
    """Of the heads, soft, as large as the request's picture."""
    image: Image
    """What is sent: the picture in a size that the vendor takes."""
    paint: Gray
    """As large as `image`: 255 wherever something of the mask is, else 0."""

    async def finish(self, made: Image, vendor: str, warnings: tuple[str, ...] = ()) -> AvatarPicture:
        """The vendor's picture under the mask. Raises `ProviderUnavailable` for one of another shape."""
        check_shape(made, self.image, vendor)
        image = await asyncio.to_thread(blend, self.request.image, made, self.mask)
        return AvatarPicture(image, tuple(range(len(self.request.segmentation.faces))), warnings)


async def prepare_edit(
    vendor: str, request: AvatarTask, sides: tuple[int, int], longest_by_shortest: float = np.inf
) -> HeadEdit:
    """`sides`: the shortest and the longest that the vendor takes.

    Raises `ProviderUnavailable` for a picture that is too long and thin for it; other engines may take it.
    """
    height, width = request.image.shape[:2]
    if max(height, width) > longest_by_shortest * min(height, width):
        raise ProviderUnavailable(f"{vendor} takes no picture as long and thin as this one.")
    return await asyncio.to_thread(_prepare, request, *sides)


def check_shape(made: Image, sent: Image, vendor: str) -> None:
    """Raises `ProviderUnavailable` for an answer that is no version of what was sent."""
    stretch = made.shape[1] * sent.shape[0] / (made.shape[0] * sent.shape[1])
    if not 1 / _MOST_STRETCH <= stretch <= _MOST_STRETCH:
        raise malformed(vendor)


def prompt_of(request: AvatarTask, animal: Animal) -> str:
    """In words, for models that read sentences."""
    return plain_prompt(request.prompt or getattr(animal.prompts, request.mode))


def png(image: Image | Gray) -> bytes:
    """Masks have to arrive as they are."""
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
