"""Memory that decoding an image takes, by its type and size: what a file of a few bytes can make a decoder ask for.

Only JPEGs are decoded at a reduced size; of all others the libraries here unpack every pixel first.
"""

from __future__ import annotations

from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile

from deployments.algorithms.images.tiff_depth import has_deep_colours

_BYTES_A_PIXEL = {
    "image/jpeg": 8,
    "image/png": 8,
    "image/webp": 17,
    "image/gif": 6,
    "image/bmp": 8,
    "image/tiff": 8,
    "image/heic": 8,
    "image/heif": 8,
    "image/avif": 12,
}
"""Bytes a pixel at the peak, decoder and result at full size; measured by `python -m bench.speed.decoding`."""
_MORE = 4
"""Bytes a pixel besides for what takes more: the coefficients of a progressive JPEG, four inks, a transparent colour
beside the pixels, TIFF colours of 16 bits."""
_ALPHA = 2
"""Bytes a pixel besides for opacity of each pixel, which is wanted at full size beside the colours."""


def decoding_bytes(content_type: str, picture: PillowImage.Image, *, is_whole: bool = True) -> int:
    """Estimate the bytes that decoding a file takes at its peak.

    `picture`: the opened file, not loaded yet. `is_whole`: it is decoded once; else twice, to compare.
    """
    info = picture.info
    reasons = (
        info.get("progressive"),
        picture.mode == "CMYK" or "transparency" in info,
        isinstance(picture, TiffImageFile) and has_deep_colours(picture),
    )
    each = (
        _BYTES_A_PIXEL[content_type]
        + _ALPHA * ("A" in picture.getbands())
        + _MORE * sum(map(bool, reasons))
        + (0 if is_whole else 2 * _MORE)
    )
    return picture.width * picture.height * each
