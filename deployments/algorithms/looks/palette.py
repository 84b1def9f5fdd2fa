"""A picture's own few colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from deployments.algorithms.looks.plane import Plane, Random

_SAMPLES = 6000


def main_colours(lab: Plane, count: int, rng: Random) -> NDArray[np.float32]:
    """`float32[<= count, 3]`: k-means of a sample of the pixels, darkest first. Fewer where there are fewer colours."""
    pixels = lab.reshape(-1, 3)
    sample = pixels[rng.choice(len(pixels), min(_SAMPLES, len(pixels)), replace=False)]
    distinct = np.unique(np.round(sample), axis=0)
    if len(distinct) <= count:
        centres = distinct
    else:
        seed = int(rng.integers(2**31))
        centres = KMeans(count, n_init=1, max_iter=40, random_state=seed).fit(sample).cluster_centers_
    return np.asarray(centres[np.argsort(centres[:, 0])], np.float32)


def nearest(lab: Plane, colours: NDArray[np.float32], weights: tuple[float, float, float] = (1, 1, 1)) -> NDArray[np.intp]:
    """`[H, W]`: number of the closest colour, squared Lab distances weighted by channel."""
    best = np.full(lab.shape[:2], np.inf, np.float32)
    chosen = np.zeros(lab.shape[:2], np.intp)
    for number, centre in enumerate(colours):
        away = (lab - centre) ** 2 @ np.array(weights, np.float32)
        closer = away < best
        best[closer] = away[closer]
        chosen[closer] = number
    return chosen


def stepped(values: Plane, steps: int, softness: float) -> Plane:
    """Tones 0 to 1 in `steps` equal stairs; `softness` 0 (hard) to 1 is the share of a stair that rises."""
    scaled = np.clip(values, 0, 1) * steps
    floor = np.minimum(np.floor(scaled), steps - 1)
    inside = np.clip((scaled - floor - (1 - softness / 2)) / max(softness / 2, 1e-3), 0, 1)
    inside = inside * inside * (3 - 2 * inside)
    return np.asarray((floor + inside) / steps + 0.5 / steps * (1 - inside * 0), np.float32).clip(0, 1)


def without_crumbs(labels: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Median of the labels: crumbs join what surrounds them. `labels` under 256, in an order that means something."""
    side = max(3, size | 1)
    return np.asarray(cv2.medianBlur(labels.astype(np.uint8), side), np.intp)
