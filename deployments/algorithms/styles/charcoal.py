"""Charcoal filter, with white chalk on toned paper: darks and lights drawn, the middle left to the sheet."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.edge_flow import edge_flow, ink_lines, smooth_along, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Random,
    blur,
    colour,
    guided,
    likely_skin,
    luma,
    mix,
    ramp,
    stretched,
    to_image,
    to_plane,
)
from deployments.algorithms.styles.techniques.texture import noise, paper, shade_relief, standardised, streaks
from deployments.contracts.arrays import Image

_SHEETS = {"sand": "#b99d78", "grey": "#8f959b", "blue": "#7d93a8"}
_COAL, _CHALK = colour("#1b1716"), colour("#fff8ea")


def charcoal(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    sheet: Literal["sand", "grey", "blue"] = "sand",
    chalk: Annotated[float, Ge(0), Le(1)] = 0.85,
    smudge: Annotated[float, Ge(0), Le(1)] = 0.5,
) -> Image:
    """Draw in charcoal and chalk.

    `sheet`: colour of the paper. `chalk`: weight of the white. `smudge`: how much was rubbed with the finger.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    tones = luma(scene)
    calm = guided(tones, tones, 5 * unit, 0.003)
    skin = blur(likely_skin(scene), 4 * unit)
    flow = edge_flow(scene, 5 * unit)
    grain = paper(shape, 0.9 * unit, rng)
    strokes = smooth_along(noise(shape, 2.4 * unit, rng), flow, 18 * unit)
    strokes = standardised(strokes) * 0.6 + streaks(shape, 80 * unit, 3.4 * unit, 40, rng) * 0.5
    middle = float(np.clip(np.median(calm), 0.35, 0.56))
    dark = np.clip((middle - calm) / middle * 1.15, 0, 1)
    light = np.clip((calm - middle - 0.1) / (0.95 - middle), 0, 1)
    tooth = grain * 0.24 + strokes * 0.26 * (1 - 0.6 * skin)
    coal = ramp(dark + tooth * (1 - 0.75 * dark) * ramp(dark, 0.02, 0.15), 0.12, 0.95)
    coal = mix(coal, blur(dark, 3 * unit), 0.45 * smudge)
    drawn = guided(tones, tones, 3 * unit, 0.0015)
    contour = without_specks(
        ink_lines(drawn, edge_flow(scene, 3.2 * unit), 2.6 * unit, threshold=0.006, softness=0.05), 26 * unit
    )
    contour = contour * (0.75 + 0.25 * np.clip(grain, -1, 1))
    coal = 1 - (1 - coal) * (1 - 0.9 * np.clip(contour, 0, 1))
    drag = streaks(shape, 110 * unit, 4.5 * unit, 52, rng) * 0.16 + grain * 0.07
    white = ramp(light + drag * ramp(light, 0.02, 0.3) * (1 - 0.85 * skin), 0.12, 1.05) * chalk
    ground = (
        np.broadcast_to(colour(_SHEETS[sheet]), scene.shape) * (1 + 0.035 * noise(shape, 70 * unit, rng))[..., None]
    )
    fibres = streaks(shape, 22 * unit, 1.4 * unit, 8, rng) * 0.012
    picture = mix(ground * (1 + fibres)[..., None], _CHALK, np.clip(white, 0, 1))
    picture = mix(picture, _COAL, np.clip(coal, 0, 1) * 0.96)
    return to_image(picture * (1 + 0.2 * (shade_relief(grain, 0.5 * unit) * (1 - 0.7 * coal))[..., None]))
