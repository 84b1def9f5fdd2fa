"""Sharpness, noise and compression blocks of grey images, measured block by block without a reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Gray

Plane = NDArray[np.float32]

_REBLUR_PX = 9
"""Length of the box that an image is re-blurred with, pixels (Crete et al. 2007, at their value)."""
_BLOCK_PX = 32
_MIN_GRADIENT = 2.0
"""Mean grey levels a pixel from which a block counts as textured."""
_MIN_BLOCKS = 4
_SECOND = np.array([[1, -2, 1]], np.float32)
_BEST_SHARE = 0.1
"""Share of the textured blocks, the sharpest, that is judged: a portrait before a soft background is sharp."""
_NOISE_FACTOR, _MAX_NOISE = 3.0, 6.0
_CLIPPED = 12.0
"""Grey levels from black and white within which a block says nothing of noise."""

_GRID_PX = 8
"""Side of the blocks that JPEG and its like compress, pixels of the original."""
_MAX_SHRINK = 3.0
"""Factor of shrinking above which the grid is too fine to be seen or measured."""
_MAX_STEP = 24
"""Grey levels at which a step is clipped: an object's edge is no evidence of a grid."""
_LEAST_STEP = 0.5
"""Grey levels added to the usual step: flat images have no grid."""


@dataclass(frozen=True, slots=True)
class Blur:
    """Measures of blur, 0 (nothing but blur) to 1."""

    loss: float
    """Share of the sharpest blocks' gradient that a further blur takes away, in the worst of three directions.

    What is blurred already loses little (Crete et al., "The blur effect", 2007). Only one direction suffers from a
    moving camera: down, across, or the one in which the image changes least. Gradients within the noise count for none.
    """
    smear: float
    """How fast the image changes in its steadiest direction, as a share of how fast it does across it, in blocks where
    that differs least: near 0 where everything is drawn out in one direction, as by a moving camera."""


def measure_blur(grey: Gray) -> Blur:
    """Measure how blurred and how smeared `uint8[H, W]` is."""
    loss, turned = _measure_loss(grey)
    return Blur(loss, _smear(turned))


def measure_loss(grey: Gray) -> float:
    """Measure `Blur.loss` alone."""
    return _measure_loss(grey)[0]


def _measure_loss(grey: Gray) -> tuple[float, Plane]:
    """Measure the loss. -> it and the image as it changes least downwards"""
    picture = grey.astype(np.float32)
    floor = _NOISE_FACTOR * min(float(np.percentile(_texture(picture), 10)), _MAX_NOISE)
    turned = _steadiest_down(picture)
    scores = [_loss_along(side, axis, floor) for side, axis in ((picture, 0), (picture, 1), (turned, 0))]
    textured = [score for score, blocks in scores if blocks >= _MIN_BLOCKS]
    return min(textured) if textured else max(score for score, _ in scores), turned


def _smear(turned: Plane) -> float:
    down, across = (
        _block_means(np.abs(cv2.filter2D(turned, -1, kernel))) for kernel in (_SECOND.reshape(3, 1), _SECOND)
    )
    textured = down + across >= _MIN_GRADIENT
    if textured.sum() < _MIN_BLOCKS:
        return 1.0
    return min(1.0, float(np.quantile(down[textured] / np.maximum(across[textured], 0.5), 1 - _BEST_SHARE)))


def _steadiest_down(picture: Plane) -> Plane:
    """Turn the image so that it changes least downwards; it keeps its size, and its borders are drawn out."""
    right, down = (cv2.Sobel(picture, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    # The angle of the structure tensor's larger eigenvalue: across it lies the direction of the least change.
    both, across, along = (float(np.vdot(*sides)) for sides in ((right, down), (right, right), (down, down)))
    angle = 0.5 * np.arctan2(2 * both, across - along)
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(angle)), 1.0)
    turned: Plane = cv2.warpAffine(
        picture, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return turned


def _loss_along(picture: Plane, axis: int, floor: float) -> tuple[float, int]:
    """Measure the loss along the columns (axis 0) or the rows (1), and count the blocks with texture in that
    direction."""
    if picture.shape[axis] < 2:
        return 0.0, 0
    gradient = _steps(picture, axis)
    reblurred = cv2.blur(picture, (1, _REBLUR_PX) if axis == 0 else (_REBLUR_PX, 1))
    lost = np.maximum(gradient - _steps(reblurred, axis), 0)
    above_noise = np.maximum(gradient - np.float32(floor), 0)
    lost *= above_noise
    lost /= np.maximum(gradient, 1e-6, out=gradient)
    energy, loss = (_block_means(values) for values in (above_noise, lost))
    ratio = loss / np.maximum(energy, _MIN_GRADIENT)
    textured = energy >= _MIN_GRADIENT
    blocks = int(textured.sum())
    candidates = np.sort(ratio[textured] if blocks >= _MIN_BLOCKS else ratio)
    return float(candidates[-max(_MIN_BLOCKS, int(blocks * _BEST_SHARE)) :].mean()), blocks


def _steps(plane: NDArray[Any], axis: int) -> NDArray[Any]:
    """Compute the size of the step from each line to the next along an axis."""
    ahead, behind = (plane[1:], plane[:-1]) if axis == 0 else (plane[:, 1:], plane[:, :-1])
    return np.asarray(cv2.absdiff(ahead, behind))


def _block_means(values: Plane, block_px: int = _BLOCK_PX) -> Plane:
    """Average half overlapping blocks; the result is flat."""
    # As matrix products, which take a quarter of the time of OpenCV's area averages.
    down, across = (_averages(side, max(1, side * 2 // block_px)) for side in values.shape)
    return np.asarray(cv2.blur(down @ values @ across.T, (2, 2)), np.float32).ravel()


@lru_cache(64)
def _averages(length: int, parts: int) -> Plane:
    """Make the matrix `float32[parts, length]` that averages so many equal parts of a line."""
    edges = np.arange(parts + 1) * (length / parts)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(covered, 0, 1) * (parts / length), np.float32)


def noise(grey: Gray) -> float:
    """Estimate the standard deviation of the noise in the smoothest tenth of the image, grey levels. Where it is black
    or white, noise is clipped and does not show.

    Noise of neighbouring pixels is independent: of half the size, an image has half of it, while texture remains. What
    remains lowers the estimate, steeply, but never so far that more noise lowers it.
    """
    picture = grey.astype(np.float32)[: grey.shape[0] // 2 * 2 or 1, : grey.shape[1] // 2 * 2 or 1]
    here, at_half = _texture(picture), _texture(halved(picture), _BLOCK_PX // 2)
    if len(here) != len(at_half):
        return 0.0
    levels = _block_means(picture)
    inside = (levels >= _CLIPPED) & (levels <= 255 - _CLIPPED)
    here, at_half = (values[inside] if inside.any() else values for values in (here, at_half))
    smoothest = np.argsort(here)[: max(1, len(here) // 10)]
    share = np.minimum(1, here[smoothest] / np.maximum(2 * at_half[smoothest], 1e-6)) ** 2
    return float((share * here[smoothest]).mean())


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Shrink to half of the size, averaging pixels."""
    size = max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _texture(picture: Plane, block_px: int = _BLOCK_PX) -> Plane:
    """Measure noise and texture of each block, as a standard deviation (Immerkaer, "Fast noise variance estimation",
    1996)."""
    response = _block_means(np.abs(cv2.filter2D(picture, -1, _SECOND.T @ _SECOND)), block_px)
    return np.asarray(response * np.sqrt(np.pi / 2) / 6, np.float32)


def blockiness(grey: Gray, shrunk: float = 1.0) -> float:
    """Measure by how much the steps at the borders of compression's blocks exceed the usual step, as a multiple of it;
    the lesser of two directions. 0: no blocks, .3: seen at a second look, 1: at once.

    `shrunk`: the original's side over the image's. Wherever the grid begins: a crop moves it. Cf. Wang, Sheikh and
    Bovik, "No-reference perceptual quality assessment of JPEG compressed images", 2002.
    """
    if shrunk > _MAX_SHRINK or min(grey.shape) < 4 * _GRID_PX:
        return 0.0
    steps = (
        cv2.reduce(cv2.min(_steps(grey, axis), _MAX_STEP), 1 - axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
        for axis in (0, 1)
    )
    return min(_grid_excess(side, shrunk) for side in steps)


def _grid_excess(steps: Plane, shrunk: float) -> float:
    """Compare the mean steps between neighbouring lines by their phase in the grid."""
    phase = (np.arange(1, len(steps) + 1) * shrunk % _GRID_PX).astype(int)
    of_phase = np.bincount(phase, steps, _GRID_PX) / np.maximum(np.bincount(phase, minlength=_GRID_PX), 1)
    usual = float(np.median(of_phase))
    return (float(of_phase.max()) - usual) / (usual + _LEAST_STEP)
