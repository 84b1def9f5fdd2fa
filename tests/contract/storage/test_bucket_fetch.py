"""Image references to objects in buckets, read through the same `Fetcher` as URLs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Fetch, Limits, Settings, StorageOptions
from deployments.errors import ImageError
from serve_app.services.images.buckets import BucketFetcher
from serve_app.services.images.fetch import Fetcher
from serve_app.storage.object_store import Location
from tests.support.object_stores import (
    BUCKET,
    ENDPOINT_SETTING,
    gcs_client,
    http,
    isolate_credentials,
    misbehaving,
    s3_client,
)


@pytest.fixture(autouse=True)
def _invented_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_credentials(monkeypatch)


@asynccontextmanager
async def fetching(scheme: str, endpoint: str, timeout_s: float = 20, **options: Any) -> AsyncIterator[Fetcher]:
    settings = Settings(
        fetch=Fetch(allowed_buckets=(f"{scheme}://{BUCKET}",), timeout_s=timeout_s),
        storage=StorageOptions(**{ENDPOINT_SETTING[scheme]: endpoint}, **options),
        limits=Limits(max_file_bytes=100),
    )
    buckets = BucketFetcher(settings)
    fetcher = Fetcher(settings.fetch, settings.limits, buckets=buckets)
    try:
        yield fetcher
    finally:
        await fetcher.aclose()
        await buckets.close()


def put(scheme: str, endpoint: str, name: str, data: bytes) -> None:
    if scheme == "s3":
        s3 = s3_client(endpoint)
        s3.put_object(Bucket=BUCKET, Key=name, Body=data)
        s3.close()
    else:
        gcs = gcs_client(endpoint)
        gcs.bucket(BUCKET).blob(name).upload_from_string(data)
        gcs.close()


async def code(fetcher: Fetcher, ref: str) -> str:
    with pytest.raises(ImageError) as caught:
        await fetcher.fetch(ref)
    for secret in ("127.0.0.1", "DARKROOM", BUCKET):
        assert secret not in caught.value.message
    return caught.value.code


async def test_an_object_of_an_allowed_bucket_is_read(scheme: str, endpoint: str) -> None:
    name = f"summer/{uuid.uuid4().hex} ü.png"
    put(scheme, endpoint, name, b"picture")
    async with fetching(scheme, endpoint) as fetcher:
        assert (await fetcher.fetch(f"{scheme}://{BUCKET}/{name}")).data == b"picture"
        assert (await fetcher.fetch(f"{scheme.upper()}://{BUCKET}/{name}")).data == b"picture"


async def test_an_object_that_is_missing_empty_or_too_large_is_refused_with_its_code(
    scheme: str, endpoint: str
) -> None:
    put(scheme, endpoint, "empty", b"")
    put(scheme, endpoint, "large", b"x" * 101)
    async with fetching(scheme, endpoint) as fetcher:
        assert await code(fetcher, f"{scheme}://{BUCKET}/gone") == "not_found"
        assert await code(fetcher, f"{scheme}://{BUCKET}/empty") == "empty"
        assert await code(fetcher, f"{scheme}://{BUCKET}/large") == "too_large"


async def test_a_store_that_hangs_is_given_up_in_the_time_of_a_fetch(scheme: str) -> None:
    slow = {"read_timeout_s": 1.0, "attempts": 1}
    async with misbehaving([None]) as server, fetching(scheme, server.endpoint, timeout_s=0.2, **slow) as fetcher:
        assert await code(fetcher, f"{scheme}://{BUCKET}/a") == "fetch_failed"


async def test_a_store_that_refuses_is_a_failed_fetch(scheme: str) -> None:
    async with misbehaving([http("403 Forbidden")]) as server, fetching(scheme, server.endpoint) as fetcher:
        assert await code(fetcher, f"{scheme}://{BUCKET}/a") == "fetch_failed"


async def test_a_fetcher_without_buckets_reads_none(scheme: str) -> None:
    fetcher = Fetcher(Fetch(), Limits())
    assert await code(fetcher, f"{scheme}://{BUCKET}/a") == "forbidden_address"
    await fetcher.aclose()


@given(name=st.text(st.sampled_from("a./\\%?#: ") | st.characters(), max_size=12))
def test_an_object_name_is_taken_to_the_letter_or_not_at_all(name: str) -> None:
    try:
        place = Location.parse(f"s3://bucket/{name}")
    except ValueError:
        return
    assert (place.bucket, place.name) == ("bucket", name)
    assert not {".", ".."} & set(name.replace("\\", "/").split("/"))
