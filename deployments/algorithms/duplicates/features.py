"""Keypoints with RootSIFT descriptors on a small grey image, as registration compares them.

SIFT: Lowe 2004. RootSIFT (the square root of the L1-normalised histogram): Arandjelović and Zisserman, CVPR 2012. Its
components are at most 1 and nearly always under 1/2, so a byte of 1/512 steps holds one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.borders import content_box
from deployments.contracts.albums import LocalFeatures
from deployments.contracts.arrays import Gray, Image, Vectors

_DESCRIPTOR_STEPS = 512.0
"""Steps a unit in which descriptors are stored."""
_MIN_CONTRAST = 20.0
"""Grey levels under which stretching the contrast would only show noise."""

_PAGE_COLOUR = 30.0
"""Mean difference of the largest and the least of red, green and blue up to which an image may be a page."""


@dataclass(frozen=True, slots=True)
class FeatureLimits:
    """Resolution and number of an image's features."""

    long_side_px: int = 384
    """Longest side at which features are detected."""
    max_enlargement: float = 2.0
    """Factor by which tiny images are enlarged at most: there is nothing finer to find in them."""
    points: int = 800
    """Keypoints kept, strongest first."""
    contrast: float = 0.008
    """OpenCV's `contrastThreshold`: a fifth of its default, for blurred and dark copies."""
    edge: float = 12.0
    """OpenCV's `edgeThreshold`."""


def describe(image: Image, limits: FeatureLimits | None = None) -> LocalFeatures:
    """Detect the features of an image without its flat border. An image without structure has no points."""
    limits = limits or FeatureLimits()
    small = _resize(_trim(image), limits)
    pixels = _stretch_contrast(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    is_coloured = float((small.max(axis=2) - small.min(axis=2)).mean()) > _PAGE_COLOUR
    detector = cv2.SIFT.create(
        nfeatures=limits.points,
        contrastThreshold=limits.contrast,
        edgeThreshold=limits.edge,
        enable_precise_upscale=True,
    )
    keypoints, histograms = detector.detectAndCompute(pixels, None)
    if histograms is None:
        return LocalFeatures(pixels, *_no_points(), is_coloured)
    strength = np.array([keypoint.response for keypoint in keypoints], np.float32)
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32)
    sizes = np.array([keypoint.size for keypoint in keypoints], np.float32)
    # Ties are broken by place, so that the choice does not depend on OpenCV's threads.
    strongest = np.lexsort((points[:, 0], points[:, 1], -strength))[: limits.points]
    return LocalFeatures(pixels, points[strongest], sizes[strongest], _root(histograms[strongest]), is_coloured)


def mirrored(features: LocalFeatures) -> LocalFeatures:
    """Mirror features left to right, without detecting them again.

    A descriptor is 4 rows of 4 cells of 8 directions, in the frame of its keypoint's own direction. Mirroring swaps
    the rows across that direction and reverses the sense in which directions are counted.
    """
    points = features.points.copy()
    points[:, 0] = features.pixels.shape[1] - 1 - points[:, 0]
    pixels = np.ascontiguousarray(features.pixels[:, ::-1])
    return replace(features, pixels=pixels, points=points, descriptors=features.descriptors[:, _MIRROR_ORDER])


_ROWS, _CELLS, _DIRECTIONS = 4, 4, 8
_MIRROR_ORDER = np.array(
    [
        ((_ROWS - 1 - row) * _CELLS + cell) * _DIRECTIONS + (-direction) % _DIRECTIONS
        for row in range(_ROWS)
        for cell in range(_CELLS)
        for direction in range(_DIRECTIONS)
    ]
)


def _trim(image: Image) -> Image:
    box = content_box(image)
    if box is None:
        return image
    left, top, right, bottom = box
    # The edge of the frame is found to a pixel of a small copy: step inside it.
    inset = max(1, round(0.006 * max(right - left, bottom - top)))
    inner = image[top + inset : bottom - inset, left + inset : right - inset]
    return inner if inner.size else image


def _resize(image: Image, limits: FeatureLimits) -> Image:
    height, width = image.shape[:2]
    scale = min(limits.long_side_px / max(height, width), limits.max_enlargement)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return resized


def _stretch_contrast(gray: Gray) -> Gray:
    low, high = np.percentile(gray, (1, 99))
    stretched = (gray.astype(np.float32) - low) * (255.0 / max(_MIN_CONTRAST, high - low))
    pixels: Gray = np.clip(stretched, 0, 255).astype(np.uint8)
    return pixels


def _root(histograms: Vectors) -> NDArray[np.uint8]:
    shares = histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1e-6)
    quantised: NDArray[np.uint8] = np.clip(np.rint(np.sqrt(shares) * _DESCRIPTOR_STEPS), 0, 255).astype(np.uint8)
    return quantised


def _no_points() -> tuple[Vectors, Vectors, NDArray[np.uint8]]:
    return np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 128), np.uint8)
