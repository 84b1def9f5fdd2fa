"""Drawn films: gouache backgrounds and warm light (ghibli), clean cels and glowing light (anime)."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from deployments.algorithms.looks.cartoon import adaptive_stairs, flattened, settled
from deployments.algorithms.looks.flow import coherent, edge_flow, ink_lines, without_specks
from deployments.algorithms.looks.plane import (
    Plane,
    Random,
    bare_skin,
    blur,
    from_lab,
    guided,
    likely_skin,
    luma,
    mix,
    ramp,
    saturated,
    stretched,
    to_image,
    to_lab,
    to_plane,
)
from deployments.algorithms.looks.plane import (
    colour as rgb,
)
from deployments.algorithms.looks.strokes import Brush, lay_strokes
from deployments.algorithms.looks.texture import clouds, lit, noise, paper
from deployments.contracts import Image

_SEPIA = rgb("#4a2f22")
_SKY_TOP, _SKY_LOW, _CLOUD, _CLOUD_SHADE = (rgb(c) for c in ("#3f93d2", "#bfe3ef", "#fffaf0", "#b9cbe0"))


def ghibli(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    brush: Annotated[float, Ge(0.4), Le(2.5)] = 1.0,
    sky: Annotated[float, Ge(0), Le(1)] = 0.85,
    line: Annotated[float, Ge(0), Le(1)] = 0.7,
) -> Image:
    """`brush`: size of the dabs. `sky`: how much summer sky a pale, empty background turns into. `line`: weight of the
    brown contours."""
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    skin = blur(likely_skin(scene), 3 * unit)
    mask = _open_background(scene, unit)
    lit_scene = _summer_light(scene)
    lit_scene = mix(lit_scene, _sky(shape, unit, rng), mask * sky)
    flow = edge_flow(lit_scene, 5 * unit)
    calm = coherent(flattened(lit_scene, unit, 0.006), 2 * unit, 8 * unit, 1)
    paint, relief = to_image(blur(calm, 12 * unit)), np.full(shape, 128, np.uint8)
    for radius, tolerance in ((17.0, 0.0), (8.5, 0.022), (4.5, 0.028)):
        lay_strokes(paint, relief, calm, flow, Brush(radius * unit * brush, tolerance, 40, 0.022, 0.12), rng)
    # Figures are cels: flat and clean where there is detail, dabs where there is room.
    busy = ramp(blur(np.abs(luma(scene) - blur(luma(scene), 3 * unit)), 6 * unit), 0.008, 0.03)
    picture = mix(to_plane(paint), calm, np.maximum(0.35 * busy, np.maximum(0.8 * skin, 0.5 * busy)) * 0.9)
    sun = np.add.outer(np.linspace(1, 0, shape[0], dtype=np.float32), np.linspace(1, 0, shape[1], dtype=np.float32)) / 2
    glow = blur(picture * ramp(luma(picture), 0.6, 0.95)[..., None], 22 * unit)
    picture = 1 - (1 - picture) * (1 - 0.22 * glow * np.array([1, 0.93, 0.75], np.float32))
    picture = mix(picture, rgb("#ffe9b0"), 0.16 * sun**2)
    tones = luma(mix(scene, lit_scene, 0.5))
    drawn = guided(tones, tones, 3 * unit, 0.0015)
    outline = without_specks(
        ink_lines(drawn, edge_flow(scene, 3 * unit), 1.5 * unit, threshold=0.009, softness=0.02), 28 * unit
    )
    picture = mix(picture, picture * _SEPIA * 1.1, ramp(outline, 0.1, 0.9) * line)
    grain = paper(shape, 1.2 * unit, rng)
    picture = picture * (
        1
        + (
            0.32
            * lit(blur(relief.astype(np.float32) / 255, 0.9 * unit), 1.6 * unit)
            * (1 - 0.8 * skin)
            * (1 - 0.6 * mask)
        )[..., None]
    )
    return to_image(picture * (1 + 0.012 * grain[..., None]))


def _summer_light(scene: Plane) -> Plane:
    """Open shadows that turn blue, warm lights, greens and blues as children remember them."""
    lab = to_lab(scene)
    tones = lab[..., 0] / 100
    lab[..., 0] = 100 * (0.1 + 0.9 * tones**0.82)
    shade, light = ramp(tones, 0.55, 0.1), ramp(tones, 0.5, 0.95)
    hue = np.arctan2(lab[..., 2], lab[..., 1])
    green = ramp(np.abs(hue - 2.2), 0.8, 0.3)
    lab[..., 1:] *= (1.2 + 0.45 * green)[..., None]
    lab[..., 1] += 2 * shade - 7 * green * ramp(np.hypot(lab[..., 1], lab[..., 2]), 6, 18)
    lab[..., 2] += 6 * light - 13 * shade
    return from_lab(lab)


def _open_background(scene: Plane, unit: float) -> Plane:
    """`[H, W]`, 0 to 1: pale, colourless, empty ground that reaches the upper border and is large enough for a sky."""
    lab = to_lab(blur(scene, 2 * unit))
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    tones = luma(scene)
    rough = blur(np.abs(tones - blur(tones, 3 * unit)), 3 * unit)
    empty = ((lab[..., 0] > 62) & (chroma < 13) & (rough < 0.012)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    wide = [
        number
        for number in range(1, count)
        if stats[number, cv2.CC_STAT_TOP] <= 2 * unit + 1 and stats[number, cv2.CC_STAT_AREA] > 0.04 * empty.size
    ]
    mask = np.isin(labels, wide).astype(np.uint8)
    reach = max(3, round(9 * unit) | 1)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    return np.clip(guided(mask.astype(np.float32), scene, 10 * unit, 0.0006), 0, 1)


def _sky(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Blue that pales towards the horizon, and cumulus with light from the left."""
    height = shape[0]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    sky = mix(np.broadcast_to(_SKY_TOP, (*shape, 3)), _SKY_LOW, np.broadcast_to(ramp(down, -0.1, 0.9), shape))
    heaps = clouds(shape, 210 * unit, rng, 6) * 0.8 + 0.12 * np.sin(down * 9)
    body = ramp(heaps, 0.02, 0.2)
    light = ramp(heaps - np.roll(blur(heaps, 10 * unit), (-round(26 * unit), -round(18 * unit)), (0, 1)), -0.25, 0.3)
    cloud = mix(np.broadcast_to(_CLOUD_SHADE, sky.shape), _CLOUD, light)
    return mix(sky, cloud, body)


def anime(
    photo: Image,
    unit: float,
    rng: Random,
    *,
    line: Annotated[float, Ge(0.3), Le(2)] = 1.0,
    glow: Annotated[float, Ge(0), Le(1)] = 0.6,
    colour: Annotated[float, Ge(0), Le(2)] = 1.3,
    evening: Annotated[float, Ge(0), Le(1)] = 0.9,
) -> Image:
    """`line`: width of the drawing. `glow`: of light, rays and motes. `colour`: saturation. `evening`: how much of an
    evening sky a pale, empty background turns into."""
    shape = photo.shape[:2]
    scene = stretched(to_plane(photo))
    flat = coherent(flattened(scene, unit, 0.02), 2 * unit, 8 * unit, 2)
    sky = _open_background(scene, unit) * evening
    skin = blur(likely_skin(scene), 4 * unit)
    cel = _cel(flat, unit, skin)
    cel = mix(saturated(cel, colour, 0.5), _evening_sky(shape, unit, rng), sky)
    tones = luma(scene)
    calm = guided(tones, tones, 3 * unit, 0.001)
    fine = ink_lines(calm, edge_flow(scene, 2.4 * unit), 1.25 * unit * line, threshold=0.008, softness=0.02)
    drawing = ramp(without_specks(fine, 30 * unit), 0.1, 0.8)
    # Lines take the colour of what they enclose, darker and towards plum.
    cel = mix(cel, cel * np.array([0.34, 0.2, 0.33], np.float32), drawing * 0.9)
    rays, motes = _light(shape, unit, rng)
    bright = cel * (ramp(luma(cel), 0.62, 0.98) * (1 - 0.8 * skin))[..., None]
    halo = blur(bright, 9 * unit) * 0.5 + blur(bright, 40 * unit) * 0.5
    calm_places = 1 - 0.9 * blur(bare_skin(to_plane(photo), unit), 6 * unit)
    light = (
        halo * 0.45
        + rays * (0.75 * calm_places)[..., None]
        + motes * (calm_places * ramp(luma(cel), 0.9, 0.4))[..., None]
    )
    return to_image(1 - (1 - np.clip(cel, 0, 1)) * (1 - np.clip(light * glow, 0, 1)))


def _cel(flat: Plane, unit: float, skin: Plane) -> Plane:
    """Lit, base and shadow colour with a crisp turn between them; a violet wash makes the shadows."""
    lab = to_lab(flat)
    tones = settled(lab[..., 0] / 100, unit)
    steps = adaptive_stairs(tones, 4, 0.02)
    lab[..., 0] = 100 * mix(mix(tones, steps, 0.85), 0.9 * tones, 0.75 * skin)
    lab[..., 0] = 14 + 0.86 * lab[..., 0]
    base = from_lab(lab)
    shade = ramp(steps, 0.62, 0.3) * (1 - 0.7 * skin)
    wash = np.array([0.80, 0.66, 1.04], np.float32)
    violet = np.array([0.10, 0.06, 0.22], np.float32)
    return mix(base, base * wash + violet * 0.5, shade)


def _evening_sky(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """A sky after sunset: deep blue over violet and pink to peach, long lit clouds, the first stars."""
    down = np.linspace(0, 1, shape[0], dtype=np.float32)
    stops = np.stack([rgb(code) for code in ("#3d5fc4", "#8b7fe0", "#f3a6cf", "#ffd3a8")])
    sky = np.stack([np.interp(down, (0, 0.35, 0.7, 1), stops[:, channel]) for channel in range(3)], axis=-1)
    sky = np.broadcast_to(sky[:, None].astype(np.float32), (*shape, 3))
    banks = _long(noise(shape, 90 * unit, rng) * 0.7 + clouds(shape, 60 * unit, rng, 3) * 0.35)
    sky = mix(sky, rgb("#ffe3ea"), ramp(banks, 0.15, 0.22) * 0.75)
    sky = mix(sky, rgb("#fff6f2"), ramp(banks, 0.5, 0.56) * 0.8)
    stars = np.zeros(shape, np.float32)
    for _ in range(60):
        x, y = rng.random() * shape[1], rng.random() ** 1.6 * shape[0] * 0.7
        cv2.circle(stars, (round(x), round(y)), max(1, round(rng.uniform(0.6, 1.9) * unit)), 1.0, -1, cv2.LINE_AA)
    return mix(sky, 1.0, np.clip(stars + blur(stars, 3 * unit) * 2, 0, 1) * ramp(banks, 0.15, 0.05))


def _long(heaps: Plane) -> Plane:
    """Drawn out sideways threefold, as high clouds are."""
    height, width = heaps.shape
    middle = heaps[:, width // 3 : width // 3 + max(1, width // 3)]
    return np.asarray(cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _light(shape: tuple[int, int], unit: float, rng: Random) -> tuple[Plane, Plane]:
    """Rays from beyond the upper right corner, and motes of light in the air."""
    height, width = shape
    xs, ys = np.meshgrid(np.linspace(1, 0, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    turn = np.arctan2(ys + 0.15, xs + 0.15)
    away = np.hypot(xs, ys)
    bands = cv2.resize(rng.random((1, 26), dtype=np.float32), (512, 1), interpolation=cv2.INTER_CUBIC)[0]
    beams = np.interp(turn, np.linspace(0, np.pi / 2, 512), bands).astype(np.float32)
    rays = ramp(away, 1.25, 0.0) * (0.35 + 0.65 * ramp(beams, 0.35, 0.85))
    motes = np.zeros((height, width), np.float32)
    for _ in range(46):
        x, y, size = rng.random() * width, rng.random() * height, rng.uniform(1.5, 8) ** 1.25 * unit
        cv2.circle(
            motes,
            (round(x * 16), round(y * 16)),
            round(max(size, 0.7) * 16),
            rng.uniform(0.15, 0.55),
            -1,
            cv2.LINE_AA,
            4,
        )
    motes = blur(motes, 1.2 * unit) + blur(motes, 7 * unit) * 0.8
    warm, cool = np.array([1, 0.86, 0.55], np.float32), np.array([0.7, 0.85, 1], np.float32)
    return rays[..., None] * warm, motes[..., None] * mix(
        np.broadcast_to(cool, (*shape, 3)), warm, ramp(away, 0.9, 0.3)
    )
