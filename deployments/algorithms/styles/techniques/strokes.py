"""Brush strokes: paths along the forms, laid on paint and relief (after Hertzmann, "Painterly rendering with curved
brush strokes of multiple sizes", 1998)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.styles.techniques.edge_flow import Flow
from deployments.algorithms.styles.techniques.planes import Plane, Random, blur, to_plane
from deployments.contracts.arrays import Image

_POINTS = 9
"""Points of a stroke's path, one radius apart."""
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class Brush:
    """Size and temper of one brush."""

    radius: float
    """Pixels."""
    tolerance: float
    """Error of what is on the canvas, 0 to 1, from which the brush touches it again."""
    thickness: float
    """Grey levels by which the strokes' heights differ."""
    colour_jitter: float = 0.028
    """Standard deviation of the strokes' brightness, as a share."""
    straying: float = 0.16
    """Difference of a stroke's ground from its colour at which it ends, summed over the channels."""


def lay_strokes(paint: Image, relief: NDArray[np.uint8], scene: Plane, flow: Flow, brush: Brush, rng: Random) -> None:
    """Lay one brush's strokes that bring `paint` nearer to `scene`; `relief` takes a random height for each."""
    radius = max(brush.radius, 0.8)
    height, width = paint.shape[:2]
    wanted = blur(scene, radius * 0.45)
    wrong = np.abs(wanted - to_plane(paint)).sum(axis=2) / 3
    spacing = max(radius * 0.9, 1.0)
    ys, xs = np.mgrid[spacing / 2 : height : spacing, spacing / 2 : width : spacing].reshape(2, -1)
    xs = np.clip(xs + rng.uniform(-0.5, 0.5, xs.size) * spacing, 0, width - 1)
    ys = np.clip(ys + rng.uniform(-0.5, 0.5, ys.size) * spacing, 0, height - 1)
    at = ys.astype(np.intp), xs.astype(np.intp)
    chosen = blur(wrong, radius * 0.3)[at] >= brush.tolerance
    order = rng.permutation(np.flatnonzero(chosen))
    xs, ys = xs[order], ys[order]
    paths, lengths = _paths(wanted, flow, xs, ys, radius, brush.straying)
    tints = wanted[ys.astype(np.intp), xs.astype(np.intp)]
    tints = tints * (1 + rng.normal(0, brush.colour_jitter, (len(tints), 1))) + rng.normal(0, 0.012, tints.shape)
    colours = np.clip(tints * 255, 0, 255).astype(int).tolist()
    heights = (128 + rng.uniform(-brush.thickness, brush.thickness, len(colours))).astype(int).tolist()
    thickness = np.maximum(1, np.round(2 * radius * rng.uniform(0.75, 1.1, len(colours)))).astype(int).tolist()
    fixed = np.round(paths * 2**_SUBPIXEL_BITS).astype(np.int32)
    for path, points, tint, level, wide in zip(fixed, lengths.tolist(), colours, heights, thickness, strict=True):
        line = [path[:points, None]]
        cv2.polylines(paint, line, False, tint, wide, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.polylines(relief, line, False, level, wide, cv2.LINE_AA, _SUBPIXEL_BITS)


def _paths(
    wanted: Plane, flow: Flow, xs: NDArray[np.float64], ys: NDArray[np.float64], radius: float, straying: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Trace strokes, `[N, points, 2]`, and count the points of each: a stroke ends where its colour no longer fits."""
    height, width = wanted.shape[:2]
    paths = np.empty((len(xs), _POINTS, 2))
    lengths = np.full(len(xs), 2, np.intp)
    growing = np.ones(len(xs), bool)
    start = wanted[ys.astype(np.intp), xs.astype(np.intp)]
    previous = np.zeros((2, len(xs)))
    for point in range(_POINTS):
        paths[:, point] = np.stack([xs, ys], axis=1)
        at = np.clip(ys, 0, height - 1).astype(np.intp), np.clip(xs, 0, width - 1).astype(np.intp)
        if point > 1:
            growing &= np.abs(wanted[at] - start).sum(axis=1) < straying
            lengths[growing] = point + 1
        step = np.stack([flow.x[at], flow.y[at]]).astype(np.float64)
        step = np.where((step * previous).sum(axis=0) < 0, -step, step)
        step = 0.6 * step + 0.4 * previous if point else step
        step /= np.maximum(np.hypot(*step), 1e-6)
        previous = step
        xs, ys = xs + step[0] * radius, ys + step[1] * radius
    return paths, lengths
