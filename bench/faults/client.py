"""An honest client of the HTTP API: it asks again what says when (429 and 503 with `Retry-After`), and notes the rest.

A connection that breaks off, a 500 or a 502 is not asked again: what was sent may have been done, and the contract
promises nothing.
"""

from __future__ import annotations

import time
from typing import Any

import httpx

from bench.faults.journal import Answer, Call, Journal, now

_RETRIED = {429, 503}
_SILENCE_S = 90.0
"""Seconds without an answer after which a call is given up."""
_PATIENCE_S = 120.0
"""Seconds after which a refused call is not made again."""
JOB_ENDS = {"succeeded", "failed", "cancelled"}
ASYNC = {"Prefer": "respond-async"}


class NotAcknowledged(Exception):
    """The call was not acknowledged: whether it was done is open."""


class Client:
    """Calls of one user. Its methods may be used from several threads."""

    def __init__(self, url: str, key: str, user: int, journal: Journal | None = None) -> None:
        self.user = user
        self.key = key
        self.journal = journal
        self._http = httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {key}"},
            timeout=_SILENCE_S,
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        self._http.close()

    def call(self, step: str, method: str, path: str, *, also: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        """Call until it is answered below 400, or with a status of `also`. Raises `NotAcknowledged`."""
        began = time.monotonic()
        while True:
            answer, wait_s = self._once(step, method, path, request)
            if answer is not None and (answer.status_code < 400 or answer.status_code in also):
                if self.journal:
                    self.journal.add(Call(now(), self.user, step, time.monotonic() - began))
                return answer
            if wait_s is None or time.monotonic() - began > _PATIENCE_S:
                raise NotAcknowledged(f"{step}: {answer.status_code if answer is not None else 'no answer'}")
            time.sleep(wait_s)

    def _once(
        self, step: str, method: str, path: str, request: dict[str, Any]
    ) -> tuple[httpx.Response | None, float | None]:
        """Call once. -> the answer, and the seconds after which it may be asked again"""
        began = time.monotonic()
        answer: httpx.Response | None = None
        wait_s: float | None = None
        try:
            answer = self._http.request(method, path, **request)
            status = str(answer.status_code)
            if answer.status_code in _RETRIED and "retry-after" in answer.headers:
                wait_s = float(answer.headers["retry-after"])
            elif answer.status_code >= 400 and answer.headers.get("content-type") != "application/problem+json":
                status += " plain"
        except httpx.TimeoutException:
            status = "silent"
        except httpx.TransportError:
            status = "broken"
        if self.journal:
            self.journal.add(Answer(now(), self.user, step, status, time.monotonic() - began, wait_s is not None))
        return answer, wait_s

    def upload(self, *files: bytes) -> list[str]:
        """Upload pictures. -> their URLs. Raises `NotAcknowledged`."""
        parts = [("file", (f"{place}.jpg", data)) for place, data in enumerate(files)]
        return [image["url"] for image in self.call("upload", "POST", "/images", files=parts).json()["images"]]

    def bytes_of(self, url: str) -> bytes:
        return self.call("file", "GET", httpx.URL(url).path.removeprefix("/api/v1")).content

    def start(self, step: str, path: str, body: dict[str, Any]) -> str:
        """Start a job. -> its id. Raises `NotAcknowledged`."""
        return str(self.call(step, "POST", path, json=body, headers=ASYNC).json()["id"])

    def job(self, job: str) -> dict[str, Any] | None:
        """Look at a job. None: there is none."""
        answer = self.call("job", "GET", f"/jobs/{job}", also=(404,))
        return None if answer.status_code == 404 else dict(answer.json())

    def ended(self, job: str, patience_s: float, pause_s: float = 0.3) -> dict[str, Any] | None:
        """Wait for the end of a job for so many seconds. -> as it was last seen; None: there is none"""
        deadline = time.monotonic() + patience_s
        while True:
            found = self.job(job)
            if found is None or found["status"] in JOB_ENDS or time.monotonic() > deadline:
                return found
            time.sleep(pause_s)
