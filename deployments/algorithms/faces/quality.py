"""Face quality: how fit a found face is for recognition, from its pixels and its landmarks.

Each part is a ramp from 0 (cannot be recognised) to 1 (no longer a hindrance), and the quality is their product, with
size and sharpness counted once: both say how much detail there is, and a small face is also an unsharp one once it is
enlarged. The ends of the ramps were set by degrading sharp faces step by step until dlib's network put them as far from
other images of the same person as strangers may be: faces 16 px wide, blurred by a Gaussian of 4 % of their width, or
smeared over 15 % of it are at the limit and get about 0.2 to 0.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deployments.algorithms.faces.alignment import five_points
from deployments.contracts.arrays import Floats, Image

SIZE_PX = (10.0, 40.0)
"""Width of the face's box, pixels. At 24 px every face was still nearest to the right person, at 20 px 93 %, at 13 px
67 %."""
SHARPNESS = (0.34, 0.5)
"""`sharpness` of the aligned face. Sharp faces have 0.55 to 0.7, those 16 px wide 0.42, the worst 0.35."""
TURN_DEG = (65.0, 30.0)
"""Angle between the face and the camera, degrees. Up to 30 no loss was seen; a profile shows another person's half."""
DISAGREEMENT = (0.22, 0.08)
"""Mean distance between the landmarks of two networks, as a share of the width across the eyes. 0.03 is usual and 0.1
the most on clear faces; upside-down faces, hidden faces and animals have more."""
VISIBLE = (0.5, 0.9)
"""Share of the landmarks that lie inside the image."""

_LEFT_SIDE, _RIGHT_SIDE = (454, 323, 361), (234, 93, 132)
_FOREHEAD, _CHIN = 10, 152
_NOSE_HEIGHT = 0.75
"""Height of the nose's tip over the eyes, in distances between them: the slope that the face mesh shows on real faces
(r = .99)."""
_FINE, _MIDDLE, _COARSE = 2.0, 4.0, 8.0
"""Standard deviations of the blurs that `sharpness` compares, pixels."""


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """Parts of a face's quality, each 0 to 1."""

    size: float
    sharpness: float
    pose: float
    visibility: float
    certainty: float
    """Confidence of the networks in the face and its parts. Drops when something hides it."""

    @property
    def value(self) -> float:
        """Quality as one number, 0 to 1: the product of the parts, size and sharpness counted once."""
        return min(self.size, self.sharpness) * self.pose * self.visibility * self.certainty


def judge_face(
    image: Image, chip: Image, box: Floats, landmarks: Floats, turn_deg: float, certainty: float
) -> FaceQuality:
    """Assess how fit a face is for recognition.

    `box` and `landmarks`, `float32[K, 2 or 3]`, are in pixels of `image`; `chip`, `uint8[150, 150, 3]`, is the face
    aligned to dlib's template at a padding of 0.15; `certainty` is 0 to 1.
    """
    return FaceQuality(
        size=_ramp(float((box[2:] - box[:2]).max()), SIZE_PX),
        sharpness=_ramp(sharpness(chip), SHARPNESS),
        pose=_ramp(turn_deg, TURN_DEG),
        visibility=_ramp(visible_share(landmarks, image), VISIBLE),
        certainty=certainty,
    )


def sharpness(chip: Image) -> float:
    """Compare structures of 2 to 4 px with those of 4 to 8 px in the aligned face, along its weaker axis.

    The ratio forgets contrast and light, and looks at structures too coarse for noise to pretend; the weaker axis shows
    motion blur. 0 to about 1; 0 where there is nothing to see.
    """
    margin = chip.shape[0] // 10
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)[margin:-margin, margin:-margin].astype(np.float32)

    def ratio(axis: int) -> float:
        fine, middle, coarse = (_blur_along(grey, sigma, axis) for sigma in (_FINE, _MIDDLE, _COARSE))
        rough = float((middle - coarse).std())
        return float((fine - middle).std()) / rough if rough > 0.5 else 0.0

    return min(ratio(0), ratio(1))


def turn_degrees(mesh: Floats) -> float:
    """Measure the angle between the face's direction and the camera's axis, 0 to 180; `mesh` is `float32[468, 3]`."""
    across = mesh[list(_LEFT_SIDE)].mean(axis=0) - mesh[list(_RIGHT_SIDE)].mean(axis=0)
    down = mesh[_CHIN] - mesh[_FOREHEAD]
    normal = np.cross(across, down)
    length = float(np.linalg.norm(normal))
    return float(np.degrees(np.arccos(np.clip(normal[2] / length, -1, 1)))) if length else 90.0


def turn_degrees_of_five(five: Floats) -> float:
    """Measure the sideways angle of a face to the camera from eyes, tip of the nose and mouth corners, `float32[5, 2]`.

    The tip leaves the middle of the eyes by its height over them times the tangent of the turn.
    """
    across = five[1] - five[0]
    width = float(np.linalg.norm(across))
    if not width:
        return 90.0
    aside = float((five[2] - (five[0] + five[1]) / 2) @ across) / width**2
    return float(np.degrees(np.arctan(abs(aside) / _NOSE_HEIGHT)))


def landmark_agreement(mesh: Floats, five: Floats) -> float:
    """Score how well two networks' landmarks agree, 0 to 1: `landmark_disagreement` on its ramp."""
    return _ramp(landmark_disagreement(mesh, five), DISAGREEMENT)


def landmark_disagreement(mesh: Floats, five: Floats) -> float:
    """Measure the mean distance of the mesh's eyes, nose and mouth from `float32[5, 2]`, in widths across the eyes."""
    width = float(np.linalg.norm(mesh[263, :2] - mesh[33, :2]))
    return float(np.linalg.norm(five_points(mesh) - five, axis=1).mean()) / max(width, 1e-6)


def visible_share(landmarks: Floats, image: Image) -> float:
    """Measure the share of the landmarks that lie inside the image."""
    height, width = image.shape[:2]
    x, y = landmarks[:, 0], landmarks[:, 1]
    return float(((x >= 0) & (x < width) & (y >= 0) & (y < height)).mean())


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """Scale to 0 at the first end and beyond, 1 at the second and beyond, a line between; the ends may be in either
    order."""
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1))


def _blur_along(grey: Floats, sigma: float, axis: int) -> Floats:
    kernel, still = cv2.getGaussianKernel(int(6 * sigma) | 1, sigma), np.ones((1, 1))
    across, along = (kernel, still) if axis == 1 else (still, kernel)
    return np.asarray(cv2.sepFilter2D(grey, cv2.CV_32F, across, along), np.float32)
