"""Bounded threads: their number, cancellation and errors."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable

import cv2
import pytest

from deployments.kit.threads import Threads
from deployments.kit.turns import acting_for, acting_user


class Counted:
    """Blocking work that goes on until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go.wait(20)
        with self._lock:
            self.running -= 1
        return "done"


@pytest.fixture
def work() -> Counted:
    return Counted()


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def begun(work: Counted, count: int) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(work.begun.acquire, timeout=20)


async def test_no_more_calls_run_at_once_than_there_are_threads(work: Counted) -> None:
    threads = Threads(2)
    calls = [asyncio.create_task(threads.run(work)) for _ in range(6)]
    await begun(work, 2)
    work.go.set()
    assert await asyncio.gather(*calls) == ["done"] * 6
    assert work.most == 2


async def test_cancelled_calls_keep_their_threads_until_the_work_has_ended(work: Counted) -> None:
    threads = Threads(2)
    unwanted = [asyncio.create_task(threads.run(work)) for _ in range(2)]
    await begun(work, 2)
    for call in unwanted:
        call.cancel()
    wanted = asyncio.create_task(threads.run(work))
    for _ in range(10):  # turns of the event loop, in two of which a call that did not wait would end
        await asyncio.sleep(0)
    assert not any(call.done() for call in (*unwanted, wanted))
    work.go.set()
    assert await wanted == "done"
    assert work.most == 2
    await asyncio.wait(unwanted)
    assert all(call.cancelled() for call in unwanted)


async def test_work_that_has_not_begun_is_left_out(work: Counted) -> None:
    threads = Threads(1)
    first = asyncio.create_task(threads.run(work))
    await begun(work, 1)
    waiting = asyncio.create_task(threads.run(work))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    work.go.set()
    assert await first == "done"
    assert work.begun.acquire(blocking=False) is False


async def test_a_call_of_many_items_lets_another_call_in_between() -> None:
    order: list[str] = []
    threads = Threads(1)
    large = asyncio.create_task(threads.run_each(order.append, ["large"] * 20))
    await asyncio.sleep(0)
    await threads.run_each(order.append, ["small"])
    await large
    assert order.index("small") <= 2


async def test_another_users_call_runs_while_one_user_has_all_threads(work: Counted) -> None:
    threads = Threads(2)
    with acting_for("a"):
        calls = [asyncio.create_task(threads.run(work)) for _ in range(6)]
    await begun(work, 2)
    with acting_for("b"):
        assert await asyncio.wait_for(threads.run(str, 5), 20) == "5"
    work.go.set()
    await asyncio.gather(*calls)
    assert work.most == 2


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
async def test_work_yields_the_cores_but_for_who_waits_beside_another(work: Counted) -> None:
    threads = Threads(1)
    with acting_for("a"):
        call = asyncio.create_task(threads.run(lambda: (work(), niceness())[1]))
    await begun(work, 1)
    with acting_for("b"):
        beside = await threads.run(niceness)
    work.go.set()
    assert await call > beside == niceness()


async def test_work_in_a_thread_knows_whom_it_is_for() -> None:
    with acting_for("a"):
        assert await Threads(1).run(acting_user) == "a"


async def test_items_are_worked_on_side_by_side_and_answered_in_order(work: Counted) -> None:
    threads = Threads(2)
    call = asyncio.create_task(threads.run_each(lambda item: (work(), item)[1], range(5)))
    await begun(work, 2)
    work.go.set()
    assert await call == [0, 1, 2, 3, 4]
    assert work.most == 2


async def test_a_check_waits_for_no_call(work: Counted) -> None:
    threads = Threads(1)
    calls = [asyncio.create_task(threads.run(work)) for _ in range(12)]  # more than the loop's own pool has threads
    await begun(work, 1)
    await asyncio.wait_for(threads.check(str), 20)
    assert not any(call.done() for call in calls)
    work.go.set()
    await asyncio.gather(*calls)


async def test_a_check_that_passed_is_not_repeated_at_once() -> None:
    done: list[int] = []
    threads = Threads(1)
    await asyncio.gather(*(threads.check(done.append, 1) for _ in range(5)))
    assert done == [1]


async def test_a_check_that_failed_is_repeated() -> None:
    answers = iter([ValueError("broken"), None])

    def work() -> None:
        if (answer := next(answers)) is not None:
            raise answer

    threads = Threads(1)
    with pytest.raises(ValueError, match="broken"):
        await threads.check(work)
    await threads.check(work)


async def test_an_error_of_the_work_is_raised() -> None:
    def fails() -> None:
        raise ValueError("broken")

    threads = Threads(1)
    with pytest.raises(ValueError, match="broken"):
        await threads.run(fails)
    assert await threads.run(str, 5) == "5"


async def test_work_that_asks_ends_when_its_call_is_cancelled() -> None:
    threads, has_begun, has_ended = Threads(1), threading.Event(), threading.Event()

    def work(is_cancelled: Callable[[], bool]) -> None:
        has_begun.set()
        while not is_cancelled():
            pass
        has_ended.set()

    call = asyncio.create_task(threads.run_cancellable(work))
    assert await asyncio.to_thread(has_begun.wait, 20)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 20)
    assert has_ended.is_set()


async def test_work_that_may_be_cancelled_returns_what_it_made() -> None:
    assert await Threads(1).run_cancellable(lambda is_cancelled: is_cancelled()) is False


def test_opencv_adds_no_threads_of_its_own_to_work_that_runs_side_by_side() -> None:
    cv2.setNumThreads(2)
    Threads(1)
    assert cv2.getNumThreads() == 1
