"""Routes of lists of images, of jobs and of what changes, one method an operation of the document, of its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from darkroom_client import models
from darkroom_client._async.events import follow
from darkroom_client._async.http import AsyncHttp, given
from darkroom_client._async.job import AsyncJob
from darkroom_client.changes import Change
from darkroom_client.models import (
    BatchAnswer,
    FoundList,
    ImageDetail,
    ImageList,
    JobPage,
    NewWebhook,
    Suggestions,
    WebhookList,
    WebhookView,
)

Sort = Literal["taken", "added", "quality"]
Action = Literal["trash", "restore", "delete", "add_to_album", "remove_from_album", "tag"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class AsyncLibraryRoutes:
    """Routes of lists of images, of jobs, events and webhooks."""

    _http: AsyncHttp

    async def list_images(
        self,
        *,
        album_id: str | None = None,
        tag: str | None = None,
        person_id: str | None = None,
        taken_from: datetime | None = None,
        taken_to: datetime | None = None,
        min_quality: float | None = None,
        issue: str | None = None,
        sha256: str | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        fields: str | None = None,
    ) -> ImageList:
        """List your images, those of an album, a person, a tag, a time or a quality."""
        query = given(
            album_id=album_id,
            tag=tag,
            person_id=person_id,
            taken_from=taken_from and taken_from.isoformat(),
            taken_to=taken_to and taken_to.isoformat(),
            min_quality=min_quality,
            issue=issue,
            sha256=sha256,
            sort=sort,
            limit=limit,
            cursor=cursor,
            fields=fields,
        )
        return await self._http.read(ImageList, "GET", "/images", params=query)

    async def search_library(
        self,
        q: str,
        *,
        album_id: str | None = None,
        tag: str | None = None,
        person_id: str | None = None,
        taken_from: datetime | None = None,
        taken_to: datetime | None = None,
        min_quality: float | None = None,
        issue: str | None = None,
        sha256: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> FoundList:
        """Find images in all albums by words, the best first, and why; `-word` excludes."""
        query = given(
            q=q,
            album_id=album_id,
            tag=tag,
            person_id=person_id,
            taken_from=taken_from and taken_from.isoformat(),
            taken_to=taken_to and taken_to.isoformat(),
            min_quality=min_quality,
            issue=issue,
            sha256=sha256,
            limit=limit,
            cursor=cursor,
        )
        return await self._http.read(FoundList, "GET", "/search", params=query)

    async def suggest_words(self, q: str, limit: int | None = None) -> Suggestions:
        """Suggest what a search box may go on with: tags that your images have, and albums."""
        return await self._http.read(Suggestions, "GET", "/suggest", params=given(q=q, limit=limit))

    async def change_image(
        self,
        image_id: str,
        *,
        filename: str | None = None,
        taken_at: str | None = None,
        tags: dict[str, Sequence[str]] | None = None,
        revision: str | None = None,
    ) -> ImageDetail:
        """Change an image's name, time or tags (`{"add": [...], "remove": [...]}`).

        `revision`: the `ETag` that the change is based on; raises `ChangedMeanwhile` where it is another one now.
        """
        body = given(filename=filename, taken_at=taken_at, tags=tags)
        headers = {"If-Match": revision} if revision else {}
        return await self._http.read(ImageDetail, "PATCH", f"/images/{image_id}", json=body, headers=headers)

    async def find_image(self, sha256: str) -> ImageDetail:
        """Find your own image with these bytes. Raises `NotFound`."""
        return await self._http.read(ImageDetail, "GET", f"/images/by-sha256/{sha256}")

    async def change_images(
        self,
        ids: Sequence[str],
        action: Action,
        album_id: str | None = None,
        tags: dict[str, Sequence[str]] | None = None,
    ) -> BatchAnswer:
        """Do one thing with many images. -> what became of each

        `tags`, of the action `tag`: `{"add": [...], "remove": [...]}`.
        """
        body = given(ids=list(ids), action=action, album_id=album_id, tags=tags)
        return await self._http.read(BatchAnswer, "POST", "/images/batch", json=body)

    async def list_trash(self, limit: int | None = None, cursor: str | None = None) -> ImageList:
        """List the images in the trash, the latest first."""
        return await self._http.read(ImageList, "GET", "/trash", params=given(limit=limit, cursor=cursor))

    async def empty_trash(self) -> None:
        """Delete the images in the trash."""
        await self._http.send("DELETE", "/trash")

    async def list_jobs(
        self,
        *,
        status: Status | None = None,
        kind: str | None = None,
        album_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> JobPage:
        """List your jobs, the newest first."""
        query = given(status=status, kind=kind, album_id=album_id, limit=limit, cursor=cursor)
        return await self._http.read(JobPage, "GET", "/jobs", params=query)

    async def retry_job(self, job_id: str) -> AsyncJob[Any]:
        """Start the work of a job that failed or was cancelled anew. Raises `Conflict`."""
        state = await self._http.read(models.Job, "POST", f"/jobs/{quote(job_id, safe='')}/retry")
        return AsyncJob(self._http, Any, state)

    def watch_events(self, last_event_id: str | None = None) -> AsyncIterator[tuple[str, Change | None]]:
        """Follow what changes of yours. Yields an id to go on after, and what changed; None: read everything anew."""
        return follow(self._http, "/events", last_event_id)

    def watch_album_events(
        self, album_id: str, last_event_id: str | None = None
    ) -> AsyncIterator[tuple[str, Change | None]]:
        """Follow what changes of an album, as `watch_events` does."""
        return follow(self._http, f"/albums/{quote(album_id, safe='')}/events", last_event_id)

    async def create_webhook(
        self, url: str, events: Sequence[str] | None = None, secret: str | None = None
    ) -> NewWebhook:
        """Have events posted to an address of yours from now on, signed."""
        body = given(url=url, events=None if events is None else list(events), secret=secret)
        return await self._http.read(NewWebhook, "POST", "/webhooks", json=body)

    async def list_webhooks(self) -> WebhookList:
        """List your webhooks, and how they fare."""
        return await self._http.read(WebhookList, "GET", "/webhooks")

    async def get_webhook(self, webhook_id: str) -> WebhookView:
        """Describe a webhook."""
        return await self._http.read(WebhookView, "GET", f"/webhooks/{quote(webhook_id, safe='')}")

    async def enable_webhook(self, webhook_id: str) -> WebhookView:
        """Try a webhook again at once, also one that was given up."""
        return await self._http.read(WebhookView, "POST", f"/webhooks/{quote(webhook_id, safe='')}/enable")

    async def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook."""
        await self._http.send("DELETE", f"/webhooks/{quote(webhook_id, safe='')}")
