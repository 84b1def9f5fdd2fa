"""Grouping the faces of all of a user's images into people, beside the groupings of albums.

Who is in an album follows from its own images, as ever. A user's people are one grouping over all of them, so that a
name and a correction hold in every album: faces that an album brought are added to it (`add_faces`), and what the user
said holds in both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import structlog

from configs.settings import Settings
from deployments.contracts.albums import UNKNOWN, FaceClusterer
from deployments.errors import Unavailable
from serve_app.services.people.memory import load_memory
from serve_app.services.people.places import PlacedFaces, Resolved
from serve_app.services.people.questions import find_questions
from serve_app.store.repositories import faces, people, suggestions
from serve_app.store.repositories.faces import StoredFaces
from serve_app.store.session import Database

log = structlog.get_logger(__name__)
_TRIES = 5
"""Times that people are grouped while corrections come in between."""
NO_FACES = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class GroupedFaces:
    """The faces of contents, as they were grouped."""

    shas: Sequence[str]
    found: StoredFaces
    labels: np.ndarray


class PeopleGrouping:
    """Keeps the people of users up to date."""

    def __init__(self, database: Database, clusterer: FaceClusterer, settings: Settings) -> None:
        self._database = database
        self._clusterer = clusterer
        self._settings = settings
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def update(self, user_id: str, seen: GroupedFaces | None = None, *, anew: bool = False) -> None:
        """Group the user's faces where any is new or something was said of them since, or all of them anew.

        `seen`: faces that were grouped just now, which need no work where they are all that the user has. Raises
        `Unavailable` where corrections come in faster than faces are grouped: the job is tried again.
        """
        model = self._settings.faces_model
        async with self._locks.setdefault(user_id, asyncio.Lock()):
            for _ in range(_TRIES):
                if not anew and not await self._is_due(user_id, model):
                    return
                if await self._group(user_id, model, seen, anew=anew):
                    return
        raise Unavailable("The user's people are being corrected faster than they can be grouped")

    async def _is_due(self, user_id: str, model: str) -> bool:
        async with self._database.transaction() as session:
            state = await people.load_state(session, user_id)
            if state is None:
                return False
            # Before anything was grouped or said there is nothing that a correction could change.
            is_behind = state.revision != (state.grouped or 0)
            return is_behind or await people.has_new_faces(session, user_id, model)

    async def _group(self, user_id: str, model: str, seen: GroupedFaces | None, *, anew: bool) -> bool:
        """Group the user's faces. -> whether nothing was said or grouped meanwhile, so that it is saved"""
        async with self._database.transaction() as session:
            state = await people.load_state(session, user_id)
            memory = await load_memory(session, user_id, None if state is None else state.grouped_at)
            contents = await people.load_contents(session, user_id)
            is_all = seen is not None and list(seen.shas) == contents.shas
            found = seen.found if seen and is_all else await faces.load(session, model, contents.shas)
            previous = (await people.load_grouping(session, user_id)).labels_of(found.ids)
            moved = await people.load_moved_labels(session, user_id, model, found, contents.shas)
        placed = PlacedFaces(
            contents.shas, list(zip(contents.widths, contents.heights, strict=True)), found.pictures, found.boxes
        )
        said = await asyncio.to_thread(memory.resolve, placed)
        labels = NO_FACES
        if seen and is_all and moved is None and (previous == UNKNOWN).all():
            labels = seen.labels
        elif len(found.ids):
            known = None if anew or moved is not None else without_doubted(previous, said)
            labels = await self._clusterer.cluster_faces(
                found.vectors, found.pictures, found.quality, known, *links_or_none(said)
            )
        questions = await asyncio.to_thread(find_questions, found, labels, said, self._settings.faces)
        async with self._database.transaction() as session:
            if state is None or await people.lock(session, user_id) != state:
                return False
            await people.save(session, user_id, model, found.ids, labels, moved, memory.decided(placed))
            await people.set_covers(session, user_id, memory.covers(placed, found.ids))
            await suggestions.replace(session, user_id, found.ids, questions)
        log.info("people grouped", user_id=user_id, faces=len(found.ids), links=len(said.must) + len(said.cannot))
        return True


def without_doubted(previous: np.ndarray, said: Resolved) -> np.ndarray | None:
    """Labels of an earlier grouping, without those of people of whom something was taken back; None where none is
    left."""
    labels = previous[said.doubted]
    known = np.where(np.isin(previous, labels[labels >= 0]), UNKNOWN, previous)
    return known if (known != UNKNOWN).any() else None


def links_or_none(said: Resolved) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Must- and cannot-links for a clusterer; None and None where nothing was said."""
    return (None, None) if said.is_empty else (said.must, said.cannot)
