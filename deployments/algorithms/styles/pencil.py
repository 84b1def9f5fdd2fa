"""Pencil filter, graphite on paper: drawn contours that run past their ends, hatched tone that crosses in the darks."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.edge_flow import edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    blur,
    guided,
    luma,
    mix,
    ramp,
    stretched,
    to_image,
    to_plane,
)
from deployments.algorithms.styles.techniques.texture import noise, paper, shade_relief, streaks
from deployments.contracts.arrays import Image

_DIRECTIONS = 8
_SHEET = np.array([0.965, 0.955, 0.93], np.float32)
_GRAPHITE = np.array([0.17, 0.17, 0.19], np.float32)


def pencil(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    shading: Annotated[float, Ge(0), Le(1)] = 0.85,
    outline: Annotated[float, Ge(0), Le(1)] = 0.8,
    angle: Annotated[float, Ge(-90), Le(90)] = 48.0,
) -> Image:
    """Draw in graphite (strokes after Lu, Xu and Jia, "Combining sketch and tone for pencil drawing production", 2012).

    `shading`: weight of the hatching. `outline`: of the contours. `angle`: of the first hatching, degrees.
    """
    shape = photo.shape[:2]
    tones = stretched(luma(to_plane(photo)))
    calm = guided(tones, tones, 5 * unit, 0.002)
    sheet = paper(shape, 0.62 * unit, rng)
    contours = _contours(calm, unit)
    fine = ink_lines(tones, edge_flow(tones, 2.2 * unit), 1.2 * unit, threshold=0.008, softness=0.05)
    contours = np.maximum(contours, 0.85 * without_specks(fine, 14 * unit)) * outline
    tone = _drawing_tone(calm)
    dark = _hatched(tone, unit, angle, rng) * shading
    graphite = 1 - (1 - dark) * (1 - contours)
    # Graphite catches on the heights of the paper.
    graphite = 1 - (1 - graphite) ** (1 + 0.7 * graphite)
    grain = 0.3 * np.clip(sheet, -1.5, 1.5) * (1 - graphite) - 0.11 * np.abs(
        streaks(shape, 60 * unit, 2.6 * unit, angle, rng)
    )
    graphite = np.clip(graphite * (1 + grain), 0, 1)
    graphite = graphite * _vignette(shape, unit, rng)
    picture = mix(np.broadcast_to(_SHEET, (*shape, 3)), _GRAPHITE, graphite * 0.97)
    return to_image(picture * (1 + 0.22 * (shade_relief(sheet, 0.4 * unit) * (1 - 0.8 * graphite))[..., None]))


def _drawing_tone(calm: Plane) -> Plane:
    """Decide how dark to draw each place: a draughtsman leaves the lights white and keeps the darks apart."""
    ranks = cv2.equalizeHist(to_image(calm)).astype(np.float32) / 255
    drawn = 1 - mix(calm, ranks, 0.25)
    return np.asarray(np.clip(drawn - 0.08, 0, 1) ** 1.15 * 1.15, np.float32)


def _hatched(tone: Plane, unit: float, angle: float, rng: Random) -> Plane:
    """Hatch in layers of strokes, each at its own angle, each only where the tone is dark enough for one more."""
    light = np.zeros_like(tone) + 1
    for turn, start, weight in ((0, 0.04, 0.6), (11, 0.3, 0.6), (-62, 0.55, 0.5), (4, 0.66, 0.75)):
        strokes = streaks(tone.shape, 70 * unit, 2.1 * unit, angle + turn, rng)
        # Harder pressure widens a stroke: a lower threshold on the same noise.
        pressure = np.clip((tone - start) / (1.02 - start), 0, 1) ** 0.8
        marks = ramp(strokes + 3.2 * pressure - 1.25, -0.35, 0.75) * ramp(tone, start, start + 0.12)
        light *= 1 - marks * weight * (0.45 + 0.55 * pressure)
    smudge = 0.16 * tone + 0.62 * ramp(tone, 0.45, 1.05)
    return np.asarray(1 - light * (1 - smudge), np.float32)


def _contours(tones: Plane, unit: float) -> Plane:
    """Draw gradients with straight strokes in eight directions; each pixel's gradient goes to the one it fits best."""
    dx = cv2.Sobel(tones, cv2.CV_32F, 1, 0, ksize=3, scale=0.25)
    dy = cv2.Sobel(tones, cv2.CV_32F, 0, 1, ksize=3, scale=0.25)
    edges = blur(np.hypot(dx, dy), 0.5 * unit)
    half = max(2, round(13 * unit))
    kernels = [_stroke_kernel(half, np.pi * number / _DIRECTIONS) for number in range(_DIRECTIONS)]
    responses = np.stack([cv2.filter2D(edges, -1, kernel) for kernel in kernels])
    best = responses.argmax(axis=0)
    drawn = np.zeros_like(tones)
    for number, kernel in enumerate(kernels):
        drawn += cv2.filter2D(np.where(best == number, edges, np.float32(0)), -1, kernel)
    scale = max(float(np.percentile(drawn, 98.5)), 0.02)
    return ramp(drawn / scale, 0.10, 1.1) * 0.9


def _stroke_kernel(half: int, turn: float) -> Plane:
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    dx, dy = round(half * np.cos(turn)), round(half * np.sin(turn))
    cv2.line(kernel, (half - dx, half + dy), (half + dx, half - dy), 255, 1, cv2.LINE_AA)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _vignette(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Compute a margin left undrawn: 1 inside, falling off in strokes towards it."""
    height, width = shape
    xs, ys = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    away = (np.abs(xs) ** 6 + np.abs(ys) ** 6) ** (1 / 6)
    ragged = streaks(shape, 150 * unit, 5 * unit, 48, rng) * 0.018 + noise(shape, 120 * unit, rng) * 0.03
    return ramp(away + ragged, 0.99, 0.9)
