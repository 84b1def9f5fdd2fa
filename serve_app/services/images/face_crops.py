"""Square crops of faces, made when they are first asked for and kept as thumbnails are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.algorithms.images.thumbnails import encode_thumbnail
from deployments.contracts.arrays import Image
from serve_app.services.images.thumbnails import Thumbnail, Thumbnails
from serve_app.store.repositories.images import Content

MARGIN = 0.35
"""Share of a face's longer side that is shown around it: hair and chin belong to how a person is known."""
MOST_DECODED = 4096
"""Longest side in pixels at which an image is decoded for a crop: a face in a crowd is shown smaller than asked for."""


Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FaceCrop(Thumbnail):
    """Which crop of which face."""

    face_id: int
    box: Box
    """`(x1, y1, x2, y2)` in shares of the upright image's width and height."""

    @property
    def name(self) -> str:
        """Name among the files that were made of a content."""
        return f"face{self.face_id}-{self.size}.{self.format}"


class FaceCrops(Thumbnails):
    """Maker and keeper of crops of faces."""

    async def _render(self, content: Content, thumbnail: Thumbnail) -> bytes:
        assert isinstance(thumbnail, FaceCrop)  # noqa: S101 - crops alone are asked of this maker
        data = await self._pictures.read(content)
        longest = _decoded_px(content, thumbnail)
        return await self._pictures.run_in_thread(
            lambda: encode_thumbnail(
                cut_face(self._pictures.decode(data, longest), thumbnail.box), thumbnail.size, thumbnail.format
            )
        )


def _decoded_px(content: Content, crop: FaceCrop) -> int:
    """Find the longest side at which the crop has its size."""
    x1, y1, x2, y2 = crop.box
    side = max((x2 - x1) * content.width, (y2 - y1) * content.height) * (1 + 2 * MARGIN)
    longest = max(content.width, content.height)
    return int(np.clip(np.ceil(crop.size * longest / max(side, 1)), crop.size, MOST_DECODED))


def cut_face(image: Image, box: Box) -> Image:
    """Cut a square around a face out of `uint8[H, W, 3]`; moved inside where the border would cut it, and smaller than
    that where the image is."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(x2 - x1, y2 - y1) * (1 + 2 * MARGIN)
    side = int(np.clip(round(side), 1, min(width, height)))
    left = int(np.clip(round((x1 + x2 - side) / 2), 0, width - side))
    top = int(np.clip(round((y1 + y2 - side) / 2), 0, height - side))
    return image[top : top + side, left : left + side]
