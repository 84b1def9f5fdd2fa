"""The person's skin and hair for overlays: own skin, its shades, the mouth, strands of hair before ears."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.algorithms.avatars.head_space import HeadPose
from deployments.algorithms.avatars.lighting import LUMA, Light
from deployments.algorithms.avatars.planes import PlaneSlices, PlaneWindow, blurred
from deployments.contracts.arrays import Floats, Gray, Image
from deployments.contracts.portraits import SegmentedFace


def own_skin(face_mask: Gray, face: SegmentedFace, window: PlaneWindow, pose: HeadPose) -> Floats:
    """Mask the skin of this face, 0 to 1, none of another that is near."""
    own = np.zeros_like(face_mask)
    outline = np.round((face.outline - (window.columns.start, window.rows.start)) * 16).astype(np.int32)
    cv2.fillPoly(own, [outline], 255, cv2.LINE_AA, 4)
    reach = max(1, round(0.2 * pose.unit_px))
    own = cv2.dilate(own, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return blurred(np.minimum(own, face_mask).astype(np.float32) / 255, 0.05 * pose.unit_px)


def skin_visibility(photograph: Image, light: Light, window: PlaneWindow) -> Floats:
    """Mask where skin is visible: 0 where hair hangs over the forehead, darker than skin is in this light, else 1."""
    luma = photograph.astype(np.float32) @ LUMA / 255
    slope = light.slope[0] * np.clip(window.x, -1, 1) + light.slope[1] * (np.clip(window.y, -1, 1.7) - 0.5)
    ratio = (luma + 0.02) / (light.skin * np.exp(slope) + 0.02)
    skin = np.clip((ratio - 0.64) / 0.2, 0, 1)
    high = np.clip((-0.45 - window.y) / 0.15, 0, 1)
    return np.asarray(1 - high * (1 - skin), np.float32)


def shades_of_skin(photograph: Image, light: Light) -> Floats:
    """Extract shades and wrinkles of the photograph's face, 1 at its middle tone."""
    luma = photograph.astype(np.float32) @ LUMA / 255
    ratio = (luma + 0.03) / (light.skin + 0.03)
    soft = np.clip(ratio, 0.05, 3) ** np.float32(0.85)
    return np.asarray(np.where(soft > 1.15, 1.15 + 0.35 * np.tanh((soft - 1.15) / 0.35), soft), np.float32)


def lips(face: SegmentedFace, pose: HeadPose, window: PlaneWindow, part: PlaneSlices) -> Floats:
    """Mask the person's mouth, 0 to 1."""
    ends = [pose.locate(face.landmarks[name]) for name in ("mouth_left", "mouth_right")]
    middles = [pose.locate(face.landmarks[name]) for name in ("upper_lip", "lower_lip")]
    middle = [(ends[0][k] + ends[1][k] + middles[0][k] + middles[1][k]) / 4 for k in (0, 1)]
    wide = max(abs(float(ends[1][0] - ends[0][0])) / 2 * 1.05, 0.15)
    high = max(abs(float(middles[1][1] - middles[0][1])) / 2 * 1.25, 0.08)
    away = ((window.x[part] - middle[0]) / wide) ** 2 + ((window.y[part] - middle[1]) / high) ** 2
    return np.asarray(np.clip((1.25 - away) / 0.6, 0, 1), np.float32)


def hair_blend(photograph: Image, person_mask: Gray, x: Floats, y: Floats, root: tuple[float, float]) -> Floats:
    """Blend a part into the person's hair, 0 to 1.

    Lower down, the photograph's lighter strands of hair come before the part, then all of its hair; where there is no
    hair the part ends at its root.
    """
    luma = photograph.astype(np.float32) @ LUMA
    strands = luma - cv2.GaussianBlur(luma, (0, 0), 4)
    strands = np.clip(strands / (2 * float(strands.std()) + 1), -1, 1)
    above = np.clip((root[1] - y) / (root[1] - root[0]), 0, 1)
    share = np.clip(above * 1.6 - 0.3 - 0.45 * strands, 0, 1) * np.clip(above * 8, 0, 1)
    hidden = np.where(above >= 1, 0, 1 - share) * (person_mask.astype(np.float32) / 255)
    end = root[1] - 0.3 * np.clip(np.abs(x) - 1.1, 0, 1)
    return np.asarray((1 - hidden) * np.clip((end - y) / 0.12, 0, 1), np.float32)
