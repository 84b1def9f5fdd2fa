"""SVG rasterisation into head space."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
import resvg_py
from numpy.typing import NDArray

from deployments.algorithms.avatars.infill import fill_in
from deployments.contracts.arrays import Floats

Rgba = NDArray[np.uint8]
"""`uint8[H, W, 4]`, straight alpha."""

_VIEW_BOX = re.compile(r'<svg[^>]*\sviewBox="([^"]+)"')
_MAX_SIDE = 12.0
"""Largest side of a view box, units."""


@dataclass(frozen=True, slots=True)
class ViewBox:
    """View box of an SVG, in head space."""

    x: float
    y: float
    width: float
    height: float

    def grid(self, px: float) -> tuple[Floats, Floats]:
        """Compute x and y, `float32[H, W]`, of the centres of pixels, `px` a unit."""
        columns, rows = round(self.width * px), round(self.height * px)
        xs = self.x + (np.arange(columns, dtype=np.float32) + 0.5) / px
        ys = self.y + (np.arange(rows, dtype=np.float32) + 0.5) / px
        x, y = np.meshgrid(xs, ys)
        return np.asarray(x, np.float32), np.asarray(y, np.float32)


def view_box(svg: str) -> ViewBox:
    """Read the view box of an SVG. Raises `ValueError` when there is none, or none of at most 12 units a side."""
    found = _VIEW_BOX.search(svg)
    numbers = [float(number) for number in found.group(1).replace(",", " ").split()] if found else []
    if len(numbers) != 4 or not (0 < numbers[2] <= _MAX_SIDE and 0 < numbers[3] <= _MAX_SIDE):
        raise ValueError('needs a viewBox="x y width height" in head units, at most 12 a side')
    return ViewBox(*numbers)


def rasterise(svg: str, px: float) -> Rgba:
    """Rasterise to `uint8[H, W, 4]`, straight alpha, `px` pixels a unit. Colours reach over the edges. Raises
    `ValueError`."""
    box = view_box(svg)
    columns = round(box.width * px)
    # Without a size of its own an SVG is taken for one of whole units, and drawn out of proportion.
    sized = svg.replace("<svg", f'<svg width="{box.width * 1000:g}" height="{box.height * 1000:g}"', 1)
    png = resvg_py.svg_to_bytes(svg_string=sized, width=columns, skip_system_fonts=True)
    decoded = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.ndim != 3 or decoded.shape[2] != 4:
        raise ValueError("does not render")
    rgba = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)
    size = (columns, round(box.height * px))
    if rgba.shape[1::-1] != size:
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    return _bled(rgba)


def _bled(rgba: Rgba) -> Rgba:
    """Give transparent pixels the colour of the nearest opaque ones, so that soft edges do not darken."""
    half = cv2.resize(rgba, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    near = fill_in(half[..., :3].astype(np.float32), (half[..., 3] > 40).astype(np.float32))
    near = cv2.resize(np.clip(near, 0, 255).astype(np.uint8), rgba.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.dstack([np.where(rgba[..., 3:] > 12, rgba[..., :3], near), rgba[..., 3]])
