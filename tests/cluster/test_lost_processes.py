"""Processes killed (-9) one after another while an album is embedded lose nothing that was acknowledged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bench.server import Server
from tests.support.album_client import (
    album_when_analysed,
    assert_all_embedded,
    ended,
    half_way,
    look,
    many_pictures,
    start_album,
    until,
    upload,
)

pytestmark = [pytest.mark.cluster, pytest.mark.weights]


@pytest.mark.parametrize(("victim", "salt"), [("Bundle", 1), ("Worker", 2)])
def test_an_album_survives_the_death_of(server: Server, client: httpx.Client, victim: str, salt: int) -> None:
    urls = list(upload(client, many_pictures(56, salt)).values())
    job = start_album(client, f"loses-{victim}", urls)
    half_way(client, job)
    killed = server.replica(victim)
    killed.kill()

    assert ended(client, job)["status"] == "succeeded"
    assert_all_embedded(album_when_analysed(client, f"loses-{victim}"), urls)
    until(server.is_ready, "the server is well")
    assert server.replica(victim).pid != killed.pid


def test_a_request_in_flight_when_the_ingress_dies_may_simply_be_repeated(server: Server, client: httpx.Client) -> None:
    urls = list(upload(client, many_pictures(56, salt=3)).values())
    body = {"images": urls, "album_id": "loses-ingress"}
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(_post_embeddings, client, body)
        [job] = until(lambda: client.get("/albums/loses-ingress").json().get("jobs"), "the job is there")
        half_way(client, job["id"])
        server.replica("Ingress").kill()
        lost = call.result()
    assert lost is not None
    assert lost.status_code in {201, 202}, lost.text  # the front door has repeated it

    until(server.is_ready, "the server is well")
    again = client.post("/albums/embeddings", json=body)
    assert (again.status_code, again.json()["embedded"]) == (201, len(urls))
    assert look(client, job["id"])["status"] == "succeeded"
    assert_all_embedded(album_when_analysed(client, "loses-ingress"), urls)


def _post_embeddings(client: httpx.Client, body: dict[str, object]) -> httpx.Response | None:
    try:
        return client.post("/albums/embeddings", json=body)
    except httpx.HTTPError:
        return None


def test_a_client_that_hangs_up_loses_nothing(client: httpx.Client) -> None:
    urls = list(upload(client, many_pictures(40, salt=4)).values())
    with pytest.raises(httpx.ReadTimeout):
        client.post("/albums/embeddings", json={"images": urls, "album_id": "hangs-up"}, timeout=0.5)
    assert_all_embedded(album_when_analysed(client, "hangs-up"), urls)
