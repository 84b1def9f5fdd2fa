"""Rows of synthetic albums of any size in a real database: images, faces, quality, tags; no files and no vectors."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from bench.speed.synthetic_faces import SyntheticAlbum
from configs.settings import Settings
from deployments.contracts.albums import Face
from serve_app.store.ids import new_id
from serve_app.store.repositories import albums, faces, quality
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

MODEL = Settings().faces_model
TAGS = [f"tag {number}" for number in range(60)]
_AT_ONCE = 2000
_LANDMARKS = np.zeros((5, 2), np.float32)
_CONTENTS = text("""
    INSERT INTO contents (sha256, size_bytes, content_type, width, height)
    SELECT sha, 2000000, 'image/jpeg', 4000, 3000 FROM unnest(CAST(:shas AS text[])) AS new (sha)
""")
_IMAGES = text("""
    INSERT INTO images (id, user_id, sha256, filename)
    SELECT id, :user, sha, 'photo.jpg' FROM unnest(CAST(:ids AS text[]), CAST(:shas AS text[])) AS new (id, sha)
""")
_EMBEDDED = text("UPDATE album_images SET status = 'embedded' WHERE album_id = :album AND status = 'pending'")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a synthetic album."""

    sha256: str
    ref: str


async def add_pictures(database: Database, album_id: str, faces_of: SyntheticAlbum, count: int) -> list[Picture]:
    """Add `count` images as ingest leaves them, those numbered by `faces_of.pictures` with these faces."""
    by_picture: dict[int, list[int]] = defaultdict(list)
    for face, picture in enumerate(faces_of.pictures.tolist()):
        by_picture[picture].append(face)
    made: list[Picture] = []
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(count, start + _AT_ONCE))
        some = [_picture() for _ in numbers]
        ids = [picture.ref.rpartition("/")[2].removesuffix(".jpg") for picture in some]
        shas = [picture.sha256 for picture in some]
        async with database.transaction() as session:
            await session.execute(_CONTENTS, {"shas": shas})
            await session.execute(_IMAGES, {"ids": ids, "shas": shas, "user": LOCAL_USER_ID})
            await albums.add_refs(session, album_id, [picture.ref for picture in some], ids)
            await session.execute(_EMBEDDED, {"album": album_id})
            await quality.save(session, {sha: StoredQuality(0.8, 0.7, 0.75, ("dark",)) for sha in shas})
            found = {
                sha: [_face(faces_of, face) for face in by_picture[number]]
                for sha, number in zip(shas, numbers, strict=True)
            }
            await faces.save(session, MODEL, found)
        made += some
    return made


async def analyse_tables(database: Database) -> None:
    """Gather the planner's statistics, as autovacuum does after a while."""
    async with database.transaction() as session:
        await session.execute(text("ANALYZE"))


def some_tags(pictures: list[Picture], rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Three tags for each content, some far more frequent than others."""
    drawn = (len(TAGS) * rng.random((len(pictures), 3)) ** 3).astype(int)
    return {
        picture.sha256: {TAGS[tag]: 0.75 for tag in row} for picture, row in zip(pictures, drawn.tolist(), strict=True)
    }


def people_of(album: SyntheticAlbum) -> NDArray[np.int64]:
    """The true grouping as a clusterer's labels `int64[N]`: faces of poor quality are unassigned."""
    return np.where(album.quality < 0.2, -1, album.people)


def _picture() -> Picture:
    image_id = new_id("img")
    return Picture(hashlib.sha256(image_id.encode()).hexdigest(), f"http://127.0.0.1:8000/api/v1/files/{image_id}.jpg")


def _face(album: SyntheticAlbum, face: int) -> Face:
    return Face((800.0, 600.0, 1200.0, 1100.0), 0.99, float(album.quality[face]), _LANDMARKS, album.vectors[face])
