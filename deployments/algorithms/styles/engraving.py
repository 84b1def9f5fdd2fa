"""Engraving filter, copper as on old banknotes: lines that bend over the forms and swell in the darks."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.edge_flow import edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    blur,
    colour,
    guided,
    luma,
    mix,
    ramp,
    stretched,
    to_image,
    to_plane,
)
from deployments.algorithms.styles.techniques.texture import noise
from deployments.contracts.arrays import Image

_SHEET, _INK = colour("#f1ead6"), colour("#16243a")


_LEGIBLE_PX = 6.0
"""Least distance of lines, pixels of the canvas, however small the image."""


def engraving(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    pitch: Annotated[float, Ge(0.5), Le(3)] = 1.0,
    relief: Annotated[float, Ge(0), Le(2)] = 1.0,
    outline: Annotated[float, Ge(0), Le(1)] = 0.9,
) -> Image:
    """Draw an engraving.

    `pitch`: distance of the lines. `relief`: how far they bend over the forms. `outline`: weight of contours.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    tones = luma(scene)
    fine = guided(tones, tones, 4 * unit, 0.002)
    fine = np.clip(fine + 0.7 * (fine - blur(fine, 9 * unit)), 0, 1)
    dark = np.clip(1.04 - fine, 0, 1) ** 1.1
    form = blur(tones, 9 * unit) * 46 * unit + blur(tones, 26 * unit) * 60 * unit
    bend = form * relief + noise(shape, 160 * unit, rng) * 5 * unit
    step = max(7.2 * unit, _LEGIBLE_PX) * pitch
    ink = _lines(shape, step, 28, bend, dark, 0.10, 0.95)
    ink = np.maximum(ink, _lines(shape, step, -38, bend, dark, 0.46, 0.62))
    ink = np.maximum(ink, _lines(shape, step, 84, bend, dark, 0.74, 0.6))
    contour = ink_lines(guided(tones, tones, 3 * unit, 0.001), edge_flow(scene, 3 * unit), 1.6 * unit, threshold=0.01)
    ink = np.maximum(ink, without_specks(contour, 24 * unit) * outline)
    ground = _SHEET * (1 + 0.012 * noise(shape, 90 * unit, rng))[..., None]
    return to_image(mix(ground, _INK, np.clip(ink, 0, 1)))


def _lines(
    shape: tuple[int, int], step: float, angle: float, bend: Plane, dark: Plane, start: float, widest: float
) -> Plane:
    """Draw parallel lines at `angle` degrees, moved by `bend` pixels.

    They begin at darkness `start` and are `widest`, as a share of the step, at black.
    """
    height, width = shape
    turn = np.deg2rad(angle)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    place = (xs * np.sin(turn) + ys * np.cos(turn) + bend) / max(step, 2.0)
    away = np.abs(place - np.round(place)) * 2
    wide = np.clip((dark - start) / (1 - start), 0, 1) ** 0.85 * widest
    soft = 1.2 / max(step, 2.0)
    return ramp(wide - away, -soft, soft) * ramp(wide, 0.02, 0.10)
