"""Search of what is written in pictures, with the index of trigrams and without: `python -m bench.speed.text_search`.

Fills a database with pages of a hundred words and finds the images that say words of very different frequency, as
`GET /search` does. `--dsn` names an empty database of a server that has the extension pg_trgm; the embedded PostgreSQL,
which is started without it, has none, so that only the search without an index is measured there.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from bench.report import Report
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from serve_app.store.repositories import texts
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

_ROUNDS = 9
_WORDS = 2000
"""Words of which pages are made, the first of them in most pages and the last in few."""
_INDEX = "picture_texts_words_idx"
_FILL = (
    """
    INSERT INTO contents (sha256, size_bytes, content_type, width, height)
    SELECT encode(sha256(CAST(CAST(n AS text) AS bytea)), 'hex'), 2000000, 'image/jpeg', 4000, 3000
    FROM generate_series(1, :count) AS n
    """,
    """
    INSERT INTO images (id, user_id, sha256, filename)
    SELECT 'img_' || lpad(CAST(row_number() OVER () AS text), 26, '0'), :user, sha256, 'IMG.jpg' FROM contents
    """,
    """
    INSERT INTO picture_texts (sha256, writing, model, read_px, lines, page, words)
    SELECT sha256, .1, 'bench', 1280, '[]', words, words FROM contents CROSS JOIN LATERAL (
        SELECT string_agg(substr(md5(CAST(floor(:words * random() ^ 4) AS text)), 1, 7), ' ') AS words
        FROM generate_series(1, 100) WHERE contents.sha256 <> ''
    ) AS page
    """,
)
_PLANTED = (
    "UPDATE picture_texts SET words = words || ' invoice 4821' WHERE sha256 IN (SELECT sha256 FROM contents LIMIT 20)"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.text_search", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dsn", help="an empty database, postgresql+asyncpg://...")
    arguments = parser.parse_args()
    report = Report("text_search")
    asyncio.run(_measure(arguments.dsn, arguments.rows, report))
    report.finish()


async def _measure(dsn: str | None, rows: int, report: Report) -> None:
    async with _database(dsn) as database:
        for statement in (*_FILL, _PLANTED):
            given = {"count": rows, "user": LOCAL_USER_ID, "words": _WORDS}
            async with database.transaction() as session:
                await session.execute(text(statement), {k: v for k, v in given.items() if f":{k}" in statement})
        async with database.transaction() as session:
            await session.execute(text("ANALYZE"))
            has_index = await session.scalar(text(f"SELECT to_regclass('{_INDEX}') IS NOT NULL"))
            common = await session.scalar(text("SELECT substr(md5('0'), 1, 7)"))
        cases = {"20 images": ["invoice", "4821"], "none": ["nowhere"], "one in many": [str(common)]}
        if has_index:
            for name, words in cases.items():
                report.add(f"by the index, {name}", await _ms(database, words), "ms")
            async with database.transaction() as session:
                await session.execute(text(f"DROP INDEX {_INDEX}"))
        for name, words in cases.items():
            report.add(f"without one, {name}", await _ms(database, words), "ms")


@asynccontextmanager
async def _database(dsn: str | None) -> AsyncIterator[Database]:
    """Migrate an empty database and open it."""
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
        if dsn is None:
            with ensure_running(Path(folder)) as server:
                async with _opened(server.dsn) as database:
                    yield database
        else:
            async with _opened(dsn) as database:
                yield database


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[Database]:
    await migrate.upgrade(dsn)
    database = Database(dsn, application_name="bench", statement_timeout_s=600)
    try:
        yield database
    finally:
        await database.close()


async def _ms(database: Database, words: list[str]) -> float:
    """Find images that say words. -> median milliseconds"""
    spent = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        async with database.transaction() as session:
            async for _some in texts.find_images(session, LOCAL_USER_ID, words):
                pass
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


if __name__ == "__main__":
    main()
