"""Uploading pictures and getting them back."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from deployments.errors import ImageError, PayloadTooLarge
from serve_app.api.answers import PREFIX
from serve_app.api.deps import BaseUrl, CurrentUser, MultipartBody, ServicesDep, SettingsDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import problem_of, problem_response, responses
from serve_app.api.schemas.images import ImageDetail, Rejected, TutorialUpload, Upload, Uploads
from serve_app.services.images.service import Elsewhere, ImageView

router = APIRouter(prefix=PREFIX, tags=["images"], route_class=IdempotentRoute)
tutorial = APIRouter(tags=["images"], route_class=IdempotentRoute)

_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}, "description": "the picture"},
    307: {"description": "the object store serves the picture (the setting `storage.urls`)"},
}
_FILES_AT_ONCE = 4
"""Of one request: while one is written to the disk and the database, others are decoded."""
Files = Annotated[list[UploadFile], File(alias="file", description="one or more pictures")]


def image_url(image: ImageView, base: str) -> str:
    return f"{base}{PREFIX}/files/{image.key}"


def _upload(image: ImageView, base: str) -> dict[str, Any]:
    view = Upload(
        id=image.id,
        url=image_url(image, base),
        sha256=image.sha256,
        content_type=image.content_type,
        width=image.width,
        height=image.height,
        bytes=image.bytes,
    )
    return view.model_dump(mode="json")


@router.post(
    "/images",
    status_code=201,
    response_model=Uploads,
    dependencies=[MultipartBody],
    responses=responses(400, 409, 413, 415, 422, 429, 503),
)
async def upload_images(
    file: Files, user: CurrentUser, services: ServicesDep, settings: SettingsDep, base: BaseUrl
) -> Response:
    """Store pictures. One unusable file does not stop the others: it is listed under `rejected` with a code."""
    if len(file) > settings.limits.max_images:
        raise PayloadTooLarge(f"{len(file)} files in one request; at most {settings.limits.max_images} are taken.")
    gate = asyncio.Semaphore(_FILES_AT_ONCE)

    async def store(part: UploadFile) -> ImageView | ImageError:
        async with gate:
            try:
                return await services.images.upload(user, part.filename, part)
            except ImageError as error:
                return error

    # All of them end before an error is raised: none goes on behind the answer's back.
    stored = await asyncio.gather(*map(store, file), return_exceptions=True)
    for outcome in stored:
        if isinstance(outcome, BaseException) and not isinstance(outcome, ImageError):
            raise outcome
    images = [outcome for outcome in stored if isinstance(outcome, ImageView)]
    errors = [
        (part.filename, outcome) for part, outcome in zip(file, stored, strict=True) if isinstance(outcome, ImageError)
    ]
    rejected = [
        Rejected(filename=name, code=error.code, detail=error.message).model_dump(mode="json") for name, error in errors
    ]
    if not images:
        body = problem_of(errors[0][1]) | {"rejected": rejected}
        return problem_response(body)
    return JSONResponse({"images": [_upload(image, base) for image in images], "rejected": rejected}, status_code=201)


@router.get("/images/{image_id}", response_model=ImageDetail, responses=responses(404))
async def get_image(image_id: str, user: CurrentUser, services: ServicesDep, base: BaseUrl) -> dict[str, Any]:
    """What is known of a stored picture."""
    image = await services.images.get(user, image_id)
    return _upload(image, base) | {"filename": image.filename, "created_at": image.created_at}


@router.delete("/images/{image_id}", status_code=204, responses=responses(404))
async def delete_image(image_id: str, user: CurrentUser, services: ServicesDep) -> Response:
    """Delete a picture, from the albums it is in too. Its bytes go when nobody else stored the same."""
    await services.images.delete(user, image_id)
    return Response(status_code=204)


@router.get("/files/{key}", response_class=Response, responses=_PICTURE | responses(404))
async def get_file(key: str, user: CurrentUser, services: ServicesDep) -> Response:
    """The bytes of a stored picture, as they were sent, or a redirect to them."""
    file = await services.images.open_file(user, key)
    if isinstance(file, Elsewhere):
        return RedirectResponse(file.url, 307, {"Cache-Control": f"private, max-age={file.fresh_s}"})
    headers = {
        "Content-Length": str(file.size),
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{file.sha256}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'",
    }
    return StreamingResponse(file.chunks, media_type=file.content_type, headers=headers)


@tutorial.post(
    "/upload-image/",
    status_code=201,
    response_model=TutorialUpload,
    dependencies=[MultipartBody],
    responses=responses(400, 409, 413, 415, 422, 429, 503),
)
async def upload_image(
    file: Annotated[UploadFile, File()], user: CurrentUser, services: ServicesDep, base: BaseUrl
) -> Response:
    """Store one picture; `POST /api/v1/images` in the tutorial's spelling."""
    image = await services.images.upload(user, file.filename, file)
    return JSONResponse({"filename": file.filename} | _upload(image, base), status_code=201)
