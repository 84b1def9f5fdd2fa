"""Routes that add images to an album and take them out."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from serve_app.api.albums import check_count
from serve_app.api.answers import LATER, PREFIX, Answer, LinksDep, answer_with_job
from serve_app.api.below_album import BelowAlbum
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep, SettingsDep, WaitPreferenceDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.albums import ImageRefs
from serve_app.services.albums.results import EmbeddingsResult, RemovedImages


class IdempotentBelowAlbum(BelowAlbum, IdempotentRoute):
    """A route below an album whose repeated POST gets the first answer."""


router = APIRouter(prefix=f"{PREFIX}/albums", tags=["albums"], route_class=IdempotentBelowAlbum)
"""To be included before the routes of albums, which take any path for an id."""


@router.post(
    "/{album_id:path}/images",
    status_code=201,
    response_model=EmbeddingsResult,
    dependencies=[JsonBody],
    responses=LATER | responses(403, 404, 409, 413, 415, 422, 429, 503, 504),
)
async def add_album_images(
    album_id: str,
    body: ImageRefs,
    user: CurrentUser,
    services: ServicesDep,
    settings: SettingsDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
) -> Response:
    """Add images to an album that is there, and read them, as `POST /albums/embeddings` does."""
    check_count(body.images, settings)
    job_id = await services.albums.add_images(user, album_id, body.images)
    return await answer_with_job(services, user, job_id, wait_preference, links, status=201)


@router.delete(
    "/{album_id:path}/images",
    response_model=RemovedImages,
    dependencies=[JsonBody],
    responses=responses(403, 404, 413, 415, 422, 503),
)
async def remove_album_images(
    album_id: str, body: ImageRefs, user: CurrentUser, services: ServicesDep, settings: SettingsDep, links: LinksDep
) -> Response:
    """Take images out of an album; they stay in your library. What is not in it stops no other."""
    check_count(body.images, settings)
    return Answer(await services.album_changes.remove_images(user, album_id, body.images), links)
