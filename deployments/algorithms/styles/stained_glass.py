"""Stained glass filter, a church window: pieces of glass cut along the forms, lead between them, daylight behind."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from deployments.algorithms.styles.techniques.edge_flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    bare_skin,
    blur,
    closed,
    from_lab,
    guided,
    luma,
    mix,
    ramp,
    stretched,
    to_image,
    to_lab,
    to_plane,
)
from deployments.algorithms.styles.techniques.texture import clouds, noise, shade_relief
from deployments.contracts.arrays import Image

_LARGEST_FACE = 0.45
"""Share of the image above which a face is cut up."""
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
    """Draw a church window.

    `piece`: size of the pieces. `lead`: width of the bars. `glow`: of the light around the bright ones.
    """
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    calm = coherent(scene, 2.5 * unit, 10 * unit, 2)
    skin = bare_skin(to_plane(photo), unit)
    cuts, tints = _pieces(calm, scene, skin, unit, piece)
    glass = _painted(_glass_colours(tints, calm), tints, scene, unit)
    waves = clouds(shape, 40 * unit, rng, 3)
    shards = rng.normal(0, 1, int(cuts.max()) + 1).astype(np.float32)[cuts]
    glass = glass * (1 + 0.10 * waves + 0.05 * shards)[..., None]
    sun = np.hypot(*np.meshgrid(np.linspace(-0.7, 1, shape[1]), np.linspace(-0.6, 1.1, shape[0]))).astype(np.float32)
    glass = np.clip(glass * (1.12 - 0.3 * ramp(sun, 0.2, 1.3))[..., None], 0, 1)
    ripples = shade_relief(noise(shape, 9 * unit, rng) + 0.6 * noise(shape, 22 * unit, rng), 2.2 * unit)
    glass = np.clip(glass * (1 + 0.14 * ripples)[..., None], 0, 1)
    away = _distance_to_bars(cuts)
    bar = ramp(away, 3.6 * unit * lead + 0.8, 2.2 * unit * lead)
    # Light thins towards the lead and spills over it.
    glass = glass * (1 - 0.35 * np.exp(-away / (6 * unit + 0.3)))[..., None]
    round_bar = np.sqrt(np.clip(1 - (away / (3.6 * unit * lead + 0.8)) ** 2, 0, 1)) * 3.0 * unit
    metal = _LEAD + 0.22 * np.maximum(shade_relief(blur(round_bar, 0.8 * unit), 1.6), 0)[..., None]
    picture = mix(glass, metal, bar)
    spill = blur(picture * ramp(luma(picture), 0.35, 0.9)[..., None], 16 * unit)
    return to_image(1 - (1 - np.clip(picture, 0, 1)) * (1 - 0.55 * glow * spill))


def _pieces(
    calm: Plane, scene: Plane, skin: Plane, unit: float, piece: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number the pieces: small where the image is detailed, large elsewhere and on skin, cut along its edges.

    Numbers what is of one glass, too, such as all the pieces of a face.
    """
    lab = to_lab(calm)
    lab8 = to_image(np.stack([lab[..., 0] / 100, lab[..., 1] / 200 + 0.5, lab[..., 2] / 200 + 0.5], axis=-1))
    large, small = (_superpixels(lab8, size * unit * piece, unit) for size in (74, 40))
    tones = luma(scene)
    detail = blur(np.abs(blur(tones, 3 * unit) - blur(tones, 14 * unit)), 9 * unit) * (1 - skin)
    # A large piece is cut up where its mean detail asks for it.
    counts = np.maximum(np.bincount(large.ravel()), 1)
    busy = np.bincount(large.ravel(), detail.ravel()) / counts > 0.05
    cut = np.where(busy[large], small + int(large.max()) + 1, large)
    # Faces are painted on one glass and cut along their outlines, as glaziers do.
    _, faces, stats, _ = cv2.connectedComponentsWithStats(
        (closed(skin, 90 * unit) > 0.5).astype(np.uint8), connectivity=4
    )
    one = faces.astype(np.int32) + int(cut.max()) + 1
    tints = np.where(faces > 0, one, cut)
    too_large = stats[:, cv2.CC_STAT_AREA] > _LARGEST_FACE * faces.size
    cut = np.where(too_large[faces] & (faces > 0), large + int(one.max()) + 1, tints)
    cut = _without_splinters(cut, (22 * unit) ** 2)
    return _numbered(cut), _numbered(tints)


def _numbered(pieces: NDArray[np.int32]) -> NDArray[np.int32]:
    """Renumber pieces from 0."""
    return np.asarray(np.unique(pieces, return_inverse=True)[1].reshape(pieces.shape), np.int32)


def _without_splinters(cut: NDArray[np.int32], smallest: float) -> NDArray[np.int32]:
    """Give what is left of pieces that another one cut through to the nearest piece."""
    tiny = np.zeros(cut.shape, np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(_within(cut), connectivity=4)
    tiny[(stats[:, cv2.CC_STAT_AREA] < smallest)[parts] & (parts > 0)] = 1
    if not tiny.any() or tiny.all():
        return cut
    _, nearest = cv2.distanceTransformWithLabels(tiny, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(nearest.max()) + 1, np.int32)
    table[nearest[tiny == 0]] = cut[tiny == 0]
    return np.asarray(table[nearest], np.int32)


def _superpixels(lab: Image, size: float, unit: float) -> NDArray[np.int32]:
    """Divide into superpixels of about `size` pixels a side (SLIC), with smooth borders."""
    slic = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, max(4, round(size)), 34.0)
    slic.iterate(8)
    slic.enforceLabelConnectivity(40)
    labels = np.asarray(slic.getLabels(), np.uint16)
    for _ in range(round(7 * unit)):
        # Between two labels the median is the majority: corners and teeth go.
        labels = cv2.medianBlur(labels, 5)
    return labels.astype(np.int32)


def _painted(glass: Plane, cuts: NDArray[np.int32], scene: Plane, unit: float) -> Plane:
    """Paint shading and fine lines onto the pieces, as faces in windows have them."""
    tones = luma(scene)
    calm = guided(tones, tones, 3 * unit, 0.0015)
    counts = np.maximum(np.bincount(cuts.ravel()), 1)
    mean = (np.bincount(cuts.ravel(), calm.ravel()) / counts).astype(np.float32)[cuts]
    shade = np.clip((calm + 0.08) / (mean + 0.08), 0.35, 1.5) ** 0.75
    lines = without_specks(
        ink_lines(calm, edge_flow(scene, 2.6 * unit), 1.5 * unit, threshold=0.012, softness=0.03), 16 * unit
    )
    return np.asarray(np.clip(glass * shade[..., None], 0, 1) * (1 - 0.7 * lines[..., None]), np.float32)


def _glass_colours(cuts: NDArray[np.int32], calm: Plane) -> Plane:
    """Colour each piece evenly, as strongly as coloured glass is."""
    flat = cuts.ravel()
    counts = np.maximum(np.bincount(flat), 1)
    lab = to_lab(calm)
    means = np.stack([np.bincount(flat, lab[..., channel].ravel()) / counts for channel in range(3)], axis=1)
    chroma = np.hypot(means[:, 1], means[:, 2])
    means[:, 1:] *= (1.45 + 0.9 * np.clip(1 - chroma / 30, 0, 1) * (chroma > 3))[:, None]
    means[:, 0] = 100 * (0.1 + 0.88 * (means[:, 0] / 100) ** 0.85)
    return from_lab(means.astype(np.float32)[cuts])


def _within(cuts: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Mark the cuts: 0 along them, 1 elsewhere."""
    inside = np.ones(cuts.shape, np.uint8)
    inside[:, 1:][cuts[:, 1:] != cuts[:, :-1]] = 0
    inside[1:][cuts[1:] != cuts[:-1]] = 0
    return inside


def _distance_to_bars(cuts: NDArray[np.int32]) -> Plane:
    inside = _within(cuts)
    if inside.all():
        return np.full(cuts.shape, max(cuts.shape), np.float32)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32)
