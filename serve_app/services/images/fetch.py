"""Fetching of images from URLs that clients name: guarded, bounded in size and time, alone on their connections.

Redirects are followed by hand, since each is a new URL that another server chose. No cookies, credentials or proxy
settings of this machine go along, and the body arrives as it was stored: an encoding that unpacks is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import dataclass

import httpx

from configs.settings import Fetch, Limits
from deployments.errors import ImageError, image_error
from deployments.kit.address_guard import Resolver, Target, resolve
from deployments.kit.turns import Turns
from serve_app.services.guarded_http import GuardedHttp
from serve_app.services.images.buckets import BucketFetcher, names_object

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_HEADERS = {"User-Agent": "darkroom", "Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file as the other server sent it. It may be anything: decode it before you trust it."""

    data: bytes
    sha256: str
    content_type: str
    """Content type that the other server claims, lower case, without parameters; may be empty or wrong."""


class Fetcher:
    """Guarded client that fetches URLs, a few at a time. Close it when done."""

    def __init__(
        self,
        settings: Fetch,
        limits: Limits,
        *,
        buckets: BucketFetcher | None = None,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`buckets` reads `s3://` and `gs://`, which are forbidden without; it stays the caller's to close."""
        self._settings = settings
        self._buckets = buckets
        self._max_bytes = limits.max_file_bytes
        self._http = GuardedHttp(settings, resolver, ssl_context)
        self._turns = Turns(settings.concurrency)

    async def fetch(self, url: str) -> Fetched:
        """Fetch the file behind a URL.

        Raises `ImageError`: `forbidden_address`, `not_found` (404 and 410), `too_large`, `empty`, and `fetch_failed`
        for everything else: no such host, refused, cut off, too slow, another status, too many redirects, a redirect
        from https to http, a compressed body.
        """
        async with self._turns.taken():
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    if self._buckets and names_object(url):
                        data = await self._buckets.fetch(url)
                        return Fetched(data, hashlib.sha256(data).hexdigest(), "")
                    return await self._follow(url)
            except TimeoutError as error:
                raise _failed("The other server took too long") from error
            except (httpx.HTTPError, httpx.StreamError, ssl.SSLError) as error:
                raise _failed("The connection to the other server failed") from error

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _follow(self, url: str) -> Fetched:
        target = self._http.guard.check_url(url)
        for _ in range(self._settings.max_redirects + 1):
            response = await self._http.send("GET", target, _HEADERS)
            try:
                if response.status_code not in _REDIRECTS:
                    return await self._receive(response)
                target = self._next(target, response)
            finally:
                await response.aclose()
        raise _failed("The URL redirects too often")

    def _next(self, target: Target, response: httpx.Response) -> Target:
        try:
            location = target.url.join(response.headers.get("location", ""))
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise _failed("The URL redirects to something that is not a URL") from error
        following = self._http.guard.check_url(location)
        if (target.url.scheme, following.url.scheme) == ("https", "http"):
            raise _failed("The URL redirects from https to http")
        return following

    async def _receive(self, response: httpx.Response) -> Fetched:
        if response.status_code in _GONE:
            raise image_error("not_found", "The other server has no such file")
        if response.status_code != 200:
            raise _failed(f"The other server answered with status {response.status_code}")
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise _failed("The other server sent a compressed body though none was asked for")
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large()
        body, digest = bytearray(), hashlib.sha256()
        async for part in response.aiter_raw():
            if len(body) + len(part) > self._max_bytes:
                raise self._too_large()
            body += part
            digest.update(part)
        if not body:
            raise image_error("empty", "The file is empty")
        content_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
        return Fetched(bytes(body), digest.hexdigest(), content_type)

    def _too_large(self) -> ImageError:
        return image_error("too_large", f"The file has more than {self._max_bytes} bytes")


def _failed(message: str) -> ImageError:
    return image_error("fetch_failed", message)
