"""Receiving of uploads: small ones in memory, large ones in a temporary folder."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import Limits, Settings
from deployments.errors import ImageError
from serve_app.services.images.store import UPLOADS, ImageStore

HELD = 2**20


class Sent:
    """An upload that comes in pieces of at most so many bytes."""

    def __init__(self, data: bytes, piece: int = 2**30) -> None:
        self._file = io.BytesIO(data)
        self._piece = piece

    async def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, self._piece))


@pytest.fixture(autouse=True)
def temporary_folder_that_is_left_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.glob(f"{UPLOADS}*"))


def store(max_file_bytes: int = 2**26) -> ImageStore:
    limits = Settings(limits=Limits(max_file_bytes=max_file_bytes))
    return ImageStore(None, None, limits)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(st.sampled_from([1, HELD - 1, HELD, HELD + 1, 3 * HELD]), st.integers(2**14, HELD + 5))
async def test_an_upload_is_received_as_it_was_sent(size: int, piece: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    async with store().received(Sent(data, piece)) as file:
        assert (file.source if isinstance(file.source, bytes) else file.source.read_bytes()) == data
        assert (file.size_bytes, file.sha256) == (size, hashlib.sha256(data).hexdigest())


async def test_a_small_upload_is_held_in_memory() -> None:
    async with store().received(Sent(b"a" * HELD)) as file:
        assert isinstance(file.source, bytes)


async def test_a_large_upload_is_not_held_in_memory() -> None:
    async with store().received(Sent(b"a" * (HELD + 1))) as file:
        assert isinstance(file.source, Path)


@pytest.mark.parametrize(("size", "code"), [(0, "empty"), (2 * HELD + 1, "too_large")])
async def test_an_upload_that_is_no_file_or_too_large_is_refused(size: int, code: str) -> None:
    with pytest.raises(ImageError) as refused:
        async with store(2 * HELD).received(Sent(b"a" * size)):
            pytest.fail("it was received")
    assert refused.value.code == code
