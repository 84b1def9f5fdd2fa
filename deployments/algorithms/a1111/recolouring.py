"""The light of an image under the colours of another, as sd-webui-controlnet ends pictures of its recolor units.

The extension converts in whole numbers, which moves saturated colours by up to 26 grey levels; here they stay.
"""

from __future__ import annotations

import cv2
import numpy as np

from deployments.contracts.arrays import Gray, Image

_MOST_LIGHTNESS = 100.0


def put_luminance(picture: Image, light: Gray) -> Image:
    """Replace a picture's lightness (L of Lab, 255 for white) by `light` of its size; hue and chroma stay.

    Of colours that do not exist in that light the nearest part is taken, as in the extension: white may get a tint.
    """
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab[..., 0] = light.astype(np.float32) * (_MOST_LIGHTNESS / 255)
    return np.asarray(np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255), np.uint8)


def put_intensity(picture: Image, light: Gray) -> Image:
    """Replace a picture's intensity (V of HSV) by `light` of its size; hue and saturation stay. Black has none of
    them, and becomes grey."""
    strongest = picture.max(axis=2, keepdims=True).astype(np.float32)
    shares = np.divide(picture, strongest, out=np.ones(picture.shape, np.float32), where=strongest > 0)
    return np.asarray(np.rint(shares * light[..., None]), np.uint8)
