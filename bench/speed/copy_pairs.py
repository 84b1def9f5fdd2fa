"""Milliseconds to compare two described pictures: `python -m bench.speed.copy_pairs`.

The pairs are fixed, so that two checkouts can be compared by running this in each by turns: photographs darkened
(easy copies), stretched or with stickers (hard ones), and with one another (unlike). Medians over pairs.
"""

from __future__ import annotations

import itertools
import time

import cv2
import numpy as np

from bench.quality.copies import geometry, overlays, sources, tones
from bench.report import no_arguments
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.verdict import verify_pair
from deployments.contracts.albums import LocalFeatures


def main() -> None:
    no_arguments(__doc__)
    cv2.setNumThreads(1)
    photos = list(sources.load(sources.TUNED).values())
    originals = [describe(photo) for photo in photos]
    draw = np.random.default_rng(0)
    pairs = {
        "easy copies": [(one, describe(tones.darkened(p, draw))) for one, p in zip(originals, photos, strict=True)],
        "hard copies": [
            (one, describe(edit(p, draw)))
            for edit in (geometry.stretched, overlays.stickers)
            for one, p in zip(originals, photos, strict=True)
        ],
        "unlike": list(itertools.combinations(originals, 2)),
    }
    for name, some in pairs.items():
        print(f"{name}: {np.median([_milliseconds(*pair) for pair in some]):.1f} ms, {len(some)} pairs")


def _milliseconds(left: LocalFeatures, right: LocalFeatures) -> float:
    started = time.process_time()
    verify_pair(left, right)
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main()
