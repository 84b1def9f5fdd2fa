"""Routes of the pages of albums: their images, and what analyses found."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from serve_app.api.answers import PREFIX
from serve_app.api.below_album import BelowAlbum
from serve_app.api.deps import CurrentUser, ServicesDep
from serve_app.api.history import Cursor
from serve_app.api.problems import responses
from serve_app.services.albums.items import AnalysisKind
from serve_app.services.albums.result_pages import KIND_OF, Section
from serve_app.services.albums.results import (
    FacePage,
    FailedPage,
    ImagePage,
    PeoplePage,
    QualityPage,
    TagPage,
    TextPage,
)

router = APIRouter(prefix=f"{PREFIX}/albums", tags=["albums"], route_class=BelowAlbum)
"""To be included before the routes of albums, which take any path for an id."""

Limit = Annotated[int, Query(ge=1, le=500)]
Result = Annotated[
    str | None,
    Query(pattern="^[0-9a-f]{32}$", description="one result, as a link to its pages names it; default: the latest"),
]
Person = Annotated[str | None, Query(pattern="^per_[0-9a-z]{1,40}$", description="only the faces of this person")]

_ERRORS = responses(404, 422)


class Entries:
    """A request for a page of what an analysis found."""

    def __init__(
        self,
        album_id: str,
        user: CurrentUser,
        services: ServicesDep,
        limit: Limit = 100,
        cursor: Cursor = None,
        result: Result = None,
    ) -> None:
        self._user = user
        self._album = album_id
        self._services = services
        self._limit = limit
        self._cursor = cursor
        self._result = result

    async def load(self, section: Section, kind: str | None = None, person: str | None = None) -> dict[str, Any]:
        """Load the page of a section. `kind`: of the analysis, where the section does not tell."""
        items, following = await self._services.album_pages.list_entries(
            self._user,
            self._album,
            kind or KIND_OF[section],
            section,
            self._limit,
            self._cursor,
            key=self._result,
            person=person,
        )
        return {"items": items, "next_cursor": following}


EntriesDep = Annotated[Entries, Depends()]


@router.get("/{album_id:path}/images", response_model=ImagePage, responses=_ERRORS)
async def list_album_images(
    album_id: str, user: CurrentUser, services: ServicesDep, limit: Limit = 100, cursor: Cursor = None
) -> ImagePage:
    """List the images of an album in the order in which they came, and what became of them."""
    return await services.album_pages.list_images(user, album_id, limit, cursor)


@router.get("/{album_id:path}/tags", response_model=TagPage, responses=_ERRORS)
async def list_album_tags(entries: EntriesDep) -> dict[str, Any]:
    """List the images of an album with their tags, in the order in which they came."""
    return await entries.load("tags")


@router.get("/{album_id:path}/people", response_model=PeoplePage, responses=_ERRORS)
async def list_album_people(entries: EntriesDep) -> dict[str, Any]:
    """List the people of an album, those in the most images first."""
    return await entries.load("people")


@router.get("/{album_id:path}/faces", response_model=FacePage, responses=_ERRORS)
async def list_album_faces(entries: EntriesDep, person: Person = None) -> dict[str, Any]:
    """List the faces of an album, person by person; unassigned ones come last."""
    return await entries.load("faces", person=person)


@router.get("/{album_id:path}/quality", response_model=QualityPage, responses=_ERRORS)
async def list_album_quality(entries: EntriesDep) -> dict[str, Any]:
    """List how sharp and how well exposed the images of an album are, in the order in which they came."""
    return await entries.load("quality")


@router.get("/{album_id:path}/texts", response_model=TextPage, responses=_ERRORS)
async def list_album_texts(entries: EntriesDep) -> dict[str, Any]:
    """List what is written in the images of an album, in the order in which they came."""
    return await entries.load("texts")


@router.get("/{album_id:path}/failed", response_model=FailedPage, responses=_ERRORS)
async def list_album_failures(entries: EntriesDep, kind: Annotated[AnalysisKind, Query()]) -> dict[str, Any]:
    """List the images that an analysis could not use, and why."""
    return await entries.load("failed", kind)
