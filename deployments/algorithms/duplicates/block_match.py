"""Block-wise comparison of two registered images: whether their small blocks show the same.

An edit of an image (another size, compression, tint, blur) keeps every edge in its place or loses it; an overlay hides
some. Another shot of the same scene, or the same form filled in anew, loses edges of one image *and* shows edges that
the first does not have. `lost_structure` measures both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.maps import as_projective, corners_of, inverse, project, scale_at_centre, warp
from deployments.algorithms.duplicates.registration import Alignment
from deployments.algorithms.duplicates.tracking import track_corners
from deployments.contracts.arrays import Gray, Matrix, Vectors

_AGREES = 0.7
"""Correlation from which two blocks agree. The sign is free: a colour filter can swap light and dark."""
_CLEAR_DEVIATION, _FAINT_DEVIATION = 6.0, 2.0
"""Grey levels of standard deviation from which a block has texture; the second where hardly any block has the first."""
_MIN_CLEAR_SHARE = 0.01
"""Share of blocks with clear texture under which faint texture counts too."""
_DIRECTION = 0.8
"""Cosine of two gradients from which they point the same way."""
_FAINTER = 0.25
"""Share of its usual strength from which a gradient is still there: under a half-transparent overlay, say."""


@dataclass(frozen=True, slots=True)
class CommonFrame:
    """Common part of two images, at the same place and scale."""

    left: Vectors
    """`float32[H, W]`, grey levels."""
    right: Vectors
    """`float32[H, W]`, grey levels."""
    valid: Vectors
    """`float32[H, W]`, 1 where both images have pixels."""


@dataclass(frozen=True, slots=True)
class LostStructure:
    """Share of the common area where edges of one image are missing in the other."""

    of_left: float
    of_right: float

    @property
    def both(self) -> float:
        """Loss in both directions: each shows what the other does not, so neither can be an edit of the other."""
        return min(self.of_left, self.of_right)

    @property
    def any(self) -> float:
        """Loss in the worse direction."""
        return max(self.of_left, self.of_right)


def common_frame(alignment: Alignment, long_side_px: int) -> CommonFrame | None:
    """Warp both images into the frame of the coarser, cut to what both show; None where that is next to nothing."""
    fine, coarse, matrix = alignment.left.pixels, alignment.right.pixels, as_projective(alignment.matrix)
    is_swapped = alignment.scale > 1
    if is_swapped:
        fine, coarse, matrix = coarse, fine, inverse(matrix)
    low, high = _bounds(matrix, fine.shape, coarse.shape)
    if min(high - low) < 8:
        return None
    shrink = min(1.0, long_side_px / float(max(high - low)))
    width, height = (max(8, round(float(side) * shrink)) for side in high - low)
    # Coordinates are those of pixel centres, as OpenCV's keypoints and warps have them.
    half = (shrink - 1) / 2
    to_frame = np.array([[shrink, 0, half - low[0] * shrink], [0, shrink, half - low[1] * shrink], [0, 0, 1]])
    warped_fine, has_fine = _warp(fine, to_frame @ matrix, (width, height))
    warped_coarse, has_coarse = _warp(coarse, to_frame, (width, height))
    valid = cv2.erode(has_fine & has_coarse, np.ones((3, 3), np.uint8)).astype(np.float32)
    first, second = (warped_coarse, warped_fine) if is_swapped else (warped_fine, warped_coarse)
    return CommonFrame(first, second, valid)


def block_agreement(frame: CommonFrame, block_px: int = 17) -> float:
    """Measure the share of the textured blocks that correlate, 0 to 1; 0 where nothing has texture."""
    blocks = _compare_blocks(frame, block_px, sigma=1.2)
    deviation = np.maximum(blocks.left_deviation, blocks.right_deviation)
    is_textured = blocks.is_whole & (deviation > _CLEAR_DEVIATION)
    if is_textured.sum() < _MIN_CLEAR_SHARE * blocks.is_whole.sum():
        is_textured = blocks.is_whole & (deviation > _FAINT_DEVIATION)
    return float((blocks.correlation[is_textured] > _AGREES).mean()) if is_textured.any() else 0.0


@dataclass(frozen=True, slots=True)
class LostBlocks:
    """Places whose block lost most of its edges; all `bool[H, W]`."""

    left: NDArray[np.bool_]
    """Where edges of the left image are missing in the right one."""
    right: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    """Where the block is in both images."""

    @property
    def shares(self) -> LostStructure:
        """Shares of the common area."""
        total = max(1, int(self.inside.sum()))
        return LostStructure(float(self.left.sum() / total), float(self.right.sum() / total))


def lost_structure(
    frame: CommonFrame, block_px: int, lost_share: float, hidden_by: float | None = None, edge: float = 5.0
) -> LostStructure:
    """Measure the shares of `lost_blocks`."""
    return lost_blocks(frame, block_px, lost_share, hidden_by, edge).shares


def lost_blocks(
    frame: CommonFrame, block_px: int, lost_share: float, hidden_by: float | None = None, edge: float = 5.0
) -> LostBlocks:
    """Find the blocks in which more than `lost_share` of one image's edges are missing in the other.

    `edge`: grey levels a pixel that make an edge. With `hidden_by`, an edge is not called missing where the other
    image has one so many times stronger: an overlay may hide it.
    """
    left_x, left_y = _gradient(frame.left)
    right_x, right_y = _gradient(frame.right)
    valid = cv2.erode(frame.valid, np.ones((5, 5)))
    left, right = cv2.magnitude(left_x, left_y), cv2.magnitude(right_x, right_y)
    is_edge = (left > edge) & (right > edge) & (valid > 0)
    gain = float(np.median(right[is_edge] / left[is_edge])) if is_edge.sum() > 30 else 1.0
    is_parallel = np.abs(left_x * right_x + left_y * right_y) > _DIRECTION * left * right
    # Where one image is fainter all over, its edges count from a fainter level.
    left_edge, right_edge = (edge * min(1.0, max(0.3, faintness)) for faintness in (1 / max(gain, 1e-3), gain))

    def lost(own: Vectors, other: Vectors, own_edge: float, gain: float) -> NDArray[np.bool_]:
        counts = (own > own_edge) & (valid > 0)
        if hidden_by is not None:
            counts &= is_parallel | (other <= hidden_by * gain * own)
        weight = own * counts
        missing = weight * ~(is_parallel & (other > _FAINTER * gain * own))
        mass, missing_mass = _box(weight, block_px), _box(missing, block_px)
        return (mass > _MIN_EDGE_MASS) & (missing_mass > lost_share * mass)

    inside = _box(valid, block_px) > 0.6
    return LostBlocks(
        left=lost(left, right, left_edge, gain) & inside,
        right=lost(right, left, right_edge, 1 / max(gain, 1e-3)) & inside,
        inside=inside,
    )


_MIN_EDGE_MASS = 0.6
"""Mean gradient of a block under which it has too few edges to judge: a tenth of its pixels on a faint edge."""


def median_shift(frame: CommonFrame) -> float:
    """Measure by how many pixels the corners of one image are off their place in the other, the median; 0 if hardly
    any is found."""
    there, here = track_corners(frame.left, frame.right, cv2.erode(frame.valid, np.ones((9, 9))).astype(np.uint8))
    return float(np.median(np.linalg.norm(there - here, axis=1))) if len(here) >= _MIN_CORNERS else 0.0


_MIN_CORNERS = 10
"""Corners needed for a shift to count."""


def block_correlation(frame: CommonFrame, block_px: int) -> Vectors:
    """Correlate the block around each pixel, without its sign: `float32[H, W]`, 0 to 1."""
    return _compare_blocks(frame, block_px, sigma=0.5).correlation


def gradient_size(pixels: Vectors) -> Vectors:
    """Measure the gradient, grey levels a pixel."""
    size: Vectors = cv2.magnitude(*_gradient(pixels))
    return size


def moved_content(frame: CommonFrame, block_px: int = 21, reach_px: int = 14, max_blocks: int = 40) -> float:
    """Estimate the share of blocks that differ in place but are found again nearby: something moved between shots."""
    blocks = _compare_blocks(frame, block_px, sigma=1.0)
    is_textured = np.minimum(blocks.left_deviation, blocks.right_deviation) > _CLEAR_DEVIATION
    half = block_px // 2
    grid = (slice(half, -half, 8), slice(half, -half, 8))
    differing = np.argwhere((blocks.is_whole & is_textured & (blocks.correlation < _DIFFERS))[grid]) * 8 + half
    if not len(differing):
        return 0.0
    tried = differing[np.linspace(0, len(differing) - 1, min(len(differing), max_blocks)).astype(int)]
    left, right = _blur(frame.left, 1.0), _blur(frame.right, 1.0)
    found = sum(_is_found_nearby(left, right, int(y), int(x), half, reach_px) for y, x in tried)
    return float(found / len(tried) * len(differing) / max(1, int(blocks.is_whole[grid].sum())))


_DIFFERS = 0.6
"""Correlation under which a block differs."""
_FOUND, _FOUND_PX = 0.8, 1.5
"""Correlation at which a block is found again, and how many pixels away it must be to have moved."""


def _is_found_nearby(left: Vectors, right: Vectors, y: int, x: int, half: int, reach_px: int) -> bool:
    top, from_left = max(0, y - half - reach_px), max(0, x - half - reach_px)
    block = left[y - half : y + half + 1, x - half : x + half + 1]
    around = right[top : y + half + reach_px + 1, from_left : x + half + reach_px + 1]
    _, best, _, at = cv2.minMaxLoc(cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED))
    shift = np.hypot(at[0] + from_left - (x - half), at[1] + top - (y - half))
    return bool(best > _FOUND and shift >= _FOUND_PX)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Statistics of the block around each pixel of the frame; all `[H, W]`."""

    is_whole: NDArray[np.bool_]
    left_deviation: Vectors
    right_deviation: Vectors
    correlation: Vectors
    """Absolute, 0 to 1."""


def _compare_blocks(frame: CommonFrame, block_px: int, sigma: float) -> _Blocks:
    left, right, valid = _blur(frame.left, sigma), _blur(frame.right, sigma), frame.valid
    count = _box(valid, block_px)
    share = np.maximum(count, 1e-3)
    left_mean, right_mean = _box(left * valid, block_px) / share, _box(right * valid, block_px) / share
    left_variance = _box(left * left * valid, block_px) / share - left_mean * left_mean
    right_variance = _box(right * right * valid, block_px) / share - right_mean * right_mean
    covariance = _box(left * right * valid, block_px) / share - left_mean * right_mean
    left_deviation, right_deviation = (np.sqrt(np.maximum(v, 0)) for v in (left_variance, right_variance))
    correlation = (np.abs(covariance) / (left_deviation * right_deviation + _FAINT_DEVIATION)).astype(np.float32)
    return _Blocks(count > 0.8, left_deviation, right_deviation, correlation)


def _bounds(matrix: Matrix, fine: tuple[int, ...], coarse: tuple[int, ...]) -> tuple[Vectors, Vectors]:
    """Find the box of the coarse frame that the fine image covers: (x1, y1), (x2, y2)."""
    corners = project(matrix, corners_of(fine))
    low = np.maximum(corners.min(axis=0), 0).astype(np.float32)
    high = np.minimum(corners.max(axis=0), (coarse[1], coarse[0])).astype(np.float32)
    return low, high


def _warp(pixels: Gray, matrix: Matrix, size: tuple[int, int]) -> tuple[Vectors, NDArray[np.uint8]]:
    """Warp the image into the frame, smoothed before it shrinks; returns a mask of where it has pixels, too."""
    shrink = scale_at_centre(matrix, pixels.shape)
    sigma = 0.55 * np.sqrt(max(0.0, 1 / max(shrink, 1e-3) ** 2 - 1))
    smooth = _blur(pixels, sigma) if sigma > 0.3 else pixels
    warped = warp(smooth, matrix, size, cv2.INTER_LINEAR)
    mask = warp(np.ones(pixels.shape, np.uint8), matrix, size, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    return warped.astype(np.float32), mask


def _gradient(pixels: Vectors) -> tuple[Vectors, Vectors]:
    """Compute the gradient, grey levels a pixel, along x and y."""
    smooth = _blur(pixels, 0.8)
    return cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)


def _box(values: Vectors, block_px: int) -> Vectors:
    averaged: Vectors = cv2.boxFilter(values, cv2.CV_32F, (block_px, block_px), borderType=cv2.BORDER_CONSTANT)
    return averaged


def _blur(values: NDArray[np.generic], sigma: float) -> Vectors:
    blurred: Vectors = cv2.GaussianBlur(values, (0, 0), sigma)
    return blurred
