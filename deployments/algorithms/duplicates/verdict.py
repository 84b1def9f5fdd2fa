"""Verdict on a candidate pair: whether two images are edited copies of one another."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.algorithms.duplicates.block_match import (
    CommonFrame,
    block_agreement,
    common_frame,
    lost_blocks,
    lost_structure,
    median_shift,
    moved_content,
)
from deployments.algorithms.duplicates.explained_loss import is_explained, is_noise_or_label
from deployments.algorithms.duplicates.overlays import overlay_side
from deployments.algorithms.duplicates.registration import Alignment, align
from deployments.algorithms.duplicates.text_pages import looks_like_page
from deployments.contracts.albums import LocalFeatures, PairVerdict


@dataclass(frozen=True, slots=True)
class CopyCriteria:
    """Limits of the verdict; docs/duplicates.md says on what images they were set."""

    min_inliers: int = 12
    min_overlap: float = 0.92
    """Share of the smaller frame. A panorama's neighbours show less of one another."""
    max_anisotropy: float = 1.3
    max_squeeze: float = 2.0
    """`max_anisotropy` where one whole frame was squeezed into the other: corners on corners, nearly all alike."""
    max_corner_error: float = 0.03
    min_squeezed_agreement: float = 0.9
    max_foreshortening: float = 1.6
    """How many times larger one corner may be shown than another, in length: a slight perspective."""
    max_residual_px: float = 1.0
    min_agreement: float = 0.6
    """Share of textured blocks that correlate. A watermark over all of the image breaks a third."""
    max_shift_px: float = 0.7
    flat_foreshortening: float = 1.02
    max_shift_in_perspective_px: float = 0.3
    """`max_shift_px` over that foreshortening: the fit may lie between a thing and the table that it lies on."""
    max_lost: float = 0.018
    """Share of a photograph where both images show what the other does not: another sticker, at most."""
    max_spot: float = 0.004
    """Share of a photograph that one of several lost spots may take, unless `max_added_ratio` holds."""
    max_added_ratio: float = 0.35
    """Loss in both directions, in that of the worse one, up to which something was added."""
    max_added_lost: float = 0.03
    max_caption_ratio: float = 0.12
    """`max_lost`, and the ratio, where much was added and hardly anything lost: words across a photograph."""
    max_explained_lost: float = 0.12
    """`max_lost` where something drawn on one of the two, or a part of it made coarser, explains it."""
    max_lost_and_moved: float = 0.006
    """`max_lost` where what is lost is found again nearby."""
    min_moved: float = 0.01
    max_cut_out: float = 0.03
    """Share of a cut-out where only one of the two shows something: what was cut away, say."""
    max_page_lost: float = 0.0004
    """`max_lost` for pages of text: about one short word."""
    max_page_added: float = 0.06
    """Share of a page where only one shows something."""


_FINE_PX, _COARSE_PX = 384, 256
"""Longest sides of the two frames that are compared, pixels."""
_UNLIKE = PairVerdict(is_copy=False, score=0.0)


def verify_pair(left: LocalFeatures, right: LocalFeatures, criteria: CopyCriteria | None = None) -> PairVerdict:
    """Decide whether two images are copies; their order does not matter."""
    criteria = criteria or CopyCriteria()
    first, second = sorted((left, right), key=lambda features: (features.pixels.shape, features.pixels.tobytes()))
    verdict = _verify_sorted(first, second, criteria)
    return verdict if first is left else verdict.turned()


def _verify_sorted(left: LocalFeatures, right: LocalFeatures, criteria: CopyCriteria) -> PairVerdict:
    alignment = align(left, right)
    if alignment is None or alignment.inliers < criteria.min_inliers:
        return _UNLIKE
    is_squeezed = alignment.anisotropy > criteria.max_anisotropy
    if is_squeezed and (
        alignment.anisotropy > criteria.max_squeeze or alignment.corner_error > criteria.max_corner_error
    ):
        return _UNLIKE
    overlap = min(1.0, alignment.overlap)
    apart = PairVerdict(is_copy=False, score=0.0, overlap=overlap)
    if alignment.foreshortening > criteria.max_foreshortening:
        return apart
    if alignment.residual_px > criteria.max_residual_px or overlap < criteria.min_overlap:
        return apart
    coarse = common_frame(alignment, _COARSE_PX)
    fine = common_frame(alignment, _FINE_PX)
    if coarse is None or fine is None:
        return apart
    score = block_agreement(coarse)
    is_level = alignment.foreshortening <= criteria.flat_foreshortening
    max_shift_px = criteria.max_shift_px if is_level else criteria.max_shift_in_perspective_px
    is_copy = (
        score >= (criteria.min_squeezed_agreement if is_squeezed else criteria.min_agreement)
        and median_shift(coarse) <= max_shift_px
        and _keeps_structure(alignment, coarse, fine, score, criteria)
    )
    return PairVerdict(is_copy, score, overlap, overlay_side(fine) if is_copy else None)


def _keeps_structure(
    alignment: Alignment, coarse: CommonFrame, fine: CommonFrame, score: float, criteria: CopyCriteria
) -> bool:
    """Tell whether neither image lost more structure than an edit explains."""
    blocks = lost_blocks(fine, block_px=15, lost_share=0.5, hidden_by=1.5)
    lost, one_sided = blocks.shares.both, blocks.shares.any
    if lost > criteria.max_lost_and_moved or one_sided > criteria.max_cut_out:
        # Noise and compression disturb the finest edges: twice the loss at the coarser scale counts as much.
        at_coarse = lost_structure(coarse, block_px=15, lost_share=0.5, hidden_by=1.5)
        lost = min(lost, 2 * at_coarse.both) if lost > criteria.max_lost_and_moved else lost
        one_sided = min(one_sided, 2 * at_coarse.any)
    if lost > criteria.max_explained_lost:
        return False
    if (alignment.left.is_cut_out or alignment.right.is_cut_out) and one_sided > criteria.max_cut_out:
        return False
    if _shows_page(alignment):
        words = lost_structure(fine, block_px=9, lost_share=0.4, edge=12.0)
        return words.both <= criteria.max_page_lost and words.any <= criteria.max_page_added
    if blocks.shares.both <= criteria.max_lost_and_moved:
        return True
    # What is laid over a photograph adds edges and hides a few; a thing that moved takes as many away as it brings.
    is_added = lost <= criteria.max_added_ratio * one_sided
    if lost <= criteria.max_added_lost and lost <= criteria.max_caption_ratio * one_sided:
        return True
    if (
        lost <= criteria.max_lost
        and (is_added or is_noise_or_label(blocks, criteria.max_spot))
        and moved_content(coarse) < criteria.min_moved
    ):
        return True
    return is_explained(fine, blocks, score)


def _shows_page(alignment: Alignment) -> bool:
    """Tell whether the pair shows a page: both look like one, or one does and neither is coloured."""
    sides = (alignment.left, alignment.right)
    look = [looks_like_page(side.pixels) for side in sides]
    return all(look) or (any(look) and not any(side.is_coloured for side in sides))
