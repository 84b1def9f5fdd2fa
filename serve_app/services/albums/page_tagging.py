"""Tags by what is written in images: of an album that was tagged before its pages were read, anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from deployments.algorithms.tags.page_tags import PageRules, page_tags, with_page_tags
from serve_app.services.albums.items import DEFAULTS, analysis_key
from serve_app.services.albums.snapshot import AlbumSnapshot
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, image_tags, results
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.texts import StoredTexts
from serve_app.store.session import Database


def tags_of_page(content: Content, stored: StoredTexts) -> dict[str, float]:
    """Derive the tags of one content from what is written in it."""
    return page_tags([line.as_text() for line in stored.lines], content.width, content.height)


async def tag_anew(
    database: Database, job: QueuedJob, snapshot: AlbumSnapshot, found: Mapping[str, StoredTexts], max_attempts: int
) -> None:
    """Start a job `tags` where texts make tags that images do not have yet. What was answered for a client's own labels
    is forgotten, since it was made without them."""
    said = await asyncio.to_thread(
        lambda: {
            content.sha256: tags
            for content in snapshot.contents
            if content.sha256 in found and (tags := tags_of_page(content, found[content.sha256]))
        }
    )
    pages = [item for item in snapshot.items if item.sha256 in said]
    if not pages:
        return
    async with database.transaction() as session:
        album = await albums.get(session, snapshot.album_id)
        if album is None or album.expires_at is not None:  # of a single question about some images
            return
        known = await image_tags.load_scores(session, [item.image_id for item in pages])
        if not any(_lacks(known.get(item.image_id, {}), said[item.sha256]) for item in pages):
            return
        await results.remove(session, snapshot.album_id, "tags", but=DEFAULTS["tags"])
        await jobs.enqueue(
            session,
            user_id=job.user_id,
            kind="tags",
            album_id=snapshot.album_id,
            payload={"parameters": DEFAULTS["tags"], "detail": False, "anew": True},
            max_attempts=max_attempts,
            is_follow_up=True,
            dedupe_key=f"{analysis_key(snapshot.album_id, 'tags', DEFAULTS['tags'], snapshot.version)}/texts",
        )


def _lacks(known: Mapping[str, float], tags: Mapping[str, float]) -> bool:
    """Tell whether an image lacks a tag of its text, and not since the models are sure of something else."""
    wanted = with_page_tags(known, tags)
    return any(tag in wanted and tag not in known for tag, score in tags.items() if score >= PageRules().sure)
