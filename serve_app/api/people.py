"""Routes of people: who is in the images of all albums, and what is said of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import RedirectResponse, Response

from serve_app.api.answers import PREFIX, Answer, Links, LinksDep
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.library import item_of
from serve_app.api.problems import responses
from serve_app.api.revisions import IfMatch, revisions_of
from serve_app.api.schemas.library import ImageList
from serve_app.api.schemas.people import (
    Answered,
    ChangedPerson,
    CoverView,
    FaceList,
    FacesQuery,
    FaceView,
    MergeRequest,
    PeopleList,
    PeopleQuery,
    PersonFaceView,
    PersonImagesQuery,
    PersonPatch,
    PersonView,
    SplitRequest,
    SuggestionAnswer,
    SuggestionList,
    SuggestionView,
)
from serve_app.services.container import Services
from serve_app.services.people.decisions import Decided
from serve_app.services.people.lookup import revision_of_person
from serve_app.store.ids import public_face_id
from serve_app.store.repositories.library import Filters
from serve_app.store.repositories.library_faces import LibraryFace
from serve_app.store.repositories.people_lists import LibraryPerson, PeopleFilters

router = APIRouter(prefix=f"{PREFIX}/people", tags=["people"], route_class=IdempotentRoute)

PersonPath = Annotated[str, Path(max_length=100, examples=["per_01m80cz1v7d3kx8n4q2b6w9shm"])]
_MOVED: dict[int | str, dict[str, object]] = {308: {"description": "it was merged into the person of `Location`"}}
_CHANGES = responses(403, 404, 409, 412, 413, 415, 422, 503)


def person_view(person: LibraryPerson, links: Links) -> PersonView:
    """Describe a person."""
    cover = None
    if person.cover_face_id is not None:
        face = public_face_id(person.cover_face_id)
        cover = CoverView(face_id=face, url=links.face_crop(face))
    return PersonView(
        id=person.id,
        name=person.name,
        hidden=person.hidden,
        birth_date=person.birth_date,
        face_count=person.face_count,
        image_count=person.image_count,
        cover=cover,
        updated_at=person.updated_at,
    )


def face_view(face: LibraryFace, links: Links) -> FaceView:
    """Describe a face."""
    public = public_face_id(face.id)
    x1, y1, x2, y2 = (round(value, 1) for value in face.bbox)
    return FaceView(
        id=public,
        image_id=face.image_id,
        bbox=(x1, y1, x2, y2),
        score=round(face.score, 4),
        quality=round(face.quality, 4),
        person_id=face.person_id,
        crop=links.face_crop(public),
    )


async def _changed(services: Services, user: str, decided: Decided, links: Links, status: int = 200) -> Response:
    person = await services.people.get(user, decided.person_id or "")
    view = ChangedPerson(**person_view(person, links).model_dump(), correction_id=decided.correction_id)
    return Answer(view, links, status, {"ETag": f'"{revision_of_person(person)}"'})


@router.get("", response_model=PeopleList, responses=responses(404, 422))
async def list_people(
    query: Annotated[PeopleQuery, Query()], user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """List the people in your images, those with the most faces first."""
    filters = PeopleFilters(query.album_id, query.named, query.hidden)
    page, following = await services.people.list_people(user, filters, query.limit, query.cursor)
    return Answer(PeopleList(items=[person_view(one, links) for one in page], next_cursor=following), links)


@router.get("/suggestions", response_model=SuggestionList, responses=responses(422))
async def list_suggestions(
    user: CurrentUser, services: ServicesDep, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> SuggestionList:
    """List questions about faces whose answers help most: of which the rule is least sure."""
    items = []
    for one in await services.people.suggest(user, limit):
        faces = [public_face_id(one.face_id), public_face_id(one.other_id)]
        is_same = one.kind == "same"
        items.append(
            SuggestionView(
                id=one.id,
                kind=one.kind,
                people=[one.person_id or "", one.other_person_id or ""] if is_same else None,
                faces=faces,
                face=None if is_same else faces[0],
                person=None if is_same else one.other_person_id,
                score=one.likeness,
            )
        )
    return SuggestionList(items=items)


@router.post("/suggestions/{suggestion_id}", response_model=Answered, dependencies=[JsonBody], responses=_CHANGES)
async def answer_suggestion(
    suggestion_id: str, body: SuggestionAnswer, user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """Answer a question: yes merges two people or confirms a face, no keeps them apart, skip asks no more."""
    decided = await services.people.answer(user, suggestion_id, body.answer)
    return Answer(Answered(correction_id=decided.correction_id), links)


@router.get("/{person_id}", response_model=PersonView, responses=_MOVED | responses(404, 422))
async def get_person(person_id: PersonPath, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Response:
    """Describe a person. One that was merged into another is redirected to it."""
    person = await services.people.get(user, person_id)
    if person.merged_into is not None:
        return RedirectResponse(links.person(person.merged_into), 308)
    return Answer(person_view(person, links), links, headers={"ETag": f'"{revision_of_person(person)}"'})


@router.get("/{person_id}/faces", response_model=FaceList, responses=responses(404, 422))
async def list_person_faces(
    person_id: PersonPath,
    query: Annotated[FacesQuery, Query()],
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
) -> Response:
    """List the faces of a person, those most like it or the latest first."""
    page, following = await services.people.list_faces(user, person_id, query.sort, query.limit, query.cursor)
    by_likeness = query.sort == "likeness"
    items = [
        PersonFaceView(
            **face_view(one.face, links).model_dump(), likeness=round(one.likeness, 4) if by_likeness else None
        )
        for one in page
    ]
    return Answer(FaceList(items=items, next_cursor=following), links)


@router.get("/{person_id}/images", response_model=ImageList, responses=responses(404, 422))
async def list_person_images(
    person_id: PersonPath,
    query: Annotated[PersonImagesQuery, Query()],
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
) -> Response:
    """List the images that show a person, the latest first."""
    filters = Filters(library_person_id=person_id)
    page, following = await services.library.list_images(user, filters, "taken", query.limit, query.cursor)
    return Answer(ImageList(items=[item_of(listed) for listed in page], next_cursor=following), links)


@router.patch("/{person_id}", response_model=ChangedPerson, dependencies=[JsonBody], responses=_CHANGES)
async def change_person(
    person_id: PersonPath,
    body: PersonPatch,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Name a person, say when it was born, choose its cover, hide it. It is remembered by its faces."""
    decided = await services.decisions.change(user, person_id, body.change, revisions_of(if_match))
    return await _changed(services, user, decided, links)


@router.post("/{person_id}/merge", response_model=ChangedPerson, dependencies=[JsonBody], responses=_CHANGES)
async def merge_people(
    person_id: PersonPath,
    body: MergeRequest,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Say that other people are this one. Their ids lead to it from then on."""
    decided = await services.decisions.merge(user, person_id, body.people, revisions_of(if_match))
    return await _changed(services, user, decided, links)


@router.post(
    "/{person_id}/split", status_code=201, response_model=ChangedPerson, dependencies=[JsonBody], responses=_CHANGES
)
async def split_person(
    person_id: PersonPath,
    body: SplitRequest,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Say that some faces of a person are another person, who is made."""
    decided = await services.decisions.split(user, person_id, body.faces, revisions_of(if_match))
    return await _changed(services, user, decided, links, 201)
