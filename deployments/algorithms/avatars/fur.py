"""Fur, feathers and skin: strokes grown from the colours of a flat drawing, combed along a field of directions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.avatars.svg import Rgba, ViewBox
from deployments.assets.animals.drawing import Coat, Comb
from deployments.contracts.arrays import Floats

_SHIFT = 4
"""Fractional bits of OpenCV's coordinates."""
_FINEST_PX = 1.1
"""Least breadth of a stroke, pixels."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """Strokes of one kind: number a square unit, width and length, lightness."""

    density: float
    width: float
    length: float
    light: float


_FUR = (
    _Pass(density=420, width=0.075, length=1.1, light=-0.12),
    _Pass(density=1100, width=0.036, length=1.0, light=0.0),
    _Pass(density=1500, width=0.017, length=0.85, light=0.07),
)
_FEATHERS = (_Pass(density=150, width=0.15, length=1.0, light=0.0),)


def comb_field(combs: tuple[Comb, ...], box: ViewBox, px: float) -> Floats:
    """Interpolate the hair, in units, at every pixel, `float32[H, W, 2]`: combs and their mirror images by distance."""
    at = np.array([comb.at for comb in combs] + [(-comb.at[0], comb.at[1]) for comb in combs], np.float32)
    hair = np.array([comb.hair for comb in combs] + [(-comb.hair[0], comb.hair[1]) for comb in combs], np.float32)
    coarse = max(4.0, min(px, 10.0))
    x, y = box.grid(coarse)
    near = 1 / ((x[..., None] - at[:, 0]) ** 2 + (y[..., None] - at[:, 1]) ** 2 + 0.01) ** 1.6
    field = np.einsum("hwk,kc->hwc", near / near.sum(axis=2, keepdims=True), hair).astype(np.float32)
    size = (round(box.width * px), round(box.height * px))
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)


def grow(flat: Rgba, coat: Coat, box: ViewBox, px: float, seed: int) -> Rgba:
    """Grow the coat on a flat drawing, `uint8[H, W, 4]`. What grows at the edge reaches over it."""
    rng = np.random.default_rng(seed)
    field = comb_field(coat.combs, box, px)
    soft = cv2.GaussianBlur(flat, (0, 0), max(0.02 * px, 0.6))
    ground = cv2.erode(soft[..., 3], np.ones((3, 3), np.uint8), iterations=max(1, round(0.03 * px)))
    dark = 1 - 0.45 * coat.contrast
    canvas = np.dstack([(soft[..., :3] * dark).astype(np.uint8), ground])
    clump = _noise(canvas.shape[:2], 0.16 * px, rng)
    passes = _FEATHERS if coat.kind == "feathers" else _FUR
    for stroke in passes:
        _lay(canvas, flat, field, clump, stroke, coat, box, px, rng)
    return canvas


def mottle(flat: Rgba, coat: Coat, px: float, seed: int) -> Rgba:
    """Texture smooth skin with its pores and patches."""
    rng = np.random.default_rng(seed)
    shape = flat.shape[:2]
    patches = 0.5 * _noise(shape, max(0.3 * px, 2), rng) + 0.35 * _noise(shape, max(0.07 * px, 2), rng)
    pores = np.minimum(_noise(shape, max(0.025 * px, 1), rng), 0.5)
    tone = 1 + coat.contrast * (0.12 * patches + 0.09 * pores)
    # Drops of moisture: where pores and patches are both high.
    wet = np.clip(_noise(shape, max(0.035 * px, 1), rng) - 1.5 + 0.5 * patches, 0, 1) * coat.shine
    colours = flat[..., :3] * tone[..., None]
    colours += (255 - colours) * (0.5 * wet)[..., None]
    return np.dstack([np.clip(colours, 0, 255).astype(np.uint8), flat[..., 3]])


def _lay(
    canvas: Rgba,
    flat: Rgba,
    field: Floats,
    clump: Floats,
    stroke: _Pass,
    coat: Coat,
    box: ViewBox,
    px: float,
    rng: np.random.Generator,
) -> None:
    """Lay the strokes of one pass, those farthest from the coat's origin first."""
    height, width = flat.shape[:2]
    density = min(stroke.density * coat.density / coat.width, px * px / 3)
    step = px / np.sqrt(density)
    ys, xs = np.mgrid[0:height:step, 0:width:step]
    roots = np.stack([xs.ravel(), ys.ravel()], axis=1) + rng.uniform(-0.7, 0.7, (xs.size, 2)) * step
    column = np.clip(roots[:, 0].astype(int), 0, width - 1)
    row = np.clip(roots[:, 1].astype(int), 0, height - 1)
    keep = flat[row, column, 3] > rng.uniform(90, 200, len(roots))
    roots, column, row = roots[keep], column[keep], row[keep]
    if not len(roots):
        return
    origin = (np.array(coat.from_) - (box.x, box.y)) * px
    order = np.argsort(-np.hypot(*(roots - origin).T) + rng.normal(0, 0.05 * px, len(roots)))
    roots, column, row = roots[order], column[order], row[order]
    tone = clump[row, column]
    length = stroke.length * rng.uniform(0.7, 1.25, len(roots)) * (1 + 0.25 * tone)
    angle = rng.normal(0, coat.unruly * 0.5, len(roots)) + tone * coat.unruly * 0.9
    first = _turned(field[row, column], angle) * (px * 0.5 * length)[:, None]
    middle = roots + first
    mx = np.clip(middle[:, 0].astype(int), 0, width - 1)
    my = np.clip(middle[:, 1].astype(int), 0, height - 1)
    second = _turned(field[my, mx], angle * 1.6) * (px * 0.5 * length)[:, None]
    tips = middle + second
    jitter = coat.contrast * (rng.normal(0, 0.13, len(roots)) + 0.22 * tone) + stroke.light * coat.contrast * 2
    colours = flat[row, column, :3].astype(np.float32) * (1 + jitter)[:, None]
    breadth = np.maximum(stroke.width * coat.width * px * rng.uniform(0.7, 1.3, len(roots)), _FINEST_PX)
    draw = _feathers if coat.kind == "feathers" else _hairs
    draw(canvas, roots, middle, tips, breadth, colours, coat.contrast)


def _hairs(
    canvas: Rgba, roots: Floats, middle: Floats, tips: Floats, breadth: Floats, colours: Floats, contrast: float
) -> None:
    """Draw hairs as leaves with a dark root and a light tip."""
    across = _across(tips - roots) * (breadth / 2)[:, None]
    shape = np.stack([roots - across * 0.5, middle - across, tips, middle + across, roots + across * 0.5], axis=1)
    light = middle + (roots - middle) * 0.15
    upper = np.stack([light - across * 0.6, (middle + tips) / 2 - across * 0.4, tips, light + across * 0.35], axis=1)
    below = _paints(colours * (1 - 0.30 * contrast))
    above = _paints(colours * (1 + 0.12 * contrast))
    for leaf, tip, shade, shine in zip(_fixed(shape), _fixed(upper), below, above, strict=True):
        cv2.fillConvexPoly(canvas, leaf, shade, cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(canvas, tip, shine, cv2.LINE_AA, _SHIFT)


def _feathers(
    canvas: Rgba, roots: Floats, middle: Floats, tips: Floats, breadth: Floats, colours: Floats, contrast: float
) -> None:
    """Draw feathers as rounded scales with a dark hem, a light border and a shaft."""
    along = tips - roots
    across = _across(along) * (breadth / 2)[:, None]

    def scale(size: float, reach: float) -> Floats:
        turn = np.linspace(-np.pi / 2, np.pi / 2, 9)
        bow = [roots + along * (0.45 + 0.55 * np.cos(t)) * reach + across * np.sin(t) * size for t in turn]
        return np.stack([roots - across * 0.4, *bow, roots + across * 0.4], axis=1).astype(np.float32)

    hem, body, heart = _fixed(scale(1.12, 1.06)), _fixed(scale(1.0, 0.99)), _fixed(scale(0.72, 0.84))
    shafts = _fixed(np.stack([roots, roots + along * 0.9], axis=1))
    dark = _paints(colours * (1 - 0.62 * contrast))
    light = _paints(colours * (1 + 0.22 * contrast))
    plain = _paints(colours * (1 - 0.06 * contrast))
    quill = _paints(colours * (1 - 0.32 * contrast))
    for i in range(len(hem)):
        cv2.fillConvexPoly(canvas, hem[i], dark[i], cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(canvas, body[i], light[i], cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(canvas, heart[i], plain[i], cv2.LINE_AA, _SHIFT)
        cv2.polylines(canvas, [shafts[i]], False, quill[i], 1, cv2.LINE_AA, _SHIFT)


def _turned(vectors: Floats, angle: Floats) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)


def _across(along: Floats) -> Floats:
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
    return np.asarray(np.stack([-along[:, 1], along[:, 0]], axis=1) / length, np.float32)


def _fixed(points: Floats) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _paints(colours: Floats) -> list[tuple[float, ...]]:
    opaque = np.column_stack([np.clip(colours, 0, 255), np.full(len(colours), 255.0)])
    return [tuple(row) for row in opaque.tolist()]


def _noise(shape: tuple[int, int], reach: float, rng: np.random.Generator) -> Floats:
    """Make smooth noise, `float32[H, W]`, mean 0, deviation 1, patches of about `reach` pixels."""
    height, width = shape
    small = rng.standard_normal((int(height / reach) + 3, int(width / reach) + 3)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
