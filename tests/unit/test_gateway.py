"""The gateway over handles that behave as Ray's do: lost replicas, full queues, silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from configs.settings import Deadlines
from deployments.errors import DeadlineExceeded, NotSupported, Overloaded, Unavailable
from serve_app import gateway
from serve_app.gateway import Gateway, Handles
from serve_app.telemetry import Metrics

Answer = Callable[[], Awaitable[Any]]


class ScriptedHandle:
    """Answers each call with the next of its answers; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.calls = 0

    def __getattr__(self, verb: str) -> ScriptedHandle:
        return self

    async def remote(self, *_: Any) -> Any:
        answer = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return await answer()
        return answer


def over(handle: ScriptedHandle, deadlines: Deadlines | None = None) -> Gateway:
    handles = Handles(*[handle] * 8)  # type: ignore[arg-type]
    return Gateway(handles, deadlines or Deadlines(), Metrics("test"))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_BACKOFF_S", 0.0)


async def test_a_call_that_died_with_its_replica_is_made_again() -> None:
    handle = ScriptedHandle(ActorDiedError(), ActorDiedError(), [[]])
    assert await over(handle).find_faces([np.zeros((2, 2, 3), np.uint8)]) == [[]]
    assert handle.calls == 3


async def test_replicas_that_keep_dying_make_the_capability_unavailable() -> None:
    with pytest.raises(Unavailable):
        await over(ScriptedHandle(ActorDiedError())).find_faces([])


async def test_a_full_queue_is_overload() -> None:
    with pytest.raises(Overloaded):
        await over(ScriptedHandle(BackPressureError(num_queued_requests=9, max_queued_requests=9))).find_faces([])


async def test_a_deployment_that_failed_to_start_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await over(ScriptedHandle(DeploymentUnavailableError("x"))).find_faces([])


async def test_silence_ends_at_the_deadline() -> None:
    handle = ScriptedHandle(asyncio.Event().wait)
    with pytest.raises(DeadlineExceeded, match="find_faces"):
        await over(handle, Deadlines(faces_s=0.01)).find_faces([])


async def test_our_own_errors_pass_through_as_what_they_are() -> None:
    wrapped = RayTaskError("find_faces", "traceback", NotSupported("no")).as_instanceof_cause()
    with pytest.raises(NotSupported) as raised:
        await over(ScriptedHandle(wrapped)).find_faces([])
    assert raised.value.status == 422


async def test_a_bug_in_a_replica_does_not_reach_the_client() -> None:
    wrapped = RayTaskError("find_faces", "secret path in a traceback", ValueError("x")).as_instanceof_cause()
    with pytest.raises(Unavailable) as raised:
        await over(ScriptedHandle(wrapped)).find_faces([])
    assert "secret" not in raised.value.message
