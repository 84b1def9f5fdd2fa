"""Builders of rows for tests of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import Face
from serve_app.store.repositories import albums, images
from serve_app.store.repositories.albums import Outcome, StoredAlbum
from serve_app.store.repositories.images import AddedImage, Content, NewImage
from serve_app.store.repositories.users import LOCAL_USER_ID


def a_sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def a_content(name: str = "picture", **values: object) -> Content:
    known = {"size_bytes": 1000, "content_type": "image/jpeg", "width": 640, "height": 480}
    return Content(a_sha(name), **{**known, **values})  # type: ignore[arg-type]


async def an_image(session: AsyncSession, name: str = "picture", user_id: str = LOCAL_USER_ID) -> AddedImage:
    [added] = await images.add(session, user_id, [NewImage(a_content(name), filename=f"{name}.jpg")])
    return added


async def an_album(
    session: AsyncSession, name: str | None = "holiday", refs: Sequence[str] = (), fetched: Sequence[str] = ()
) -> StoredAlbum:
    """Make an album whose references are embedded; those in `fetched` are images that came from a URL."""
    album = await albums.open_album(session, LOCAL_USER_ID, name)
    everything = [*refs, *fetched]
    if everything:
        await albums.add_refs(session, album.id, everything)
        new = [NewImage(a_content(ref), source_url=ref if ref in fetched else None) for ref in everything]
        added = await images.add(session, LOCAL_USER_ID, new)
        items = await albums.load_items(session, album.id, refs=everything)
        ids = dict(zip(everything, added, strict=True))
        await albums.record_outcomes(session, album.id, [Outcome(item.id, ids[item.ref].id) for item in items])
    found = await albums.get(session, album.id)
    assert found is not None
    return found


def a_face(seed: int = 0, score: float = 0.9) -> Face:
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=128).astype(np.float32)
    return Face(
        bbox=(1.5 + seed, 2.0, 30.0, 40.0),
        score=score,
        quality=0.5,
        landmarks=rng.uniform(0, 40, (5, 2)).astype(np.float32),
        embedding=vector / np.linalg.norm(vector),
    )
