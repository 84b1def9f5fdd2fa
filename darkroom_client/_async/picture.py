"""A picture that the server made."""

from __future__ import annotations

from pathlib import Path

from darkroom_client._async.picture_routes import AsyncPictureRoutes
from darkroom_client._async.waiting import in_thread
from darkroom_client.models import AvatarResult, StyleResult


class AsyncPicture:
    """A picture that the server made; `result` says by which engine, with which seed."""

    def __init__(self, client: AsyncPictureRoutes, result: StyleResult | AvatarResult) -> None:
        self._client = client
        self.result = result

    @property
    def url(self) -> str:
        """Where the server has it."""
        return self.result.image_url

    async def read(self) -> bytes:
        """Download the picture. -> its bytes"""
        return await self._client.get_file(self.url)

    async def save(self, path: str | Path) -> Path:
        """Download the picture into a file, in the format that the server made it in. -> the file"""
        file = Path(path)
        await in_thread(file.write_bytes, await self.read())
        return file
