"""Head space: face coordinates with origin between the eyes, their distance the unit, y down, depth to the viewer.

A point of the animal is turned by yaw and pitch, moved as far as the person's nose, mouth and chin lie from where they
are expected, then scaled and rolled into the image. Pixels need the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deployments.contracts.arrays import Floats, Gray
from deployments.contracts.portraits import Point, SegmentedFace

_TYPICAL = {
    "nose_tip": (0.62, 0.45),
    "upper_lip": (1.02, 0.22),
    "lower_lip": (1.24, 0.2),
    "chin": (1.72, 0.05),
}
"""y and depth of an average face that looks straight ahead with its mouth closed."""
_EYES_TO_MOUTH = 1.1
"""Eyes to mouth of an average face, in units."""
_MOST_YAW, _MOST_PITCH = np.radians(48), np.radians(28)
"""Largest yaw and pitch shown, radians. Farther round, what is painted from the front would tear."""
_MOST_STRETCH = 0.4
"""Units by which a landmark may be off its expected place."""
_SMALLEST_PX = 2.0
"""Least pixels a unit."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Position, size, turn and stretch of a head in the image."""

    origin: Point
    """Pixels of the image."""
    unit_px: float
    roll: float
    yaw: float
    pitch: float
    """Radians, as in `SegmentedFace`; yaw and pitch no more than can be shown."""
    knots: Floats
    """`float32[K, 3]`: y, and how far the face is off there in x and y."""

    def to_picture(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Convert turned head space, `(0, 0)` between the eyes, one unit = `unit_px`, to pixels of the image."""
        cos, sin = np.cos(self.roll) * self.unit_px, np.sin(self.roll) * self.unit_px
        return self.origin[0] + x * cos - y * sin, self.origin[1] + x * sin + y * cos

    def from_picture(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Convert pixels of the image to turned head space."""
        cos, sin = np.float32(np.cos(self.roll) / self.unit_px), np.float32(np.sin(self.roll) / self.unit_px)
        dx, dy = x - np.float32(self.origin[0]), y - np.float32(self.origin[1])
        return dx * cos + dy * sin, dy * cos - dx * sin

    def place(self, x: float, y: float) -> Point:
        """Convert one point as `to_picture` does."""
        across, down = self.to_picture(np.array([x], np.float32), np.array([y], np.float32))
        return float(across[0]), float(down[0])

    def locate(self, point: Point) -> Point:
        """Convert one point as `from_picture` does."""
        x, y = self.from_picture(np.array(point[:1], np.float32), np.array(point[1:], np.float32))
        return float(x[0]), float(y[0])

    def face_on(
        self,
        x: Floats,
        y: Floats,
        depth: Callable[[Floats, Floats], Floats],
        follow: float = 1.0,
        rigid_at: float | None = None,
    ) -> tuple[Floats, Floats]:
        """Find the place on the frontal drawing, `depth` high there, of a point of the turned head."""
        if rigid_at is None:
            off_x, off_y = self._off(y, self.knots[:, 0], follow)
        else:
            meant = self.knots[:, 0] - self.knots[:, 2]
            off_x, off_y = self._off(np.array(rigid_at, np.float32), meant, follow)
        left, top = (x - off_x) / np.float32(np.cos(self.yaw)), y - off_y
        aside, down = np.float32(np.tan(self.yaw)), np.float32(np.sin(self.pitch))
        z = depth(left, top)
        for _ in range(2):
            z = 0.35 * z + 0.65 * depth(left - aside * z, top - down * z)
        return left - aside * z, top - down * z

    def _off(self, y: Floats, at: Floats, follow: float) -> tuple[Floats, Floats]:
        """Interpolate how far the face is off at `y`."""
        off_x = np.asarray(np.interp(y, at, self.knots[:, 1] * follow), np.float32)
        return off_x, np.asarray(np.interp(y, at, self.knots[:, 2] * follow), np.float32)


def pose_of(face: SegmentedFace) -> HeadPose:
    """Estimate the pose of a head from the landmarks and angles of its face."""
    left, right = np.array(face.landmarks["left_eye"]), np.array(face.landmarks["right_eye"])
    roll, yaw = float(np.radians(face.roll)), float(np.radians(np.clip(face.yaw, -75, 75)))
    pitch = float(np.clip(np.radians(face.pitch), -_MOST_PITCH, _MOST_PITCH))
    mouth = (np.array(face.landmarks["mouth_left"]) + face.landmarks["mouth_right"]) / 2
    origin = (left + right) / 2
    # Seen from the side the eyes close up and the height of the face tells its size.
    trust = np.cos(yaw) ** 2
    across, down = np.hypot(*(right - left)) / np.cos(yaw), np.hypot(*(mouth - origin)) / _EYES_TO_MOUTH
    unit = max(float(trust * across + (1 - trust) * down), 0.7 * float(down), _SMALLEST_PX)
    shown_yaw = float(np.clip(yaw, -_MOST_YAW, _MOST_YAW))
    bare = HeadPose((float(origin[0]), float(origin[1])), unit, roll, shown_yaw, pitch, np.zeros((1, 3), np.float32))
    return HeadPose(bare.origin, unit, roll, shown_yaw, pitch, _knots(face, bare))


def _knots(face: SegmentedFace, bare: HeadPose) -> Floats:
    """Measure how far nose, mouth and chin lie from where an average face has them."""
    knots = [(-0.6, 0.0, 0.0), (0.0, 0.0, 0.0)]
    meant_before = 0.0
    for name, (y, z) in _TYPICAL.items():
        seen = bare.locate(face.landmarks[name])
        meant = z * np.sin(bare.yaw), y + z * np.sin(bare.pitch)
        off_x, off_y = (float(np.clip(a - b, -_MOST_STRETCH, _MOST_STRETCH)) for a, b in zip(seen, meant, strict=True))
        # Never so close to the one above that the drawing folds.
        at = max(meant[1] + off_y, knots[-1][0] + 0.35 * (meant[1] - meant_before))
        knots.append((at, off_x, at - meant[1]))
        meant_before = meant[1]
    return np.array(knots, np.float32)


@dataclass(frozen=True, slots=True)
class Seat:
    """Fit of an animal's ears on a person's hair."""

    rise: float
    """Units by which the hair reaches higher than usual."""
    spread: float
    """Width of the hair, 1 the usual."""
    shift: float = 0.0
    """Units by which its middle lies farther to the right than that of the ears does."""

    def place(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Map a point of the turned head to that of one with usual hair."""
        return (x - np.float32(self.shift)) / np.float32(self.spread), y + np.float32(self.rise)


_USUAL_TOP, _USUAL_HALF_WIDTH = -1.7, 1.4
"""Top and half width of usual hair, in units."""
_EAR_DEPTH = -0.3


def seat_of(pose: HeadPose, person_mask: Gray) -> Seat:
    """Fit ears to the outline of the hair; the usual where the image does not show it."""
    ys = np.linspace(-0.8, -2.6, 37, dtype=np.float32)
    top = _run_of(person_mask, pose, np.zeros(37, np.float32), ys)
    xs = np.linspace(0.2, 2.6, 49, dtype=np.float32)
    height = np.full(49, -0.75, np.float32)
    ends = [_run_of(person_mask, pose, side * xs, height) for side in (-1, 1)]
    rise = float(np.clip(0.6 * (_USUAL_TOP - ys[top]) - 0.1, -0.4, 0.25)) if top is not None else -0.1
    left, right = (float(xs[end]) if end is not None else None for end in ends)
    if left is None or right is None:
        half = min(left or _USUAL_HALF_WIDTH, right or _USUAL_HALF_WIDTH)
        return Seat(rise, float(np.clip(half / _USUAL_HALF_WIDTH, 0.7, 1.05)))
    # From the side there is more of the head behind the face than before it.
    middle = (right - left) / 2 - _EAR_DEPTH * np.sin(pose.yaw)
    most = 0.15 + 0.8 * abs(np.sin(pose.yaw))
    spread = (left + right) / 2 / (_USUAL_HALF_WIDTH * np.sqrt(np.cos(pose.yaw)))
    return Seat(rise, float(np.clip(spread, 0.7, 1.05)), float(np.clip(middle, -most, most)))


def _run_of(mask: Gray, pose: HeadPose, x: Floats, y: Floats) -> int | None:
    """Count the points in a row that are of the person; None when the run never ends inside of the image."""
    columns, rows = (np.round(values).astype(int) for values in pose.to_picture(x, y))
    inside = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
    of_person = np.array([not ok or mask[r, c] >= 128 for ok, r, c in zip(inside, rows, columns, strict=True)])
    if of_person.all():
        return None
    return int(of_person.argmin()) if inside[of_person.argmin()] else None
