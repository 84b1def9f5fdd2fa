"""What users decide about their people: merge, split, assign, reject, name, hide.

Each is one action: it is written down as corrections, done at once to the faces that it is about, and taken back as a
whole. Actions of one user come one after the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import ChangedMeanwhile, Conflict, InvalidRequest, NotFound
from serve_app.services.corrections import CorrectionService
from serve_app.services.people.effects import PeopleEffects
from serve_app.services.people.lookup import find_face, find_person, place_of, revision_of_face, revision_of_person
from serve_app.services.people.memory import place_as_value
from serve_app.store.repositories import corrections, face_moves, library_faces, people
from serve_app.store.repositories.corrections import NewCorrection, Place
from serve_app.store.repositories.library_faces import LibraryFace
from serve_app.store.repositories.people_lists import LibraryPerson
from serve_app.store.session import Database

ANCHORS = 8
"""Faces that a name is remembered by: where the person falls apart later, it goes with most of them."""
STAYING = 3
"""Faces of a person from which those are parted that are split off, in case one of them goes elsewhere."""
MOST_BINDINGS = 200
"""Links that a merge writes: of each two people one, and one in each album that shows both, as far as that goes."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A person after an action, and the correction to take it back by; None: nothing was to be done."""

    person_id: str | None
    correction_id: str | None


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What is to be said of a person; what `fields` does not name stays."""

    fields: frozenset[str]
    name: str | None = None
    birth_date: date | None = None
    cover_face_id: str | None = None
    hidden: bool = False


Revisions = Sequence[str] | None


class PeopleDecisions:
    """Use cases of corrections of people. Ids that are not the user's raise `NotFound`; `revisions` are the states in
    which an action is to be done, another one raises `ChangedMeanwhile`; what contradicts an earlier correction raises
    `Conflict`, with the chain of faces that shows it. Nothing is done then."""

    def __init__(self, database: Database, service: CorrectionService, effects: PeopleEffects) -> None:
        self._database = database
        self._corrections = service
        self._effects = effects

    @asynccontextmanager
    async def _locked(self, user_id: str) -> AsyncIterator[AsyncSession]:
        async with self._database.transaction() as session:
            await people.lock(session, user_id)
            yield session

    async def merge(self, user_id: str, into: str, others: Sequence[str], revisions: Revisions = None) -> Decided:
        """Make people one, with the first one's id and what is said of it; what it lacks it has of the others."""
        async with self._locked(user_id) as session:
            kept = await find_person(session, user_id, into)
            _check(revision_of_person(kept), revisions, "person")
            gone = {one.id: one for one in [await find_person(session, user_id, other) for other in others]}
            if kept.id in gone:
                raise InvalidRequest("A person cannot be merged with itself.", extra={"person_id": kept.id})
            faces = await face_moves.faces_of(session, user_id, list(gone))
            linked = await self._effects.load_linked(session, user_id, await library_faces.find_shas(session, faces))
            linked.refuse_parted(gone, kept.id)
            most = max(1, MOST_BINDINGS // len(gone))
            new = [link for one in gone.values() for link in await self._bind(session, user_id, kept, one, most)]
            said = await self._said_after_merge(session, user_id, kept, list(gone.values()))
            action = await self._corrections.make(session, user_id, [*new, *said], "merge_people")
            await face_moves.move(session, user_id, action, faces, kept.id)
            await people.merge(session, user_id, list(gone), kept.id)
            if said:
                await self._effects.describe(session, user_id, kept.id)
            await people.touch(session, user_id, [kept.id, *gone])
            return Decided(kept.id, action)

    async def _bind(
        self, session: AsyncSession, user_id: str, kept: LibraryPerson, gone: LibraryPerson, most: int
    ) -> list[NewCorrection]:
        """Bind the best faces of two people, and in albums that hold both those of the album. Raises `Conflict` where
        one of them never had a face."""
        pairs = await library_faces.find_together(session, user_id, kept.id, gone.id, most - 1)
        faces = await self._faces(session, user_id, [face for pair in pairs for face in pair])
        ends = [await self._places(session, user_id, one.id, 1) for one in (kept, gone)]
        if not all(ends):
            raise Conflict("One of these people has no face by which the merge could be remembered.")
        linked = [(ends[0][0], ends[1][0])]
        linked += [(place_of(faces[a]), place_of(faces[b])) for a, b in pairs if a in faces and b in faces]
        value = {"merged": gone.id, "into": kept.id}
        return [NewCorrection("must", a, b, value) for a, b in dict.fromkeys(linked)]

    async def _said_after_merge(
        self, session: AsyncSession, user_id: str, kept: LibraryPerson, gone: Sequence[LibraryPerson]
    ) -> list[NewCorrection]:
        """Say of the person that stays what was said of the others and not of it. It is hidden for them only where
        nothing was said of it at all."""
        own = await corrections.load_said_of(session, user_id, kept.id)
        had: dict[str, Any] = {}
        for one in gone:
            said = await corrections.load_said_of(session, user_id, one.id)
            had = {key: value for key, value in said.items() if value} | had
        new = {key: had[key] for key in ("name", "birth_date", "cover") if key in had and not own.get(key)}
        found = await self._said_of(session, user_id, kept.id, "name", new | {"person": kept.id}) if new else []
        if had.get("hidden") and not own:
            found += await self._said_of(session, user_id, kept.id, "hide", {"hidden": True, "person": kept.id})
        return found

    async def split(
        self, user_id: str, person_id: str, face_ids: Sequence[str], revisions: Revisions = None
    ) -> Decided:
        """Make some faces of a person another person."""
        async with self._locked(user_id) as session:
            person = await find_person(session, user_id, person_id)
            _check(revision_of_person(person), revisions, "person")
            faces = [await find_face(session, user_id, one) for one in dict.fromkeys(face_ids)]
            if strange := [one for one in faces if one.person_id != person.id]:
                raise InvalidRequest("A face is not this person's.", extra={"faces": [one.id for one in strange]})
            leaving = await self._bound_to(session, user_id, faces)
            staying = await library_faces.find_best(session, user_id, person.id, STAYING, without=leaving)
            if not staying:
                raise InvalidRequest("All faces of the person would leave it; there is nothing to be split off.")
            first = max(faces, key=lambda one: (one.quality, -one.id))
            new = [NewCorrection("must", place_of(first), place_of(one)) for one in faces]
            stays = await self._faces(session, user_id, staying)
            new += [NewCorrection("cannot", place_of(first), place_of(one)) for one in stays.values()]
            action = await self._corrections.make(session, user_id, new, "split_person")
            made = await people.add(session, user_id)
            await face_moves.move(session, user_id, action, leaving, made)
            return Decided(made, action)

    async def assign(
        self,
        user_id: str,
        face_id: str,
        person_id: str | None,
        *,
        new: bool = False,
        name: str | None = None,
        revisions: Revisions = None,
    ) -> Decided:
        """Say whose a face is: a person's, a new person's with a name, or nobody's."""
        async with self._locked(user_id) as session:
            face = await find_face(session, user_id, face_id)
            _check(revision_of_face(face), revisions, "face")
            target = None if person_id is None else (await find_person(session, user_id, person_id)).id
            if new:
                target = await people.add(session, user_id)
            linked = await self._effects.load_linked(session, user_id, [face.sha256])
            bound = linked.bound_to([face.id])
            if target is None:
                said = [NewCorrection("cannot", place_of(face), place_of(face))]
            else:
                linked.refuse_parted(bound, target)
                said = await self._parted_from_its_own(session, user_id, face, bound, target)
                known_by = await self._places(session, user_id, target, 1, without=bound) or [place_of(face)]
                said.append(NewCorrection("must", place_of(face), known_by[0]))
            if name is not None and target is not None:
                said.append(NewCorrection("name", place_of(face), value={"person": target, "name": name}))
            action = await self._corrections.make(session, user_id, said, "assign_face")
            await face_moves.move(session, user_id, action, bound, target)
            if name is not None and target is not None:
                await self._effects.describe(session, user_id, target)
                await people.touch(session, user_id, [target])
            return Decided(target, action)

    async def _parted_from_its_own(
        self, session: AsyncSession, user_id: str, face: LibraryFace, bound: Sequence[int], target: str
    ) -> list[NewCorrection]:
        """Say that a face which becomes another's is not the person that it was taken for."""
        if face.person_id in (None, target):
            return []
        best = await library_faces.find_best(session, user_id, face.person_id or "", without=bound)
        others = await self._faces(session, user_id, best)
        return [NewCorrection("cannot", place_of(face), place_of(one)) for one in others.values()]

    async def reject(self, user_id: str, face_id: str, person_id: str, revisions: Revisions = None) -> Decided:
        """Say that a face is not a person's. If it was taken for it, it is nobody's until it is grouped again."""
        async with self._locked(user_id) as session:
            face = await find_face(session, user_id, face_id)
            _check(revision_of_face(face), revisions, "face")
            person = await find_person(session, user_id, person_id)
            bound = await self._bound_to(session, user_id, [face])
            best = await library_faces.find_best(session, user_id, person.id, without=bound)
            others = await self._faces(session, user_id, best)
            if not others:
                raise InvalidRequest("The person has no other face; assign the face to somebody else, or to nobody.")
            said = [NewCorrection("cannot", place_of(face), place_of(other)) for other in others.values()]
            action = await self._corrections.make(session, user_id, said, "reject_face")
            left = face.person_id
            if left == person.id:
                left = None if len(bound) == 1 else await people.add(session, user_id)
                await face_moves.move(session, user_id, action, bound, left)
            return Decided(left, action)

    async def keep_apart(self, user_id: str, face_id: int, other_id: int) -> Decided:
        """Say that two faces are of different people, who stay as they are."""
        async with self._locked(user_id) as session:
            found = await self._faces(session, user_id, [face_id, other_id])
            if len(found) < 2:
                raise NotFound("One of the faces that were asked of is not there any more.")
            face, other = found[face_id], found[other_id]
            if face.person_id is not None and face.person_id == other.person_id:
                raise ChangedMeanwhile("The two have become one person: reject a face of it, or split it.")
            said = [NewCorrection("cannot", place_of(face), place_of(other), {"either": True})]
            action = await self._corrections.make(session, user_id, said, "answer_suggestion")
            return Decided(face.person_id, action)

    async def change(self, user_id: str, person_id: str, change: PersonChange, revisions: Revisions = None) -> Decided:
        """Say what a person is called, when it was born, by which face it is shown, and whether it is."""
        async with self._locked(user_id) as session:
            person = await find_person(session, user_id, person_id)
            _check(revision_of_person(person), revisions, "person")
            new: list[NewCorrection] = []
            if change.fields - {"hidden"}:
                said = await self._described(session, user_id, person, change)
                new += await self._said_of(session, user_id, person.id, "name", said | {"person": person.id})
            if "hidden" in change.fields:
                value = {"hidden": change.hidden, "person": person.id}
                new += await self._said_of(session, user_id, person.id, "hide", value)
            if not change.fields:
                return Decided(person.id, None)
            action = await self._corrections.make(session, user_id, new, "change_person")
            await self._effects.describe(session, user_id, person.id)
            await people.touch(session, user_id, [person.id])
            return Decided(person.id, action)

    async def _described(
        self, session: AsyncSession, user_id: str, person: LibraryPerson, change: PersonChange
    ) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if "name" in change.fields:
            said["name"] = change.name
        if "birth_date" in change.fields:
            said["birth_date"] = change.birth_date and change.birth_date.isoformat()
        if "cover_face_id" in change.fields:
            said["cover"] = None
            if change.cover_face_id is not None:
                face = await find_face(session, user_id, change.cover_face_id)
                if face.person_id != person.id:
                    raise InvalidRequest("The cover is no face of this person's.")
                said["cover"] = place_as_value(place_of(face))
        return said

    async def _said_of(
        self, session: AsyncSession, user_id: str, person_id: str, kind: Any, value: dict[str, Any]
    ) -> list[NewCorrection]:
        """Say something of the person that is known by its best faces. Raises `Conflict` where it never had one."""
        places = await self._places(session, user_id, person_id, ANCHORS)
        if not places:
            raise Conflict("The person has no face by which it could be remembered.")
        return [NewCorrection(kind, place, value=value) for place in places]

    async def _places(
        self, session: AsyncSession, user_id: str, person_id: str, limit: int, without: Sequence[int] = ()
    ) -> list[Place]:
        """Find the places of a person's best faces; those that it was known by where none is there now."""
        best = await library_faces.find_best(session, user_id, person_id, limit, without)
        faces = await self._faces(session, user_id, best)
        places = [place_of(faces[one]) for one in best if one in faces]
        return places or await corrections.load_places(session, user_id, person_id, limit)

    async def _bound_to(self, session: AsyncSession, user_id: str, faces: Sequence[LibraryFace]) -> list[int]:
        """Find the faces that are bound to any of some, these included."""
        linked = await self._effects.load_linked(session, user_id, [one.sha256 for one in faces])
        return linked.bound_to(one.id for one in faces)

    async def _faces(self, session: AsyncSession, user_id: str, ids: Sequence[int]) -> dict[int, LibraryFace]:
        return {face.id: face for face in await library_faces.find(session, user_id, ids)}


def _check(revision: str, revisions: Revisions, what: str) -> None:
    if revisions is not None and revision not in revisions:
        raise ChangedMeanwhile(f"The {what} was changed meanwhile: get it again, and decide anew.")
