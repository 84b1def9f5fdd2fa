"""Calls that arrive while others run are made together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from deployments.kit import batch_sizes
from deployments.kit.call_batching import CallBatcher


class Doubler:
    """Doubles numbers when it is let go, and notes which came together."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.batches: list[list[int]] = []

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        await self.go.wait()
        if 13 in numbers:
            raise ValueError("unlucky")
        return [2 * number for number in numbers]


async def submitted(batcher: CallBatcher[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(batcher.submit(number)) for number in numbers]
    for _ in range(3):  # the tasks begin, and the batcher's own
        await asyncio.sleep(0)
    return tasks


async def test_a_call_that_finds_nobody_waits_for_nobody() -> None:
    doubler = Doubler()
    await submitted(CallBatcher(doubler, 8), 1)
    assert doubler.batches == [[1]]
    doubler.go.set()


async def test_calls_that_come_while_one_runs_run_together_and_each_gets_its_own() -> None:
    doubler = Doubler()
    batcher = CallBatcher(doubler, 8)
    first = await submitted(batcher, 1)
    others = await submitted(batcher, 2, 3, 4)
    doubler.go.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8]
    assert doubler.batches == [[1], [2, 3, 4]]


async def test_more_calls_run_together_where_all_of_them_are_small() -> None:
    doubler = Doubler()
    batcher = CallBatcher(doubler, 2, size=lambda number: number, room=9)
    tasks = [*await submitted(batcher, 1), *await submitted(batcher, 2, 3, 4, 5)]
    doubler.go.set()
    await asyncio.gather(*tasks)
    assert doubler.batches == [[1], [2, 3, 4], [5]]


async def test_large_calls_run_together_up_to_their_number() -> None:
    doubler = Doubler()
    batcher = CallBatcher(doubler, 2, size=lambda number: number, room=9)
    tasks = [*await submitted(batcher, 1), *await submitted(batcher, 20, 30, 40)]
    doubler.go.set()
    await asyncio.gather(*tasks)
    assert doubler.batches == [[1], [20, 30], [40]]


async def test_each_lane_runs_a_batch_and_what_comes_while_all_are_busy_is_shared() -> None:
    doubler = Doubler()
    batcher = CallBatcher(doubler, 2, lanes=2)
    tasks = await submitted(batcher, 1, 2, 3, 4, 5)
    assert doubler.batches == [[1, 2], [3, 4]]
    doubler.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert doubler.batches[2:] == [[5]]
    assert await batcher.submit(6) == 12


async def test_a_lane_that_was_cancelled_leaves_what_waits_to_the_other() -> None:
    doubler = Doubler()

    async def run(numbers: Sequence[int]) -> list[int]:
        if numbers[0] == 1:
            raise asyncio.CancelledError
        return await doubler(numbers)

    batcher = CallBatcher(run, 1, lanes=2)
    first = await submitted(batcher, 2)
    others = await submitted(batcher, 1, 3)
    doubler.go.set()
    found = await asyncio.wait_for(asyncio.gather(*first, *others, return_exceptions=True), 5)
    assert found[0] == 4
    assert isinstance(found[1], asyncio.CancelledError)
    assert found[2] == 6


async def test_no_more_calls_run_together_than_are_allowed() -> None:
    doubler = Doubler()
    batcher = CallBatcher(doubler, 2)
    tasks = [*await submitted(batcher, 1), *await submitted(batcher, 2, 3, 4)]
    doubler.go.set()
    await asyncio.gather(*tasks)
    assert doubler.batches == [[1], [2, 3], [4]]


async def test_a_call_that_was_cancelled_before_its_turn_is_not_made() -> None:
    doubler = Doubler()
    batcher = CallBatcher(doubler, 8)
    [first] = await submitted(batcher, 1)
    [second, third] = await submitted(batcher, 2, 3)
    second.cancel()
    await asyncio.sleep(0)
    doubler.go.set()
    assert await asyncio.gather(first, third) == [2, 6]
    assert doubler.batches == [[1], [3]]


async def test_a_batch_that_fails_fails_its_own_calls_only() -> None:
    doubler = Doubler()
    doubler.go.set()
    batcher = CallBatcher(doubler, 8)
    with pytest.raises(ValueError, match="unlucky"):
        await batcher.submit(13)
    assert await batcher.submit(2) == 4


async def test_nobody_waits_for_a_batch_that_was_cancelled() -> None:
    async def run(numbers: Sequence[int]) -> list[int]:
        await asyncio.sleep(0.01)
        if numbers[0] == 1:
            raise asyncio.CancelledError
        return list(numbers)

    batcher = CallBatcher(run, 8)
    tasks = [*await submitted(batcher, 1), *await submitted(batcher, 2)]
    found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert all(isinstance(one, asyncio.CancelledError) for one in found)
    assert await batcher.submit(3) == 3


async def test_results_that_lack_are_an_error_for_those_that_have_none() -> None:
    async def run(numbers: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        return list(numbers)[:1]

    tasks = await submitted(CallBatcher(run, 8), 1, 2, 3)
    found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert found[0] == 1
    assert any(isinstance(one, ValueError) for one in found)


async def test_how_many_calls_were_made_together_is_told() -> None:
    heard: list[tuple[str, int]] = []
    batch_sizes.heard_by(lambda verb, calls: heard.append((verb, calls)))
    doubler = Doubler()
    batcher = CallBatcher(doubler, 8, verb="double")
    tasks = [*await submitted(batcher, 1), *await submitted(batcher, 2, 3, 4)]
    doubler.go.set()
    await asyncio.gather(*tasks)
    assert heard == [("double", 1), ("double", 3)]
