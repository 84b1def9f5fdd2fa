"""A church window: pieces of glass cut along the forms, lead between them, daylight behind."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from deployments.algorithms.looks.flow import coherent
from deployments.algorithms.looks.plane import Plane, Random, blur, from_lab, luma, mix, ramp, stretched, to_image, to_lab, to_plane
from deployments.algorithms.looks.texture import clouds, lit, noise
from deployments.contracts import Image

_LEAD = np.array([0.075, 0.07, 0.085], np.float32)


def stained_glass(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    piece: Annotated[float, Ge(0.4), Le(3)] = 1.0,
    lead: Annotated[float, Ge(0.3), Le(3)] = 1.0,
    glow: Annotated[float, Ge(0), Le(1)] = 0.6,
) -> Image:
    """`piece`: size of the pieces. `lead`: width of the bars. `glow`: of the light around the bright ones."""
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    calm = coherent(scene, 2.5 * unit, 10 * unit, 2)
    cuts = _pieces(calm, scene, unit, piece)
    glass = _glass_colours(cuts, calm)
    waves = clouds(shape, 40 * unit, rng, 3)
    shards = rng.normal(0, 1, int(cuts.max()) + 1).astype(np.float32)[cuts]
    glass = glass * (1 + 0.10 * waves + 0.05 * shards)[..., None]
    sun = np.hypot(*np.meshgrid(np.linspace(-0.7, 1, shape[1]), np.linspace(-0.6, 1.1, shape[0]))).astype(np.float32)
    glass = np.clip(glass * (1.12 - 0.3 * ramp(sun, 0.2, 1.3))[..., None], 0, 1)
    ripples = lit(noise(shape, 9 * unit, rng) + 0.6 * noise(shape, 22 * unit, rng), 2.2 * unit)
    glass = np.clip(glass * (1 + 0.14 * ripples)[..., None], 0, 1)
    away = _distance_to_bars(cuts)
    bar = ramp(away, 3.6 * unit * lead + 0.8, 2.2 * unit * lead)
    # Light thins towards the lead and spills over it.
    glass = glass * (1 - 0.35 * np.exp(-away / (6 * unit + 0.3)))[..., None]
    round_bar = np.sqrt(np.clip(1 - (away / (3.6 * unit * lead + 0.8)) ** 2, 0, 1)) * 3.0 * unit
    metal = _LEAD + 0.22 * np.maximum(lit(blur(round_bar, 0.8 * unit), 1.6), 0)[..., None]
    picture = mix(glass, metal, bar)
    spill = blur(picture * ramp(luma(picture), 0.35, 0.9)[..., None], 16 * unit)
    return to_image(1 - (1 - np.clip(picture, 0, 1)) * (1 - 0.55 * glow * spill))


def _pieces(calm: Plane, scene: Plane, unit: float, piece: float) -> NDArray[np.int32]:
    """Numbered pieces: small where the picture is detailed, large elsewhere, cut along its edges."""
    lab = to_image(np.stack([to_lab(calm)[..., 0] / 100, *(to_lab(calm)[..., c] / 200 + 0.5 for c in (1, 2))], axis=-1))
    large = _superpixels(lab, 62 * unit * piece, unit)
    small = _superpixels(lab, 25 * unit * piece, unit)
    tones = luma(scene)
    detail = blur(np.abs(blur(tones, 1.5 * unit) - blur(tones, 8 * unit)), 9 * unit)
    # A large piece is cut up where its mean detail asks for it.
    counts = np.maximum(np.bincount(large.ravel()), 1)
    busy = np.bincount(large.ravel(), detail.ravel()) / counts > 0.034
    cut = np.where(busy[large], small + int(large.max()) + 1, large)
    return np.asarray(np.unique(cut, return_inverse=True)[1].reshape(cut.shape), np.int32)


def _superpixels(lab: Image, size: float, unit: float) -> NDArray[np.int32]:
    side = max(4, round(size))
    slic = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLICO, side, 14.0)
    slic.iterate(8)
    slic.enforceLabelConnectivity(35)
    labels = np.asarray(slic.getLabels(), np.int32)
    if labels.max() < 255:
        labels = np.asarray(cv2.medianBlur(labels.astype(np.uint8), max(3, min(round(5 * unit) | 1, 15))), np.int32)
    return labels


def _glass_colours(cuts: NDArray[np.int32], calm: Plane) -> Plane:
    """One colour a piece, as strong as coloured glass is."""
    flat = cuts.ravel()
    counts = np.maximum(np.bincount(flat), 1)
    lab = to_lab(calm)
    means = np.stack([np.bincount(flat, lab[..., channel].ravel()) / counts for channel in range(3)], axis=1)
    chroma = np.hypot(means[:, 1], means[:, 2])
    means[:, 1:] *= (1.45 + 0.9 * np.clip(1 - chroma / 30, 0, 1) * (chroma > 3))[:, None]
    means[:, 0] = 100 * (0.1 + 0.88 * (means[:, 0] / 100) ** 0.85)
    return from_lab(means.astype(np.float32)[cuts])


def _distance_to_bars(cuts: NDArray[np.int32]) -> Plane:
    inside = np.ones(cuts.shape, np.uint8)
    inside[:, 1:][cuts[:, 1:] != cuts[:, :-1]] = 0
    inside[1:][cuts[1:] != cuts[:-1]] = 0
    if inside.all():
        return np.full(cuts.shape, max(cuts.shape), np.float32)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32)
