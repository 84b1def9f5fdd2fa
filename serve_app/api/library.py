"""Routes of lists of images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from serve_app.api.answers import PREFIX, LinksDep
from serve_app.api.deps import CurrentUser, ServicesDep
from serve_app.api.problems import responses
from serve_app.api.schemas.library import ImageItem, ImageList, ImagesQuery, QualityView
from serve_app.services.albums.library import ListedImage
from serve_app.store.repositories.library import Filters

router = APIRouter(prefix=PREFIX, tags=["images"])


def item_of(listed: ListedImage) -> ImageItem:
    """Describe an image of a list."""
    quality = QualityView(score=listed.score, issues=listed.issues)
    view = asdict(listed.view)
    return ImageItem.model_validate(view | {"url": view["key"], "tags": listed.tags, "quality": quality})


@router.get("/images", response_model=ImageList, responses=responses(404, 422))
async def list_images(
    query: Annotated[ImagesQuery, Query()], user: CurrentUser, services: ServicesDep, links: LinksDep
) -> Response:
    """List the user's images, those of an album, a person, a tag, a time or a quality."""
    filters = Filters(
        album_id=query.album_id,
        tag=query.tag and query.tag.lower(),
        person_id=query.person_id,
        taken_from=query.taken_from,
        taken_to=query.taken_to,
        min_quality=query.min_quality,
        issue=query.issue,
    )
    page, next_cursor = await services.library.list_images(
        user, filters, query.sort, query.limit, query.cursor, query.wanted
    )
    items = [item_of(listed).model_dump(mode="json", context=links, include=set(query.wanted)) for listed in page]
    return JSONResponse({"items": items, "next_cursor": next_cursor})
