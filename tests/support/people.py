"""Albums of invented people over HTTP, for tests of who is who."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.builders import an_image, encoded
from tests.support.fakes import with_face

PEOPLE = "/api/v1/people"
FACES = "/api/v1/faces"


def group_picture(seed: int, together: tuple[int, ...]) -> bytes:
    """Draw an image with these people side by side, each of whom `FakeCapabilities` knows by number, 0 to 15."""
    image = an_image(size=(60 * len(together) + 40, 100), seed=seed)
    for place, person in enumerate(together):
        image = with_face(image, 16 * person + 8, at=(20 + 60 * place, 40))
    return encoded(image, "PNG")


async def fill_album(client: httpx.AsyncClient, album: str, *pictures: tuple[int, ...], seed: int = 0) -> list[str]:
    """Upload an image for each of `pictures`, the numbers of who is in it, and group them. -> ids of the images"""
    files = [("file", (f"{place}.png", group_picture(seed + place, who))) for place, who in enumerate(pictures)]
    stored = (await client.post("/api/v1/images", files=files)).json()["images"]
    urls = [image["url"] for image in stored]
    answer = await client.post("/api/v1/albums/embeddings", json={"images": urls, "album_id": album})
    assert answer.status_code == 201, answer.text
    await group(client, album)
    return [image["id"] for image in stored]


async def group(client: httpx.AsyncClient, album: str) -> dict[str, list[str]]:
    """Group an album. -> id of each person in it -> its images"""
    answer = await client.post("/api/v1/albums/clusters", json={"album_id": album}, params={"detail": True})
    assert answer.status_code == 200, answer.text
    return {one["id"]: sorted({face["image"] for face in one["faces"]}) for one in answer.json()["people"]}


async def people(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """List people."""
    answer = await client.get(PEOPLE, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def faces(client: httpx.AsyncClient, person: str) -> list[str]:
    """List the ids of a person's faces."""
    answer = await client.get(f"{PEOPLE}/{person}/faces")
    assert answer.status_code == 200, answer.text
    return sorted(face["id"] for face in answer.json()["items"])


async def state(client: httpx.AsyncClient) -> dict[str, Any]:
    """Describe all people with whose faces are whose, without the times."""
    found = {}
    for hidden in (False, True):
        for person in await people(client, hidden=hidden):
            kept = {key: value for key, value in person.items() if key != "updated_at"}
            found[person["id"]] = kept | {"faces": await faces(client, person["id"])}
    return found


async def decide(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    """Make a decision that succeeds."""
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["correction_id"]
    return dict(answer.json())
