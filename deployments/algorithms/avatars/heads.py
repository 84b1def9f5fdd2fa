"""One face becomes an animal: painted layers, posed and lit, over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.animals.drawing import Drawing, Eyes
from deployments.algorithms.avatars.background import behind, hair_zone
from deployments.algorithms.avatars.eyes import open_eyes
from deployments.algorithms.avatars.head_space import HeadPose, pose_of, seat_of
from deployments.algorithms.avatars.light import LUMA, Light, light_over, lit
from deployments.algorithms.avatars.painting import PaintedLayer
from deployments.contracts import Gray, Image
from deployments.portraits import AvatarMode, SegmentedFace, Segmentation

Floats = NDArray[np.float32]

_MARGIN = 0.4
"""Units around the layers in which shadows run out."""


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of the picture that a head may change."""

    rows: slice
    columns: slice
    x: Floats
    y: Floats
    """Turned head space at every pixel."""


def draw_head(
    canvas: Image,
    photograph: Image,
    segmentation: Segmentation,
    face: SegmentedFace,
    layers: Sequence[PaintedLayer],
    drawing: Drawing,
    mode: AvatarMode,
    strength: float,
    seed: int,
) -> bool:
    """Changes `canvas`, `uint8[H, W, 3]`, in place; False when the head lies outside of the picture. Light, skin and eyes are those of `photograph`."""
    pose = pose_of(face)
    window = _window(layers, pose, photograph)
    if window is None or strength <= 0:
        return window is not None
    rng = np.random.default_rng(seed)
    light = light_over(photograph, segmentation.face_mask, pose)
    area = (window.rows, window.columns)
    before = canvas[area].astype(np.float32)
    base = before
    if mode == "character":
        base = _without_hair(before, segmentation.person_mask[area], window, pose, light, rng)
    drawn, cover, shade = _laid(photograph[area], segmentation, layers, window, pose, light, face, mode)
    made, cover = _printed(drawn, cover, light, rng)
    after = base * shade[..., None] * (1 - cover[..., None]) + made * 255
    eyes: Eyes = drawing.overlay if mode == "overlay" else drawing.character
    _see_through(after, photograph, face, pose, eyes, light, window)
    mixed = before + (after - before) * np.float32(strength)
    canvas[area] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    return True


def _window(layers: Sequence[PaintedLayer], pose: HeadPose, photograph: Image) -> _Window | None:
    height, width = photograph.shape[:2]
    corners_x, corners_y = [], []
    for painted in layers:
        box = painted.box
        for x in (box.x - _MARGIN, box.x + box.width + _MARGIN):
            for y in (box.y - _MARGIN, box.y + box.height + _MARGIN):
                across, down = pose.to_picture(np.float32(x), np.float32(y))
                corners_x.append(float(across))
                corners_y.append(float(down))
    left, right = max(0, int(min(corners_x))), min(width, int(max(corners_x)) + 1)
    top, bottom = max(0, int(min(corners_y))), min(height, int(max(corners_y)) + 1)
    if left >= right or top >= bottom:
        return None
    columns, rows = np.meshgrid(
        np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)
    )
    x, y = pose.from_picture(columns, rows)
    return _Window(slice(top, bottom), slice(left, right), x, y)


def _laid(
    photograph: Image,
    segmentation: Segmentation,
    layers: Sequence[PaintedLayer],
    window: _Window,
    pose: HeadPose,
    light: Light,
    face: SegmentedFace,
    mode: AvatarMode,
) -> tuple[Floats, Floats, Floats]:
    """Premultiplied colours `float32[h, w, 3]`, 0 to 1, how far they cover, and the shade on the photograph."""
    shape = window.x.shape
    drawn, cover, shade = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32)
    skin: Floats | None = None
    seat = seat_of(pose, segmentation.person_mask)
    area = (window.rows, window.columns)
    face_mask, person_mask = segmentation.face_mask[area], segmentation.person_mask[area]
    for painted in layers:
        layer = painted.layer
        part = _part(painted, window, pose)
        if part is None:
            continue
        x, y = window.x[part], window.y[part]
        if seated := layer.root is not None and mode == "overlay":
            x, y = seat.settle(x, y)
        x, y = pose.face_on(x, y, painted.depth, layer.follow)
        rgba = painted.rgba(x, y)
        alpha = rgba[..., 3].astype(np.float32) * np.float32(layer.opacity / 255)
        if not alpha.any():
            continue
        shine = layer.coat.shine if layer.coat else 0.0
        colours = rgba[..., :3].astype(np.float32) / 255
        if layer.tint:
            if skin is None:
                skin = _skin(photograph, light, pose)
            made = lit(colours, np.zeros((*x.shape, 2), np.float32), light, 0.0) * skin[part][..., None]
            alpha = alpha * _own_skin(face_mask, face, window, pose)[part] * (1 - 0.6 * _lips(face, pose, window, part))
        else:
            made = lit(colours, painted.normals(x, y), light, shine)
        if seated and layer.root is not None:
            alpha = alpha * _rooted(photograph[part], person_mask[part], y, layer.root)
        if layer.shadow:
            dark = 1 - layer.shadow * _shadow(alpha, pose, light)
            shade[part] *= dark
            drawn[part] *= dark[..., None]
        drawn[part] += (made - drawn[part]) * alpha[..., None]
        cover[part] += (1 - cover[part]) * alpha
    return drawn, cover, shade


def _part(painted: PaintedLayer, window: _Window, pose: HeadPose) -> tuple[slice, slice] | None:
    """Rows and columns of the window that the layer may reach."""
    box, near = painted.box, 0.5
    inside = (
        (window.x > box.x - near)
        & (window.x < box.x + box.width + near)
        & (window.y > box.y - near)
        & (window.y < box.y + box.height + near)
    )
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _shadow(alpha: Floats, pose: HeadPose, light: Light) -> Floats:
    """Of what lies above: soft, a little down and away from the light."""
    soft = _blurred(alpha, 0.12 * pose.unit_px)
    x, y = -0.12 * light.slope[0], 0.09
    cos, sin = np.cos(pose.roll) * pose.unit_px, np.sin(pose.roll) * pose.unit_px
    move = np.array([[1, 0, x * cos - y * sin], [0, 1, x * sin + y * cos]], np.float32)
    return np.asarray(cv2.warpAffine(soft, move, alpha.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)


def _skin(photograph: Image, light: Light, pose: HeadPose) -> Floats:
    """Shades and wrinkles of the photograph's face, 1 at its middle tone."""
    luma = photograph.astype(np.float32) @ LUMA / 255
    ratio = (luma + 0.03) / (light.skin + 0.03)
    soft = np.clip(ratio, 0.05, 3) ** np.float32(0.85)
    return np.asarray(np.where(soft > 1.15, 1.15 + 0.35 * np.tanh((soft - 1.15) / 0.35), soft), np.float32)


def _rooted(photograph: Image, person_mask: Gray, y: Floats, root: tuple[float, float]) -> Floats:
    """0 to 1: lower down, the photograph's lighter strands of hair come before the part, then all of its hair."""
    luma = photograph.astype(np.float32) @ LUMA
    strands = luma - cv2.GaussianBlur(luma, (0, 0), 4)
    strands = np.clip(strands / (2 * float(strands.std()) + 1), -1, 1)
    above = np.clip((root[1] - y) / (root[1] - root[0]), 0, 1)
    share = np.clip(above * 1.6 - 0.3 - 0.45 * strands, 0, 1) * np.clip(above * 8, 0, 1)
    hidden = np.where(above >= 1, 0, 1 - share) * (person_mask.astype(np.float32) / 255)
    return np.asarray(1 - hidden, np.float32)


def _own_skin(face_mask: Gray, face: SegmentedFace, window: _Window, pose: HeadPose) -> Floats:
    """0 to 1: the skin of this face, none of another that is near."""
    own = np.zeros_like(face_mask)
    outline = np.round((face.outline - (window.columns.start, window.rows.start)) * 16).astype(np.int32)
    cv2.fillPoly(own, [outline], 255, cv2.LINE_AA, 4)
    reach = max(1, round(0.2 * pose.unit_px))
    own = cv2.dilate(own, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return _blurred(np.minimum(own, face_mask).astype(np.float32) / 255, 0.05 * pose.unit_px)


def _lips(face: SegmentedFace, pose: HeadPose, window: _Window, part: tuple[slice, slice]) -> Floats:
    """0 to 1 around the person's mouth."""
    ends = [pose.from_picture(*(np.float32(v) for v in face.landmarks[name])) for name in ("mouth_left", "mouth_right")]
    lips = [pose.from_picture(*(np.float32(v) for v in face.landmarks[name])) for name in ("upper_lip", "lower_lip")]
    middle = [(ends[0][k] + ends[1][k] + lips[0][k] + lips[1][k]) / 4 for k in (0, 1)]
    wide = max(abs(float(ends[1][0] - ends[0][0])) / 2 * 1.05, 0.15)
    high = max(abs(float(lips[1][1] - lips[0][1])) / 2 * 1.25, 0.08)
    away = ((window.x[part] - middle[0]) / wide) ** 2 + ((window.y[part] - middle[1]) / high) ** 2
    return np.asarray(np.clip((1.25 - away) / 0.6, 0, 1), np.float32)


def _without_hair(
    picture: Floats, person: Gray, window: _Window, pose: HeadPose, light: Light, rng: np.random.Generator
) -> Floats:
    zone = hair_zone(window.x, window.y)
    if not (zone.any() and (person < 110).any()):
        return picture
    smaller = min(1.0, 300 / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * smaller)), max(1, round(picture.shape[0] * smaller)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(person, size, interpolation=cv2.INTER_AREA)
    filled = behind(small, mask, 0.1 * pose.unit_px * smaller)
    filled = cv2.resize(filled, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    filled += rng.normal(0, light.grain * 255, picture.shape[:2]).astype(np.float32)[..., None]
    grown = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(0.07 * pose.unit_px)) + 1,) * 2))
    share = np.clip((grown.astype(np.float32) - 110) / 60, 0, 1)
    gone = (zone * _blurred(share, 0.03 * pose.unit_px))[..., None]
    return np.asarray(picture * (1 - gone) + filled * gone, np.float32)


def _printed(drawn: Floats, cover: Floats, light: Light, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """As soft and as grainy as the photograph."""
    if light.blur_px > 0.5:
        drawn, cover = (cv2.GaussianBlur(plane, (0, 0), light.blur_px) for plane in (drawn, cover))
    noise = rng.standard_normal(cover.shape, np.float32) * np.float32(light.grain)
    return np.clip(drawn + (noise * cover)[..., None], 0, 1), cover


def _see_through(
    picture: Floats, photograph: Image, face: SegmentedFace, pose: HeadPose, look: Eyes, light: Light, window: _Window
) -> None:
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


def _blurred(plane: Floats, sigma: float) -> Floats:
    """Gaussian; wide ones on a smaller copy."""
    if sigma < 0.3:
        return plane
    if sigma <= 4:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    factor = 3 / sigma
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 3, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, plane.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
