"""Small tools for drawing pictures: text, files that lose something, pixels of floats."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from deployments.contracts.arrays import Image

Random = np.random.Generator
Colour = tuple[int, int, int]
WORDS = (
    "time people way water day part sound work place year live give back thing name good man sentence think say great "
    "help line cause much mean before move right boy old same tell does set three want air well also play small end"
).split()


@cache
def font(size: int) -> Any:
    """Open Pillow's own font at a size in pixels."""
    return ImageFont.load_default(size)


def words(draw: Random, count: int) -> str:
    """Choose words at random."""
    return " ".join(WORDS[place] for place in draw.integers(0, len(WORDS), count))


def blank(width: int, height: int, colour: Colour = (255, 255, 255)) -> Image:
    """Make a picture of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def canvas(pixels: Image) -> tuple[PillowImage.Image, ImageDraw.ImageDraw]:
    """Open a copy of a picture to draw on."""
    page = PillowImage.fromarray(pixels)
    return page, ImageDraw.Draw(page)


def jpeg_bytes(pixels: Image, quality: int) -> bytes:
    """Store as JPEG."""
    stored = io.BytesIO()
    PillowImage.fromarray(pixels).save(stored, "JPEG", quality=quality)
    return stored.getvalue()


def jpeg(pixels: Image, quality: int) -> Image:
    """Store as JPEG and read again."""
    return np.asarray(PillowImage.open(io.BytesIO(jpeg_bytes(pixels, quality))).convert("RGB"))


def resized(pixels: Image, width: float, height: float) -> Image:
    """Resize to whole pixels, at least one."""
    size = (max(1, round(width)), max(1, round(height)))
    method = cv2.INTER_AREA if size[0] < pixels.shape[1] else cv2.INTER_CUBIC
    result: Image = cv2.resize(pixels, size, interpolation=method)
    return result


def to_long_side(pixels: Image, side: float) -> Image:
    """Resize so that the longer side has so many pixels."""
    scale = side / max(pixels.shape[:2])
    return resized(pixels, pixels.shape[1] * scale, pixels.shape[0] * scale)


def clipped(values: NDArray[Any]) -> Image:
    """Round and clip grey levels to bytes."""
    pixels: Image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def noisy(pixels: Image, draw: Random, deviation: float) -> Image:
    """Add a sensor's noise."""
    return clipped(pixels + draw.normal(0, deviation, pixels.shape))


def blurred(pixels: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Blur by a Gaussian of so many pixels."""
    result: NDArray[Any] = cv2.GaussianBlur(pixels, (0, 0), sigma)
    return result


def random_colour(draw: Random) -> Colour:
    """Choose a colour at random."""
    red, green, blue = (int(level) for level in draw.integers(0, 256, 3))
    return red, green, blue


def clouds(draw: Random, width: int, height: int, sigma: float) -> NDArray[np.float32]:
    """Draw smooth noise of mean 0 and deviation 1."""
    small = draw.normal(size=(max(4, round(height / sigma)), max(4, round(width / sigma)))).astype(np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    result: NDArray[np.float32] = (large - large.mean()) / max(1e-6, float(large.std()))
    return result
