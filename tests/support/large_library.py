"""A library of many pictures of few contents: what is slow to make is made once, and all of it is served."""

from __future__ import annotations

from sqlalchemy import text

from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded

CONTENTS = 20
_REPEAT = """
    INSERT INTO images (id, user_id, sha256, filename, taken_at)
    SELECT 'img_' || lpad(CAST(n AS text), 26, '0'), :user, known[1 + n % :contents], 'IMG_' || n || '.jpg',
        timestamptz '2020-01-01' + n * interval '1 hour'
    FROM generate_series(1, :count) AS n, (SELECT array_agg(sha256 ORDER BY sha256) AS known FROM contents) AS stored
"""


async def fill_library(server: AppProcess, count: int) -> None:
    """Give the local user so many pictures: some are uploaded, all others repeat them and are older."""
    pictures = [an_image((240 + 20 * seed, 320), seed) for seed in range(CONTENTS)]
    files = [("file", (f"{seed}.jpg", encoded(picture))) for seed, picture in enumerate(pictures)]
    async with server.client() as client:
        answer = await client.post("/api/v1/images", files=files)
        assert answer.status_code == 201, answer.text
    database = Database(server.settings.database_url or "", application_name="tests", pool_size=1)
    try:
        async with database.transaction() as session:
            values = {"user": LOCAL_USER_ID, "contents": CONTENTS, "count": count - CONTENTS}
            await session.execute(text(_REPEAT), values)
            await session.execute(text("ANALYZE"))
    finally:
        await database.close()
