"""Albums that were analysed with another face network than the settings name, moved to it in the background."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from serve_app.services.albums.items import DEFAULTS, analysis_key
from serve_app.store.queue import jobs
from serve_app.store.repositories import faces

log = structlog.get_logger(__name__)
_AT_ONCE = 20
"""Albums that a round starts: their jobs stand in the queue with those of users, so they come a few at a time."""
_PAUSE_S = 3600.0
"""Seconds until an album is tried again after its job failed or was cancelled."""


async def start_moving(session: AsyncSession, settings: Settings) -> int:
    """Enqueue a job `people` for some of the albums whose faces or persons are another network's. -> how many

    The job embeds the faces anew, which its progress tells, and groups them; persons keep their ids by their faces.
    """
    outdated = await faces.find_outdated(session, settings.faces_model, _AT_ONCE, _PAUSE_S)
    for album in outdated:
        await jobs.enqueue(
            session,
            user_id=album.user_id,
            kind="people",
            album_id=album.id,
            payload={"parameters": DEFAULTS["people"], "detail": False},
            max_attempts=settings.jobs.max_attempts,
            is_follow_up=True,
            dedupe_key=analysis_key(album.id, "people", DEFAULTS["people"], album.version),
        )
    if outdated:
        log.info("albums move to another face network", albums=len(outdated), network=settings.faces_model)
    return len(outdated)
