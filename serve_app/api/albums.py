"""Albums: embed pictures, then ask for tags, duplicates, people, quality, search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from deployments.errors import PayloadTooLarge
from serve_app.api.answers import PREFIX, answer_with_job, job_view
from serve_app.api.deps import JsonBody, PatienceDep, ServicesDep, SettingsDep, User
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas import (
    Album,
    AlbumList,
    AnalysisRequest,
    ClustersRequest,
    ClustersResult,
    DuplicatesRequest,
    DuplicatesResult,
    EmbeddingsRequest,
    EmbeddingsResult,
    Hits,
    Job,
    QualityRequest,
    QualityResult,
    TagsRequest,
    TagsResult,
)
from serve_app.services.container import Services

router = APIRouter(prefix=f"{PREFIX}/albums", tags=["albums"], route_class=IdempotentRoute)

Detail = Annotated[bool, Query(description="add scores, faces and which duplicate to keep")]
Limit = Annotated[int, Query(ge=1, le=500)]

_LATER: dict[int | str, dict[str, Any]] = {202: {"model": Job, "description": "Still at work; see `Location`"}}
_ERRORS = responses(404, 409, 413, 415, 422, 429, 503, 504)


def _check_count(images: list[str] | None, settings: SettingsDep) -> None:
    if images and len(images) > settings.limits.max_images:
        raise PayloadTooLarge(f"{len(images)} images in one request; at most {settings.limits.max_images} are taken.")


@router.post(
    "/embeddings",
    status_code=201,
    response_model=EmbeddingsResult,
    dependencies=[JsonBody],
    responses=_LATER | _ERRORS,
)
async def embed_album(
    body: EmbeddingsRequest,
    user: User,
    services: ServicesDep,
    settings: SettingsDep,
    patience: PatienceDep,
) -> Response:
    """Read the pictures, store their vectors and faces, and start tags, duplicates and people as durable jobs.

    Posting to an existing album adds to it; posting the same picture again changes nothing.
    """
    _check_count(body.images, settings)
    job_id = await services.albums.request_embeddings(user, body.images, body.album_id)
    return await answer_with_job(services, user, job_id, patience, status=201)


async def _analyse(
    kind: Literal["tags", "duplicates", "people", "quality"],
    parameters: dict[str, Any],
    body: AnalysisRequest,
    services: Services,
    user: str,
    settings: SettingsDep,
    patience: PatienceDep,
    detail: bool,
) -> Response:
    _check_count(body.images, settings)
    ready = await services.albums.request_analysis(user, kind, parameters, body.images, body.album_id, detail)
    if ready.result is not None:
        return JSONResponse(ready.result)
    return await answer_with_job(services, user, ready.job_id, patience)


@router.post("/tags", response_model=TagsResult, dependencies=[JsonBody], responses=_LATER | _ERRORS)
async def tag_album(
    body: TagsRequest,
    user: User,
    services: ServicesDep,
    settings: SettingsDep,
    patience: PatienceDep,
    detail: Detail = False,
) -> Response:
    """Tag -> the pictures it fits."""
    parameters = {"labels": body.labels, "top_k": body.top_k, "threshold": body.threshold}
    return await _analyse(
        "tags", parameters, body, services, user, settings, patience, detail
    )  # fmt: skip


@router.post("/duplicates", response_model=DuplicatesResult, dependencies=[JsonBody], responses=_LATER | _ERRORS)
async def find_duplicates(
    body: DuplicatesRequest,
    user: User,
    services: ServicesDep,
    settings: SettingsDep,
    patience: PatienceDep,
    detail: Detail = False,
) -> Response:
    """Groups of two or more pictures that are the same file, edited copies, or shots of one moment."""
    parameters = {"level": body.level}
    return await _analyse("duplicates", parameters, body, services, user, settings, patience, detail)


@router.post("/clusters", response_model=ClustersResult, dependencies=[JsonBody], responses=_LATER | _ERRORS)
async def cluster_people(
    body: ClustersRequest,
    user: User,
    services: ServicesDep,
    settings: SettingsDep,
    patience: PatienceDep,
    detail: Detail = False,
) -> Response:
    """Person -> the pictures he or she is in, the most frequent person first."""
    parameters = {"min_images": body.min_images}
    return await _analyse("people", parameters, body, services, user, settings, patience, detail)


@router.post("/quality", response_model=QualityResult, dependencies=[JsonBody], responses=_LATER | _ERRORS)
async def assess_quality(
    body: QualityRequest,
    user: User,
    services: ServicesDep,
    settings: SettingsDep,
    patience: PatienceDep,
) -> Response:
    """How sharp and how well exposed each picture is, from 0 to 1, and what is wrong with it."""
    return await _analyse("quality", {}, body, services, user, settings, patience, detail=False)


@router.get("", response_model=AlbumList, responses=responses(422))
async def list_albums(
    user: User, services: ServicesDep, limit: Limit = 50, cursor: Annotated[str | None, Query(max_length=200)] = None
) -> dict[str, Any]:
    """Albums, the newest first."""
    return await services.albums.list_albums(user, limit, cursor)


@router.get("/{album_id:path}/search", response_model=Hits, responses=responses(404, 422, 429, 503, 504))
async def search_album(
    album_id: str,
    user: User,
    services: ServicesDep,
    q: Annotated[str, Query(min_length=1, max_length=200, description="words", examples=["dog on a beach"])],
    limit: Limit = 20,
) -> dict[str, Any]:
    """Pictures that show what the words say, the best first."""
    return {"results": await services.albums.search(user, album_id, q, limit)}


@router.get("/{album_id:path}/similar", response_model=Hits, responses=responses(404, 422, 429, 503, 504))
async def similar_images(
    album_id: str,
    user: User,
    services: ServicesDep,
    image: Annotated[str, Query(min_length=1, max_length=8192, description="a picture of the album, as it was sent")],
    limit: Limit = 20,
) -> dict[str, Any]:
    """Pictures of the album that look like this one, the most similar first."""
    return {"results": await services.albums.similar(user, album_id, image, limit)}


@router.get("/{album_id:path}", response_model=Album, responses=responses(404))
async def get_album(album_id: str, user: User, services: ServicesDep) -> dict[str, Any]:
    """An album: its pictures, its jobs, and the latest result of each analysis."""
    album = await services.albums.get_album(user, album_id)
    return album | {"jobs": [job_view(job) for job in album["jobs"]]}


@router.delete("/{album_id:path}", status_code=204, responses=responses(404))
async def delete_album(album_id: str, user: User, services: ServicesDep) -> Response:
    """Delete an album with its vectors, faces and results. Pictures that were uploaded stay."""
    await services.albums.delete_album(user, album_id)
    return Response(status_code=204)
