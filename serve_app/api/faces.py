"""Routes of faces: look at one, and say whose it is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from serve_app.api.answers import PREFIX, Answer, Links, LinksDep
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep
from serve_app.api.files import answer_file
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.people import face_view, person_view
from serve_app.api.problems import responses
from serve_app.api.revisions import IfMatch, revisions_of
from serve_app.api.schemas.people import (
    AssignedFace,
    AssignRequest,
    CropQuery,
    FaceView,
    ImageFaceList,
    ImageFaceView,
    RejectRequest,
)
from serve_app.services.container import Services
from serve_app.services.people.decisions import Decided
from serve_app.services.people.lookup import revision_of_face

router = APIRouter(prefix=f"{PREFIX}/faces", tags=["people"], route_class=IdempotentRoute)

of_images = APIRouter(prefix=f"{PREFIX}/images", tags=["people"], route_class=IdempotentRoute)
"""Of the faces in an image."""

FacePath = Annotated[str, Path(max_length=100, examples=["fac_000000000001v"])]
_CHANGES = responses(403, 404, 409, 412, 413, 415, 422, 503)
_CROP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}, "description": "the crop"},
    206: {"content": {"image/*": {}}, "description": "the part of it that `Range` names"},
    304: {"description": "the crop is the one that `If-None-Match` names"},
    307: {"description": "the object store serves the crop (the setting `storage.urls`)"},
}


async def _assigned(services: Services, user: str, face_id: str, decided: Decided, links: Links) -> Response:
    face = await services.people.get_face(user, face_id)
    person = None if face.person_id is None else await services.people.get(user, face.person_id)
    view = AssignedFace(
        person=None if person is None else person_view(person, links), correction_id=decided.correction_id
    )
    return Answer(view, links, headers={"ETag": f'"{revision_of_face(face)}"'})


@of_images.get("/{image_id}/faces", response_model=ImageFaceList, responses=responses(404))
async def list_image_faces(image_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Response:
    """List the faces in an image and whose they are. Images are read for faces in albums."""
    found = await services.people.list_faces_in(user, image_id)
    items = [ImageFaceView(**face_view(face, links).model_dump(), name=name) for face, name in found]
    return Answer(ImageFaceList(items=items), links)


@router.get("/{face_id}", response_model=FaceView, responses=responses(404, 422))
async def get_face(face_id: FacePath, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Response:
    """Describe a face. Its `ETag` names the state of whose it is."""
    face = await services.people.get_face(user, face_id)
    return Answer(face_view(face, links), links, headers={"ETag": f'"{revision_of_face(face)}"'})


@router.get("/{face_id}/crop", response_class=Response, responses=_CROP | responses(404, 416, 422))
async def get_face_crop(
    face_id: FacePath,
    query: Annotated[CropQuery, Query()],
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
) -> Response:
    """Read a square crop of a face, made when it is first asked for."""
    face = await services.people.get_face(user, face_id)
    file = await services.images.open_face(user, face.image_id, face.id, face.place, query.size, query.format)
    return await answer_file(request, file)


@router.post("/{face_id}/assign", response_model=AssignedFace, dependencies=[JsonBody], responses=_CHANGES)
async def assign_face(
    face_id: FacePath,
    body: AssignRequest,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Say whose a face is: a person's, a new person's, or nobody's."""
    decided = await services.decisions.assign(
        user, face_id, body.person_id, new=body.new, name=body.name, revisions=revisions_of(if_match)
    )
    return await _assigned(services, user, face_id, decided, links)


@router.post("/{face_id}/reject", response_model=AssignedFace, dependencies=[JsonBody], responses=_CHANGES)
async def reject_face(
    face_id: FacePath,
    body: RejectRequest,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Say that a face is not a person's."""
    decided = await services.decisions.reject(user, face_id, body.person_id, revisions_of(if_match))
    return await _assigned(services, user, face_id, decided, links)
