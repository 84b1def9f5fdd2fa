"""Image planes `float32[H, W]`, 0 to 1, and the window of the image that a head is drawn in."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deployments.contracts.arrays import Floats

PlaneSlices = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class PlaneWindow:
    """Part of the image that a head may change."""

    rows: slice
    columns: slice
    x: Floats
    y: Floats
    """`x` and `y`: turned head space at every pixel."""

    @property
    def area(self) -> PlaneSlices:
        """Rows and columns, for indexing."""
        return self.rows, self.columns


def blurred(plane: Floats, sigma: float) -> Floats:
    """Blur by a Gaussian; wide ones on a smaller copy."""
    if sigma < 0.3:
        return plane
    if sigma <= 4:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    factor = 3 / sigma
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 3, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, plane.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
