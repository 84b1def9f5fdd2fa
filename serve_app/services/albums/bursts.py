"""Bursts among groups of similar images, and the best shot of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from deployments.algorithms.duplicates.best_shot import (
    FaceLook,
    Shot,
    choose_shots,
    eyes_open,
    face_sharpness,
    is_burst,
)
from deployments.algorithms.duplicates.groups import ImageGroup
from deployments.contracts.arrays import Floats, Image
from serve_app.services.albums.duplicate_report import Choice, key_of
from serve_app.services.albums.items import Item
from serve_app.store.repositories import faces, images, quality
from serve_app.store.session import Database

LoadPreview = Callable[[str], Awaitable[Image | None]]
"""Loads the preview of a content, by SHA-256; None: it cannot be read."""


class Bursts:
    """Chooser of best shots in one album."""

    def __init__(self, database: Database, faces_model: str, gap_s: float, load_preview: LoadPreview) -> None:
        self._database = database
        self._faces_model = faces_model
        self._gap_s = gap_s
        self._load_preview = load_preview

    async def choose(self, user_id: str, items: Sequence[Item], groups: Sequence[ImageGroup]) -> dict[str, Choice]:
        """Choose the best shot of each group that is a burst. -> centre of the group -> the shot, and why

        Where several are as good, the one of the largest image, then of the smallest key.
        """
        by_key = {key_of(item): item for item in items}
        loose = [[by_key[key] for key in group.members] for group in groups if group.level == "similar"]
        async with self._database.transaction() as session:
            known = await images.load(session, user_id, [item.image_id for group in loose for item in group])
        times = {image_id: image.capture.taken_at for image_id, image in known.items()}
        chosen: dict[str, Choice] = {}
        for group in groups:
            members = [by_key[key] for key in group.members]
            if group.level == "similar" and is_burst([times.get(one.image_id) for one in members], self._gap_s):
                looks = await self._looks({item.sha256: item for item in members})
                keys, why = choose_shots([_shot(item, looks[item.sha256]) for item in members])
                largest = max(by_key[key].width * by_key[key].height for key in keys)
                chosen[group.centre] = (
                    min(key for key in keys if by_key[key].width * by_key[key].height == largest),
                    why,
                )
        return chosen

    async def _looks(self, members: Mapping[str, Item]) -> dict[str, tuple[float, list[FaceLook]]]:
        """Look at the contents of a burst. -> quality and faces by SHA-256"""
        shas = sorted(members)
        async with self._database.transaction() as session:
            judged = await quality.load(session, shas)
            found = await faces.load(session, self._faces_model, shas)
            landmarks = await faces.load_landmarks(session, found.ids.tolist())
        looks = {}
        for place, sha in enumerate(shas):
            mine = found.pictures == place
            preview = await self._load_preview(sha) if mine.any() else None
            seen = [
                await _look(members[sha], box, landmarks.get(face_id), preview)
                for face_id, box in zip(found.ids[mine].tolist(), found.boxes[mine], strict=True)
            ]
            looks[sha] = (judged[sha].score if sha in judged else 1.0, seen)
        return looks


async def _look(item: Item, box: Floats, landmarks: Floats | None, preview: Image | None) -> FaceLook:
    eyes = 1.0 if landmarks is None else eyes_open(landmarks)
    if preview is None:
        return FaceLook(eyes, 0.0)
    scale = preview.shape[1] / item.width
    return FaceLook(eyes, await asyncio.to_thread(face_sharpness, preview, box * scale))


def _shot(item: Item, look: tuple[float, list[FaceLook]]) -> Shot:
    return Shot(key_of(item), look[0], tuple(look[1]))
