"""What a user may do at its worst, each going on in threads until its block ends: for `bench.speed.neighbour`.

Bounded by what is asked of them: so many connections, so many pictures. They stop what they have started.
"""

from __future__ import annotations

import io
import itertools
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image as PillowImage

from bench.speed.album import photographs

ASYNC = {"Prefer": "respond-async"}
_ENDED = {"succeeded", "failed", "cancelled"}
ELSEWHERE = "127.0.0.2"
"""Address that who does it comes from: the front door bounds addresses, too."""
_PAUSE_S = 0.2
_STOP_S = 120.0
_NUMBERS = itertools.count()
_SEGMENT = b"\xff\xfe"
"""Marker of a JPEG comment."""


def distinct(jpeg: bytes) -> bytes:
    """Make another file of the same pixels, which no server has analysed yet: a comment in it is new."""
    comment = f"number {next(_NUMBERS)} of {time.time_ns()}".encode()
    return jpeg[:2] + _SEGMENT + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def crowd(side: int = 6) -> bytes:
    """Make a picture full of faces, a JPEG: portraits side by side, `side` times `side`."""
    [portrait] = photographs(1)
    tile = np.asarray(PillowImage.open(io.BytesIO(portrait)).resize((640, 480)))
    file = io.BytesIO()
    PillowImage.fromarray(np.tile(tile, (side, side, 1))).save(file, "JPEG", quality=85)
    return file.getvalue()


def upload(client: httpx.Client, *files: bytes) -> list[str]:
    """Upload pictures. -> their URLs"""
    parts = [("file", (f"{place}.jpg", data)) for place, data in enumerate(files)]
    return [image["url"] for image in client.post("/images", files=parts).raise_for_status().json()["images"]]


def wait_for(client: httpx.Client, job: str) -> dict[str, object]:
    """Wait for the end of a job. -> the job. Raises `TimeoutError`."""
    deadline = time.monotonic() + _STOP_S
    while time.monotonic() < deadline:
        found = dict(client.get(f"/jobs/{job}").raise_for_status().json())
        if found["status"] in _ENDED:
            return found
        time.sleep(_PAUSE_S)
    raise TimeoutError(f"job {job} did not end")


class Nuisance(ABC):
    """One user's worst of one kind."""

    name: ClassVar[str]
    threads: ClassVar[int] = 2

    def __init__(self, client: httpx.Client) -> None:
        """`client`: with the user's key, its base at `/api/v1`."""
        self.client = client
        self.refused = 0
        """Answers 429: the server holds the user to a share."""
        self._error: Exception | None = None
        self._jobs: list[str] = []
        self._stop = threading.Event()
        self._begun = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Go on until the block ends; it begins when the first harm is done."""
        workers = [threading.Thread(target=self._repeat, daemon=True) for _ in range(self.threads)]
        for worker in workers:
            worker.start()
        try:
            if not self._begun.wait(_STOP_S):
                raise TimeoutError(f"'{self.name}' did not begin") from self._error
            yield
        finally:
            self._stop.set()
            for worker in workers:
                worker.join(_STOP_S)
            self.clean_up()

    @abstractmethod
    def step(self) -> None:
        """Do it once more; called again and again, by each thread."""

    def clean_up(self) -> None:
        """Cancel what is still queued or running, and wait until it has ended."""
        for job in self._jobs:
            self.client.delete(f"/jobs/{job}")
        for job in self._jobs:
            with suppress(httpx.HTTPStatusError):  # it was removed with its album
                wait_for(self.client, job)

    def begun(self) -> None:
        self._begun.set()

    def ask(self, path: str, body: dict[str, object]) -> bool:
        """Start a job. -> whether the server took it"""
        answer = self.client.post(path, json=body, headers=ASYNC)
        if answer.status_code == 429:
            self.refused += 1
            self._stop.wait(_PAUSE_S)
            return False
        self._jobs.append(answer.raise_for_status().json()["id"])
        return True

    def _repeat(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except (httpx.HTTPError, OSError) as error:  # cut off or late: it tries again
                self._error = error
                self._stop.wait(_PAUSE_S)


class FullQueue(Nuisance):
    """Every place in the queue taken by analyses of an album that pictures full of faces are added to, and more asked
    for than there are places."""

    name = "full queue"
    threads = 4
    _ALBUM: ClassVar[dict[str, object]] = {"album_id": "full"}

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(client)
        self._picture = crowd()
        self._calls = itertools.count(1)
        self._add_pictures()

    def step(self) -> None:
        if next(self._calls) % 50 == 0:
            self._add_pictures()
        elif not self.ask("/albums/tags", {"threshold": secrets.randbelow(10**9) / 10**9, **self._ALBUM}):
            self.begun()  # no two alike, since one that is known is answered at once

    def _add_pictures(self) -> None:
        """What is asked of the album after this waits for them."""
        urls = upload(self.client, *(distinct(self._picture) for _ in range(4)))
        self.ask("/albums/embeddings", {"images": urls, **self._ALBUM})


class HalfBodies(Nuisance):
    """Connections whose requests begin and do not go on; those that the server closes are opened anew."""

    name = "half bodies"
    threads = 1

    def __init__(self, client: httpx.Client, connections: int) -> None:
        super().__init__(client)
        self._connections = connections
        self._open: list[socket.socket] = []

    def step(self) -> None:
        self._open = [one for one in self._open if not _is_closed(one)]
        while len(self._open) < self._connections and not self._stop.is_set():
            self._open.append(self._half_sent())
        self.begun()
        self._stop.wait(_PAUSE_S)

    def clean_up(self) -> None:
        for one in self._open:
            one.close()

    def _half_sent(self) -> socket.socket:
        address = urlsplit(str(self.client.base_url))
        head = (
            f"POST /api/v1/images HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: {self.client.headers['authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n--x\r\n"
        )
        connection = socket.create_connection(
            (address.hostname or "", address.port or 80), timeout=10, source_address=(ELSEWHERE, 0)
        )
        connection.sendall(head.encode())
        return connection


class Crowds(Nuisance):
    """Album after album of pictures full of faces."""

    name = "crowds"

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(client)
        self._picture = crowd()

    def step(self) -> None:
        urls = upload(self.client, *(distinct(self._picture) for _ in range(4)))
        self.ask("/albums/embeddings", {"images": urls})
        self.begun()


class HugeAlbums(Nuisance):
    """Albums of as many pictures as a request may name."""

    name = "huge albums"

    def __init__(self, client: httpx.Client, size: int) -> None:
        super().__init__(client)
        self._size = size
        self._pictures = photographs(8)

    def step(self) -> None:
        urls: list[str] = []
        while len(urls) < self._size and not self._stop.is_set():
            batch = min(20, self._size - len(urls))
            urls += upload(self.client, *(distinct(self._pictures[place % 8]) for place in range(batch)))
        self.ask("/albums/embeddings", {"images": urls})
        self.begun()


def worst_of(size: int, connections: int) -> list[Callable[[httpx.Client], Nuisance]]:
    """List what is tried. `size`: pictures of a huge album; `connections`: half-sent requests."""
    return [
        FullQueue,
        lambda client: HalfBodies(client, connections),
        Crowds,
        lambda client: HugeAlbums(client, size),
    ]


def _is_closed(connection: socket.socket) -> bool:
    """Whether the server has answered or hung up."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        pass
    connection.close()
    return True
