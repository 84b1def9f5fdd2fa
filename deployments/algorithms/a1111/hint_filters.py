"""ControlNet hints made by filters of the whole image: blur, colours, brightness, lines, a shuffle.

Each returns `uint8[H, W, 3]` of the image's size. Formulas and constants are those of sd-webui-controlnet's
preprocessors, so that ControlNets are shown what they were trained on.
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.alignment import MESH_EYES
from deployments.contracts.arrays import Image

_CELL_PX = 64
"""Side of a field of the colour grid."""
_SHUFFLE_PX = 256
"""Distance of the points between which the shuffle's displacement is smooth."""
_LINE_SIGMA, _FAINTEST, _LEAST_MEDIAN = 6.0, 8, 16
_DOT_PX = 3
_DLIB_POINTS = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)
"""Points of MediaPipe's face mesh that lie where the 68 points of dlib and OpenPose do, in their order."""


def blur(image: Image, sigma: float) -> Image:
    """Blur by a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def draw_colour_grid(image: Image) -> Image:
    """Draw the mean colour of each field of 64 pixels."""
    height, width = image.shape[:2]
    fields = (max(1, width // _CELL_PX), max(1, height // _CELL_PX))
    coarse = cv2.resize(image, fields, interpolation=cv2.INTER_CUBIC if fields == (1, 1) else cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def draw_luminance(image: Image, gamma: float) -> Image:
    """Draw the lightness (L of Lab) to the power `gamma` in grey."""
    return _grey(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0], gamma)


def draw_intensity(image: Image, gamma: float) -> Image:
    """Draw the largest of the three colours (V of HSV) to the power `gamma` in grey."""
    return _grey(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 2], gamma)


def draw_standard_lines(image: Image) -> Image:
    """Draw white where the image is darker than its surroundings: the lines of a drawing on white."""
    pixels = image.astype(np.float32)
    lines: NDArray[np.float32] = (cv2.GaussianBlur(pixels, (0, 0), _LINE_SIGMA) - pixels).min(axis=2).clip(0, 255)
    clear = lines[lines > _FAINTEST]
    lines *= 127 / max(_LEAST_MEDIAN, float(np.median(clear)) if len(clear) else 0.0)
    return _as_rgb(lines.clip(0, 255).astype(np.uint8))


def resample(image: Image, rate: float) -> Image:
    """Shrink by `rate` and enlarge again, so that detail goes; unchanged below 1.1."""
    if rate < 1.1:
        return image
    height, width = image.shape[:2]
    small = (max(1, int(width / rate)), max(1, int(height / rate)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def shuffle(image: Image) -> Image:
    """Displace all pixels smoothly, at random but the same for the same image: colours stay, shapes go."""
    rng = np.random.default_rng(zlib.crc32(image.tobytes()))
    height, width = image.shape[:2]
    xs, ys = (_smooth_noise(rng, height, width) * (side - 1) for side in (width, height))
    return np.asarray(cv2.remap(image, xs.astype(np.float32), ys.astype(np.float32), cv2.INTER_LINEAR), np.uint8)


def draw_face_points(size: tuple[int, int], faces: list[NDArray[np.float32]]) -> Image:
    """Draw OpenPose's 70 points of each face mesh `float32[468, 2]`, pixels, white on black of `size` (width, height).

    The pupils are the middles of the eyes: the mesh without irises knows no better.
    """
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    for mesh in faces:
        eyes = [mesh[list(ring)].mean(axis=0) for ring in MESH_EYES]
        for x, y in np.concatenate([mesh[list(_DLIB_POINTS)], eyes]):
            cv2.circle(canvas, (int(x), int(y)), _DOT_PX, (255, 255, 255), thickness=-1)
    return canvas


def _smooth_noise(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Make smooth noise `float32[height, width]` from 0 to 1."""
    coarse = rng.random((height // _SHUFFLE_PX + 2, width // _SHUFFLE_PX + 2), np.float32)
    size = ((width // _SHUFFLE_PX + 2) * _SHUFFLE_PX, (height // _SHUFFLE_PX + 2) * _SHUFFLE_PX)
    large = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    noise = large[_SHUFFLE_PX : _SHUFFLE_PX + height, _SHUFFLE_PX : _SHUFFLE_PX + width]
    return np.asarray((noise - noise.min()) / max(float(np.ptp(noise)), 1e-6), np.float32)


def _grey(plane: NDArray[np.uint8], gamma: float) -> Image:
    return _as_rgb(((plane.astype(np.float32) / 255) ** gamma * 255).clip(0, 255).astype(np.uint8))


def _as_rgb(grey: NDArray[np.uint8]) -> Image:
    return np.ascontiguousarray(np.broadcast_to(grey[..., None], (*grey.shape, 3)))
