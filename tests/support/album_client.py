"""HTTP helpers of the cluster tests: uploads, albums and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import httpx
import numpy as np

from bench.server import Server
from deployments.contracts.arrays import Image
from tests.support.builders import a_photo, encoded

T = TypeVar("T")

PATIENCE_S = 120.0
"""Seconds after which a wait fails its test."""
ENDED = {"succeeded", "failed", "cancelled"}
_SIDE_PX, _HEAD_PX = 480, 150


def open_client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=f"{server.url}/api/v1", timeout=PATIENCE_S, trust_env=False)


def until(condition: Callable[[], T | None], what: str) -> T:
    """Wait for the first result of `condition` that is neither None nor False; a server that is away is asked again."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if answer := condition():
                return answer
        except (httpx.HTTPError, LookupError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited in vain until {what}")


def upload(client: httpx.Client, files: Mapping[str, bytes]) -> dict[str, str]:
    """Upload images. -> name: url"""
    response = client.post("/images", files=[("file", item) for item in files.items()])
    assert response.status_code == 201, response.text
    return dict(zip(files, (image["url"] for image in response.json()["images"]), strict=True))


def start_album(client: httpx.Client, album: str, refs: Sequence[str]) -> str:
    """Post images to an album without waiting. -> the job, which the server has acknowledged"""
    body = {"images": list(refs), "album_id": album}
    response = client.post("/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def look(client: httpx.Client, job: str) -> dict[str, Any]:
    response = client.get(f"/jobs/{job}")
    response.raise_for_status()
    return dict(response.json())


def half_way(client: httpx.Client, job: str) -> dict[str, Any]:
    """Wait until some of the job's images are done and some are not. -> the job"""
    found = _job_when(client, job, lambda seen: seen["progress"] > 0, "has begun")
    assert found["status"] == "running", f"too few pictures to be caught half way: {found}"
    return found


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    return _job_when(client, job, lambda seen: seen["status"] in ENDED, "ends")


def _job_when(client: httpx.Client, job: str, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    def look_again() -> dict[str, Any] | None:
        seen = look(client, job)
        return seen if holds(seen) else None

    return until(look_again, f"{job} {what}")


def album_when_analysed(client: httpx.Client, album: str) -> dict[str, Any]:
    """Wait until all jobs of the album have ended. -> the album"""

    def settled() -> dict[str, Any] | None:
        response = client.get(f"/albums/{album}")
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found if found["jobs"] and all(job["status"] in ENDED for job in found["jobs"]) else None

    return until(settled, f"the jobs of {album} end")


def many_pictures(count: int, salt: int) -> dict[str, bytes]:
    """Make photographs with one person in each, enough to be caught half way. Another salt, other bytes.

    Each before a ground of its own: they are no copies of each other, or comparing them would take a minute.
    """
    head = cv2.resize(a_photo("astronaut")[20:270, 110:360], (_HEAD_PX, _HEAD_PX), interpolation=cv2.INTER_AREA)
    return {f"{place}.jpg": encoded(_before_a_ground(head, (salt, place)), quality=85) for place in range(count)}


def many_copies(count: int, salt: int) -> dict[str, bytes]:
    """Make copies of one photograph of a person, each cropped otherwise. Another salt, other bytes."""
    picture = a_photo("astronaut")
    return {f"{place}.jpg": encoded(picture[: 512 - place, : 512 - salt], quality=85) for place in range(count)}


def _before_a_ground(head: Image, seed: tuple[int, int]) -> Image:
    """Put a head somewhere on a ground of coloured tiles, sharp or soft ones."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (*rng.integers(2, 12, 2), 3), dtype=np.uint8)
    method = cv2.INTER_NEAREST if seed[1] % 2 else cv2.INTER_LINEAR
    ground = np.asarray(cv2.resize(tiles, (_SIDE_PX, _SIDE_PX), interpolation=method), np.uint8)
    top, left = rng.integers(0, _SIDE_PX - _HEAD_PX, 2)
    ground[top : top + _HEAD_PX, left : left + _HEAD_PX] = head
    return ground


def assert_all_embedded(album: dict[str, Any], refs: Sequence[str]) -> None:
    """Assert that every image is embedded, every analysis succeeded, and all faces are the photographs' one person."""
    assert {image["image"] for image in album["images"]} == set(refs)
    assert {image["status"] for image in album["images"]} == {"embedded"}
    assert {job["status"] for job in album["jobs"]} == {"succeeded"}
    people = album["results"]["people_clusters"]
    assert {frozenset(found) for found in people.values()} == {frozenset(refs)}
