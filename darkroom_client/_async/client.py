"""The asynchronous client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from darkroom_client._async.album import AsyncAlbum
from darkroom_client._async.picture import AsyncPicture
from darkroom_client._async.routes import AsyncRoutes


class AsyncDarkroom(AsyncRoutes):
    """An asynchronous client of one server, to be used in `async with`.

    Each route is a method, named as its operation in the server's OpenAPI document. What takes long answers with an
    `AsyncJob`. `album`, `style`, `avatar` and `upload` put several routes together.
    """

    def album(self, name: str) -> AsyncAlbum:
        """Work with an album, which exists once images were added. Asks the server nothing yet."""
        return AsyncAlbum(self, name)

    async def style(self, picture: str | Path, style: str, **options: Any) -> AsyncPicture:
        """Make a picture in a style and wait for it. `options`: those of `make_style`."""
        job = await self.make_style(await self.reference(picture), style, **options)
        return AsyncPicture(self, await job.wait())

    async def avatar(self, picture: str | Path, animal: str = "fox", **options: Any) -> AsyncPicture:
        """Make the people of a picture animals and wait for it. `options`: those of `make_avatar`."""
        job = await self.make_avatar(picture, animal, **options)
        return AsyncPicture(self, await job.wait())
