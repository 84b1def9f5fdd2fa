"""Procedural textures: noise, paper and cloth. A seed gives the same pattern at every size: grids are counted, not
measured in pixels."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.algorithms.styles.techniques.planes import Plane, Random, blur


def noise(shape: tuple[int, int], cell: float, rng: Random) -> Plane:
    """Make smooth value noise, about -1 to 1, whose spots are `cell` pixels apart."""
    height, width = shape
    cell = max(cell, 1.0)
    rows, columns = int(np.ceil(height / cell)) + 3, int(np.ceil(width / cell)) + 3
    grid = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.6)
    xs = (np.arange(width, dtype=np.float32) / cell + 1)[None].repeat(height, 0)
    ys = (np.arange(height, dtype=np.float32) / cell + 1)[:, None].repeat(width, 1)
    return np.asarray(cv2.remap(grid, xs, ys, cv2.INTER_CUBIC), np.float32)


def clouds(shape: tuple[int, int], cell: float, rng: Random, octaves: int = 4) -> Plane:
    """Sum noise of several scales, each half as large and half as strong as the last; about -1 to 1."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        total += noise(shape, cell / 2**octave, rng) * np.float32(0.5**octave)
    return np.asarray(total / 1.2, np.float32)


def standardised(values: Plane) -> Plane:
    """Standardise to mean 0, standard deviation 1."""
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-6), np.float32)


def paper(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Make the height of a rough, cold pressed sheet, mean 0, standard deviation 1."""
    height = noise(shape, 7 * unit, rng) + 0.9 * noise(shape, 4 * unit, rng) + 0.7 * noise(shape, 2.2 * unit, rng)
    return standardised(height)


def shade_relief(height: Plane, relief: float, angle: float = -2.36) -> Plane:
    """Shade a surface, 0 on level ground: the slope towards the light (from the upper left)."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    slope = (dx * np.cos(angle) + dy * np.sin(angle)) * -relief
    return np.asarray(slope / np.sqrt(1 + (dx**2 + dy**2) * relief**2), np.float32)


def weave(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Make the height of a linen canvas, -1 to 1."""
    height, width = shape
    period = max(4.5 * unit, 2.0)
    bend = noise(shape, 40 * unit, rng) * unit
    xs = np.arange(width, dtype=np.float32)[None] + bend
    ys = np.arange(height, dtype=np.float32)[:, None] + bend
    across, down = np.sin(xs * np.pi / period), np.sin(ys * np.pi / period)
    over = np.where(np.sin(xs * np.pi / period * 2) * np.sin(ys * np.pi / period * 2) > 0, across, down)
    return blur(np.asarray(over**2 * 2 - 1, np.float32), 0.5 * unit)


def streaks(shape: tuple[int, int], length: float, width: float, angle: float, rng: Random) -> Plane:
    """Make noise drawn out along a slightly bent direction, `angle` degrees counter-clockwise; standard deviation 1."""
    rows, columns = shape
    turn = np.deg2rad(angle)
    xs, ys = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    along = (xs * np.cos(turn) - ys * np.sin(turn)) / max(length, 1)
    bend = noise(shape, 1.9 * length, rng) * np.float32(0.13 * length)
    across = (xs * np.sin(turn) + ys * np.cos(turn) + bend) / max(width, 0.9)
    along, across = (along - along.min() + 1).astype(np.float32), (across - across.min() + 1).astype(np.float32)
    grid = rng.standard_normal((int(across.max()) + 4, int(along.max()) + 4), dtype=np.float32)
    values = cv2.remap(grid, along, across, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return standardised(values)
