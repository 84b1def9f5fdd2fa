"""A user's people and faces, found by the ids that clients know."""

from __future__ import annotations

import hashlib

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.store.ids import face_number
from serve_app.store.repositories import library_faces, people, people_lists
from serve_app.store.repositories.corrections import Place
from serve_app.store.repositories.library_faces import LibraryFace
from serve_app.store.repositories.people_lists import LibraryPerson


async def find_person(session: AsyncSession, user_id: str, person_id: str) -> LibraryPerson:
    """Find a person, or the one that it was found to be. Raises `NotFound`."""
    root = people.root_of(await people.load_merged(session, user_id), person_id)
    person = await people_lists.get(session, user_id, root)
    if person is None or is_nobody(person):
        raise NotFound(f"There is no person '{person_id}'.")
    return person


def is_nobody(person: LibraryPerson) -> bool:
    """Whether a person has no face and nothing is said of it: what is left of one that was taken back."""
    is_named = person.name is not None or person.hidden or person.birth_date is not None
    return not person.face_count and not person.size and not is_named


async def find_face(session: AsyncSession, user_id: str, face_id: str) -> LibraryFace:
    """Find a face in an image of the user's. Raises `NotFound`."""
    number = face_number(face_id)
    found = [] if number is None else await library_faces.find(session, user_id, [number])
    if not found:
        raise NotFound(f"There is no face '{face_id}'.")
    return found[0]


def place_of(face: LibraryFace) -> Place:
    """Describe where a face is, so that it is found again when its row has gone."""
    return Place(face.sha256, face.place)


def revision_of_person(person: LibraryPerson) -> str:
    """Name this state of a person."""
    return f"{person.id}.{person.revision}"


def revision_of_face(face: LibraryFace) -> str:
    """Name this state of a face: whose it is."""
    return hashlib.sha256(f"{face.id} {face.person_id}".encode()).hexdigest()[:32]
