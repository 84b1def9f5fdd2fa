"""Looks at pictures in progress through the gateway, over replicas that answer, die, hang or know nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import structlog
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError

from configs.settings import Deadlines
from deployments.contracts.diffusion import SeenLatents
from deployments.errors import InvalidRequest, NotDeployed
from deployments.kit.turns import acting_for
from serve_app import gateway
from serve_app.gateway import Gateway
from serve_app.remote_calls import Refusal
from serve_app.telemetry import Metrics

SEEN = SeenLatents(3, 20, np.zeros((4, 8, 8), np.float16))
HANGS = object()


class Replica:
    """A call to one replica, which answers, raises, or hangs."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.is_cancelled = False
        self.after: Replica | None = None
        """The one that answers before."""
        self._has_answered = asyncio.Event()

    async def get_async(self) -> Any:
        if self.after is not None:
            await self.after._has_answered.wait()
            for _ in range(10):  # turns of the loop in which that answer is taken
                await asyncio.sleep(0)
        self._has_answered.set()
        if self._answer is HANGS:
            await asyncio.Event().wait()
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer

    def cancel(self) -> None:
        self.is_cancelled = True


class Replicas:
    """A handle that reaches all replicas, or raises because there is none."""

    def __init__(self, *answers: Any) -> None:
        self.calls = [Replica(answer) for answer in answers]
        self.asked: list[tuple[Any, ...]] = []
        self.is_asked = asyncio.Event()

    def broadcast(self, verb: str, *arguments: Any, user: str | None, context: Mapping[str, str]) -> Replicas:
        self.asked.append((verb, *arguments, user, context))
        return self

    async def _fetch_replica_results_async(self) -> Sequence[Replica]:
        if not self.calls:
            raise DeploymentUnavailableError(DeploymentID("Diffusion", "darkroom"))
        self.is_asked.set()
        return self.calls


def over(*answers: Any) -> tuple[Gateway, Replicas]:
    replicas = Replicas(*answers)
    return Gateway({"diffusion": replicas}, Deadlines(), Metrics("test")), replicas  # type: ignore[dict-item]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_PEEK_S", 0.05)


async def test_the_replica_that_makes_the_picture_answers() -> None:
    looking, replicas = over({}, {"a": SEEN}, {})
    with acting_for("ann"), structlog.contextvars.bound_contextvars(request_id="r-1"):
        assert await looking.peek(["a"]) == {"a": SEEN}
    assert replicas.asked == [("peek", ["a"], "ann", {"request_id": "r-1"})]


async def test_pictures_of_several_replicas_are_seen_together() -> None:
    looking, _ = over({"a": SEEN}, {"b": SEEN, "c": SEEN})
    assert sorted(await looking.peek(["a", "b", "c"])) == ["a", "b", "c"]


async def test_who_looks_for_nothing_asks_nobody() -> None:
    looking, replicas = over(HANGS)
    assert (await looking.peek([]), replicas.asked) == ({}, [])


async def test_a_picture_that_is_made_nowhere_is_missing() -> None:
    assert await over({}, {})[0].peek(["a"]) == {}


async def test_who_has_seen_enough_waits_for_no_replica_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_PEEK_S", 60.0)
    looking, replicas = over(HANGS, {"a": SEEN})
    assert await asyncio.wait_for(looking.peek(["a"]), 20) == {"a": SEEN}
    assert [call.is_cancelled for call in replicas.calls] == [True, False]


async def test_a_replica_that_hangs_holds_nobody_beyond_the_deadline() -> None:
    looking, replicas = over(HANGS, {"a": SEEN})
    assert await asyncio.wait_for(looking.peek(["a", "b"]), 20) == {"a": SEEN}
    assert [call.is_cancelled for call in replicas.calls] == [True, False]
    assert 'capability_calls_total{outcome="deadline",verb="peek"} 1.0' in looking._metrics.render().decode()


async def test_replicas_that_die_are_passed_over() -> None:
    assert await over(ActorDiedError(), {"a": SEEN})[0].peek(["a"]) == {"a": SEEN}
    assert await over(ActorDiedError(), {})[0].peek(["a"]) == {}
    assert await over(ActorDiedError(), ActorDiedError())[0].peek(["a"]) == {}


async def test_replicas_that_refuse_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_PEEK_S", 60.0)
    refusal = Refusal(InvalidRequest("a ticket of another version"))
    looking, replicas = over(refusal, {"a": SEEN})
    refusing, seeing = replicas.calls
    seeing.after = refusing
    assert await asyncio.wait_for(looking.peek(["a"]), 20) == {"a": SEEN}
    assert await over(refusal, refusal)[0].peek(["a"]) == {}


async def test_without_replicas_nothing_is_seen() -> None:
    assert await over()[0].peek(["a"]) == {}


async def test_of_replicas_without_the_verb_nothing_is_seen() -> None:
    older = RayTaskError("peek", "traceback", AttributeError("peek")).as_instanceof_cause()  # type: ignore[no-untyped-call]
    assert await over(older, older)[0].peek(["a"]) == {}
    assert await over(older, {"a": SEEN})[0].peek(["a"]) == {"a": SEEN}


async def test_a_call_that_ray_has_cancelled_is_no_reason_to_stop() -> None:
    assert await over(asyncio.CancelledError(), {"a": SEEN})[0].peek(["a"]) == {"a": SEEN}
    assert await over(asyncio.CancelledError())[0].peek(["a"]) == {}


async def test_who_stops_waiting_cancels_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_PEEK_S", 60.0)
    looking, replicas = over(HANGS, HANGS)
    peeking = asyncio.create_task(looking.peek(["a"]))
    await asyncio.wait_for(replicas.is_asked.wait(), 20)
    peeking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await peeking
    assert all(call.is_cancelled for call in replicas.calls)


async def test_without_the_diffusion_engine_the_error_says_so() -> None:
    with pytest.raises(NotDeployed):
        await Gateway({}, Deadlines(), Metrics("test")).peek(["a"])
