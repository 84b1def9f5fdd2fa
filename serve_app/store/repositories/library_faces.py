"""Faces as their users see them: in which image, whose, and the best of a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class LibraryFace:
    """A face in an image of a user's; of several images of one content, the latest."""

    id: int
    sha256: str
    bbox: tuple[float, float, float, float]
    """`(x1, y1, x2, y2)` in pixels of the upright original."""
    score: float
    quality: float
    width: int
    """Of the upright image in pixels, as is `height`."""
    height: int
    image_id: str
    taken_at: datetime
    """When the image was taken, or uploaded where that is not known."""
    person_id: str | None

    @property
    def place(self) -> tuple[float, float, float, float]:
        """Its box in shares of the image's width and height."""
        width, height = max(self.width, 1), max(self.height, 1)
        x1, y1, x2, y2 = self.bbox
        return x1 / width, y1 / height, x2 / width, y2 / height


_COLUMNS = """
    faces.id, faces.sha256, bbox, score, faces.quality, width, height, images.id AS image_id,
    coalesce(taken_at, images.created_at) AS taken_at, person_id
"""
_FROM = """
    faces JOIN contents ON contents.sha256 = faces.sha256
    JOIN images ON images.sha256 = faces.sha256 AND images.user_id = :user_id AND NOT temporary
    LEFT JOIN people_faces ON people_faces.user_id = :user_id AND people_faces.face_id = faces.id
"""
_VISIBLE = "trashed_at IS NULL"
_FIND = text(f"""
    SELECT DISTINCT ON (faces.id) {_COLUMNS} FROM {_FROM}
    WHERE faces.id = ANY(CAST(:ids AS bigint[])) ORDER BY faces.id, images.id DESC
""")  # noqa: S608 (our own names)
_IN_IMAGE = text(f"""
    SELECT {_COLUMNS} FROM {_FROM}
    WHERE images.id = :image_id AND model = :model ORDER BY (bbox[1] + bbox[3]) / 2, faces.id
""")  # noqa: S608
_LATEST = text(f"""
    SELECT * FROM (
        SELECT DISTINCT ON (faces.id) faces.id,
            CAST(extract(epoch FROM coalesce(taken_at, images.created_at)) AS float8) AS seconds
        FROM {_FROM} WHERE person_id = :person_id AND {_VISIBLE} ORDER BY faces.id, images.id DESC
    ) AS shown
    WHERE CAST(:time AS float8) IS NULL OR seconds < :time OR seconds = :time AND id > :after
    ORDER BY seconds DESC, id LIMIT :limit
""")  # noqa: S608
_CAME = """EXISTS (
    SELECT FROM people_moves JOIN corrections USING (action_id)
    WHERE face_id = faces.id AND to_id = person_id AND undone_at IS NULL
)"""
"""Whether a correction that stands brought a face to its person: it may leave when that is taken back."""
_BEST = text(f"""
    SELECT faces.id FROM {_FROM} LEFT JOIN people ON people.id = person_id
    WHERE person_id = :person_id AND NOT faces.id = ANY(CAST(:without AS bigint[]))
    GROUP BY faces.id, faces.quality, person_id, cover_face_id
    ORDER BY bool_or({_VISIBLE}) DESC, {_CAME}, faces.id = cover_face_id DESC NULLS LAST, faces.id IN (
        SELECT face_id FROM people_suggestions WHERE user_id = :user_id AND kind = 'is'
    ), faces.quality DESC, faces.id LIMIT :limit
""")  # noqa: S608
_ITS_BEST = f"{_CAME}, faces.quality DESC, faces.id"
_TOGETHER = text(f"""
    SELECT (array_agg(faces.id ORDER BY {_ITS_BEST}) FILTER (WHERE person_id = :one))[1] AS one,
        (array_agg(faces.id ORDER BY {_ITS_BEST}) FILTER (WHERE person_id = :other))[1] AS other
    FROM {_FROM} JOIN album_images ON album_images.image_id = images.id
    WHERE person_id IN (:one, :other) AND {_VISIBLE}
    GROUP BY album_id HAVING count(DISTINCT person_id) = 2 ORDER BY album_id LIMIT :limit
""")  # noqa: S608
_BOXES = text("""
    SELECT faces.id, sha256, bbox, coalesce(person_id, '') AS person_id FROM faces
    LEFT JOIN people_faces ON people_faces.user_id = :user_id AND people_faces.face_id = faces.id
    WHERE model = :model AND sha256 = ANY(CAST(:shas AS text[])) AND EXISTS (
        SELECT FROM images WHERE images.sha256 = faces.sha256 AND images.user_id = :user_id AND NOT temporary
    )
    ORDER BY faces.id
""")
_SIZES = text("SELECT sha256, width, height FROM contents WHERE sha256 = ANY(CAST(:shas AS text[])) ORDER BY sha256")
_SHAS = text("SELECT DISTINCT sha256 FROM faces WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY sha256")
_VECTORS = text(f"""
    SELECT id, vector FROM people_faces JOIN faces ON faces.id = face_id
    WHERE people_faces.user_id = :user_id AND person_id = :person_id AND EXISTS (
        SELECT FROM images
        WHERE images.sha256 = faces.sha256 AND images.user_id = :user_id AND NOT temporary AND {_VISIBLE}
    )
""")  # noqa: S608
_ALBUMS = text("""
    SELECT albums.id FROM albums WHERE user_id = :user_id AND EXISTS (
        SELECT FROM album_images JOIN images ON images.id = image_id
        WHERE album_images.album_id = albums.id AND images.sha256 = ANY(CAST(:shas AS text[]))
    )
    ORDER BY albums.id FOR NO KEY UPDATE
""")
_TOUCH_ALBUMS = text("""
    UPDATE albums SET version = version + 1, updated_at = now() WHERE id = ANY(CAST(:ids AS text[]))
""")


async def find(session: AsyncSession, user_id: str, ids: Sequence[int]) -> list[LibraryFace]:
    """Find faces in images of the user's, also in the trash, by id."""
    return [_face(row) for row in await session.execute(_FIND, {"user_id": user_id, "ids": list(ids)})]


async def find_in_image(session: AsyncSession, user_id: str, image_id: str, model: str) -> list[LibraryFace]:
    """Find the faces that a network found in an image of the user's, from left to right."""
    given = {"user_id": user_id, "image_id": image_id, "model": model}
    return [_face(row) for row in await session.execute(_IN_IMAGE, given)]


async def load_latest(
    session: AsyncSession, user_id: str, person_id: str, limit: int, after: tuple[float, int] | None = None
) -> list[tuple[int, float]]:
    """Load the latest faces of a person, but those in the trash, after a time and an id. -> ids and times in seconds"""
    given = {"user_id": user_id, "person_id": person_id, "limit": limit, "time": None, "after": None}
    if after is not None:
        given |= {"time": after[0], "after": after[1]}
    return [(row.id, row.seconds) for row in await session.execute(_LATEST, given)]


async def find_best(
    session: AsyncSession, user_id: str, person_id: str, limit: int = 1, without: Sequence[int] = ()
) -> list[int]:
    """Find the faces that a person is best known by: not in the trash, its own before those that came to it by
    corrections, which may leave when these are taken back, and before those that are asked about; the one first that
    the user chose. -> ids"""
    given = {"user_id": user_id, "person_id": person_id, "limit": limit, "without": list(without)}
    return list(await session.scalars(_BEST, given))


async def find_together(session: AsyncSession, user_id: str, one: str, other: str, limit: int) -> list[tuple[int, int]]:
    """Find the best face of each of two people in the albums that hold both, its own if it has one there. -> ids"""
    given = {"user_id": user_id, "one": one, "other": other, "limit": limit}
    return [(row.one, row.other) for row in await session.execute(_TOGETHER, given)]


@dataclass(frozen=True, slots=True)
class FaceBoxes:
    """Faces of some contents with their people, and the sizes of these."""

    shas: list[str]
    sizes: list[tuple[int, int]]
    ids: list[int]
    people: list[str | None]
    pictures: NDArray[np.int64]
    boxes: NDArray[np.float32]


async def load_boxes(session: AsyncSession, user_id: str, model: str, shas: Sequence[str]) -> FaceBoxes:
    """Load where the faces of the user's contents among some are, and whose."""
    sizes = (await session.execute(_SIZES, {"shas": list(shas)})).all()
    place = {row.sha256: index for index, row in enumerate(sizes)}
    rows = (await session.execute(_BOXES, {"user_id": user_id, "model": model, "shas": list(shas)})).all()
    return FaceBoxes(
        [row.sha256 for row in sizes],
        [(row.width, row.height) for row in sizes],
        [row.id for row in rows],
        [row.person_id or None for row in rows],
        np.array([place[row.sha256] for row in rows], np.int64),
        np.array([row.bbox for row in rows], np.float32).reshape(-1, 4),
    )


async def find_shas(session: AsyncSession, ids: Sequence[int]) -> list[str]:
    """Find the contents that faces are in."""
    return list(await session.scalars(_SHAS, {"ids": list(ids)}))


async def load_vectors(
    session: AsyncSession, user_id: str, person_id: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Load the faces of a person, but those in the trash. -> ids `int64[N]`, vectors `float32[N, D]`; of the network of
    most of them, where several networks' are there"""
    rows = (await session.execute(_VECTORS, {"user_id": user_id, "person_id": person_id})).all()
    lengths = Counter(len(row.vector) for row in rows)
    length = lengths.most_common(1)[0][0] if lengths else 4
    kept = [row for row in rows if len(row.vector) == length]
    data = np.frombuffer(b"".join(row.vector for row in kept), "<f4").reshape(-1, length // 4)
    return np.array([row.id for row in kept], np.int64), data.astype(np.float32)


async def touch_albums(session: AsyncSession, user_id: str, shas: Sequence[str]) -> None:
    """Give the user's albums that hold any of these contents their next version: their people are grouped anew when
    they are next asked for."""
    locked = list(await session.scalars(_ALBUMS, {"user_id": user_id, "shas": sorted(set(shas))}))
    await session.execute(_TOUCH_ALBUMS, {"ids": locked})


def _face(row: Any) -> LibraryFace:
    x1, y1, x2, y2 = row.bbox
    return LibraryFace(
        id=row.id,
        sha256=row.sha256,
        bbox=(x1, y1, x2, y2),
        score=row.score,
        quality=row.quality,
        width=row.width,
        height=row.height,
        image_id=row.image_id,
        taken_at=row.taken_at,
        person_id=row.person_id,
    )
