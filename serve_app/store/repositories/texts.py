"""What is written in file contents: whether they look as if anything were, what was read, and who finds it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.texts import Text
from serve_app.store.arrays import any_text, like
from serve_app.store.models import PictureTextsRow

_AT_ONCE = 1000
_PAGES_AT_ONCE = 100
GLANCED = 0
"""Longest side of a picture that was only glanced at, and found without text."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text of a content."""

    corners: tuple[float, ...]
    """Eight numbers: x and y of each corner, in pixels of the upright original."""
    score: float
    text: str
    text_score: float

    def as_text(self) -> Text:
        """The line as it was read, but for the rounding of what is stored."""
        x1, y1, x2, y2, x3, y3, x4, y4 = self.corners
        return Text(((x1, y1), (x2, y2), (x3, y3), (x4, y4)), self.score, self.text, self.text_score)


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """What was read in a content."""

    read_px: int
    """Longest side at which it was read, pixels; `GLANCED`: it was not."""
    lines: tuple[TextLine, ...]
    """In reading order."""
    page: str
    """All of it as plain text."""
    words: str
    """The same in the form that words are compared in."""


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """An image of a user's that says something."""

    image_id: str
    page: str
    words: str


_SAVE_WRITING = text("""
    INSERT INTO picture_texts (sha256, writing)
    SELECT key, CAST(value AS real) FROM jsonb_each_text(CAST(:rows AS jsonb)) AS new
    WHERE EXISTS (SELECT FROM contents WHERE contents.sha256 = new.key)
    ORDER BY key
    ON CONFLICT (sha256) DO UPDATE SET writing = excluded.writing
""")
_SAVE = text("""
    INSERT INTO picture_texts (sha256, model, read_px, lines, page, words)
    SELECT sha256, :model, read_px, lines, page, words
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS new (sha256 text, read_px int, lines jsonb, page text, words text)
    WHERE EXISTS (SELECT FROM contents WHERE contents.sha256 = new.sha256)
    ORDER BY sha256
    ON CONFLICT (sha256) DO UPDATE SET model = excluded.model, read_px = excluded.read_px, lines = excluded.lines,
        page = excluded.page, words = excluded.words
    WHERE picture_texts.model IS DISTINCT FROM excluded.model OR picture_texts.read_px <= excluded.read_px
""")
_FIND = """
    SELECT images.id, page, words FROM images JOIN picture_texts ON picture_texts.sha256 = images.sha256
    WHERE images.user_id = :user_id AND NOT temporary AND trashed_at IS NULL AND words <> ''
"""


async def save_writing(session: AsyncSession, writing: Mapping[str, float]) -> None:
    """Save by SHA-256 how much contents look like lines of text; those that no longer exist are left out."""
    await session.execute(_SAVE_WRITING, {"rows": json.dumps(dict(writing))})


async def load_writing(session: AsyncSession, shas: Sequence[str]) -> dict[str, float]:
    """Load how much contents look like lines of text; those that were not measured are left out."""
    found: dict[str, float] = {}
    for start in range(0, len(shas), _AT_ONCE):
        some = any_text(shas[start : start + _AT_ONCE])
        columns = select(PictureTextsRow.sha256, PictureTextsRow.writing)
        found |= {
            sha: float(writing)
            for sha, writing in await session.execute(columns.where(PictureTextsRow.sha256 == some))
            if writing is not None
        }
    return found


async def save(session: AsyncSession, model: str, texts: Mapping[str, StoredTexts]) -> None:
    """Save by SHA-256 what `model` read, in place of what was read before, unless that was read closer: a glance may
    end after the reading that somebody asked for meanwhile. Contents that no longer exist are left out."""
    rows = [
        {
            "sha256": sha,
            "read_px": one.read_px,
            "lines": [[*line.corners, line.score, line.text, line.text_score] for line in one.lines],
            "page": one.page,
            "words": one.words,
        }
        for sha, one in texts.items()
    ]
    await session.execute(_SAVE, {"model": model, "rows": json.dumps(rows)})


async def load(session: AsyncSession, model: str, shas: Sequence[str]) -> dict[str, StoredTexts]:
    """Load what `model` read in those contents that it has seen, some at a time for the sake of the event loop."""
    row = PictureTextsRow
    columns = select(row.sha256, row.read_px, row.lines, row.page, row.words).where(row.model == model)
    found: dict[str, StoredTexts] = {}
    for start in range(0, len(shas), _AT_ONCE):
        some = any_text(shas[start : start + _AT_ONCE])
        for sha, read_px, lines, page, words in await session.execute(columns.where(row.sha256 == some)):
            found[sha] = StoredTexts(read_px or 0, tuple(map(_line, lines or ())), page or "", words or "")
    return found


async def load_sizes(session: AsyncSession, model: str, shas: Sequence[str]) -> dict[str, int]:
    """Load the longest side at which `model` read contents, of those that it has seen."""
    row = PictureTextsRow
    columns = select(row.sha256, row.read_px).where(row.model == model)
    found: dict[str, int] = {}
    for start in range(0, len(shas), _AT_ONCE):
        some = any_text(shas[start : start + _AT_ONCE])
        found |= {sha: px or 0 for sha, px in await session.execute(columns.where(row.sha256 == some))}
    return found


async def find_images(
    session: AsyncSession, user_id: str, words: Sequence[str]
) -> AsyncIterator[Sequence[WrittenImage]]:
    """Find the user's lasting images in which all of the words are written, each in the form of `StoredTexts.words`.

    -> some at a time: one letter may find every page of a library, and they are as long as what is written there
    """
    if not words:
        return
    # One LIKE for each: no index answers LIKE ALL.
    patterns = {f"word_{place}": f"%{like(word)}%" for place, word in enumerate(dict.fromkeys(words))}
    holds = "".join(f" AND words LIKE :{name} ESCAPE '!'" for name in patterns)
    found = await session.stream(text(_FIND + holds), {"user_id": user_id, **patterns})
    async for rows in found.partitions(_PAGES_AT_ONCE):
        yield [WrittenImage(image_id, page, found) for image_id, page, found in rows]


def _line(values: Sequence[Any]) -> TextLine:
    *corners, score, says, text_score = values
    return TextLine(tuple(corners), score, says, text_score)
