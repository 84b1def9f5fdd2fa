"""Anime cel filter: flat colour with violet shadows, fine coloured lines, and light that glows and falls in rays."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.abstraction import adaptive_stairs, flattened, settled
from deployments.algorithms.styles.techniques.edge_flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    bare_skin,
    blur,
    from_lab,
    guided,
    likely_skin,
    luma,
    mix,
    ramp,
    saturated,
    stretched,
    to_image,
    to_lab,
    to_plane,
)
from deployments.algorithms.styles.techniques.skies import evening_sky, open_background
from deployments.contracts.arrays import Image


def anime(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    line: Annotated[float, Ge(0.3), Le(2)] = 1.0,
    glow: Annotated[float, Ge(0), Le(1)] = 0.6,
    colour: Annotated[float, Ge(0), Le(2)] = 1.3,
    evening: Annotated[float, Ge(0), Le(1)] = 0.9,
) -> Image:
    """Draw an anime cel.

    `line`: width of the drawing. `glow`: of light, rays and motes. `colour`: saturation. `evening`: how much of an
    evening sky a pale, empty background turns into.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    flat = coherent(flattened(scene, unit, 0.02), 2 * unit, 8 * unit, 2)
    sky = open_background(scene, unit) * evening
    skin = blur(likely_skin(scene), 4 * unit)
    cel = _cel(flat, unit, skin)
    cel = mix(saturated(cel, colour, 0.5), evening_sky(shape, unit, rng), sky)
    tones = luma(scene)
    calm = guided(tones, tones, 3 * unit, 0.001)
    fine = ink_lines(calm, edge_flow(scene, 2.4 * unit), 1.25 * unit * line, threshold=0.008, softness=0.02)
    drawing = ramp(without_specks(fine, 42 * unit), 0.1, 0.8) * ramp(tones, 0.08, 0.2)
    # Lines take the colour of what they enclose, darker and towards plum.
    cel = mix(cel, cel * np.array([0.34, 0.2, 0.33], np.float32), drawing * 0.9)
    rays, motes = _light(shape, unit, rng)
    bright = cel * (ramp(luma(cel), 0.62, 0.98) * (1 - 0.8 * skin))[..., None]
    halo = blur(bright, 9 * unit) * 0.5 + blur(bright, 40 * unit) * 0.5
    calm_places = 1 - 0.9 * blur(bare_skin(to_plane(photo), unit), 6 * unit)
    light = (
        halo * 0.45
        + rays * (0.75 * calm_places)[..., None]
        + motes * (calm_places * ramp(luma(cel), 0.9, 0.4))[..., None]
    )
    return to_image(1 - (1 - np.clip(cel, 0, 1)) * (1 - np.clip(light * glow, 0, 1)))


def _cel(flat: Plane, unit: float, skin: Plane) -> Plane:
    """Paint lit, base and shadow colour with a crisp turn between them; a violet wash makes the shadows."""
    lab = to_lab(flat)
    tones = settled(lab[..., 0] / 100, unit)
    steps = adaptive_stairs(tones, 4)
    lab[..., 0] = 100 * mix(mix(tones, steps, 0.85), 0.9 * tones, 0.75 * skin)
    lab[..., 0] = 9 + 0.91 * lab[..., 0]
    base = from_lab(lab)
    shade = ramp(steps, 0.62, 0.3) * (1 - 0.9 * skin)
    wash = np.array([0.80, 0.66, 1.04], np.float32)
    violet = np.array([0.10, 0.06, 0.22], np.float32)
    lifted = np.clip(base * wash + violet * 0.5, 0, 1)
    night = np.array([0.10, 0.09, 0.21], np.float32)
    return mix(base, mix(np.broadcast_to(night, base.shape), lifted, ramp(tones, 0.05, 0.22)), shade)


def _light(shape: tuple[int, int], unit: float, rng: Random) -> tuple[Plane, Plane]:
    """Draw rays from beyond the upper right corner, and motes of light in the air."""
    height, width = shape
    xs, ys = np.meshgrid(np.linspace(1, 0, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    turn = np.arctan2(ys + 0.15, xs + 0.15)
    away = np.hypot(xs, ys)
    bands = cv2.resize(rng.random((1, 26), dtype=np.float32), (512, 1), interpolation=cv2.INTER_CUBIC)[0]
    beams = np.interp(turn, np.linspace(0, np.pi / 2, 512), bands).astype(np.float32)
    rays = ramp(away, 1.25, 0.0) * (0.35 + 0.65 * ramp(beams, 0.35, 0.85))
    motes = np.zeros((height, width), np.float32)
    for _ in range(46):
        x, y, size = rng.random() * width, rng.random() * height, rng.uniform(1.5, 8) ** 1.25 * unit
        cv2.circle(
            motes,
            (round(x * 16), round(y * 16)),
            round(max(size, 0.7) * 16),
            rng.uniform(0.15, 0.55),
            -1,
            cv2.LINE_AA,
            4,
        )
    motes = blur(motes, 1.2 * unit) + blur(motes, 7 * unit) * 0.8
    warm, cool = np.array([1, 0.86, 0.55], np.float32), np.array([0.7, 0.85, 1], np.float32)
    return rays[..., None] * warm, motes[..., None] * mix(
        np.broadcast_to(cool, (*shape, 3)), warm, ramp(away, 0.9, 0.3)
    )
