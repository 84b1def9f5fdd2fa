"""Plasticine on a stop-motion set: pressed-together lumps of colour, rounded, thumbed, softly lit."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from deployments.algorithms.looks.cartoon import flattened
from deployments.algorithms.looks.flow import coherent
from deployments.algorithms.looks.palette import main_colours, nearest
from deployments.algorithms.looks.plane import (
    Plane,
    Random,
    blur,
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
from deployments.algorithms.looks.texture import clouds, noise
from deployments.contracts import Image


_SEAM = 7.0
"""Lab distance of two lumps' colours from which there is a seam between them."""


def clay(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    lumps: Annotated[int, Ge(4), Le(40)] = 14,
    roundness: Annotated[float, Ge(0.3), Le(3)] = 1.0,
    gloss: Annotated[float, Ge(0), Le(1)] = 0.35,
    prints: Annotated[float, Ge(0), Le(1)] = 0.5,
) -> Image:
    """`lumps`: how many colours of clay. `roundness`: of their edges. `gloss`: of the surface. `prints`: of fingers."""
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    skin = blur(likely_skin(scene), 5 * unit)
    calm = coherent(flattened(scene, unit, 0.02), 3 * unit, 10 * unit, 2)
    lab = to_lab(calm)
    labels = nearest(lab, main_colours(lab, lumps, rng), (0.7, 1.3, 1.3))
    areas = _merged(labels, round(9 * unit), 500 * unit * unit)
    paint = saturated(mix(_region_colours(areas, calm), calm, 0.45), 1.2, 0.4)
    paint = mix(paint, saturated(flattened(scene, unit, 0.004), 1.1, 0.3), skin)
    depth = _distance_to_seam(areas, to_lab(paint))
    radius = 20 * unit * roundness
    rise = np.minimum(depth / radius, 1)
    lumped = np.sqrt(np.maximum(1 - (1 - rise) ** 2, 0)) * radius * 0.5
    tones = luma(calm)
    forms = (blur(luma(scene), 9 * unit) * (16 + 12 * skin) + blur(tones, 3 * unit) * (4 + 7 * skin)) * unit
    hand = clouds(shape, 75 * unit, rng, 2) * 2.6 * unit + noise(shape, 16 * unit, rng) * 0.3 * unit
    hand += _fingerprints(shape, unit, rng) * 0.22 * unit * prints
    height = blur(lumped, 2.5 * unit) + forms + hand * (1 - 0.8 * skin)
    diffuse, shine = _light(height)
    crease = 1 - 0.34 * np.exp(-depth / (2.6 * unit + 0.3)) - 0.16 * np.exp(-depth / (13 * unit + 0.3))
    warm, cool = np.array([1.04, 1.0, 0.94], np.float32), np.array([0.86, 0.88, 1.04], np.float32)
    light = mix(np.broadcast_to(cool, (*shape, 3)), warm, ramp(diffuse, 0.3, 0.95))
    body = 0.09 + 0.91 * paint**0.85
    picture = body * light * (0.42 + 0.82 * diffuse)[..., None] * blur(crease, 0.8 * unit)[..., None]
    return to_image(1 - (1 - np.clip(picture, 0, 1)) * (1 - gloss * shine[..., None]))


def _merged(labels: NDArray[np.intp], side: int, smallest: float) -> NDArray[np.int32]:
    """Connected lumps, numbered; what is smaller than `smallest` pixels goes to the lump around it."""
    side = min(max(3, side | 1), 31)
    smooth = cv2.medianBlur(labels.astype(np.uint8), side)
    areas = np.zeros(labels.shape, np.int32)
    next_free = 1
    for label in np.unique(smooth):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((smooth == label).astype(np.uint8), connectivity=4)
        large = stats[:, cv2.CC_STAT_AREA] >= smallest
        large[0] = False
        numbers = np.where(large, np.cumsum(large) + next_free - 1, 0).astype(np.int32)
        areas += numbers[parts]
        next_free += int(large.sum())
    if next_free == 1:
        return np.ones(labels.shape, np.int32)
    return _filled(areas)


def _filled(areas: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pixels of area 0 take the number of the nearest area."""
    _, nearest_area = cv2.distanceTransformWithLabels(
        (areas == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest_area.max()) + 1, np.int32)
    table[nearest_area[areas > 0]] = areas[areas > 0]
    return np.asarray(table[nearest_area], np.int32)


def _region_colours(areas: NDArray[np.int32], picture: Plane) -> Plane:
    counts = np.bincount(areas.ravel())
    means = np.stack(
        [np.bincount(areas.ravel(), picture[..., channel].ravel()) / np.maximum(counts, 1) for channel in range(3)], axis=1
    )
    return means.astype(np.float32)[areas]


def _distance_to_seam(areas: NDArray[np.int32], lab: Plane) -> Plane:
    """Pixels to the next seam; lumps of nearly one colour are pressed together without one."""
    inside = np.ones(areas.shape, np.uint8)
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        apart = np.sqrt(((lab[here] - lab[there]) ** 2).sum(axis=2)) > _SEAM
        inside[here][apart & (areas[here] != areas[there])] = 0
    if inside.all():
        return np.full(areas.shape, max(areas.shape), np.float32)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32)


def _light(height: Plane) -> tuple[Plane, Plane]:
    """Diffuse light, 0 to 1, and highlights, from a large lamp at the upper left."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    norm = np.sqrt(dx**2 + dy**2 + 1)
    lamp = np.array([-0.5, -0.6, 0.85]) / np.linalg.norm([-0.5, -0.6, 0.85])
    diffuse = np.clip((-dx * lamp[0] - dy * lamp[1] + lamp[2]) / norm, 0, 1)
    half = lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    shine = np.clip((-dx * half[0] - dy * half[1] + half[2]) / norm, 0, 1) ** 40
    return np.asarray(diffuse, np.float32), np.asarray(shine, np.float32)


def _fingerprints(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Ridges of fingertips pressed here and there, -1 to 1."""
    bend = noise(shape, 110 * unit, rng) * 60 * unit + noise(shape, 40 * unit, rng) * 8 * unit
    ridges = np.sin(bend * (2 * np.pi / max(11 * unit, 2)))
    return np.asarray(ridges * ramp(noise(shape, 95 * unit, rng), 0.2, 0.7), np.float32)
