"""Pixel art filter, sprites of an early console: large square pixels, small palette, dark contours, little
dithering."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from deployments.algorithms.styles.techniques.abstraction import flattened
from deployments.algorithms.styles.techniques.edge_flow import edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.palette import main_colours, nearest
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    bare_skin,
    blur,
    contrast,
    from_lab,
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

_BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) + 0.5) / 16 - 0.5
"""Ordered dithering matrix, -0.5 to 0.5."""
_PIXEL = 10.5
"""Side of a square, in units."""
_FACE_COLOURS = 7
"""Colours of the palette that faces have to themselves, at most."""
_STRONGER = np.array([1, 1.1, 1.1], np.float32)
"""Gains of L, a and b of the palette."""


def pixel_art(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    pixel: Annotated[float, Ge(0.5), Le(4)] = 1.0,
    colours: Annotated[int, Ge(4), Le(64)] = 24,
    dither: Annotated[float, Ge(0), Le(1)] = 0.35,
) -> Image:
    """Draw a sprite.

    `pixel`: size of the squares. `colours`: of the palette. `dither`: strength of the pattern.
    """
    height, width = photo.shape[:2]
    side = max(2, round(_PIXEL * unit * pixel))
    rows, columns = -(-height // side), -(-width // side)
    scene = cv2.copyMakeBorder(photo, 0, rows * side - height, 0, columns * side - width, cv2.BORDER_REPLICATE)
    scene = stretched(to_plane(scene))
    flat = mix(scene, flattened(scene, 2 * unit, 0.004), 0.65)
    skin = bare_skin(scene, unit)
    deeper = 0.3 * (1 - 0.8 * skin)
    small = _sprite(saturated(contrast(flat, deeper), 1.25, 0.3), contrast(scene, deeper), skin, side)
    small = mix(small, small * np.array([0.34, 0.26, 0.4], np.float32), _contours(scene, unit, side) * 0.85)
    lab = to_lab(small)
    pattern = np.tile(_BAYER, (rows // 4 + 1, columns // 4 + 1))[:rows, :columns]
    wide = ramp(_busyness(lab), 5, 1.5) * (1 - likely_skin(small))
    lab = mix(lab, blur(lab, 2.0), wide)
    lab[..., 0] += pattern * 18 * dither * wide * _sloping(lab)
    face = _shrunk(skin, (columns, rows)) > 0.5
    palette, own = _palette(lab, face, colours, rng)
    weights = (1.0, 1.3, 1.3)
    chosen = nearest(lab, palette[own:], weights) + np.uint8(own)
    if own:
        chosen = np.where(face, nearest(lab, palette[:own], weights), chosen)
    chosen = _without_orphans(chosen, lab, palette)
    sprite = to_image(from_lab(palette[chosen]))
    return np.ascontiguousarray(np.repeat(np.repeat(sprite, side, 0), side, 1)[:height, :width])


def _sprite(flat: Plane, scene: Plane, skin: Plane, side: int) -> Plane:
    """Choose one colour for each square: the mean, sharpened, and pulled towards what is dark in it.

    On skin that is an eye or a mouth; teeth stay white.
    """
    size = flat.shape[1] // side, flat.shape[0] // side
    mean = _shrunk(flat, size)
    if min(size) < 3:
        return mean
    around = blur(mean, 1.2)
    sharp = mean + 0.4 * (mean - around)
    dark = _shrunk(np.asarray(cv2.erode(blur(scene, side / 8), np.ones((max(2, side // 2),) * 2, np.uint8))), size)
    stands_out = ramp(luma(around) - luma(_shrunk(scene, size)), 0.015, 0.07) * ramp(luma(mean - around), 0.04, 0.01)
    return np.clip(mix(sharp, dark, (0.3 + 0.25 * _shrunk(skin, size)) * stands_out), 0, 1)


def _shrunk(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _contours(scene: Plane, unit: float, side: int) -> Plane:
    """Mark the squares that outlines run through, `[H / side, W / side]`."""
    tones = luma(scene)
    lines = ink_lines(tones, edge_flow(scene, 4 * unit), 3.4 * unit, threshold=0.016, softness=0.02)
    lines = without_specks(lines, 60 * unit)
    size = scene.shape[1] // side, scene.shape[0] // side
    return ramp(_shrunk(lines, size), 0.3, 0.6)


def _palette(lab: Plane, face: NDArray[np.bool_], colours: int, rng: Random) -> tuple[NDArray[np.float32], int]:
    """Choose the image's own colours, a little stronger; hue counts for more than tone when they are chosen.

    Faces have colours to themselves, the first ones, whose number is returned too: otherwise a cheek is painted like
    the wall.
    """
    scale = np.array([1, 1.4, 1.4], np.float32)
    if not face.any() or face.all():
        return np.asarray(main_colours(lab * scale, colours, rng) / scale * _STRONGER, np.float32), 0
    faces = main_colours(lab[face] * scale, min(_FACE_COLOURS, colours // 3), rng)
    others = main_colours(lab[~face] * scale, colours - len(faces), rng)
    return np.asarray(np.concatenate([faces, others]) / scale * _STRONGER, np.float32), len(faces)


def _busyness(lab: Plane) -> Plane:
    tones = lab[..., 0]
    return blur(np.abs(tones - blur(tones, 1.5)), 1.2)


def _sloping(lab: Plane) -> Plane:
    """Find where tones run from one to another: only there is a pattern of two colours better than one of them."""
    tones = lab[..., 0]
    return ramp(np.abs(blur(tones, 2) - blur(tones, 7)), 1.5, 3.5) * ramp(tones, 96, 90)


def _without_orphans(chosen: NDArray[np.uint8], lab: Plane, palette: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Recolour a single pixel unlike all its neighbours, and hardly different from them, as these."""
    padded = np.pad(chosen, 1, mode="edge")
    rows, columns = chosen.shape
    candidates = np.stack([padded[dy : dy + rows, dx : dx + columns] for dy, dx in ((0, 1), (1, 0), (1, 2), (2, 1))])
    alone = (candidates != chosen).all(axis=0)
    distances = ((palette[candidates] - lab) ** 2).sum(axis=-1)
    best = distances.argmin(axis=0)
    closest = np.take_along_axis(candidates, best[None], 0)[0]
    near = np.take_along_axis(distances, best[None], 0)[0] < 14.0**2
    return np.where(alone & near, closest, chosen).astype(np.uint8)
