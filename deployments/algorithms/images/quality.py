"""Technical image quality assessment: sharp somewhere, exposed well, clean, large enough. Beauty is not judged.

Everything is judged at one working size, as the eye does on a screen, so that a 48 megapixel image is not "blurry"
for what shows only in its pixels. The thresholds were set on about 450 photographs and on blurred (Gaussian, motion),
noisy, darkened and brightened versions of them, and looked at. The constants of the score were fitted to the order of
damaged photographs, those of the half `TUNED` of `bench/quality/copies/sources.py`; `bench.quality.picture_quality`
reports the other half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from deployments.algorithms.images.artefacts import Blur, blockiness, halved, measure_blur, measure_loss, noise
from deployments.algorithms.images.resizing import shrink, shrink_by_halves
from deployments.contracts.arrays import Gray, Image

ISSUES = ("blurry", "dark", "overexposed", "low_contrast", "low_resolution")
"""Names of the issues that can be reported, in the order of reports."""

WORKING_PX = 512
"""Longest side at which sharpness is judged, pixels."""
_SOFT, _CRISP = 0.15, 0.85
"""Re-blur scores that count as sharpness 0 and 1. Originals have .75 to .94, images blurred by a Gaussian of 2 px at
the working size about .5, by 3 px about .3."""

_USELESS, _KEEN = 0.08, 0.94
"""Mean re-blur scores at three sizes that rate as sharpness 0 and 1 in the score: wider than for the report, since
among sharp images too the sharper is better."""
_SMEAR_WEIGHT = 0.3
_FULL_LIGHT = 225.0
"""99th percentile of the luma from which light is not missing."""
_HALF_BLOWN = 0.25
"""Share of pixels without detail left that halves the rating of the light."""
_HALF_NOISY = 4.0
"""Standard deviation of the noise at the working size that halves the cleanness, grey levels."""
_NO_BLOCKS, _HALF_BLOCKY = 0.07, 1.2
"""Blockiness of fine JPEG files, and what beyond it halves the cleanness."""
_FAINT = 0.01
"""Least rating: of two useless images, one is still the better."""

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
_WHOLE_BACKGROUND = 0.95
"""The same for the score, which may be a little unjust to a page: a sky with too much light reaches .8."""
_MAX_HAZE = 0.2
"""Share of nearly white pixels before a white background from which on the white is lost light after all: a page ends
at once, light that was lost fades."""
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
    """Weighted geometric mean of sharpness, light, cleanness (noise, compression's blocks) and resolution, so that one
    fatal flaw is not outweighed."""
    issues: tuple[str, ...]
    """Some of `ISSUES`, in that order."""


def assess(image: Image, width: int | None = None, height: int | None = None) -> QualityReport:
    """Assess the technical quality of `uint8[H, W, 3]`.

    `width` and `height` are those of the original where `image` is a smaller version of it.
    """
    pixels = (width or image.shape[1]) * (height or image.shape[0])
    full = _grey(image)
    grey = shrink(full, WORKING_PX)
    blur = measure_blur(grey)
    sharpness = _between(blur.loss, _SOFT, _CRISP)
    small = shrink_by_halves(image, _STATISTICS_PX)
    darkest, shadow, bright, lightest = (float(level) for level in np.percentile(_grey(small), (1, 10, 90, 99)))
    lights = (bright + lightest) / 2
    brightness = _between(lights, _BLACK, _BRIGHT)
    # White beside black is print or a lamp at night; too much light lifts the shadows as well.
    lifted = 0.5 + 0.5 * _between(shadow, 0, _DEEP_SHADOW)
    detail = 1 - _between(lifted * _blown_share(small, _BACKGROUND_SHARE), 0, _MAX_BLOWN)
    exposure = min(brightness, detail)
    found = {
        "blurry": sharpness < 0.5,
        "dark": brightness < 0.5,
        "overexposed": detail < 0.5,
        "low_contrast": lightest - darkest < _MIN_CONTRAST,
        "low_resolution": pixels < _MIN_PIXELS,
    }
    clean = _clean(noise(grey), blockiness(full, _shrunk(image, width, height)))
    light = _light(lightest, lifted * _blown_share(small, _WHOLE_BACKGROUND))
    score = _sharp(grey, blur) ** 0.32 * light**0.2 * clean**0.28 * _resolution(pixels) ** 0.2
    return QualityReport(
        round(sharpness, 3), round(exposure, 3), round(score, 3), tuple(issue for issue in ISSUES if found[issue])
    )


def _grey(image: Image) -> Gray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _shrunk(image: Image, width: int | None, height: int | None) -> float:
    """Compute by how much the original was shrunk."""
    return float(max(width or 0, height or 0, *image.shape[:2]) / max(image.shape[:2]))


def _sharp(grey: Gray, blur: Blur) -> float:
    """Rate the sharpness at three sizes, which tells the worse of two blurs, and lower what a moving camera smeared."""
    half = halved(grey)
    mean = (blur.loss + measure_loss(half) + measure_loss(halved(half))) / 3
    steadiness = math.pow(max(_FAINT, blur.smear), _SMEAR_WEIGHT)
    return max(_FAINT, _between(mean, _USELESS, _KEEN) * steadiness)


def _light(lightest: float, blown: float) -> float:
    """Rate the light: highlights that stay grey are too dark, blown ones too bright."""
    return max(_FAINT, min(1.0, lightest / _FULL_LIGHT)) / (1 + blown / _HALF_BLOWN)


def _clean(deviation: float, blocks: float) -> float:
    return 1 / ((1 + deviation / _HALF_NOISY) * (1 + max(0.0, blocks - _NO_BLOCKS) / _HALF_BLOCKY))


def _blown_share(small: Image, background: float) -> float:
    """Measure the share of the image without detail; for a cut-out or a page, the share of what is on the white
    ground. `background`: share of white outermost pixels from which white is such a ground."""
    red, green, blue = (small[..., channel] for channel in range(3))
    # The second largest channel: warm light clips two long before the third.
    second = np.maximum(np.minimum(red, green), np.minimum(np.maximum(red, green), blue))
    white = second >= _WHITE
    ring = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    if ring.mean() < background:
        return float(white.mean())
    _, parts = cv2.connectedComponents(white.astype(np.uint8))
    outside = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    content = second[~(np.isin(parts, outside) & white)]
    nearly = float((content >= _NEARLY_WHITE).mean()) if content.size > 0.02 * second.size else 1.0
    return nearly if nearly < _MAX_HAZE else max(nearly, float(white.mean()))


def _resolution(pixels: int) -> float:
    return _between(float(np.log2(max(pixels, 1))), float(np.log2(_MIN_PIXELS / 16)), float(np.log2(_MANY_PIXELS)))


def _between(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))
