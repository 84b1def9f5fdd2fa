"""Thumbnails of stored images in fixed sizes and two formats.

Which library does what was measured (`python -m bench.speed.thumbnails`): OpenCV decodes the server's own previews and
writes JPEG in a quarter of Pillow's time; Pillow lets WebP be written with half of the usual effort.
"""

from __future__ import annotations

import io
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image as PillowImage

from deployments.algorithms.images.jpeg import read_jpeg
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Image

Format = Literal["webp", "jpeg"]
FORMATS: tuple[Format, ...] = get_args(Format)
SIZES = (256, 512, 1024, 2048)
"""Pixels of the longest side: fixed, so that each is made once and kept."""
QUALITY: dict[Format, int] = {"webp": 80, "jpeg": 85}
"""Of equal look: PSNR differs by less than 1 dB. WebP takes .6 of JPEG's bytes."""
WEBP_EFFORT = 2
"""Of 0 to 6; 4 takes twice the time for files that are 4 % smaller."""
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
"""Shares of the size at which a JPEG can be decoded."""


def make_thumbnail(preview: bytes, size: int, form: Format) -> bytes:
    """Make a thumbnail of a preview that this server encoded: a JPEG, upright, sRGB; clients' files are not for here.

    Its longest side is at most `size`; it is never enlarged.
    """
    header = read_jpeg(preview)
    longest = max(header.width, header.height)
    mode = next((mode for share, mode in _REDUCED if longest // share >= size), cv2.IMREAD_COLOR)
    pixels = cv2.imdecode(np.frombuffer(preview, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError("a preview is no picture")
    return _encode(shrink(np.asarray(pixels, np.uint8), size), form)


def encode_thumbnail(image: Image, size: int, form: Format) -> bytes:
    """Make a thumbnail of pixels, `uint8[H, W, 3]`, upright sRGB."""
    return _encode(shrink(image, size)[..., ::-1], form)


def _encode(bgr: Image, form: Format) -> bytes:
    if form == "jpeg":
        _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, QUALITY["jpeg"]])
        return encoded.tobytes()
    file = io.BytesIO()
    rgb = PillowImage.fromarray(np.ascontiguousarray(bgr[..., ::-1]))
    rgb.save(file, "WEBP", quality=QUALITY["webp"], method=WEBP_EFFORT)
    return file.getvalue()
