"""A user's people as clients see them: lists, faces, questions and their answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ChangedMeanwhile, Conflict, InvalidRequest, NotFound
from serve_app.services.people.decisions import Decided, PeopleDecisions
from serve_app.services.people.lookup import find_face, find_person, is_nobody
from serve_app.store.ids import face_number, public_face_id
from serve_app.store.repositories import albums, images, library_faces, people_lists, suggestions
from serve_app.store.repositories.library_faces import LibraryFace
from serve_app.store.repositories.people_lists import LibraryPerson, PeopleFilters
from serve_app.store.repositories.suggestions import Suggestion
from serve_app.store.session import Database

FaceSort = Literal["likeness", "time"]
Answer = Literal["yes", "no", "skip"]
_CURSOR = re.compile(r"(\d{1,9}):(per_[0-9a-z]{1,40})")
_FACE_CURSOR = re.compile(r"(likeness|time):(-?[0-9.e-]{1,30}):(fac_[0-9a-z]{1,40})")


@dataclass(frozen=True, slots=True)
class ListedFace:
    """A face of a person."""

    face: LibraryFace
    likeness: float
    """Cosine of its vector and the mean of the person's, -1 to 1; 0 where it was not asked for."""


class PeopleService:
    """Use cases of looking at people. Ids that are not the user's raise `NotFound`."""

    def __init__(self, database: Database, decisions: PeopleDecisions, faces_model: str) -> None:
        self._database = database
        self._decisions = decisions
        self._faces_model = faces_model

    async def list_people(
        self, user_id: str, filters: PeopleFilters, limit: int, cursor: str | None
    ) -> tuple[list[LibraryPerson], str | None]:
        """List people, those with the most faces first. -> a page, the cursor of the next one

        `filters.album_id` is the client's. Raises `InvalidRequest` for a cursor that is none.
        """
        match = None if cursor is None else _CURSOR.fullmatch(cursor)
        if cursor is not None and match is None:
            raise InvalidRequest("`cursor` is no `next_cursor` of a list of people.")
        async with self._database.transaction() as session:
            if filters.album_id is not None:
                album = await albums.find_own(session, user_id, filters.album_id)
                filters = replace(filters, album_id=album.id)
            after = None if match is None else (int(match[1]), match[2])
            page = await people_lists.load_page(session, user_id, filters, limit + 1, after)
        last = page[limit - 1] if len(page) > limit else None
        return page[:limit], None if last is None else f"{last.size}:{last.id}"

    async def get(self, user_id: str, person_id: str) -> LibraryPerson:
        """Load a person. `merged_into` of one that was found to be another says who it is in the end."""
        async with self._database.transaction() as session:
            own = await people_lists.get(session, user_id, person_id)
            if own is not None and own.merged_into is not None:
                return replace(own, merged_into=(await find_person(session, user_id, person_id)).id)
        if own is None or is_nobody(own):
            raise NotFound(f"There is no person '{person_id}'.")
        return own

    async def get_face(self, user_id: str, face_id: str) -> LibraryFace:
        """Load a face."""
        async with self._database.transaction() as session:
            return await find_face(session, user_id, face_id)

    async def list_faces_in(self, user_id: str, image_id: str) -> list[tuple[LibraryFace, str | None]]:
        """List the faces in an image, from left to right, with the names of their people."""
        async with self._database.transaction() as session:
            if await images.get(session, user_id, image_id) is None:
                raise NotFound(f"There is no image '{image_id}'.")
            found = await library_faces.find_in_image(session, user_id, image_id, self._faces_model)
            people = {face.person_id for face in found if face.person_id is not None}
            names = await people_lists.load_names_of(session, user_id, people)
        return [(face, names.get(face.person_id or "")) for face in found]

    async def list_faces(
        self, user_id: str, person_id: str, sort: FaceSort, limit: int, cursor: str | None
    ) -> tuple[list[ListedFace], str | None]:
        """List a person's faces, the likest to its mean or the latest first. -> a page, the cursor of the next one

        Raises `InvalidRequest` for a cursor of another order.
        """
        after = None if cursor is None else _parse_face_cursor(cursor, sort)
        async with self._database.transaction() as session:
            person = await find_person(session, user_id, person_id)
            if sort == "time":
                keys = await library_faces.load_latest(session, user_id, person.id, limit + 1, after)
            else:
                ids, vectors = await library_faces.load_vectors(session, user_id, person.id)
                keys = await asyncio.to_thread(_likest, ids, vectors, limit + 1, after)
            found = {one.id: one for one in await library_faces.find(session, user_id, [face for face, _ in keys])}
        shown = [
            ListedFace(found[face], key if sort == "likeness" else 0.0) for face, key in keys[:limit] if face in found
        ]
        if len(keys) <= limit:
            return shown, None
        last, key = keys[limit - 1]
        return shown, f"{sort}:{key!r}:{public_face_id(last)}"

    async def suggest(self, user_id: str, limit: int) -> list[Suggestion]:
        """Load questions whose answers help most, those first of which the rule is least sure."""
        async with self._database.transaction() as session:
            return await suggestions.load(session, user_id, limit)

    async def answer(self, user_id: str, suggestion_id: str, answer: Answer) -> Decided:
        """Answer a question. Raises `NotFound` for one that does not stand any more, and as the actions do."""
        async with self._database.transaction() as session:
            asked = await suggestions.find(session, user_id, suggestion_id)
            if asked is None:
                raise NotFound(f"There is no open question '{suggestion_id}'.")
            if answer == "skip":
                await suggestions.skip(session, user_id, suggestion_id)
                return Decided(asked.person_id, None)
        try:
            decided = await self._decide(user_id, asked, answer)
        except (ChangedMeanwhile, Conflict, InvalidRequest, NotFound):
            async with self._database.transaction() as session:  # it would be refused again
                await suggestions.skip(session, user_id, suggestion_id)
            raise
        async with self._database.transaction() as session:
            await suggestions.remove(session, user_id, suggestion_id)
        return decided

    async def _decide(self, user_id: str, asked: Suggestion, answer: Answer) -> Decided:
        person, other = asked.person_id or "", asked.other_person_id or ""
        if asked.kind == "is":
            face = public_face_id(asked.face_id)
            if answer == "yes":
                return await self._decisions.assign(user_id, face, other)
            return await self._decisions.reject(user_id, face, other)
        if answer == "yes":
            return await self._decisions.merge(user_id, *await self._larger_first(user_id, person, other))
        return await self._decisions.keep_apart(user_id, asked.face_id, asked.other_id)

    async def _larger_first(self, user_id: str, one: str, other: str) -> tuple[str, Sequence[str]]:
        """Choose which of two people keeps its id: the one that is named, else the larger."""
        async with self._database.transaction() as session:
            people = [await find_person(session, user_id, person_id) for person_id in (one, other)]
        people.sort(key=lambda person: (person.name is None, -person.size, person.id))
        return people[0].id, [people[1].id]


def _likest(
    ids: NDArray[np.int64], vectors: NDArray[np.float32], limit: int, after: tuple[float, int] | None
) -> list[tuple[int, float]]:
    """Find the faces `int64[N]` whose vectors `float32[N, D]` are most like their mean, after a likeness and an id.
    -> ids and cosines"""
    if not len(ids):
        return []
    rows = vectors.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    mean = rows.mean(axis=0)
    cosine = np.round(rows @ mean / max(float(np.linalg.norm(mean)), 1e-9), 6)
    order = np.lexsort((ids, -cosine))
    if after is not None:
        key, face = after
        order = order[(cosine[order] < key) | ((cosine[order] == key) & (ids[order] > face))]
    return [(int(ids[at]), float(cosine[at])) for at in order[:limit]]


def _parse_face_cursor(cursor: str, sort: FaceSort) -> tuple[float, int]:
    match = _FACE_CURSOR.fullmatch(cursor)
    try:
        number = None if match is None or match[1] != sort else face_number(match[3])
        if match is None or number is None:
            raise ValueError
        return float(match[2]), number
    except ValueError:
        raise InvalidRequest("`cursor` is no `next_cursor` of a list of faces in this order.") from None
