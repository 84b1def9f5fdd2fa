"""Whatever passes the validation of uploads, through every algorithm that an album's images go through."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.verdict import verify_pair
from deployments.algorithms.images.decoding import read_picture
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from tests.support.builders import encoded

_PREVIEW_PX = 1280
_MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "I;16")
SIDES = st.one_of(st.integers(1, 40), st.sampled_from([300, 900, 2000, 7000]))


def a_drawing(width: int, height: int, mode: str, seed: int, flat: bool) -> PillowImage.Image:
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return PillowImage.fromarray(rng.integers(0, 65535, (height, width), dtype=np.uint16))
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if flat:
        pixels[:] = pixels[0, 0]
    return PillowImage.fromarray(pixels, "RGBA").convert(mode)


@settings(max_examples=60)
@given(width=SIDES, height=SIDES, mode=st.sampled_from(_MODES), seed=st.integers(0, 9), flat=st.booleans())
@example(width=900, height=1, mode="RGB", seed=0, flat=False)
@example(width=1, height=900, mode="RGBA", seed=0, flat=True)
@example(width=2, height=2000, mode="L", seed=0, flat=False)
@example(width=10_000, height=16, mode="RGB", seed=0, flat=False)
@example(width=7000, height=2, mode="P", seed=0, flat=False)
def test_an_accepted_image_passes_every_analysis(width: int, height: int, mode: str, seed: int, flat: bool) -> None:
    if width * height > 200_000:
        width = max(1, 200_000 // height)
    info, preview = read_picture(encoded(a_drawing(width, height, mode, seed, flat), "PNG"), _PREVIEW_PX)
    views = make_views(preview, 64)
    report = assess(preview, info.width, info.height)
    features = describe(preview)
    verdict = verify_pair(features, features)
    assert views.shape == (7, 64, 64, 3)
    assert 0 <= report.score <= 1
    assert len(features.points) == len(features.descriptors)
    assert 0 <= verdict.score <= 1
