"""Palettes: the few main colours of an image, and the nearest of them to each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.styles.techniques.planes import Plane, Random

_SAMPLES = 6000
"""Pixels that are clustered."""


def main_colours(lab: Plane, count: int, rng: Random) -> NDArray[np.float32]:
    """Cluster a sample of the pixels by k-means: `float32[<= count, 3]`, darkest first; fewer where there are fewer
    colours."""
    pixels = lab.reshape(-1, 3)
    sample = pixels[rng.choice(len(pixels), min(_SAMPLES, len(pixels)), replace=False)]
    centres = np.unique(np.round(sample), axis=0)
    if len(centres) > count:
        from sklearn.cluster import KMeans  # two seconds and 90 MB, which a replica that starts need not pay

        seed = int(rng.integers(2**31))
        centres = KMeans(count, n_init=1, max_iter=40, random_state=seed).fit(sample).cluster_centers_
    return np.asarray(centres[np.argsort(centres[:, 0])], np.float32)


def nearest(lab: Plane, colours: NDArray[np.float32], weights: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Number each pixel by the closest of at most 256 colours, `[H, W]`; squared Lab distances weighted by channel."""
    best = np.full(lab.shape[:2], np.inf, np.float32)
    chosen = np.zeros(lab.shape[:2], np.uint8)
    for number, centre in enumerate(colours):
        away = ((lab - centre) ** 2) @ np.array(weights, np.float32)
        closer = away < best
        best[closer] = away[closer]
        chosen[closer] = number
    return chosen
