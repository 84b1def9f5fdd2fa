"""Black and white of 16-bit samples in TIFF files.

Cameras and scientific programs store 12 bits in samples of 16, most without a word (TIFF 6.0 has a tag for it,
MaxSampleValue). Taken for 16 bits, such an image is nearly black: no sample lies above a sixteenth of the range. So
where none does, white is 4095. Pillow hands out only the upper bytes of 16-bit colours; then the lower ones are read
too.
"""

from __future__ import annotations

import io
import sys
from typing import Any, cast

import numpy as np
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile

from deployments.algorithms.images.colour_profiles import BAND_PIXELS
from deployments.algorithms.images.pixel_formats import TWELVE_BITS

_BITS, _PHOTOMETRIC, _MAX_SAMPLE = 258, 262, 281
_WHITE_IS_ZERO = 0
_COLOURS_16 = frozenset({"RGB;16", "RGBX;16", "RGBA;16"})


def grey_levels(picture: TiffImageFile) -> tuple[int, int] | None:
    """Find black and white of a loaded image in one of the modes `I;16`; None for other modes."""
    if not picture.mode.startswith("I;16"):
        return None
    white = _white(picture)
    # Pillow turns greys of 8 bits around whose zero is white, not those of 16.
    return (white, 0) if picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0, white)


def _white(picture: TiffImageFile) -> int:
    bits, stated = (_first(picture.tag_v2.get(tag)) for tag in (_BITS, _MAX_SAMPLE))
    if 8 < bits < 16:
        return (1 << bits) - 1
    if 255 < stated < 65535:
        return stated
    return TWELVE_BITS if int(np.asarray(picture).max()) <= TWELVE_BITS else 65535


def has_deep_colours(picture: TiffImageFile) -> bool:
    """Tell whether an opened, not yet loaded image has RGB colours of 16 bits."""
    return _rawmode(picture)[:-1] in _COLOURS_16


def load_colours(picture: TiffImageFile, data: bytes) -> PillowImage.Image:
    """Load an image; colours of 12 bits in samples of 16 are scaled to 8 bits here. `data`: the file."""
    rawmode, is_deep = _rawmode(picture), has_deep_colours(picture)
    picture.load()
    if not is_deep or _brightest(picture) > TWELVE_BITS >> 8:
        return picture
    little = rawmode[-1] == "L" or (rawmode[-1] == "N" and sys.byteorder == "little")
    swapped = rawmode[:-1] + ("B" if little else "L")
    with TiffImageFile(io.BytesIO(data)) as lower:
        lower.tile = [tile._replace(args=(swapped, *cast(tuple[Any, ...], tile.args)[1:])) for tile in lower.tile]
        lower.load()
        return _joined(picture, lower)


def _rawmode(picture: TiffImageFile) -> str:
    """Read how the file stores pixels, in Pillow's words: `RGB;16L`, `RGB;16N`..."""
    args = picture.tile[0].args if picture.tile else None
    return str(args[0]) if isinstance(args, tuple) else ""


def _joined(upper: PillowImage.Image, lower: PillowImage.Image) -> PillowImage.Image:
    """Put the bytes of 12-bit colours together and scale them to 8 bits; opacity keeps its own upper byte."""
    joined = PillowImage.new(upper.mode, upper.size)
    rows = max(1, BAND_PIXELS // upper.width)
    for top in range(0, upper.height, rows):
        box = (0, top, upper.width, min(top + rows, upper.height))
        high, low = (np.asarray(part.crop(box)) for part in (upper, lower))
        pixels = np.rint((high.astype(np.uint16) << 8 | low) * np.float32(255 / TWELVE_BITS)).astype(np.uint8)
        pixels[..., 3:] = high[..., 3:]
        joined.paste(PillowImage.fromarray(pixels), box)
    return joined


def _brightest(picture: PillowImage.Image) -> int:
    """Find the highest value in an 8-bit image, opacity aside."""
    return max(int(picture.getchannel(name).getextrema()[1]) for name in picture.getbands() if name != "A")  # type: ignore[arg-type]  # one band: two numbers


def _first(value: object) -> int:
    """Read a tag of one value or one a channel; 0 where there is none."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, int) else 0
