"""What users say of tags and of images that were made for them: the last word of each subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.ids import new_id


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a user said."""

    id: str
    image_id: str | None
    tag: str | None
    history_id: str | None
    is_right: bool
    note: str | None
    score: float | None
    """The model's probability of the tag when it was said; None: it did not give the tag."""
    created_at: datetime


_COLUMNS = "id, image_id, tag, history_id, is_right, note, score, created_at"
_SAID_AGAIN = f"""
    DO UPDATE SET is_right = excluded.is_right, note = excluded.note, score = excluded.score
    RETURNING {_COLUMNS}
"""
_OF_TAG = text(f"""
    INSERT INTO feedback (id, user_id, image_id, tag, is_right, note, score)
    SELECT :id, :user_id, images.id, :tag, :is_right, CAST(:note AS text), score FROM images
    LEFT JOIN image_tags ON image_tags.image_id = images.id AND image_tags.tag = :tag
    WHERE images.id = :image_id AND user_id = :user_id AND NOT temporary
    ON CONFLICT (image_id, tag) {_SAID_AGAIN}
""")  # noqa: S608 (our own names)
_OF_HISTORY = text(f"""
    INSERT INTO feedback (id, user_id, history_id, is_right, note)
    SELECT :id, :user_id, generations.id, :is_right, CAST(:note AS text) FROM generations
    WHERE id = :history_id AND user_id = :user_id AND status = 'succeeded'
    ON CONFLICT (history_id) {_SAID_AGAIN}
""")  # noqa: S608
_COUNT = text("SELECT count(*) FROM feedback WHERE image_id = :image_id")
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM feedback
    WHERE user_id = :user_id AND (CAST(:after AS text) IS NULL OR id < :after)
    ORDER BY id DESC LIMIT :limit
""")  # noqa: S608
_REMOVE = text("DELETE FROM feedback WHERE user_id = :user_id AND id = :id")


async def save_of_tag(
    session: AsyncSession, user_id: str, image_id: str, tag: str, is_right: bool, note: str | None
) -> Feedback | None:
    """Save what is said of a tag, in place of what was said before. -> None: the user has no such image"""
    given = {"image_id": image_id, "tag": tag, "is_right": is_right, "note": note}
    return await _save(session, _OF_TAG, user_id, given)


async def save_of_history(
    session: AsyncSession, user_id: str, history_id: str, is_right: bool, note: str | None
) -> Feedback | None:
    """Save what is said of what a request made, in place of what was said before. -> None: the user has none such that
    succeeded"""
    return await _save(session, _OF_HISTORY, user_id, {"history_id": history_id, "is_right": is_right, "note": note})


async def _save(
    session: AsyncSession, statement: TextClause, user_id: str, given: dict[str, object]
) -> Feedback | None:
    rows = await session.execute(statement, {"id": new_id("fbk"), "user_id": user_id, **given})
    row = rows.one_or_none()
    return None if row is None else Feedback(*row)


async def count_of_image(session: AsyncSession, image_id: str) -> int:
    """Count the tags of an image of which something was said."""
    return int(await session.scalar(_COUNT, {"image_id": image_id}) or 0)


async def load_page(session: AsyncSession, user_id: str, limit: int, after: str | None) -> Sequence[Feedback]:
    """Load what the user said, the newest subject first, after an id."""
    rows = await session.execute(_PAGE, {"user_id": user_id, "limit": limit, "after": after})
    return [Feedback(*row) for row in rows]


async def remove(session: AsyncSession, user_id: str, feedback_id: str) -> None:
    """Forget something that the user said; what is not there stays away."""
    await session.execute(_REMOVE, {"user_id": user_id, "id": feedback_id})
