"""Images for tests: small, seeded, made in code, or photographs that scikit-image ships in its wheel."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import skimage
from PIL import Image as PillowImage

from deployments.contracts.arrays import Image

ORIENTATION_TAG = 274
_OPPOSITE_TURN = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def an_image(size: tuple[int, int] = (96, 64), seed: int = 0) -> Image:
    """Make `uint8[H, W, 3]` of `size` (width, height): coloured noise at several scales, no two seeds alike.

    It has edges, texture and no symmetry, so turned, mirrored and cropped versions all differ.
    """
    width, height = size
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((3, 1.0), (8, 0.6), (24, 0.3)):
        noise = rng.random((cells, cells, 3), dtype=np.float32) - 0.5
        picture += weight * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 170 * picture, 0, 255).astype(np.uint8)


def a_flat_image(size: tuple[int, int] = (96, 64), colour: tuple[int, int, int] = (200, 120, 40)) -> Image:
    return np.full((size[1], size[0], 3), colour, np.uint8)


@cache
def _photo(name: str) -> Image:
    folder = Path(skimage.__file__).parent / "data"
    (file,) = folder.glob(f"{name}.*")
    return np.asarray(PillowImage.open(file).convert("RGB"))


def a_photo(name: str = "astronaut", max_px: int | None = None) -> Image:
    """Load a photo: astronaut (a face), chelsea (a cat), coffee, rocket, camera, moon, brick, grass, page (text)..."""
    picture = _photo(name)
    if max_px:
        scale = max_px / max(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return picture.copy()


def encoded(image: np.ndarray | PillowImage.Image, format: str = "JPEG", **options: Any) -> bytes:
    """Encode an image file: JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF (Pillow) or HEIC; options as Pillow's `save`.

    An array is `uint8[H, W, 3]`, or anything `PIL.Image.fromarray` takes.
    """
    picture = image if isinstance(image, PillowImage.Image) else PillowImage.fromarray(image)
    file = io.BytesIO()
    if format == "HEIC":
        if exif := options.pop("exif", None):
            options["exif"] = exif.tobytes()  # as bytes, pillow_heif writes the turn as a box too, as phones do
        pillow_heif.from_pillow(picture).save(file, **options)
    else:
        picture.save(file, format, **options)
    return file.getvalue()


def base64_png(image: np.ndarray) -> str:
    """Encode an image as base64 of a PNG, as JSON carries it."""
    return base64.b64encode(encoded(image, "PNG")).decode()


def turned(image: Image, orientation: int) -> PillowImage.Image:
    """Turn an image as a camera held otherwise stores it: `orientation` is the EXIF value that sets it upright."""
    methods = {
        2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
        3: PillowImage.Transpose.ROTATE_180,
        4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
        5: PillowImage.Transpose.TRANSPOSE,
        6: PillowImage.Transpose.ROTATE_270,
        7: PillowImage.Transpose.TRANSVERSE,
        8: PillowImage.Transpose.ROTATE_90,
    }
    picture = PillowImage.fromarray(image)
    opposite = _OPPOSITE_TURN[orientation]
    return picture if opposite == 1 else picture.transpose(methods[opposite])


def exif_with_turn(orientation: int) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[ORIENTATION_TAG] = orientation
    return exif


def encoded_turned(image: Image, orientation: int, format: str = "JPEG", **options: Any) -> bytes:
    """Encode a file whose stored pixels are turned and whose EXIF orientation sets them upright again."""
    return encoded(turned(image, orientation), format, exif=exif_with_turn(orientation), **options)
