"""ControlNet maps that need no network: lines, edges, a face drawn from its landmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.a1111.resizing import resize_map
from deployments.contracts.arrays import Image

_GRID = 64
_SMALLEST_FACE_PX = 64
_LINE_PX = 2
_PUPIL_PX = 2

_HEAD, _MOUTH = (10, 200, 10), (10, 180, 10)
_LEFT_EYE, _LEFT_BROW, _LEFT_PUPIL = (10, 200, 180), (10, 220, 180), (10, 200, 250)
_RIGHT_EYE, _RIGHT_BROW, _RIGHT_PUPIL = (180, 200, 10), (180, 220, 10), (250, 200, 10)
"""RGB of the images that the ControlNet `mediapipe_face` was trained on; left is the person's left."""
_LEFT_RING = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_RIGHT_RING = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
         152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
_OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
_CLOSED = (
    (_OVAL, _HEAD),
    (_OUTER_LIPS, _MOUTH),
    (_INNER_LIPS, _MOUTH),
    (_LEFT_RING, _LEFT_EYE),
    (_RIGHT_RING, _RIGHT_EYE),
)
_OPEN = (
    ((276, 283, 282, 295, 285), _LEFT_BROW),
    ((300, 293, 334, 296, 336), _LEFT_BROW),
    ((46, 53, 52, 65, 55), _RIGHT_BROW),
    ((70, 63, 105, 66, 107), _RIGHT_BROW),
)
"""Points of MediaPipe's face mesh along each line."""


def at_resolution(image: Image, short_side: int, draw: Callable[[Image], Image]) -> Image:
    """Apply `draw` at another resolution: short side `short_side` px, both sides padded to multiples of 64.

    The map has the image's size again.
    """
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    work = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    pad = (-size[1] % _GRID, -size[0] % _GRID)
    drawn = draw(cv2.copyMakeBorder(work, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE))
    return resize_map(drawn[: size[1], : size[0]], (width, height))


def draw_canny(image: Image, low: float, high: float) -> Image:
    """Draw white edges of the RGB image on black."""
    return _as_rgb(cv2.Canny(image, low, high))


def draw_threshold(image: Image, above: float) -> Image:
    """Threshold each channel: white where it is brighter than `above`."""
    return np.where(image > above, 255, 0).astype(np.uint8)


def draw_xdog(image: Image, threshold: float) -> Image:
    """Draw a scribble: white where a difference of Gaussians is dark enough."""
    sharp, soft = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma) for sigma in (0.5, 5.0))
    difference = np.clip(255 - (soft - sharp).min(axis=2), 0, 255).astype(np.uint8)
    return _as_rgb(np.where(2.0 * (255.0 - difference) > threshold, 255, 0).astype(np.uint8))


def draw_faces(size: tuple[int, int], faces: Sequence[NDArray[np.float32]]) -> Image:
    """Draw contours and pupils of face meshes `float32[468, 2]`, pixels, on a black image of `size` (width, height).

    Faces under 64 px are left out. A pupil is the middle of its eye: the mesh without irises knows no better.
    """
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    for points in faces:
        if np.ptp(points, axis=0).min() < _SMALLEST_FACE_PX:
            continue
        for lines, closed in ((_CLOSED, True), (_OPEN, False)):
            for path, colour in lines:
                cv2.polylines(canvas, [np.rint(points[list(path)]).astype(np.int32)], closed, colour, _LINE_PX)
        for ring, colour in ((_LEFT_RING, _LEFT_PUPIL), (_RIGHT_RING, _RIGHT_PUPIL)):
            x, y = np.floor(points[list(ring)].mean(axis=0)).astype(int)
            canvas[max(y - _PUPIL_PX, 0) : max(y + _PUPIL_PX, 0), max(x - _PUPIL_PX, 0) : max(x + _PUPIL_PX, 0)] = (
                colour
            )
    return canvas


def _as_rgb(grey: NDArray[np.uint8]) -> Image:
    return np.ascontiguousarray(np.broadcast_to(grey[..., None], (*grey.shape, 3)))
