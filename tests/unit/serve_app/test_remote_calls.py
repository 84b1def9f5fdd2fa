"""Refusals of capabilities as values, which Serve hands on without a traceback in its log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from ray import cloudpickle

from deployments.errors import NoFace, NotSupported, WeightsMissing
from deployments.kit.turns import acting_user
from serve_app.remote_calls import Refusal, opened, remotely_callable


class Capability:
    """Answers, refuses and breaks."""

    async def answer(self, number: int) -> int:
        return number

    async def whose_turn(self) -> str | None:
        return acting_user()

    async def refuse(self) -> None:
        raise NoFace("There is no face.", extra={"faces": 0})

    async def break_down(self) -> None:
        raise WeightsMissing("The file is missing.")

    async def check_health(self) -> None:
        raise NoFace("The sample shows no face.")

    async def stream(self) -> AsyncIterator[int]:
        yield 1
        raise NotSupported("No more.")


@pytest.fixture
def capability() -> Any:
    """As a replica has it: Serve pickles the class."""
    return cloudpickle.loads(cloudpickle.dumps(remotely_callable(Capability)))()


async def test_an_answer_passes_as_it_is(capability: Any) -> None:
    assert opened(await capability.answer(7)) == 7


async def test_a_refusal_is_returned_and_raised_where_it_arrives(capability: Any) -> None:
    answer = await capability.refuse()
    assert isinstance(answer, Refusal)
    with pytest.raises(NoFace, match="no face") as raised:
        opened(cloudpickle.loads(cloudpickle.dumps(answer)))
    assert raised.value.extra == {"faces": 0}


async def test_a_fault_of_the_server_is_raised_in_the_replica(capability: Any) -> None:
    with pytest.raises(WeightsMissing):
        await capability.break_down()


async def test_a_health_check_that_is_refused_fails(capability: Any) -> None:
    with pytest.raises(NoFace):
        await capability.check_health()


async def test_a_stream_that_is_refused_ends_with_the_refusal(capability: Any) -> None:
    first, last = [event async for event in capability.stream()]
    assert first == 1
    with pytest.raises(NotSupported):
        opened(last)


def test_a_deployment_keeps_its_name() -> None:
    assert remotely_callable(Capability).__name__ == "Capability"


async def test_a_replica_takes_its_turns_as_the_user_of_the_call(capability: Any) -> None:
    assert await capability.whose_turn(user="ann") == "ann"
    assert await capability.whose_turn() is None
