"""Pages of a user's images against bare SQL: `python -m bench.speed.library_pages [--sizes 10000 100000]`.

Fills an embedded PostgreSQL with images of one user (times, quality, tags of very different frequency) and lists them
as `GET /images` does, JSON included, in turn with the indexed SQL that finds and reads the same rows. A page has 100.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from bench.report import Report
from serve_app.api.library import item_of
from serve_app.services.albums.library import ImageLibrary
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from serve_app.store.repositories.library import Filters, Sort
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

_ROUNDS = 21
_PAGE = 100
_FILL = """
    INSERT INTO contents (sha256, size_bytes, content_type, width, height)
    SELECT encode(sha256(CAST(CAST(n AS text) AS bytea)), 'hex'), 2000000, 'image/jpeg', 4000, 3000
    FROM generate_series(1, :count) AS n;
    INSERT INTO picture_quality (sha256, sharpness, exposure, score, issues)
    SELECT sha256, .8, .7, random(), ARRAY[]::text[] FROM contents;
    INSERT INTO images (id, user_id, sha256, filename, taken_at, quality)
    SELECT 'img_' || lpad(CAST(row_number() OVER () AS text), 26, '0'), :user, contents.sha256, 'IMG.jpg',
        timestamptz '2001-01-01' + random() * interval '20 years', score
    FROM contents JOIN picture_quality ON picture_quality.sha256 = contents.sha256;
    INSERT INTO image_tags (image_id, tag, score)
    SELECT DISTINCT id, 'tag ' || floor(60 * random() ^ 3), .75 FROM images, generate_series(1, 3);
    INSERT INTO image_tags (image_id, tag, score) SELECT id, 'rare', .75 FROM images ORDER BY random() LIMIT 50;
    ANALYZE
"""
_COLUMNS = """
    SELECT images.id, filename, taken_at, zone_min, camera, latitude, longitude, images.created_at, contents.*, score,
        issues, (SELECT array_agg(tag) FROM image_tags WHERE image_id = images.id AND verdict IS NOT FALSE)
    FROM images JOIN contents ON contents.sha256 = images.sha256
    LEFT JOIN picture_quality ON picture_quality.sha256 = images.sha256
    WHERE user_id = :user AND NOT temporary
"""
_OF_TAG = "AND EXISTS (SELECT FROM image_tags WHERE image_id = images.id AND tag = :tag AND verdict IS NOT FALSE)"


@dataclass(frozen=True, slots=True)
class Case:
    """A list, and the SQL of its first page."""

    name: str
    sort: Sort
    filters: Filters
    sql: str


CASES = (
    Case("first page, added", "added", Filters(), "ORDER BY images.id DESC"),
    Case(
        "first page, taken", "taken", Filters(), "ORDER BY coalesce(taken_at, images.created_at) DESC, images.id DESC"
    ),
    Case("first page, quality", "quality", Filters(), "ORDER BY coalesce(images.quality, -1) DESC, images.id DESC"),
    Case("of a frequent tag", "added", Filters(tag="tag 0"), f"{_OF_TAG} ORDER BY images.id DESC"),
    Case("of a rare tag", "added", Filters(tag="rare"), f"{_OF_TAG} ORDER BY images.id DESC"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    sizes = parser.parse_args().sizes
    report = Report("library_pages")
    seen = {size: asyncio.run(_measure(size)) for size in sizes}
    for case in CASES:
        for size in sizes:
            page, bare = seen[size][case.name]
            report.add(f"{case.name}, {size} images: a page", 1000 * page, "ms")
            report.add("  of bare SQL", page / bare, "", target=3, at_most=True)
        growth = seen[sizes[-1]][case.name][0] / seen[sizes[0]][case.name][0]
        report.add(f"  {sizes[-1]} of {sizes[0]} images", growth, "", target=1.25, at_most=True)
    report.finish()


async def _measure(size: int) -> dict[str, tuple[float, float]]:
    """Measure each case. -> median seconds of a page and of the bare SQL"""
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder, ensure_running(Path(folder)) as server:
        await migrate.upgrade(server.dsn)
        database = Database(server.dsn, application_name="bench", statement_timeout_s=600)
        try:
            async with database.transaction() as session:
                for statement in _FILL.split(";"):
                    values = {"count": size, "user": LOCAL_USER_ID}
                    await session.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
            return {case.name: await _measure_case(database, case) for case in CASES}
        finally:
            await database.close()


async def _measure_case(database: Database, case: Case) -> tuple[float, float]:
    library = ImageLibrary(database)

    async def page() -> None:
        found, _ = await library.list_images(LOCAL_USER_ID, case.filters, case.sort, _PAGE)
        if not found:
            raise RuntimeError("no image was found")
        for one in found:
            item_of(one).model_dump_json()

    async def bare() -> None:
        values = {"user": LOCAL_USER_ID, "tag": case.filters.tag, "limit": _PAGE}
        statement = f"{_COLUMNS} {case.sql} LIMIT :limit"
        async with database.transaction() as session:
            rows = await session.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
            rows.all()

    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):  # in turn, so that both meet the same machine
        for seconds, work in zip(times, (page, bare), strict=True):
            seconds.append(await _timed(work))
    return statistics.median(times[0]), statistics.median(times[1])


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
