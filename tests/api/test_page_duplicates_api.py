"""Pages in albums, with the real reader and the real comparison of pixels: duplicates by what they say, and tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from configs.settings import Settings
from deployments.contracts.albums import LocalFeatures, PairVerdict
from deployments.contracts.arrays import Image
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.dedup import DedupDeployment
from deployments.errors import CapabilityFailed, DarkroomError, DeadlineExceeded, NotDeployed, Overloaded, Unavailable
from deployments.texts import TextsDeployment
from serve_app.store.queue import claims
from serve_app.store.repositories import texts
from serve_app.store.repositories.texts import StoredTexts
from tests.api.conftest import embed, upload
from tests.support.builders import encoded
from tests.support.fakes import FakeCapabilities
from tests.support.pages import a_page

pytest.importorskip("rapidocr")
ROWS = [
    ("Corner Market",),
    ("Espresso", "2", "5.00"),
    ("Croissant", "10", "14.20"),
    ("Orange juice", "1", "3.75"),
    ("Mineral water", "4", "8.40"),
    ("Cheese roll", "2", "7.30"),
    ("Total", "19", "38.65"),
]


def a_sheet(total: str = "38.65") -> Image:
    return a_page([*ROWS[:-1], ("Total", "19", total)], columns=(30, 330, 460), size=(560, 360))


class Reading(FakeCapabilities):
    """Reads and compares for real, unless `away` is to be raised; the rest is fake."""

    def __init__(self) -> None:
        super().__init__()
        self._texts, self._dedup = TextsDeployment(Settings()), DedupDeployment(Settings())
        self.away: DarkroomError | None = None

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        self.calls.append("read_texts")
        if self.away is not None:
            raise self.away
        return await self._texts.read_texts(images, options)

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        return await self._dedup.describe_images(images)

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        return await self._dedup.compare_images(features, left, right)


@pytest.fixture
def capabilities() -> Reading:
    return Reading()


async def finished_jobs(client: httpx.AsyncClient) -> None:
    """Wait until no job is left, those that others started included."""
    while True:
        listed = (await client.get("/api/v1/jobs")).json()["items"]
        left = [job["id"] for job in listed if job["status"] in ("queued", "running")]
        if not left:
            return
        await client.get(f"/api/v1/jobs/{left[-1]}", params={"wait": 20})


async def groups(client: httpx.AsyncClient, album: str, level: str = "copy") -> list[set[str]]:
    answer = await client.post("/api/v1/albums/duplicates", json={"album_id": album, "level": level})
    assert answer.status_code == 200, answer.text
    return [set(images) for images in answer.json()["duplicates"].values()]


@pytest.mark.parametrize("level", ["copy", "similar"])
async def test_a_receipt_with_one_other_digit_is_no_duplicate_and_a_recompressed_one_is(
    client: httpx.AsyncClient, capabilities: Reading, level: str
) -> None:
    sheet, again, other = await upload(
        client, encoded(a_sheet(), "PNG"), encoded(a_sheet(), quality=60), encoded(a_sheet("38.66"), "PNG")
    )
    await embed(client, "receipts", [sheet, again, other])
    assert await groups(client, "receipts", level) == [{sheet, again}]
    await finished_jobs(client)
    assert capabilities.calls.count("read_texts") <= 4, "what one job read the other does not read again"


async def test_files_of_the_same_pixels_are_duplicates_though_one_was_read_otherwise(
    client: httpx.AsyncClient, capabilities: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At another size, say, by who asked for one of them."""
    whole, calls = capabilities.read_texts, list[None]()

    async def read_texts(images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        calls.append(None)
        [found] = await whole(images, options)
        return [[replace(one, text=one.text.replace("38.65", f"{len(calls)}8.65")) for one in found]]

    monkeypatch.setattr(capabilities, "read_texts", read_texts)
    urls = await upload(client, encoded(a_sheet(), "PNG"), encoded(a_sheet(), "PNG", compress_level=1))
    answer = await client.post("/api/v1/albums/duplicates", json={"images": urls})
    assert [set(images) for images in answer.json()["duplicates"].values()] == [set(urls)]


@pytest.mark.parametrize("away", [NotDeployed("Reading text needs the extra."), Unavailable("No replica.")])
async def test_where_nothing_reads_what_pixels_say_stands(
    client: httpx.AsyncClient, capabilities: Reading, away: DarkroomError
) -> None:
    capabilities.away = away
    urls = await upload(client, encoded(a_sheet(), "PNG"), encoded(a_sheet("38.66"), "PNG"))
    answer = await client.post("/api/v1/albums/duplicates", json={"images": urls})
    assert [set(images) for images in answer.json()["duplicates"].values()] == [set(urls)]


@pytest.mark.parametrize("broken", [DeadlineExceeded("It took longer than it may."), CapabilityFailed("It broke.")])
async def test_a_page_that_cannot_be_read_is_tried_once_however_many_look_like_it(
    client: httpx.AsyncClient, capabilities: Reading, broken: DarkroomError
) -> None:
    capabilities.away = broken
    sheets = [encoded(a_sheet(f"38.6{digit}"), "PNG") for digit in range(4)]
    answer = await client.post("/api/v1/albums/duplicates", json={"images": await upload(client, *sheets)})
    assert answer.status_code == 200, answer.text
    assert capabilities.calls.count("read_texts") <= len(sheets)


async def test_where_every_page_takes_too_long_not_all_are_waited_for(
    client: httpx.AsyncClient, capabilities: Reading
) -> None:
    capabilities.away = DeadlineExceeded("It took longer than it may.")
    sheets = [encoded(a_sheet(f"38.{number}"), "PNG") for number in range(11, 23)]
    urls = await upload(client, *sheets)
    answer = await client.post("/api/v1/albums/duplicates", json={"images": urls})
    assert answer.status_code == 200, answer.text
    assert 0 < capabilities.calls.count("read_texts") < len(sheets)


async def test_a_reader_that_is_busy_for_a_moment_is_waited_for(
    client: httpx.AsyncClient, capabilities: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ready_again(*_: object, **__: object) -> float:
        capabilities.away = None
        return 0.0

    capabilities.away = Overloaded("The queue is full.")
    monkeypatch.setattr(claims, "backoff_s", ready_again)
    urls = await upload(client, encoded(a_sheet(), "PNG"), encoded(a_sheet("38.66"), "PNG"))
    answer = await client.post("/api/v1/albums/duplicates", json={"images": urls})
    assert answer.json()["duplicates"] == {}


async def tags(client: httpx.AsyncClient, album: str, **body: Any) -> dict[str, list[str]]:
    answer = await client.post("/api/v1/albums/tags", json={"album_id": album, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["tags"])


async def test_a_receipt_is_tagged_as_one_once_it_is_read_and_found_by_the_tag(
    client: httpx.AsyncClient, capabilities: Reading
) -> None:
    [sheet] = await upload(client, encoded(a_sheet(), "PNG"))
    await embed(client, "receipts", [sheet])
    assert "receipt" not in await tags(client, "receipts")
    await client.post("/api/v1/albums/texts", json={"album_id": "receipts", "likely_only": True})
    await finished_jobs(client)
    found = await tags(client, "receipts")
    assert found["receipt"] == found["document"] == [sheet]
    hits = (await client.get("/api/v1/search", params={"q": "receipt"})).json()["items"]
    assert [hit["url"] for hit in hits] == [sheet]
    assert await tags(client, "receipts", labels=["invoice", "red"]) == {"invoice": [sheet]}


@pytest.mark.parametrize(("seen", "is_tagged"), [("menu", True), ("website", True), ("kitten", False)])
async def test_a_page_that_the_models_take_for_paper_of_another_kind_is_tagged_once_it_is_read(
    client: httpx.AsyncClient, capabilities: Reading, monkeypatch: pytest.MonkeyPatch, seen: str, is_tagged: bool
) -> None:
    async def tag_images(vectors: Sequence[object], *_: object) -> list[dict[str, float]]:
        return [{seen: 0.9} for _ in vectors]

    monkeypatch.setattr(capabilities, "tag_images", tag_images)
    [sheet] = await upload(client, encoded(a_sheet(), "PNG"))
    await embed(client, "receipts", [sheet])
    await tags(client, "receipts")  # as the models see it
    await client.post("/api/v1/albums/texts", json={"album_id": "receipts", "likely_only": True})
    await finished_jobs(client)
    assert set(await tags(client, "receipts")) == {seen, *(("receipt", "document") if is_tagged else ())}


@pytest.mark.parametrize(("seen", "is_receipt"), [("menu", True), ("kitten", False)])
async def test_labels_that_hold_for_pages_too_do_not_hide_that_one_is_a_receipt(
    client: httpx.AsyncClient, capabilities: Reading, monkeypatch: pytest.MonkeyPatch, seen: str, is_receipt: bool
) -> None:
    async def tag_images(vectors: Sequence[object], labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        mine = {seen: 0.9} if labels is None else {one: 0.9 if one == "paper" else 0.0 for one in labels}
        return [{"receipt": 0.01, **mine} for _ in vectors]

    monkeypatch.setattr(capabilities, "tag_images", tag_images)
    [sheet] = await upload(client, encoded(a_sheet(), "PNG"))
    await embed(client, "receipts", [sheet])
    await client.post("/api/v1/albums/texts", json={"album_id": "receipts", "likely_only": True})
    found = await tags(client, "receipts", labels=["paper", "receipt"])
    assert found == {"paper": [sheet], **({"receipt": [sheet]} if is_receipt else {})}


async def test_a_search_for_what_no_page_says_looks_at_no_texts(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    [sheet] = await upload(client, encoded(a_sheet(), "PNG"))
    await embed(client, "receipts", [sheet])
    await finished_jobs(client)
    whole, asked = texts.load, list[str]()

    async def load(session: Any, model: str, shas: Sequence[str]) -> dict[str, StoredTexts]:
        asked.extend(shas)
        return await whole(session, model, shas)

    monkeypatch.setattr(texts, "load", load)
    found = await client.get("/api/v1/albums/receipts/search", params={"q": "people"})
    assert found.status_code == 200, found.text
    assert asked == []
    await tags(client, "receipts", labels=["invoice"])
    assert len(asked) == 1


async def test_what_the_user_says_of_a_tag_wins_over_what_is_written(client: httpx.AsyncClient) -> None:
    [sheet] = await upload(client, encoded(a_sheet(), "PNG"))
    await embed(client, "receipts", [sheet])
    image_id = (await client.get("/api/v1/images")).json()["items"][0]["id"]
    changed = await client.patch(f"/api/v1/images/{image_id}", json={"tags": {"remove": ["receipt"]}})
    assert changed.status_code == 200, changed.text
    await client.post("/api/v1/albums/texts", json={"album_id": "receipts", "likely_only": True})
    await finished_jobs(client)
    found = await tags(client, "receipts")
    assert "document" in found
    assert "receipt" not in found
