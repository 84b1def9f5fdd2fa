"""HTTP client behind the commands."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_BATCH_FILES = 16
_BATCH_BYTES = 64 * 2**20
_TRIES = 6
_LONGEST_PAUSE_S = 30.0
_STILL_BEING_ANSWERED = 409
"""Status of a repeated POST whose first try is still being answered, or was lost a moment ago."""

SUFFIXES = frozenset(".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .heic .heif .avif".split())


class CommandError(Exception):
    """A failure that ends the command with one line for the user."""


class Client:
    """Client of one server's HTTP API. Its methods raise `CommandError`."""

    def __init__(self, server: str, key: str | None = None) -> None:
        """`key`: the API key, for a server that asks for one."""
        self._server = server.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._has_answered = False
        self._http = httpx.Client(base_url=f"{self._server}/api/v1", timeout=_TIMEOUT, trust_env=False, headers=headers)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, accept_rejected: bool = False, **options: Any) -> httpx.Response:
        """Send a request; repeat it while the server is busy, or when its answer is lost and repeating it is safe.

        With `accept_rejected` an answer that lists every file as rejected is no error.
        """
        options["headers"] = {**_key(method, path), **(options.get("headers") or {})}
        is_of_album = method == "POST" and path.startswith("/albums/")
        may_repeat = method == "GET" or is_of_album or "Idempotency-Key" in options["headers"]
        for attempt in range(_TRIES):
            response = self._try(method, path, may_repeat and attempt < _TRIES - 1, options)
            if response is not None and not _may_pass(response, attempt, may_repeat):
                break
            if attempt < _TRIES - 1:
                time.sleep(_pause_s(response, attempt))
        assert response is not None  # noqa: S101 (the last try raises)
        if response.is_error and not (accept_rejected and '"rejected"' in response.text):
            raise CommandError(_problem_line(response))
        return response

    def _try(self, method: str, path: str, may_repeat: bool, options: dict[str, Any]) -> httpx.Response | None:
        """Send a request once. -> None when the server was lost and the request may be repeated"""
        try:
            response = self._http.request(method, path, **options)
        except httpx.ConnectError:
            if self._has_answered and may_repeat:
                return None
            raise CommandError(
                f"No Darkroom answers at {self._server}. Start one with `make run`, or name another with --server."
            ) from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if may_repeat:
                return None
            raise CommandError(f"{self._server}: the answer was lost ({type(error).__name__}).") from None
        except httpx.HTTPError as error:
            raise CommandError(f"{self._server}: {type(error).__name__}: {error}") from None
        self._has_answered = True
        return response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request. -> the answer's JSON"""
        return self.call(method, path, **options).json()

    def items(self, path: str, most: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """Load the items of a paged list: all, or the first `most`."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while most is None or len(found) < most:
            page = self.json("GET", path, params={"limit": 200, **query} | ({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found[:most]

    def upload(self, paths: list[Path], each: Callable[[int], None]) -> tuple[dict[str, Path], list[dict[str, str]]]:
        """Upload files in batches. -> {url: file}, the rejected ones; `each` gets the size of each finished batch."""
        stored: dict[str, Path] = {}
        rejected: list[dict[str, str]] = []
        for batch in _batches(paths):
            files = [("file", (_name(path), path.read_bytes())) for path in batch]
            answer = self.call("POST", "/images", files=files, accept_rejected=True).json()
            refused = {entry["index"]: entry for entry in answer["rejected"]}
            good = [path for place, path in enumerate(batch) if place not in refused]
            stored |= {image["url"]: path for image, path in zip(answer.get("images", []), good, strict=True)}
            rejected += [entry | {"filename": str(batch[place])} for place, entry in refused.items()]
            each(len(batch))
        return stored, rejected

    def finished(self, job_id: str, each: Callable[[dict[str, Any]], None], poll_s: float = 0.4) -> dict[str, Any]:
        """Poll a job until it has ended. -> the ended job; `each` gets it after every poll."""
        while True:
            job: dict[str, Any] = self.json("GET", f"/jobs/{job_id}")
            each(job)
            if job["status"] not in {"queued", "running"}:
                return job
            time.sleep(poll_s)


def result_of(job: dict[str, Any]) -> dict[str, Any]:
    """Result of a job that has ended. Raises `CommandError` unless it succeeded."""
    if job["status"] != "succeeded":
        problem = job["problem"] or {"title": f"The job was {job['status']}", "detail": ""}
        raise CommandError(f"{problem['title']}: {problem['detail']}")
    result: dict[str, Any] = job["result"]
    return result


def pictures_in(folder: Path) -> list[Path]:
    """List the image files below a folder, by suffix, in order of their paths. Raises `CommandError` without any."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
    if not found:
        raise CommandError(f"There are no pictures in {folder} ({', '.join(sorted(SUFFIXES))}).")
    return found


def _name(path: Path) -> str:
    """Name of a file as text that can be sent: Linux allows names that are none."""
    return os.fsencode(path.name).decode(errors="replace")


def _key(method: str, path: str) -> dict[str, str]:
    """Header that makes a POST safe to repeat. Those about albums are so anyway, and answers with keys are not kept."""
    if method != "POST" or path.startswith(("/albums/", "/users")):
        return {}
    return {"Idempotency-Key": uuid4().hex}


def _may_pass(response: httpx.Response, attempt: int, may_repeat: bool) -> bool:
    """Whether the reason of a refusal may be gone a little later. A 503 can mean that the answer was lost."""
    if response.status_code == _STILL_BEING_ANSWERED:
        return attempt > 0 and may_repeat and "Idempotency-Key" in response.request.headers
    return response.status_code == 429 or (response.status_code == 503 and may_repeat)


def _pause_s(response: httpx.Response | None, attempt: int) -> float:
    """Seconds before another try: what the server says and up to a quarter more, else growing and drawn at random."""
    told = None if response is None else response.headers.get("retry-after")
    if told is not None and told.isdecimal():
        return min(float(told), _LONGEST_PAUSE_S) * random.uniform(1.0, 1.25)
    return random.uniform(0.5, 1.0) * min(2.0**attempt, _LONGEST_PAUSE_S)


def _batches(paths: list[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in paths:
        if batch and (len(batch) >= _BATCH_FILES or size + path.stat().st_size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += path.stat().st_size
    if batch:
        yield batch


def _problem_line(response: httpx.Response) -> str:
    try:
        problem = response.json()
        if response.status_code == 401:
            return (
                f"{problem['title']} (401): {problem['detail']} Set DARKROOM_API_KEY, or DARKROOM_ADMIN_KEY for users."
            )
        return f"{problem['title']} ({response.status_code}): {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"The server answered {response.status_code} {response.reason_phrase}."
