"""Routes of albums, one method an operation of the OpenAPI document, of its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from darkroom_client import models
from darkroom_client._async.http import AsyncHttp, M, given
from darkroom_client._async.job import RESPOND_ASYNC, AsyncJob, job_of
from darkroom_client.models import (
    AlbumList,
    AlbumSummary,
    ClustersResult,
    DuplicateDecision,
    DuplicatePage,
    DuplicatePlan,
    DuplicatesResolved,
    DuplicatesResult,
    EmbeddingsResult,
    FacePage,
    FailedPage,
    Hits,
    ImagePage,
    PeoplePage,
    QualityPage,
    QualityResult,
    RemovedImages,
    ResultPages,
    TagPage,
    TagsResult,
    TextPage,
    TextsResult,
)

Level = Literal["exact", "copy", "similar"]
Merged = Literal["tags", "albums", "taken_at"]
Analysis = Literal["tags", "duplicates", "people", "quality", "texts"]
Refs = Sequence[str]
"""Image references: ids or URLs of uploads, `http(s)://`, `s3://` or `gs://`."""


class AsyncAlbumRoutes:
    """Routes of albums. An analysis is of `images`, or of the album `album_id`."""

    _http: AsyncHttp

    async def embed_album(self, images: Refs, album_id: str | None = None) -> AsyncJob[EmbeddingsResult]:
        """Read images into an album. Tags, duplicates and people follow as jobs, which the result names."""
        return await self._job(EmbeddingsResult, "embeddings", images=list(images), album_id=album_id)

    async def make_demo_album(self) -> AsyncJob[EmbeddingsResult]:
        """Read the photographs that the server's packages ship into the album `demo`. Raises `Unavailable` where none
        are installed."""
        response = await self._http.send("POST", "/albums/demo", headers=RESPOND_ASYNC)
        return job_of(self._http, EmbeddingsResult, response)

    async def tag_album(
        self,
        album_id: str | None = None,
        *,
        images: Refs | None = None,
        labels: Sequence[str] | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        detail: bool = False,
    ) -> AsyncJob[TagsResult | ResultPages]:
        """Tag the images; `labels` is a vocabulary of your own."""
        fields = {"labels": labels and list(labels), "top_k": top_k, "threshold": threshold}
        return await self._job(TagsResult | ResultPages, "tags", detail, images=images, album_id=album_id, **fields)

    async def find_duplicates(
        self,
        album_id: str | None = None,
        *,
        images: Refs | None = None,
        level: Level | None = None,
        detail: bool = False,
    ) -> AsyncJob[DuplicatesResult | ResultPages]:
        """Find groups of images that are the same file, edited copies (the default), or shots of one moment."""
        fields = {"images": images, "album_id": album_id, "level": level}
        return await self._job(DuplicatesResult | ResultPages, "duplicates", detail, **fields)

    async def cluster_people(
        self,
        album_id: str | None = None,
        *,
        images: Refs | None = None,
        min_images: int | None = None,
        bystanders: bool | None = None,
        detail: bool = False,
    ) -> AsyncJob[ClustersResult | ResultPages]:
        """Group the images by person, the most frequent first."""
        fields = {"min_images": min_images, "bystanders": bystanders}
        result = ClustersResult | ResultPages
        return await self._job(result, "clusters", detail, images=images, album_id=album_id, **fields)

    async def assess_quality(
        self, album_id: str | None = None, *, images: Refs | None = None, detail: bool = False
    ) -> AsyncJob[QualityResult | ResultPages]:
        """Assess how sharp and how well exposed the images are."""
        return await self._job(QualityResult | ResultPages, "quality", detail, images=images, album_id=album_id)

    async def read_texts(
        self,
        album_id: str | None = None,
        *,
        images: Refs | None = None,
        min_score: float | None = None,
        likely_only: bool | None = None,
        detail: bool = False,
    ) -> AsyncJob[TextsResult | ResultPages]:
        """Read what is written in the images, in reading order; `detail`: each line with its corners and scores."""
        fields = {"min_score": min_score, "likely_only": likely_only}
        return await self._job(TextsResult | ResultPages, "texts", detail, images=images, album_id=album_id, **fields)

    async def list_albums(self, limit: int | None = None, cursor: str | None = None) -> AlbumList:
        """List albums, the newest first."""
        return await self._http.read(AlbumList, "GET", "/albums", params=given(limit=limit, cursor=cursor))

    async def create_album(self, album_id: str | None = None, title: str | None = None) -> AlbumSummary:
        """Make an album without images. Raises `Conflict` where there is one of this name."""
        return await self._http.read(AlbumSummary, "POST", "/albums", json=given(album_id=album_id, title=title))

    async def get_album(self, album_id: str, include: str | None = None) -> models.Album:
        """Describe an album: its images, its jobs, and the latest result of each analysis; `include`: some of these."""
        return await self._http.read(models.Album, "GET", _path(album_id), params=given(include=include))

    async def change_album(self, album_id: str, title: str | None, revision: str | None = None) -> AlbumSummary:
        """Give an album another title; None: none.

        `revision`: the `ETag` that the change is based on; raises `ChangedMeanwhile` where it is another one now.
        """
        headers = {"If-Match": revision} if revision else {}
        return await self._http.read(AlbumSummary, "PATCH", _path(album_id), json={"title": title}, headers=headers)

    async def add_album_images(self, album_id: str, images: Refs) -> AsyncJob[EmbeddingsResult]:
        """Add images to an album that is there, and read them. Raises `NotFound`."""
        body = {"images": list(images)}
        response = await self._http.send("POST", _path(album_id, "/images"), json=body, headers=RESPOND_ASYNC)
        return job_of(self._http, EmbeddingsResult, response)

    async def remove_album_images(self, album_id: str, images: Refs) -> RemovedImages:
        """Take images out of an album; they stay in your library."""
        body = {"images": list(images)}
        return await self._http.read(RemovedImages, "DELETE", _path(album_id, "/images"), json=body)

    async def delete_album(self, album_id: str) -> None:
        """Delete an album with its vectors, faces and results. Images that were uploaded stay."""
        await self._http.send("DELETE", _path(album_id))

    async def search_album(self, album_id: str, q: str, limit: int | None = None) -> Hits:
        """Find images that show what the words say, the best first; `-word` excludes."""
        return await self._http.read(Hits, "GET", _path(album_id, "/search"), params=given(q=q, limit=limit))

    async def similar_images(self, album_id: str, image: str, limit: int | None = None) -> Hits:
        """Find images of the album that look like this one, the most similar first."""
        return await self._http.read(Hits, "GET", _path(album_id, "/similar"), params=given(image=image, limit=limit))

    async def list_album_images(self, album_id: str, limit: int | None = None, cursor: str | None = None) -> ImagePage:
        """List the images of an album in the order in which they came."""
        return await self._page(ImagePage, album_id, "images", limit=limit, cursor=cursor)

    async def list_album_tags(
        self, album_id: str, limit: int | None = None, cursor: str | None = None, result: str | None = None
    ) -> TagPage:
        """List the images of an album with their tags."""
        return await self._page(TagPage, album_id, "tags", limit=limit, cursor=cursor, result=result)

    async def list_album_duplicates(
        self,
        album_id: str,
        limit: int | None = None,
        cursor: str | None = None,
        result: str | None = None,
        level: Level | None = None,
        status: Literal["open", "resolved", "dismissed"] | None = None,
    ) -> DuplicatePage:
        """List the groups of duplicates of an album, the largest first; decided ones, the latest decision first."""
        query = given(level=level, status=status, limit=limit, cursor=cursor, result=result)
        return await self._page(DuplicatePage, album_id, "duplicates", **query)

    async def resolve_duplicates(
        self,
        album_id: str,
        group: str,
        keep: Sequence[str],
        trash: Sequence[str],
        merge: Sequence[Merged] | None = None,
    ) -> DuplicateDecision:
        """Keep some images of a group, by their ids, and put the others into the trash.

        `merge`: what the kept take over; default: all. Raises `Conflict` for a group that has changed.
        """
        body = given(keep=list(keep), trash=list(trash), merge=None if merge is None else list(merge))
        path = _path(album_id, f"/duplicates/{quote(group, safe='')}/resolve")
        return await self._http.read(DuplicateDecision, "POST", path, json=body)

    async def dismiss_duplicates(self, album_id: str, group: str) -> DuplicateDecision:
        """Remember that the images of a group are no duplicates. Raises `Conflict` for a group that has changed."""
        path = _path(album_id, f"/duplicates/{quote(group, safe='')}/dismiss")
        return await self._http.read(DuplicateDecision, "POST", path)

    async def resolve_all_duplicates(
        self,
        album_id: str,
        level: Level | None = None,
        rule: Literal["suggested"] | None = None,
        dry_run: bool = False,
        plan: str | None = None,
        merge: Sequence[Merged] | None = None,
        only: Level | None = None,
    ) -> AsyncJob[DuplicatesResolved | DuplicatePlan]:
        """Resolve all open groups as the search suggests.

        `level`: of the search, exact by default. `only`: of its groups those of this level alone. `dry_run`: tell what
        would be done; the job's result is ready then. `plan`: of a dry run, to do just that or nothing.
        """
        chosen = {"rule": rule, "plan": plan, "only": only, "merge": None if merge is None else list(merge)}
        body = given(level=level, dry_run=dry_run or None, **chosen)
        path = _path(album_id, "/duplicates/resolve")
        response = await self._http.send("POST", path, json=body, headers=RESPOND_ASYNC)
        return job_of(self._http, DuplicatePlan if dry_run else DuplicatesResolved, response)

    async def list_album_people(
        self, album_id: str, limit: int | None = None, cursor: str | None = None, result: str | None = None
    ) -> PeoplePage:
        """List the people of an album, those in the most images first."""
        return await self._page(PeoplePage, album_id, "people", limit=limit, cursor=cursor, result=result)

    async def list_album_faces(
        self,
        album_id: str,
        person: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        result: str | None = None,
    ) -> FacePage:
        """List the faces of an album, person by person, or those of one person."""
        query = given(person=person, limit=limit, cursor=cursor, result=result)
        return await self._page(FacePage, album_id, "faces", **query)

    async def list_album_quality(
        self, album_id: str, limit: int | None = None, cursor: str | None = None, result: str | None = None
    ) -> QualityPage:
        """List how sharp and how well exposed the images of an album are."""
        return await self._page(QualityPage, album_id, "quality", limit=limit, cursor=cursor, result=result)

    async def list_album_texts(
        self, album_id: str, limit: int | None = None, cursor: str | None = None, result: str | None = None
    ) -> TextPage:
        """List what is written in the images of an album, in the order in which they came."""
        return await self._page(TextPage, album_id, "texts", limit=limit, cursor=cursor, result=result)

    async def list_album_failures(
        self,
        album_id: str,
        kind: Analysis,
        limit: int | None = None,
        cursor: str | None = None,
        result: str | None = None,
    ) -> FailedPage:
        """List the images that an analysis could not use, and why."""
        query = given(kind=kind, limit=limit, cursor=cursor, result=result)
        return await self._page(FailedPage, album_id, "failed", **query)

    async def _job(self, result: Any, verb: str, detail: bool = False, **fields: Any) -> AsyncJob[Any]:
        body = given(**{name: list(value) if name == "images" and value else value for name, value in fields.items()})
        query = {"detail": True} if detail else {}
        response = await self._http.send("POST", f"/albums/{verb}", json=body, params=query, headers=RESPOND_ASYNC)
        return job_of(self._http, result, response)

    async def _page(self, page: type[M], album_id: str, name: str, **query: Any) -> M:
        return await self._http.read(page, "GET", _path(album_id, f"/{name}"), params=given(**query))


def _path(album_id: str, below: str = "") -> str:
    """Path of an album, whose id may hold slashes."""
    return f"/albums/{quote(album_id, safe='')}{below}"
