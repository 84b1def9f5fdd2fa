"""Edits that move pixels: squeezes, turns, perspective, crops, thumbnails."""

from __future__ import annotations

import cv2
import numpy as np

from bench.quality.copies.drawing import Random, clipped, jpeg, random_colour, resized, to_long_side
from deployments.contracts.arrays import Image


def squeezed(photo: Image, draw: Random) -> Image:
    """Make narrower by 1.3 to 1.9."""
    height, width = photo.shape[:2]
    return jpeg(resized(photo, width / draw.uniform(1.3, 1.9), height), 85)


def stretched(photo: Image, draw: Random) -> Image:
    """Make wider by 1.3 to 1.9."""
    height, width = photo.shape[:2]
    return jpeg(resized(photo, width * draw.uniform(1.3, 1.9), height), 85)


def slight_perspective(photo: Image, draw: Random) -> Image:
    """Correct converging lines: each corner moves in by up to 6 % of the sides, the frame stays full."""
    height, width = photo.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    seen = corners + inward * draw.uniform(0, 0.06, (4, 2)).astype(np.float32) * (width, height)
    matrix = cv2.getPerspectiveTransform(seen.astype(np.float32), corners)
    return jpeg(cv2.warpPerspective(photo, matrix, (width, height), flags=cv2.INTER_CUBIC), 85)


def turned_with_corners(photo: Image, draw: Random) -> Image:
    """Turn by 5 to 40 degrees in the same or a grown frame; the corners are of one colour."""
    height, width = photo.shape[:2]
    degrees = float(draw.uniform(5, 40) * draw.choice([-1, 1]))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    to_width, to_height = width, height
    if draw.random() < 0.5:
        cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
        to_width, to_height = round(width * cosine + height * sine), round(width * sine + height * cosine)
        matrix[:, 2] += (to_width - width) / 2, (to_height - height) / 2
    ground = [(0, 0, 0), (255, 255, 255), random_colour(draw)][int(draw.integers(3))]
    return jpeg(cv2.warpAffine(photo, matrix, (to_width, to_height), flags=cv2.INTER_CUBIC, borderValue=ground), 85)


def quarter_turned(photo: Image, draw: Random) -> Image:
    """Turn by 90 to 270 degrees."""
    return np.ascontiguousarray(np.rot90(photo, int(draw.integers(1, 4))))


def mirrored_crop(photo: Image, draw: Random) -> Image:
    """Mirror and keep .6 of the area."""
    return jpeg(_cropped(np.ascontiguousarray(photo[:, ::-1]), draw, 0.6), 60)


def crop_half(photo: Image, draw: Random) -> Image:
    """Keep half of the area."""
    return jpeg(_cropped(photo, draw, 0.5), 85)


def crop_fifth(photo: Image, draw: Random) -> Image:
    """Keep a fifth of the area, from the middle parts."""
    return jpeg(_cropped(photo, draw, 0.2), 85)


def thumbnail(photo: Image, draw: Random) -> Image:
    """Shrink to 56 pixels on the longer side."""
    del draw
    return jpeg(to_long_side(photo, 56), 80)


def upscaled(photo: Image, draw: Random) -> Image:
    """Enlarge by 2 and sharpen, as upscalers do."""
    del draw
    large = resized(photo, photo.shape[1] * 2, photo.shape[0] * 2).astype(np.float32)
    return jpeg(clipped(large + 0.8 * (large - cv2.GaussianBlur(large, (0, 0), 2))), 80)


def _cropped(photo: Image, draw: Random, area: float) -> Image:
    height, width = photo.shape[:2]
    side = area**0.5
    top, left = (1 - side) * draw.uniform(0.2, 0.8, 2)
    from_y, from_x = round(top * height), round(left * width)
    return photo[from_y : from_y + round(side * height), from_x : from_x + round(side * width)].copy()


KINDS = {
    "squeezed": squeezed,
    "stretched": stretched,
    "slight perspective": slight_perspective,
    "turned with corners": turned_with_corners,
    "quarter turn": quarter_turned,
    "mirrored crop": mirrored_crop,
    "crop of 50 %": crop_half,
    "crop of 20 %": crop_fifth,
    "thumbnail of 56 px": thumbnail,
    "upscaled": upscaled,
}
