"""Compression of JSON answers."""

from __future__ import annotations

import gzip

import httpx
import pytest

from tests.api.conftest import embed, upload
from tests.support.builders import an_image, encoded


async def raw(client: httpx.AsyncClient, path: str, accepts: str | None) -> tuple[httpx.Response, bytes]:
    """Get an answer and its body as it came."""
    request = client.build_request("GET", path)
    del request.headers["accept-encoding"]
    if accepts is not None:
        request.headers["accept-encoding"] = accepts
    response = await client.send(request, stream=True)
    body = b"".join([part async for part in response.aiter_raw()])
    await response.aclose()
    return response, body


@pytest.mark.parametrize("accepts", ["gzip", "br, gzip;q=0.5", "gzip, deflate, zstd"])
async def test_a_long_json_answer_is_compressed_for_whoever_takes_it(
    idle_client: httpx.AsyncClient, accepts: str
) -> None:
    plain, whole = await raw(idle_client, "/openapi.json", None)
    packed, body = await raw(idle_client, "/openapi.json", accepts)
    assert "content-encoding" not in plain.headers
    assert (packed.headers["content-encoding"], gzip.decompress(body)) == ("gzip", whole)
    assert len(body) < len(whole) / 4
    assert packed.headers["content-length"] == str(len(body))
    assert "accept-encoding" in packed.headers["vary"].lower()


@pytest.mark.parametrize("accepts", ["identity", "gzip;q=0", "br, gzip; q=0.0, identity", "*;q=0"])
async def test_an_answer_is_left_alone_for_whoever_refuses_compression(
    idle_client: httpx.AsyncClient, accepts: str
) -> None:
    answer, _ = await raw(idle_client, "/openapi.json", accepts)
    assert "content-encoding" not in answer.headers


async def test_short_answers_and_pictures_are_not_compressed(idle_client: httpx.AsyncClient) -> None:
    data = encoded(an_image((400, 300)), "BMP")
    [url] = await upload(idle_client, data)
    for path, expected in ((url, data), ("/healthz", None)):
        answer, body = await raw(idle_client, path, "gzip")
        assert "content-encoding" not in answer.headers
        assert expected is None or body == expected


async def test_the_events_of_a_job_come_as_they_happen_and_uncompressed(client: httpx.AsyncClient) -> None:
    answer = await embed(client, "summer", await upload(client, encoded(an_image(), "PNG")))
    events, body = await raw(client, f"/api/v1/jobs/{answer['jobs'][0]['id']}/events", "gzip")
    assert "content-encoding" not in events.headers
    assert b"data:" in body
