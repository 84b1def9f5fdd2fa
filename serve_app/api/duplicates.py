"""Routes of groups of duplicates: looked at, resolved, dismissed."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from deployments.contracts.albums import DuplicateLevel
from serve_app.api.album_images import IdempotentBelowAlbum
from serve_app.api.album_pages import Limit, Result
from serve_app.api.answers import LATER, PREFIX, Answer, LinksDep, answer_with_job
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep, WaitPreferenceDep
from serve_app.api.history import Cursor
from serve_app.api.problems import responses
from serve_app.api.schemas.albums import ResolveAllRequest, ResolveRequest
from serve_app.services.albums.results import DuplicateDecision, DuplicatePage, DuplicatePlan, DuplicatesResolved

router = APIRouter(prefix=f"{PREFIX}/albums", tags=["duplicates"], route_class=IdempotentBelowAlbum)
"""To be included before the routes of albums, which take any path for an id."""

Group = Annotated[str, Path(pattern="^dup_[0-9a-f]{32}$")]
Status = Annotated[
    Literal["open", "resolved", "dismissed"] | None,
    Query(description="only these; default: those that the search found, whatever became of them"),
]
Level = Annotated[DuplicateLevel | None, Query(description="of the search; default: the latest one")]


@router.get("/{album_id:path}/duplicates", response_model=DuplicatePage, responses=responses(404, 422))
async def list_album_duplicates(
    album_id: str,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    level: Level = None,
    status: Status = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    result: Result = None,
) -> Response:
    """List the groups of duplicates of an album, the largest first; decided ones, the latest decision first.

    The id of a group is made of what its members hold: it stays while they do.
    """
    page = await services.duplicate_groups.load_page(
        user, album_id, limit, cursor, status=status, level=level, key=result
    )
    return Answer(page, links)


@router.post(
    "/{album_id:path}/duplicates/resolve",
    response_model=DuplicatesResolved | DuplicatePlan,
    dependencies=[JsonBody],
    responses=LATER | responses(403, 404, 409, 413, 415, 422, 429, 503, 504),
)
async def resolve_all_duplicates(
    album_id: str,
    body: ResolveAllRequest,
    user: CurrentUser,
    services: ServicesDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
) -> Response:
    """Resolve all open groups, or those of one level, as the search suggests, or tell what that would do.

    It is one job, which is taken back at once. What is not kept goes into the trash.
    """
    decisions = services.duplicate_decisions
    if body.dry_run:
        return Answer(await decisions.plan(user, album_id, body.level, body.only), links)
    job_id = await decisions.request_all(user, album_id, body.level, body.only, body.plan, body.merge)
    return await answer_with_job(services, user, job_id, wait_preference, links)


@router.post(
    "/{album_id:path}/duplicates/{group}/resolve",
    response_model=DuplicateDecision,
    dependencies=[JsonBody],
    responses=responses(403, 404, 409, 413, 415, 422, 503),
)
async def resolve_duplicates(
    album_id: str, group: Group, body: ResolveRequest, user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """Keep some images of a group and put the others into the trash. A group that has changed is 409."""
    decisions = services.duplicate_decisions
    return Answer(await decisions.resolve(user, album_id, group, body.keep, body.trash, body.merge), links)


@router.post(
    "/{album_id:path}/duplicates/{group}/dismiss",
    response_model=DuplicateDecision,
    responses=responses(403, 404, 409, 422, 503),
)
async def dismiss_duplicates(
    album_id: str, group: Group, user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """Remember that the images of a group are no duplicates: they are in no group together again, in no album."""
    return Answer(await services.duplicate_decisions.dismiss(user, album_id, group), links)
