"""The person's eyes in the animal's head: openings that follow the lids, the eyes behind them, rims around."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from deployments.algorithms.avatars.eyeballs import eyeball, in_light
from deployments.algorithms.avatars.eyelids import Lids
from deployments.algorithms.avatars.head_space import HeadPose
from deployments.algorithms.avatars.lighting import LUMA, Light
from deployments.algorithms.avatars.planes import PlaneWindow
from deployments.assets.animals.drawing import Eyes
from deployments.contracts.arrays import Floats, Image
from deployments.contracts.portraits import SegmentedFace

_NARROWEST = 0.12
"""Width of an eye, in units, under which it is turned away."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One eye in its window of the image."""

    rows: slice
    columns: slice
    eye: Floats
    """`float32[h, w, 3]`, 0 to 255: the photograph's eye, perhaps enlarged and opened."""
    edge: Floats
    """`float32[h, w]`: units beyond the lids, negative inside."""
    rim: Floats
    """`float32[h, w]`, 0 to 1: where the rim is, around and under the eye."""
    height: Floats
    """`float32[h, w]`: -1 at the upper lid to 1 at the lower."""


def see_through(
    picture: Floats,
    photograph: Image,
    face: SegmentedFace,
    pose: HeadPose,
    eyes: Eyes,
    light: Light,
    window: PlaneWindow,
) -> None:
    """Open the eyes in `picture`, `float32[h, w, 3]`, 0 to 255: what is drawn in the window."""
    top, left = window.rows.start, window.columns.start
    for opening in open_eyes(photograph, face, pose, eyes, light):
        rows = slice(max(opening.rows.start, top), min(opening.rows.stop, window.rows.stop))
        columns = slice(max(opening.columns.start, left), min(opening.columns.stop, window.columns.stop))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        own = (
            slice(rows.start - opening.rows.start, rows.stop - opening.rows.start),
            slice(columns.start - opening.columns.start, columns.stop - opening.columns.start),
        )
        target = picture[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        strands = _strands(target, pose.unit_px)
        edge = opening.edge[own]
        # Hairs stand before the rim, and those of the brow before the upper lid.
        over = 0.05 * eyes.open * strands * np.clip(-opening.height[own] * 1.5, 0, 1)
        soft = max(0.035, 1.1 / pose.unit_px)
        seen = _falling(edge + over, eyes.lid - soft / 2, soft)
        around = opening.rim[own] * (1 - 0.6 * eyes.open * np.clip(strands, 0, 1))
        target += (_rim_colour(target, edge, eyes, light) - target) * around[..., None]
        target += (opening.eye[own] - target) * seen[..., None]


def open_eyes(photograph: Image, face: SegmentedFace, pose: HeadPose, eyes: Eyes, light: Light) -> list[Opening]:
    """Prepare the openings of both eyes, without those turned away."""
    openings = []
    for side in ("left", "right"):
        lids = _lids(face, side, pose)
        if 2 * lids.half < _NARROWEST * pose.unit_px:
            continue
        opening = _open(photograph, lids, _opened(lids, eyes, side, pose), eyes, pose, light)
        if opening is not None:
            openings.append(opening)
    return openings


def _lids(face: SegmentedFace, side: str, pose: HeadPose) -> Lids:
    """Find the person's own lids; those of closed eyes are apart by as much as lashes are high."""
    known, unit = face.landmarks, pose.unit_px
    corners = ("outer", "inner") if side == "left" else ("inner", "outer")
    names = [f"{side}_eye_{end}" for end in (*corners, "top", "bottom")]
    upright = np.array([np.cos(pose.roll), np.sin(pose.roll)], np.float32)
    if not all(name in known for name in names):
        centre = np.array(known[f"{side}_eye"], np.float32)
        return Lids(centre, upright, 0.24 * unit * float(np.cos(pose.yaw)), 0.095 * unit, 0.085 * unit)
    first, second, top, bottom = (np.array(known[name], np.float32) for name in names)
    length = float(np.hypot(*(second - first)))
    along = (second - first) / length if length > 1e-3 else upright
    lids = Lids(np.asarray((first + second) / 2, np.float32), np.asarray(along, np.float32), length / 2, 0, 0)
    above, below = -float((top - lids.centre) @ lids.down), float((bottom - lids.centre) @ lids.down)
    spare = max(0.0, 0.08 * unit - above - below) / 2
    return Lids(lids.centre, lids.along, lids.half, above + spare, below + spare)


def _opened(lids: Lids, eyes: Eyes, side: str, pose: HeadPose) -> Lids:
    """Fit the lids to the animal: moved, larger, rounder, and squinting ones opened."""
    if not eyes.open:
        return replace(
            lids, half=lids.half * eyes.enlarge, above=lids.above * eyes.enlarge, below=lids.below * eyes.enlarge
        )
    height = lids.above + lids.below
    x, y = eyes.move
    x = x * float(np.cos(pose.yaw)) * (1 if side == "left" else -1)
    cos, sin = np.cos(pose.roll) * pose.unit_px, np.sin(pose.roll) * pose.unit_px
    middle = lids.centre + lids.down * ((lids.below - lids.above) / 2)
    centre = middle + np.array([x * cos - y * sin, x * sin + y * cos])
    half = lids.half * eyes.enlarge * (1 - 0.2 * eyes.open)
    # From the side an eye is narrow, not squinting.
    wanted = 2 * half * eyes.open / max(float(np.cos(pose.yaw)), 0.6)
    most = float(np.interp(height / pose.unit_px, [0.06, 0.12], [1.0, 1 + 1.6 * eyes.open]))
    tall = height * eyes.enlarge * float(np.clip(wanted / (height * eyes.enlarge), 1, most))
    upper = 0.5 + 0.08 * eyes.open
    centre = np.asarray(centre, np.float32)
    return Lids(centre, lids.along, half, tall * upper, tall * (1 - upper), 1 - 0.7 * eyes.open)


def _open(photograph: Image, own: Lids, made: Lids, eyes: Eyes, pose: HeadPose, light: Light) -> Opening | None:
    """Warp the person's eye into the animal's opening; None where it lies outside of the image."""
    height, width = photograph.shape[:2]
    unit = pose.unit_px
    reach = made.half + (0.12 + 3 * eyes.rim_width) * unit + 2
    left, top = np.maximum(np.floor(made.centre - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(made.centre + reach), (width, height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return None
    outer = replace(made, centre=made.centre - made.down * (0.35 * eyes.rim_width * unit), bow=(made.bow + 1) / 2)
    size = (int(right - left), int(bottom - top))
    edge = _beyond(made.polygon(), (left, top), size, reach) / unit
    around = _beyond(outer.polygon(1 + 1.6 * eyes.rim_width), (left, top), size, reach) / unit
    soft = max(0.7 * eyes.rim_width, 1.0 / unit)
    rim = np.exp(-((np.maximum(around - 0.3 * eyes.rim_width, 0) / soft) ** 2)) * eyes.rim_opacity
    xs, ys = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    along, down = made.local(xs, ys)
    share = np.clip(along / made.half, -1, 1)
    upper, lower = made.arcs(share)
    place = np.clip((down - upper) / np.maximum(lower - upper, 0.02 * unit), -0.15, 1.15)
    # Lashes and the rims of lids stay outside of eyes that are opened.
    inner = 1 - 0.14 * eyes.open
    # The iris is a little larger than the rest.
    nearer = 1 - eyes.open * (0.16 + 0.24 * (1 - share * share))
    own_along = along * (own.half / made.half) * nearer
    own_upper, own_lower = own.arcs(np.clip(own_along / own.half, -0.98, 0.98))
    own_down = own_upper + (0.5 + (place - 0.5) * inner) * (own_lower - own_upper)
    columns = own.centre[0] + own_along * own.along[0] + own_down * own.down[0]
    rows = own.centre[1] + own_along * own.along[1] + own_down * own.down[1]
    if not eyes.open:
        columns = (xs - made.centre[0]) / eyes.enlarge + own.centre[0]
        rows = (ys - made.centre[1]) / eyes.enlarge + own.centre[1]
    eye = cv2.remap(
        photograph,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    if eyes.open:
        eye = eyeball(eye, edge, place, xs, ys, made, light, eyes.rim)
    return Opening(
        slice(int(top), int(bottom)),
        slice(int(left), int(right)),
        eye,
        edge,
        rim,
        np.asarray(2 * place - 1, np.float32),
    )


def _rim_colour(picture: Floats, edge: Floats, eyes: Eyes, light: Light) -> Floats:
    """Compute the rim's colour `float32[3]`: the animal's, warmed by the coat around."""
    rim = in_light(eyes.rim, light)
    ring = (edge > 0.04) & (edge < 0.16)
    if eyes.open and ring.any():
        rim = 0.65 * rim + 0.35 * (0.3 * np.median(picture[ring], axis=0))
    return np.asarray(rim + light.black * 255 * 0.5, np.float32)


def _strands(picture: Floats, unit_px: float) -> Floats:
    """Find hairs that are lighter than those around them, -1 to 1."""
    luma = np.ascontiguousarray(picture @ LUMA)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), max(0.05 * unit_px, 0.8))
    return np.asarray(np.clip(fine / (1.5 * float(fine.std()) + 2), -1, 1), np.float32)


def _beyond(shape: Floats, corner: tuple[int, int], size: tuple[int, int], reach: float) -> Floats:
    """Measure the distance of each pixel from the polygon, negative inside: `float32[h, w]`, pixels."""
    # A distance needs pixels: small eyes are measured on a finer grid.
    finer = float(np.clip(200 / (2 * reach), 1, 8))
    inside = np.zeros((round(size[1] * finer), round(size[0] * finer)), np.uint8)
    cv2.fillPoly(inside, [np.round((shape - corner) * finer * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    away = cv2.distanceTransform(255 - inside, cv2.DIST_L2, 5) - cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    # Steps of whole pixels would show.
    away = cv2.GaussianBlur(away, (0, 0), 1.5) / finer
    return np.asarray(cv2.resize(away, size, interpolation=cv2.INTER_AREA), np.float32)


def _falling(distance: Floats, until: float, soft: float) -> Floats:
    """Fall smoothly from 1 below `until` to 0 at `soft` beyond."""
    share = np.clip((until + soft - distance) / soft, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
