"""Abstraction: flat areas and few tones, what separates a drawing from a photograph before any line is drawn."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.styles.techniques.planes import Plane, blur, guided, ramp, to_image, to_plane

_GROWTH, _LAST = 2.8, 2e4
"""Growth a round, and end, of the weight that ties the image to its sparse gradients."""


def flattened(picture: Plane, unit: float, strength: float) -> Plane:
    """Flatten areas between hard edges, worked at half size. `strength`: .002 (faint) to .03 (posters)."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    flat = _fewest_edges(np.asarray(small, np.float32), strength)
    large = np.asarray(cv2.resize(flat, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray(np.clip(guided(large, picture, 3 * unit, 0.0008), 0, 1), np.float32)


def _fewest_edges(picture: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Minimise the L0 norm of gradients (Xu et al. 2011), with mirrored borders: hence cosine transforms.

    Not `cv2.ximgproc.l0Smooth`: on small images that of OpenCV 5.0 shifts the colours and leaves the range.
    """
    # A third of a second, which processes that start and only read the styles' names need not pay.
    from scipy.fft import dctn, idctn

    height, width = picture.shape[:2]
    down, across = (2 - 2 * np.cos(np.pi * np.arange(side, dtype=np.float32) / side) for side in (height, width))
    bending = (down[:, None] + across[None])[..., None].astype(np.float32)
    given = dctn(picture, axes=(0, 1), norm="ortho")
    weight = 2 * strength
    while weight < _LAST:
        right, below = np.diff(picture, axis=1), np.diff(picture, axis=0)
        right[(right**2).sum(axis=2) < strength / weight] = 0
        below[(below**2).sum(axis=2) < strength / weight] = 0
        pull = np.zeros_like(picture)
        pull[:, :-1] -= right
        pull[:, 1:] += right
        pull[:-1] -= below
        pull[1:] += below
        solved = (given + weight * dctn(pull, axes=(0, 1), norm="ortho")) / (1 + weight * bending)
        picture = np.asarray(idctn(solved, axes=(0, 1), norm="ortho"), np.float32)
        weight *= _GROWTH
    return picture


def settled(tones: Plane, unit: float) -> Plane:
    """Smooth ripples out of tones, so that stairs on them have clean borders; edges stay where they are."""
    side = max(3, round(8 * unit) | 1)
    calm = to_plane(cv2.medianBlur(cv2.medianBlur(to_image(tones), side), side))
    return guided(blur(calm, 1.5 * unit), tones, 4 * unit, 0.0004)


def adaptive_stairs(tones: Plane, steps: int) -> Plane:
    """Posterise tones 0 to 1 to at most `steps` stairs.

    Stairs turn where the image has the fewest tones, so that none runs through the middle of a wall. A stair rises
    within about a pixel, however slowly the tones do.
    """
    levels = np.unique(np.round(_levels(tones, steps), 4))
    dx, dy = (cv2.Sobel(tones, cv2.CV_32F, *order, ksize=3, scale=0.125) for order in ((1, 0), (0, 1)))
    pixel = np.clip(np.hypot(dx, dy), 5e-4, 0.04)
    stepped = np.full_like(tones, levels[0])
    for low, high in pairwise(levels.tolist()):
        stepped += (high - low) * ramp((tones - (low + high) / 2) / pixel, -0.8, 0.8)
    return stepped


def _levels(tones: Plane, steps: int) -> NDArray[np.float64]:
    """Cluster tones by k-means in one dimension, from the quantiles (deterministic)."""
    sample = np.sort(tones[::4, ::4].ravel()).astype(np.float64)
    levels = np.quantile(sample, (np.arange(steps) + 0.5) / steps)
    levels = 0.5 * levels + 0.5 * np.linspace(sample[0], sample[-1], steps)
    for _ in range(12):
        parts = np.split(sample, np.searchsorted(sample, (levels[1:] + levels[:-1]) / 2))
        levels = np.array([part.mean() if part.size else level for part, level in zip(parts, levels, strict=True)])
    return levels
