"""Clay filter, plasticine on a stop-motion set: pressed-together lumps of colour, rounded, thumbed, softly lit."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from deployments.algorithms.styles.techniques.abstraction import flattened
from deployments.algorithms.styles.techniques.edge_flow import coherent
from deployments.algorithms.styles.techniques.palette import main_colours, nearest
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    bare_skin,
    blur,
    closed,
    luma,
    mix,
    ramp,
    saturated,
    stretched,
    to_image,
    to_lab,
    to_plane,
)
from deployments.algorithms.styles.techniques.texture import clouds, noise
from deployments.contracts.arrays import Image

_SEAM, _SEAM_BY_FACE = 7.0, 45.0
"""Lab distance of two lumps' colours from which there is a seam between them, and that around faces."""


def clay(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    lumps: Annotated[int, Ge(4), Le(40)] = 11,
    roundness: Annotated[float, Ge(0.3), Le(3)] = 1.0,
    gloss: Annotated[float, Ge(0), Le(1)] = 0.22,
    prints: Annotated[float, Ge(0), Le(1)] = 0.5,
) -> Image:
    """Model in clay.

    `lumps`: how many colours of clay. `roundness`: of their edges. `gloss`: of the surface. `prints`: of fingers.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    bare = bare_skin(to_plane(photo), unit)
    skin = blur(bare, 4 * unit)
    calm = coherent(flattened(scene, unit, 0.02), 3 * unit, 10 * unit, 2)
    lab = to_lab(calm)
    labels = nearest(lab, main_colours(lab, lumps, rng), (0.7, 1.3, 1.3))
    areas = _merged(labels, round(8 * unit), 600 * unit * unit)
    paint = saturated(mix(_region_colours(areas, calm), calm, 0.18), 1.3, 0.5)
    paint = mix(paint, saturated(flattened(scene, unit, 0.004), 1.1, 0.3), skin)
    depth = _distance_to_seam(areas, to_lab(paint), _pressed(bare, unit))
    radius = 20 * unit * roundness
    lumped = (1 - (1 - np.minimum(depth / radius, 1)) ** 2) * radius * 0.3
    tones = luma(calm)
    forms = (
        blur(luma(scene), 8 * unit) * 24 * skin + blur(tones, 18 * unit) * 26 + blur(tones, 3 * unit) * (3 + 8 * skin)
    )
    hand = clouds(shape, 75 * unit, rng, 2) * 2.6 * unit + noise(shape, 16 * unit, rng) * 0.3 * unit
    hand += _fingerprints(shape, unit, rng) * 0.22 * unit * prints
    height = blur(lumped, 3.5 * unit) + forms * unit + hand * (1 - 0.8 * skin)
    diffuse, shine = _light(height)
    crease = 1 - 0.3 * np.exp(-depth / (2.2 * unit + 0.3)) - 0.18 * np.exp(-depth / (13 * unit + 0.3))
    shade = np.tanh((diffuse - diffuse.mean()) * 2.1)
    warm, cool = np.array([1.05, 1.0, 0.93], np.float32), np.array([0.88, 0.9, 1.06], np.float32)
    light = mix(np.broadcast_to(cool, (*shape, 3)), warm, ramp(shade, -0.7, 0.7))
    body = 0.07 + 0.97 * np.clip(paint, 0, 1) ** 0.8
    picture = body * light * (0.98 + 0.36 * shade)[..., None] * blur(crease, 0.8 * unit)[..., None]
    return to_image(1 - (1 - np.clip(picture, 0, 1)) * (1 - gloss * shine[..., None]))


def _merged(labels: NDArray[np.uint8], side: int, smallest: float) -> NDArray[np.int32]:
    """Number connected lumps; what is smaller than `smallest` pixels goes to the lump around it."""
    side = min(max(3, side | 1), 31)
    smooth = cv2.medianBlur(labels, side)
    areas = np.zeros(labels.shape, np.int32)
    next_free = 1
    for label in np.unique(smooth):
        _, parts, stats, _ = cv2.connectedComponentsWithStats((smooth == label).astype(np.uint8), connectivity=4)
        large = stats[:, cv2.CC_STAT_AREA] >= smallest
        large[0] = False
        numbers = np.where(large, np.cumsum(large) + next_free - 1, 0).astype(np.int32)
        areas += numbers[parts]
        next_free += int(large.sum())
    if next_free == 1:
        return np.ones(labels.shape, np.int32)
    return _filled(areas)


def _filled(areas: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give pixels of area 0 the number of the nearest area."""
    _, nearest_area = cv2.distanceTransformWithLabels(
        (areas == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest_area.max()) + 1, np.int32)
    table[nearest_area[areas > 0]] = areas[areas > 0]
    return np.asarray(table[nearest_area], np.int32)


def _region_colours(areas: NDArray[np.int32], picture: Plane) -> Plane:
    """Average the colours of each area."""
    counts = np.bincount(areas.ravel())
    means = np.stack(
        [np.bincount(areas.ravel(), picture[..., channel].ravel()) / np.maximum(counts, 1) for channel in range(3)],
        axis=1,
    )
    return means.astype(np.float32)[areas]


def _pressed(bare: Plane, unit: float) -> Plane:
    """Set the colour distance from which two lumps have a seam: in a face none has, around it (beards) few have."""
    around = blur(closed(bare, 140 * unit), 30 * unit) > 0.15
    return np.where(bare > 0.5, np.inf, np.where(around, _SEAM_BY_FACE, _SEAM)).astype(np.float32)


def _distance_to_seam(areas: NDArray[np.int32], lab: Plane, least: Plane) -> Plane:
    """Measure pixels to the next seam; lumps whose colours differ less than `least` are pressed together without
    one."""
    inside = np.ones(areas.shape, np.uint8)
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        apart = np.sqrt(((lab[here] - lab[there]) ** 2).sum(axis=2))
        seen = apart > np.minimum(least[here], least[there])
        inside[here][seen & (areas[here] != areas[there])] = 0
    if inside.all():
        return np.full(areas.shape, max(areas.shape), np.float32)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32)


def _light(height: Plane) -> tuple[Plane, Plane]:
    """Compute diffuse light, 0 to 1, and highlights, from a large lamp at the upper left."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    norm = np.sqrt(dx**2 + dy**2 + 1)
    lamp = np.array([-0.5, -0.6, 0.85]) / np.linalg.norm([-0.5, -0.6, 0.85])
    diffuse = np.clip((-dx * lamp[0] - dy * lamp[1] + lamp[2]) / norm, 0, 1)
    half = lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    shine = np.clip((-dx * half[0] - dy * half[1] + half[2]) / norm, 0, 1) ** 24
    return np.asarray(diffuse, np.float32), np.asarray(shine, np.float32)


def _fingerprints(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Draw ridges of fingertips pressed here and there, -1 to 1."""
    height, width = shape
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bend = noise(shape, 24 * unit, rng) * 1.6
    prints = np.zeros(shape, np.float32)
    for x, y, turn, phase in rng.random((16, 4)):
        dx, dy = (xs - x * width) / unit, (ys - y * height) / unit
        along, across = (
            dx * np.cos(turn * np.pi) + dy * np.sin(turn * np.pi),
            dy * np.cos(turn * np.pi) - dx * np.sin(turn * np.pi),
        )
        away = np.hypot(along / 1.35, across)
        loops = np.hypot(along / 2.2, across + 6) + bend
        prints = np.where(away < 30, np.sin(loops * 0.95 + phase) * ramp(away, 30, 17), prints)
    return prints.astype(np.float32)
