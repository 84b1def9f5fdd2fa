"""HTTP below the asynchronous client: requests that are repeated where that is safe, and problems as exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from darkroom_client import retries
from darkroom_client._async import waiting
from darkroom_client.errors import AnswerLost, ApiError, Unreachable, error_of
from darkroom_client.retries import Retries

M = TypeVar("M", bound=BaseModel)
PREFIX = "/api/v1"
_CONNECT_S = 5.0


class AsyncHttp:
    """Sender of requests to one server. Raises `ApiError` for a problem, `Unreachable`, `AnswerLost`."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout_s: float,
        retries: Retries,
        transport: httpx2.AsyncBaseTransport | None,
        sleep: waiting.Sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._has_answered = False
        self._retries = retries
        self._sleep = sleep
        self._timeout_s = timeout_s
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            timeout=httpx2.Timeout(timeout_s, connect=_CONNECT_S),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            trust_env=False,
            transport=transport,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, method: str, path: str, *, accept_rejected: bool = False, **options: Any) -> httpx2.Response:
        """Send a request; repeat it while the server is busy, or when its answer is lost and repeating it is safe.

        `path`: below `/api/v1`, or from the root with two slashes in front. With `accept_rejected` an answer that
        lists every file as rejected is no error.
        """
        url = path[1:] if path.startswith("//") else PREFIX + path
        headers = {**retries.key_for(method, path), **(options.pop("headers", None) or {})}
        has_key = "Idempotency-Key" in headers
        is_repeatable = retries.may_repeat(method, path, has_key)
        tries = self._retries.tries
        for attempt in range(tries):
            is_last = attempt == tries - 1
            response = await self._try(method, url, is_repeatable and not is_last, headers=headers, **options)
            if response is not None:
                may_pass = retries.may_pass(response.status_code, attempt, is_repeatable, has_key)
                if is_last or not may_pass:
                    return _checked(response, accept_rejected)
            told = None if response is None else response.headers.get("retry-after")
            await self._sleep(retries.pause_s(told, attempt, self._retries.longest_pause_s))
        raise AnswerLost(f"{self.base_url}: no answer.")  # without tries

    async def _try(self, method: str, url: str, is_repeatable: bool, **options: Any) -> httpx2.Response | None:
        """Send a request once. -> None when the server was lost and the request may be repeated."""
        try:
            response = await self._http.request(method, url, **options)
        except httpx2.ConnectError:
            if self._has_answered and is_repeatable:
                return None
            raise Unreachable(f"No Darkroom answers at {self.base_url}.") from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            if is_repeatable:
                return None
            raise AnswerLost(f"{self.base_url}: the answer was lost ({type(error).__name__}).") from None
        except httpx2.HTTPError as error:
            raise AnswerLost(f"{self.base_url}: {type(error).__name__}: {error}") from None
        self._has_answered = True
        return response

    async def read(self, model: type[M], method: str, path: str, **options: Any) -> M:
        """Send a request. -> the answer as its model."""
        return model.model_validate_json((await self.send(method, path, **options)).content)

    @asynccontextmanager
    async def stream(
        self, path: str, read_timeout_s: float, headers: dict[str, str] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        """Open a stream of events, once. Raises what httpx2 raises when it breaks off."""
        timeout = httpx2.Timeout(self._timeout_s, connect=_CONNECT_S, read=read_timeout_s)
        async with self._http.stream("GET", PREFIX + path, timeout=timeout, headers=headers) as response:
            if response.is_error:
                await response.aread()
                _checked(response)
            yield response


def _checked(response: httpx2.Response, accept_rejected: bool = False) -> httpx2.Response:
    if not response.is_error:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        raise ApiError({"status": response.status_code, "title": f"The server answered {response.status_code}"})
    if accept_rejected and "rejected" in problem:
        return response
    told = response.headers.get("retry-after", "")
    raise error_of(problem | {"status": response.status_code}, float(told) if told.isdecimal() else None)


def given(**fields: Any) -> dict[str, Any]:
    """Fields that were given: None is the server's own default."""
    return {name: value for name, value in fields.items() if value is not None}
