"""Routes of images: upload, look, delete, and read the files."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, File, Path, Query, Request, UploadFile
from fastapi.responses import Response

from deployments.errors import ImageError, PayloadTooLarge
from serve_app.api.answers import PREFIX, Answer, LinksDep
from serve_app.api.deps import CurrentUser, JsonBody, MultipartBody, ServicesDep, SettingsDep
from serve_app.api.files import answer_file
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import problem_of, problem_response, responses
from serve_app.api.revisions import IfMatch, etag, revisions_of
from serve_app.api.schemas.images import FileQuery, ImageDetail, ImagePatch, Rejected, TutorialUpload, Upload, Uploads
from serve_app.services.images.changes import DescribedImage
from serve_app.services.images.names import storable_name
from serve_app.services.images.service import ImageView

router = APIRouter(prefix=PREFIX, tags=["images"], route_class=IdempotentRoute)
tutorial = APIRouter(tags=["tutorial"], route_class=IdempotentRoute)

_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}, "description": "the picture"},
    206: {"content": {"image/*": {}}, "description": "the part of it that `Range` names"},
    304: {"description": "the picture is the one that `If-None-Match` names"},
    307: {"description": "the object store serves the picture (the setting `storage.urls`)"},
}
_FILES_AT_ONCE = 4
"""Files of one request that are stored at once: while one is written, others are decoded."""
Files = Annotated[list[UploadFile], File(alias="file", description="one or more pictures")]


AnyUpload = TypeVar("AnyUpload", bound=Upload)


def _described(image: ImageView, model: type[AnyUpload]) -> AnyUpload:
    return model.model_validate(asdict(image) | {"url": image.key})


@router.post(
    "/images",
    status_code=201,
    response_model=Uploads,
    dependencies=[MultipartBody],
    responses=responses(400, 403, 409, 413, 415, 422, 429, 503),
)
async def upload_images(
    file: Files, user: CurrentUser, services: ServicesDep, settings: SettingsDep, links: LinksDep
) -> Response:
    """Store images. One unusable file does not stop the others: it is listed under `rejected` with a code."""
    if len(file) > settings.limits.max_images:
        raise PayloadTooLarge(f"{len(file)} files in one request; at most {settings.limits.max_images} are taken.")
    gate = asyncio.Semaphore(_FILES_AT_ONCE)

    async def store(part: UploadFile) -> ImageView | ImageError:
        async with gate:
            try:
                return await services.images.upload(user, part.filename, part)
            except ImageError as error:
                return error

    # All of them end before an error is raised, so that none goes on after the answer.
    stored = await asyncio.gather(*map(store, file), return_exceptions=True)
    for outcome in stored:
        if isinstance(outcome, BaseException) and not isinstance(outcome, ImageError):
            raise outcome
    images = [outcome for outcome in stored if isinstance(outcome, ImageView)]
    errors = [(place, outcome) for place, outcome in enumerate(stored) if isinstance(outcome, ImageError)]
    rejected = [
        Rejected(index=place, filename=storable_name(file[place].filename), code=error.code, detail=error.message)
        for place, error in errors
    ]
    if not images:
        body = problem_of(errors[0][1]) | {"rejected": [one.model_dump() for one in rejected]}
        return problem_response(body)
    return Answer(Uploads(images=[_described(image, Upload) for image in images], rejected=rejected), links, 201)


def _detail(image: DescribedImage, links: LinksDep) -> Response:
    detail = ImageDetail.model_validate(asdict(image.view) | {"url": image.view.key, "tags": image.tags})
    return Answer(detail, links, headers=etag(image.revision))


@router.get("/images/{image_id}", response_model=ImageDetail, responses=responses(404))
async def get_image(image_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Response:
    """Describe a stored image. Its `ETag` names the state of what can be changed."""
    return _detail(await services.image_changes.describe(user, image_id), links)


@router.get("/images/by-sha256/{sha256}", response_model=ImageDetail, responses=responses(404, 422))
async def find_image(
    sha256: Annotated[str, Path(pattern="^[0-9a-fA-F]{64}$")],
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
) -> Response:
    """Find the latest of your own images with these bytes, so that they need not be sent again."""
    return _detail(await services.image_changes.find_by_content(user, sha256.lower()), links)


@router.patch(
    "/images/{image_id}",
    response_model=ImageDetail,
    dependencies=[JsonBody],
    responses=responses(403, 404, 412, 413, 415, 422, 503),
)
async def change_image(
    image_id: str,
    body: ImagePatch,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Change an image's name, time or tags. Tags that you add or remove win over the model's, now and later."""
    changed = await services.image_changes.change(user, image_id, body.change, revisions_of(if_match))
    return _detail(changed, links)


@router.delete("/images/{image_id}", status_code=204, responses=responses(404))
async def delete_image(image_id: str, user: CurrentUser, services: ServicesDep) -> Response:
    """Delete an image, from the albums it is in too. Its bytes go when no other user stored the same."""
    await services.images.delete(user, image_id)
    return Response(status_code=204)


@router.get("/files/{key}", response_class=Response, responses=_PICTURE | responses(404, 416, 422))
async def get_file(
    key: str, query: Annotated[FileQuery, Query()], request: Request, user: CurrentUser, services: ServicesDep
) -> Response:
    """Read the bytes of a stored image, as they were sent, or a thumbnail of it, or be redirected to them.

    `If-None-Match`, `Range` and `If-Range` are honoured.
    """
    return await answer_file(request, await services.images.open_file(user, key, query.thumbnail))


@tutorial.post(
    "/upload-image/",
    status_code=201,
    response_model=TutorialUpload,
    dependencies=[MultipartBody],
    responses=responses(400, 403, 409, 413, 415, 422, 429, 503),
)
async def upload_image(
    file: Annotated[UploadFile, File()], user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """Store one image; `POST /api/v1/images` in the tutorial's spelling."""
    image = await services.images.upload(user, file.filename, file)
    upload = _described(image, TutorialUpload).model_copy(update={"filename": file.filename})
    return Answer(upload, links, 201)
