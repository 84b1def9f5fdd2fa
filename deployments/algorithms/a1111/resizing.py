"""Resizing of images and ControlNet hints into a frame of another shape, as the Stable Diffusion web UI does it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ResizeMode

Pixels = NDArray[np.uint8]
"""`uint8[H, W, 3]` or `uint8[H, W]`."""

_FEW_COLOURS = 200
"""Colours under which a map is a segmentation: mixing them would invent classes."""


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


def fit_hint(hint: Image, size: tuple[int, int], mode: ResizeMode) -> Image:
    """Fit a preprocessor's map to `size`, its kind kept: flat colours stay flat, black and white stay so.

    With "fill" the rim gets the median colour of the map's border.
    """
    if (hint.shape[1], hint.shape[0]) == size:
        return hint
    if mode == "stretch":
        return _resize_map(hint, size)
    scaled = _resize_map(hint, scaled_size((hint.shape[1], hint.shape[0]), size, cover=mode == "crop"))
    if mode == "crop":
        return _middle(scaled, size)
    border = np.concatenate([hint[0], hint[-1], hint[:, 0], hint[:, -1]])
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = np.median(border, axis=0).astype(np.uint8)
    top, _, left, _ = _margins(scaled, size)
    canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return canvas


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


def _resize_map(hint: Image, size: tuple[int, int]) -> Image:
    if (hint.shape[1], hint.shape[0]) == size:
        return hint
    colours = np.unique(hint.reshape(-1, 3), axis=0)
    is_binary = len(colours) == 2 and colours.min() < 16 and colours.max() > 240
    shrinks = size[0] * size[1] < hint.shape[0] * hint.shape[1]
    if 2 < len(colours) < _FEW_COLOURS:
        way = cv2.INTER_NEAREST
    else:
        way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(hint, size, interpolation=way), np.uint8)
    if not is_binary:
        return resized
    grey = resized.max(axis=2)
    _, sharp = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if _is_thin(hint[..., 0] > 127):
        sharp = cv2.ximgproc.thinning(sharp)
    return np.repeat(np.asarray(sharp, np.uint8)[..., None], 3, axis=2)


def _is_thin(lines: NDArray[np.bool_]) -> bool:
    """Tell whether all strokes are one pixel wide, as an edge detector draws them: no 2 x 2 block is full."""
    full = lines[:-1, :-1] & lines[1:, :-1] & lines[:-1, 1:] & lines[1:, 1:]
    return bool(lines.any() and full.sum() < 0.05 * lines.sum())
