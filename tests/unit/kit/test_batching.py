"""Dynamic batching, over a run that the test controls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from deployments.errors import InvalidRequest, Unavailable
from deployments.kit.batching import BatchListener, KeyedBatcher

Batcher = KeyedBatcher[str, int, str]


class Runner:
    """Run that makes two steps and the request in capitals; a request's first letter is its key. Waits until the test
    releases it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()
        self.cancelled: list[list[bool]] = []

    def run(self, requests: Sequence[str], watch: object) -> list[str | Exception]:
        self.batches.append(list(requests))
        self.began.set()
        assert self.go.wait(10)
        for step in (1, 2):
            for place in range(len(requests)):
                watch.report(place, step)  # type: ignore[attr-defined]
        self.cancelled.append([watch.is_cancelled(place) for place in range(len(requests))])  # type: ignore[attr-defined]
        if "!" in requests:
            raise RuntimeError("broken")
        return [InvalidRequest(request) if request.endswith("?") else request.upper() for request in requests]


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
async def batcher(runner: Runner) -> AsyncIterator[Batcher]:
    made: Batcher = KeyedBatcher(runner.run, lambda request: request[0], max_batch=3, wait_s=0.02)
    yield made
    runner.go.set()
    await made.close()


async def events_of(batcher: Batcher, request: str) -> list[int | str]:
    return [event async for event in batcher.submit(request)]


async def test_a_request_gets_its_steps_and_then_its_result(batcher: Batcher) -> None:
    assert await events_of(batcher, "a") == [1, 2, "A"]


async def test_requests_of_one_key_share_a_run(batcher: Batcher, runner: Runner) -> None:
    results = await asyncio.gather(*(events_of(batcher, request) for request in ("a1", "b1", "a2", "a3", "a4")))
    assert [events[-1] for events in results] == ["A1", "B1", "A2", "A3", "A4"]
    assert runner.batches == [["a1", "a2", "a3"], ["b1"], ["a4"]]


async def test_requests_that_come_while_a_batch_runs_are_the_next_batch(batcher: Batcher, runner: Runner) -> None:
    runner.go.clear()
    first = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.to_thread(runner.began.wait, 10)
    others = [asyncio.create_task(events_of(batcher, request)) for request in ("a2", "a3")]
    await asyncio.sleep(0)
    runner.go.set()
    await asyncio.gather(first, *others)
    assert runner.batches == [["a1"], ["a2", "a3"]]


async def test_each_request_has_an_error_of_its_own(batcher: Batcher) -> None:
    good, bad = await asyncio.gather(events_of(batcher, "a"), events_of(batcher, "a?"), return_exceptions=True)
    assert good == [1, 2, "A"]
    assert isinstance(bad, InvalidRequest)


async def test_a_run_that_breaks_is_an_error_of_all_its_requests_and_the_next_one_works(batcher: Batcher) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        await events_of(batcher, "!")
    assert (await events_of(batcher, "a"))[-1] == "A"


async def test_a_request_closed_while_it_runs_is_cancelled_and_the_others_are_not(
    batcher: Batcher, runner: Runner
) -> None:
    runner.go.clear()
    stays = asyncio.create_task(events_of(batcher, "a1"))
    leaves = asyncio.create_task(events_of(batcher, "a2"))
    await asyncio.to_thread(runner.began.wait, 10)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    runner.go.set()
    assert (await stays)[-1] == "A1"
    assert runner.cancelled == [[False, True]]


async def test_closing_the_iterator_cancels_the_request(batcher: Batcher, runner: Runner) -> None:
    async with aclosing(batcher.submit("a")) as events:
        assert await anext(events) == 1
    assert (await events_of(batcher, "b"))[-1] == "B"
    assert runner.batches == [["a"], ["b"]]


async def test_a_request_closed_while_it_waits_is_never_run(batcher: Batcher, runner: Runner) -> None:
    runner.go.clear()
    first = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.to_thread(runner.began.wait, 10)
    waiting = asyncio.create_task(events_of(batcher, "b1"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    runner.go.set()
    await first
    assert (await events_of(batcher, "c"))[-1] == "C"
    assert runner.batches == [["a1"], ["c"]]


async def test_closing_the_batcher_ends_waiting_and_running_requests(runner: Runner) -> None:
    batcher: Batcher = KeyedBatcher(runner.run, lambda request: request[0], max_batch=3, wait_s=0)
    runner.go.clear()
    tasks = [asyncio.create_task(events_of(batcher, "a"))]
    await asyncio.to_thread(runner.began.wait, 10)
    tasks.append(asyncio.create_task(events_of(batcher, "b")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close())
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    runner.go.set()
    await closing
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert runner.batches == [["a"]]
    with pytest.raises(Unavailable):
        await events_of(batcher, "c")


async def test_requests_join_a_run_that_makes_ready_as_far_as_there_is_room() -> None:
    came = threading.Event()
    joined: list[Sequence[str]] = []

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str | Exception]:
        assert came.wait(10)
        own = [watch.join(), watch.join()]
        joined.extend(own)
        everyone = [*requests, *own[0]]
        for place in range(len(everyone)):
            watch.report(place, 1)
        return [request.upper() for request in everyone]

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=3, wait_s=0)
    first = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(events_of(batcher, request)) for request in ("a2", "b1", "a3", "a4")]
    await asyncio.sleep(0)
    came.set()
    events = await asyncio.gather(first, *others)
    assert joined[:2] == [["a2", "a3"], []]
    assert [own[-1] for own in events] == ["A1", "A2", "B1", "A3", "A4"]
    assert events[1] == [1, "A2"]
    await batcher.close()


async def test_an_error_of_a_run_is_that_of_the_requests_that_joined_it_too() -> None:
    came = threading.Event()

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str | Exception]:
        assert came.wait(10)
        watch.join()
        raise RuntimeError("broken")

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=3, wait_s=0)
    both = [asyncio.create_task(events_of(batcher, request)) for request in ("a1", "a2")]
    await asyncio.sleep(0)
    came.set()
    assert [str(error) for error in await asyncio.gather(*both, return_exceptions=True)] == ["broken", "broken"]
    await batcher.close()


async def test_a_run_that_is_ready_waits_for_others_until_it_is_full() -> None:
    began = threading.Event()

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str | Exception]:
        everyone = [*requests]
        began.set()
        while joined := watch.join(wait=True):
            everyone += joined
        return [f"{request} of {len(everyone)}" for request in everyone]

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=2, wait_s=600)
    first = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.to_thread(began.wait, 10)
    async with asyncio.timeout(60):
        assert await events_of(batcher, "a2") == ["a2 of 2"]
        assert await first == ["a1 of 2"]
    await batcher.close()


async def test_a_run_that_waits_for_others_ends_when_the_batcher_closes() -> None:
    began = threading.Event()

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str | Exception]:
        began.set()
        watch.join(wait=True)
        return list(requests)

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=2, wait_s=600)
    first = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.to_thread(began.wait, 10)
    async with asyncio.timeout(60):
        await batcher.close()
        with pytest.raises(Unavailable):
            await first


async def test_a_request_that_is_finished_before_its_run_ends_has_its_result_then() -> None:
    go = threading.Event()

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str | Exception]:
        watch.finish(0, "early")
        assert go.wait(60)
        return ["late"] * len(requests)

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=2, wait_s=0)
    both = [asyncio.create_task(events_of(batcher, request)) for request in ("a1", "a2")]
    async with asyncio.timeout(30):
        assert await both[0] == ["early"]
    assert not both[1].done()
    go.set()
    assert await both[1] == ["late"]
    await batcher.close()


class Pausing:
    """Lock that stops the thread of a run, once, where it has let go of it."""

    def __init__(self, lock: threading.Condition) -> None:
        self._lock = lock
        self.is_free, self.go = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.current_thread() is not threading.main_thread():
            self.is_free.set()
            assert self.go.wait(60)

    def __getattr__(self, name: str) -> object:
        return getattr(self._lock, name)


async def test_closing_ends_a_request_that_is_just_joining_a_run() -> None:
    began, joining, end = threading.Event(), threading.Event(), threading.Event()

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str | Exception]:
        began.set()
        assert joining.wait(60)
        everyone = [*requests, *watch.join()]
        assert end.wait(60)
        return [request.upper() for request in everyone]

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=2, wait_s=0)
    first = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.to_thread(began.wait, 10)
    pausing = Pausing(batcher._lock)
    batcher._lock = pausing  # type: ignore[assignment]
    second = asyncio.create_task(events_of(batcher, "a2"))
    await asyncio.sleep(0)
    joining.set()
    await asyncio.to_thread(pausing.is_free.wait, 10)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    pausing.go.set()
    async with asyncio.timeout(30):
        done = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in done)
    end.set()
    await closing


async def test_requests_follow_a_run_up_to_the_first_of_another_key_and_as_far_as_there_is_room() -> None:
    go, began = threading.Event(), threading.Event()
    followed: list[list[str]] = []

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str]:
        running = list(requests)
        began.set()
        assert go.wait(10)
        if running[0] != "a1":
            return [one.upper() for one in running]
        for finishes in (0, 1):
            if finishes:
                watch.finish(0, "A1")
            followed.append(list(watch.follow()))
            running += followed[-1]
        return [one.upper() for one in running]

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=3, wait_s=0)
    running = [asyncio.create_task(events_of(batcher, "a1"))]
    await asyncio.to_thread(began.wait, 10)
    for name in ("a2", "a3", "a4", "b1", "a5"):
        running.append(asyncio.create_task(events_of(batcher, name)))
        await asyncio.sleep(0)
    go.set()
    made = await asyncio.wait_for(asyncio.gather(*running), 20)
    assert followed == [["a2", "a3"], ["a4"]]
    assert made == [["A1"], ["A2"], ["A3"], ["A4"], ["B1"], ["A5"]]
    await batcher.close()


async def test_a_run_is_filled_a_few_times_and_another_begins_then() -> None:
    batches: list[list[str]] = []

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str]:
        running = list(requests)
        batches.append(running)
        assert go.wait(10)
        done = 0
        while done < len(running):
            watch.finish(done, running[done].upper())
            done += 1
            running += watch.follow()
        return [one.upper() for one in running]

    go = threading.Event()
    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=1, wait_s=0)
    running = [asyncio.create_task(events_of(batcher, f"a{number}")) for number in range(6)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(asyncio.gather(*running), 20)
    assert [len(batch) for batch in batches] == [4, 2]
    await batcher.close()


async def test_a_request_that_was_cancelled_makes_room_for_one_that_follows() -> None:
    go, began = threading.Event(), threading.Event()
    followed: list[str] = []

    def run(requests: Sequence[str], watch: BatchListener[str, int]) -> list[str]:
        began.set()
        assert go.wait(10)
        followed.extend(watch.follow())
        return [one.upper() for one in [*requests, *followed]]

    batcher: Batcher = KeyedBatcher(run, lambda request: request[0], max_batch=1, wait_s=0)
    leaving = asyncio.create_task(events_of(batcher, "a1"))
    await asyncio.to_thread(began.wait, 10)
    staying = asyncio.create_task(events_of(batcher, "a2"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    go.set()
    assert await asyncio.wait_for(staying, 20) == ["A2"]
    assert followed == ["a2"]
    await batcher.close()
