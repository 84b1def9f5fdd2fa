"""Provider over a deployed function that turns people into animals by itself: `cloud_function/` of this project, or any
other that takes the multipart image and answers with a URL."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any

import httpx

from configs.settings import Fetch, Limits, Providers
from deployments.algorithms.images.decoding import encode_jpeg
from deployments.assets.animals import Animal
from deployments.contracts.portraits import AvatarPicture, AvatarTask
from deployments.errors import ImageError, NoFace, ProviderRejected, ProviderUnavailable
from deployments.kit.address_guard import AddressGuard, Resolver, pin, resolve
from deployments.providers.masked_edits import prepare_edit
from deployments.providers.policy import (
    check_paid_call,
    error_of_status,
    is_loopback,
    malformed,
    missing_setting,
    picture_of,
    within,
)

_VENDOR = "The cloud function"
_URL = "DARKROOM_PROVIDERS__CLOUD_FUNCTION_URL"
_TOKEN = "DARKROOM_PROVIDERS__CLOUD_FUNCTION_TOKEN"  # noqa: S105, a variable's name
_CONNECT_S = 5.0
_SIDES = (1, 2048)
_MAX_ANSWER_BYTES = 64 * 2**10
_MAX_REDIRECTS = 3
_ATTEMPTS = 3
"""Addresses of one host that are tried in turn."""
_PLAIN = {"Accept-Encoding": "identity"}
"""Header without compression: a small answer that unpacks into a large one is neither asked for nor unpacked."""
_TECHNICAL = frozenset({401, 403, 404, 405, 408, 429})
"""Statuses beginning with 4 that say something of the function, not of the image."""
_NO_FACE = re.compile(rb"\bno[ _-]faces?\b", re.IGNORECASE)
_TAKES = ("The cloud function has no settings for strength, seed and prompt.",)


class CloudFunctionArtist:
    """Avatar provider whose function finds the faces itself; only the heads that the task names are taken from its
    image."""

    def __init__(
        self,
        settings: Providers,
        timeout_s: float,
        fetch: Fetch | None = None,
        limits: Limits | None = None,
        *,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Open the HTTP client; `fetch` says which private addresses the function's images may come from, `limits` how
        many bytes they may have.

        Raises `ProviderUnavailable` without a URL.
        """
        if settings.cloud_function_url is None:
            raise missing_setting(_VENDOR, "URL", _URL, "local")
        self._settings = settings
        self._timeout_s = timeout_s
        self._url = _parsed(settings.cloud_function_url)
        fetch = fetch or Fetch()
        self._max_bytes = (limits or Limits()).max_file_bytes
        self._guard = AddressGuard(fetch.allowed_hosts, fetch.allowed_networks)
        self._resolver = resolver
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_S),
            trust_env=False,
            verify=ssl_context or True,
            headers=_PLAIN,
            # No connection serves two requests: it is verified for one host name, and addresses are shared by many.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def make_avatar(self, request: AvatarTask, animal: Animal) -> AvatarPicture:
        check_paid_call(self._settings, _VENDOR, str(self._url))
        edit = await prepare_edit(_VENDOR, request, _SIDES)
        portrait = await asyncio.to_thread(encode_jpeg, edit.image)
        try:
            async with within(self._timeout_s, _VENDOR):
                link = await self._post(portrait, {"animal": animal.name, "mode": request.mode})
                data = await self._fetch(link)
        except httpx.HTTPError as error:
            raise ProviderUnavailable(f"{_VENDOR} cannot be reached.") from error
        return await edit.finish(await picture_of(data, _VENDOR), _VENDOR, _TAKES)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _post(self, portrait: bytes, fields: dict[str, str]) -> httpx.URL:
        """Post the portrait; -> the URL of the image that the function made."""
        token = self._settings.cloud_function_token
        async with self._http.stream(
            "POST",
            self._url,
            files={"file": ("portrait.jpg", portrait, "image/jpeg")},
            data=fields,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else None,
        ) as response:
            body = await _read(response, _MAX_ANSWER_BYTES)
        _check_status(response.status_code, body)
        try:
            answer: Any = httpx.Response(200, content=body).json()
        except ValueError as error:
            raise malformed(_VENDOR) from error
        link = answer.get("image_url") if isinstance(answer, dict) else None
        if not isinstance(link, str):
            raise malformed(_VENDOR)
        return _parsed(link)

    async def _fetch(self, link: httpx.URL) -> bytes:
        """Fetch the image, without the token, which is the function's alone."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._open(link)
            try:
                if not response.has_redirect_location:
                    if response.status_code != 200:
                        raise _lost()
                    return await _read(response, self._max_bytes)
                link = _parsed(response.headers["location"], link)
            finally:
                await response.aclose()
        raise malformed(_VENDOR)

    async def _open(self, link: httpx.URL) -> httpx.Response:
        """Open the link, on the function's host or at a public address, whatever its name."""
        if check_link(link, self._url):
            return await self._http.send(self._http.build_request("GET", link), stream=True)
        try:
            target = self._guard.check_url(link)
            addresses = self._guard.check_addresses(target.host, await self._resolver(target.host, target.port))
        except ImageError as error:
            raise malformed(_VENDOR) from error
        except (OSError, UnicodeError) as error:
            raise _lost() from error
        for address in addresses[:_ATTEMPTS]:
            try:
                return await self._http.send(pin(self._http.build_request("GET", link), target, address), stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        raise _lost()


def check_link(link: httpx.URL, function: httpx.URL) -> bool:
    """Check the link of an image; -> whether it is near: on the function's host or, as the function is, on this
    machine.

    An image is fetched by https; in the clear only from near. Raises `ProviderUnavailable`.
    """
    here = is_loopback(str(link))
    near = link.host == function.host or (here and is_loopback(str(function)))
    schemes = ("http", "https") if near else () if here else ("https",)
    if link.userinfo or link.scheme not in schemes:
        raise malformed(_VENDOR)
    return near


def _lost() -> ProviderUnavailable:
    return ProviderUnavailable(f"{_VENDOR} made a picture that cannot be fetched.")


def _check_status(status: int, body: bytes) -> None:
    if status == 200:
        return
    if status == 400 and _NO_FACE.search(body):
        raise NoFace(f"{_VENDOR} found no face in the picture.")
    if 400 <= status < 500 and status not in _TECHNICAL:
        raise ProviderRejected(f"{_VENDOR} refused the picture.")
    raise error_of_status(_VENDOR, status, _TOKEN, "local")


def _parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        return base.join(url) if base is not None else httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise malformed(_VENDOR) from error


async def _read(response: httpx.Response, most: int) -> bytes:
    """Read the body. Raises `ProviderUnavailable` for one of more than `most` bytes."""
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise malformed(_VENDOR)
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > most:
            raise malformed(_VENDOR)
    return bytes(body)
