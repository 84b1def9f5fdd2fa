"""Non-photorealistic rendering (NPR) filters, one per style: image processing alone, no weights.

A filter is a function of the photograph, the unit (pixels that a thousandth of the image's size takes, about), a random
generator and options of its own. `apply_style` is the only way in: it settles size, strength and seed for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from deployments.algorithms.images.resizing import resize
from deployments.algorithms.styles.anime import anime
from deployments.algorithms.styles.cartoon import cartoon
from deployments.algorithms.styles.charcoal import charcoal
from deployments.algorithms.styles.clay import clay
from deployments.algorithms.styles.cyberpunk import cyberpunk
from deployments.algorithms.styles.engraving import engraving
from deployments.algorithms.styles.ghibli import ghibli
from deployments.algorithms.styles.oil import oil
from deployments.algorithms.styles.pencil import pencil
from deployments.algorithms.styles.pixel_art import pixel_art
from deployments.algorithms.styles.pop_art import pop_art
from deployments.algorithms.styles.stained_glass import stained_glass
from deployments.algorithms.styles.watercolor import watercolor
from deployments.contracts.arrays import Image

StyleFilter = Callable[..., Image]
"""`(photo, unit, rng, *, options) -> image`, both `uint8[H, W, 3]`."""

FILTERS: dict[str, StyleFilter] = {
    draw.__name__: draw
    for draw in (
        anime,
        cartoon,
        charcoal,
        clay,
        cyberpunk,
        engraving,
        ghibli,
        oil,
        pencil,
        pixel_art,
        pop_art,
        stained_glass,
        watercolor,
    )
}
"""Filters by the name of their style."""

_CANVAS_PX = 1024
"""Geometric mean of the sides at which a unit is a pixel. Smaller images are drawn at up to twice their size."""
_MOST_ENLARGED = 2.0
"""Factor by which smaller images are enlarged at most."""
_FINEST = 0.6
"""Share of their size that brushes, dots and pixels have at strength 0."""
_AT_OWN_SIZE = {pixel_art}
"""Filters whose edges must fall on the image's own pixels."""


def apply_style(
    image: Image, style: str, strength: float = 1.0, seed: int = 0, options: Mapping[str, Any] | None = None
) -> Image:
    """Redraw `uint8[H, W, 3]` RGB of any size in a style, at the same size; the same seed gives the same image.

    `strength`, 0 to 1: 0 is the photograph, 1 the full style; between, marks are finer and the photograph shows
    through. Raises `KeyError` for an unknown filter, `TypeError` for an unknown option.
    """
    draw = FILTERS[style]
    strength = float(np.clip(strength, 0, 1))
    if strength == 0:
        return image.copy()
    height, width = image.shape[:2]
    size = float(np.sqrt(height * width))
    enlarged = 1.0 if draw in _AT_OWN_SIZE else float(np.clip(_CANVAS_PX / size, 1, _MOST_ENLARGED))
    canvas = resize(image, (round(width * enlarged), round(height * enlarged)))
    unit = size * enlarged / _CANVAS_PX * (_FINEST + (1 - _FINEST) * strength)
    drawn = resize(draw(canvas, unit, np.random.default_rng(seed), **(options or {})), (width, height))
    share = 1 - (1 - strength) ** 2
    return np.asarray(cv2.addWeighted(drawn, share, image, 1 - share, 0), np.uint8)


def options_of(style: str) -> dict[str, inspect.Parameter]:
    """List a filter's options: name -> parameter, its type annotated with the range it may have."""
    signature = inspect.signature(FILTERS[style], eval_str=True)
    return {name: known for name, known in signature.parameters.items() if known.kind is known.KEYWORD_ONLY}
