"""Operations that all filters share, on planes `float32[H, W]` or `float32[H, W, C]` with values from 0 to 1."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Image

Plane = NDArray[np.floating[Any]]
"""`float32[H, W]` or `float32[H, W, C]`."""
Random = np.random.Generator

_SHOULDER = 0.85
"""Tone above which stretched lights are bent down."""
_SMALLEST_SKIN = 55.0
"""Side of a square as large as the smallest face that counts, in units."""
_MOST_SKIN = 0.6
"""Share of an image that skin covers at most."""
_REACH = 160.0
"""Distance up to which the shade of what is surely skin may lie from it, in units."""
_MOST_PARTS = 6
"""Number of faces and limbs, the largest, that are looked at closely."""
_MOST_HOLLOW = 0.33
"""Share of its box that a face or a hand fills at least; ground seen between things fills less."""


def to_plane(image: Image) -> Plane:
    """Convert `uint8`, 0 to 255, to `float32`, 0 to 1."""
    return image.astype(np.float32) / np.float32(255)


def to_image(plane: Plane) -> Image:
    """Convert values 0 to 1 to `uint8`, rounded and clipped."""
    return np.asarray(np.clip(plane * 255 + 0.5, 0, 255), np.uint8)


def luma(picture: Plane) -> Plane:
    """Compute Rec. 601 luma of RGB."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32, copy=False), cv2.COLOR_RGB2GRAY), np.float32)


def to_lab(picture: Plane) -> Plane:
    """Convert RGB to CIE L*a*b*: L 0 to 100."""
    return np.asarray(
        cv2.cvtColor(np.clip(picture, 0, 1).astype(np.float32, copy=False), cv2.COLOR_RGB2Lab), np.float32
    )


def from_lab(lab: Plane) -> Plane:
    """Convert CIE L*a*b* to RGB, clipped."""
    return np.asarray(np.clip(cv2.cvtColor(lab.astype(np.float32, copy=False), cv2.COLOR_Lab2RGB), 0, 1), np.float32)


def blur(plane: Plane, sigma: float) -> Plane:
    """Blur by a Gaussian; large ones on a smaller image, where the difference cannot be seen."""
    if sigma < 0.2:
        return plane
    height, width = plane.shape[:2]
    shrink = int(min(sigma / 4, height / 8, width / 8))
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)
    small = cv2.resize(plane, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def ramp(values: Plane, low: float, high: float) -> Plane:
    """Interpolate smoothly (smoothstep): 0 under `low`, 1 over `high`; falls instead of rising where `low` is the
    larger."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def mix(under: Plane, over: Plane | NDArray[np.float32] | float, share: Plane | float) -> Plane:
    """Blend `share` of `over` into `under`; a share of `[H, W]` serves all channels."""
    if isinstance(share, np.ndarray) and share.ndim < under.ndim:
        share = share[..., None]
    return np.asarray(under + (over - under) * share, np.float32)


def colour(code: str) -> NDArray[np.float32]:
    """Convert `#rrggbb` to `float32[3]`."""
    return np.array([int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)], np.float32)


def contrast(values: Plane, amount: Plane | float) -> Plane:
    """Raise contrast by an S-curve around the middle that keeps black and white; 0: none."""
    return mix(values, ramp(values, 0, 1), amount)


def stretched(values: Plane, low_percent: float = 0.5, high_percent: float = 99.5, most: float = 1.6) -> Plane:
    """Stretch tones to the image's own black and white points; contrast grows at most `most` times (flat stays
    flat)."""
    tones = values if values.ndim == 2 else luma(values)
    low, high = (float(tone) for tone in np.percentile(tones[::3, ::3], (low_percent, high_percent)))
    gain = min(1 / max(high - low, 1e-3), most)
    middle = (low + high) / 2
    target = np.clip(0.5, middle - 0.1, middle + 0.1)
    spread = (values - middle) * gain + target
    # Lights bend before white: a warm face in a lamp keeps its modelling.
    return np.asarray(np.clip(spread - 0.25 * np.maximum(spread - _SHOULDER, 0), 0, 1), np.float32)


def saturated(picture: Plane, gain: float, vibrance: float = 0.0) -> Plane:
    """Multiply chroma by `gain`, on skin less; `vibrance` lifts pale colours more than strong ones."""
    lab = to_lab(picture)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    more = gain - 1 + vibrance * ramp(chroma, 60, 4) * ramp(chroma, 2, 10)
    if gain > 1:
        more *= 1 - 0.6 * likely_skin(picture)
    lab[..., 1:] *= 1 + more[..., None]
    return from_lab(lab)


def shifted(plane: Plane, dx: Plane | float, dy: Plane | float) -> Plane:
    """Move pixels: each is taken from `dx`, `dy` pixels away; the border repeats mirrored."""
    height, width = plane.shape[:2]
    xs = np.zeros((height, width), np.float32) + np.arange(width, dtype=np.float32) + dx
    ys = np.zeros((height, width), np.float32) + np.arange(height, dtype=np.float32)[:, None] + dy
    xs, ys = xs.astype(np.float32, copy=False), ys.astype(np.float32, copy=False)
    return np.asarray(cv2.remap(plane, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32)


def guided(plane: Plane, guide: Plane, radius: float, epsilon: float) -> Plane:
    """Smooth by a guided filter (He et al. 2010): smooth inside, edges where `guide` has them."""
    return np.asarray(cv2.ximgproc.guidedFilter(guide, plane, max(1, round(radius)), epsilon), np.float32)


def likely_skin(picture: Plane) -> Plane:
    """Rate the likelihood of skin, `[H, W]`, 0 to 1: where texture would look like a disease.

    Judged by hue and by chroma in proportion to lightness, which a face in the shade and a dark face have in common
    with a pale one in the sun.
    """
    lab = to_lab(picture)
    tones, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    hue = np.rad2deg(np.arctan2(lab[..., 2], lab[..., 1]))
    depth = chroma / (tones + 1)
    known = ramp(hue, 0, 14) * ramp(hue, 88, 78) * ramp(depth, 0.17, 0.24) * ramp(depth, 0.92, 0.78)
    return np.asarray(known * ramp(chroma, 5, 9) * ramp(chroma, 56, 48) * ramp(tones, 6, 14), np.float32)


def bare_skin(picture: Plane, unit: float) -> Plane:
    """Mask whole faces and limbs, `[H, W]`, 0 to 1 with a crisp, even border, but neither wood nor orange cloth.

    None where it would cover most of the image: that is fur or sand.
    """
    calm = guided(picture, picture, 8 * unit, 0.004)
    marks = (blur(likely_skin(calm), 4 * unit) > 0.5).astype(np.uint8)
    marks = cv2.morphologyEx(marks, cv2.MORPH_OPEN, _disc(22 * unit))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=4)
    area, boxes = stats[:count, cv2.CC_STAT_AREA], stats[:count, cv2.CC_STAT_WIDTH] * stats[:count, cv2.CC_STAT_HEIGHT]
    large = (area >= (_SMALLEST_SKIN * unit) ** 2) & (area >= _MOST_HOLLOW * boxes)
    large[0] = False
    whole = certain = large[labels].astype(np.uint8)
    lab = to_lab(calm)
    for label in np.flatnonzero(large)[np.argsort(-area[large])][:_MOST_PARTS]:
        whole = whole | _with_its_shade((labels == label).astype(np.uint8), lab, unit)
    for marks in (_without_holes(closed(whole, 50 * unit)), _without_holes(closed(certain, 50 * unit)), certain):
        if marks.mean() <= _MOST_SKIN:
            return ramp(blur(marks.astype(np.float32), 3 * unit), 0.3, 0.7)
    return np.zeros(marks.shape, np.float32)


def _with_its_shade(part: NDArray[np.uint8], lab: Plane, unit: float) -> NDArray[np.uint8]:
    """Extend a face by its half that lies in the shade or the glare: what is near and has its hue."""
    tones, colour_of = lab[..., 0], lab[..., 1:] / (lab[..., :1] + 1)
    own_tone, own = np.median(tones[part > 0]), np.median(colour_of[part > 0], axis=0)
    deep = np.hypot(*own)
    along, aside = colour_of @ (own / deep), np.abs(colour_of @ (own[::-1] * (-1, 1) / deep))
    sunny = (aside < 0.36 * along) & (along > 0.4 * deep) & (along < 2.2 * deep)
    shaded = (np.hypot(along - deep, aside) < 0.85 * deep) & (tones < 0.85 * own_tone)
    away = cv2.distanceTransform(1 - part, cv2.DIST_L2, 5) / unit
    alike = (sunny & (away < _REACH / 3) | shaded & (away < _REACH)) & (tones > max(7.0, 0.3 * float(own_tone)))
    grown = cv2.morphologyEx(alike.astype(np.uint8) | part, cv2.MORPH_OPEN, _disc(20 * unit)) | part
    _, labels = cv2.connectedComponents(grown, connectivity=4)
    return np.isin(labels, np.unique(labels[part > 0])).astype(np.uint8)


def closed(marks: NDArray[Any], width: float) -> NDArray[Any]:
    """Close gaps and bays up to `width` pixels wide between marks."""
    height, length = marks.shape
    margin = min(round(width), height - 1, length - 1)
    framed = cv2.copyMakeBorder(marks, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
    framed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, _disc(width))
    return np.ascontiguousarray(framed[margin : margin + height, margin : margin + length])


def _disc(side: float) -> NDArray[np.uint8]:
    odd = max(3, round(side) | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (odd, odd)), np.uint8)


def _without_holes(marks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill holes: eyes, teeth and glasses belong to the face around them."""
    contours, _ = cv2.findContours(marks, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(marks), contours, -1, 1, cv2.FILLED), np.uint8)
