"""The Python client against a real HTTP server: what people do with several routes at once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI
from PIL import Image as PillowImage

from darkroom_client import AsyncDarkroom, Darkroom, Progress
from darkroom_client.errors import JobCancelled, JobStillRunning, NoFace, NotFound, UploadRefused
from darkroom_client.models import DuplicatesResult
from tests.api.conftest import serving
from tests.support.builders import a_flat_image, an_image, encoded


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of one content and one name in different folders, a third, and one that is no picture."""
    (tmp_path / "again").mkdir()
    paths = [tmp_path / "a.png", tmp_path / "again" / "a.png", tmp_path / "b.png", tmp_path / "notes.jpg"]
    for path in paths[:2]:
        path.write_bytes(encoded(a_flat_image(), "PNG"))
    paths[2].write_bytes(encoded(an_image(seed=3), "PNG"))
    paths[3].write_bytes(b"not a picture")
    return paths


@pytest_asyncio.fixture()
async def server(live_url: str) -> AsyncIterator[AsyncDarkroom]:
    async with AsyncDarkroom(live_url) as client:
        yield client


async def test_files_are_added_to_an_album_and_progress_is_told_stage_by_stage(
    server: AsyncDarkroom, files: list[Path]
) -> None:
    seen: list[Progress] = []
    album = server.album("trips/may")
    [result] = await album.add(files, seen.append)
    assert result.embedded == 3
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages[:2] == ["uploading", "reading"]
    assert set(stages[2:]) == {"tags", "people", "duplicates"}
    assert all(progress.done <= progress.total for progress in seen)
    assert len([image async for image in album.images()]) == 3
    found = await album.duplicates()
    assert isinstance(found, DuplicatesResult)
    assert [len(group) for group in found.duplicates.values()] == [2]
    await album.delete()
    with pytest.raises(NotFound):
        await album.get()


async def test_an_upload_says_which_file_became_which_image(server: AsyncDarkroom, files: list[Path]) -> None:
    stored = await server.upload(files)
    assert list(stored.images) == files[:3]
    assert list(stored.rejected) == files[3:]
    assert stored.images[files[0]].sha256 == stored.images[files[1]].sha256 != stored.images[files[2]].sha256


async def test_an_upload_of_which_nothing_can_be_used_is_refused(server: AsyncDarkroom, files: list[Path]) -> None:
    with pytest.raises(UploadRefused) as raised:
        await server.upload(files[3:])
    assert raised.value.rejected[0].code == "unsupported_type"


async def test_the_events_of_a_job_end_with_it_and_its_result_is_typed(
    server: AsyncDarkroom, files: list[Path]
) -> None:
    stored = await server.upload(files[:3])
    job = await server.embed_album([image.url for image in stored.images.values()], "one")
    states = [state.status async for state in job.events(timeout_s=60)]
    assert states[-1] == "succeeded"
    assert job.result().embedded == 3
    assert (await job.refresh()).progress == 1


async def test_a_style_is_made_of_a_file_and_saved(server: AsyncDarkroom, files: list[Path], tmp_path: Path) -> None:
    picture = await server.style(files[2], "ink", seed=5)
    saved = await picture.save(tmp_path / "made.jpg")
    assert picture.result.seed == 5
    with PillowImage.open(io.BytesIO(await asyncio.to_thread(saved.read_bytes))) as made:
        assert made.format == "JPEG"


async def test_the_problem_of_a_failed_job_is_the_exception_of_its_type(
    server: AsyncDarkroom, files: list[Path]
) -> None:
    with pytest.raises(NoFace):
        await server.avatar(files[0], "cat")


async def test_the_synchronous_client_does_the_same(live_url: str, files: list[Path]) -> None:
    def work() -> tuple[int, list[str]]:
        with Darkroom(live_url) as client:
            [result] = client.album("sync").add(files)
            return result.embedded, [album.album_id for album in client.every(client.list_albums)]

    assert await asyncio.to_thread(work) == (3, ["sync"])


async def test_a_wait_that_is_over_leaves_the_job_alone_and_a_cancelled_one_says_so(
    app: FastAPI, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(encoded(an_image(), "PNG"))
    async with serving(app) as url, AsyncDarkroom(url) as client:  # nobody works on its jobs
        job = await client.make_style(await client.reference(tmp_path / "a.png"), "ink")
        with pytest.raises(JobStillRunning):
            await job.wait(timeout_s=0.3)
        assert (await job.refresh()).status == "queued"
        await client.watch_job(job.id).cancel()
        with pytest.raises(JobCancelled):
            await job.wait(timeout_s=30)
