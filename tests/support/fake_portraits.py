"""Fake segmentation and avatars, simple enough to predict: flat squares are faces, each engine has its colour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from deployments.assets.animals import Animal, AnimalPrompts
from deployments.assets.animals.drawing import Drawing, Layer
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import AvatarPicture, AvatarTask, Segmentation, SegmentedFace

AVATAR_COLOURS = {"local": (220, 120, 20), "vertex": (20, 220, 120), "bedrock": (120, 20, 220)}
_LANDMARKS = {
    "left_eye": (0.3, 0.4),
    "right_eye": (0.7, 0.4),
    "nose_tip": (0.5, 0.6),
    "mouth_left": (0.35, 0.75),
    "mouth_right": (0.65, 0.75),
    "upper_lip": (0.5, 0.72),
    "lower_lip": (0.5, 0.8),
    "chin": (0.5, 1.0),
    "left_temple": (0.0, 0.4),
    "right_temple": (1.0, 0.4),
}


def an_animal(name: str = "fox") -> Animal:
    return Animal(
        name=name,
        title=name.title(),
        description=f"As if it were a {name}.",
        prompts=AnimalPrompts(character=f"a {name}", overlay=f"like a {name}", negative="blurry", strength=0.8),
        drawing=Drawing(layers=(Layer(svg="head.svg"),)),
        parts={"head.svg": "<svg/>"},
    )


class FakePortraits:
    """Implements `deployments.contracts.portraits` without a model. Engines: `segment:NAME`, `avatar:NAME`."""

    failures: dict[str, BaseException]
    hanging: set[str]
    hangs: asyncio.Event
    asked: list[str]

    def __init__(self) -> None:
        self.segmented: list[Image] = []
        self.avatars: list[AvatarTask] = []
        self.changes: tuple[int, ...] | None = None
        """Faces that avatar engines change; None: all."""

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        raise NotImplementedError

    async def segment_portrait(self, engine: str, image: Image) -> Segmentation:
        self.segmented.append(image)
        await self._be_asked(f"segment:{engine}")
        [found] = await self.find_faces([image])
        return _segmentation(image, [_shape(face) for face in found])

    async def make_avatar(self, engine: str, request: AvatarTask) -> AvatarPicture:
        self.avatars.append(request)
        await self._be_asked(f"avatar:{engine}")
        faces = request.segmentation.faces
        changed = tuple(range(len(faces))) if self.changes is None else self.changes
        image = request.image.copy()
        for index in changed:
            x1, y1, x2, y2 = (round(value) for value in faces[index].bbox)
            image[y1:y2, x1:x2] = AVATAR_COLOURS[engine]
        return AvatarPicture(image, changed)

    async def _be_asked(self, engine: str) -> None:
        raise NotImplementedError


def _shape(face: Face) -> SegmentedFace:
    x1, y1, x2, y2 = face.bbox
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)
    points = {name: (x1 + x * (x2 - x1), y1 + y * (y2 - y1)) for name, (x, y) in _LANDMARKS.items()}
    return SegmentedFace(face.bbox, face.score, points, corners, roll=0.0, yaw=0.0, pitch=0.0)


def _segmentation(image: Image, faces: Sequence[SegmentedFace]) -> Segmentation:
    """Make the segmentation: a person is a face and all that is below it."""
    skin = np.zeros(image.shape[:2], np.uint8)
    person = skin.copy()
    for face in faces:
        x1, y1, x2, y2 = (round(value) for value in face.bbox)
        skin[y1:y2, x1:x2] = 255
        person[y1:, x1:x2] = 255
    return Segmentation(tuple(faces), skin, person)
