"""Resizing of images and ControlNet hints into a frame of another shape, as the Stable Diffusion web UI does it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import ResizeMode

Pixels = NDArray[np.uint8]
"""`uint8[H, W, 3]` or `uint8[H, W]`."""

_FEW_COLOURS = 200
"""A map of fewer colours is a segmentation: mixing them would invent classes."""
_DARK, _BRIGHT = 16, 240
"""A map of two colours that lie beyond these is black and white."""
_MOST_SQUARES = 0.1
"""Share of a line drawing's pixels that may make squares of 2 x 2 where its lines are one pixel wide."""


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to `size` (width, height), whatever the aspect, by Lanczos."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.LANCZOS), np.uint8)


def fit(pixels: Pixels, size: tuple[int, int], mode: ResizeMode) -> Pixels:
    """Fit to `size`: stretched; covered and cropped in the middle; or contained, its outermost pixels drawn to the
    rim."""
    if mode == "stretch":
        return resize(pixels, size)
    scaled = resize(pixels, scaled_size((pixels.shape[1], pixels.shape[0]), size, cover=mode == "crop"))
    if mode == "crop":
        return _middle(scaled, size)
    top, bottom, left, right = _margins(scaled, size)
    return np.asarray(cv2.copyMakeBorder(scaled, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)


def fit_mask(mask: Gray, size: tuple[int, int], mode: ResizeMode) -> Gray:
    """Fit a mask to `size` as `fit` does its image; with "fill" the rim, which the image does not reach, is 255."""
    fitted = fit(np.repeat(mask[..., None], 3, axis=2), size, mode)[..., 0]
    if mode == "fill":
        left_out = np.full((size[1], size[0]), 255, np.uint8)
        wide, high = scaled_size((mask.shape[1], mask.shape[0]), size, cover=False)
        top, left = (size[1] - high) // 2, (size[0] - wide) // 2
        left_out[top : top + high, left : left + wide] = 0
        fitted = np.where(left_out > 0, left_out, fitted)
    return np.ascontiguousarray(fitted)


def fit_hint(hint: Image, size: tuple[int, int], mode: ResizeMode) -> Image:
    """Fit a preprocessor's map to `size`, its kind kept: flat colours stay flat, black and white stay so.

    With "fill" the rim gets the median colour of the map's border.
    """
    if (hint.shape[1], hint.shape[0]) == size:
        return hint
    if mode == "stretch":
        return resize_map(hint, size)
    scaled = resize_map(hint, scaled_size((hint.shape[1], hint.shape[0]), size, cover=mode == "crop"))
    if mode == "crop":
        return _middle(scaled, size)
    border = np.concatenate([hint[0], hint[-1], hint[:, 0], hint[:, -1]])
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = np.median(border, axis=0).astype(np.uint8)
    top, _, left, _ = _margins(scaled, size)
    canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return canvas


def resize_map(drawn: Image, size: tuple[int, int]) -> Image:
    """To `size` (width, height) without inventing colours: label maps keep theirs, two-valued maps stay so, and lines
    one pixel wide stay that thin."""
    height, width = drawn.shape[:2]
    if (width, height) == size:
        return drawn
    colours = _count_colours(drawn)
    if 2 < colours < _FEW_COLOURS:
        return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    shrinks = size[0] * size[1] < width * height
    out = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    if colours != 2 or drawn.min() >= _DARK or drawn.max() <= _BRIGHT:
        return np.asarray(out, np.uint8)
    grey = out.min(axis=2)
    _, binary = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if _is_thin(drawn.min(axis=2)):
        binary = cv2.ximgproc.thinning(binary)
    return np.repeat(np.asarray(binary, np.uint8)[..., None], 3, axis=2)


def scaled_size(size: tuple[int, int], frame: tuple[int, int], *, cover: bool) -> tuple[int, int]:
    """Scale `size` until it covers the frame, or else is contained in it: width and height."""
    ratios = (frame[0] / size[0], frame[1] / size[1])
    ratio = max(ratios) if cover else min(ratios)
    scaled = [max(1, round(side * ratio)) for side in size]
    bounded = [max(one, other) if cover else min(one, other) for one, other in zip(scaled, frame, strict=True)]
    return bounded[0], bounded[1]


def pixel_perfect_resolution(size: tuple[int, int], frame: tuple[int, int], mode: ResizeMode) -> int:
    """Compute the short side at which a preprocessor's pixels are those of the image to make."""
    ratios = (frame[0] / size[0], frame[1] / size[1])
    return round((min(ratios) if mode == "fill" else max(ratios)) * min(size))


def _middle(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    top, left = (pixels.shape[0] - size[1]) // 2, (pixels.shape[1] - size[0]) // 2
    return np.ascontiguousarray(pixels[top : top + size[1], left : left + size[0]])


def _margins(scaled: Pixels, size: tuple[int, int]) -> tuple[int, int, int, int]:
    across, down = size[0] - scaled.shape[1], size[1] - scaled.shape[0]
    return down // 2, down - down // 2, across // 2, across - across // 2


def _count_colours(image: Image) -> int:
    """By a table of all there can be: sorting the pixels takes seconds."""
    wide = image.astype(np.uint32)
    seen = np.zeros(2**24, np.bool_)
    seen[wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]] = True
    return int(np.count_nonzero(seen))


def _is_thin(lines: NDArray[np.uint8]) -> bool:
    """Whether they are one pixel wide: hardly any four of their pixels make a square."""
    squares = cv2.erode(lines, np.ones((2, 2), np.uint8))
    return bool(np.count_nonzero(squares) <= _MOST_SQUARES * np.count_nonzero(lines))
