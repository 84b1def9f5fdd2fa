"""Loss of structure on both sides that an edit explains all the same: something drawn on a photograph, or part of it
made coarser.

Where two shots differ, each shows nature. A sticker or a poster's colours are flat as only drawings are; a pixelated or
blurred part shows, from afar, what was there before, and with less in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.block_match import CommonFrame, LostBlocks, block_correlation, gradient_size
from deployments.contracts.arrays import Vectors

_FLAT_LEVELS = 1.5
"""Grey levels among neighbours up to which a pixel is flat; light and noise leave more."""
_SPECK = 0.001
"""Share of the common area under which a spot says nothing."""
_AFAR_PX, _AFAR_BLOCK_PX = 4.0, 25
"""Blur and size of the blocks that are compared from afar, pixels of the frame."""
_AGREES_AFAR = 0.9


@dataclass(frozen=True, slots=True)
class ExplanationLimits:
    """Limits within which a loss is explained; set on the half `tuned` of bench/quality/copies."""

    max_share: float = 0.2
    """Share of the common area that a drawing may disturb."""
    max_coarser_share: float = 0.6
    """Share that may be coarser: all but the subject."""
    min_drawn: float = 0.22
    """Share of what is lost where the other image is flat."""
    min_drawn_faintly: float = 0.45
    """`min_drawn` where what was drawn has less structure than what was there: it may be plain ground as well."""
    max_drawn_before: float = 0.15
    """Share of the same where the image that lost it is flat, too: then both are drawings."""
    min_afar: float = 0.65
    """Share of what is lost that agrees from afar."""
    min_quantised: float = 0.15
    """Share of flat pixels that an image of few colours has more than the other."""
    min_quantised_agreement: float = 0.8
    """Share of the blocks that correlate, for the same."""
    max_energy: float = 0.75
    """Structure of the coarser image there, in that of the other."""


def is_explained(
    frame: CommonFrame, lost: LostBlocks, agreement: float, limits: ExplanationLimits | None = None
) -> bool:
    """Tell whether what both images lost is explained by an edit of one of them, whichever that is.

    `agreement`: share of the textured blocks that correlate.
    """
    limits = limits or ExplanationLimits()
    disturbed = lost.left | lost.right
    share = disturbed.sum() / max(1, lost.inside.sum())
    if not disturbed.any():
        return True
    if share > limits.max_coarser_share:
        return False
    sides = ((frame.left, frame.right, lost.left, lost.right), (frame.right, frame.left, lost.right, lost.left))
    if share <= limits.max_share and any(_is_drawn_on(*side, limits) for side in sides):
        return True
    return _is_coarser(frame, disturbed, limits) or _is_quantised(frame, lost.inside, agreement, limits)


def is_noise_or_label(lost: LostBlocks, max_spot: float) -> bool:
    """Tell whether the places that lost structure are small spots, as noise and compression leave, or one place, as
    another label in the place of the first does. What moved leaves a spot where it was and one where it is.

    `max_spot`: share of the common area that a small spot may take.
    """
    disturbed = (lost.left | lost.right).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(disturbed, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA] / max(1, int(lost.inside.sum()))
    return float(areas.max(initial=0)) <= max_spot or int((areas > _SPECK).sum()) <= 1


def _is_drawn_on(
    before: Vectors,
    after: Vectors,
    lost_before: NDArray[np.bool_],
    lost_after: NDArray[np.bool_],
    limits: ExplanationLimits,
) -> bool:
    """Tell whether `after` is `before` with something drawn on it: flat where the other lost its structure."""
    if not lost_before.any():
        return False
    was_flat, is_flat = _flat(before), _flat(after)
    disturbed = lost_before | lost_after
    is_bolder = gradient_size(after)[disturbed].mean() >= gradient_size(before)[disturbed].mean()
    return bool(
        is_flat[lost_before].mean() >= (limits.min_drawn if is_bolder else limits.min_drawn_faintly)
        and was_flat[lost_before].mean() <= limits.max_drawn_before
        and (not lost_after.any() or was_flat[lost_after].mean() <= limits.max_drawn_before)
    )


def _is_coarser(frame: CommonFrame, disturbed: NDArray[np.bool_], limits: ExplanationLimits) -> bool:
    """Tell whether both show the same from afar where they differ, and one of them less."""
    left, right = (float(gradient_size(side)[disturbed].mean()) for side in (frame.left, frame.right))
    if min(left, right) > limits.max_energy * max(left, right):
        return False
    from_left, from_right = (cv2.GaussianBlur(side, (0, 0), _AFAR_PX) for side in (frame.left, frame.right))
    afar = CommonFrame(from_left, from_right, frame.valid)
    agrees = block_correlation(afar, _AFAR_BLOCK_PX) > _AGREES_AFAR
    return bool(agrees[disturbed].mean() >= limits.min_afar)


def _is_quantised(frame: CommonFrame, inside: NDArray[np.bool_], agreement: float, limits: ExplanationLimits) -> bool:
    """Tell whether one image has few colours: flat where the other is shaded, with new edges between them."""
    left, right = (float(_flat(side)[inside].mean()) for side in (frame.left, frame.right))
    return agreement >= limits.min_quantised_agreement and abs(left - right) >= limits.min_quantised


def _flat(pixels: Vectors) -> NDArray[np.bool_]:
    around = np.ones((3, 3), np.uint8)
    flat: NDArray[np.bool_] = cv2.dilate(pixels, around) - cv2.erode(pixels, around) < _FLAT_LEVELS
    return flat
