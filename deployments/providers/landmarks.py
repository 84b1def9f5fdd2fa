"""Face shape from a vendor's named points: sides, pose and outline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from deployments.algorithms.faces.alignment import roll_of
from deployments.contracts.arrays import Vectors
from deployments.contracts.portraits import REQUIRED_LANDMARKS, Point, SegmentedFace
from deployments.providers.policy import malformed

EARS = ("left_ear", "right_ear")
"""Points where an ear meets the face. Vendors give these in place of the temples."""
_JAWS = ("left_jaw", "right_jaw")
_NEEDED = (*(name for name in REQUIRED_LANDMARKS if not name.endswith("temple")), *EARS, *_JAWS)

_FOREHEAD = 0.45
"""Forehead above the eyes, in heights from the eyes to the chin, where the vendor says nothing: what the local engine
sees of most faces from in front."""
_FOREHEAD_AT_LEAST, _FOREHEAD_AT_MOST = 0.35, 0.6
_FOREHEAD_CORNER = np.array([0.27, 0.82])
"""Point of the outline between temple and forehead, and between jaw and chin: shares of the way across and down (as the
local engine sees them, too)."""
_CHIN_CORNER = np.array([0.43, 0.68])
_PROFILE = 0.25
"""Distance of the eyes, in distances to the mouth, under which they say nothing of the roll."""
_SEEN = 0.05
"""Skin beside the corner of an eye or of the mouth, in the same measure."""
_OUTLINE_POINTS = 48


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face as a vendor describes it, in pixels and in our names and directions."""

    bbox: tuple[float, float, float, float]
    score: float
    points: Mapping[str, Point]
    """Points by name: our landmarks except the temples and the forehead, and `EARS`."""
    roll: float
    yaw: float
    pitch: float
    skin: Vectors | None = None
    """Polygon around the skin, whose upper edge is the end of the forehead, `float32[N, 2]`."""


def shape_face(found: FoundFace, vendor: str) -> SegmentedFace:
    """Complete a vendor's face: sides, roll, temples, forehead and outline.

    Raises `ProviderUnavailable` where a point is missing or no number.
    """
    turn = (found.score, found.roll, found.yaw, found.pitch)
    try:
        points = {name: np.asarray(point, np.float64) for name, point in found.points.items()}
        numbers = np.asarray([*found.bbox, *turn, *np.ravel(list(points.values()))], np.float64)
    except (ValueError, TypeError) as error:
        raise malformed(vendor) from error
    x1, y1, x2, y2 = found.bbox
    if not (points.keys() >= set(_NEEDED) and np.isfinite(numbers).all() and x1 < x2 and y1 < y2):
        raise malformed(vendor)
    down = (points["mouth_left"] + points["mouth_right"] - points["left_eye"] - points["right_eye"]) / 2
    across = points["right_eye"] - points["left_eye"]
    turned = np.radians(found.roll)
    if np.hypot(*across) > _PROFILE * np.hypot(*down):
        if across[0] * down[1] < across[1] * down[0]:  # the sides are those of the picture, which shows it overhead
            points = {_other_side(name): point for name, point in points.items()}
        turned = roll_of(np.stack([points["left_eye"], points["right_eye"]]))
    frame = _Frame(points["left_eye"] / 2 + points["right_eye"] / 2, float(turned))
    marks = {name: frame.inside(point) for name, point in points.items()}
    chin = float(marks["chin"][1])
    if chin <= 0:
        raise malformed(vendor)
    marks["forehead"] = np.array([0.0, -_forehead(frame, chin, found.skin)])
    for side, away in (("left", -1.0), ("right", 1.0)):
        ear, jaw = marks.pop(f"{side}_ear"), marks[f"{side}_jaw"]
        corner = marks.get(f"{side}_eye_outer", marks[f"{side}_eye"])
        marks[f"{side}_temple"] = np.array([_beyond(ear, corner, away * chin), 0.0])
        marks[f"{side}_jaw"] = np.array([_beyond(jaw, marks[f"mouth_{side}"], away * chin), jaw[1]])
    return SegmentedFace(
        bbox=found.bbox,
        score=float(np.clip(found.score, 0, 1)),
        landmarks={name: frame.point(mark) for name, mark in marks.items()},
        outline=np.array([frame.point(mark) for mark in _outline(marks)], np.float32),
        roll=float(np.degrees(turned)),
        yaw=found.yaw,
        pitch=found.pitch,
    )


class _Frame:
    """Coordinates of the upright face around the middle of its eyes: right and down, in pixels."""

    def __init__(self, origin: NDArray[np.float64], roll: float) -> None:
        self._origin = origin
        self._axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])

    def inside(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._axes @ (point - self._origin))

    def point(self, mark: NDArray[np.float64]) -> Point:
        x, y = mark @ self._axes + self._origin
        return float(x), float(y)


def _other_side(name: str) -> str:
    return name.replace("left", "right") if "left" in name else name.replace("right", "left")


def _beyond(edge: NDArray[np.float64], inner: NDArray[np.float64], away: float) -> float:
    """Compute how far out the face's edge is, negative to the left.

    It is where the vendor has it, but for a turned head, whose far side is hidden, not further in than what is still
    seen. `away`: the distance from the eyes to the chin, negative to the left.
    """
    outwards = np.sign(away)
    return float(outwards * max(outwards * edge[0], outwards * inner[0] + _SEEN * abs(away)))


def _forehead(frame: _Frame, chin: float, skin: Vectors | None) -> float:
    """Measure the forehead's height above the eyes: up to where a line upwards from between the eyes leaves the
    skin."""
    if skin is None or len(skin) < 3:
        return _FOREHEAD * chin
    polygon = np.asarray(skin, np.float32)
    heights = np.linspace(_FOREHEAD_AT_LEAST, _FOREHEAD_AT_MOST, 26) * chin
    on_skin = [
        height
        for height in heights
        if cv2.pointPolygonTest(polygon, frame.point(np.array([0.0, -height])), measureDist=False) >= 0
    ]
    return float(max(on_skin, default=heights[0]))


def _outline(marks: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Draw a smooth closed line around the face, and around the nose of one that shows its side."""
    forehead, chin = marks["forehead"], marks["chin"]
    knots = [
        forehead,
        _corner(marks["right_temple"], forehead, _FOREHEAD_CORNER),
        marks["right_temple"],
        marks["right_jaw"],
        _corner(marks["right_jaw"], chin, _CHIN_CORNER),
        chin,
        _corner(marks["left_jaw"], chin, _CHIN_CORNER),
        marks["left_jaw"],
        marks["left_temple"],
        _corner(marks["left_temple"], forehead, _FOREHEAD_CORNER),
        forehead,
    ]
    # By the root of the distances, a spline through points so unevenly spaced makes no loops.
    steps = np.sqrt(np.maximum(np.linalg.norm(np.diff(knots, axis=0), axis=1), 1e-3))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    spline = CubicSpline(along, knots, bc_type="periodic")
    line = spline(np.linspace(0, along[-1], _OUTLINE_POINTS, endpoint=False))
    return np.asarray(cv2.convexHull(np.array([*line, marks["nose_tip"]], np.float32))[:, 0], np.float64)


def _corner(side: NDArray[np.float64], end: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return side + (end - side) * shares
