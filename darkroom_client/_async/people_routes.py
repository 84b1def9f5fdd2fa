"""Routes of people and of what was decided about them, one method an operation of the document, of its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from darkroom_client._async.http import AsyncHttp, given
from darkroom_client.models import (
    Answered,
    AssignedFace,
    ChangedPerson,
    CorrectionList,
    FaceList,
    FaceView,
    ImageFaceList,
    ImageList,
    PeopleList,
    PersonView,
    SuggestionList,
    Undone,
)

CorrectionKind = Literal["must", "cannot", "name", "hide", "not_duplicate", "tag"]

M = TypeVar("M", bound=BaseModel)


def _person(person_id: str) -> str:
    return f"/people/{quote(person_id, safe='')}"


def _face(face_id: str) -> str:
    return f"/faces/{quote(face_id, safe='')}"


class AsyncPeopleRoutes:
    """Routes of people and corrections."""

    _http: AsyncHttp

    async def list_people(
        self,
        *,
        album_id: str | None = None,
        named: bool | None = None,
        hidden: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PeopleList:
        """List the people in your images, those with the most faces first."""
        query = given(album_id=album_id, named=named, hidden=hidden, limit=limit, cursor=cursor)
        return await self._http.read(PeopleList, "GET", "/people", params=query)

    async def get_person(self, person_id: str) -> PersonView:
        """Describe a person; one that was merged into another is answered with that one."""
        return await self._http.read(PersonView, "GET", _person(person_id), follow_redirects=True)

    async def list_person_faces(
        self,
        person_id: str,
        sort: Literal["likeness", "time"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> FaceList:
        """List the faces of a person, those most like it or the latest first."""
        query = given(sort=sort, limit=limit, cursor=cursor)
        return await self._http.read(FaceList, "GET", f"{_person(person_id)}/faces", params=query)

    async def list_person_images(
        self, person_id: str, limit: int | None = None, cursor: str | None = None
    ) -> ImageList:
        """List the images that show a person, the latest first."""
        query = given(limit=limit, cursor=cursor)
        return await self._http.read(ImageList, "GET", f"{_person(person_id)}/images", params=query)

    async def change_person(
        self,
        person_id: str,
        *,
        name: str | None = None,
        birth_date: str | None = None,
        cover_face_id: str | None = None,
        hidden: bool | None = None,
        clear: Sequence[Literal["name", "birth_date", "cover_face_id"]] = (),
        revision: str | None = None,
    ) -> ChangedPerson:
        """Name a person, say when it was born (`2026-03-01`), choose its cover, hide it. `clear`: what to take away.

        `revision`: the `ETag` that the change is based on; raises `ChangedMeanwhile` where it is another one now.
        """
        body = given(name=name, birth_date=birth_date, cover_face_id=cover_face_id, hidden=hidden)
        body |= dict.fromkeys(clear)
        headers = {"If-Match": revision} if revision else {}
        return await self._http.read(ChangedPerson, "PATCH", _person(person_id), json=body, headers=headers)

    async def merge_people(
        self, person_id: str, people: Sequence[str], *, revision: str | None = None
    ) -> ChangedPerson:
        """Say that other people are this one. Raises `Conflict` where that contradicts what you said before."""
        return await self._decide(ChangedPerson, f"{_person(person_id)}/merge", revision, people=list(people))

    async def split_person(self, person_id: str, faces: Sequence[str], *, revision: str | None = None) -> ChangedPerson:
        """Say that some faces of a person are another one. -> that one"""
        return await self._decide(ChangedPerson, f"{_person(person_id)}/split", revision, faces=list(faces))

    async def list_image_faces(self, image_id: str) -> ImageFaceList:
        """List the faces in an image, from left to right, with whose they are."""
        return await self._http.read(ImageFaceList, "GET", f"/images/{quote(image_id, safe='')}/faces")

    async def get_face(self, face_id: str) -> FaceView:
        """Describe a face."""
        return await self._http.read(FaceView, "GET", _face(face_id))

    async def get_face_crop(
        self, face_id: str, size: int | None = None, format: Literal["webp", "jpeg"] | None = None
    ) -> bytes:
        """Read a square crop of a face."""
        query = given(size=size, format=format)
        path = f"{_face(face_id)}/crop"
        return (await self._http.send("GET", path, params=query, follow_redirects=True)).content

    async def assign_face(
        self,
        face_id: str,
        person_id: str | None = None,
        *,
        new: bool = False,
        name: str | None = None,
        revision: str | None = None,
    ) -> AssignedFace:
        """Say whose a face is: a person's, a `new` person's, or nobody's."""
        body: dict[str, Any] = given(new=True, name=name) if new else {"person_id": person_id}
        return await self._decide(AssignedFace, f"{_face(face_id)}/assign", revision, **body)

    async def reject_face(self, face_id: str, person_id: str, *, revision: str | None = None) -> AssignedFace:
        """Say that a face is not a person's."""
        return await self._decide(AssignedFace, f"{_face(face_id)}/reject", revision, person_id=person_id)

    async def list_suggestions(self, limit: int | None = None) -> SuggestionList:
        """List questions about faces whose answers help most."""
        return await self._http.read(SuggestionList, "GET", "/people/suggestions", params=given(limit=limit))

    async def answer_suggestion(self, suggestion_id: str, answer: Literal["yes", "no", "skip"]) -> Answered:
        """Answer a question."""
        return await self._decide(Answered, f"/people/suggestions/{quote(suggestion_id, safe='')}", None, answer=answer)

    async def _decide(self, model: type[M], path: str, revision: str | None, **body: Any) -> M:
        headers = {"If-Match": revision} if revision else {}
        return await self._http.read(model, "POST", path, json=body, headers=headers)

    async def list_corrections(
        self, kind: CorrectionKind | None = None, limit: int | None = None, cursor: str | None = None
    ) -> CorrectionList:
        """List what you decided, the newest first."""
        query = given(kind=kind, limit=limit, cursor=cursor)
        return await self._http.read(CorrectionList, "GET", "/corrections", params=query)

    async def undo_correction(self, correction_id: str) -> None:
        """Take a decision back."""
        await self._http.send("DELETE", f"/corrections/{quote(correction_id, safe='')}")

    async def undo_last(self) -> Undone:
        """Take back your last decision. Raises `NotFound` where there is none."""
        return await self._http.read(Undone, "POST", "/undo")
