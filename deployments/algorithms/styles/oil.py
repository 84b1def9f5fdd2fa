"""Oil filter: strokes laid along the forms, broad ones first, fine ones where the image asks for them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.edge_flow import edge_flow, smooth_along
from deployments.algorithms.styles.techniques.planes import (
    Random,
    blur,
    contrast,
    likely_skin,
    luma,
    mix,
    saturated,
    stretched,
    to_image,
    to_plane,
)
from deployments.algorithms.styles.techniques.strokes import Brush, lay_strokes
from deployments.algorithms.styles.techniques.texture import noise, shade_relief, standardised, weave
from deployments.contracts.arrays import Image

_RADII = (26.0, 13.0, 6.5, 3.4)
"""Radii of the brushes, broad to fine, in units."""
_TOLERANCES = (0.0, 0.035, 0.05, 0.06)
"""Error of what is on the canvas from which a brush touches it again."""


def oil(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    brush: Annotated[float, Ge(0.4), Le(2.5)] = 1.0,
    impasto: Annotated[float, Ge(0), Le(1)] = 0.6,
    colour: Annotated[float, Ge(0), Le(2)] = 1.2,
) -> Image:
    """Paint in oil.

    `brush`: size of the strokes. `impasto`: thickness of the paint. `colour`: saturation.
    """
    scene = saturated(contrast(stretched(to_plane(photo), most=1.3), 0.15), colour, 0.25)
    flow = edge_flow(scene, 5 * unit)
    paint = to_image(mix(blur(scene, 30 * unit), np.array([0.45, 0.33, 0.24], np.float32), 0.4))
    relief = np.full(photo.shape[:2], 128, np.uint8)
    for radius, tolerance in zip(_RADII, _TOLERANCES, strict=True):
        lay_strokes(
            paint, relief, scene, flow, Brush(radius * unit * brush, tolerance, 16 + 2.5 * min(radius, 16)), rng
        )
    bristles = standardised(smooth_along(noise(photo.shape[:2], 1.6 * unit, rng), flow, 26 * unit))
    body = (
        blur(relief.astype(np.float32) / 255, 1.1 * unit) * 5
        + bristles * 0.11
        + weave(photo.shape[:2], unit, rng) * 0.05
    )
    picture = to_plane(paint) * (1 + 0.035 * bristles[..., None])
    light = shade_relief(body * unit, 2.2) * impasto * (1 - 0.6 * blur(likely_skin(scene), 6 * unit))
    shine = np.maximum(light, 0) ** 2 * 0.8
    return to_image(picture * (1 + 0.75 * light[..., None]) + shine[..., None] * (0.3 + 0.7 * luma(picture)[..., None]))
