"""Routes of albums: embed images, then request tags, duplicates, people, quality, search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from deployments.errors import PayloadTooLarge
from serve_app.api.answers import LATER, PREFIX, Answer, LinksDep, answer_with_job
from serve_app.api.below_album import BelowAlbum, OneAlbum
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep, SettingsDep, WaitPreferenceDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.revisions import IfMatch, etag, revisions_of
from serve_app.api.schemas.albums import (
    AlbumPatch,
    AnalysisRequest,
    ClustersRequest,
    DuplicatesRequest,
    EmbeddingsRequest,
    NewAlbum,
    QualityRequest,
    TagsRequest,
    TextsRequest,
)
from serve_app.api.slashes import ends_in_slash
from serve_app.services.albums.items import AnalysisKind
from serve_app.services.albums.results import (
    ALBUM_PARTS,
    Album,
    AlbumList,
    AlbumSummary,
    ClustersResult,
    DuplicatesResult,
    EmbeddingsResult,
    Hits,
    QualityResult,
    ResultPages,
    TagsResult,
    TextsResult,
)


class _Album(IdempotentRoute):
    """A route whose path may end in an album's id: `a%2F` is the album `a/`, `a/` the album `a` with a slash too many.

    The latter is no match, and redirected (`slashes.redirecting`)."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE, {}) if ends_in_slash(scope) else super().matches(scope)


router = APIRouter(prefix=f"{PREFIX}/albums", tags=["albums"], route_class=_Album)
below = APIRouter(prefix=f"{PREFIX}/albums", tags=["albums"], route_class=BelowAlbum)
"""To be included before `router`, whose routes take any path for an id."""

Detail = Annotated[bool, Query(description="add scores, faces and which duplicate to keep")]
_LONGEST_IN_QUERY = 4096
"""Characters of a reference in a query: each may take twelve bytes there, and HTTP servers read 64 KiB of a line."""
SearchLimit = Annotated[int, Query(ge=1, le=500)]
_PART, _ALL_PARTS = "|".join(ALBUM_PARTS), ",".join(ALBUM_PARTS)
Include = Annotated[
    str,
    Query(
        pattern=f"^(({_PART})(,({_PART}))*)?$",
        max_length=100,
        description="only these parts, separated by commas; empty: none of them",
    ),
]

_ERRORS = responses(403, 404, 409, 413, 415, 422, 429, 503, 504)


def check_count(images: list[str] | None, settings: SettingsDep) -> None:
    """Raise `PayloadTooLarge` for more images than one request may name."""
    if images and len(images) > settings.limits.max_images:
        raise PayloadTooLarge(f"{len(images)} images in one request; at most {settings.limits.max_images} are taken.")


@router.post(
    "/embeddings",
    status_code=201,
    response_model=EmbeddingsResult,
    dependencies=[JsonBody],
    responses=LATER | _ERRORS,
)
async def embed_album(
    body: EmbeddingsRequest,
    user: CurrentUser,
    services: ServicesDep,
    settings: SettingsDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
) -> Response:
    """Read the images, store their vectors and faces, and start tags, people, duplicates and texts as durable jobs.

    Posting to an existing album adds to it; posting the same image again changes nothing.
    """
    check_count(body.images, settings)
    job_id = await services.albums.request_embeddings(user, body.images, body.album_id)
    return await answer_with_job(services, user, job_id, wait_preference, links, status=201)


@router.post("/demo", status_code=201, response_model=EmbeddingsResult, responses=LATER | _ERRORS)
async def make_demo_album(
    user: CurrentUser, services: ServicesDep, wait_preference: WaitPreferenceDep, links: LinksDep
) -> Response:
    """Put the photographs that installed packages ship into the album `demo`, and read it, as `embed_album` does.

    Posting again changes nothing. `GET /capabilities` tells whether there are any.
    """
    job_id = await services.demo.request(user)
    return await answer_with_job(services, user, job_id, wait_preference, links, status=201)


class Analysis:
    """A request for an analysis: its user, its wait preference, and whether it wants details."""

    def __init__(
        self,
        user: CurrentUser,
        services: ServicesDep,
        settings: SettingsDep,
        wait_preference: WaitPreferenceDep,
        links: LinksDep,
        detail: Detail = False,
    ) -> None:
        self._user = user
        self._services = services
        self._settings = settings
        self._wait_preference = wait_preference
        self._links = links
        self._detail = detail

    @property
    def texts_model(self) -> str | None:
        """The recognition model that the settings name: of another one no stored result is answered. None: ours."""
        chosen = self._settings.texts.recognition_model
        return None if chosen is None else chosen.name

    async def answer(self, kind: AnalysisKind, body: AnalysisRequest, **parameters: Any) -> Response:
        """Answer with the stored result, that of a job, or the job."""
        check_count(body.images, self._settings)
        ready = await self._services.albums.request_analysis(
            self._user, kind, parameters, body.images, body.album_id, self._detail
        )
        if ready.result is not None:
            return Answer(ready.result, self._links)
        return await answer_with_job(self._services, self._user, ready.job_id, self._wait_preference, self._links)


AnalysisDep = Annotated[Analysis, Depends()]


@router.post("/tags", response_model=TagsResult | ResultPages, dependencies=[JsonBody], responses=LATER | _ERRORS)
async def tag_album(body: TagsRequest, analysis: AnalysisDep) -> Response:
    """Tag the images: tag -> the images it fits."""
    return await analysis.answer("tags", body, labels=body.labels, top_k=body.top_k, threshold=body.threshold)


@router.post(
    "/duplicates", response_model=DuplicatesResult | ResultPages, dependencies=[JsonBody], responses=LATER | _ERRORS
)
async def find_duplicates(body: DuplicatesRequest, analysis: AnalysisDep) -> Response:
    """Find groups of two or more images that are the same file, edited copies, or shots of one moment."""
    return await analysis.answer("duplicates", body, level=body.level)


@router.post(
    "/clusters", response_model=ClustersResult | ResultPages, dependencies=[JsonBody], responses=LATER | _ERRORS
)
async def cluster_people(body: ClustersRequest, analysis: AnalysisDep) -> Response:
    """Group the images by person: person -> the images he or she is in, the most frequent person first."""
    return await analysis.answer("people", body, min_images=body.min_images, bystanders=body.bystanders)


@router.post("/quality", response_model=QualityResult | ResultPages, dependencies=[JsonBody], responses=LATER | _ERRORS)
async def assess_quality(body: QualityRequest, analysis: AnalysisDep) -> Response:
    """Assess how sharp and how well exposed each image is, from 0 to 1, and what is wrong with it."""
    return await analysis.answer("quality", body)


@router.post("/texts", response_model=TextsResult | ResultPages, dependencies=[JsonBody], responses=LATER | _ERRORS)
async def read_texts(body: TextsRequest, analysis: AnalysisDep) -> Response:
    """Read what is written in each image, in reading order, whichever way the page is turned.

    Every image is read, which takes a second or two for a page; what was read is kept.
    """
    likely_only = True if body.likely_only else None
    given = {"min_score": body.min_score, "likely_only": likely_only, "model": analysis.texts_model}
    return await analysis.answer("texts", body, **given)


@router.get("", response_model=AlbumList, responses=responses(422))
async def list_albums(
    user: CurrentUser,
    services: ServicesDep,
    limit: SearchLimit = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> AlbumList:
    """List albums, the newest first."""
    return await services.albums.list_albums(user, limit, cursor)


@below.get("/{album_id:path}/search", response_model=Hits, responses=responses(404, 422, 429, 503, 504))
async def search_album(
    album_id: str,
    user: CurrentUser,
    services: ServicesDep,
    q: Annotated[
        str, Query(min_length=1, max_length=200, description="words; -word excludes", examples=["dog on a beach"])
    ],
    limit: SearchLimit = 20,
) -> Hits:
    """Find images that show what the words say, the best first."""
    return Hits(results=await services.albums.search(user, album_id, q, limit))


@below.get("/{album_id:path}/similar", response_model=Hits, responses=responses(404, 422, 429, 503, 504))
async def similar_images(
    album_id: str,
    user: CurrentUser,
    services: ServicesDep,
    image: Annotated[str, Query(min_length=1, max_length=_LONGEST_IN_QUERY, description="a picture, as it was sent")],
    limit: SearchLimit = 20,
) -> Hits:
    """Find images of the album that look like this one, the most similar first."""
    return Hits(results=await services.albums.similar(user, album_id, image, limit))


@router.post(
    "",
    status_code=201,
    response_model=AlbumSummary,
    dependencies=[JsonBody],
    responses=responses(403, 409, 413, 415, 422, 429, 503),
)
async def create_album(body: NewAlbum, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Response:
    """Make an album without images."""
    album = await services.album_changes.create(user, body.album_id, body.title)
    return Answer(album, links, 201, headers=etag(album.revision))


@router.get("/{album_id:path}", response_model=Album, responses=responses(404, 422))
async def get_album(
    album_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep, include: Include = _ALL_PARTS
) -> Response:
    """Describe an album: its images, its jobs, and the latest result of each analysis.

    Of a large album the first images, and where the others and the results are. Its `ETag` names the state of what can
    be changed.
    """
    parts = {part for part in ALBUM_PARTS if part in include.split(",")}
    album = await services.album_pages.get_album(user, album_id, parts)
    left_out = {*ALBUM_PARTS} - parts | (set() if "images" in parts else {"next_cursor"})
    return JSONResponse(album.model_dump(mode="json", context=links, exclude=left_out), headers=etag(album.revision))


async def change_album(
    album_id: str,
    body: AlbumPatch,
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    if_match: IfMatch = None,
) -> Response:
    """Give an album another title."""
    album = await services.album_changes.change_title(user, album_id, body.title, revisions_of(if_match))
    return Answer(album, links, headers=etag(album.revision))


router.add_api_route(
    "/{album_id:path}",
    change_album,
    methods=["PATCH"],
    response_model=AlbumSummary,
    dependencies=[JsonBody],
    responses=responses(403, 404, 412, 413, 415, 422, 503),
    route_class_override=OneAlbum,
)


@router.delete("/{album_id:path}", status_code=204, responses=responses(404))
async def delete_album(album_id: str, user: CurrentUser, services: ServicesDep) -> Response:
    """Delete an album with its vectors, faces and results. Images that were uploaded stay."""
    await services.albums.delete_album(user, album_id)
    return Response(status_code=204)
