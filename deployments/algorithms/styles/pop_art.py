"""Pop art filter, after the comics of the sixties: flat primary inks, Ben-Day dots for what lies between, bold black
lines."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.styles.techniques.abstraction import flattened
from deployments.algorithms.styles.techniques.edge_flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.styles.techniques.planes import (
    Plane,
    Random,
    bare_skin,
    blur,
    closed,
    colour,
    guided,
    likely_skin,
    luma,
    mix,
    ramp,
    stretched,
    to_image,
    to_lab,
    to_plane,
)
from deployments.contracts.arrays import Image

_PAPER, _BLACK = colour("#fdf6e3"), colour("#14101a")
_RED, _PINK, _YELLOW, _BLUE, _CYAN = (colour(c) for c in ("#e4202c", "#f7a6a0", "#ffd21e", "#1c4fb4", "#4fb9e6"))
_TAN, _MAROON = colour("#c9783f"), colour("#8c1420")
_DOT_ANGLE = 45.0
_LEGIBLE_PX = 7.0
"""Finest pitch of a screen, pixels of the canvas, however small the image."""


def pop_art(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    dot: Annotated[float, Ge(0.4), Le(3)] = 1.0,
    line: Annotated[float, Ge(0.3), Le(3)] = 1.0,
) -> Image:
    """Print pop art.

    `dot`: pitch of the screen. `line`: width of the outlines.
    """
    scene = stretched(to_plane(photo))
    shapes = coherent(flattened(scene, unit, 0.015), 2.5 * unit, 12 * unit, 2)
    tones = blur(luma(shapes), 1.2 * unit)
    ranks = _equalised(tones)
    lab = to_lab(shapes)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.rad2deg(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    skin = bare_skin(to_plane(photo), unit)
    screen = dots(tones.shape, max(11 * unit, _LEGIBLE_PX) * dot, _DOT_ANGLE)
    vivid = ramp(blur(chroma, 4 * unit), 17, 20) * (1 - skin)
    warm = ramp(np.abs((hue - 20 + 180) % 360 - 180), 29, 24)
    yellow = ramp(np.abs((hue - 80 + 180) % 360 - 180), 38, 34)
    night = vivid * (1 - warm) * (1 - yellow)  # a dark blue sky is blue ink, not black
    near = ramp(blur(closed(skin, 140 * unit), 30 * unit), 0.1, 0.3)  # beards, teeth, the shade under a chin
    # Pale ground: sky blue dots on paper, the darker the larger.
    grey = mix(np.broadcast_to(_PAPER, scene.shape), _CYAN, _halftone(screen, (0.82 - ranks) * (1.25 - 0.75 * near)))
    grey = mix(grey, mix(np.broadcast_to(_BLUE, scene.shape), _MAROON, near), ramp(ranks, 0.34, 0.31))
    # Skin, and whatever else is faintly warm: shade is never blue there.
    skin = np.maximum(skin, likely_skin(blur(shapes, 3 * unit)) * (1 - vivid))
    flesh = _flesh(tones, skin, screen, unit)
    red = mix(
        np.broadcast_to(_YELLOW, scene.shape),
        _RED,
        np.maximum(_halftone(screen, (0.86 - tones) * 1.5), ramp(tones, 0.56, 0.52)),
    )
    gold = mix(np.broadcast_to(_YELLOW, scene.shape), _RED, _halftone(screen, (0.78 - tones) * 1.15))
    blue = mix(
        np.broadcast_to(_CYAN, scene.shape),
        _BLUE,
        np.maximum(_halftone(screen, (0.75 - tones) * 1.3), ramp(tones, 0.4, 0.36)),
    )
    bright = mix(blue, red, warm)
    bright = mix(bright, gold, yellow * (1 - warm))
    picture = mix(mix(grey, bright, vivid), flesh, skin)
    lights = luma(scene)
    picture = mix(picture, _PAPER, ramp(blur(lights, unit), 0.9, 0.93))
    calm = guided(lights, lights, 4 * unit, 0.002)
    flow = edge_flow(scene, 3.2 * unit)
    outline = without_specks(ink_lines(calm, flow, 3.0 * unit * line, threshold=0.014, softness=0.012), 40 * unit)
    inner = without_specks(ink_lines(calm, flow, 1.5 * unit * line, threshold=0.014, softness=0.014), 14 * unit)
    ink = np.maximum(
        np.maximum(outline, inner),
        ramp(tones - 0.13 * (1 - skin), 0.052, 0.046) * (1 - night * ramp(tones, 0.06, 0.065)),
    )
    # Eyes and mouths are black on every complexion: much darker than what is around them.
    ink = np.maximum(ink, skin * ramp(blur(lights, 1.2 * unit) / (blur(lights, 20 * unit) + 0.02), 0.66, 0.58))
    return to_image(mix(picture, _BLACK, ramp(blur(ink, 0.8 * unit), 0.2, 0.7)))


def _flesh(tones: Plane, skin: Plane, screen: Plane, unit: float) -> Plane:
    """Ink skin in one warm family for every complexion: the flat tint follows the face's broad tone, dots its shade."""
    broad = blur(tones * skin, 60 * unit) / (blur(skin, 60 * unit) + 1e-3)
    dark = ramp(broad, 0.62, 0.22)
    tint = mix(np.broadcast_to(mix(_PAPER, _PINK, 0.25), (*tones.shape, 3)), _TAN, dark)
    ink = mix(np.broadcast_to(_RED, tint.shape), _MAROON, dark)
    return mix(tint, ink, _halftone(screen, 0.22 + 0.02 / (broad + 0.1) + (broad - tones) * 0.7 / (broad + 0.25)))


def dots(shape: tuple[int, int], pitch: float, angle: float) -> Plane:
    """Make a halftone screen: for each pixel the ink coverage, 0 to 1, at which it is printed first (round dots)."""
    height, width = shape
    turn = np.deg2rad(angle)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    u = (xs * np.cos(turn) + ys * np.sin(turn)) / max(pitch, 2)
    v = (ys * np.cos(turn) - xs * np.sin(turn)) / max(pitch, 2)
    away = np.hypot(u - np.round(u), v - np.round(v))
    return np.asarray(np.pi * away**2, np.float32)


def _halftone(screen: Plane, coverage: Plane) -> Plane:
    """Print a halftone screen: 1 where this coverage has ink; no dot below 4 %, none larger than touching."""
    cover = np.clip(coverage, 0, 0.72)
    return ramp(np.sqrt(cover) - np.sqrt(screen), -0.04, 0.04) * (cover > 0.04)


def _equalised(tones: Plane) -> Plane:
    """Move tones half of the way to equal shares of all."""
    order = np.sort(tones[::4, ::4].ravel())
    ranks = np.searchsorted(order, tones.ravel()).reshape(tones.shape) / max(order.size, 1)
    return np.asarray(0.5 * tones + 0.5 * ranks, np.float32)
