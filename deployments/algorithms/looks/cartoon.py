"""A printed comic: flat, bright colours in few tones inside confident ink outlines."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from deployments.algorithms.looks.flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.looks.plane import (
    Plane,
    Random,
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
from deployments.contracts import Image

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
    """`tones`: steps from dark to light. `line`: width of the outlines. `colour`: saturation."""
    scene = stretched(to_plane(photo))
    shapes = coherent(flattened(scene, unit, 0.012), 2.2 * unit, 10 * unit, 2)
    skin = blur(likely_skin(scene), 3 * unit)
    lab = to_lab(shapes)
    lab[..., 0] = 100 * adaptive_stairs(settled(lab[..., 0] / 100, unit), tones, 0.02)
    lab[..., 0] = mix(lab[..., 0], to_lab(shapes)[..., 0], 0.35 * skin)
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


def flattened(picture: Plane, unit: float, strength: float) -> Plane:
    """Areas without texture between hard edges (L0 gradient minimisation, Xu et al. 2011), worked at half size."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(8, width // 2), max(8, height // 2)), interpolation=cv2.INTER_AREA)
    flat = np.clip(cv2.ximgproc.l0Smooth(to_image(small), None, strength, 2.0).astype(np.float32) / 255, 0, 1)
    large = cv2.resize(flat, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(guided(large, picture, 3 * unit, 0.0008), 0, 1)


def settled(tones: Plane, unit: float) -> Plane:
    """Tones without ripples, so that stairs on them have clean borders; edges stay where they are."""
    side = max(3, round(8 * unit) | 1)
    return to_plane(cv2.medianBlur(cv2.medianBlur(to_image(tones), side), side))


def adaptive_stairs(tones: Plane, steps: int, softness: float) -> Plane:
    """Tones 0 to 1 in at most `steps` stairs, which turn where the picture has the fewest tones, so that no stair
    runs through the middle of a wall. `softness`: half of the width over which a stair rises."""
    levels = np.unique(np.round(_levels(tones, steps), 4))
    stepped = np.full_like(tones, levels[0])
    for low, high in pairwise(levels.tolist()):
        stepped += (high - low) * ramp(tones, (low + high) / 2 - softness, (low + high) / 2 + softness)
    return stepped


def _levels(tones: Plane, steps: int) -> NDArray[np.float64]:
    """k-means of one dimension, from the quantiles (deterministic)."""
    sample = np.sort(tones[::4, ::4].ravel()).astype(np.float64)
    levels = np.quantile(sample, (np.arange(steps) + 0.5) / steps)
    levels = 0.5 * levels + 0.5 * np.linspace(sample[0], sample[-1], steps)
    for _ in range(12):
        parts = np.split(sample, np.searchsorted(sample, (levels[1:] + levels[:-1]) / 2))
        levels = np.array([part.mean() if part.size else level for part, level in zip(parts, levels, strict=True)])
    return levels
