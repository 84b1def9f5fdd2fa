"""The lane of health checks: what proves an engine sound, what makes it suspect, and when silence is a fault."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from deployments.errors import InvalidRequest, Unavailable
from deployments.kit import checks
from deployments.kit.checks import PROOF_S, SILENT_S, CheckLane
from deployments.kit.threads import Threads


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Broken(RuntimeError):
    """What an engine raises that no longer computes."""


def broken() -> None:
    raise Broken


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lane(clock: Clock) -> CheckLane:
    return CheckLane(clock)


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets go of work that hangs."""
    monkeypatch.setattr(checks, "PATIENCE_S", 0.01)
    event = threading.Event()
    yield event
    event.set()


async def test_the_first_check_does_the_work(lane: CheckLane) -> None:
    done: list[int] = []
    await lane.check(done.append, 1)
    assert done == [1]


async def test_a_check_does_work_again_once_the_proof_is_old(lane: CheckLane, clock: Clock) -> None:
    done: list[int] = []
    await lane.check(done.append, 1)
    clock.now += PROOF_S - 1
    await lane.check(done.append, 2)
    clock.now += 2
    await lane.check(done.append, 3)
    assert done == [1, 3]


async def test_a_broken_engine_fails_its_check(lane: CheckLane) -> None:
    with pytest.raises(Broken):
        await lane.check(broken)


async def test_an_engine_that_broke_later_fails_the_next_real_check(lane: CheckLane, clock: Clock) -> None:
    await lane.check(str)
    clock.now += PROOF_S
    with pytest.raises(Broken):
        await lane.check(broken)
    with pytest.raises(Broken):
        await lane.check(broken)


async def test_a_check_passes_while_its_own_work_takes_long_and_other_work_ended_lately(
    lane: CheckLane, clock: Clock, go: threading.Event
) -> None:
    lane.prove()
    clock.now += SILENT_S - 1
    await lane.check(go.wait)


async def test_an_engine_that_hangs_fails_its_check(lane: CheckLane, clock: Clock, go: threading.Event) -> None:
    lane.prove()
    clock.now += SILENT_S + 1
    with pytest.raises(Unavailable, match="done nothing for 121 s"):
        await lane.check(go.wait)


async def test_checks_of_an_engine_that_hangs_do_not_pile_up(
    lane: CheckLane, clock: Clock, go: threading.Event
) -> None:
    begun = threading.Semaphore(0)
    lane.prove()
    clock.now += PROOF_S

    def hang() -> None:
        begun.release()
        go.wait()

    for _ in range(3):
        await lane.check(hang)
    assert begun.acquire(timeout=20)
    go.set()
    await asyncio.sleep(0)
    assert not begun.acquire(blocking=False)


async def test_what_users_had_done_proves_the_engine_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, done = Threads(1), []
    await threads.run(str)
    await threads.check(done.append, 1)
    assert done == []
    monkeypatch.setattr(checks, "PROOF_S", 0.0)
    await threads.check(done.append, 1)
    assert done == [1]


async def test_a_call_that_broke_makes_the_next_check_do_work_of_its_own() -> None:
    threads = Threads(1)
    await threads.check(str)
    with pytest.raises(Broken):
        await threads.run(broken)
    with pytest.raises(Broken):
        await threads.check(broken)


async def test_a_refused_call_says_nothing_about_the_engine() -> None:
    def refuse() -> None:
        raise InvalidRequest("There is no style 'x'.")

    threads = Threads(1)
    await threads.check(str)
    with pytest.raises(InvalidRequest):
        await threads.run(refuse)
    await threads.check(broken)
