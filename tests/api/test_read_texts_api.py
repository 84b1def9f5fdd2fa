"""Texts from the upload to the search, with the real engine."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.texts import TextsDeployment
from tests.api.conftest import embed, upload
from tests.support.builders import a_photo, encoded, encoded_turned
from tests.support.fakes import FakeCapabilities
from tests.support.pages import RECEIPT_TEXT, a_receipt

pytest.importorskip("rapidocr")


class Reading(FakeCapabilities):
    def __init__(self) -> None:
        super().__init__()
        self._texts = TextsDeployment(Settings())

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        self.calls.append("read_texts")
        return await self._texts.read_texts(images, options)


@pytest.fixture
def capabilities() -> Reading:
    return Reading()


async def test_receipts_are_read_and_found_by_what_they_say_and_photographs_are_not_looked_at_for_it(
    client: httpx.AsyncClient, capabilities: Reading
) -> None:
    level, turned, photo = await upload(
        client,
        encoded(a_receipt(), "JPEG", quality=85),
        encoded_turned(a_receipt(degrees=90), 6),
        encoded(a_photo("chelsea"), "JPEG"),
    )
    await embed(client, "receipts", [level, turned, photo])
    body = {"album_id": "receipts", "likely_only": True}
    found = (await client.post("/api/v1/albums/texts", json=body)).json()
    assert {one["image"]: one["text"] for one in found["texts"]} == {level: RECEIPT_TEXT, turned: RECEIPT_TEXT}
    assert capabilities.calls.count("read_texts") == 2
    hits = (await client.get("/api/v1/search", params={"q": "croissant"})).json()["items"]
    assert {hit["url"] for hit in hits} == {level, turned}
    assert [hit["matched"] for hit in hits] == [["text:Croissant with ham 10 4.20"]] * 2
