"""Rows and reading order of the texts of a page, whichever way it is turned, and the page as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.texts.directions import writing
from deployments.algorithms.texts.words import UNSPACED
from deployments.contracts.arrays import Vectors
from deployments.contracts.texts import Corners

Flags = NDArray[np.bool_]
"""Which of some boxes, `bool[N]`."""
CELL = "\t"
_UNSPACED = re.compile(f"[{UNSPACED}]")
_CELL_GAP = 1.0
"""Gap between two texts of a row from which on they are two cells, in heights of the text; words are a third of a
height apart, and detection joins most of them."""
_SAME_ROW = 0.5
"""Share of the lower one's height by which two texts of a row overlap at least."""
_TELLING = 2.0
"""Ratio of a line's length to its height from which on its slope says something: corners are whole pixels."""
_FEWEST_TELLING = 4
_STEEPEST = 0.25
"""Slope against the page's main direction that counts at most."""
_DAMPING = 0.01
"""Weight of the guess that all rows have one slope."""
_PROSE_HEIGHTS = 8.0
"""Width of a line of prose at least, in heights: cells of tables are narrower, and are read row by row."""
_PROSE_SHARE = 0.6
"""Share of a column's lines that are prose."""
_PROSE_LINES = 3
"""Lines that a column has at least."""


def reading_order(corners: Sequence[Corners]) -> list[list[int]]:
    """Put texts into rows. -> rows from the top of the page, each the places of its texts from the left

    The page is upright where most of its writing runs to the right, after whichever turn; what runs otherwise follows,
    as a page of its own. Columns of prose are read one after the other, tables row by row.
    """
    if not corners:
        return []
    points = np.asarray(corners, np.float32)
    along, lengths = writing(points)
    rows: list[list[int]] = []
    rest = np.arange(len(points))
    while len(rest):
        axis = _main_direction(along[rest], lengths[rest])
        is_level = along[rest] @ axis >= np.cos(np.radians(30))
        level = rest[is_level] if is_level.any() else rest
        boxes = _level_boxes(points[level], axis)
        rows += [[int(level[place]) for place in row] for row in _read(boxes, np.arange(len(level)))]
        rest = rest[~is_level] if is_level.any() else rest[:0]
    return rows


def plain_text(corners: Sequence[Corners], texts: Sequence[str]) -> str:
    """Write a page as plain text: a line for each row, cells separated by a tab, words by a space."""
    lines = []
    for row in reading_order(corners):
        line = texts[row[0]]
        for left, right in pairwise(row):
            line += _between(corners[left], corners[right], line, texts[right]) + texts[right]
        lines.append(line)
    return "\n".join(lines)


def _between(left: Corners, right: Corners, before: str, after: str) -> str:
    pair = np.asarray([left, right], np.float32)
    along, _ = writing(pair)
    heights = np.linalg.norm(pair[:, 3] - pair[:, 0], axis=1)
    gap = float((pair[1, 0] - pair[0, 1]) @ along[0])
    if gap >= _CELL_GAP * float(heights.max()):
        return CELL
    return "" if _UNSPACED.match(before[-1]) and _UNSPACED.match(after[0]) else " "


def _main_direction(along: Vectors, lengths: Vectors) -> Vectors:
    """The unit vector along which most of the writing runs: the middle one of those near the quarter turn with most.

    The longer a line, the better its angle is known, and corners are whole pixels: hence the squares.
    """
    turns = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    quarters = np.round(turns / 90).astype(np.int64) % 4
    most = int(np.argmax(np.bincount(quarters, lengths, minlength=4)))
    near = np.flatnonzero(quarters == most)
    tilts = (turns[near] - 90 * most + 180) % 360 - 180
    order = np.argsort(tilts, kind="stable")
    weights = np.cumsum(lengths[near][order] ** 2)
    middle = np.radians(90 * most + tilts[order][int(np.searchsorted(weights, weights[-1] / 2))])
    return np.array([np.cos(middle), np.sin(middle)], np.float32)


def _level_boxes(points: Vectors, axis: Vectors) -> Vectors:
    """Turn corners so that `axis` points right. -> boxes `float32[N, 4]`: left, top, right, bottom

    A slightly tilted line of a level page keeps its own height, by its middle, instead of that of its corners. Rows
    that fan out, since the page was seen from the side, are made level one by one.
    """
    down = np.array([-axis[1], axis[0]], np.float32)
    across, heights = points @ axis, points @ down
    middle, centre = heights.mean(axis=1), across.mean(axis=1)
    half = (heights[:, 2:].mean(axis=1) - heights[:, :2].mean(axis=1)) / 2
    middle = middle - _slopes(across, heights, middle) * (centre - centre.mean())
    boxes = np.stack([across.min(axis=1), middle - half, across.max(axis=1), middle + half], axis=1)
    return np.asarray(boxes, np.float32)


def _slopes(across: Vectors, heights: Vectors, middle: Vectors) -> Vectors:
    """Fit the slope of the row of each line: it changes evenly from the top of a page to its bottom.

    Zero where the page has too few long lines to tell.
    """
    runs = (across[:, 1] - across[:, 0] + across[:, 2] - across[:, 3]) / 2
    rises = (heights[:, 1] - heights[:, 0] + heights[:, 2] - heights[:, 3]) / 2
    is_long = runs >= _TELLING * np.abs(heights[:, 3] - heights[:, 0])
    extent = float(np.ptp(middle))
    if is_long.sum() < _FEWEST_TELLING or extent <= 0:
        return np.zeros_like(middle)
    places = (middle - middle.mean()) / extent
    weights = np.where(is_long, runs, 0.0) ** 2
    slopes = np.clip(rises / np.maximum(runs, 1.0), -_STEEPEST, _STEEPEST)
    total = weights.sum()
    first, second = (weights * places).sum(), (weights * places**2).sum() + _DAMPING * total
    constant, change = np.linalg.solve(
        [[total, first], [first, second]], [(weights * slopes).sum(), (weights * slopes * places).sum()]
    )
    return np.asarray(constant + change * places, np.float32)


def _read(boxes: Vectors, members: NDArray[np.int64]) -> list[list[int]]:
    """Rows of some of the boxes: column by column where there are columns of prose, else from the top."""
    cut = _gutter(boxes[members])
    if cut is None:
        return _rows(boxes, members)
    heading, left, right, below = (members[part] for part in cut)
    return [
        *(_read(boxes, heading) if len(heading) else []),
        *_read(boxes, left),
        *_read(boxes, right),
        *(_read(boxes, below) if len(below) else []),
    ]


def _rows(boxes: Vectors, members: NDArray[np.int64]) -> list[list[int]]:
    rows: list[list[int]] = []
    bands: list[tuple[float, float]] = []
    for place in sorted(members.tolist(), key=lambda place: float(boxes[place, 1] + boxes[place, 3])):
        top, bottom = float(boxes[place, 1]), float(boxes[place, 3])
        shares = [_overlap(top, bottom, *band) for band in bands[-3:]]
        if shares and max(shares) >= _SAME_ROW:
            row = len(bands) - len(shares) + int(np.argmax(shares))
            rows[row].append(place)
        else:
            rows.append([place])
            bands.append((top, bottom))
    return [sorted(row, key=lambda place: float(boxes[place, 0])) for row in rows]


def _overlap(top: float, bottom: float, other_top: float, other_bottom: float) -> float:
    """Share of the lower box's height that both have."""
    both = min(bottom, other_bottom) - max(top, other_top)
    return both / max(min(bottom - top, other_bottom - other_top), 1e-6)


def _gutter(boxes: Vectors) -> tuple[Flags, Flags, Flags, Flags] | None:
    """Find the empty strip between two columns of prose. -> what is above, left of, right of and below it"""
    if len(boxes) < 2 * _PROSE_LINES:
        return None
    middles = boxes[:, 1::2].mean(axis=1)
    most, best = 0, None
    for x in np.unique(boxes[:, 2]):  # a gutter begins where some line ends
        left, right = boxes[:, 2] <= x, boxes[:, 0] >= x
        if not (_is_prose(boxes[left]) and _is_prose(boxes[right])):
            continue
        top, stretch = _uncrossed(left, right, middles)
        left, right = left & stretch, right & stretch
        size = int(left.sum() + right.sum())
        if (
            size > most
            and _is_prose(boxes[left])
            and _is_prose(boxes[right])
            and _are_beside(boxes[left], boxes[right])
        ):
            rest = ~left & ~right
            most, best = size, (rest & (middles <= top), left, right, rest & (middles > top))
    return best


def _uncrossed(left: Flags, right: Flags, middles: Vectors) -> tuple[float, Flags]:
    """Find the part of a strip that no line crosses, of several the one with most lines on both sides.

    -> the height at which it begins, and what is in it
    """
    edges = [-np.inf, *np.sort(middles[~left & ~right]).tolist(), np.inf]
    stretches = [(above, (middles > above) & (middles < below)) for above, below in pairwise(edges)]
    return max(stretches, key=lambda one: min(int((left & one[1]).sum()), int((right & one[1]).sum())))


def _are_beside(left: Vectors, right: Vectors) -> bool:
    """Whether two groups of boxes lie side by side for at least half of the lower one's height."""
    edges = [(float(boxes[:, 1].min()), float(boxes[:, 3].max())) for boxes in (left, right)]
    return _overlap(*edges[0], *edges[1]) >= _SAME_ROW


def _is_prose(boxes: Vectors) -> bool:
    if len(boxes) < _PROSE_LINES:
        return False
    widths, heights = boxes[:, 2] - boxes[:, 0], np.maximum(boxes[:, 3] - boxes[:, 1], 1e-6)
    return bool(np.mean(widths >= _PROSE_HEIGHTS * heights) >= _PROSE_SHARE)
