"""Changes of images by their users: name, time, tags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import ChangedMeanwhile, InvalidRequest, NotFound
from serve_app.services.images.service import ImageView, view_of
from serve_app.store.repositories import image_tags, images
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database

MOST_TAGS = 200
"""Tags of one image that its user has added or taken away."""


class Unchanged(Enum):
    """The value of what is left as it is."""

    UNCHANGED = 0


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What is to become of an image."""

    filename: str | Unchanged | None = UNCHANGED
    taken_at: datetime | Unchanged | None = UNCHANGED
    """On the camera's clock; without a zone: of an unknown one. None: not known."""
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()

    @property
    def is_seen_in_albums(self) -> bool:
        """Whether what analyses of albums found has to be told anew: tags, or what is a burst."""
        return bool(self.add_tags or self.remove_tags or self.taken_at is not UNCHANGED)


@dataclass(frozen=True, slots=True)
class DescribedImage:
    """An image with all that its user can change."""

    view: ImageView
    tags: list[str]
    """The user's own first, then the model's."""

    @property
    def revision(self) -> str:
        """Name of this state of what can be changed."""
        view = self.view
        told = [view.id, view.filename, view.taken_at and view.taken_at.isoformat(), sorted(self.tags)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


class ImageChanges:
    """Use cases of single images that can be changed. All raise `NotFound` where the user has no such image."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def describe(self, user_id: str, image_id: str) -> DescribedImage:
        async with self._database.transaction() as session:
            image = await images.get(session, user_id, image_id)
            return await _described(session, _found(image, image_id))

    async def find_by_content(self, user_id: str, sha256: str) -> DescribedImage:
        """Find the latest of the user's lasting images that holds these bytes."""
        async with self._database.transaction() as session:
            image = await images.find_by_content(session, user_id, sha256)
            if image is None:
                raise NotFound("You have no image of these bytes.")
            return await _described(session, image)

    async def change(
        self, user_id: str, image_id: str, change: ImageChange, revisions: Sequence[str] | None = None
    ) -> DescribedImage:
        """Change an image.

        `revisions`: change it only in one of these states, else raise `ChangedMeanwhile`. Raises `InvalidRequest` for
        more than `MOST_TAGS` tags.
        """
        async with self._database.transaction() as session:
            if change.is_seen_in_albums:  # their locks first, as everywhere: a deletion would else wait for this one
                await images.touch_albums(session, user_id, [image_id])
            await images.lock(session, user_id, [image_id])
            image = _found(await images.get(session, user_id, image_id), image_id)
            now = await _described(session, image)
            if revisions is not None and now.revision not in revisions:
                raise ChangedMeanwhile("The image was changed meanwhile: get it again, and decide anew.")
            # Written also where only tags change, for those who follow what changes of the image itself.
            await images.change(session, image_id, **{"filename": image.filename, **_columns(change)})
            if tags := [*change.add_tags, *change.remove_tags]:
                if (await image_tags.count_verdicts(session, [image_id], tags))[image_id] > MOST_TAGS:
                    raise InvalidRequest(f"At most {MOST_TAGS} tags of an image can be added or taken away.")
                await image_tags.save_verdicts(session, [image_id], change.add_tags, change.remove_tags)
            return await _described(session, _found(await images.get(session, user_id, image_id), image_id))


def _found(image: StoredImage | None, image_id: str) -> StoredImage:
    if image is None:
        raise NotFound(f"There is no image '{image_id}'.")
    return image


async def _described(session: AsyncSession, image: StoredImage) -> DescribedImage:
    tags = await image_tags.load(session, [image.id])
    return DescribedImage(view_of(image), tags.get(image.id, []))


def _columns(change: ImageChange) -> dict[str, Any]:
    """Columns of `images` that a change sets."""
    columns: dict[str, Any] = {} if change.filename is UNCHANGED else {"filename": change.filename}
    if isinstance(change.taken_at, datetime):
        zone = change.taken_at.utcoffset()
        columns["taken_at"] = change.taken_at.replace(tzinfo=change.taken_at.tzinfo or UTC).astimezone(UTC)
        columns["zone_min"] = None if zone is None else int(zone.total_seconds() // 60)
    elif change.taken_at is None:
        columns |= {"taken_at": None, "zone_min": None}
    return columns
