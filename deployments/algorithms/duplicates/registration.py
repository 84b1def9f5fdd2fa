"""Image registration: the map that lays one image over another, by RANSAC over RootSIFT matches or, where whole images
look alike, frame on frame; then refined to a projective one through tracked corners."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.features import mirrored
from deployments.algorithms.duplicates.maps import (
    as_projective,
    corners_of,
    foreshortening,
    inverse,
    local_map,
    project,
    scale_at_centre,
)
from deployments.algorithms.duplicates.tracking import fit_map
from deployments.algorithms.duplicates.whole_frames import lay_frames
from deployments.contracts.albums import LocalFeatures
from deployments.contracts.arrays import Gray, Matrix, Vectors

_RATIO = 0.85
"""Lowe's ratio: the best match must be so much nearer than the second best."""
_REACH_PX = 3.0
"""Distance within which a mapped point agrees with its match, pixels."""
_MIN_MATCHES = 6
"""Matches, and agreeing matches, that a map needs."""
_MIN_REFINED = 12
"""Agreeing matches that fix the six numbers of an affine map safely."""
_ENOUGH = 60
"""Agreeing matches after which the mirrored image is not tried."""
_STRONGEST, _SAFE = 400, 30
"""Points matched first, and agreeing matches under which all of them are, as they are on flat ground: letters are so
alike that the strongest points of a page and of its small copy need not be the same ones."""
_FLAT_BAND, _FLAT_SHARE = 17, 0.4
"""Flat ground: so many neighbouring grey levels hold this share of the pixels."""
_VAGUE_PX = 1.0
"""Residual over which matches may agree by chance."""
_MAX_SCALE = 20.0
"""Factor by which one image may be larger than the other."""
_ASKEW_DEGREES = 5.0
"""Turn from which flat corners may come from it. Shots that only overlap, a panorama's say, are level."""
_CORNER_LEVELS = 6
"""Grey levels that a flat corner may be off its outermost pixel: room for JPEG ringing."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Result of registering `left` on `right`."""

    left: LocalFeatures
    """The first image, mirrored where that fits."""
    right: LocalFeatures
    matrix: Matrix
    """Maps pixels of `left` to pixels of `right`: affine, 2 x 3, or projective, 3 x 3."""
    inliers: int
    """Matches, or tracked corners, that agree with the map."""
    residual_px: float
    """Their median distance from their place, in pixels of the coarser image."""

    @property
    def scale(self) -> float:
        """Factor by which the map enlarges."""
        return scale_at_centre(self.matrix, self.left.pixels.shape)

    @property
    def anisotropy(self) -> float:
        """Ratio of the two axes' stretch in the middle: 1 for a similarity."""
        centre = corners_of(self.left.pixels.shape).mean(axis=0)
        stretch = np.linalg.svd(local_map(self.matrix, centre), compute_uv=False)
        return float(stretch[0] / max(1e-9, stretch[1]))

    @property
    def corner_error(self) -> float:
        """Distance of the mapped corners of `left` from the corners of `right`, the largest, in sides of `right`."""
        to_height, to_width = self.right.pixels.shape
        mapped = project(self.matrix, corners_of(self.left.pixels.shape)) / (to_width, to_height)
        targets = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        return float(np.abs(mapped[:, None] - targets).max(axis=2).min(axis=1).max())

    @property
    def turn_degrees(self) -> float:
        """Angle by which the map turns from the nearest quarter turn, 0 to 45."""
        turn = local_map(self.matrix, corners_of(self.left.pixels.shape).mean(axis=0))
        angle = np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) % 90
        return float(min(angle, 90 - angle))

    @property
    def foreshortening(self) -> float:
        """How many times larger the map makes one corner than another, in length: 1 for an affine map."""
        return foreshortening(self.matrix, self.left.pixels.shape)

    @property
    def overlap(self) -> float:
        """Share of the smaller frame that both images show, 0 to 1. Of an image that was turned askew in its frame, the
        flat corners do not count."""
        left, right = self.left.pixels, self.right.pixels
        if self.turn_degrees < _ASKEW_DEGREES:
            return overlap_share(self.matrix, left.shape, right.shape)
        return overlap_share(self.matrix, left.shape, right.shape, flat_corners(left), flat_corners(right))


def align(left: LocalFeatures, right: LocalFeatures) -> Alignment | None:
    """Find the best map of `left`, or of its mirror image, onto `right`; None where too few points agree."""
    found = _align_points(left, right)
    if found is None or found.inliers < _SAFE or found.residual_px > _VAGUE_PX:
        laid = _lay_frames(left, right)
        found = laid if laid is not None and (found is None or laid.inliers > found.inliers) else found
    return None if found is None else _polish(found)


def _align_points(left: LocalFeatures, right: LocalFeatures) -> Alignment | None:
    found = _align_either(_strongest(left), _strongest(right))
    if found is not None and found.inliers >= _SAFE:
        return found
    if found is None and not (_is_flat(left) and _is_flat(right)):
        return None
    every = _align_either(left, right)
    return found if every is None or (found is not None and found.inliers >= every.inliers) else every


def _lay_frames(left: LocalFeatures, right: LocalFeatures) -> Alignment | None:
    """Lay the whole of `left`, as it is or mirrored, on the whole of `right`; None where they do not look alike."""
    laid = lay_frames(left.pixels, right.pixels)
    if laid is None:
        return None
    is_mirrored, fitted = laid
    source = mirrored(left) if is_mirrored else left
    return Alignment(source, right, fitted.matrix, fitted.agreeing, fitted.residual_px)


def _polish(found: Alignment) -> Alignment:
    """Refine a map through tracked corners, where these agree on one."""
    coarse_first = found.scale > 1
    left, right = found.left.pixels, found.right.pixels
    guess = as_projective(found.matrix)
    fitted = fit_map(right, left, inverse(guess)) if coarse_first else fit_map(left, right, guess)
    if fitted is None:
        return found
    matrix = inverse(fitted.matrix) if coarse_first else fitted.matrix
    return replace(found, matrix=matrix, inliers=max(found.inliers, fitted.agreeing), residual_px=fitted.residual_px)


def match_points(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Match descriptors that are each other's nearest, and clearly nearer than the next: index pairs `int64[M, 2]`."""
    if min(len(left), len(right)) < 2:
        return np.zeros((0, 2), np.int64)
    likeness = _unit(left) @ _unit(right).T
    rows = np.arange(len(left))
    best = likeness.argmax(axis=1)
    first = likeness[rows, best]
    is_mutual = likeness.argmax(axis=0)[best] == rows
    likeness[rows, best] = -1.0
    second = likeness.max(axis=1)
    # On the unit sphere the squared distance is 2 - 2 cos. Equal descriptors differ by rounding, never clearly.
    is_clear = np.maximum(1.0 - first, 1e-5) < _RATIO**2 * np.maximum(1.0 - second, 1e-5)
    chosen = is_mutual & is_clear
    return np.stack([rows[chosen], best[chosen]], axis=1)


def flat_corners(pixels: Gray) -> float:
    """Measure the share of an image that its four corners hold in their own, even grey, as a turn leaves them."""
    levels = pixels.copy()
    mask = np.zeros((pixels.shape[0] + 2, pixels.shape[1] + 2), np.uint8)
    bottom, right = pixels.shape[0] - 1, pixels.shape[1] - 1
    for corner in ((0, 0), (right, 0), (right, bottom), (0, bottom)):
        if not mask[corner[1] + 1, corner[0] + 1]:
            flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
            cv2.floodFill(levels, mask, corner, 0, _CORNER_LEVELS, _CORNER_LEVELS, flags)
    return float(mask[1:-1, 1:-1].mean())


def overlap_share(
    matrix: Matrix,
    left: tuple[int, ...],
    right: tuple[int, ...],
    left_empty: float = 0.0,
    right_empty: float = 0.0,
) -> float:
    """Measure the share of the smaller of two frames (height, width) that lies in the other, left mapped onto right.

    `left_empty` and `right_empty`: shares of the frames that do not count.
    """
    mapped = project(matrix, corners_of(left))
    common = _area(_clip_to_frame(mapped, right))
    smaller = min(_area(mapped) * (1 - left_empty), right[0] * right[1] * (1 - right_empty))
    return float(common / max(1e-9, smaller))


def _strongest(features: LocalFeatures) -> LocalFeatures:
    """Keep the strongest points, which are stored first."""
    first = slice(_STRONGEST)
    return replace(
        features, points=features.points[first], sizes=features.sizes[first], descriptors=features.descriptors[first]
    )


def _is_flat(features: LocalFeatures) -> bool:
    """Tell whether a few neighbouring grey levels cover much of the image."""
    levels = np.bincount(features.pixels.ravel(), minlength=256)
    bands = np.convolve(levels, np.ones(_FLAT_BAND), mode="same")
    return bool(bands.max() >= _FLAT_SHARE * features.pixels.size)


def _align_either(left: LocalFeatures, right: LocalFeatures) -> Alignment | None:
    """Register `left` as it is or mirrored, whichever gives more agreeing matches."""
    straight = _align_one(left, right)
    if straight is not None and straight.inliers >= _ENOUGH:
        return straight
    turned = _align_one(mirrored(left), right)
    if straight is None or (turned is not None and turned.inliers > straight.inliers):
        return turned
    return straight


def _align_one(left: LocalFeatures, right: LocalFeatures) -> Alignment | None:
    pairs = match_points(left.descriptors, right.descriptors)
    if len(pairs) < _MIN_MATCHES:
        return None
    source, target = left.points[pairs[:, 0]], right.points[pairs[:, 1]]
    # OpenCV seeds this search anew in each call, so it answers the same each time.
    matrix, _ = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_REACH_PX, maxIters=2000, confidence=0.999
    )
    if matrix is None or not 1 / _MAX_SCALE < _scale(matrix) < _MAX_SCALE:
        return None
    matrix, distance, agrees = _refine(matrix, source, target)
    inliers = int(agrees.sum())
    if inliers < _MIN_MATCHES:
        return None
    residual_px = float(np.median(distance[agrees])) / max(1.0, _scale(matrix))
    return Alignment(left, right, matrix, inliers, residual_px)


def _refine(matrix: Matrix, source: Vectors, target: Vectors) -> tuple[Matrix, Vectors, NDArray[np.bool_]]:
    """Fit a least-squares affine map through the agreeing matches, twice; keep the similarity where these are too
    few."""
    reach = _REACH_PX * max(1.0, _scale(matrix))
    distance = _distance(matrix, source, target)
    agrees = distance < reach
    for _ in range(2):
        if agrees.sum() < _MIN_REFINED:
            break
        known = np.hstack([source[agrees], np.ones((int(agrees.sum()), 1))])
        refined = np.linalg.lstsq(known, target[agrees].astype(np.float64), rcond=None)[0].T
        refined_distance = _distance(refined, source, target)
        refined_agrees = refined_distance < reach
        if refined_agrees.sum() < 0.9 * agrees.sum():
            break
        matrix, distance, agrees = refined, refined_distance, refined_agrees
    return matrix, distance, agrees


def _scale(matrix: Matrix) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _distance(matrix: Matrix, source: Vectors, target: Vectors) -> Vectors:
    distance: Vectors = np.linalg.norm(source @ matrix[:, :2].T + matrix[:, 2] - target, axis=1).astype(np.float32)
    return distance


def _unit(descriptors: NDArray[np.uint8]) -> Vectors:
    vectors = descriptors.astype(np.float32)
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit


def _area(polygon: NDArray[np.float64]) -> float:
    """Compute the area of a polygon (shoelace formula)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2) if len(polygon) > 2 else 0.0


def _clip_to_frame(polygon: NDArray[np.float64], frame: tuple[int, ...]) -> NDArray[np.float64]:
    """Clip a convex polygon to `(0, 0, width, height)`: Sutherland and Hodgman 1974.

    Not `cv2.intersectConvexConvex`, which returns half of the area for identical frames.
    """
    height, width = frame
    corners = [tuple(corner) for corner in polygon]
    for axis, limit, sign in ((0, 0.0, 1.0), (0, float(width), -1.0), (1, 0.0, 1.0), (1, float(height), -1.0)):
        kept = []
        for last, corner in zip([corners[-1], *corners[:-1]], corners, strict=True):
            from_last, from_corner = sign * (last[axis] - limit), sign * (corner[axis] - limit)
            if (from_last >= 0) != (from_corner >= 0):
                part = from_last / (from_last - from_corner)
                kept.append((last[0] + part * (corner[0] - last[0]), last[1] + part * (corner[1] - last[1])))
            if from_corner >= 0:
                kept.append(corner)
        corners = kept
        if not corners:
            break
    return np.array(corners, np.float64).reshape(-1, 2)
