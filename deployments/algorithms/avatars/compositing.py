"""Compositing of an animal over one face: painted layers, posed and shaded, over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deployments.algorithms.avatars.eyes import see_through
from deployments.algorithms.avatars.head_space import HeadPose, pose_of, seat_of
from deployments.algorithms.avatars.infill import without_hair
from deployments.algorithms.avatars.layers import PaintedLayer
from deployments.algorithms.avatars.lighting import Light, light_over, shade
from deployments.algorithms.avatars.planes import PlaneSlices, PlaneWindow, blurred
from deployments.algorithms.avatars.skin import hair_blend, lips, own_skin, shades_of_skin, skin_visibility
from deployments.algorithms.avatars.svg import ViewBox
from deployments.algorithms.avatars.variation import Variation
from deployments.assets.animals.drawing import Drawing, Eyes
from deployments.contracts.arrays import Floats, Gray, Image
from deployments.contracts.portraits import AvatarMode, Point, Segmentation, SegmentedFace

_MARGIN = 0.4
"""Units around the layers in which shadows run out."""


@dataclass(frozen=True, slots=True)
class PortraitCanvas:
    """An image that is drawn on, in place."""

    picture: Image
    heads: Gray
    """`uint8[H, W]`: coverage of the heads drawn so far, 255 for all of it."""

    @classmethod
    def of(cls, photograph: Image) -> PortraitCanvas:
        """Start a canvas on a copy of the photograph."""
        return cls(photograph.copy(), np.zeros(photograph.shape[:2], np.uint8))


def draw_head(
    canvas: PortraitCanvas,
    photograph: Image,
    segmentation: Segmentation,
    face: SegmentedFace,
    layers: Sequence[PaintedLayer],
    drawing: Drawing,
    mode: AvatarMode,
    strength: float,
    seed: int,
) -> bool:
    """Draw the animal's head over one face of the canvas.

    False when the head lies outside of the image. Light, skin and eyes are those of `photograph`.
    """
    pose = pose_of(face)
    window = _window(layers, pose, photograph)
    if window is None or strength <= 0:
        return window is not None
    rng = np.random.default_rng(seed)
    light = light_over(photograph, segmentation.face_mask, pose)
    area = window.area
    before = canvas.picture[area].astype(np.float32)
    base = before
    if mode == "character":
        person = np.minimum(segmentation.person_mask[area], 255 - canvas.heads[area])
        base = without_hair(before, person, window.x, window.y, pose.unit_px, rng)
    variation = Variation.of(seed)
    drawn, cover, shadow = _composite_layers(
        photograph[area], segmentation, layers, window, pose, variation.tint(light), face, mode, variation
    )
    made, cover = _match_grain(drawn, cover, light, rng)
    after = base * shadow[..., None] * (1 - cover[..., None]) + made * 255
    eyes: Eyes = drawing.overlay if mode == "overlay" else drawing.character
    see_through(after, photograph, face, pose, eyes, light, window)
    mixed = before + (np.clip(after, 0, 255) - before) * np.float32(strength)
    canvas.picture[area] = np.round(mixed).astype(np.uint8)
    canvas.heads[area] = np.maximum(canvas.heads[area], (cover * 255).astype(np.uint8))
    return True


def _window(layers: Sequence[PaintedLayer], pose: HeadPose, photograph: Image) -> PlaneWindow | None:
    """Find the part of the image that the layers may reach; None where there is none."""
    height, width = photograph.shape[:2]
    corners = [pose.place(x, y) for painted in layers for x, y in _corners(painted.box)]
    corners_x, corners_y = zip(*corners, strict=True)
    left, right = max(0, int(min(corners_x))), min(width, int(max(corners_x)) + 1)
    top, bottom = max(0, int(min(corners_y))), min(height, int(max(corners_y)) + 1)
    if left >= right or top >= bottom:
        return None
    columns, rows = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    x, y = pose.from_picture(np.asarray(columns, np.float32), np.asarray(rows, np.float32))
    return PlaneWindow(slice(top, bottom), slice(left, right), x, y)


def _corners(box: ViewBox) -> list[Point]:
    xs, ys = (box.x - _MARGIN, box.x + box.width + _MARGIN), (box.y - _MARGIN, box.y + box.height + _MARGIN)
    return [(x, y) for x in xs for y in ys]


def _composite_layers(
    photograph: Image,
    segmentation: Segmentation,
    layers: Sequence[PaintedLayer],
    window: PlaneWindow,
    pose: HeadPose,
    light: Light,
    face: SegmentedFace,
    mode: AvatarMode,
    variation: Variation,
) -> tuple[Floats, Floats, Floats]:
    """Composite the layers: premultiplied colours `float32[h, w, 3]`, 0 to 1, their cover, and their shadow on the
    photograph."""
    shape = window.x.shape
    drawn, cover, shadow = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32)
    skin: Floats | None = None
    covered = cover
    seat = seat_of(pose, segmentation.person_mask)
    area = window.area
    face_mask, person_mask = segmentation.face_mask[area], segmentation.person_mask[area]
    for painted in layers:
        layer = painted.layer
        part = _part(painted, window, pose)
        if part is None:
            continue
        x, y = window.x[part], window.y[part]
        if seated := layer.root is not None and mode == "overlay":
            x, y = seat.place(x, y)
        x, y = pose.face_on(x, y, painted.depth, layer.follow, layer.rigid_at)
        rgba = painted.rgba(*variation.moved(x, y))
        alpha = rgba[..., 3].astype(np.float32) * np.float32(layer.opacity / 255)
        if not alpha.any():
            continue
        shine = layer.coat.shine if layer.coat else 0.0
        colours = rgba[..., :3].astype(np.float32) / np.float32(255)
        if layer.tint:
            if skin is None:
                skin = shades_of_skin(photograph, light)
                covered = own_skin(face_mask, face, window, pose) * skin_visibility(photograph, light, window)
            made = shade(colours, np.zeros((*x.shape, 2), np.float32), light, 0.0) * skin[part][..., None]
            alpha = alpha * covered[part] * (1 - 0.6 * lips(face, pose, window, part))
        else:
            made = shade(colours, painted.normals(x, y), light, shine)
        if seated and layer.root is not None:
            alpha = alpha * hair_blend(photograph[part], person_mask[part], x, y, layer.root)
        if layer.shadow:
            dark = 1 - layer.shadow * _shadow(alpha, pose, light)
            shadow[part] *= dark
            drawn[part] *= dark[..., None]
        drawn[part] += (made - drawn[part]) * alpha[..., None]
        cover[part] += (1 - cover[part]) * alpha
    return drawn, cover, shadow


def _part(painted: PaintedLayer, window: PlaneWindow, pose: HeadPose) -> PlaneSlices | None:
    """Find rows and columns of the window that the layer may reach."""
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
    """Cast the shadow of a layer: soft, a little down and away from the light."""
    soft = blurred(alpha, 0.12 * pose.unit_px)
    x, y = -0.12 * light.slope[0], 0.09
    cos, sin = np.cos(pose.roll) * pose.unit_px, np.sin(pose.roll) * pose.unit_px
    move = np.array([[1, 0, x * cos - y * sin], [0, 1, x * sin + y * cos]], np.float32)
    return np.asarray(cv2.warpAffine(soft, move, alpha.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)


def _match_grain(drawn: Floats, cover: Floats, light: Light, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Match the photograph's softness and grain."""
    if light.blur_px > 0.5:
        drawn, cover = (cv2.GaussianBlur(plane, (0, 0), light.blur_px) for plane in (drawn, cover))
    noise = rng.standard_normal(cover.shape, np.float32) * np.float32(light.grain)
    return np.clip(drawn + (noise * cover)[..., None], 0, 1), cover
