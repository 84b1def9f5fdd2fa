"""The demo album: photographs that installed packages ship, so that an empty library has something to show.

Two are in scikit-learn, which is always there; more are in scikit-image, which `make setup` installs for them. Both let
them be passed on; `docs/web.md` names their photographers. Smaller copies of some are made here, for there is nothing
to decide about duplicates without.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakValueDictionary

from PIL import Image

from deployments.errors import DarkroomError, NotDeployed
from serve_app.services.albums.service import AlbumService
from serve_app.services.images.service import ImageService
from serve_app.services.images.store import ImageStore
from serve_app.store.repositories import images
from serve_app.store.session import Database

NAME = "demo"
"""Name of the album."""
PHOTOGRAPHS = (
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
    "skimage/data/astronaut.png",
    "skimage/data/camera.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/rocket.jpg",
)
"""File of each, below the folder that its package is installed in."""
COPIED = ("flower.jpg", "astronaut.png")
_QUALITY = 85


def find_photographs() -> list[Path]:
    """Find the files of the photographs that are installed."""
    return [found for name in PHOTOGRAPHS if (found := _find(name)) is not None]


def _find(name: str) -> Path | None:
    package, _, rest = name.partition("/")
    spec = find_spec(package)  # imports nothing
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () if (path := Path(folder) / rest).is_file()), None)


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    data: bytes


def _read(paths: Sequence[Path]) -> list[_File]:
    files = [_File(path.name, path.read_bytes()) for path in paths]
    return files + [_copy_of(file) for file in files if file.name in COPIED]


def _copy_of(file: _File) -> _File:
    """Make a JPEG of three quarters of the size, as somebody sends by mail."""
    with Image.open(io.BytesIO(file.data)) as opened:
        small = opened.convert("RGB").resize((opened.width * 3 // 4, opened.height * 3 // 4))
    made = io.BytesIO()
    small.save(made, "JPEG", quality=_QUALITY)
    return _File(f"{Path(file.name).stem} (small).jpg", made.getvalue())


class _Source:
    """Bytes as an upload."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    async def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)


class DemoAlbum:
    """Use case of an empty library."""

    def __init__(self, database: Database, pictures: ImageStore, uploads: ImageService, albums: AlbumService) -> None:
        self._database = database
        self._pictures = pictures
        self._uploads = uploads
        self._albums = albums
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By user: who asks twice at once has nothing twice."""

    async def request(self, user_id: str) -> str:
        """Store the photographs that the user does not have yet, and start reading all into an album. -> job id

        Raises `NotDeployed` where no package has any, and what quotas raise: then nothing is stored.
        """
        paths = find_photographs()
        if not paths:
            raise NotDeployed("No package with photographs is installed here; `make setup` installs one.")
        files = await self._pictures.run_in_thread(lambda: _read(paths))
        async with self._turns.setdefault(user_id, asyncio.Lock()):
            brought: list[str] = []
            try:
                ids = [await self._bring(user_id, file, brought) for file in files]
                return await self._albums.request_embeddings(user_id, ids, NAME)
            except DarkroomError:  # a quota, say: without the album they would be strewn about the library
                for image_id in brought:
                    await self._uploads.delete(user_id, image_id)
                raise

    async def _bring(self, user_id: str, file: _File, brought: list[str]) -> str:
        """Store the file, and note that in `brought`, unless the user has it. -> id of its image"""
        async with self._database.transaction() as session:
            known = await images.find_by_content(session, user_id, hashlib.sha256(file.data).hexdigest())
        if known:
            return known.id
        stored = await self._uploads.upload(user_id, file.name, _Source(file.data))
        brought.append(stored.id)
        return stored.id
