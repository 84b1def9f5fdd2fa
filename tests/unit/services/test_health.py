"""Readiness and metrics that cost no more however many ask, and that a busy server does not lose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from configs.settings import Settings
from deployments.errors import DeadlineExceeded, NotDeployed, Unavailable
from serve_app.services import health as health_module
from serve_app.services.health import HealthService
from serve_app.telemetry import Metrics


class Parts:
    """Database, storage and capabilities at once: every check is counted, and answers as told."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.queries = 0
        self.answer: Callable[[str], Any] = lambda _: None

    async def ping(self) -> None:
        self.checked.append("database")

    async def check(self, capability: str = "storage") -> None:
        self.checked.append(capability)
        answer = self.answer(capability)
        if isinstance(answer, BaseException):
            raise answer
        if answer is not None:
            await answer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Parts]:
        self.queries += 1
        yield self

    async def execute(self, _: object) -> list[tuple[str, str, int]]:
        return [("tags", "queued", 3)]


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
async def health(parts: Parts) -> AsyncIterator[HealthService]:
    service = HealthService(parts, parts, parts, Settings(), Metrics("test"), None)  # type: ignore[arg-type]
    yield service
    await service.close()


@pytest.fixture
def always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "_FRESH_S", 0.0)


async def test_polling_makes_one_check(health: HealthService, parts: Parts) -> None:
    verdicts = await asyncio.gather(*(health.check() for _ in range(50)))
    assert all(part["ok"] for verdict in verdicts for part in verdict.values())
    assert await health.check() == verdicts[0]
    assert len(parts.checked) == len(set(parts.checked)) == 11


async def test_polling_renders_the_metrics_once(health: HealthService, parts: Parts) -> None:
    pages = await asyncio.gather(*(health.metrics() for _ in range(50)))
    assert 'darkroom_test_jobs{status="queued"} 3.0' in pages[0].decode()
    assert set(pages) == {pages[0]}
    assert parts.queries == 1


@pytest.mark.usefixtures("always_stale")
async def test_a_part_that_has_just_answered_and_is_silent_is_busy(health: HealthService, parts: Parts) -> None:
    await health.check()
    parts.answer = lambda capability: DeadlineExceeded("late") if capability == "faces" else None
    await health.check()
    verdict = await health.check()
    assert verdict["faces"]["ok"] is True
    assert verdict["faces"]["detail"].startswith("busy")


@pytest.mark.usefixtures("always_stale")
async def test_a_part_that_never_answered_and_is_silent_is_not_ready(health: HealthService, parts: Parts) -> None:
    parts.answer = lambda capability: DeadlineExceeded("late") if capability == "faces" else None
    verdict = await health.check()
    assert (verdict["faces"]["ok"], verdict["faces"]["detail"]) == (False, "no answer in time")


@pytest.mark.usefixtures("always_stale")
async def test_a_part_that_says_that_it_is_broken_is_so_at_once(health: HealthService, parts: Parts) -> None:
    assert (await health.check())["faces"]["ok"] is True
    parts.answer = lambda capability: Unavailable("No replica.") if capability == "faces" else None
    verdict = await health.check()
    assert (verdict["faces"]["ok"], verdict["faces"]["detail"]) == (False, "No replica.")


async def test_a_part_that_is_left_out_on_purpose_is_named_and_no_fault(health: HealthService, parts: Parts) -> None:
    parts.answer = lambda capability: NotDeployed("It needs the extra.") if capability == "texts" else None
    verdict = await health.check()
    assert verdict["texts"] | {"seconds": 0} == {
        "ok": True,
        "deployed": False,
        "detail": "It needs the extra.",
        "seconds": 0,
    }
    assert "deployed" not in verdict["faces"]


@pytest.mark.usefixtures("always_stale")
async def test_a_slow_check_is_answered_with_the_last_verdict(
    health: HealthService, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "_PATIENCE_S", 0.0)
    first = await health.check()
    end = asyncio.Event()
    parts.answer = lambda capability: end.wait() if capability == "faces" else None
    assert await asyncio.wait_for(health.check(), 20) == first
    end.set()


@pytest.mark.usefixtures("always_stale")
async def test_metrics_go_on_while_the_database_is_away(
    health: HealthService, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "transaction", _away)
    page = (await health.metrics()).decode()
    assert 'darkroom_test_jobs{status="queued"} NaN' in page
    assert "darkroom_test_http_requests" in page


def _away() -> None:
    raise Unavailable("The database cannot be reached.")


async def test_metrics_of_other_processes_follow_and_one_that_is_silent_hides_no_other(parts: Parts) -> None:
    async def broken() -> bytes:
        raise Unavailable("No worker.")

    async def whole() -> bytes:
        return b'ray_darkroom_pictures_total{replica="x"} 2\n'

    service = HealthService(parts, parts, parts, Settings(), Metrics("test"), broken, whole)  # type: ignore[arg-type]
    page = (await service.metrics()).decode()
    assert page.endswith('ray_darkroom_pictures_total{replica="x"} 2\n')
    assert 'darkroom_test_jobs{status="queued"} 3.0' in page
