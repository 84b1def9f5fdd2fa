"""Bytes of uploads under way: the share of one user, the bound of all, and what is kept of a part that is too large."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from configs.settings import Settings
from tests.api.conftest import assert_problem
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded

MIB = 2**20
HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A user may have 4 MiB under way, all together 6, and a file may have 1."""
    limits = settings.limits.model_copy(
        update={
            "max_body_bytes": 4 * MIB,
            "max_upload_held_bytes_per_user": 4 * MIB,
            "max_upload_held_bytes": 6 * MIB,
        }
    )
    return with_keys(settings).model_copy(update={"limits": limits})


@asynccontextmanager
async def under_way(client: httpx.AsyncClient, length: int | None) -> AsyncIterator[None]:
    """An upload of `length` bytes (None: it does not say) that has begun and does not go on."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield PART % b"a"
        begun.set()
        await end.wait()

    headers = HEADERS | ({} if length is None else {"Content-Length": str(length)})
    call = asyncio.create_task(client.post("/api/v1/images", content=body(), headers=headers))
    try:
        await asyncio.wait_for(begun.wait(), 20)
        yield
    finally:
        end.set()
        await call


class Unread:
    """A body that tells whether it was read."""

    def __init__(self) -> None:
        self.was_read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.was_read = True
        yield b"x" * MIB


async def _assert_refused_unread(client: httpx.AsyncClient, length: int | None, quota: str, path: str) -> None:
    body = Unread()
    headers = HEADERS | ({} if length is None else {"Content-Length": str(length)})
    answer = await client.post(path, content=body, headers=headers)
    assert assert_problem(answer, 429, "overloaded")["quota"] == f"limits.{quota}"
    assert int(answer.headers["retry-after"]) > 0
    assert not body.was_read


@pytest.mark.parametrize("path", ["/api/v1/images", "/upload-image/", "/api/v1/avatars", "/api/v1/segmentations"])
async def test_uploads_over_a_users_share_are_429_before_they_are_read_and_leave_another_user_alone(
    eva: Account, bob: Account, path: str
) -> None:
    async with under_way(eva.client, 3 * MIB):
        await _assert_refused_unread(eva.client, MIB + 1, "max_upload_held_bytes_per_user", path)
        assert (await _upload(bob.client)).status_code == 201
        assert (await _upload(eva.client)).status_code == 201  # small enough for what is left
    async with under_way(eva.client, 3 * MIB), under_way(eva.client, MIB):
        pass


async def test_an_upload_that_hides_its_length_counts_as_the_most_that_it_may_have(eva: Account) -> None:
    async with under_way(eva.client, 100):
        await _assert_refused_unread(eva.client, None, "max_upload_held_bytes_per_user", "/api/v1/images")
    async with under_way(eva.client, None):
        await _assert_refused_unread(eva.client, 1, "max_upload_held_bytes_per_user", "/api/v1/images")


async def test_uploads_of_all_users_have_a_bound_together(eva: Account, bob: Account) -> None:
    async with under_way(eva.client, 4 * MIB):
        await _assert_refused_unread(bob.client, 2 * MIB + 1, "max_upload_held_bytes", "/api/v1/images")
        async with under_way(bob.client, 2 * MIB):
            pass


async def test_an_upload_larger_than_a_whole_share_is_413(eva: Account) -> None:
    body = Unread()
    headers = HEADERS | {"Content-Length": str(4 * MIB + 1)}
    assert_problem(await eva.client.post("/api/v1/images", content=body, headers=headers), 413, "payload-too-large")
    assert not body.was_read


async def test_four_requests_of_twenty_files_of_five_megabytes_are_within_the_defaults() -> None:
    limits = Settings().limits
    assert 4 * 20 * 5 * MIB < limits.max_upload_held_bytes_per_user < limits.max_upload_held_bytes
    assert limits.max_body_bytes <= limits.max_upload_held_bytes_per_user


@pytest.fixture
def spooled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes that were written to files of forms, file by file."""
    sizes: list[int] = []

    class Counted(tempfile.SpooledTemporaryFile[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._place = len(sizes)
            sizes.append(0)

        def write(self, data: Any) -> int:
            sizes[self._place] += len(data)
            return super().write(data)

    with monkeypatch.context() as patch:
        patch.setattr("starlette.formparsers.SpooledTemporaryFile", Counted)
        yield sizes


async def _pieces(*parts: tuple[bytes, bytes]) -> AsyncIterator[bytes]:
    for name, data in parts:
        yield PART % name
        for start in range(0, len(data), 2**16):
            yield data[start : start + 2**16]
        yield b"\r\n"
    yield END[2:]


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
async def test_a_part_over_the_limit_of_a_file_is_not_kept_beyond_it_and_fails_alone(
    eva: Account, spooled: list[int], key: dict[str, str]
) -> None:
    good = encoded(an_image(), "PNG")
    content = _pieces((b"large", b"x" * (3 * MIB)), (b"good", good))
    answer = await eva.client.post("/api/v1/images", content=content, headers=HEADERS | key)
    assert answer.status_code == 201, answer.text
    assert [image["bytes"] for image in answer.json()["images"]] == [len(good)]
    assert [(bad["filename"], bad["code"]) for bad in answer.json()["rejected"]] == [("large", "too_large")]
    assert spooled == [MIB + 1, len(good)]


@pytest.mark.parametrize("path", ["/api/v1/images", "/upload-image/", "/api/v1/segmentations"])
async def test_a_single_part_over_the_limit_of_a_file_is_413(eva: Account, spooled: list[int], path: str) -> None:
    answer = await eva.client.post(path, content=_pieces((b"large", b"x" * (3 * MIB))), headers=HEADERS)
    assert_problem(answer, 413)
    assert spooled == [MIB + 1]


async def test_a_file_of_exactly_the_limit_is_read_whole(eva: Account) -> None:
    picture = encoded(an_image(), "JPEG")
    answer = await _upload(eva.client, picture + b"\0" * (MIB - len(picture)))
    assert answer.json()["images"][0]["bytes"] == MIB


async def test_texts_of_a_form_are_bounded_together(eva: Account) -> None:
    text = b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\n' + b"x" * (MIB // 2) + b"\r\n"
    for path in ("/api/v1/images", "/api/v1/segmentations"):
        answer = await eva.client.post(path, content=3 * text + END[2:], headers=HEADERS)
        assert_problem(answer, 413, "payload-too-large")


async def _upload(client: httpx.AsyncClient, data: bytes | None = None) -> httpx.Response:
    files = {"file": ("a.png", encoded(an_image(), "PNG") if data is None else data)}
    return await client.post("/api/v1/images", files=files)
