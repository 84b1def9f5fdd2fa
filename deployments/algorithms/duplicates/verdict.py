"""Decides whether two pictures are edited copies of one another."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.algorithms.duplicates.block_match import (
    CommonFrame,
    block_agreement,
    common_frame,
    lost_structure,
    median_shift,
    moved_content,
)
from deployments.algorithms.duplicates.registration import Alignment, align
from deployments.algorithms.duplicates.text_pages import looks_like_page
from deployments.contracts.albums import LocalFeatures, PairVerdict


@dataclass(frozen=True, slots=True)
class CopyCriteria:
    """Limits of the decision; docs/duplicates.md says on what pictures they were set."""

    min_inliers: int = 12
    min_overlap: float = 0.92
    """Share of the smaller frame. A panorama's neighbours show less of one another."""
    max_anisotropy: float = 1.3
    max_residual_px: float = 1.0
    min_agreement: float = 0.6
    """Share of textured blocks that correlate. A watermark over all of the picture breaks a third."""
    max_shift_px: float = 0.7
    max_lost: float = 0.018
    """Share of a photograph where both pictures show what the other does not: another sticker, at most."""
    max_lost_and_moved: float = 0.006
    """The same where what is lost is found again nearby."""
    min_moved: float = 0.01
    max_page_lost: float = 0.0004
    """The same for pages of text: about one short word."""
    max_page_added: float = 0.06
    """Share of a page where only one shows something."""


_FINE_PX, _COARSE_PX = 384, 256
_UNLIKE = PairVerdict(is_copy=False, score=0.0)


def verify_pair(left: LocalFeatures, right: LocalFeatures, rule: CopyCriteria | None = None) -> PairVerdict:
    """The verdict on a pair; the order of the two does not matter."""
    rule = rule or CopyCriteria()
    left, right = sorted((left, right), key=lambda features: (features.pixels.shape, features.pixels.tobytes()))
    alignment = align(left, right)
    if alignment is None or alignment.inliers < rule.min_inliers or alignment.anisotropy > rule.max_anisotropy:
        return _UNLIKE
    overlap = min(1.0, alignment.overlap)
    apart = PairVerdict(is_copy=False, score=0.0, overlap=overlap)
    if alignment.residual_px > rule.max_residual_px or overlap < rule.min_overlap:
        return apart
    coarse = common_frame(alignment, _COARSE_PX)
    fine = common_frame(alignment, _FINE_PX)
    if coarse is None or fine is None:
        return apart
    score = block_agreement(coarse)
    is_copy = (
        score >= rule.min_agreement
        and median_shift(coarse) <= rule.max_shift_px
        and _keeps_structure(alignment, coarse, fine, rule)
    )
    return PairVerdict(is_copy=is_copy, score=score, overlap=overlap)


def _keeps_structure(alignment: Alignment, coarse: CommonFrame, fine: CommonFrame, rule: CopyCriteria) -> bool:
    # Noise and compression disturb the finest edges: twice the loss at the coarser scale counts as much.
    lost = lost_structure(fine, block_px=15, lost_share=0.5, hidden_by=1.5).both
    if lost > rule.max_lost_and_moved:
        lost = min(lost, 2 * lost_structure(coarse, block_px=15, lost_share=0.5, hidden_by=1.5).both)
    if lost > rule.max_lost:
        return False
    if looks_like_page(alignment.left.pixels) or looks_like_page(alignment.right.pixels):
        words = lost_structure(fine, block_px=9, lost_share=0.4, edge=12.0)
        return words.both <= rule.max_page_lost and words.any <= rule.max_page_added
    return lost <= rule.max_lost_and_moved or moved_content(coarse) < rule.min_moved
