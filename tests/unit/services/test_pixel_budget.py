"""Pictures that are worked on at once hold no more pixels than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deployments.errors import Unavailable
from serve_app.services.immich.pixel_budget import PixelBudget


class Request:
    """A picture that is worked on until it is let go."""

    def __init__(self, budget: PixelBudget, pixels: int) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._work(budget, pixels))

    async def _work(self, budget: PixelBudget, pixels: int) -> None:
        async with budget.room(pixels):
            self.begun.set()
            await self.go.wait()

    async def end(self) -> None:
        self.go.set()
        await self.task


@asynccontextmanager
async def working(budget: PixelBudget, *sizes: int) -> AsyncIterator[list[Request]]:
    requests = [Request(budget, pixels) for pixels in sizes]
    for _ in range(3):
        await asyncio.sleep(0)
    yield requests
    for request in requests:
        request.go.set()
    await asyncio.gather(*(request.task for request in requests), return_exceptions=True)


def begun(requests: list[Request]) -> list[bool]:
    return [request.begun.is_set() for request in requests]


async def test_pictures_that_fit_are_worked_on_at_once_and_the_next_when_one_ends() -> None:
    async with working(PixelBudget(100, 60), 40, 60, 30, 20) as requests:
        assert begun(requests) == [True, True, False, False]
        await requests[0].end()
        async with asyncio.timeout(20):
            await requests[2].begun.wait()
        assert begun(requests) == [True, True, True, False], "of 40 pixels 30 are taken"


async def test_a_small_picture_does_not_overtake_a_large_one_for_ever() -> None:
    async with working(PixelBudget(100, 60), 60, 90, 10) as requests:
        assert begun(requests) == [True, False, False]
        await requests[0].end()
        async with asyncio.timeout(20):
            await requests[1].begun.wait()
            await requests[2].begun.wait()


async def test_a_picture_larger_than_all_the_room_is_worked_on_alone() -> None:
    async with working(PixelBudget(100, 60), 500, 1) as requests:
        assert begun(requests) == [True, False]
        await requests[0].end()
        async with asyncio.timeout(20):
            await requests[1].begun.wait()


async def test_who_finds_no_room_in_time_hears_when_to_ask_again_and_takes_none() -> None:
    budget = PixelBudget(100, 0)
    async with working(budget, 100) as [first]:
        with pytest.raises(Unavailable) as refused:
            async with budget.room(1):
                raise AssertionError("there was room")
        assert refused.value.extra["retry_after_s"] > 0
        await first.end()
        async with working(budget, 100) as [again]:
            assert again.begun.is_set()


async def test_a_request_that_is_cancelled_while_it_waits_holds_nobody_up() -> None:
    async with working(PixelBudget(100, 60), 80, 90, 20) as requests:
        requests[1].task.cancel()
        async with asyncio.timeout(20):
            await requests[2].begun.wait()


async def test_room_made_at_the_very_moment_a_waiting_request_is_cancelled_goes_to_the_next() -> None:
    budget = PixelBudget(100, 60)
    first = budget.room(80)
    await first.__aenter__()
    async with working(budget, 90, 20) as [second, third]:
        second.task.cancel()  # its task runs only after the room was given back
        await first.__aexit__(None, None, None)
        async with asyncio.timeout(20):
            await third.begun.wait()
        await third.end()
    async with working(budget, 100) as [again]:
        assert again.begun.is_set(), "nothing is held for who went away"
