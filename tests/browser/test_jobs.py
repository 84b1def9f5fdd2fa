"""Jobs: watched, cancelled and tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.app_process import AppProcess, a_server
from tests.support.builders import an_image, encoded
from tests.support.visits import AWAY, Visit


@pytest_asyncio.fixture()
async def server(
    browser: Browser, postgres: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[AppProcess]:
    async with a_server(postgres, tmp_path, engines=request.param) as process:
        yield process


async def ask_for_tags(server: AppProcess) -> None:
    async with server.client() as client:
        stored = await client.post("/api/v1/images", files=[("file", ("a.png", encoded(an_image(), "PNG")))])
        body = {"images": [image["url"] for image in stored.json()["images"]]}
        answer = await client.post("/api/v1/albums/tags", json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(("server", "status"), [("none", "waiting"), ("stuck", "running")], indirect=["server"])
async def test_a_job_is_cancelled_and_tried_again(server: AppProcess, visit: Visit, status: str) -> None:
    await ask_for_tags(server)
    page = await visit.open("/jobs")
    job = page.get_by_role("main").get_by_role("listitem")
    await expect(job).to_contain_text(f"Tags {status}")
    await job.get_by_role("button", name="Cancel").click()
    await expect(job).to_contain_text("Tags cancelled")
    visit.expects(AWAY)
    server.stop()
    server.start("fake")
    await page.reload()
    await job.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("main")).to_contain_text("Tags done")


@pytest.mark.parametrize("server", ["none"], indirect=True)
async def test_the_page_follows_jobs_by_itself(server: AppProcess, visit: Visit) -> None:
    page = await visit.open("/jobs")
    await expect(page.get_by_role("main")).to_contain_text("No jobs.")
    await ask_for_tags(server)
    await expect(page.get_by_role("main")).to_contain_text("Tags waiting")
    visit.expects(AWAY)
    server.stop()
    await expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    server.start("fake")
    await expect(page.get_by_role("main")).to_contain_text("Tags done")
    await expect(page.get_by_role("alert")).to_have_count(0)
