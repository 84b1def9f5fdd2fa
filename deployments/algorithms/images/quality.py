"""Technical image quality assessment: sharp somewhere, exposed well, large enough. Beauty is not judged.

Everything is judged at one working size, as the eye does on a screen, so that a 48 megapixel image is not "blurry"
for what shows only in its pixels. The thresholds were set on about 450 photographs and on blurred (Gaussian, motion),
noisy, darkened and brightened versions of them, and looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Gray, Image

ISSUES = ("blurry", "dark", "overexposed", "low_contrast", "low_resolution")
"""Names of the issues that can be reported, in the order of reports."""

WORKING_PX = 512
"""Longest side at which sharpness is judged, pixels."""
_BLUR_PX = 9
"""Width of the box that an image is re-blurred with, pixels (Crete et al. 2007, at their value)."""
_BLOCK_PX = 32
_MIN_GRADIENT = 2.0
"""Mean grey levels a pixel from which a block counts as textured."""
_MIN_BLOCKS = 4
_BEST_SHARE = 0.1
"""Share of the textured blocks, the sharpest, that is judged: a portrait before a soft background is sharp."""
_NOISE_FACTOR, _MAX_NOISE = 3.0, 6.0
_SOFT, _CRISP = 0.15, 0.85
"""Re-blur scores that count as sharpness 0 and 1. Originals have .75 to .94, images blurred by a Gaussian of 2 px at
the working size about .5, by 3 px about .3."""

_STATISTICS_PX = 256
_BLACK, _BRIGHT = 30.0, 160.0
"""Mean of the 90th and 99th percentile of the luma that count as exposure 0 and 1."""
_MAX_BLOWN = 0.5
"""Share of pixels without detail left, two channels clipped, at which exposure is 0."""
_DEEP_SHADOW = 50.0
_WHITE, _NEARLY_WHITE = 250, 235
_BACKGROUND_SHARE = 0.7
"""Share of white outermost pixels above which the white is a background (a cut-out, a page, a screenshot), not lost
light."""
_MIN_CONTRAST = 60.0
"""Least luma levels between the 1st and the 99th percentile."""
_MIN_PIXELS, _MANY_PIXELS = 640 * 480, 8_000_000


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Technical quality of one image. All numbers 0 (useless) to 1."""

    sharpness: float
    """Sharpness of the sharpest tenth of the image; under 0.5 it is called blurry."""
    exposure: float
    """Under 0.5 it is called dark or overexposed."""
    score: float
    """Geometric mean, so that one fatal flaw is not outweighed: sharpness 1/2, exposure 3/10, resolution 1/5."""
    issues: tuple[str, ...]
    """Some of `ISSUES`, in that order."""


def assess(image: Image, width: int | None = None, height: int | None = None) -> QualityReport:
    """Assess the technical quality of `uint8[H, W, 3]`.

    `width` and `height` are those of the original where `image` is a smaller version of it.
    """
    pixels = (width or image.shape[1]) * (height or image.shape[0])
    working = shrink(image, WORKING_PX)
    sharpness = _sharpness(np.asarray(cv2.cvtColor(working, cv2.COLOR_RGB2GRAY), np.uint8))
    small = shrink(working, _STATISTICS_PX)
    luma: Gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    darkest, shadow, light, lightest = (float(level) for level in np.percentile(luma, (1, 10, 90, 99)))
    brightness = _between((light + lightest) / 2, _BLACK, _BRIGHT)
    # White beside black is print or a lamp at night; too much light lifts the shadows as well.
    lifted = 0.5 + 0.5 * _between(shadow, 0, _DEEP_SHADOW)
    detail = 1 - _between(lifted * _blown_share(small), 0, _MAX_BLOWN)
    exposure = min(brightness, detail)
    found = {
        "blurry": sharpness < 0.5,
        "dark": brightness < 0.5,
        "overexposed": detail < 0.5,
        "low_contrast": lightest - darkest < _MIN_CONTRAST,
        "low_resolution": pixels < _MIN_PIXELS,
    }
    score = sharpness**0.5 * exposure**0.3 * _resolution(pixels) ** 0.2
    return QualityReport(
        round(sharpness, 3), round(exposure, 3), round(score, 3), tuple(issue for issue in ISSUES if found[issue])
    )


def _sharpness(grey: Gray) -> float:
    """Measure how much of the sharpest blocks' gradient a further blur takes away, 0 to 1; the worse of two directions.

    What is blurred already loses little (Crete et al., "The blur effect", 2007). One direction alone suffers from a
    moving camera. Gradients within the noise count for neither.
    """
    picture = grey.astype(np.float32)
    floor = _NOISE_FACTOR * min(_noise(picture), _MAX_NOISE)
    scores = [_direction_sharpness(np.ascontiguousarray(side), floor) for side in (picture, picture.T)]
    textured = [score for score, blocks in scores if blocks >= _MIN_BLOCKS]
    score = min(textured) if textured else max(score for score, _ in scores)
    return _between(score, _SOFT, _CRISP)


def _direction_sharpness(picture: NDArray[np.float32], floor: float) -> tuple[float, int]:
    """Measure sharpness along the columns, and count the blocks with texture in that direction."""
    if picture.shape[0] < 2:
        return 0.0, 0
    gradient = cv2.absdiff(picture[1:], picture[:-1])
    reblurred = cv2.blur(picture, (1, _BLUR_PX))
    lost = np.maximum(gradient - cv2.absdiff(reblurred[1:], reblurred[:-1]), 0)
    above_noise = np.maximum(gradient - floor, 0)
    lost *= above_noise / np.maximum(gradient, 1e-6)
    energy, loss = (_block_means(values) for values in (above_noise, lost))
    ratio = loss / np.maximum(energy, _MIN_GRADIENT)
    textured = energy >= _MIN_GRADIENT
    blocks = int(textured.sum())
    candidates = np.sort(ratio[textured] if blocks >= _MIN_BLOCKS else ratio)
    return float(candidates[-max(_MIN_BLOCKS, int(blocks * _BEST_SHARE)) :].mean()), blocks


def _block_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average half overlapping blocks; the result is flat."""
    height, width = values.shape
    halves = (max(1, width * 2 // _BLOCK_PX), max(1, height * 2 // _BLOCK_PX))
    means = cv2.resize(values, halves, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(means, (2, 2)), np.float32).ravel()


def _noise(picture: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of the noise in the smoothest tenth of the image (Immerkaer, "Fast noise variance
    estimation", 1996)."""
    second = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(picture, -1, second))
    return float(np.percentile(_block_means(response), 10) * np.sqrt(np.pi / 2) / 6)


def _blown_share(small: Image) -> float:
    """Measure the share of the image without detail; for a cut-out or a page, the share of what is on the white
    ground."""
    red, green, blue = (small[..., channel] for channel in range(3))
    # The second largest channel: warm light clips two long before the third.
    second = np.maximum(np.minimum(red, green), np.minimum(np.maximum(red, green), blue))
    white = second >= _WHITE
    ring = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    if ring.mean() < _BACKGROUND_SHARE:
        return float(white.mean())
    _, parts = cv2.connectedComponents(white.astype(np.uint8))
    outside = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    content = second[~(np.isin(parts, outside) & white)]
    return float((content >= _NEARLY_WHITE).mean()) if content.size > 0.02 * second.size else 1.0


def _resolution(pixels: int) -> float:
    return _between(float(np.log2(max(pixels, 1))), float(np.log2(_MIN_PIXELS / 16)), float(np.log2(_MANY_PIXELS)))


def _between(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))
