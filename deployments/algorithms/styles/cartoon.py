"""Cartoon filter, a printed comic: flat, bright colours in few tones inside confident ink outlines."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.abstraction import adaptive_stairs, flattened, settled
from deployments.algorithms.styles.techniques.edge_flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
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
from deployments.contracts.arrays import Image

_INK = np.array([0.07, 0.05, 0.09], np.float32)


def cartoon(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    tones: Annotated[int, Ge(2), Le(8)] = 4,
    line: Annotated[float, Ge(0.3), Le(3)] = 1.0,
    colour: Annotated[float, Ge(0), Le(2)] = 1.35,
) -> Image:
    """Draw a comic.

    `tones`: steps from dark to light. `line`: width of the outlines. `colour`: saturation.
    """
    scene = stretched(to_plane(photo))
    shapes = coherent(flattened(scene, unit, 0.012), 2.2 * unit, 10 * unit, 2)
    skin = blur(np.maximum(likely_skin(scene), bare_skin(scene, unit)), 3 * unit)
    lab = to_lab(shapes)
    lab[..., 0] = 100 * adaptive_stairs(settled(lab[..., 0] / 100, unit), tones)
    lab[..., 0] = mix(lab[..., 0], to_lab(shapes)[..., 0], 0.55 * skin)
    lab[..., 0] = 12 + lab[..., 0] * 0.9
    picture = saturated(from_lab(lab), colour, 0.5)
    tones_of = luma(scene)
    flow = edge_flow(scene, 2.8 * unit)
    calm = guided(tones_of, tones_of, 3 * unit, 0.0015)
    outline = ink_lines(calm, flow, 2.9 * unit * line, threshold=0.014, softness=0.012)
    inner = ink_lines(calm, edge_flow(scene, 1.8 * unit), 1.5 * unit * line, threshold=0.016, softness=0.016)
    ink = np.maximum(without_specks(outline, 44 * unit), 0.9 * without_specks(inner, 24 * unit))
    ink = np.maximum(ink, ramp(blur(luma(shapes), 1.0 * unit), 0.105, 0.085))
    return to_image(mix(picture, _INK, ramp(blur(ink, 0.6 * unit), 0.15, 0.75)))
