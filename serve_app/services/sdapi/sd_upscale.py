"""The script "SD upscale": an image is enlarged, and each tile of it redrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from pydantic import TypeAdapter, ValidationError

from deployments.algorithms.a1111.bounds import IMAGE_UPSCALERS
from deployments.algorithms.a1111.inpainting import PixelBox
from deployments.algorithms.a1111.tiles import count_tiles, join_tiles, tile_boxes
from deployments.contracts.arrays import Image
from serve_app.services.sdapi.errors import bad_field, broken
from serve_app.services.sdapi.lenient_types import Int, Real
from serve_app.services.sdapi.tasks import FinishedImage

NAME = "sd upscale"
_MOST_TILES = 64
"""Most tiles of one request, all its images together."""
_DEFAULTS: tuple[Any, ...] = ("", 64, "Lanczos", 2.0)
_FILTERS = {"Lanczos": PillowImage.Resampling.LANCZOS, "Nearest": PillowImage.Resampling.NEAREST}
_INT: TypeAdapter[int] = TypeAdapter(Int)
_REAL: TypeAdapter[float] = TypeAdapter(Real)


@dataclass(frozen=True, slots=True)
class SdUpscale:
    """Arguments of the script: `script_args` are a text, the overlap, the upscaler by name or place, and the factor."""

    overlap: int
    upscaler: str
    scale: float

    @classmethod
    def of(cls, arguments: Sequence[Any]) -> SdUpscale:
        """Parse `script_args`. Raises `FieldRefused` and `WebUiError`."""
        _, overlap_given, upscaler, scale_given = (*arguments[:4], *_DEFAULTS[len(arguments[:4]) :])
        try:
            overlap, scale = _INT.validate_python(overlap_given), _REAL.validate_python(scale_given)
        except ValidationError:
            raise bad_field("an overlap and a factor are numbers", "script_args") from None
        if not 0 <= overlap <= 256 or not 1 <= scale <= 4:
            raise bad_field("the overlap is 0 to 256 pixels, the factor 1 to 4", "script_args")
        return cls(overlap, _upscaler(upscaler), scale)


def _upscaler(given: Any) -> str:
    if isinstance(given, int) and 0 <= given < len(IMAGE_UPSCALERS):
        return IMAGE_UPSCALERS[given]
    if given not in IMAGE_UPSCALERS:
        raise broken("Exception", f"could not find upscaler named {str(given)[:80]}")
    return str(given)


@dataclass(frozen=True, slots=True)
class Sheet:
    """An enlarged image and the tiles of it that are redrawn."""

    base: Image
    boxes: tuple[PixelBox, ...]

    @classmethod
    def of(cls, image: Image, script: SdUpscale, tile: tuple[int, int], times: int) -> Sheet:
        """Enlarge the image and lay tiles over it, to be made `times` times. Raises `FieldRefused` for too many."""
        height, width = image.shape[:2]
        factor = 1.0 if script.upscaler == "None" else script.scale
        size = (max(1, int(width * factor)), max(1, int(height * factor)))
        overlap = min(script.overlap, min(tile) - 1)
        if (tiles := count_tiles(size, tile, overlap) * times) > _MOST_TILES:
            raise bad_field(f"{tiles} tiles; at most {_MOST_TILES} are made", "script_args")
        if factor == 1.0:
            base = image
        else:
            base = np.asarray(PillowImage.fromarray(image).resize(size, _FILTERS[script.upscaler]), np.uint8)
        return cls(base, tuple(tile_boxes(size, tile, overlap)))

    def join(self, finished: Sequence[FinishedImage | None]) -> list[FinishedImage | None]:
        """Join tiles, image after image, to images. None: not one of its tiles was generated."""
        images: list[FinishedImage | None] = []
        for start in range(0, len(finished), len(self.boxes)):
            tiles = finished[start : start + len(self.boxes)]
            generated = [tile for tile in tiles if tile is not None]
            if not generated:
                images.append(None)
                continue
            image = join_tiles(self.base, self.boxes, [None if tile is None else tile.image for tile in tiles])
            warnings = tuple(dict.fromkeys(text for tile in generated for text in tile.warnings))
            images.append(replace(generated[0], image=image, warnings=warnings))
        return images
