"""Traffic of users in a process of its own, until its standard input ends: `python -m bench.faults.traffic`.

Its first line of input is JSON: the server's URL, a key for each user, the seed, the file of the journal. A round of a
user: three pictures uploaded and posted to an album, which two rounds share; one read back and compared; an avatar or,
in turn, a style; the album and the history looked at; now and then an earlier album deleted.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path
from typing import Any

from bench.faults.client import Client, NotAcknowledged
from bench.faults.journal import AlbumPost, Deletion, Edit, Journal, Picture, Wrong
from bench.faults.pictures import Pictures

STYLES = ("pencil", "cartoon", "pixel-art")
ANIMALS = ("fox", "cat", "bear")
_POSTED = 3
_DELETE_EVERY = 5
_ROUND_S = 45.0
"""Seconds that a round's job is waited for, so that the queue is bounded; then the user goes on."""
_PAUSE_S = 1.0
"""Seconds between rounds: all of it is sent to an undisturbed server once more, which may not take longer."""


def order_of(kind: str, number: int) -> tuple[str, dict[str, Any]]:
    """Name the path and the options of an edit of a picture: the same number, the same edit."""
    if kind == "style":
        return "/style", {"style_name": STYLES[number % len(STYLES)], "seed": number}
    return "/avatars", {"animal": ANIMALS[number % len(ANIMALS)], "seed": number, "mode": "overlay"}


class User:
    """One user's rounds."""

    def __init__(self, client: Client, journal: Journal, pictures: Pictures, seed: int) -> None:
        self._client = client
        self._journal = journal
        self._pictures = pictures
        self._rng = random.Random(f"{seed}/{client.user}")
        self._round = 0
        self._albums: list[str] = []

    def go_on(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.play()
            except NotAcknowledged:
                pass  # noted; what was acknowledged so far stays in the journal
            stop.wait(_PAUSE_S)

    def play(self) -> None:
        """Play the next round. Raises `NotAcknowledged`, after which the round is over."""
        number, self._round = self._round, self._round + 1
        me, album = self._client.user, f"{self._client.user}-{number // 2}"
        numbers = list(range(number * _POSTED, (number + 1) * _POSTED))
        urls = self._client.upload(*(self._pictures(me, picture) for picture in numbers))
        for picture, url in zip(numbers, urls, strict=True):
            self._journal.add(Picture(me, picture, url))
        jobs = [self._post(album, numbers, urls)]
        self._read_back(self._rng.randrange(_POSTED), numbers, urls)
        kind, place = ("style", 1) if number % 2 else ("avatar", 0)
        jobs.append(self._edit(kind, numbers[place], urls[place]))
        self._client.call("history", "GET", "/history")
        for job in jobs:
            self._client.ended(job, _ROUND_S)
        for job in self._client.call("album", "GET", f"/albums/{album}").json()["jobs"]:
            self._client.ended(job["id"], _ROUND_S)
        if number % _DELETE_EVERY == _DELETE_EVERY - 1:
            self._delete()

    def _edit(self, kind: str, number: int, url: str) -> str:
        path, options = order_of(kind, number)
        job = self._client.start(kind, path, {"image_url": url, **options})
        self._journal.add(Edit(self._client.user, kind, number, job))
        return job

    def _post(self, album: str, numbers: list[int], urls: list[str]) -> str:
        me = self._client.user
        try:
            job = self._client.start("post", "/albums/embeddings", {"album_id": album, "images": urls})
        except NotAcknowledged:
            self._journal.add(AlbumPost(me, album, numbers, None))
            raise
        self._journal.add(AlbumPost(me, album, numbers, job))
        if album not in self._albums:
            self._albums.append(album)
        return job

    def _read_back(self, place: int, numbers: list[int], urls: list[str]) -> None:
        me = self._client.user
        if self._client.bytes_of(urls[place]) != self._pictures(me, numbers[place]):
            self._journal.add(Wrong(me, f"the bytes of picture {numbers[place]}"))

    def _delete(self) -> None:
        """Delete an album that no further round adds to."""
        me = self._client.user
        done = self._albums[:-1]
        if not done:
            return
        album = self._rng.choice(done)
        self._albums.remove(album)
        try:
            self._client.call("delete", "DELETE", f"/albums/{album}")
        except NotAcknowledged:
            self._journal.add(Deletion(me, album, False))
            raise
        self._journal.add(Deletion(me, album, True))


def main() -> None:
    order = json.loads(sys.stdin.readline())
    stop = threading.Event()
    pictures = Pictures(order["seed"])
    with Journal(Path(order["journal"])) as journal:
        users = [
            User(Client(order["url"], key, number, journal), journal, pictures, order["seed"])
            for number, key in enumerate(order["keys"])
        ]
        threads = [threading.Thread(target=user.go_on, args=[stop]) for user in users]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
