"""Line charts as SVG, so that a page can show what a command measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 44
_COLOURS = ("#0b62a4", "#c8461e", "#4f8a10", "#7a3fa0")
_TICKS = 5

Points = Sequence[tuple[float, float]]


def line_chart(title: str, across: str, up: str, lines: Mapping[str, Points], top: float = 0.0) -> str:
    """Draw lines over a common axis, both axes from zero. `top`: least height of the vertical axis. -> SVG"""
    widest = max((x for points in lines.values() for x, _ in points), default=1.0) or 1.0
    highest = 1.1 * max([top, *(y for points in lines.values() for _, y in points)]) or 1.0
    across_ticks, up_ticks = _ticks(widest), _ticks(highest)

    def place(x: float, y: float) -> str:
        across_px = _LEFT + x / widest * (_WIDTH - _LEFT - _RIGHT)
        return f"{across_px:.1f},{_HEIGHT - _BOTTOM - y / highest * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 18, title, weight="bold"),
        _text(_WIDTH / 2, _HEIGHT - 8, across, "middle"),
        _text(8, _TOP - 2, up),
    ]
    for y in up_ticks:
        left, level = place(0, y).split(",")
        parts.append(f'<path d="M{left},{level}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, float(level) + 4, f"{y:g}", "end"))
    for x in across_ticks:
        parts.append(_text(float(place(x, 0).split(",")[0]), _HEIGHT - _BOTTOM + 16, f"{x:g}", "middle"))
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn = " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{at[0]}" cy="{at[1]}" r="2.5" fill="{colour}"/>' for at in _pairs(drawn))
        parts.append(_text(_WIDTH - _RIGHT - 110 * (len(lines) - number), 18, name, colour=colour))
    return "\n".join([*parts, "</svg>\n"])


def _ticks(end: float) -> list[float]:
    """List round numbers from 0 up to the end of an axis, some five: steps of 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(end / _TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * _TICKS >= end)
    return [round(step * number, 12) for number in range(int(end / step) + 1)]


def _pairs(drawn: str) -> list[list[str]]:
    return [pair.split(",") for pair in drawn.split()]


def _text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal", colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">'
        f"{escape(words)}</text>"
    )
