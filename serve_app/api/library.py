"""Routes of lists of images."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from serve_app.api.answers import PREFIX, Answer, LinksDep
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.images import PlaceView
from serve_app.api.schemas.library import (
    BatchAnswer,
    BatchFailure,
    BatchRequest,
    FoundImage,
    FoundList,
    ImageItem,
    ImageList,
    ImagesQuery,
    QualityView,
    SearchQuery,
    SuggestedWord,
    Suggestions,
    TrashQuery,
)
from serve_app.services.albums.library import ListedImage
from serve_app.services.images.changes import ImageChange
from serve_app.store.repositories.library import Filters

router = APIRouter(prefix=PREFIX, tags=["images"], route_class=IdempotentRoute)


def item_of(listed: ListedImage) -> ImageItem:
    """Describe an image of a list."""
    view = listed.view
    # Not validated: a page of 500 images would take five times as long, and all of it is the server's own.
    return ImageItem.model_construct(
        id=view.id,
        url=view.key,
        filename=view.filename,
        width=view.width,
        height=view.height,
        bytes=view.bytes,
        content_type=view.content_type,
        sha256=view.sha256,
        taken_at=view.taken_at,
        created_at=view.created_at,
        camera=view.camera,
        place=None if view.place is None else PlaceView.model_validate(view.place),
        thumbnails=view.thumbnails,
        tags=listed.tags,
        quality=QualityView.model_construct(score=listed.score, issues=listed.issues),
        trashed_at=view.trashed_at,
    )


@router.get("/images", response_model=ImageList, responses=responses(404, 422))
async def list_images(
    query: Annotated[ImagesQuery, Query()], user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """List the user's images, those of an album, a person, a tag, a time or a quality."""
    page, next_cursor = await services.library.list_images(
        user, query.filters, query.sort, query.limit, query.cursor, query.wanted
    )
    items = [item_of(listed).model_dump(mode="json", context=links, include=set(query.wanted)) for listed in page]
    return JSONResponse({"items": items, "next_cursor": next_cursor})


@router.get("/search", response_model=FoundList, responses=responses(404, 422, 429, 503, 504))
async def search_library(
    query: Annotated[SearchQuery, Query()], user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """Find images in all albums by words: by tags, people, names, what they say and show, the best first, and why."""
    page, following = await services.search.search(user, query.q, query.filters, query.limit, query.cursor)
    items = [
        FoundImage.model_construct(**dict(item_of(one.listed)), score=one.score, matched=one.matched) for one in page
    ]
    shown = [item.model_dump(mode="json", context=links) for item in items]
    return JSONResponse({"items": shown, "next_cursor": following})


@router.get("/suggest", response_model=Suggestions, responses=responses(422))
async def suggest_words(
    user: CurrentUser,
    services: ServicesDep,
    q: Annotated[
        str, Query(min_length=1, max_length=100, pattern=r"^[^\x00]*\S[^\x00]*$", description="what was typed so far")
    ],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> Suggestions:
    """Suggest what a search box may go on with: tags that your images have, people and albums."""
    found = await services.search.suggest(user, q.strip(), limit)
    return Suggestions(
        items=[SuggestedWord(kind=one.kind, value=one.value, title=one.title, count=one.count) for one in found]
    )


@router.post(
    "/images/batch",
    response_model=BatchAnswer,
    dependencies=[JsonBody],
    responses=responses(403, 404, 409, 413, 415, 422, 429, 503),
)
async def change_images(body: BatchRequest, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Response:
    """Trash, restore, delete or tag images, or add them to or remove them from an album. What fails stops no other."""
    tags = None if body.tags is None else ImageChange(add_tags=body.tags.add, remove_tags=body.tags.remove)
    outcome = await services.batches.act(user, body.ids, body.action, body.album_id, tags)
    failed = [BatchFailure(id=image, code=code) for image, code in outcome.failed.items()]
    return Answer(BatchAnswer(done=outcome.done, failed=failed, job=outcome.job_id, changed=outcome.changed), links)


@router.get("/trash", response_model=ImageList, responses=responses(422))
async def list_trash(
    query: Annotated[TrashQuery, Query()], user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """List the images in the trash, the latest first."""
    filters = Filters(is_trashed=True)
    page, next_cursor = await services.library.list_images(user, filters, "trashed", query.limit, query.cursor)
    return Answer(ImageList(items=[item_of(listed) for listed in page], next_cursor=next_cursor), links)


@router.delete("/trash", status_code=204)
async def empty_trash(user: CurrentUser, services: ServicesDep) -> Response:
    """Delete all that lies in the trash, for good."""
    await services.batches.empty_trash(user)
    return Response(status_code=204)
