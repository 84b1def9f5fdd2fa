"""Watercolour filter: transparent washes with dark rims on rough paper, over a light pencil drawing, white left
open."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.edge_flow import coherent, edge_flow, ink_lines, kuwahara, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    bare_skin,
    blur,
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
from deployments.algorithms.styles.techniques.texture import clouds, noise, paper, shade_relief
from deployments.contracts.arrays import Image

_SHEET = np.array([0.985, 0.975, 0.95], np.float32)
_INDIGO = np.array([0.17, 0.18, 0.27], np.float32)
_GRAPHITE = np.array([0.33, 0.31, 0.33], np.float32)
_TONES = 7
"""Stairs of tone that washes are laid in."""


def watercolor(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    wash: Annotated[float, Ge(0.4), Le(2.5)] = 1.0,
    granulation: Annotated[float, Ge(0), Le(1)] = 0.5,
    lines: Annotated[float, Ge(0), Le(1)] = 0.55,
    border: Annotated[float, Ge(0), Le(0.2)] = 0.045,
) -> Image:
    """Paint in watercolour (pigment after Bousseau et al., "Interactive watercolor rendering with temporal coherence
    and abstraction", 2006).

    `wash`: size of the patches. `granulation`: how much pigment settles in the paper. `lines`: the pencil under it.
    `border`: share of the side that stays open around the painting.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    sheet = paper(shape, unit, rng)
    hand = noise(shape, 34 * unit, rng), noise(shape, 34 * unit, rng)
    broad = coherent(kuwahara(scene, 9 * unit * wash), 2.5 * unit, 12 * unit, 2)
    fine = coherent(kuwahara(scene, 3 * unit * wash), 1.2 * unit, 5 * unit, 1)
    washes = mix(broad, fine, ramp(_detail(scene, unit), 0.4, 0.95))
    washes = shifted(washes, hand[0] * 2 * unit, hand[1] * 2 * unit)
    washes = _in_layers(washes, unit)
    # High key: water thins the pigment, the palest tones are the paper.
    thin = saturated(washes, 1.28, 0.45)
    skin = blur(np.maximum(likely_skin(scene), bare_skin(scene, unit)), 4 * unit)
    thin = thin ** (0.66 + 0.24 * skin)[..., None] * 0.9 + 0.1
    thin = mix(thin, 1.0, ramp(luma(thin), 0.80, 0.97) * (1 - 0.8 * skin))
    thin = mix(thin, _INDIGO, ramp(luma(thin), 0.34, 0.1) * 0.7 * (1 - 0.8 * skin))
    edges = np.abs(washes - blur(washes, 3.2 * unit)).sum(axis=2)
    rims = np.minimum(edges * 3.2, 0.9) * (1 - 0.5 * skin)
    pools = clouds(shape, 150 * unit, rng) * 0.42 + clouds(shape, 45 * unit, rng, 2) * 0.16 * (1 - 0.6 * skin)
    grains = sheet * 0.10 * granulation * (1 - 0.5 * skin)
    density = 1 + pools + rims + grains
    painted = _pigment(thin, density)
    painted = mix(_SHEET, painted, _painted_area(shape, unit, border, sheet, rng)[..., None])
    tones = blur(luma(scene), 0.8 * unit)
    drawing = without_specks(ink_lines(tones, edge_flow(scene, 3 * unit), 1.3 * unit, threshold=0.006), 26 * unit)
    drawing = drawing * lines * (0.75 + 0.25 * np.clip(sheet, -1, 1)) * 0.75
    picture = mix(painted * _SHEET, _GRAPHITE, drawing)
    return to_image(picture * (1 + 0.3 * shade_relief(sheet, 0.5 * unit)[..., None]))


def _detail(scene: Plane, unit: float) -> Plane:
    """Find small dark and light things that lie close together, such as eyes and mouths: `[H, W]`, 0 to 1."""
    tones = luma(scene)
    small = np.abs(blur(tones, 1.5 * unit) - blur(tones, 6 * unit))
    large = np.abs(blur(tones, 6 * unit) - blur(tones, 24 * unit))
    return np.clip(blur(small, 5 * unit) * 14 - 0.25 * blur(large, 10 * unit) * 14, 0, 1)


def _in_layers(washes: Plane, unit: float) -> Plane:
    """Step tones in soft stairs, as one wash dries over another."""
    tones = luma(washes)
    scaled = tones * _TONES
    floor = np.floor(scaled)
    layered = (floor + ramp(scaled - floor, 0.3, 0.7)) / _TONES
    gain = (blur(layered, 0.8 * unit) + 0.02) / (tones + 0.02)
    return np.asarray(np.clip(washes * mix(np.ones_like(gain), gain, 0.65)[..., None], 0, 1), np.float32)


def _pigment(picture: Plane, density: Plane) -> Plane:
    """Darken and strengthen the colour where more pigment lies."""
    return np.asarray(np.clip(picture - (picture - picture**2) * (density - 1)[..., None], 0, 1), np.float32)


def _painted_area(shape: tuple[int, int], unit: float, border: float, sheet: Plane, rng: Random) -> Plane:
    """Mask the paint: 1 under it, 0 on open paper, with a brushed rim and dry bristles at it."""
    height, width = shape
    side = min(height, width)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    inside = np.minimum(np.minimum(xs, width - 1 - xs), np.minimum(ys, height - 1 - ys))
    wander = clouds(shape, 90 * unit, rng) * 0.55 + noise(shape, 9 * unit, rng) * 0.06
    inside = inside / max(side * border, 1e-3) + wander - 0.06 * sheet
    return ramp(inside, 0.45, 0.72) if border else np.ones(shape, np.float32)
