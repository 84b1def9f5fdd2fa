"""Every route of the server as a method, and lists, uploads and any request on top of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import httpx2

from darkroom_client._async import waiting
from darkroom_client._async.account_routes import AsyncAccountRoutes
from darkroom_client._async.album_routes import AsyncAlbumRoutes
from darkroom_client._async.http import AsyncHttp
from darkroom_client._async.library_routes import AsyncLibraryRoutes
from darkroom_client._async.people_routes import AsyncPeopleRoutes
from darkroom_client._async.picture_routes import AsyncPictureRoutes
from darkroom_client._async.waiting import in_thread
from darkroom_client.errors import UploadRefused
from darkroom_client.files import Progress, Uploaded, batches, is_reference, matched, read_files
from darkroom_client.retries import Retries

DEFAULT_SERVER = "http://127.0.0.1:8000"
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class PageOf(Protocol[T_co]):
    """A page of a list."""

    @property
    def items(self) -> Sequence[T_co]: ...
    @property
    def next_cursor(self) -> str | None: ...


class AsyncRoutes(AsyncAlbumRoutes, AsyncPictureRoutes, AsyncLibraryRoutes, AsyncPeopleRoutes, AsyncAccountRoutes):
    """The routes of one server, and what all of them share."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 120.0,
        retries: Retries | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: waiting.Sleep = waiting.sleep,
    ) -> None:
        """`base_url`, `api_key`: by default DARKROOM_SERVER and DARKROOM_API_KEY. `timeout_s`: of one answer.

        `transport` and `sleep` take the place of the network and the clock.
        """
        url = base_url or os.environ.get("DARKROOM_SERVER") or DEFAULT_SERVER
        key = os.environ.get("DARKROOM_API_KEY") if api_key is None else api_key
        self._http = AsyncHttp(url, key, timeout_s, retries or Retries(), transport, sleep)

    @property
    def server(self) -> str:
        """Address of the server."""
        return self._http.base_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def reference(self, picture: str | Path) -> str:
        """Make a reference of a picture: a URL or an id as it stands, a file once it is uploaded."""
        if is_reference(picture):
            return str(picture)
        stored = await self.upload([Path(picture)])
        return next(iter(stored.images.values())).url

    async def upload(
        self,
        paths: Sequence[str | Path],
        on_progress: Callable[[Progress, Uploaded], object] | None = None,
        *,
        accept_rejected: bool = False,
    ) -> Uploaded:
        """Upload files in batches.

        `on_progress` is called after each batch, with what became of its files. Raises `UploadRefused` where no file
        could be used, unless `accept_rejected`.
        """
        files = [Path(path) for path in paths]
        all_of_it = Uploaded()
        for batch in batches(files):
            contents = await in_thread(read_files, batch)
            sent = matched(batch, contents, await self.upload_images(contents))
            all_of_it.images |= sent.images
            all_of_it.rejected |= sent.rejected
            if on_progress is not None:
                done = len(all_of_it.images) + len(all_of_it.rejected)
                on_progress(Progress("uploading", done, len(files)), sent)
        if files and not all_of_it.images and not accept_rejected:
            why = next(iter(all_of_it.rejected.values())).detail
            raise UploadRefused(f"None of {len(files)} files could be used: {why}", list(all_of_it.rejected.values()))
        return all_of_it

    async def every(
        self, list_page: Callable[..., Awaitable[PageOf[T]]], *arguments: Any, **query: Any
    ) -> AsyncIterator[T]:
        """Go through the items of all pages of a list: `async for user in client.every(client.list_users)`."""
        query = {"limit": 200, **query}
        while True:
            page = await list_page(*arguments, **query)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Send any request below `/api/v1`, for routes that have no method here yet. -> its JSON; None: no content

        `options`: those of httpx2, `json`, `params`, `headers` ...
        """
        response = await self._http.send(method, path, **options)
        return response.json() if response.content else None
