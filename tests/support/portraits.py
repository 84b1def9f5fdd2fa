"""Portraits for engines that repaint people: noise with heads of known place, so that tests see each touched pixel."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.contracts.portraits import AvatarMode, AvatarTask, Segmentation
from deployments.providers.landmarks import FoundFace, shape_face
from tests.support.builders import an_image
from tests.support.face_truth import TrueFace


def a_portrait(
    size: tuple[int, int] = (320, 240), faces: int = 1, mode: AvatarMode = "character", image: Image | None = None
) -> AvatarTask:
    """Make a portrait. `size`: width and height; the faces stand side by side."""
    image = an_image(size, seed=3) if image is None else image
    width, height = image.shape[1], image.shape[0]
    truths = [
        TrueFace(((n + 0.5) * width / faces, height * 0.4), height * 0.15, score=0.9 - n / 10) for n in range(faces)
    ]
    person, skin = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    found = []
    for truth in truths:
        told = truth.told()
        low, high = np.min(told.skin, axis=0), np.max(told.skin, axis=0)
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        face = shape_face(FoundFace(box, told.score, told.points, 0.0, 0.0, 0.0), "A test")
        found.append(face)
        cv2.fillPoly(skin, [face.outline.astype(np.int32)], 255)
        x, y = (round(value) for value in truth.eyes)
        cv2.ellipse(person, (x, y), (round(truth.size * 1.2), round(truth.size * 1.5)), 0, 0, 360, 255, -1)
        cv2.rectangle(person, (x - round(truth.size), y + round(truth.size)), (x + round(truth.size), height), 255, -1)
    return AvatarTask(
        image,
        "fox",
        mode,
        Segmentation(tuple(found), skin, np.maximum(person, skin)),
        prompt="portrait of a (red:1.2) fox.",
        negative_prompt="text",
        seed=2**31 + 5,
    )
