"""Object stores (S3, Google Cloud Storage): failures, and the URLs that they serve themselves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from configs.settings import Settings, StorageOptions
from deployments.errors import DarkroomError, NotFound, Unavailable
from serve_app.storage import Storage, open_storage
from serve_app.storage.object_store import PIECE_BYTES, Location
from tests.support.object_stores import (
    ACCESS_KEY,
    BUCKET,
    ENDPOINT_SETTING,
    http,
    isolate_credentials,
    misbehaving,
    s3_client,
    write_service_account,
)

IMPATIENT: dict[str, Any] = {"connect_timeout_s": 0.5, "read_timeout_s": 0.2, "attempts": 1}
JSON = "Content-Type: application/json"
METADATA = http("200 OK", json.dumps({"name": "a", "size": "10", "generation": "1"}).encode(), JSON)
WHOLE = http("206 Partial Content", b"0123456789", "Content-Range: bytes 0-9/10", 'ETag: "e"')
CUT = http("206 Partial Content", b"0123", "Content-Range: bytes 0-9/10", 'ETag: "e"', length=10)
REST = http("206 Partial Content", b"456789", "Content-Range: bytes 4-9/10")


@pytest.fixture(autouse=True)
def _invented_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_credentials(monkeypatch)


@asynccontextmanager
async def opened(scheme: str, endpoint: str | None, bucket: str = BUCKET, **options: Any) -> AsyncIterator[Storage]:
    chosen = StorageOptions(**{ENDPOINT_SETTING[scheme]: endpoint}, **options)
    storage = await open_storage(f"{scheme}://{bucket}/{uuid.uuid4().hex}", Settings(storage=chosen))
    try:
        yield storage
    finally:
        await storage.close()


def every_call(storage: Storage) -> list[Callable[[], Any]]:
    return [
        lambda: storage.put("a", b"0123456789"),
        lambda: storage.get("a"),
        lambda: storage.open("a"),
        lambda: storage.exists("a"),
        lambda: storage.delete("a"),
        storage.check,
    ]


async def refusal(call: Callable[[], Any]) -> str:
    """Return the message of an `Unavailable`, which must tell a client nothing about the storage's place."""
    with pytest.raises(Unavailable) as caught:
        await call()
    for secret in ("127.0.0.1", "http", ACCESS_KEY, BUCKET, "secret-of-the-tests"):
        assert secret not in caught.value.message
    return caught.value.message


async def test_a_missing_bucket_names_the_setting(scheme: str, endpoint: str) -> None:
    async with opened(scheme, endpoint, "no-such-bucket") as storage:
        for call in every_call(storage):
            assert await refusal(call) == "The storage has no such bucket (DARKROOM_STORAGE_URL)"


async def test_unknown_aws_keys_are_refused(s3_endpoint: str) -> None:
    async with opened("s3", s3_endpoint) as storage, httpx.AsyncClient(base_url=s3_endpoint) as moto:
        await moto.post("/moto-api/reset-auth", content=b"0")  # from now on it looks at keys
        try:
            for call in every_call(storage):
                assert "refuses this server's AWS credentials" in await refusal(call)
        finally:
            await moto.post("/moto-api/reset-auth", content=b"inf")


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_credentials_without_permission_are_told_from_a_missing_object(scheme: str, status: str) -> None:
    async with misbehaving([http(status)]) as server, opened(scheme, server.endpoint) as storage:
        for call in every_call(storage):
            assert "credentials" in await refusal(call)


async def test_missing_aws_credentials_are_an_error_that_says_where_they_are_looked_for(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with opened("s3", s3_endpoint) as storage:
        assert "AWS_ACCESS_KEY_ID" in await refusal(storage.check)


async def test_missing_google_credentials_are_an_error_that_says_where_they_are_looked_for() -> None:
    message = await refusal(lambda: open_storage(f"gs://{BUCKET}", Settings()))
    assert "GOOGLE_APPLICATION_CREDENTIALS" in message


async def test_a_store_that_is_not_there_names_the_setting(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with opened(scheme, endpoint, **IMPATIENT) as storage:
        for call in every_call(storage):
            message = await refusal(call)
            assert message == f"The storage cannot be reached (DARKROOM_STORAGE__{ENDPOINT_SETTING[scheme].upper()})"


async def test_a_store_that_accepts_and_never_answers_is_given_up(scheme: str) -> None:
    async with misbehaving([None]) as server, opened(scheme, server.endpoint, **IMPATIENT) as storage:
        assert "cannot be reached" in await refusal(lambda: storage.get("a"))
        assert len(server.requests) == 1


async def test_the_deadline_holds_whatever_the_library_waits_for(scheme: str) -> None:
    slow = {"read_timeout_s": 1.0, "attempts": 1, "deadline_s": 0.1}
    async with misbehaving([None]) as server, opened(scheme, server.endpoint, **slow) as storage:
        assert "DARKROOM_STORAGE__DEADLINE_S" in await refusal(lambda: storage.get("a"))


async def test_calls_that_wait_for_a_thread_have_a_deadline_too(scheme: str) -> None:
    slow = {"read_timeout_s": 1.0, "attempts": 1, "deadline_s": 0.1, "concurrency": 1}
    async with misbehaving([None]) as server, opened(scheme, server.endpoint, **slow) as storage:
        messages = await asyncio.gather(*(refusal(lambda: storage.get("a")) for _ in range(5)))
        assert all("DARKROOM_STORAGE__DEADLINE_S" in message for message in messages)
        assert len(server.requests) <= 1


async def test_an_error_of_the_store_is_tried_again_and_then_raised(scheme: str) -> None:
    async with misbehaving([http("503 Slow Down")]) as server, opened(scheme, server.endpoint, attempts=2) as storage:
        assert "status 503" in await refusal(lambda: storage.get("a"))
        assert len(server.requests) == 2


async def test_a_passing_error_of_the_store_is_not_seen(scheme: str) -> None:
    broken = {"s3": [http("500 Internal Server Error")], "gs": [http("502 Bad Gateway"), METADATA]}[scheme]
    async with misbehaving([*broken, WHOLE]) as server, opened(scheme, server.endpoint) as storage:
        assert await storage.get("a") == b"0123456789"


async def test_a_body_that_breaks_off_is_never_taken_for_the_object(scheme: str) -> None:
    def answer(request: str) -> bytes:
        return METADATA if scheme == "gs" and "alt=media" not in request else CUT

    async with misbehaving(answer) as server, opened(scheme, server.endpoint, attempts=2) as storage:
        for read in (storage.get, storage.open):
            with pytest.raises(Unavailable):
                await read("a")
        assert len(server.requests) >= 4


async def test_a_body_that_broke_off_is_fetched_again(scheme: str) -> None:
    def answer(request: str) -> bytes:
        nonlocal broken
        if scheme == "gs" and "alt=media" not in request:
            return METADATA
        if not broken:
            broken = True
            return CUT
        return REST if "bytes=4-" in request else WHOLE  # Google's library goes on where it was

    broken = False
    async with misbehaving(answer) as server, opened(scheme, server.endpoint, attempts=2) as storage:
        assert await storage.get("a") == b"0123456789"


async def test_a_server_that_is_no_object_store_is_unavailable(scheme: str) -> None:
    page = http("200 OK", b"<html>Welcome</html>", "Content-Type: text/html")
    async with misbehaving([page]) as server, opened(scheme, server.endpoint, attempts=1) as storage:
        with pytest.raises(Unavailable):
            await storage.check()


async def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(s3_endpoint: str) -> None:
    async with opened("s3", s3_endpoint) as storage:
        await storage.put("a", b"o" * (PIECE_BYTES + 5))
        stored = await storage.open("a")
        await storage.put("a", b"n" * (PIECE_BYTES + 6))
        with pytest.raises(Unavailable, match="changed while it was read"):
            [piece async for piece in stored.chunks]


async def test_the_pieces_of_an_object_are_asked_for_by_its_generation() -> None:
    """The emulator ignores the condition; Google answers 412."""
    async with misbehaving([METADATA, http("412 Precondition Failed")]) as server, opened("gs", server.endpoint) as gcs:
        with pytest.raises(Unavailable, match="changed while it was read"):
            await gcs.get("a")
        assert "ifGenerationMatch=1" in server.requests[-1]


async def test_closing_gives_the_connections_back(scheme: str) -> None:
    async with misbehaving([http("404 Not Found", b"{}", JSON)]) as server:
        async with opened(scheme, server.endpoint) as storage:
            with pytest.raises(DarkroomError) as kept:
                await storage.get("a")
            assert server.connections == 1
        async with asyncio.timeout(20):
            while server.connections:  # noqa: ASYNC110 (what the server counts)
                await asyncio.sleep(0.01)
        assert kept.value.__traceback__, "an error that somebody keeps holds no connection open"


@pytest.mark.parametrize(
    ("scheme", "module", "remedy"),
    [("s3", "boto3", "pip install darkroom"), ("gs", "google.cloud", "pip install 'darkroom[cloud]'")],
)
async def test_a_missing_package_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, scheme: str, module: str, remedy: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(Unavailable) as caught:
        await open_storage(f"{scheme}://{BUCKET}", Settings())
    assert remedy in caught.value.message


@pytest.mark.parametrize("urls", ["server", "presigned", "public"])
async def test_the_type_and_the_life_of_an_object_are_stored_with_it(
    scheme: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: str
) -> None:
    base = f"{endpoint}/{BUCKET}/f"
    chosen = StorageOptions(**{ENDPOINT_SETTING[scheme]: endpoint}, urls=urls, public_base_url=base)
    storage = await open_storage(f"{scheme}://{BUCKET}/f", Settings(storage=chosen))
    key = uuid.uuid4().hex
    await storage.put(key, b"picture", "image/png")
    await storage.close()
    async with httpx.AsyncClient() as client:
        if scheme == "gs":
            described = (await client.get(f"{endpoint}/storage/v1/b/{BUCKET}/o/f%2F{key}")).json()
            type_, cache = described["contentType"], described["cacheControl"]
        else:
            s3 = s3_client(endpoint)
            url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": f"f/{key}"})
            s3.close()
            headers = (await client.get(url)).headers
            type_, cache = headers["content-type"], headers["cache-control"]
    assert type_ == "image/png"
    assert cache == f"{'public' if urls == 'public' else 'private'}, max-age=31536000, immutable"


async def test_a_presigned_url_gives_the_bytes_to_anybody_for_a_while(
    scheme: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_service_account(tmp_path / "account.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    data = os.urandom(1000)
    async with opened(scheme, endpoint, urls="presigned", url_ttl_s=90) as storage:
        await storage.put("originals/a", data, "image/png")
        url = await storage.url("originals/a")
    assert url is not None
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert answer.content == data
    assert answer.headers["content-type"] == "image/png"
    query = parse_qs(urlsplit(url).query)
    assert query[{"s3": "X-Amz-Expires", "gs": "X-Goog-Expires"}[scheme]] == ["90"]
    assert query[{"s3": "X-Amz-Signature", "gs": "X-Goog-Signature"}[scheme]]


async def test_a_presigned_url_names_the_store_as_clients_reach_it(
    scheme: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_service_account(tmp_path / "account.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    outside = "https://pictures.example"
    async with opened(scheme, endpoint, urls="presigned", presign_endpoint_url=outside) as storage:
        assert str(await storage.url("a")).startswith(f"{outside}/{BUCKET}/")


async def test_signing_without_a_service_account_says_so(gcs_endpoint: str) -> None:
    async with opened("gs", gcs_endpoint, urls="presigned") as storage:
        assert "credentials" in await refusal(lambda: storage.url("a"))


async def test_a_public_url_is_the_base_and_the_key(scheme: str, endpoint: str) -> None:
    async with opened(scheme, endpoint, urls="public", public_base_url="https://cdn.example/p/") as storage:
        assert await storage.url("originals/ab/a") == "https://cdn.example/p/originals/ab/a"
        with pytest.raises(NotFound):
            await storage.url("../a")


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "gs://a", "s3://bucket/../x", "s3://bu cket", "s3://key@bucket/x"])
async def test_an_address_without_a_usable_bucket_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ValueError, match="storage_url"):
        await open_storage(url, Settings())


@pytest.mark.parametrize("urls", ["presigned", "public"])
async def test_a_folder_has_no_urls_of_its_own(tmp_path: Path, urls: str) -> None:
    options = StorageOptions(urls=urls, public_base_url="https://cdn.example")
    with pytest.raises(ValueError, match=f"storage.urls={urls}"):
        await open_storage(None, Settings(data_dir=tmp_path, storage=options))


def test_public_urls_need_a_base() -> None:
    with pytest.raises(ValueError, match="public_base_url"):
        StorageOptions(urls="public")


@pytest.mark.parametrize(
    ("outer", "inner", "holds"),
    [
        ("s3://bucket", "s3://bucket/any/name", True),
        ("s3://bucket/folder", "s3://bucket/folder/name", True),
        ("s3://bucket/folder/", "s3://bucket/folder/name", True),
        ("s3://bucket/folder", "s3://bucket/folder-two/name", False),
        ("s3://bucket/folder", "s3://bucket/name", False),
        ("s3://bucket", "gs://bucket/name", False),
        ("s3://bucket", "s3://bucket2/name", False),
    ],
)
def test_a_place_holds_what_lies_below_it(outer: str, inner: str, holds: bool) -> None:
    assert Location.parse(outer).holds(Location.parse(inner)) is holds
