"""Painted skies in place of a photograph's empty wall or white sky."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.algorithms.styles.techniques.planes import Plane, Random, blur, colour, guided, luma, mix, ramp, to_lab
from deployments.algorithms.styles.techniques.texture import clouds, noise

_SKY_TOP, _SKY_LOW, _CLOUD, _CLOUD_SHADE = (colour(c) for c in ("#3f93d2", "#bfe3ef", "#fffaf0", "#b9cbe0"))


def open_background(scene: Plane, unit: float) -> Plane:
    """Mask pale, colourless, empty ground that reaches the upper border and is large enough for a sky: `[H, W]`, 0 to
    1."""
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


def summer_sky(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Paint blue that pales towards the horizon, and cumulus with light from the left."""
    height = shape[0]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    sky = mix(np.broadcast_to(_SKY_TOP, (*shape, 3)), _SKY_LOW, np.broadcast_to(ramp(down, -0.1, 0.9), shape))
    heaps = clouds(shape, 210 * unit, rng, 6) * 0.8 + 0.12 * np.sin(down * 9)
    body = ramp(heaps, 0.02, 0.2)
    light = ramp(heaps - np.roll(blur(heaps, 10 * unit), (-round(26 * unit), -round(18 * unit)), (0, 1)), -0.25, 0.3)
    cloud = mix(np.broadcast_to(_CLOUD_SHADE, sky.shape), _CLOUD, light)
    return mix(sky, cloud, body)


def evening_sky(shape: tuple[int, int], unit: float, rng: Random) -> Plane:
    """Paint a sky after sunset: deep blue over violet and pink to peach, long lit clouds, the first stars."""
    down = np.linspace(0, 1, shape[0], dtype=np.float32)
    stops = np.stack([colour(code) for code in ("#3d5fc4", "#8b7fe0", "#f3a6cf", "#ffd3a8")])
    sky = np.stack([np.interp(down, (0, 0.35, 0.7, 1), stops[:, channel]) for channel in range(3)], axis=-1)
    heaven: Plane = np.broadcast_to(sky[:, None].astype(np.float32), (*shape, 3))
    banks = _long(noise(shape, 90 * unit, rng) * 0.7 + clouds(shape, 60 * unit, rng, 3) * 0.35)
    heaven = mix(heaven, colour("#ffe3ea"), ramp(banks, 0.15, 0.22) * 0.75)
    heaven = mix(heaven, colour("#fff6f2"), ramp(banks, 0.5, 0.56) * 0.8)
    stars = np.zeros(shape, np.float32)
    for _ in range(60):
        x, y = rng.random() * shape[1], rng.random() ** 1.6 * shape[0] * 0.7
        cv2.circle(stars, (round(x), round(y)), max(1, round(rng.uniform(0.6, 1.9) * unit)), 1.0, -1, cv2.LINE_AA)
    return mix(heaven, 1.0, np.clip(stars + blur(stars, 3 * unit) * 2, 0, 1) * ramp(banks, 0.15, 0.05))


def _long(heaps: Plane) -> Plane:
    """Stretch clouds sideways threefold, as high clouds are."""
    height, width = heaps.shape
    middle = heaps[:, width // 3 : width // 3 + max(1, width // 3)]
    return np.asarray(cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
