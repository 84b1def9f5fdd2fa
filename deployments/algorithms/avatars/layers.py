"""Painted layers: the parts of an animal from the front, with colours, depth and surface normals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from deployments.algorithms.avatars.fur import grow, mottle
from deployments.algorithms.avatars.svg import Rgba, ViewBox, rasterise, view_box
from deployments.assets.animals.drawing import Dome, Layer
from deployments.contracts.arrays import Floats

SIZES_PX = (10, 16, 24, 36, 54, 80, 120, 180, 270, 400)
"""Pixels a unit in which parts are painted."""
_RELIEF_PX = 24.0
"""Pixels a unit of reliefs."""


@dataclass(frozen=True, slots=True)
class PaintedLayer:
    """A layer of the drawing, painted at one size."""

    layer: Layer
    box: ViewBox
    px: float
    colours: Rgba
    """`uint8[H, W, 4]`, straight alpha, `px` a unit."""
    relief: Floats
    """`float32[h, w, 3]`: depth and the x and y of the normal; 24 pixels a unit."""

    @property
    def size_bytes(self) -> int:
        """Memory of its arrays."""
        return self.colours.nbytes + self.relief.nbytes

    def depth(self, x: Floats, y: Floats) -> Floats:
        """Sample the depth at head coordinates, `float32[H, W]`."""
        return self._sample(np.ascontiguousarray(self.relief[..., 0]), x, y, _RELIEF_PX)

    def normals(self, x: Floats, y: Floats) -> Floats:
        """Sample x and y of the surface normal at head coordinates, `float32[H, W, 2]`."""
        return self._sample(np.ascontiguousarray(self.relief[..., 1:]), x, y, _RELIEF_PX)

    def rgba(self, x: Floats, y: Floats) -> Rgba:
        """Sample the colours at head coordinates, `uint8[H, W, 4]`, straight alpha; transparent outside of the box."""
        columns = (x - np.float32(self.box.x)) * np.float32(self.px) - np.float32(0.5)
        rows = (y - np.float32(self.box.y)) * np.float32(self.px) - np.float32(0.5)
        return np.asarray(cv2.remap(self.colours, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))

    def _sample(self, plane: Floats, x: Floats, y: Floats, px: float) -> Floats:
        columns = (x - np.float32(self.box.x)) * np.float32(px) - np.float32(0.5)
        rows = (y - np.float32(self.box.y)) * np.float32(px) - np.float32(0.5)
        sampled = cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled, np.float32)


def size_for(unit_px: float) -> int:
    """Choose the size of `SIZES_PX` to paint for a head of `unit_px` pixels a unit."""
    return next((size for size in SIZES_PX if size >= 0.95 * unit_px), SIZES_PX[-1])


def paint(layer: Layer, svg: str, px: int, seed: int = 0) -> PaintedLayer:
    """Rasterise a layer's SVG at `px` pixels a unit and grow its coat. Raises `ValueError` for an SVG that cannot be
    drawn."""
    box = view_box(svg)
    colours = rasterise(svg, px)
    if layer.coat is not None:
        cover = mottle if layer.coat.kind == "skin" else partial(grow, box=box)
        colours = cover(colours, layer.coat, px=px, seed=seed)
    return PaintedLayer(layer, box, px, colours, relief_of(layer, box))


def relief_of(layer: Layer, box: ViewBox) -> Floats:
    """Compute depth and normals of a layer. Depths are those from the eyes: a head's dome leaves them where the
    person's are."""
    x, y = box.grid(_RELIEF_PX)
    depth = np.full(x.shape, layer.depth, np.float32)
    eye_x, eye_y = np.array([-0.5], np.float32), np.zeros(1, np.float32)
    for dome in layer.domes:
        for side in (1, -1) if dome.at[0] else (1,):
            depth += _dome(dome, x * side, y)
            depth -= _dome(dome, eye_x * side, eye_y)
    depth = cv2.GaussianBlur(depth, (0, 0), 0.06 * _RELIEF_PX, borderType=cv2.BORDER_REPLICATE)
    slope_x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, scale=_RELIEF_PX / 8)
    slope_y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, scale=_RELIEF_PX / 8)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    return np.dstack([depth, -slope_x / length, -slope_y / length]).astype(np.float32)


def _dome(dome: Dome, x: Floats, y: Floats) -> Floats:
    away = ((x - dome.at[0]) / dome.radius[0]) ** 2 + ((y - dome.at[1]) / dome.radius[1]) ** 2
    return np.asarray(dome.height * np.maximum(1 - away, 0) ** 1.3, np.float32)
