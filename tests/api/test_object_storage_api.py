"""The server with its images in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.settings import Fetch, Settings, StorageOptions
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.services.images.buckets import BucketFetcher
from serve_app.services.images.store import original_key
from serve_app.telemetry import Metrics
from tests.api.conftest import BASE, assert_problem, embed, upload
from tests.support.accounts import a_client, with_keys
from tests.support.builders import an_image, encoded
from tests.support.fakes import with_face
from tests.support.object_stores import BUCKET, isolate_credentials, s3_client


@pytest.fixture
def urls() -> str:
    return "server"


@pytest.fixture
def bucket_name() -> str:
    return BUCKET


@pytest.fixture
def settings(
    settings: Settings,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    urls: str,
    bucket_name: str,
) -> Settings:
    isolate_credentials(monkeypatch)
    options = StorageOptions(
        s3_endpoint_url=s3_endpoint, urls=urls, url_ttl_s=120, public_base_url="https://cdn.example/p"
    )
    fetch = Fetch(allowed_buckets=(f"s3://{BUCKET}/shared", f"s3://{BUCKET}/{tmp_path.name}", "s3://no-such-bucket"))
    url = f"s3://{bucket_name}/{tmp_path.name}"
    return settings.model_copy(update={"storage_url": url, "storage": options, "fetch": fetch})


@pytest.fixture
def bucket(s3_endpoint: str, settings: Settings) -> Any:
    client = s3_client(s3_endpoint)
    yield client
    client.close()


def stored(bucket: Any, folder: str) -> list[str]:
    listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
    return [entry["Key"] for entry in listed]


async def test_an_upload_lies_in_the_bucket_until_it_is_deleted(
    idle_client: httpx.AsyncClient, bucket: Any, tmp_path: Path
) -> None:
    data = encoded(an_image(), "PNG")
    [image] = (await idle_client.post("/api/v1/images", files={"file": ("a.png", data)})).json()["images"]
    [name] = stored(bucket, tmp_path.name)
    assert name == f"{tmp_path.name}/{original_key(image['sha256'])}"
    assert bucket.head_object(Bucket=BUCKET, Key=name)["ContentType"] == "image/png"
    served = await idle_client.get(image["url"])
    assert (served.status_code, served.content) == (200, data)
    assert (await idle_client.delete(f"/api/v1/images/{image['id']}")).status_code == 204
    assert stored(bucket, tmp_path.name) == []
    assert_problem(await idle_client.get(image["url"]), 404, "not-found")


async def test_a_part_of_a_file_in_the_bucket_is_206(idle_client: httpx.AsyncClient) -> None:
    data = encoded(an_image(), "PNG")
    [url] = await upload(idle_client, data)
    whole = await idle_client.get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    for wanted, part in (("bytes=0-3", data[:4]), ("bytes=7-", data[7:]), ("bytes=-5", data[-5:])):
        answer = await idle_client.get(url, headers={"Range": wanted, "If-Range": whole.headers["etag"]})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-range"].endswith(f"/{len(data)}")
    for headers in ({"Range": "bytes=0-3", "If-Range": '"x"'}, {"Range": "bytes=0-1,4-5"}, {"Range": "lines=1-2"}):
        assert (await idle_client.get(url, headers=headers)).content == data
    assert_problem(await idle_client.get(url, headers={"Range": "bytes=999999-"}), 416)
    known = await idle_client.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_a_user_who_leaves_leaves_nothing_in_the_bucket(
    client: httpx.AsyncClient, services: Services, bucket: Any, tmp_path: Path
) -> None:
    portrait = encoded(with_face(an_image((1500, 60)), person=3), "PNG")  # has a preview of its own
    user, key = await services.users.create("eva", "eva@example.org")
    files = {"file": ("a.png", portrait)}
    async with a_client(build_app(services, with_keys(services.settings), Metrics("ingress")), key) as eva:
        await embed(eva, "a", await upload(eva, portrait))
        for path, fields in (("avatars", {"animal": "fox"}), ("segmentations", {})):
            assert (await eva.post(f"/api/v1/{path}", data=fields, files=files)).status_code == 200
    assert len(stored(bucket, tmp_path.name)) == 8
    assert (await client.delete(f"/api/v1/users/{user.id}")).status_code == 204
    assert stored(bucket, tmp_path.name) == []


async def test_an_album_is_embedded_from_the_bucket(client: httpx.AsyncClient) -> None:
    large = encoded(an_image(size=(1500, 1000)), "JPEG")  # has a preview of its own
    refs = await upload(client, encoded(an_image(), "PNG"), large)
    answer = await embed(client, "a", refs)
    assert (answer["embedded"], answer["failed"]) == (2, [])


@pytest.mark.parametrize("urls", ["presigned"])
async def test_with_presigned_urls_the_url_in_answers_is_ours_and_leads_to_the_bytes(
    client: httpx.AsyncClient, s3_endpoint: str
) -> None:
    data = encoded(an_image(), "PNG")
    [url] = await upload(client, data)
    assert url.startswith(f"{BASE}/api/v1/files/")
    answer = await client.get(url)
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "private, max-age=60"
    assert answer.headers["location"].startswith(f"{s3_endpoint}/{BUCKET}/")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    async with httpx.AsyncClient() as anybody:
        served = await anybody.get(answer.headers["location"])
    assert (served.content, served.headers["content-type"]) == (data, "image/png")
    assert (await embed(client, "a", [url]))["embedded"] == 1  # read from storage, not fetched


@pytest.mark.parametrize("urls", ["presigned"])
async def test_nobody_is_sent_to_the_bucket_for_an_image_that_is_not_theirs(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.get("/api/v1/files/img_0000000000nothing.png"), 404, "not-found")


@pytest.mark.parametrize("urls", ["public"])
async def test_with_public_urls_files_are_below_the_public_base(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post("/api/v1/images", files={"file": ("a.png", encoded(an_image(), "PNG"))})
    [image] = response.json()["images"]
    answer = await idle_client.get(image["url"])
    assert answer.status_code == 307
    assert answer.headers["location"] == f"https://cdn.example/p/{original_key(image['sha256'])}"


async def test_images_in_buckets_are_read_where_the_operator_allows_it(
    client: httpx.AsyncClient, bucket: Any, tmp_path: Path, settings: Settings
) -> None:
    picture = encoded(an_image(), "PNG")
    contents = {
        "shared/summer trip/1?.png": picture,
        "shared/large.png": b"x" * (settings.limits.max_file_bytes + 1),
        "shared/empty.png": b"",
        "shared/words.png": b"these are words",
        "shared-not/1.png": picture,
        "private/1.png": picture,
        f"{tmp_path.name}/originals/1": picture,
    }
    for name, data in contents.items():
        bucket.put_object(Bucket=BUCKET, Key=name, Body=data)
    outcomes = {
        f"s3://{BUCKET}/shared/summer trip/1?.png": None,
        f"s3://{BUCKET}/shared/large.png": "too_large",
        f"s3://{BUCKET}/shared/empty.png": "empty",
        f"s3://{BUCKET}/shared/words.png": "unsupported_type",
        f"s3://{BUCKET}/shared/gone.png": "not_found",
        f"s3://{BUCKET}/shared-not/1.png": "forbidden_address",
        f"s3://{BUCKET}/private/1.png": "forbidden_address",
        f"s3://{BUCKET}/shared/../private/1.png": "forbidden_address",
        f"s3://{BUCKET}/shared/./../private/1.png": "forbidden_address",
        f"s3://{BUCKET}/{tmp_path.name}/originals/1": "forbidden_address",  # allowed, but this server's own storage
        f"s3://{BUCKET}/shared/%2e%2e/private/1.png": "not_found",  # the name of a file, though an odd one
        f"s3://{BUCKET}": "forbidden_address",
        f"gs://{BUCKET}/shared/1.png": "forbidden_address",
        "s3://no-such-bucket/1.png": "fetch_failed",
        "s3:///x": "forbidden_address",
    }
    answer = await embed(client, "a", list(outcomes))
    failed = {entry["image"]: entry["code"] for entry in answer["failed"]}
    assert failed == {ref: code for ref, code in outcomes.items() if code}
    assert answer["embedded"] == 1
    assert "DARKROOM" not in str(answer)


@pytest.mark.parametrize("entry", ["bucket", "https://bucket/x", "s3://", "s3://bucket/../x"])
async def test_a_misspelt_allowed_bucket_is_found_at_the_start(settings: Settings, entry: str) -> None:
    wrong = settings.model_copy(update={"fetch": Fetch(allowed_buckets=(entry,))})
    with pytest.raises(ValueError, match="allowed_buckets"):
        BucketFetcher(wrong)


@pytest.mark.parametrize("bucket_name", ["no-such-bucket"])
async def test_without_its_bucket_the_server_starts_and_says_what_is_missing(
    services: Services, idle_client: httpx.AsyncClient
) -> None:
    storage = (await services.health.check())["storage"]
    assert not storage["ok"]
    assert storage["detail"] == "The storage has no such bucket (DARKROOM_STORAGE_URL)"
    response = await idle_client.post("/api/v1/images", files={"file": ("a.png", encoded(an_image(), "PNG"))})
    assert_problem(response, 503, "unavailable")
