"""Occlusion of faces: hair, caps and background over the rim of a face, told from skin by their colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Floats, Image

Flags = NDArray[np.bool_]

_MAX_SAMPLES = 250
_WIDTHS = np.array([16.0, 7.0, 7.0], np.float32)
"""Widths of the kernels in OpenCV's 8-bit L*a*b*: light changes over a face more than colour does."""
_UNLIKE = 2.5
"""Kernel widths from the nearest skin at which a pixel beside the face is no skin."""
_NEUTRAL = np.float32(128) / _WIDTHS[1:]
_LEAST_HUE = 0.8
"""Chroma of skin, in kernel widths; less is a grey image."""
_FEW_BRIGHT = 0.35
"""Share of bright hair colours under which they are blown highlights."""
_PALEST = 0.3
"""Share of the skin's chroma that a highlight keeps; white hair and white caps have less."""
_DOUBT = 0.4
"""Prior above which a pixel is skin where colours say nothing."""
_LEAST_HAIR = 0.04
"""Share of the surroundings that must be unlike skin; else the head is bald there or the colours say nothing."""


def skin_chance(crop: Image, skin: Flags, around: Flags, prior: Floats) -> Floats:
    """Estimate the chance of skin `float32[H, W]`: 1 as like the face's skin as can be, 0 like hair.

    `prior` is the chance of skin before colours are looked at, 0 to 1; only where it is between is anything decided.
    `skin` marks pixels that surely are this face's skin, `around` those next to the face that may be hair, a hat or
    background. The two densities are estimated from them (E. Parzen, 1962), so that any colour of skin and hair does,
    and grey images too. Where hair and skin cannot be told apart, the prior is rounded.
    """
    colours = cv2.cvtColor(cv2.GaussianBlur(crop, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32) / _WIDTHS
    own = _typical(_thinned(colours[skin]))
    beside = _thinned(colours[around])
    if not len(own) or not len(beside):
        return _rounded(prior)
    shiny = _shiny(beside, own)
    own, beside = np.concatenate([own, beside[shiny]]), beside[~shiny]
    hair = beside[np.sqrt(_square_distances(beside, own).min(axis=1)) > _UNLIKE]
    bright = hair[:, 0] > own[:, 0].max()
    if len(hair) and bright.mean() < _FEW_BRIGHT:
        hair = hair[~bright]  # not fair hair, but blown highlights in front of dark hair
    if len(hair) < max(1, _LEAST_HAIR * len(beside)):
        return _rounded(prior)
    asked = (prior > 0) & (prior < 1)
    before = prior[asked]
    like_skin = _density(colours[asked], own) * before
    like_hair = _density(colours[asked], hair) * (1 - before)
    chance = prior.copy()
    chance[asked] = like_skin / (like_skin + like_hair)
    return chance


def _rounded(prior: Floats) -> Floats:
    """Decide by the prior alone: 0 or 1."""
    return np.asarray(prior > _DOUBT, np.float32)


def _typical(samples: Floats) -> Floats:
    """Drop the eighth on either side that is brightest or darkest: nostrils, frames of glasses, highlights."""
    if len(samples) < 8:
        return samples
    low, high = np.quantile(samples[:, 0], (0.125, 0.875))
    return np.asarray(samples[(samples[:, 0] >= low) & (samples[:, 0] <= high)], np.float32)


def _shiny(samples: Floats, skin: Floats) -> Flags:
    """Find highlights on the forehead: brighter than the cheeks, paler, but of their hue."""
    hue = np.median(skin[:, 1:], axis=0) - _NEUTRAL
    length = float(hue @ hue)
    if length < _LEAST_HUE**2:
        return np.zeros(len(samples), np.bool_)
    share = (samples[:, 1:] - _NEUTRAL) @ hue / length
    across = np.abs((samples[:, 1:] - _NEUTRAL) @ np.array([-hue[1], hue[0]])) / length
    return np.asarray((samples[:, 0] > skin[:, 0].max()) & (share > _PALEST) & (across < _PALEST / 2))


def _thinned(samples: Floats) -> Floats:
    """Keep a regular sample of at most about `_MAX_SAMPLES`."""
    return samples[:: max(1, len(samples) // _MAX_SAMPLES)]


def _density(points: Floats, samples: Floats) -> Floats:
    """Estimate density up to a factor. Heavy tails: what is far from both sets is decided by which is nearer."""
    return np.asarray(((1 + _square_distances(points, samples)) ** -2).mean(axis=1), np.float32)


def _square_distances(points: Floats, samples: Floats) -> Floats:
    """Compute all squared distances, `float32[N, M]`."""
    squares = (points**2).sum(axis=1)[:, None] + (samples**2).sum(axis=1) - 2 * points @ samples.T
    return np.asarray(np.maximum(squares, 0), np.float32)
