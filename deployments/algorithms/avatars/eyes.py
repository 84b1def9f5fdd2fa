"""The person's eyes in the animal's head: openings along the lids, the eyes behind them, dark rims around."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from configs.animals.drawing import Eyes
from deployments.algorithms.avatars.head_space import HeadPose
from deployments.algorithms.avatars.light import Light
from deployments.algorithms.avatars.planes import Floats, Window
from deployments.contracts import Image
from deployments.portraits import SegmentedFace

_REACH = 0.75
_NARROWEST = 0.12
"""Width of an eye, in units, under which it is turned away."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One eye in its window of the picture."""

    rows: slice
    columns: slice
    eye: Floats
    """`float32[h, w, 3]`, 0 to 255: the photograph's eye, perhaps enlarged."""
    seen: Floats
    """`float32[h, w]`, 0 to 1: where it is seen."""
    rim: Floats
    """The same of the rim, around and under it."""


def see_through(
    picture: Floats, photograph: Image, face: SegmentedFace, pose: HeadPose, look: Eyes, light: Light, window: Window
) -> None:
    """Opens the eyes in `picture`, `float32[h, w, 3]`, 0 to 255: what is drawn in the window."""
    rim = np.array([int(look.rim[i : i + 2], 16) for i in (1, 3, 5)], np.float32) * light.exposure
    rim = rim + light.black * 255 * 0.5
    top, left = window.rows.start, window.columns.start
    for opening in open_eyes(photograph, face, pose, look):
        rows = slice(max(opening.rows.start, top), min(opening.rows.stop, window.rows.stop))
        columns = slice(max(opening.columns.start, left), min(opening.columns.stop, window.columns.stop))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        own = (
            slice(rows.start - opening.rows.start, rows.stop - opening.rows.start),
            slice(columns.start - opening.columns.start, columns.stop - opening.columns.start),
        )
        target = picture[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        around, seen = opening.rim[own][..., None], opening.seen[own][..., None]
        target += (rim - target) * around
        target += (opening.eye[own] - target) * seen


def open_eyes(photograph: Image, face: SegmentedFace, pose: HeadPose, look: Eyes) -> list[Opening]:
    openings = []
    for side in ("left", "right"):
        centre, shape = _lids(face, side, pose)
        if np.hypot(*(shape[0] - shape[len(shape) // 2])) < _NARROWEST * pose.unit_px:
            continue
        opening = _open(photograph, centre, (shape - centre) * look.enlarge + centre, pose, look)
        if opening is not None:
            openings.append(opening)
    return openings


def _lids(face: SegmentedFace, side: str, pose: HeadPose) -> tuple[Floats, Floats]:
    """Middle of the eye and the polygon along its lids, from corner to corner and back."""
    known = face.landmarks
    names = [f"{side}_eye_{end}" for end in ("outer", "top", "inner", "bottom")]
    unit = pose.unit_px
    down = np.array([-np.sin(pose.roll), np.cos(pose.roll)])
    if all(name in known for name in names):
        outer, top, inner, bottom = (np.array(known[name]) for name in names)
        centre = (outer + inner) / 2
        height = float((bottom - top) @ down)
        # Closed or squinting eyes still get a slit that can be seen.
        spare = max(0.0, 0.1 * unit - height) / 2
        top, bottom = top - down * spare, bottom + down * spare
    else:
        centre = np.array(known[f"{side}_eye"])
        along = np.array([down[1], -down[0]]) * (0.24 * unit * np.cos(pose.yaw) * (-1 if side == "left" else 1))
        outer, inner = centre + along, centre - along
        top, bottom = centre - down * 0.095 * unit, centre + down * 0.085 * unit
    t = np.linspace(0, 1, 9)[:, None]

    def bow(a: Floats, through: Floats, b: Floats) -> Floats:
        steer = 2 * through - (a + b) / 2
        return np.asarray((1 - t) ** 2 * a + 2 * t * (1 - t) * steer + t**2 * b, np.float32)

    shape = np.concatenate([bow(outer, top, inner)[:-1], bow(inner, bottom, outer)[:-1]])
    middle = (centre + (top + bottom) / 2) / 2
    return np.asarray(middle, np.float32), np.asarray(shape, np.float32)


def _open(photograph: Image, centre: Floats, shape: Floats, pose: HeadPose, look: Eyes) -> Opening | None:
    height, width = photograph.shape[:2]
    unit, reach = pose.unit_px, _REACH * pose.unit_px * look.enlarge
    down = np.array([-np.sin(pose.roll), np.cos(pose.roll)])
    left, top = np.maximum(np.floor(centre - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(centre + reach), (width, height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return None
    # A distance needs pixels: small eyes are measured on a finer grid.
    finer = float(np.clip(200 / (2 * reach), 1, 8))
    size = (round((right - left) * finer), round((bottom - top) * finer))
    inside = np.zeros(size[::-1], np.uint8)
    points = np.round((shape - (left, top)) * finer * 16).astype(np.int32)
    cv2.fillPoly(inside, [points], 255, cv2.LINE_8, 4)
    per_unit = 1 / (finer * unit)
    out = cv2.distanceTransform(255 - inside, cv2.DIST_L2, 5) * per_unit
    within = cv2.distanceTransform(inside, cv2.DIST_L2, 5) * per_unit
    # Steps of whole pixels would show.
    edge = cv2.GaussianBlur(out - within, (0, 0), 1.5)
    soft = max(0.05, 1.2 / unit)
    seen = _falling(edge, look.lid - soft / 2, soft)
    corners = _stretched(shape, 1 + 0.9 * look.rim_width) - down * (0.3 * look.rim_width * unit)
    cv2.fillPoly(inside, [np.round((corners - (left, top)) * finer * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    around = cv2.distanceTransform(255 - inside, cv2.DIST_L2, 5) * per_unit
    beyond = np.maximum(around - 0.35 * look.rim_width, 0) / max(0.75 * look.rim_width, soft)
    rim = np.exp(-(np.minimum(beyond, 9) ** 2)) * look.rim_opacity
    shade = 0.62 + 0.38 * np.clip((within + 0.02) / 0.07, 0, 1)
    maps = [
        cv2.resize(plane, (right - left, bottom - top), interpolation=cv2.INTER_AREA) for plane in (seen, rim, shade)
    ]
    xs, ys = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    xs, ys = (xs - centre[0]) / look.enlarge + centre[0], (ys - centre[1]) / look.enlarge + centre[1]
    eye = cv2.remap(
        photograph, xs.astype(np.float32), ys.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    eye = eye.astype(np.float32)
    if look.enlarge > 1:
        eye = np.clip(eye * 1.12 - 4, 0, 255) * maps[2][..., None]
    return Opening(slice(top, bottom), slice(left, right), eye.astype(np.float32), maps[0], maps[1])


def _stretched(shape: Floats, factor: float) -> Floats:
    """Longer from corner to corner only."""
    half = len(shape) // 2
    centre, along = (shape[0] + shape[half]) / 2, shape[0] - shape[half]
    along = along / max(float(np.hypot(*along)), 1e-6)
    off = shape - centre
    return np.asarray(centre + off + np.outer(off @ along, along) * (factor - 1), np.float32)


def _falling(distance: Floats, until: float, soft: float) -> Floats:
    """1 below `until`, 0 from `soft` beyond."""
    share = np.clip((until + soft - distance) / soft, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
