"""Eyeballs as an animal has them: bright, shaded by the lids, and drawn where the person's cannot be seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.avatars.eyelids import Lids
from deployments.algorithms.avatars.lighting import LUMA, Light
from deployments.contracts.arrays import Floats

_WHITE = 0.74
"""Luma of the white of an eye in full light."""


def eyeball(
    eye: Floats, edge: Floats, place: Floats, x: Floats, y: Floats, made: Lids, light: Light, rim: str
) -> Floats:
    """Render an eyeball: `eye`, `float32[h, w, 3]`, 0 to 255, at the pixels `x`, `y` between the lids `made`.

    `edge`, units beyond the lids, and `place`, 0 at the upper and 1 at the lower, are `float32[h, w]`.
    """
    bright = _brightened(eye, edge < 0, light)
    _drawn_over(bright, edge, x, y, made, light, in_light(rim, light))
    return np.asarray(bright * _shade_of_lids(edge, place)[..., None], np.float32)


def in_light(colour: str, light: Light) -> Floats:
    """Convert `#rrggbb` to `float32[3]`, 0 to 255, under the light's exposure."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32) * np.float32(light.exposure)


def _brightened(eye: Floats, inside: NDArray[np.bool_], light: Light) -> Floats:
    """Brighten the white of the eye: that of eyes that lie deep is grey, in a bright coat it has to be white."""
    if not inside.any():
        return eye
    luma = eye @ LUMA
    white = float(np.percentile(luma[inside], 88))
    gain = float(np.clip(_WHITE * 255 * light.exposure / max(white, 1), 0.95, 1.7))
    bright = np.clip((luma / max(white, 1) - 0.55) / 0.5, 0, 1)[..., None]
    # White is less red than lids are.
    eye = eye + (luma[..., None] * light.cast - eye) * (0.4 * bright)
    lit = eye * (1 + (gain - 1) * (0.45 + 0.55 * bright))
    over = np.maximum(lit - 200, 0)
    return np.asarray(np.where(lit > 200, 200 + 55 * (1 - np.exp(-over / 55)), lit), np.float32)


def _iris(eye: Floats, edge: Floats, x: Floats, y: Floats, made: Lids) -> Floats | None:
    """Locate the iris, `float32[2]`, pixels, as the centre of what is dark; None where there are too few pixels to
    tell."""
    luma, inside = eye @ LUMA, edge < -0.02
    if inside.sum() < 12:
        return None
    dark = np.where(inside, np.maximum(np.percentile(luma[inside], 45) - luma, 0), 0) ** 2
    total = float(dark.sum())
    found = np.array([float((plane * dark).sum()) for plane in (x, y)]) / total if total > 1 else made.centre
    return np.asarray(made.centre + _visible(luma[inside]) * (found - made.centre), np.float32)


def _visible(luma: Floats) -> float:
    """Rate whether there is an iris between whites, 0 to 1, not a closed lid or a glass that mirrors."""
    dark, bright = np.percentile(luma, (8, 88))
    return float(np.interp(dark / max(bright, 1.0), [0.3, 0.5], [1, 0]))


def _drawn_over(eye: Floats, edge: Floats, x: Floats, y: Floats, made: Lids, light: Light, rim: Floats) -> None:
    """Draw an eye that cannot be seen in the rim's colour, and give one without a catch-light one."""
    iris = _iris(eye, edge, x, y, made)
    if iris is None:
        return
    inside, luma = edge < -0.02, eye @ LUMA
    radius = 0.42 * made.half
    away = np.hypot(x - iris[0], y - iris[1]) / np.float32(radius)
    hidden = 0.85 * (1 - _visible(luma[inside]))
    if hidden > 0:
        white = (_WHITE * 235 * light.exposure) * light.cast
        brown = rim + (np.array([74, 44, 22], np.float32) * light.exposure - rim) * light.colourfulness
        ring, pupil = np.clip((1.06 - away) / 0.16, 0, 1), np.clip((0.62 - away) / 0.2, 0, 1)
        made_up = white + (brown - white) * ring[..., None]
        made_up += (0.25 * brown - made_up) * pupil[..., None]
        eye += (made_up - eye) * np.float32(hidden)
    near = inside & (away < 0.7)
    if not near.any():
        return
    lack = float(np.clip(1.3 - (eye @ LUMA)[near].max() / (0.6 * 255 * light.exposure), 0, 1))
    aside = float(np.clip(2 * light.slope[0], -0.3, 0.3)) or -0.2
    spot = iris + radius * (made.along * aside - made.down * 0.34)
    size = max(0.2 * radius, 0.6)
    shine = np.exp(-((((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / size**2) ** 2)) * (0.85 * lack)
    eye += (np.float32(240 * light.exposure) - eye) * shine[..., None].astype(np.float32)


def _shade_of_lids(edge: Floats, place: Floats) -> Floats:
    """Compute the lids' shade on the eyeball: along its edge, and more below the upper lid."""
    rounding = 0.72 + 0.28 * np.clip(-edge / 0.06, 0, 1)
    below = 1 - 0.34 * np.clip(1 - place / 0.38, 0, 1)
    return np.asarray(rounding * below, np.float32)
