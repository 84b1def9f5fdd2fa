"""Cyberpunk filter, a rainy neon night: dark blue scene, magenta light from the left, cyan from the right, glowing
contours."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.edge_flow import edge_flow, smooth_along, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    blur,
    colour,
    guided,
    likely_skin,
    luma,
    mix,
    ramp,
    saturated,
    shifted,
    stretched,
    to_image,
    to_plane,
)
from deployments.algorithms.styles.techniques.texture import noise, streaks
from deployments.contracts.arrays import Image

_SHARPEST = 0.45
"""Unit below which edges are as steep as pixels allow, and no steeper."""
_NIGHT, _DUSK = colour("#0a0620"), colour("#3b2a78")
_MAGENTA, _CYAN, _VIOLET, _AMBER = (colour(c) for c in ("#ff2bd6", "#19e3ff", "#8b4dff", "#ffb347"))


def cyberpunk(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    neon: Annotated[float, Ge(0), Le(1)] = 0.8,
    rain: Annotated[float, Ge(0), Le(1)] = 0.5,
    glitch: Annotated[float, Ge(0), Le(1)] = 0.5,
) -> Image:
    """Draw a neon night.

    `neon`: brightness of the glowing contours. `rain`: streaks. `glitch`: torn lines and colour fringes.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    tones = luma(scene)
    calm = guided(tones, tones, 6 * unit, 0.003)
    skin = blur(likely_skin(scene), 4 * unit)
    picture = _night(scene, calm, skin)
    left, right = _side_lights(calm, unit)
    picture = picture + left[..., None] * _MAGENTA * 0.75 + right[..., None] * _CYAN * 0.75
    contours = _neon_lines(scene, calm, unit) * (1 - 0.45 * skin)
    tint = _neon_colours(shape, unit, rng)
    tube = contours[..., None] * mix(tint, 1.0, 0.35)
    glow = blur(contours[..., None] * tint, 5 * unit) * 1.6 + blur(contours[..., None] * tint, 22 * unit) * 2.2
    picture = picture + neon * (tube * 0.85 + glow)
    rough = blur(np.abs(tones - blur(tones, 3 * unit)), 8 * unit)
    empty = ramp(blur(ramp(rough, 0.012, 0.004), 24 * unit), 0.55, 0.95)
    picture = picture + _bokeh(shape, unit, rng) * (empty * (1 - skin))[..., None] * 0.55
    drops = streaks(shape, 90 * unit, 1.6 * unit, 78, rng)
    picture = picture + rain * 0.16 * (ramp(drops, 1.3, 2.6) * (1 - 0.8 * skin))[..., None] * mix(_CYAN, 1.0, 0.4)
    bright = np.clip(picture - 0.55, 0, 1)
    picture = picture + blur(bright, 14 * unit) * 0.9
    picture = _torn(np.clip(picture, 0, 1), unit, glitch, rng)
    lines = 1 - 0.1 * (0.5 + 0.5 * np.sin(np.arange(shape[0], dtype=np.float32) * (2 * np.pi / max(5 * unit, 2))))
    return to_image(picture * lines[:, None, None])


def _night(scene: Plane, calm: Plane, skin: Plane) -> Plane:
    """Darken the scene as if the street lamps were off: blue in the shadows, some of its own colour left."""
    own = saturated(scene, 1.1) * (0.30 + 0.25 * skin[..., None])
    own = own * (0.25 + 0.95 * calm[..., None])
    dark = mix(np.broadcast_to(_NIGHT, scene.shape), _DUSK, ramp(calm, 0.05, 0.95))
    return np.asarray(own + dark * 0.8, np.float32)


def _side_lights(calm: Plane, unit: float) -> tuple[Plane, Plane]:
    """Light what faces left and right, taking brightness for height, and weaker along the sides of the image."""
    form = blur(calm, 3 * unit) + blur(calm, 10 * unit)
    dx = cv2.Sobel(form, cv2.CV_32F, 1, 0, ksize=3, scale=0.25) * unit
    across = np.linspace(0, 1, calm.shape[1], dtype=np.float32)[None]
    level = 0.16 + 0.8 * calm**1.3
    left = ramp(dx, 0.001, 0.03) * 0.9 + 0.55 * ramp(across, 0.75, 0.0)
    right = ramp(-dx, 0.001, 0.03) * 0.9 + 0.55 * ramp(across, 0.25, 1.0)
    return left * level * 0.62, right * level * 0.62


def _neon_lines(scene: Plane, calm: Plane, unit: float) -> Plane:
    """Draw contours as bright tubes: where tones turn, either way."""
    flow = edge_flow(scene, 3.5 * unit)
    dx = cv2.Sobel(blur(calm, 1.4 * unit), cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(blur(calm, 1.4 * unit), cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    edge = smooth_along(np.hypot(dx, dy) * 1.8 * max(unit, _SHARPEST), flow, 10 * unit)
    ridge = edge - blur(edge, 3.5 * unit)
    return without_specks(ramp(ridge, 0.012, 0.05), 50 * unit)


def _neon_colours(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Colour the tubes: magenta to the left, cyan to the right, violet and a little amber between, in soft patches."""
    across = np.linspace(-1, 1, shape[1], dtype=np.float32)[None] + noise(shape, 200 * unit, rng) * 0.9
    tint = mix(np.broadcast_to(_MAGENTA, (*shape, 3)), _VIOLET, ramp(across, -0.5, 0.0))
    tint = mix(tint, _CYAN, ramp(across, 0.0, 0.5))
    return mix(tint, _AMBER, ramp(noise(shape, 160 * unit, rng), 0.65, 0.9))


def _bokeh(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Draw lamps out of focus, away from the middle."""
    down, across = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    lamps = np.zeros((*shape, 3), np.float32)
    for _ in range(38):
        x, y, size = rng.random() * shape[1], rng.random() * shape[0], rng.uniform(12, 38) * unit
        tint = (_MAGENTA, _CYAN, _VIOLET, _AMBER)[rng.integers(4)]
        level = rng.uniform(0.25, 0.8)
        cv2.circle(lamps, (round(x), round(y)), max(1, round(size)), (tint * level).tolist(), -1, cv2.LINE_AA)
    return np.asarray(blur(lamps, 2.5 * unit) * ramp(np.hypot(down, across), 0.45, 0.9)[..., None], np.float32)


def _torn(picture: Plane, unit: float, glitch: float, rng: Random) -> Plane:
    """Shift red and blue slightly apart, more so to the sides, and displace a few bands of lines."""
    height, width = picture.shape[:2]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None].repeat(height, 0)
    bands = np.zeros((height, 1), np.float32)
    for _ in range(round(9 * glitch)):
        top, tall = rng.random(), rng.uniform(0.004, 0.02)
        bands[int(top * height) : int((top + tall) * height) + 1] += rng.normal(0, 14) * unit
    torn = bands * ramp(np.abs(across), 0.25, 0.7)
    fringe = across * 4.5 * unit * glitch
    red = shifted(np.ascontiguousarray(picture[..., 0]), torn + fringe, 0.0)
    green = shifted(np.ascontiguousarray(picture[..., 1]), torn, 0.0)
    blue = shifted(np.ascontiguousarray(picture[..., 2]), torn - fringe, 0.0)
    return np.stack([red, green, blue], axis=-1)
