"""Face masks: the skin inside each face's outline, without hair over it, on the edges of the image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.frame import FaceFrame, frame_of
from deployments.algorithms.images.affine import invert, move_points, warp_square
from deployments.algorithms.segmentation.guided_filter import follow_edges, steeper
from deployments.algorithms.segmentation.occlusion import skin_chance
from deployments.algorithms.segmentation.polygons import bounds, fill
from deployments.contracts.arrays import Floats, Gray, Image, Matrix
from deployments.contracts.portraits import SegmentedFace

_SIDE = 3.6
"""Side of the upright square in which a face is worked on, in heights from its eyes to its chin."""
_CROP_PX = (48, 160)
"""Least and most pixels a side of that square."""
_EDGE = 0.05
"""Reach of the edges, in heights from the eyes to the chin."""
_RAISED = 0.5
"""Share by which the outline's height over the brows is raised, where the colours show skin."""
_ABOVE = 0.6
"""Distance beyond the outline up to which hair is looked for, in heights from the eyes to the chin."""
_BROW = 0.24
"""Height of the brows over the eyes where an engine does not name them."""
_AT_CORE, _AT_RIM, _RIM = 0.95, 0.45, 0.45
"""Chance of skin next to the features, at the rim of the face, and how far that is from the features."""
_BEYOND = 0.35
"""Chance of skin above the outline."""


def face_mask(image: Image, faces: Sequence[SegmentedFace], person: Gray) -> Gray:
    """Draw the skin of faces, `uint8[H, W]`: 255 skin, 0 anything else, soft between. Glasses and beards belong to a
    face.

    `person` is the person mask of the image, beyond which no face reaches.
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    for face in faces:
        _add_face(mask, image, face, person)
    return mask


def _add_face(mask: Gray, image: Image, face: SegmentedFace, person: Gray) -> None:
    """Draw one face into `mask`; only its own part of the image is touched."""
    frame = frame_of(face)
    edge = _EDGE * frame.unit
    shape = _with_forehead(face, frame)
    low, high = bounds(shape, 3 * edge + 2, mask.shape)
    if (high <= low).any():
        return
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    found = np.zeros(mask[part].shape, np.uint8)
    fill(found, shape - low)
    skin, matrix = _without_hair(image, face, frame, person)
    back = invert(matrix)
    back[:, 2] -= low
    skin = np.asarray(cv2.warpAffine(skin, back, found.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)
    chance = np.minimum(found.astype(np.float32) / 255 * skin, person[part].astype(np.float32) / 255)
    chance = steeper(follow_edges(np.ascontiguousarray(image[part]), chance, edge), 0.15, 0.85)
    np.maximum(mask[part], np.rint(chance * 255).astype(np.uint8), out=mask[part])


def _with_forehead(face: SegmentedFace, frame: FaceFrame) -> Floats:
    """Raise the upper part of the outline: many foreheads are higher than the mesh, which knows no hairline."""
    outline = frame.units(face.outline)
    above = np.clip(-outline[:, 1] - _BROW, 0, None)
    outline[:, 1] -= _RAISED * above
    return frame.pixels(outline)


def _without_hair(image: Image, face: SegmentedFace, frame: FaceFrame, person: Gray) -> tuple[Floats, Matrix]:
    """Compute the chance of skin in the face's upright square, and the matrix that maps the image there."""
    size = int(np.clip(round(_SIDE * frame.unit), *_CROP_PX))
    matrix = frame.window(_SIDE, (0.0, 0.0), size)
    crop = warp_square(image, matrix, size)
    somebody = cv2.erode(cv2.warpAffine(person, matrix, (size, size)), _disc(1)) > 230
    unit = size / _SIDE
    marks = {name: move_points(np.array(point), matrix) for name, point in face.landmarks.items()}
    inside = _filled(size, move_points(face.outline, matrix))
    core = _filled(size, _core(marks, unit))
    cheeks = _filled(size, _cheeks(marks, unit)) & inside
    down = (np.arange(size, dtype=np.float32) - size / 2)[:, None] / unit
    beyond = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3) / unit
    around = somebody & (beyond > 0.06) & (beyond < _ABOVE) & (down < 0.1)
    # Near the features skin is likely, at the rim hair is as likely, beyond it more so; beside the mouth and below it
    # hair is a beard, which belongs to the face.
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 3) / unit
    prior = _AT_CORE + (_AT_RIM - _AT_CORE) * np.clip(away / _RIM, 0, 1)
    prior = np.where(inside, prior, _BEYOND) * (1 - core) + core
    beard = np.clip((down - 0.3) / 0.3, 0, 1)
    chance = skin_chance(crop, cheeks, around, np.maximum(prior, beard).astype(np.float32))
    chance = steeper(follow_edges(crop, chance, 0.07 * unit), 0.3, 0.7)
    return _one_piece(chance), matrix


def _one_piece(chance: Floats) -> Floats:
    """Fill holes: what is not joined to the surroundings is a highlight, a bindi or a plaster."""
    hair = (chance < 0.5).astype(np.uint8)
    _, labels = cv2.connectedComponents(hair)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    holes = (hair > 0) & ~np.isin(labels, rim)
    return np.where(cv2.dilate(holes.astype(np.uint8), _disc(1)) > 0, 1, chance).astype(np.float32)


def _core(marks: dict[str, Floats], unit: float) -> Floats:
    """Outline eyes, brows, nose and mouth, where nothing is taken for hair: brows, glasses, lips and shades."""
    eyes = marks["left_eye"], marks["right_eye"]
    up, aside = np.array([0, -_BROW * unit], np.float32), np.array([0.22 * unit, 0], np.float32)
    brows = marks.get("left_brow", eyes[0] + up), marks.get("right_brow", eyes[1] + up)
    points = [*brows, eyes[0] - aside, eyes[1] + aside, marks["mouth_left"], marks["mouth_right"], marks["chin"]]
    return np.stack(points)


def _cheeks(marks: dict[str, Floats], unit: float) -> Floats:
    """Outline the area between eyes and mouth, where skin shows in almost every face."""
    below = np.array([0, 0.22 * unit], np.float32)
    corners = []
    for eye, mouth in (("left_eye", "mouth_left"), ("right_eye", "mouth_right")):
        top = marks[eye] + below
        corners += [top, top + 0.7 * (marks[mouth] - top)]
    return np.stack(corners)


def _filled(size: int, points: Floats) -> NDArray[np.bool_]:
    plane = np.zeros((size, size), np.uint8)
    fill(plane, cv2.convexHull(points)[:, 0])
    return plane > 127


def _disc(radius: float) -> NDArray[np.uint8]:
    width = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)), np.uint8)
