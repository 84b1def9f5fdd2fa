"""Ghibli filter, a hand-painted animated film: gouache dabs, summer sky, warm light, fine brown contours."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.abstraction import adaptive_stairs, flattened, settled
from deployments.algorithms.styles.techniques.edge_flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    blur,
    colour,
    from_lab,
    guided,
    likely_skin,
    luma,
    mix,
    ramp,
    stretched,
    to_image,
    to_lab,
    to_plane,
)
from deployments.algorithms.styles.techniques.skies import open_background, summer_sky
from deployments.algorithms.styles.techniques.strokes import Brush, lay_strokes
from deployments.algorithms.styles.techniques.texture import paper, shade_relief
from deployments.contracts.arrays import Image

_SEPIA = colour("#4a2f22")
_BRUSHES = ((20.0, 0.0), (10.0, 0.03), (4.5, 0.035))
"""Radius of each brush in units, and how wrong a place must be before the brush touches it again."""


def ghibli(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    brush: Annotated[float, Ge(0.4), Le(2.5)] = 1.0,
    sky: Annotated[float, Ge(0), Le(1)] = 0.85,
    line: Annotated[float, Ge(0), Le(1)] = 0.75,
) -> Image:
    """Paint a frame of a hand-painted film.

    `brush`: size of the dabs. `sky`: how much summer sky a pale, empty background turns into. `line`: weight of the
    brown contours.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    skin = blur(likely_skin(scene), 3 * unit)
    heaven = open_background(scene, unit) * np.float32(sky)
    sunny = mix(_summer_light(scene), summer_sky(shape, unit, rng), heaven)
    calm = _layered(coherent(flattened(sunny, unit, 0.01), 2 * unit, 8 * unit, 1), unit)
    flow = edge_flow(calm, 5 * unit)
    paint, relief = to_image(blur(calm, 12 * unit)), np.full(shape, 128, np.uint8)
    for radius, tolerance in _BRUSHES:
        lay_strokes(paint, relief, calm, flow, Brush(radius * unit * brush, tolerance, 40, 0.035, 0.12), rng)
    # Figures are cels: flat and clean where there is detail, dabs where there is room.
    busy = ramp(blur(np.abs(luma(scene) - blur(luma(scene), 3 * unit)), 6 * unit), 0.008, 0.03)
    picture = mix(to_plane(paint), calm, np.maximum(0.7 * skin, 0.45 * busy))
    glow = blur(picture * ramp(luma(picture), 0.6, 0.95)[..., None], 22 * unit)
    picture = 1 - (1 - picture) * (1 - 0.22 * glow * np.array([1, 0.93, 0.75], np.float32))
    picture = mix(picture, picture * _SEPIA * 1.1, _contours(scene, sunny, unit) * line)
    ridges = (
        shade_relief(blur(relief.astype(np.float32) / 255, 0.9 * unit), 1.6 * unit)
        * (1 - 0.8 * skin)
        * (1 - 0.6 * heaven)
    )
    return to_image(picture * (1 + 0.32 * ridges + 0.012 * paper(shape, 1.2 * unit, rng))[..., None])


def _summer_light(scene: Plane) -> Plane:
    """Grade the colours: open shadows that turn blue, warm lights, strong greens and blues."""
    lab = to_lab(scene)
    tones = lab[..., 0] / 100
    lab[..., 0] = 100 * (0.1 + 0.9 * tones**0.82)
    shade, light = ramp(tones, 0.55, 0.1), ramp(tones, 0.5, 0.95)
    hue = np.arctan2(lab[..., 2], lab[..., 1])
    green = ramp(np.abs(hue - 2.2), 0.8, 0.3)
    lab[..., 1:] *= (1.2 + 0.45 * green)[..., None]
    lab[..., 1] += -3 * shade - 7 * green * ramp(np.hypot(lab[..., 1], lab[..., 2]), 6, 18)
    lab[..., 2] += 5 * light - 16 * shade
    return from_lab(lab)


def _layered(picture: Plane, unit: float) -> Plane:
    """Move tones half of the way to six: gouache is mixed beforehand, not on the sheet."""
    lab = to_lab(picture)
    tones = lab[..., 0] / 100
    lab[..., 0] = 100 * mix(tones, adaptive_stairs(settled(tones, unit), 6), 0.5)
    return from_lab(lab)


def _contours(scene: Plane, sunny: Plane, unit: float) -> Plane:
    """Draw fine contours, `[H, W]`, 0 to 1."""
    tones = luma(mix(scene, sunny, 0.5))
    calm = guided(tones, tones, 3 * unit, 0.0015)
    lines = ink_lines(calm, edge_flow(scene, 3 * unit), 1.6 * unit, threshold=0.009, softness=0.02)
    return ramp(without_specks(lines, 42 * unit), 0.1, 0.9)
