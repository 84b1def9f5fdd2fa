"""Directions of writing: which lines stand on their heads, agreed on by all lines that run along one axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Vectors

_SAME_AXIS = np.cos(np.radians(20))
"""Cosine of the angle up to which two lines run along one axis."""
_SQUARE = 2.5
"""Ratio of a box's sides up to which its shape does not say how the writing runs: a digit is higher than wide."""
_UPRIGHT = 1.5
"""Ratio of height to width from which on a box alone is taken for writing that runs up or down; PP-OCR's own."""
_SURE = 0.8
"""How sure one line's own looks must be to be asked against all others: nine to one."""


def writing(corners: Vectors) -> tuple[Vectors, Vectors]:
    """Measure lines by their corners `float32[N, 4, 2]`. -> unit vectors along the writing `float32[N, 2]`, lengths"""
    along = (corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]) / 2
    lengths = np.maximum(np.linalg.norm(along, axis=1), 1e-6)
    return (along / lengths[:, None]).astype(np.float32), lengths.astype(np.float32)


def lay_along(corners: Vectors) -> NDArray[np.int64]:
    """Tell how each box `float32[N, 4, 2]` must be turned for its first edge to run along the writing, either way up.

    -> by how many corners to roll each on, 0 or 1. A long box lies along its writing; one that is nearly a square goes
    by the long ones, and by itself where there are none.
    """
    edges = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
    wide, high = (np.maximum(np.linalg.norm(edge, axis=1), 1e-6) for edge in edges)
    first, second = edges[0] / wide[:, None], edges[1] / high[:, None]
    is_upright = high >= _UPRIGHT * wide
    is_long = np.maximum(wide, high) >= _SQUARE * np.minimum(wide, high)
    if is_long.any():
        axes, weights = np.where(is_upright[:, None], second, first)[is_long], np.maximum(wide, high)[is_long]
        along_each = (np.abs(axes @ axes.T) >= _SAME_AXIS) @ weights
        main = axes[np.argmax(along_each)]
        is_upright = np.where(is_long, is_upright, np.abs(second @ main) > np.abs(first @ main))
    return np.asarray(is_upright, np.int64)


def agree_on_heads(corners: Vectors, odds: Vectors) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which lines stand on their heads. -> those that do, and those whose own looks say otherwise

    `odds`: how much a line by itself looks the right way up, 1, or on its head, -1. A page is printed one way up, and
    a short line says little: lines along one axis decide together, the longer ones with more weight.
    """
    turned, doubtful = np.zeros(len(odds), bool), np.zeros(len(odds), bool)
    along, lengths = writing(corners)
    open_lines = np.argsort(-lengths, kind="stable")
    while len(open_lines):
        axis = along[open_lines[0]]
        sides = along[open_lines] @ axis
        together = np.abs(sides) >= _SAME_AXIS
        members, signs = open_lines[together], np.sign(sides[together])
        vote = float(np.sum(signs * odds[members] * lengths[members]))
        turned[members] = signs * (1.0 if vote >= 0 else -1.0) < 0
        own = odds[members] < 0
        doubtful[members] = (own != turned[members]) & (np.abs(odds[members]) >= _SURE)
        open_lines = open_lines[~together]
    return turned, doubtful
