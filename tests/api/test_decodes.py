"""Image decodes of uploads and jobs; docs/architecture.md has the table."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from configs.settings import SegmentationOptions, Settings, Styles
from tests.api.conftest import embed, upload
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.decodes import count_decodes
from tests.support.fakes import with_face
from tests.support.pages import a_page

SMALL, LARGE, PREVIEW = (96, 64), (1600, 800), (1280, 640)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Edits at the original's size; segmentation engines look at less."""
    few = SegmentationOptions(max_px=256)
    return settings.model_copy(update={"styles": Styles(max_px=2000), "segmentation": few})


def a_portrait() -> bytes:
    return encoded(with_face(a_flat_image(LARGE), person=56, at=(400, 100), size=300), "PNG")


async def test_an_upload_is_decoded_once(idle_client: httpx.AsyncClient) -> None:
    with count_decodes() as decodes:
        await upload(idle_client, encoded(an_image(LARGE), "PNG"))
    assert decodes == {LARGE: 1}


async def test_embedding_decodes_each_uploaded_images_preview_once(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(LARGE), "PNG"), encoded(an_image(SMALL), "PNG"))
    with count_decodes() as decodes:
        await embed(client, "album", refs)
    assert decodes == {PREVIEW: 1, SMALL: 1}


async def test_embedding_a_url_decodes_the_original_and_then_its_preview(client: httpx.AsyncClient) -> None:
    body = encoded(an_image(LARGE), "PNG")

    async def pictures(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(pictures, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        with count_decodes() as decodes:
            await embed(client, "album", [url])
    assert decodes == {LARGE: 1, PREVIEW: 1}


async def test_reading_texts_decodes_the_original_once_and_for_the_background_the_preview(
    client: httpx.AsyncClient,
) -> None:
    page = a_page([["Departures from the main hall"]] * 5, px=48, size=LARGE)
    [ref] = await upload(client, encoded(page, "PNG"))
    likely, asked = {"album_id": "album", "likely_only": True}, {"album_id": "album"}
    with count_decodes() as decodes:
        await embed(client, "album", [ref])
        await client.post("/api/v1/albums/texts", json=likely)
    assert decodes == {PREVIEW: 2}, "once for the vectors, once for the texts"
    with count_decodes() as decodes:
        for body in (likely, asked, asked | {"min_score": 0.9}):
            assert (await client.post("/api/v1/albums/texts", json=body)).status_code == 200
    assert decodes == {LARGE: 1}


async def test_a_style_decodes_its_photograph_once_and_its_result_never(client: httpx.AsyncClient) -> None:
    [ref] = await upload(client, encoded(an_image(LARGE), "PNG"))
    with count_decodes() as decodes:
        answer = await client.post("/api/v1/style", json={"image_url": ref, "style_name": "ink"})
    assert answer.status_code == 200, answer.text
    assert decodes == {LARGE: 1}


async def test_an_avatar_decodes_its_photograph_once_and_its_result_never(client: httpx.AsyncClient) -> None:
    [ref] = await upload(client, a_portrait())
    with count_decodes() as decodes:
        answer = await client.post("/api/v1/avatars", json={"image_url": ref, "animal": "fox"})
    assert answer.status_code == 200, answer.text
    assert decodes == {LARGE: 1}


async def test_a_segmentation_decodes_its_photograph_once_and_mask_and_cut_out_never(
    client: httpx.AsyncClient,
) -> None:
    [ref] = await upload(client, a_portrait())
    with count_decodes() as decodes:
        answer = await client.post("/api/v1/segmentations", json={"image_url": ref})
    assert answer.status_code == 200, answer.text
    assert decodes == {LARGE: 1}


async def test_a_segmentation_of_a_very_large_photograph_decodes_it_reduced_and_then_in_full(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.services.edits.segmentation._HELD_PIXELS", LARGE[0] * LARGE[1] - 1)
    [ref] = await upload(client, a_portrait())
    with count_decodes() as decodes:
        await client.post("/api/v1/segmentations", json={"image_url": ref})
    assert decodes == {LARGE: 2}
