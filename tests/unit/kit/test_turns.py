"""Fair turns: who comes next, the turn beyond the bound, cancellation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.kit.turns import Turns, acting_for, acting_user


class Scene:
    """Users at one bound: calls are begun, and ended one by one."""

    def __init__(self, at_once: int) -> None:
        self.turns = Turns(at_once)
        self.running: list[str] = []
        self.begun: list[str] = []
        self._ends: dict[str, list[asyncio.Event]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Scene:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, *users: str) -> list[asyncio.Task[None]]:
        tasks = []
        for user in users:
            with acting_for(user):
                tasks.append(asyncio.create_task(self._call()))
        self._tasks += tasks
        await settled()
        return tasks

    async def end(self, user: str) -> None:
        self._ends[user].pop(0).set()
        await settled()

    async def _call(self) -> None:
        user = acting_user() or ""
        async with self.turns.taken():
            self.running.append(user)
            self.begun.append(user)
            self._ends.setdefault(user, []).append(ended := asyncio.Event())
            await ended.wait()
            self.running.remove(user)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_user_alone_has_as_many_turns_as_the_bound() -> None:
    async with Scene(2) as scene:
        await scene.ask("a", "a", "a", "a")
        assert scene.running == ["a", "a"]


async def test_a_user_without_a_turn_gets_one_beyond_the_bound_at_once() -> None:
    async with Scene(2) as scene:
        await scene.ask("a", "a", "a", "a")
        await scene.ask("b", "b")
        assert Counter(scene.running) == {"a": 2, "b": 1}


async def test_no_more_than_one_turn_is_beyond_the_bound() -> None:
    async with Scene(2) as scene:
        await scene.ask("a", "a", "a", "b", "c")
        assert Counter(scene.running) == {"a": 2, "b": 1}


async def test_the_user_with_the_least_running_comes_next() -> None:
    async with Scene(4) as scene:
        await scene.ask("a", "a", "a", "a", "a", "a", "b", "b")
        assert scene.begun == ["a", "a", "a", "a", "b"]
        await scene.end("a")
        await scene.end("a")
        assert scene.begun[5:] == ["b"]


async def test_of_users_with_as_much_running_the_one_who_asked_first_comes_next() -> None:
    async with Scene(1) as scene:
        await scene.ask("a", "b", "c", "d")
        await scene.end("b")
        await scene.end("c")
        assert scene.begun == ["a", "b", "c", "d"]


async def test_a_call_that_is_cancelled_while_it_waits_leaves_the_line() -> None:
    async with Scene(1) as scene:
        [_, second, _] = await scene.ask("a", "a", "a")
        second.cancel()
        await settled()
        await scene.end("a")
        assert scene.running == ["a"]
        await scene.end("a")
        assert scene.running == []


async def test_a_call_that_is_cancelled_as_its_turn_comes_hands_it_on() -> None:
    async with Scene(1) as scene:
        [_, second, _] = await scene.ask("a", "a", "a")
        scene._ends["a"].pop(0).set()
        await asyncio.sleep(0)
        assert scene.running == []  # the turn has gone to the second call, whose task has not run yet
        second.cancel()
        await settled()
        assert scene.begun == ["a", "a"]
        assert second.cancelled()


async def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            async with turns.taken():
                raise ValueError("broken")


def test_the_user_is_known_within_the_block_alone() -> None:
    with acting_for("a"):
        with acting_for("b"):
            assert acting_user() == "b"
        assert acting_user() == "a"
    assert acting_user() is None


@given(
    at_once=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=40),
)
def test_the_bound_holds_and_nobody_waits_beside_an_idle_turn(at_once: int, steps: list[tuple[str, bool]]) -> None:
    asyncio.run(_play(at_once, steps))


async def _play(at_once: int, steps: Iterable[tuple[str, bool]]) -> None:
    async with Scene(at_once) as scene:
        asked = ended = 0
        for user, asks in steps:
            if asks:
                await scene.ask(user)
                asked += 1
            elif user in scene.running:
                await scene.end(user)
                ended += 1
            is_anyone_waiting = asked - ended > len(scene.running)
            assert len(scene.running) <= at_once + Turns.BEYOND
            assert not is_anyone_waiting or len(scene.running) >= at_once
            assert all(scene.running.count(user) <= at_once for user in scene.running)
